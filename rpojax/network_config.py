"""The settings of the built-in network."""

import dataclasses
from typing import Any, Literal, TypeAlias, get_args

from rpojax.validation import Interval, check_bool, check_choice, number_in, whole_number

Activation: TypeAlias = Literal[
    "tanh",
    "relu",
    "elu",
    "gelu",
    "silu",
    "leaky_relu",
    "selu",
    "mish",
    "sigmoid",
    "softplus",
    "soft_sign",
]
RecurrentCell: TypeAlias = Literal["rnn", "gru", "lstm"]
ComputeDtype: TypeAlias = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The built-in network: an actor and a critic, apart or on one torso.

    A torso is a multilayer perceptron, and behind it recurrent layers if `cell` names their kind.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the perceptron's hidden layers; () for none."""
    activation: Activation = "tanh"
    """Nonlinearity after each of them."""
    cell: RecurrentCell | None = None
    """Recurrent layers behind the perceptron: "rnn", "gru" or "lstm"; None: no memory."""
    cell_sizes: tuple[int, ...] = (64,)
    """Widths of the recurrent layers, if there is a cell."""
    shared_torso: bool = False
    """True: actor and critic share all layers but the last; False: each has its own."""
    actor_keys: tuple[str, ...] | None = None
    """Entries of a Dict observation that the actor sees; None for all."""
    critic_keys: tuple[str, ...] | None = None
    """Entries of a Dict observation that the critic sees; None for all."""
    log_std_init: float = 0.0
    """Where the logarithm of the policy's standard deviation starts."""
    log_std_min: float = -20.0
    """Bound below which it is clipped."""
    log_std_max: float = 2.0
    """Bound above which it is clipped."""
    state_dependent_log_std: bool = False
    """True: it is an output of the actor; False: one free parameter for each action."""
    dtype: ComputeDtype = "float32"
    """Of products and hidden layers; "bfloat16" keeps parameters, cells and outputs float32."""

    def __post_init__(self) -> None:
        for name in ("hidden_sizes", "cell_sizes"):
            object.__setattr__(self, name, _widths(name, getattr(self, name)))
        check_choice("activation", self.activation, get_args(Activation))
        check_choice("dtype", self.dtype, get_args(ComputeDtype))
        check_bool("shared_torso", self.shared_torso)
        check_bool("state_dependent_log_std", self.state_dependent_log_std)
        if self.cell is not None:
            check_choice("cell", self.cell, get_args(RecurrentCell), also=", or None")
            if not self.cell_sizes:
                raise ValueError(
                    f"cell_sizes = () leaves cell = {self.cell!r} without layers; give e.g. (64,), "
                    "or cell = None"
                )
        for name in ("actor_keys", "critic_keys"):
            object.__setattr__(self, name, _keys(name, getattr(self, name)))
        if self.shared_torso and self.actor_keys != self.critic_keys:
            raise ValueError(
                f"actor_keys = {self.actor_keys!r} and critic_keys = {self.critic_keys!r} cannot "
                "differ on one torso; give the same, or shared_torso = False"
            )
        for name in ("log_std_min", "log_std_max"):
            object.__setattr__(self, name, number_in(name, getattr(self, name), Interval(-20, 20)))
        if self.log_std_min >= self.log_std_max:
            raise ValueError(
                f"log_std_min = {self.log_std_min:g} is not below log_std_max = "
                f"{self.log_std_max:g}; give bounds with room between them"
            )
        bounds = Interval(self.log_std_min, self.log_std_max)
        object.__setattr__(
            self, "log_std_init", number_in("log_std_init", self.log_std_init, bounds)
        )


def _widths(name: str, sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, tuple | list):
        raise ValueError(f"{name} = {sizes!r} is not a tuple of layer widths; give e.g. (64, 64)")
    return tuple(whole_number(name, size) for size in sizes)


def _keys(name: str, keys: Any) -> tuple[str, ...] | None:
    if keys is None:
        return None
    if not isinstance(keys, tuple | list) or not keys or not all(isinstance(k, str) for k in keys):
        raise ValueError(
            f"{name} = {keys!r} is not a tuple of names; give entries of the observation, such as "
            '("position",), or None for all'
        )
    return tuple(sorted(set(keys)))
