"""The settings of the built-in network."""

import dataclasses
import math
from typing import Any, Literal, TypeAlias, get_args

from rpojax.settings.declared import (
    Check,
    boolean,
    choice,
    documented,
    names_checked,
    number,
    optional,
    setting,
    store_checked,
)
from rpojax.validation import (
    Interval,
    as_sequence,
    as_text,
    check_choice,
    number_in,
    show,
    whole_number,
)

Activation: TypeAlias = Literal[
    "tanh",
    "relu",
    "elu",
    "gelu",
    "silu",
    "swish",
    "leaky_relu",
    "selu",
    "mish",
    "sigmoid",
    "softplus",
    "soft_sign",
]
RecurrentCell: TypeAlias = Literal["rnn", "gru", "lstm"]
PolicyDistribution: TypeAlias = Literal["gaussian", "tanh_gaussian", "beta"]
StdParameterization: TypeAlias = Literal["exp", "softplus"]
ComputeDtype: TypeAlias = Literal["float32", "bfloat16"]


_SAME_ACTIVATION = {"swish": "silu"}  # another name for it
_LOG_STD = Interval(-20.0, 20.0)


def _activation(name: str, value: Any) -> str:
    chosen = check_choice(name, value, get_args(Activation))
    return _SAME_ACTIVATION.get(chosen, chosen)


def _widths(name: str, sizes: Any) -> tuple[int, ...]:
    items = as_sequence(sizes)
    if items is None:
        raise ValueError(
            f"{name} = {show(sizes)} is not a tuple of layer widths; give e.g. (64, 64)"
        )
    return tuple(whole_number(name, size) for size in items)


def _keys(name: str, keys: Any) -> tuple[str, ...]:
    items = as_sequence(keys)
    if not items or not all(isinstance(key, str) for key in items):
        raise ValueError(
            f"{name} = {show(keys)} is not a tuple of names; give entries of the observation, such "
            'as ("position",), or None for all'
        )
    return tuple(sorted({as_text(key) for key in items}))


@documented
@names_checked("setting of the network")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The built-in network: an actor and a critic, separate or with a shared torso.

    A torso is a multilayer perceptron, followed by recurrent layers if `cell` names their kind.
    """

    hidden_sizes: tuple[int, ...] = setting(
        (64, 64), "Widths of the perceptron's hidden layers; () for none.", Check(_widths)
    )
    critic_hidden_sizes: tuple[int, ...] | None = setting(
        None,
        "Widths of the hidden layers of the critic's own perceptron; None: those of hidden_sizes.",
        optional(Check(_widths)),
    )
    activation: Activation = setting(
        "tanh",
        'Nonlinearity after each hidden layer; "swish" is stored as "silu", its other name.',
        Check(_activation),
    )
    layer_norm: bool = setting(
        False,
        "Normalise each hidden layer of the perceptron over its units, with a learnt scale and "
        "offset, between its product and its nonlinearity.",
        boolean(),
    )
    cell: RecurrentCell | None = setting(
        None,
        'Recurrent layers after the perceptron: "rnn", "gru" or "lstm"; None for no memory.',
        optional(choice(get_args(RecurrentCell), also=", or None")),
    )
    cell_sizes: tuple[int, ...] = setting(
        (64,), "Widths of the recurrent layers, if there is a cell.", Check(_widths)
    )
    shared_torso: bool = setting(
        False,
        "True: actor and critic share all layers but the last; False: each has its own.",
        boolean(),
    )
    actor_keys: tuple[str, ...] | None = setting(
        None,
        "Entries of a Dict observation that the actor sees; None for all.",
        optional(Check(_keys)),
    )
    critic_keys: tuple[str, ...] | None = setting(
        None,
        "Entries of a Dict observation that the critic sees; None for all.",
        optional(Check(_keys)),
    )
    distribution: PolicyDistribution = setting(
        "gaussian",
        'Distribution of actions: "gaussian"; "tanh_gaussian", squashed into (-1, 1) by tanh as '
        'in Brax, where the perturbation moves the mean before the squash; or "beta", on '
        "[-1, 1] with one mode (Chou et al. 2017), where it moves the mean and is clipped inside.",
        choice(get_args(PolicyDistribution)),
    )
    std_parameterization: StdParameterization = setting(
        "exp",
        'How a free number x becomes a standard deviation: "exp", e^x; "softplus", '
        "log(1 + e^x) + e^log_std_min, as in Brax, whose floor is 0.001.",
        choice(get_args(StdParameterization)),
    )
    log_std_init: float = setting(
        0.0,
        "Initial logarithm of the policy's standard deviation, between its bounds.",
        Check(number(Interval(-math.inf)).convert),
    )
    log_std_min: float = setting(
        -20.0, "Lower bound of the logarithm of the standard deviation.", number(_LOG_STD)
    )
    log_std_max: float = setting(
        2.0, "Upper bound of the logarithm of the standard deviation.", number(_LOG_STD)
    )
    state_dependent_log_std: bool = setting(
        False,
        "True: the standard deviation is an output of the actor; False: one free parameter for "
        "each action dimension.",
        boolean(),
    )
    dtype: ComputeDtype = setting(
        "float32",
        'Of products and hidden layers; with "bfloat16", parameters, cells and outputs stay '
        "float32.",
        choice(get_args(ComputeDtype)),
    )

    def __post_init__(self) -> None:
        store_checked(self)
        if self.cell is not None and not self.cell_sizes:
            raise ValueError(
                f"cell_sizes = () leaves cell = {self.cell!r} without layers; give e.g. (64,), "
                "or cell = None"
            )
        if self.shared_torso and self.actor_keys != self.critic_keys:
            raise ValueError(
                f"actor_keys = {self.actor_keys!r} and critic_keys = {self.critic_keys!r} cannot "
                "differ on one torso; give the same, or shared_torso = False"
            )
        if self.shared_torso and self.critic_hidden_sizes is not None:
            raise ValueError(
                f"critic_hidden_sizes = {self.critic_hidden_sizes!r} needs a torso of the critic's "
                "own; give None, or shared_torso = False"
            )
        if self.log_std_min >= self.log_std_max:
            raise ValueError(
                f"log_std_min = {self.log_std_min:g} is not below log_std_max = "
                f"{self.log_std_max:g}; give a smaller log_std_min or a larger log_std_max"
            )
        number_in("log_std_init", self.log_std_init, Interval(self.log_std_min, self.log_std_max))
        if self.std_parameterization == "softplus" and self.log_std_init == self.log_std_min:
            raise ValueError(
                f"log_std_init = {self.log_std_init:g} is log_std_min, which std_parameterization "
                '= "softplus" never reaches; give a larger log_std_init'
            )
