"""Every setting changes what is learnt: none is silently ignored.

One row for each field, tried by itself against the same run without it, in an environment whose
episodes terminate and are cut off.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from rpojax import Config, HyperParams, NetworkConfig
from rpojax.envs import Env, TimeStep
from rpojax.settings.declared import settings_of

LIMIT = 4


def drift(goal):
    """A point that actions push about: the nearer to the goal the better, far out is the end."""

    def observe(position, time):
        return jnp.stack([position, time.astype(jnp.float32)], axis=-1)

    def reset(keys, params):
        position = jax.vmap(lambda key: jax.random.uniform(key, minval=-1.0))(keys)
        time = jnp.zeros(position.shape, jnp.int32)
        return (position, time), observe(position, time)

    def step(keys, state, action, params):
        position, time = state[0] + action[:, 0], state[1] + 1
        obs = observe(position, time)
        terminated = jnp.abs(position) > 1.5
        truncated = (time >= LIMIT) & ~terminated
        return (position, time), TimeStep(obs, -jnp.abs(position - goal), terminated, truncated)

    return Env(
        name="drift",
        reset=reset,
        step=step,
        obs=jax.ShapeDtypeStruct((2,), jnp.float32),
        action_low=np.array([-0.5], np.float32),
        action_high=np.array([0.5], np.float32),
        max_episode_steps=LIMIT,
    )


def with_names(env):
    """The same environment with a Dict observation."""

    def name(obs):
        return {"position": obs[..., 0], "time": obs[..., 1:]}

    def reset(keys, params):
        state, obs = env.reset(keys, params)
        return state, name(obs)

    def step(keys, state, action, params):
        state, timestep = env.step(keys, state, action, params)
        return state, timestep._replace(obs=name(timestep.obs))

    obs = jax.eval_shape(name, jnp.zeros(2))
    return dataclasses.replace(env, reset=reset, step=step, obs=obs)


NAMED = with_names(drift(goal=0.5))
BASE = Config(
    env=drift(goal=0.5),
    total_timesteps=4 * 8 * 3,
    num_envs=4,
    num_steps=8,
    update_epochs=2,
    num_minibatches=2,
    network=NetworkConfig(hidden_sizes=(8,)),
    learning_rate=1e-2,
)


class Change(NamedTuple):
    """A value for the field, and what else has to be set for it to act, in both runs."""

    value: Any
    base: dict[str, Any]  # of the Config
    network: dict[str, Any]  # of its NetworkConfig


def to(value, network=None, **base):
    return Change(value, base, network or {})


def negative(values):
    """A mirror for `symmetry`, of observations and of actions."""
    return -values


CONFIG = {
    "env": to(drift(goal=-0.5)),
    "env_params": to({"g": 1.0}, env="Pendulum-v1"),
    "total_timesteps": to(4 * 8 * 2),
    "num_envs": to(8),
    "num_steps": to(4),
    "advantage_horizon": to(2),
    "update_epochs": to(1),
    "num_minibatches": to(4),
    "network": to(NetworkConfig(hidden_sizes=(4,))),
    "learning_rate": to(2e-3),
    "alpha": to(0.1),
    "alpha_end": to(1.0, alpha_schedule="linear"),
    "alpha_schedule": to("linear"),
    "gamma": to(0.5),
    "gae_lambda": to(0.5),
    "clip_eps": to(0.01),
    "value_clip": to(0.001),
    "vf_coef": to(5.0),
    "ent_coef": to(0.1),
    "mirror_coef": to(5.0, symmetry=rpojax.Symmetry(negative, negative)),
    "symmetry": to(rpojax.Symmetry(negative, negative)),
    "weight_decay": to(10.0, optimizer="adamw"),
    "max_grad_norm": to(1e-6),
    "kl_threshold": to(1e-6),
    "kl_target": to(1e-6, lr_schedule="kl_adaptive"),
    "lr_schedule": to("kl_adaptive"),
    "optimizer": to("muon"),
    "adam_eps": to(0.1),
    "surrogate": to("spo"),
    "perturbation": to("gaussian"),
    "clip_value_loss": to(False, value_clip=0.01),
    "advantage_normalization": to("batch"),
    "normalize_observations": to(False),
    "normalize_rewards": to(False),
    "normalize_values": to(True),
    "observation_clip": to(0.5),
    "reward_clip": to(0.5),
    "perturb_rollouts": to(False),
    "action_transform": to("rescale"),
    "time_limit_bootstrap": to(False),
    "resets": to("pool"),
    "reset_pool": to(2, resets="pool"),
    "random_timesteps": to(4 * 8),
    "learning_starts": to(4 * 8),
    "critic_warmup": to(4 * 8),
    "reward_scale": to(10.0, normalize_rewards=False),
    "sequence_length": to(4, network={"cell": "gru", "cell_sizes": (4,)}),
    "reward_shaper": to(lambda reward, timestep, timesteps: reward * (1 + timestep / timesteps)),
}
NETWORK = {
    "hidden_sizes": to((4,)),
    "critic_hidden_sizes": to((4,)),
    "activation": to("relu"),
    "layer_norm": to(True),
    "shared_torso": to(True),
    "cell": to("gru", network={"cell": "rnn"}),
    "cell_sizes": to((4,), network={"cell": "gru"}),
    "actor_keys": to(("position",), env=NAMED),
    "critic_keys": to(("position",), env=NAMED),
    "distribution": to("tanh_gaussian"),
    "std_parameterization": to("softplus"),
    "log_std_init": to(-1.0),
    # Where it depends on the state, it lies to both sides of its start from the first step on.
    "log_std_min": to(0.0, network={"state_dependent_log_std": True}),
    "log_std_max": to(0.0, network={"state_dependent_log_std": True}),
    "state_dependent_log_std": to(True),
    "dtype": to("bfloat16"),
}


# Hyperparameters are traced: configs that differ in nothing else share a program.
KEY = jax.random.key(0)
DEFAULTS = {name: getattr(BASE, name) for name in settings_of(HyperParams)}


def compiled(function, *args):
    return jax.jit(function).lower(*args).compile()


@functools.cache
def program(cfg):
    return compiled(rpojax.make_train(cfg), KEY, cfg.hyperparams())


@functools.cache
def run(cfg):
    """The result, in numpy arrays."""
    result = program(cfg.replace(**DEFAULTS))(KEY, cfg.hyperparams())
    assert result.finite
    return jax.device_get(result)


def learnt_the_same(a, b):
    """Whether two runs ended in the same parameters, but for rounding."""
    leaves = [jax.tree.leaves(result.state.params) for result in (a, b)]
    if [leaf.shape for leaf in leaves[0]] != [leaf.shape for leaf in leaves[1]]:
        return False
    return max(np.abs(x - y).max() for x, y in zip(*leaves, strict=True)) < 1e-4


def base_of(change):
    network = dataclasses.replace(BASE.network, **change.network)
    return BASE.replace(**{"network": network, **change.base})


@pytest.mark.parametrize("name", CONFIG)
def test_setting_changes_what_is_learnt(name):
    base = base_of(CONFIG[name])
    changed = base.replace(**{name: CONFIG[name].value})
    assert not learnt_the_same(run(changed), run(base))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORK)
def test_setting_of_the_network_changes_what_is_learnt(name):
    base = base_of(NETWORK[name])
    network = dataclasses.replace(base.network, **{name: NETWORK[name].value})
    assert not learnt_the_same(run(base.replace(network=network)), run(base))


@pytest.mark.parametrize(
    ("fields", "rows"),
    [(Config, CONFIG), (NetworkConfig, NETWORK)],
    ids=["Config", "NetworkConfig"],
)
def test_each_field_has_a_row(fields, rows):
    """But for those that say how to compute: test_devices_per_agent.py has the second."""
    names = {field.name for field in dataclasses.fields(fields)}
    assert set(rows) == names - {"agents_at_once", "devices_per_agent"}


def test_agents_at_once_changes_the_program_and_not_what_is_learnt():
    given = jax.random.split(KEY, 2), BASE.hyperparams()
    programs = [
        compiled(jax.vmap(rpojax.make_train(BASE.replace(agents_at_once=n)), (0, None)), *given)
        for n in (1, "all")
    ]
    assert learnt_the_same(*(jax.device_get(program(*given)) for program in programs))
    alone, together = (program.as_text().count(" while(") for program in programs)
    assert alone == together + 1  # over the agents


def test_each_hyperparameter_has_a_row():
    """And as it is traced, the row's run is that of the base's own program."""
    names = {field.name for field in dataclasses.fields(HyperParams)}
    assert names == set(DEFAULTS)
    assert names <= set(CONFIG)


def test_hyperparameters_of_the_config_are_the_default():
    cfg = BASE.replace(**{name: CONFIG[name].value for name in ("alpha", "gamma", "vf_coef")})
    alone = compiled(rpojax.make_train(cfg), KEY)(KEY)
    assert learnt_the_same(jax.device_get(alone), run(cfg))
    assert not learnt_the_same(run(cfg), run(BASE))


def test_setting_that_has_nothing_to_act_on_changes_nothing():
    """So the tests above can fail: there is no target without a schedule that aims at it."""
    assert BASE.lr_schedule == "linear"
    assert learnt_the_same(run(BASE.replace(kl_target=1e-6)), run(BASE))


def test_episodes_end_in_both_ways():
    """All start within reach of the limit; what ends before it has terminated."""
    length = run(BASE).metrics.episode_length
    assert length.max() == LIMIT
    assert 0.0 < length.min() < LIMIT
