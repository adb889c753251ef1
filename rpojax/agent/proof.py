"""The proof inside an export: an exported policy against the agent that it comes from."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.contract import actors_part, mean_and_std, named
from rpojax.agent.exported import ExportedPolicy
from rpojax.agent.policy import TrainedPolicy
from rpojax.core.model import Model
from rpojax.types import Key, PyTree, TrainState
from rpojax.validation import show

STEPS, EPISODES = 50, 20
SPREADS = (1.0, 1.0, 1.0, 3.0, 30.0)
"""Standard deviations of the observations, in turn; the last is beyond every usual clip."""

TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
"""Of the action range, by the dtype of a network's products: the largest difference from
`make_policy` with which a file is written. Exports for NumPy and ONNX compute in float32."""


def prove(
    model: Model, state: TrainState, policy: ExportedPolicy, key: Key | None = None
) -> dict[str, Any]:
    """Compare an exported policy with `make_policy` on 1000 observations, in 20 episodes.

    Observations are drawn by the agent's statistics, some of them far outside. Episodes begin in
    one step of ten.

    Args:
        model, state: the agent.
        policy: to be compared, of all observations or of those that the actor sees.
        key: for a stochastic policy; None for the mean actions.

    Returns:
        "observations", "largest_difference" in units of the action, "of_action_range", and
        "allowed", the most of that.

    Raises:
        ValueError: a larger difference than `TOLERANCE` allows.
    """
    rng = np.random.default_rng(0)
    obs = _observations(model, state, rng)
    reset = rng.random((STEPS, EPISODES)) < 0.1
    reference = TrainedPolicy(model, state, deterministic=key is None)
    part = named(actors_part(model, obs) if "layers" in policy.contract else obs)
    expected, found = [], []
    ours: Any = None
    theirs: Any = None
    for step in range(STEPS):
        at_step = jax.tree.map(operator.itemgetter(step), obs)
        action, ours = reference(at_step, ours, reset[step], key)
        expected.append(np.asarray(action))
        seen = {name: leaf[step] for name, leaf in part.items()}
        action, theirs = policy(seen, theirs, reset[step], key)
        found.append(action)
    wanted = np.asarray(expected)
    difference = np.abs(wanted - np.asarray(found))
    low, high = model.env.action_low, model.env.action_high
    spread = np.maximum(1.0, np.ptp(wanted, axis=(0, 1)))
    extent = np.where(np.isfinite(high - low), high - low, spread)
    share = float(np.max(difference / extent))
    allowed = TOLERANCE[getattr(model.cfg.network, "dtype", "float32")]
    if not share <= allowed:
        raise ValueError(
            f"network = {show(model.cfg.network)}: the {policy.contract['kind']} file's "
            f"actions differ from make_policy's by {share:.2g} of their range, and {allowed:g} is "
            "allowed; nothing is written. Give another format, or report it with the config"
        )
    return {
        "observations": STEPS * EPISODES,
        "largest_difference": float(np.max(difference)),
        "of_action_range": share,
        "allowed": allowed,
    }


def _observations(model: Model, state: TrainState, rng: np.random.Generator) -> PyTree:
    """Observations [STEPS, EPISODES, ...] as the environment might give them."""
    spec, stats = model.env.obs, state.obs_stats
    nothing = {
        "mean": jax.tree.map(lambda like: np.zeros(like.shape), spec),
        "std": jax.tree.map(lambda like: np.ones(like.shape), spec),
    }
    known = nothing if stats is None else mean_and_std(stats)
    scale = np.resize(SPREADS, STEPS * EPISODES).reshape(STEPS, EPISODES)

    def draw(like: Any, mean: Any, std: Any) -> np.ndarray:
        shape = (STEPS, EPISODES, *like.shape)
        spread = scale.reshape(STEPS, EPISODES, *[1] * len(like.shape))
        values = np.asarray(mean) + np.asarray(std) * spread * rng.standard_normal(shape)
        if jnp.issubdtype(like.dtype, jnp.floating):
            return values.astype(like.dtype)
        if like.dtype == bool:
            return values > 0.5
        limits = np.iinfo(like.dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(like.dtype)

    return jax.tree.map(draw, spec, known["mean"], known["std"])
