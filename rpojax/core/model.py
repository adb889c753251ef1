"""The environment and the network of a config, built once and passed on."""

from typing import Any, Literal, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from rpojax import envs
from rpojax.core.beta import BETA
from rpojax.core.distribution import GAUSSIAN, TANH_GAUSSIAN, Distribution
from rpojax.envs import Env
from rpojax.networks import ActorCritic, make_network
from rpojax.settings.config import Config
from rpojax.trees import batched
from rpojax.types import PyTree

DISTRIBUTIONS = {"gaussian": GAUSSIAN, "tanh_gaussian": TANH_GAUSSIAN, "beta": BETA}
"""By the names of `NetworkConfig.distribution`."""


class Model(NamedTuple):
    """A config with the environment and the network that it names."""

    cfg: Config
    env: Env
    network: ActorCritic

    @property
    def distribution(self) -> Distribution:
        """What the network's outputs parametrise."""
        return DISTRIBUTIONS[self.network.distribution]

    @property
    def on_one_device(self) -> "Model":
        """The model without `devices_per_agent`: for shapes, which are those of all devices."""
        return self._replace(cfg=self.cfg.replace(devices_per_agent=1))


def make_model(cfg: Config, env: Env | None = None) -> Model:
    """Build the environment and the network of a config, and check that they fit together.

    Building can be slow, since some environments load a physics model. Each public function
    builds one model and passes it on.

    Args:
        cfg: the config.
        env: the environment, if it is there already; None to make the one that `cfg` names.

    Raises:
        ValueError: `cfg` is not a `Config`; the environment is unknown, its actions are not
            continuous, or it lacks bounds that a setting needs; or the network does not fit it.
    """
    check_config(cfg)
    if env is None:
        env = envs.make(cfg.env, **dict(cfg.env_params))
    network = make_network(cfg.network, env, seen_obs(cfg, env))
    _check_bounds(cfg, env)
    cfg.check_sequences(network.recurrent)
    return Model(cfg, env, network)


def seen_obs(cfg: Config, env: Env) -> PyTree:
    """What the network sees of one observation, as `acting.policy_obs` gives it: shapes, dtypes."""
    if not cfg.normalize_observations:
        return env.obs
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float32), env.obs)


def params_used(model: Model, part: Literal["policy", "value"]) -> PyTree:
    """Which parameters mean and standard deviation, or the value, depend on: pytree of bool."""
    env, network = model.env, model.network

    def outputs(params: PyTree, obs: PyTree) -> PyTree:
        made = network.apply(params, obs, network.initial_carry((1,)))[0]
        return made.value if part == "value" else (made.mean, made.log_std)

    params = jax.eval_shape(lambda: network.init(jax.random.key(0)))
    traced = jax.export.export(jax.jit(outputs))(params, batched(seen_obs(model.cfg, env), 1))
    used = set(traced.module_kept_var_idx)  # jit drops the arguments that no output needs
    leaves, structure = jax.tree.flatten(params)
    return jax.tree.unflatten(structure, [index in used for index in range(len(leaves))])


def check_config(cfg: Any) -> None:
    """Raise ValueError unless `cfg` is a `Config`."""
    if not isinstance(cfg, Config):
        raise ValueError(
            f"cfg = {cfg!r} is not an rpojax.Config; make one with rpojax.Config(...), or with "
            "rpojax.Config.from_dict(settings) from a dictionary"
        )


def _check_bounds(cfg: Config, env: Env) -> None:
    """Raise ValueError where a setting needs bounds that the environment does not have."""
    bounded = bool(np.isfinite([env.action_low, env.action_high]).all())
    needs_bounds = {
        f"action_transform = {cfg.action_transform!r}": cfg.action_transform == "rescale",
        f"random_timesteps = {cfg.random_timesteps}": cfg.random_timesteps > 0,
    }
    for setting, needed in needs_bounds.items():
        if needed and not bounded:
            raise ValueError(
                f"{setting} needs finite action bounds, and {env.name!r} has "
                f"[{env.action_low}, {env.action_high}]; use action_transform = 'clip' and "
                "random_timesteps = 0, or give the environment bounds"
            )
