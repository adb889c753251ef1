"""The static settings of a run, and the default values of its hyperparameters."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np

from rpojax.hyperparams import HYPERPARAMETER_RANGES, HyperParams
from rpojax.network_config import NetworkConfig
from rpojax.types import Array
from rpojax.validation import (
    Interval,
    check_bool,
    check_choice,
    check_known,
    nearest_divisor,
    number_in,
    whole_number,
)

ActionTransform: TypeAlias = Literal["clip", "rescale"]
AdvantageNormalization: TypeAlias = Literal["minibatch", "batch", "none"]
NamedSchedule: TypeAlias = Literal["constant", "linear", "kl_adaptive"]
Schedule: TypeAlias = Callable[[Array], Array]
RewardShaper: TypeAlias = Callable[[Array, Array, int], Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What a run is: everything that fixes a shape or a branch of the compiled program.

    The hyperparameters among the fields (see `HyperParams`) are default values that
    `hyperparams()` turns into a traced pytree; all else is static. Hashable, and checked in full
    when made: a ValueError names the field, the value, what is allowed and the remedy. Whatever
    depends on the environment (its name, its action space) is checked by `make_train`.

    The defaults are those of CleanRL's RPO, apart from 500k steps in place of 8M, 64 x 128 of them
    for each update in place of 1 x 2048, the perturbation while collecting (`perturb_rollouts`),
    and bootstrapping where an episode is only cut off (`time_limit_bootstrap`).
    """

    env: Any = "Pendulum-v1"
    """Name of an environment, an object with gymnax's interface, or an `rpojax.envs.Env`."""
    total_timesteps: int = 500_000
    """Environment steps of the whole run, over all environments."""
    num_envs: int = 64
    """Environments that run side by side."""
    num_steps: int = 128
    """Steps in each environment between two updates."""
    update_epochs: int = 10
    """Passes over the collected steps in each update."""
    num_minibatches: int = 32
    """Gradient steps in each pass; divides num_envs * num_steps, or, of a recurrent network, the
    number of its sequences."""
    sequence_length: int | None = None
    """Steps through which the gradient of a recurrent network flows back; divides num_steps.
    None: all of a rollout."""
    network: Any = dataclasses.field(default_factory=NetworkConfig)
    """`NetworkConfig`, a flax.linen module, or a function of `nnx.Rngs` that makes an nnx module;
    a module maps obs [..., *obs.shape] to (mean [..., A], log_std [..., A] or [A], value [...])."""

    learning_rate: float = 3e-4
    """Adam's step size."""
    alpha: float = 0.5
    """Half-width of the uniform perturbation of the policy's mean; 0 is PPO."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """GAE's lambda."""
    clip_eps: float = 0.2
    """The probability ratio is clipped to [1 - clip_eps, 1 + clip_eps]."""
    value_clip: float = 0.2
    """Largest move of a value prediction in one update, if clip_value_loss."""
    vf_coef: float = 0.5
    """Weight of the value loss, E[(V - target)^2] / 2."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: float = 0.5
    """The gradient is scaled to at most this global norm; 0 = off."""
    kl_threshold: float = 0.0
    """An update stops once the unperturbed KL passes this; 0 = off."""
    kl_target: float = 0.008
    """The unperturbed KL that lr_schedule = "kl_adaptive" aims at."""

    lr_schedule: NamedSchedule | Schedule = "linear"
    """"constant"; "linear" to 0 over the run; "kl_adaptive", by 1.5 up or down after each epoch;
    or a factor on learning_rate: any optax schedule of the number of updates done, near 1."""
    adam_eps: float = 1e-5
    """Adam's epsilon."""
    clip_value_loss: bool = True
    """Keep value predictions within value_clip of the old ones in the loss."""
    advantage_normalization: AdvantageNormalization = "minibatch"
    """Over what advantages are standardised: each "minibatch", the whole "batch", or "none"."""
    normalize_observations: bool = True
    """Standardise observations with running statistics."""
    normalize_rewards: bool = True
    """Divide rewards by the running std of the discounted return."""
    normalize_values: bool = False
    """Let the critic predict standardised returns."""
    observation_clip: float = 10.0
    """Bound on normalised observations."""
    reward_clip: float = 10.0
    """Bound on scaled rewards."""
    perturb_rollouts: bool = True
    """True: act with the perturbed policy too, as skrl does; False: perturb in the update only,
    as in the paper's Algorithm 1 and in CleanRL."""
    action_transform: ActionTransform = "clip"
    """"clip" actions to the environment's bounds, or "rescale" [-1, 1] onto them, then clip."""
    time_limit_bootstrap: bool = True
    """True: an episode that was cut off goes on in V(final observation); False: cut off is ended,
    as in CleanRL."""
    random_timesteps: int = 0
    """First steps, taken with uniform actions; they feed the statistics only."""
    learning_starts: int = 0
    """First steps that are collected without an update."""
    reward_shaper: RewardShaper | None = None
    """Pure function (reward [B], timestep [], timesteps) -> reward [B], before any scaling; a
    timestep counts one step of all environments. Metrics keep the environment's own reward."""

    def __post_init__(self) -> None:
        for name in (
            "total_timesteps",
            "num_envs",
            "num_steps",
            "update_epochs",
            "num_minibatches",
        ):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        for name in ("random_timesteps", "learning_starts"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=0))
        positive = Interval(0.0, low_allowed=False)
        constants = dict.fromkeys(("adam_eps", "observation_clip", "reward_clip"), positive)
        for name, allowed in (HYPERPARAMETER_RANGES | constants).items():
            object.__setattr__(self, name, number_in(name, getattr(self, name), allowed))
        for name in (
            "clip_value_loss",
            "normalize_observations",
            "normalize_rewards",
            "normalize_values",
            "perturb_rollouts",
            "time_limit_bootstrap",
        ):
            check_bool(name, getattr(self, name))
        check_choice(
            "advantage_normalization",
            self.advantage_normalization,
            get_args(AdvantageNormalization),
        )
        check_choice("action_transform", self.action_transform, get_args(ActionTransform))
        if self.reward_shaper is not None and not callable(self.reward_shaper):
            raise ValueError(
                f"reward_shaper = {self.reward_shaper!r} is not callable; give a function "
                "(reward, timestep, timesteps) -> reward, or None"
            )
        if self.sequence_length is not None:
            length = whole_number("sequence_length", self.sequence_length)
            object.__setattr__(self, "sequence_length", length)
        self._check_batch()
        if isinstance(self.network, NetworkConfig):
            self.check_sequences(recurrent=self.network.cell is not None)
        self._check_schedule()

    @property
    def batch_size(self) -> int:
        """Environment steps in one update, num_envs * num_steps."""
        return self.num_envs * self.num_steps

    @property
    def minibatch_size(self) -> int:
        """Samples in one gradient step."""
        return self.batch_size // self.num_minibatches

    @property
    def num_updates(self) -> int:
        """Updates in the run: as many whole ones as fit into total_timesteps."""
        return self.total_timesteps // self.batch_size

    @property
    def actual_timesteps(self) -> int:
        """Environment steps that will really run, num_updates * batch_size."""
        return self.num_updates * self.batch_size

    @property
    def steps_per_sequence(self) -> int:
        """L, the steps through which a recurrent network's gradient flows back."""
        return self.sequence_length or self.num_steps

    def check_sequences(self, recurrent: bool) -> None:
        """Raise ValueError where sequences do not go with the network or the minibatches."""
        if not recurrent:
            if self.sequence_length is not None:
                raise ValueError(
                    f"sequence_length = {self.sequence_length} is for recurrent networks, and "
                    "this one has no memory; leave it None, or give NetworkConfig a cell"
                )
            return
        length = self.steps_per_sequence
        if self.num_steps % length:
            raise ValueError(
                f"num_steps = {self.num_steps} is not divisible by sequence_length = {length}; "
                f"the nearest that divides it is {nearest_divisor(self.num_steps, length)}"
            )
        sequences = self.batch_size // length
        if sequences % self.num_minibatches:
            nearest = nearest_divisor(sequences, self.num_minibatches)
            raise ValueError(
                f"num_envs * num_steps / sequence_length = {self.num_envs} * {self.num_steps} / "
                f"{length} = {sequences} sequences are not divisible by num_minibatches = "
                f"{self.num_minibatches}; the nearest that divides them is num_minibatches = "
                f"{nearest}"
            )

    def hyperparams(self) -> HyperParams:
        """The traced settings at this config's values, each f32[]."""
        values = {name: jnp.float32(getattr(self, name)) for name in HYPERPARAMETER_RANGES}
        return HyperParams(**values)

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed, checked anew."""
        for name in changes:
            check_known(name, _names(self), "setting")
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_skrl(cls, settings: Any, **changes: Any) -> "Config":
        """The settings of skrl's RPO, from `RPO_DEFAULT_CONFIG` (1.x) or `RPO_CFG` (2.x).

        What skrl keeps elsewhere comes as changes: env, num_envs and total_timesteps, which is
        skrl's timesteps * num_envs; and so does what is to differ. Keys left out have skrl's own
        defaults. random_timesteps and learning_starts count a step of all environments as one in
        skrl; here they become steps over all environments. "experiment" is checked and is not
        part of a config: `rpojax.compat.fit_arguments` reads it.

        Like in skrl, advantages are standardised over the whole rollout, rewards are not scaled,
        the perturbation acts while collecting, and the value loss has no factor 1/2 (vf_coef is
        2 * value_loss_scale). Better than in skrl, and so not the same: KLs are measured without
        the perturbation; kl_threshold ends an update, not an epoch; time_limit_bootstrap takes
        the value of the final observation, and without it an episode that was cut off ends;
        clip_predicted_values takes the larger of the two losses; normalised values are not
        clipped; one optimiser clips the gradient of policy and value together, as skrl's PyTorch
        version does. The networks are not in skrl's settings: give `network`.

        Args:
            settings: a mapping with any of skrl's keys, or skrl 2's dataclass; not changed.
                Classes may be given by name.
            changes: fields of `Config`, which win over skrl's.

        Raises:
            ValueError: an unknown key, with the nearest known one; a value that has no equal
                here, with what to give instead; as `Config`.
        """
        for name in changes:
            check_known(name, _names(cls), "setting")
        num_envs = whole_number("num_envs", changes.get("num_envs", cls.num_envs))
        from rpojax.compat.skrl.fields import fields_from_skrl

        return cls(**fields_from_skrl(settings, changes, num_envs), **changes)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """The settings of a plain dictionary, such as `to_dict` gives or a file holds.

        Our names, as they are or in capitals, and PureJaxRL's: LR, ENV_NAME, ANNEAL_LR,
        NORMALIZE_ENV (observations and rewards), ACTIVATION (of the network), and CLIP_EPS, which
        sets value_clip too. NUM_UPDATES and MINIBATCH_SIZE are computed anew, and DEBUG changes
        nothing: `fit` tells how a run goes. Keys left out have our defaults, so that PureJaxRL's
        PPO also needs alpha = 0 and time_limit_bootstrap = False. `network` may be a dictionary
        of `NetworkConfig`'s fields.

        Raises:
            ValueError: an unknown key, with the nearest known one; a field set twice; as `Config`.
        """
        from rpojax.compat.purejaxrl import fields_from_dict

        fields = fields_from_dict(settings, _names(cls))
        network = fields.get("network")
        if isinstance(network, Mapping):
            for name in network:
                check_known(str(name), _names(NetworkConfig), "setting of the network")
            fields["network"] = NetworkConfig(**network)
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """All settings as numbers, text, lists and dictionaries, for JSON, YAML and the like.

        `Config.from_dict(cfg.to_dict()) == cfg`.

        Raises:
            ValueError: a setting is an object or a function: an environment, a module, an optax
                schedule, a reward shaper.
        """
        from rpojax.plain import config_to_plain, objects_in

        plain = config_to_plain(self)
        for name, text in objects_in(plain).items():
            raise ValueError(
                f"{name} = {text} is an object, which a dictionary of plain settings cannot hold; "
                "replace it by a plain value first, and pass it again to the Config that is made "
                "from the dictionary"
            )
        return plain

    def _check_batch(self) -> None:
        product = f"num_envs * num_steps = {self.num_envs} * {self.num_steps} = {self.batch_size}"
        if self.batch_size % self.num_minibatches:
            nearest = nearest_divisor(self.batch_size, self.num_minibatches)
            raise ValueError(
                f"{product} is not divisible by num_minibatches = {self.num_minibatches}; "
                f"the nearest that divides it is num_minibatches = {nearest}"
            )
        if self.total_timesteps < self.batch_size:
            raise ValueError(
                f"total_timesteps = {self.total_timesteps} is less than one update, {product}; "
                f"give total_timesteps of at least {self.batch_size}, or smaller num_envs or "
                "num_steps"
            )
        for name in ("random_timesteps", "learning_starts"):
            value = getattr(self, name)
            if value % self.batch_size:
                below = value // self.batch_size * self.batch_size
                raise ValueError(
                    f"{name} = {value} is not a whole number of rollouts of {product}; "
                    f"give {below} or {below + self.batch_size}"
                )
        warm_up = max(self.random_timesteps, self.learning_starts)
        if warm_up >= self.actual_timesteps:
            raise ValueError(
                f"random_timesteps = {self.random_timesteps} and learning_starts = "
                f"{self.learning_starts} leave nothing of the run's {self.actual_timesteps} steps "
                "to learn from; give a larger total_timesteps"
            )

    def _check_schedule(self) -> None:
        if not callable(self.lr_schedule):
            check_choice(
                "lr_schedule",
                self.lr_schedule,
                get_args(NamedSchedule),
                also=" or an optax schedule",
            )
            return
        updates = np.linspace(0, self.num_updates - 1, 9).astype(np.int32)
        try:
            factors = np.asarray([self.lr_schedule(jnp.asarray(update)) for update in updates])
            if factors.shape != updates.shape or not (np.isfinite(factors) & (factors >= 0)).all():
                raise ValueError(f"it gives {factors}")
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"lr_schedule = {self.lr_schedule!r} is not a schedule: {error}; give a function "
                "of the number of updates done, i32[], to a finite factor of at least 0"
            ) from error
        if factors.max() < 0.05:
            raise ValueError(
                f"lr_schedule is a factor on learning_rate = {self.learning_rate:g}, and yours is "
                f"never above {factors.max():g}; start it from 1, as in "
                "optax.cosine_decay_schedule(1.0, decay_steps=cfg.num_updates)"
            )


def _names(settings: Any) -> list[str]:
    """The fields of a dataclass or of an instance of one."""
    return [field.name for field in dataclasses.fields(settings)]
