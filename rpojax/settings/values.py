"""The values of a `Config`'s fields: named choices, functions of users, and checks of both."""

import dataclasses
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Hashable
from typing import Any, Literal, Protocol, TypeAlias

import optax
from jax.typing import ArrayLike

from rpojax.settings.declared import Check
from rpojax.settings.network_config import NetworkConfig
from rpojax.types import Array, PyTree
from rpojax.validation import (
    as_mapping,
    as_scalar,
    as_sequence,
    as_text,
    check_bool,
    check_choice,
    check_function,
    show,
)

ActionTransform: TypeAlias = Literal["clip", "rescale"]
AdvantageNormalization: TypeAlias = Literal["minibatch", "batch", "none"]
ResetMode: TypeAlias = Literal["auto", "exact", "pool"]
NamedSchedule: TypeAlias = Literal["constant", "linear", "kl_adaptive"]
NamedAlphaSchedule: TypeAlias = Literal["constant", "linear"]
NamedSurrogate: TypeAlias = Literal["clip", "spo"]
NamedOptimizer: TypeAlias = Literal["adam", "adamw", "muon"]
NamedPerturbation: TypeAlias = Literal["uniform", "gaussian"]
AgentsAtOnce: TypeAlias = Literal["auto", "all"]

_IMPORT_PATH = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


class ImportPath(str):
    """The path "module:object" of a function or another object, which is imported when it is used.

    Settings that are given by it can be written to files, and read where they cannot be imported.
    """

    @property
    def object(self) -> Any:
        """What is there; ValueError where there is nothing."""
        try:
            return pkgutil.resolve_name(self)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{str(self)!r} cannot be imported: {error}; give module:object, of a module that "
                "Python finds, as the command does in the directory in which it is started"
            ) from error

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the function that is there."""
        return self.object(*args, **named)


def import_path(value: Any) -> ImportPath | None:
    """Text of the form "module:object"; None for all else."""
    named = isinstance(value, str) and _IMPORT_PATH.fullmatch(value)
    return ImportPath(as_text(value)) if named else None


class Schedule(Protocol):
    """A factor on the learning rate or on alpha."""

    def __call__(self, update_count: Array, /) -> ArrayLike:
        """Return the factor, [], after a number of updates, i32[]."""


class OptimizerFunction(Protocol):
    """An optimiser, such as `optax.lion`."""

    def __call__(self, learning_rate: Array, /) -> optax.GradientTransformation:
        """Return what turns gradients into steps, at a rate [] that is traced."""


class RewardShaper(Protocol):
    """A change of the rewards before they are scaled."""

    def __call__(self, reward: Array, timestep: Array, timesteps: int, /) -> Array:
        """Return the shaped rewards [B].

        Args:
            reward: [B] the environment's own.
            timestep: i32[] steps of all environments since the start of the run.
            timesteps: such steps in the whole run.
        """


class Surrogate(Protocol):
    """The loss of the policy."""

    def __call__(self, ratio: Array, advantage: Array, clip_eps: Array, /) -> Array:
        """Return what is minimised, [].

        Args:
            ratio: [N] probability of the action, new over old; advantage: [N]; clip_eps: [].
        """


class PerturbationNoise(Protocol):
    """The distribution of the perturbation of the policy's mean."""

    def __call__(self, uniform: Array, /) -> Array:
        """Return noise [...] of independent numbers from U(-1, 1), which alpha will scale."""


@dataclasses.dataclass(frozen=True)
class Symmetry:
    """A mirror symmetry of an environment, such as left and right of a legged robot.

    In the mirrored observation, the mirrored action leads to what is the mirror image of what the
    action leads to here, with the same reward. `make_train` checks that each function undoes
    itself. Two uses, as in rsl_rl (Mittal et al. 2024, Symmetry Considerations for Learning Task
    Symmetric Robot Policies, arXiv 2403.04359):

    * `augment`: each minibatch is joined by its mirror image, with the same old log-probability,
      advantage and target, for policy and critic;
    * the hyperparameter `mirror_coef`: a loss, the mean of
      (action(mirror_obs(obs)) - mirror_action(action(obs)))^2 over samples and action dimensions,
      of actions without noise, through which no gradient reaches action(obs).

    Attributes:
        mirror_obs: pure, of one observation as the environment gives it, to one of the same
            structure, shapes and dtypes.
        mirror_action: pure, of one action f32[A] as the policy samples it, before bounds.
        augment: whether minibatches are joined by their mirror images.
    """

    mirror_obs: Callable[[PyTree], PyTree]
    mirror_action: Callable[[Array], Array]
    augment: bool = True


def as_symmetry(name: str, value: Any) -> Any:
    """A `Symmetry` of two functions, or the path of one."""
    if path := import_path(value):
        return path
    if not isinstance(value, Symmetry):
        raise ValueError(
            f"{name} = {show(value)} is not an rpojax.Symmetry; give "
            "Symmetry(mirror_obs, mirror_action), the module:object of one, or None"
        )
    for field in ("mirror_obs", "mirror_action"):
        check_function(f"{name}.{field}", getattr(value, field))
    check_bool(f"{name}.augment", value.augment)
    return value


def function_or(names: Collection[str], function: str) -> Check:
    """One of `names`, or a function or its path; `make_train` checks what it returns."""
    also = f" or {function}, itself or as module:function"

    def convert(name: str, value: Any) -> Any:
        path = import_path(value)
        return path or (value if callable(value) else check_choice(name, value, names, also))

    return Check(convert)


def as_reward_shaper(name: str, value: Any) -> Any:
    """A function of three arguments by position, or its path."""
    path = import_path(value)
    if path:
        return path
    remedy = "give a function (reward, timestep, timesteps) -> reward, its module:function, or None"
    if not callable(value):
        raise ValueError(f"{name} = {show(value)} is not callable; {remedy}")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # some builtins have none
        return value
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise ValueError(
            f"{name} = {show(value)} takes {signature}, which is not called with three arguments "
            f"by position ({error}); {remedy}"
        ) from None
    return value


def as_network(name: str, value: Any) -> Any:
    """A network, as it is, by its path, or made of a mapping of `NetworkConfig`'s fields."""
    path = import_path(value)
    if path:
        return path
    fields = None if callable(value) else as_mapping(value)
    if fields is None:
        return value
    return NetworkConfig(**{str(key): item for key, item in fields.items()})


def as_environment_params(name: str, value: Any) -> tuple[tuple[str, Any], ...]:
    """Sorted pairs of a mapping, or pairs, of names with plain values."""
    given = as_mapping(value)
    if given is None:
        try:
            given = dict(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} = {show(value)} is not a dictionary; give names of the environment's "
                "parameters with their values, such as {'g': 9.81}"
            ) from None
    params = {}
    for key, item in given.items():
        if not isinstance(key, str):
            raise ValueError(f"{name} has the name {show(key)}; give names as text")
        items = as_sequence(item)
        params[as_text(key)] = (
            as_scalar(f"{name}.{key}", item)
            if items is None
            else tuple(as_scalar(f"{name}.{key}", each) for each in items)
        )
    return tuple(sorted(params.items()))


def identity_unless_hashable(value: Any) -> Hashable:
    """The value itself; for an unhashable object, a stand-in that equals no other object's."""
    try:
        hash(value)
    except TypeError:
        return ("not hashable", id(value))
    return value
