"""What an environment is: a bundle of batched pure functions and a description.

The adapter of a family of environments handles all of the family's peculiarities (bounds, dtypes,
shapes, how episodes end, what a state looks like) and returns an `Env`. Nothing else in the package
depends on the family.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, SupportsIndex, TypeAlias

import numpy as np

from rpojax.types import Array, Key, PyTree
from rpojax.validation import show

Arguments = ParamSpec("Arguments")

UNBOUNDED = 1e38
"""Action bounds of this magnitude or more count as infinite: some environments give the largest
float32, 3.4e38."""

LARGEST = 1e15
"""The largest number in an observation or a reward that counts as valid. The squares of 10^8 of
them add up to less than what float32 can hold, 3e38."""

INVALID = f"NaN, infinity or a number beyond {LARGEST:g}"

MOST_FPS = 50.0
"""Frames per second that browsers and other viewers of GIFs show at most."""

Resets: TypeAlias = Literal["exact", "pool"]
"""How training starts a new episode: `Env.reset` in each step, or a choice from a pool of states
that `Env.reset` has made for the rollout. See `rpojax.core.resets`."""


class TimeStep(NamedTuple):
    """What an action led to in B environments, also where it ended the episode."""

    obs: PyTree  # [B, ...]
    reward: Array  # f32[B]
    terminated: Array  # bool[B] the episode reached a terminal state
    truncated: Array  # bool[B] the episode was cut off, by a time limit for example
    # f32[B] each, by the names of `Env.metrics`: what this step adds to the sum over the episode
    metrics: Mapping[str, Array] = {}


Params: TypeAlias = Mapping[str, Array]
"""Values f32[...] of some of `Env.params`, by name; parameters that are not given have their
defaults."""


class Reset(Protocol):
    """Starts B episodes."""

    def __call__(self, keys: Key, params: Params, /) -> tuple[PyTree, PyTree]:
        """Return (state, obs), each with a leading axis [B], for keys [B].

        `params` are those of all B environments, and may be traced; {} stands for the defaults.
        """


class Step(Protocol):
    """Advances B episodes by one step. It never starts a new one: rpojax resets."""

    def __call__(
        self, keys: Key, state: PyTree, action: Array, params: Params, /
    ) -> tuple[PyTree, TimeStep]:
        """Return (state, TimeStep) for keys [B], a state [B, ...] and actions f32[B, A].

        `params` are as for `Reset`. What it returns for a state in which the episode has ended
        already is ignored.
        """


class Restart(Protocol):
    """Starts B episodes of a training, each after another of the same environment."""

    def __call__(self, keys: Key, ended: PyTree | None, params: Params, /) -> tuple[PyTree, PyTree]:
        """Return (state, obs) as `Reset` does.

        `ended` are states [B, ...] in which episodes have ended; None at the start of a training.
        """


class Inherit(Protocol):
    """Gives states that `Reset` made what outlives an episode."""

    def __call__(self, ended: PyTree, fresh: PyTree, params: Params, /) -> PyTree:
        """Return `fresh`, [B, ...], with what the states `ended`, [B, ...], hand on to it."""


class Continuation(NamedTuple):
    """How a training goes on after an episode, where a state holds what outlives one.

    An example is the level of a curriculum. Evaluation and rendering play single episodes, which
    `Env.reset` starts.
    """

    restart: Restart  # for exact resets, and at the start of a training
    inherit: Inherit  # for resets from a pool, which `Env.reset` has made in advance


class Rekey(Protocol):
    """Gives states new random numbers, where they hold PRNG keys as plain numbers."""

    def __call__(self, keys: Key, state: PyTree, /) -> PyTree:
        """Return `state`, [B, ...], with new PRNG keys, made from `keys` [B]."""


class Push(Protocol):
    """Changes the velocities of a simulation."""

    def __call__(self, state: PyTree, velocity: Array, /) -> PyTree:
        """Return `state`, [B, ...], with the first k velocities of each increased by f32[B, k].

        They are MuJoCo's `qvel`: for a free joint, three linear and three angular ones.
        """


class Render(Protocol):
    """Shows states of an environment."""

    def __call__(self, states: PyTree, /) -> np.ndarray:
        """Return RGB pictures uint8[n, height, width, 3], one of each state.

        `states` are those of an episode in their order, [n, ...]. Leaves are NumPy arrays, except
        for typed PRNG keys, which stay JAX arrays.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Env:
    """Batched pure functions and their description. Hashable; equal only to itself.

    `step` is a step of one episode. Training starts a new one where it ends; evaluation and
    rendering do not. Action bounds are stored as float32, with infinity for magnitudes of 1e38 or
    more.

    `metrics` names what `TimeStep.metrics` holds, such as the terms of the reward. Each is summed
    over the steps of an episode, as Brax and MuJoCo Playground do, and the sums are averaged over
    the episodes that end in an update: `rpojax.Metrics.environment`. A success rate is the mean of
    a metric that is 1 in the last step of a successful episode and 0 in all other steps.

    `params` are the default values of the parameters that `reset` and `step` take as arguments,
    such as gravity or masses: `train(key, env_params={"g": 9.81})` changes one. Only changed values
    are passed, so that the defaults are constants of a compiled program: read one as
    `{**DEFAULTS, **params}["wind"]`. The description (action bounds, shapes, the time limit) must
    not depend on them.
    """

    name: str
    reset: Reset
    step: Step
    obs: PyTree  # of jax.ShapeDtypeStruct, one observation
    action_low: np.ndarray  # f32[A], -inf where unbounded
    action_high: np.ndarray  # f32[A], inf where unbounded
    max_episode_steps: int | None = None  # None: no time limit known
    metrics: tuple[str, ...] = ()
    resets: Resets = "exact"  # "pool" where a reset costs much of a step; `Config.resets` overrides
    rekey: Rekey | None = None  # needed where the state holds PRNG keys that are not typed keys
    continuation: Continuation | None = None  # None: nothing in a state outlives its episode
    push: Push | None = None  # None: not a simulation that can be pushed
    render: Render | None = None  # None: `render_episode` needs `draw`
    render_fps: float = 30.0  # frames per second: of the environment's own time, where it has one
    control_dt: float | None = None  # seconds from one action to the next; None: not known
    actuators: tuple[str, ...] = ()  # names of the action dimensions, where a robot has them
    joints: tuple[str, ...] = ()  # names of its joints, in the order of its positions
    engine: str = ""  # what simulates it, if there is a choice: "MuJoCo C", "MJX", "MuJoCo Warp"
    # Environments that a CPU computes at a time, in `reset`, `step` and wrappers that map them
    # anew; agents are computed together up to as many. None for all, and no wish about agents. See
    # `rpojax.envs.at_once` and `rpojax.programs.agents_at_once`.
    most_at_once: int | None = None
    # f32[...] default values by name of what `reset` and `step` take as `params`
    params: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict, repr=False)
    # A mujoco.MjModel, where one is simulated; it names the elements that `params` belong to.
    model: Any = dataclasses.field(default=None, repr=False)
    # Makes this environment again, for pickle; a copy with other fields has none.
    remake: "Callable[[], Env] | None" = dataclasses.field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for field in ("action_low", "action_high"):
            object.__setattr__(self, field, as_bounds(getattr(self, field)))
        params = {name: np.asarray(value, np.float32) for name, value in self.params.items()}
        object.__setattr__(self, "params", params)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle an environment that was made by name by that name, others by their functions."""
        if self.remake is None:
            return super().__reduce_ex__(protocol)
        return _call, (self.remake,)

    @property
    def action_dim(self) -> int:
        """A, the number of action dimensions."""
        return len(self.action_low)

    def restart(self, keys: Key, ended: PyTree | None, params: Params) -> tuple[PyTree, PyTree]:
        """(state, obs) of new episodes in a training; see `Restart`."""
        if self.continuation is None:
            return self.reset(keys, params)
        return self.continuation.restart(keys, ended, params)


def _call(function: Callable[[], Env]) -> Env:
    return function()


def remade_by(remake: Callable[[], Env], env: Env) -> Env:
    """`env`, which pickle makes again by calling `remake`; a copy with other fields is not."""
    object.__setattr__(env, "remake", remake)
    return env


def remakes(function: Callable[Arguments, Env]) -> Callable[Arguments, Env]:
    """Let pickle make what a wrapper returns again by calling it; a decorator."""

    @functools.wraps(function)
    def remaking(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Env:
        env = args[0] if args else kwargs.get("env")
        if not isinstance(env, Env):
            raise ValueError(
                f"env = {show(env)} is not an rpojax.envs.Env; give one, such as "
                'rpojax.envs.make("Pendulum-v1")'
            )
        remake = functools.partial(remaking, *args, **kwargs)
        return remade_by(remake, function(*args, **kwargs))

    return remaking


def is_valid(values: Any) -> Any:
    """Where numbers are neither NaN nor larger than `LARGEST`, as bool of their shape.

    Args:
        values: an array of numpy or of jax, of any dtype.
    """
    if values.dtype.kind in "biu":  # whole numbers, such as pixels, cost nothing
        return np.ones(values.shape, bool)
    with np.errstate(over="ignore"):
        return abs(values.astype(np.float32)) <= LARGEST


class Problem(ValueError):
    """What is wrong with an environment, without its name; see `naming`."""


def require(condition: Any, problem: str) -> None:
    """Raise `Problem` unless a condition holds."""
    if not condition:
        raise Problem(problem)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """While it lasts, a `Problem` becomes a ValueError that names the environment."""
    try:
        yield
    except Problem as problem:
        raise ValueError(f"environment {name!r}: {problem}") from problem


def as_bounds(bounds: Any) -> np.ndarray:
    """Bounds as float32; those that mean "none" are infinite."""
    bounds = np.asarray(bounds, np.float64)
    return np.where(np.abs(bounds) >= UNBOUNDED, np.copysign(np.inf, bounds), bounds).astype(
        np.float32
    )
