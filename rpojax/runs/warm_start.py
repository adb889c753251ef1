"""Begin a run from trained agents."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from rpojax.runs.trained_run import TrainedRun
from rpojax.trees import same_avals
from rpojax.types import PyTree, TrainResult, TrainState
from rpojax.validation import check_choice

InitialPart: TypeAlias = Literal["params", "statistics", "optimizer"]
FIELDS: dict[str, tuple[str, ...]] = {
    "params": ("params",),
    "statistics": ("obs_stats", "reward_stats", "value_stats"),
    "optimizer": ("opt_state", "learning_rate"),
}


def warm_started(
    state: TrainState,
    initial: TrainResult | TrainedRun,
    parts: Collection[InitialPart],
    num_agents: int,
) -> TrainState:
    """The first state of a run, with parts taken from trained agents.

    Args:
        state: of N agents, [N, ...], as `init` made it.
        initial: of N agents, or of one for all.
        parts: what to take over; see `rpojax.fit`.
        num_agents: N.

    Raises:
        ValueError: an unknown part, another number of agents, or parameters or statistics of other
            shapes, with the names of both.
    """
    checked = _checked(parts)
    trained = trained_state(initial, checked)
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
            rows = jax.tree.map(lambda leaf: _for_each_agent(leaf, count, num_agents), old)
            _require_same_shapes(part, name, fresh, rows)
            changes[name] = rows
    return state.replace(**changes)


def trained_state(initial: Any, parts: Collection[str] = ("optimizer",)) -> TrainState:
    """The state of what `fit` was given as `initial`, or what these parts need of it.

    Raises:
        ValueError: it is neither a `TrainResult` nor a `TrainedRun`.
    """
    if isinstance(initial, TrainedRun):
        return initial.result.state if "optimizer" in parts else initial.policies
    if not isinstance(initial, TrainResult):
        raise ValueError(
            f"initial = {type(initial).__name__} is neither a TrainResult nor a run from "
            "rpojax.load; give one of them"
        )
    return initial.state


def _checked(parts: Any) -> Sequence[str]:
    if isinstance(parts, str) or not isinstance(parts, Collection) or not parts:
        raise ValueError(
            f"initial_parts = {parts!r} is not a list of parts; give some of "
            f"{', '.join(map(repr, FIELDS))}"
        )
    for part in parts:
        check_choice("initial_parts", part, get_args(InitialPart))
    return list(parts)


def _for_each_agent(leaf: Any, count: tuple[int, ...], num_agents: int) -> Any:
    """A copy of a leaf, with the leading axis of N agents; the training reuses its memory."""
    leaf = jnp.array(leaf)
    one = leaf[0] if count == (1,) else leaf
    return leaf if count == (num_agents,) else jnp.broadcast_to(one, (num_agents, *one.shape))


def _require_same_shapes(part: str, name: str, fresh: PyTree, rows: PyTree) -> None:
    if fresh is None and rows is None:
        return
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
