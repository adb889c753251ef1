"""MuJoCo Playground's tuned settings of Brax's PPO, as settings of a `Config`.

They are read from the installed package, `mujoco_playground.config`, and translated as follows:

* An update of Brax collects batch_size * num_minibatches unrolls of unroll_length steps, some from
  each of its num_envs environments, one after the other, and cuts the advantages at the end of
  each. Here a rollout is the unrolls of an environment, and advantage_horizon = unroll_length. (In
  dm_control: 2048 environments, 16 unrolls of 30 steps.) Lower num_envs on a small machine.
* The defaults of Brax's PPO are spelled out: clip_eps = 0.3, no clipping of the value loss, no
  limit to the gradient unless the task sets one, a constant learning rate, Adam's epsilon 1e-8.
* reward_scaling is the constant `reward_scale`; rewards are not normalised.
* Networks are Brax's: swish, actor and critic of their own sizes, a Gaussian squashed by tanh
  whose standard deviation depends on the observation, softplus with a floor of 0.001, and begins
  at softplus(0). The initial weights are ours (orthogonal).
* The settings were tuned for PPO, so that alpha = 0; give `alpha` for RPO.

These differences remain: here minibatches are of single steps, and not of whole unrolls; each
advantage is computed once, before the gradient steps; a truncated episode is worth the value of its
last observation, where Brax drops that step; normalised observations are clipped at 10; resets are
those of `Config.resets`.
"""

import functools
import importlib
import math
from types import ModuleType
from typing import Any

PREFIX = "playground/"
SOURCE = "mujoco_playground, its config.*_params.brax_ppo_config, for Brax's PPO"

WITH_PRIVILEGED_STATE = ("SpotFlatTerrainJoystick",)
"""Tasks whose observations are dictionaries, though actor and critic both see `state` only."""

RESULTS = {
    "CartpoleBalance": "983.5 +- 0.3 over 32 episodes of one agent, 491,520 steps",
    "BallInCup": "0.0 (nothing learnt yet) over 32 episodes of one agent, 414,720 steps",
    "PointMass": "860.6 +- 36.8 over 32 episodes of one agent, 537,600 steps",
}
"""What presets gave here with num_envs = 32 and impl = "c", a hundredth of their training."""

STD_FLOOR = 0.001  # of brax.training.distribution.NormalTanhDistribution


def tasks() -> tuple[str, ...]:
    """Tasks with settings of Brax's PPO."""
    return tuple(name for name in _suite_of() if _upstream(name) is not None)


def translated(task: str) -> dict[str, Any]:
    """The settings of a task that has some, as fields of `Config`."""
    upstream = _upstream(task)
    assert upstream is not None
    action_repeat = upstream["action_repeat"]
    unrolls = upstream["batch_size"] * upstream["num_minibatches"] // upstream["num_envs"]
    return {
        "env": PREFIX + task,
        "env_params": _env_params(task, upstream),
        "total_timesteps": upstream["num_timesteps"] // action_repeat,
        "num_envs": upstream["num_envs"],
        "num_steps": upstream["unroll_length"] * unrolls,
        "advantage_horizon": upstream["unroll_length"] if unrolls > 1 else None,
        "num_minibatches": upstream["num_minibatches"],
        "update_epochs": upstream["num_updates_per_batch"],
        "network": _network(task, upstream.get("network_factory", {})),
        "learning_rate": upstream["learning_rate"],
        "lr_schedule": "constant",
        "adam_eps": 1e-8,
        "alpha": 0.0,
        "gamma": upstream["discounting"],
        "gae_lambda": upstream.get("gae_lambda", 0.95),
        "clip_eps": upstream.get("clipping_epsilon", 0.3),
        "clip_value_loss": False,
        "vf_coef": upstream.get("vf_loss_coefficient", 0.5),
        "ent_coef": upstream["entropy_cost"],
        "max_grad_norm": upstream.get("max_grad_norm", 0.0),
        "normalize_observations": upstream["normalize_observations"],
        "normalize_rewards": False,
        "reward_scale": upstream["reward_scaling"],
    }


def _network(task: str, factory: dict[str, Any]) -> dict[str, Any]:
    """Fields of `NetworkConfig`; what the factory leaves out is Brax's default."""
    policy_key, value_key = factory.get("policy_obs_key"), factory.get("value_obs_key")
    keys = {}
    if policy_key != value_key or task in WITH_PRIVILEGED_STATE:
        keys = {"actor_keys": (policy_key,), "critic_keys": (value_key,)}
    return {
        "hidden_sizes": tuple(factory.get("policy_hidden_layer_sizes", (32,) * 4)),
        "critic_hidden_sizes": tuple(factory.get("value_hidden_layer_sizes", (256,) * 5)),
        "activation": "silu",
        "distribution": "tanh_gaussian",
        "state_dependent_log_std": True,
        "std_parameterization": "softplus",
        "log_std_init": math.log(math.log(2.0) + STD_FLOOR),
        "log_std_min": math.log(STD_FLOOR),
        "log_std_max": 20.0,  # Brax has no bound
        **keys,
    }


def _env_params(task: str, upstream: dict[str, Any]) -> dict[str, Any]:
    """The settings of an episode in which the training differs from the task's configuration."""
    own = _suite_of()[task].get_default_config(task)
    return {
        name: upstream[name]
        for name in ("episode_length", "action_repeat")
        if upstream[name] != own[name]
    }


def _upstream(task: str) -> dict[str, Any] | None:
    """Playground's settings of a task; None where it has none."""
    suite = _suite_of()[task].__name__.rpartition(".")[2]
    params = importlib.import_module(f"mujoco_playground.config.{suite}_params")
    try:
        return dict(params.brax_ppo_config(task).to_dict())
    except ValueError:  # "Unsupported env"
        return None


@functools.cache
def _suite_of() -> dict[str, ModuleType]:
    """The module that each task is in."""
    from mujoco_playground import dm_control_suite, locomotion, manipulation

    return {
        task: suite
        for suite in (dm_control_suite, locomotion, manipulation)
        for task in suite.ALL_ENVS
    }
