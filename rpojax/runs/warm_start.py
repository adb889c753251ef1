"""Begin a run from trained agents."""

import warnings
from collections.abc import Collection, Sequence
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from rpojax.runs.trained_run import TrainedRun
from rpojax.settings.config import Config
from rpojax.settings.network_config import NetworkConfig
from rpojax.trees import same_avals
from rpojax.types import PyTree, TrainResult, TrainState
from rpojax.validation import check_choice

InitialPart: TypeAlias = Literal["params", "statistics", "optimizer"]
INITIAL_PARTS: tuple[InitialPart, ...] = ("params", "statistics")
"""The default: parameters act as they did only with the statistics that they were trained with."""

FIELDS: dict[str, tuple[str, ...]] = {
    "params": ("params",),
    "statistics": ("obs_stats", "reward_stats", "value_stats"),
    "optimizer": ("opt_state", "learning_rate"),
}
_SETTINGS = {
    "obs_stats": "normalize_observations",
    "reward_stats": "normalize_rewards",
    "value_stats": "normalize_values",
}
_ACTING = ("activation", "distribution", "std_parameterization", "log_std_min", "log_std_max")
"""Settings of a network that change what it does, and no shape."""


def warm_started(
    cfg: Config,
    state: TrainState,
    initial: TrainResult | TrainedRun,
    parts: Collection[InitialPart],
    num_agents: int,
) -> TrainState:
    """The first state of a run, with parts taken from trained agents.

    Warns where the agents will not act as they did: of statistics that only one of the two runs
    has, and of other settings than those of a `TrainedRun`.

    Args:
        cfg: of the run.
        state: of N agents, [N, ...], as `init` made it.
        initial: of N agents, or of one for all.
        parts: what to take over; see `rpojax.fit`.
        num_agents: N.

    Raises:
        ValueError: another kind of `initial`; an unknown part, another number of agents, or
            parameters or statistics of other shapes, with the names of both.
    """
    checked = _checked(parts)
    if isinstance(initial, TrainedRun):
        trained = initial.result.state if "optimizer" in checked else initial.policies
        _warn_of_other_settings(cfg, initial.cfg)
    elif isinstance(initial, TrainResult):
        trained = initial.state
    else:
        raise ValueError(
            f"initial = {type(initial).__name__} is neither a TrainResult nor a run from "
            "rpojax.load; give one of them"
        )
    count = trained.update_count.shape
    if count not in ((), (1,), (num_agents,)):
        raise ValueError(
            f"initial holds agents of shape {count}, and the run has {num_agents}; give as many, "
            "or one for all, such as result.select(0)"
        )
    changes = {}
    for part in checked:
        for name in FIELDS[part]:
            fresh, old = getattr(state, name), getattr(trained, name)
            if name in _SETTINGS and (fresh is None) != (old is None):
                _warn(f"{_SETTINGS[name]} = {fresh is not None}", old is not None)
                continue
            rows = jax.tree.map(lambda leaf: _for_each_agent(leaf, count, num_agents), old)
            _require_same_shapes(part, name, fresh, rows)
            changes[name] = rows
    return state.replace(**changes)


def _checked(parts: Any) -> Sequence[str]:
    if isinstance(parts, str) or not isinstance(parts, Collection) or not parts:
        raise ValueError(
            f"initial_parts = {parts!r} is not a list of parts; give some of "
            f"{', '.join(map(repr, FIELDS))}"
        )
    for part in parts:
        check_choice("initial_parts", part, get_args(InitialPart))
    return list(parts)


def _warn_of_other_settings(cfg: Config, trained: Config) -> None:
    """Warn of settings that change what the same parameters do."""
    pairs: list[tuple[str, Any, Any]] = [("action_transform", cfg, trained)]
    if isinstance(cfg.network, NetworkConfig) and isinstance(trained.network, NetworkConfig):
        pairs += [(name, cfg.network, trained.network) for name in _ACTING]
    for name, now, before in pairs:
        if getattr(now, name) != getattr(before, name):
            _warn(f"{name} = {getattr(now, name)!r}", getattr(before, name))


def _warn(setting: str, before: Any) -> None:
    warnings.warn(
        f"{setting}, and the agents of initial were trained with {before!r}: they do not begin as "
        "they ended",
        RuntimeWarning,
        stacklevel=5,
    )


def _for_each_agent(leaf: Any, count: tuple[int, ...], num_agents: int) -> Any:
    """A copy of a leaf, with the leading axis of N agents; the training reuses its memory."""
    leaf = jnp.array(leaf)
    one = leaf[0] if count == (1,) else leaf
    return leaf if count == (num_agents,) else jnp.broadcast_to(one, (num_agents, *one.shape))


def _require_same_shapes(part: str, name: str, fresh: PyTree, rows: PyTree) -> None:
    if not same_avals(fresh, rows):
        raise ValueError(
            f"initial_parts has {part!r}, and {name} of the trained agents is "
            f"{_shapes(rows)} where the run needs {_shapes(fresh)}; train with the same network "
            "and observations, or leave that part out"
        )


def _shapes(tree: PyTree) -> str:
    """The shapes of the leaves of N agents, without their axis."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    leaves_shown = [
        f"{jax.tree_util.keystr(path)}: {leaf.dtype}{list(leaf.shape[1:])}" for path, leaf in leaves
    ]
    return "{" + ", ".join(leaves_shown) + "}" if leaves_shown else "absent"
