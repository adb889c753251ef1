"""The static settings of a run, and the default values of its hyperparameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import jax.numpy as jnp

from rpojax.presets import named
from rpojax.presets.table import Preset
from rpojax.settings.declared import (
    Check,
    anything,
    boolean,
    choice,
    documented,
    names_checked,
    number,
    optional,
    setting,
    settings_of,
    store_checked,
    whole,
    whole_or,
)
from rpojax.settings.hyperparams import HyperParams, hyperparameter
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.plain import fields_to_plain, objects_in
from rpojax.settings.sizes import MOST, RunSizes
from rpojax.settings.translation.by_name import made_from, named_fields
from rpojax.settings.translation.cleanrl import cleanrl_fields
from rpojax.settings.translation.skrl import skrl_fields
from rpojax.settings.values import (
    ActionTransform,
    AdvantageNormalization,
    AgentsAtOnce,
    NamedAlphaSchedule,
    NamedOptimizer,
    NamedPerturbation,
    NamedSchedule,
    NamedSurrogate,
    OptimizerFunction,
    PerturbationNoise,
    ResetMode,
    RewardShaper,
    Schedule,
    Surrogate,
    Symmetry,
    as_environment_params,
    as_network,
    as_reward_shaper,
    as_symmetry,
    function_or,
    identity_unless_hashable,
)
from rpojax.validation import Interval, check_known, show

_POSITIVE = number(Interval(0.0, low_allowed=False))


@documented
@names_checked("setting")
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Config(RunSizes):
    """The settings of a run.

    Some fields are hyperparameters (see `HyperParams`): default values that `hyperparams()` turns
    into a traced pytree. All others are static: they fix a shape or a branch of the program. A
    config is checked when it is made: a ValueError names the field, the value, what is allowed and
    the remedy. What depends on the environment (its name, its action space) is checked by
    `make_train`, and so are callable schedules; `Config` itself runs no JAX.

    NumPy scalars and the containers of OmegaConf and ml_collections are stored as plain values.
    Environments, networks and functions may be given by their import path, "module:object", which
    files and flags can hold too: a run with them is resumed, evaluated and exported as any other.
    Of an environment it is the object, or a function of `env_params` that makes it.

    Configs are hashable. Two are equal if all fields are equal; environments, networks and
    functions that cannot be hashed are compared by identity.

    The defaults are those of CleanRL's RPO, except for 500k steps instead of 8M, 64 x 128 of them
    per update instead of 1 x 2048, the perturbation of rollouts (`perturb_rollouts`) and
    bootstrapping at time limits (`time_limit_bootstrap`).
    """

    env: Any = setting(
        "Pendulum-v1",
        "Name of an environment, an object with gymnax's interface, or an `rpojax.envs.Env`.",
        anything(),
    )
    env_params: Any = setting(
        (),
        "Parameters of an environment given by name that differ from its own defaults, such as "
        '{"g": 9.81}; stored as pairs of name and value.',
        Check(as_environment_params),
    )
    total_timesteps: int = setting(
        500_000, "Environment steps of the whole run, over all environments.", whole()
    )
    num_envs: int = setting(64, "Environments that run side by side.", whole())
    num_steps: int = setting(128, "Steps in each environment between two updates.", whole())
    advantage_horizon: int | None = setting(
        None,
        "Steps after which advantages are cut: the last one bootstraps from the value of what "
        "follows. Divides num_steps. None: the whole rollout.",
        optional(whole()),
    )
    update_epochs: int = setting(10, "Passes over the collected steps in each update.", whole())
    num_minibatches: int = setting(
        32,
        "Gradient steps in each pass; divides num_envs * num_steps or, for a recurrent network, "
        "the number of sequences.",
        whole(),
    )
    sequence_length: int | None = setting(
        None,
        "Steps through which the gradient of a recurrent network flows back; divides num_steps. "
        "None: the whole rollout.",
        optional(whole()),
    )
    network: Any = setting(
        NetworkConfig(),
        "`NetworkConfig`, a flax.linen module, or a function of `nnx.Rngs` that makes an nnx "
        "module; a module maps obs [..., *obs.shape] to (mean [..., A], log_std [..., A] or [A], "
        "value [...]).",
        Check(as_network),
    )

    learning_rate: float = hyperparameter("learning_rate", 3e-4)
    alpha: float = hyperparameter("alpha", 0.5)
    alpha_end: float = hyperparameter("alpha_end", 0.0)
    gamma: float = hyperparameter("gamma", 0.99)
    gae_lambda: float = hyperparameter("gae_lambda", 0.95)
    clip_eps: float = hyperparameter("clip_eps", 0.2)
    value_clip: float = hyperparameter("value_clip", 0.2)
    vf_coef: float = hyperparameter("vf_coef", 0.5)
    ent_coef: float = hyperparameter("ent_coef", 0.0)
    mirror_coef: float = hyperparameter("mirror_coef", 0.0)
    weight_decay: float = hyperparameter("weight_decay", 0.0)
    max_grad_norm: float = hyperparameter("max_grad_norm", 0.5)
    kl_threshold: float = hyperparameter("kl_threshold", 0.0)
    kl_target: float = hyperparameter("kl_target", 0.008)

    lr_schedule: NamedSchedule | Schedule = setting(
        "linear",
        '"constant"; "linear" to 0 over the run; "kl_adaptive", by 1.5 up or down after each '
        "epoch; or a factor on learning_rate: any optax schedule of the number of updates done, "
        "near 1.",
        function_or(get_args(NamedSchedule), "an optax schedule"),
    )
    alpha_schedule: NamedAlphaSchedule | Schedule = setting(
        "constant",
        '"constant"; "linear" from alpha to alpha_end over the run; or a factor on alpha: any '
        "optax schedule of the number of updates done.",
        function_or(get_args(NamedAlphaSchedule), "an optax schedule"),
    )
    perturbation: NamedPerturbation | PerturbationNoise = setting(
        "uniform",
        'What the perturbation of the mean is drawn from: "uniform" from (-alpha, alpha); '
        '"gaussian" of the same standard deviation, alpha / sqrt(3); or a function of noise '
        "f32[...] from U(-1, 1) to noise, which is multiplied by alpha.",
        function_or(get_args(NamedPerturbation), "a function of uniform noise"),
    )
    surrogate: NamedSurrogate | Surrogate = setting(
        "clip",
        'Loss of the policy: PPO\'s "clip"; "spo", whose penalty leads ratios beyond clip_eps back '
        "(Xie et al. 2024, Simple Policy Optimization); or a function (ratio [N], advantage [N], "
        "clip_eps []) -> loss [].",
        function_or(get_args(NamedSurrogate), "a function (ratio, advantage, clip_eps) -> loss"),
    )
    symmetry: Symmetry | None = setting(
        None,
        "`rpojax.Symmetry(mirror_obs, mirror_action)`: minibatches are joined by their mirror "
        "images, and mirror_coef weighs a loss on what is not symmetric; or the path module:object "
        "of one. Not for recurrent networks.",
        optional(Check(as_symmetry)),
    )
    optimizer: NamedOptimizer | OptimizerFunction = setting(
        "adam",
        '"adam"; "adamw", with weight_decay; "muon" for kernels, with AdamW for all else; or a '
        "function of the learning rate, [] and traced, to an optax optimiser, such as optax.lion. "
        "The gradient is clipped before it.",
        function_or(get_args(NamedOptimizer), "a function of the rate to an optax optimiser"),
    )
    adam_eps: float = setting(1e-5, "Epsilon of a named optimizer.", _POSITIVE)
    clip_value_loss: bool = setting(
        True, "Keep value predictions within value_clip of the old ones in the loss.", boolean()
    )
    advantage_normalization: AdvantageNormalization = setting(
        "minibatch",
        'Where advantages are standardised: in each "minibatch", the whole "batch", or "none".',
        choice(get_args(AdvantageNormalization)),
    )
    normalize_observations: bool = setting(
        True, "Standardise observations with running statistics.", boolean()
    )
    normalize_rewards: bool = setting(
        True, "Divide rewards by the running std of the discounted return.", boolean()
    )
    normalize_values: bool = setting(
        False, "Let the critic predict standardised returns.", boolean()
    )
    observation_clip: float = setting(10.0, "Bound on normalised observations.", _POSITIVE)
    reward_clip: float = setting(10.0, "Bound on scaled rewards.", _POSITIVE)
    perturb_rollouts: bool = setting(
        True,
        "True: act with the perturbed policy too, as skrl does; False: perturb in the update only, "
        "as in the paper's Algorithm 1 and in CleanRL.",
        boolean(),
    )
    action_transform: ActionTransform = setting(
        "clip",
        '"clip" actions to the environment\'s bounds, or "rescale" [-1, 1] onto them, then clip.',
        choice(get_args(ActionTransform)),
    )
    time_limit_bootstrap: bool = setting(
        True,
        "True: a truncated episode is worth V(final observation) at its end; False: truncated "
        "counts as terminated, as in CleanRL.",
        boolean(),
    )
    resets: ResetMode = setting(
        "auto",
        '"exact": a reset of its own for each new episode, computed in each step; "pool": one of '
        "reset_pool initial states that are drawn afresh for each rollout, faster where a reset is "
        'slow; "auto": as the environment says, "exact" for gymnax.',
        choice(get_args(ResetMode)),
    )
    reset_pool: int = setting(
        64, 'Initial states in the pool of resets = "pool".', whole(most=MOST)
    )
    random_timesteps: int = setting(
        0, "First steps, taken with uniform actions; they feed the statistics only.", whole(0)
    )
    learning_starts: int = setting(0, "First steps that are collected without an update.", whole(0))
    critic_warmup: int = setting(
        0,
        "First steps from which only the critic learns: parameters that the policy depends on, and "
        "statistics of observations, stay as they are. For trained actors, `fit(initial=...)`, "
        "whose critic is new or knows other rewards.",
        whole(0),
    )
    reward_shaper: RewardShaper | None = setting(
        None,
        "Pure function shaper(reward [B], timestep [], timesteps) -> reward [B], applied before "
        "any scaling; a timestep counts one step of all environments, and timesteps is their "
        "number in the run. Metrics keep the environment's own reward.",
        optional(Check(as_reward_shaper)),
    )
    reward_scale: float = setting(
        1.0,
        "Constant factor on rewards, after reward_shaper, for rewards that are not normalised.",
        _POSITIVE,
    )

    agents_at_once: int | AgentsAtOnce = setting(
        "auto",
        'How many agents of a `vmap` are computed at a time: "auto", by the size of an agent, the '
        'caches and the kind of device; "all"; or a number. With 1, what an agent learns does not '
        "depend on which agents are trained beside it, or on how many devices: it is the same to "
        "the last bit, on the same kind of CPU.",
        whole_or(get_args(AgentsAtOnce)),
    )
    devices_per_agent: int = setting(
        1,
        "Devices that share each agent: its environments and minibatches are divided among them. "
        "Results differ only by rounding. Divides num_envs, and the samples (of a "
        "recurrent network, the sequences) in a minibatch.",
        whole(),
    )

    def __post_init__(self) -> None:
        store_checked(self)
        self.check_sizes()
        if self.reward_scale != 1.0 and self.normalize_rewards:
            raise ValueError(
                f"reward_scale = {self.reward_scale:g} has no effect on rewards that are divided "
                "by their own scale; give normalize_rewards = False, or reward_scale = 1"
            )
        if self.mirror_coef and self.symmetry is None:
            raise ValueError(
                f"mirror_coef = {self.mirror_coef:g} has no effect without symmetry; give "
                "symmetry = rpojax.Symmetry(mirror_obs, mirror_action), or mirror_coef = 0"
            )
        if self.weight_decay and self.optimizer not in ("adamw", "muon"):
            raise ValueError(
                f"weight_decay = {self.weight_decay:g} has no effect with optimizer = "
                f"{show(self.optimizer)}; give optimizer = 'adamw' or 'muon', or weight_decay = 0"
            )
        if isinstance(self.network, NetworkConfig):
            self.check_sequences(recurrent=self.network.cell is not None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def hyperparams(self) -> HyperParams:
        """The traced settings at this config's values, each f32[]."""
        names = settings_of(HyperParams)
        return HyperParams(**{name: jnp.float32(getattr(self, name)) for name in names})

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_skrl(cls, settings: Any, **changes: Any) -> "Config":
        """The settings of skrl's RPO, from `RPO_DEFAULT_CONFIG` (1.x) or `RPO_CFG` (2.x).

        skrl keeps the environment, the networks and the length of the run elsewhere: give env,
        network, num_envs and total_timesteps (skrl's timesteps * num_envs) as changes. Keys left
        out have the defaults of skrl 2 if there is a key or a pair that only skrl 2 takes,
        otherwise those of skrl 1. skrl counts a step of all environments as one in random_timesteps
        and learning_starts; here they become steps over all environments. "experiment" is checked,
        and `rpojax.compat.fit_arguments` reads it.

        As in skrl, advantages are standardised over the whole rollout, rewards are not scaled,
        rollouts are perturbed, and the value loss has no factor 1/2 (vf_coef is 2 *
        value_loss_scale).

        Different from skrl:

        - KLs are measured without the perturbation, and kl_threshold ends an update, not an epoch.
        - time_limit_bootstrap uses the value of the final observation; without it, a truncated
          episode counts as terminated.
        - clip_predicted_values takes the larger of the two losses.
        - Normalised values are not clipped.
        - One optimiser clips the gradient of policy and value together, as skrl's PyTorch version.

        Args:
            settings: a mapping with any of skrl's keys, or skrl 2's dataclass; not changed.
                Classes may be given by name.
            changes: fields of `Config`, which take precedence.

        Raises:
            ValueError: an unknown key, with the nearest known one; a value that has no counterpart
                here, with what to give instead; as `Config`.
        """
        return cls._translated(skrl_fields, settings, changes)

    @classmethod
    def from_cleanrl(cls, args: Any, **changes: Any) -> "Config":
        """The arguments of CleanRL's rpo_continuous_action.py.

        Arguments left out have CleanRL's defaults, except for env_id. As in CleanRL, only the
        update is perturbed, truncated episodes count as terminated, and clip_coef bounds the change
        of values too. seed, cuda, track and other arguments of a run have no effect; `fit` takes a
        seed and loggers. Gymnasium's environments cannot be trained in: give `env` among the
        changes.

        Different from CleanRL: target_kl compares with the KL of the unperturbed policies and ends
        an update in the middle of an epoch; see `Config.kl_threshold`.

        Args:
            args: a mapping, CleanRL's `Args` or an argparse namespace; not changed.
            changes: fields of `Config`, which take precedence.

        Raises:
            ValueError: an unknown argument, with the nearest known one; as `Config`.
        """
        return cls._translated(cleanrl_fields, args, changes)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any], **changes: Any) -> "Config":
        """The settings of a plain dictionary, such as `to_dict` returns or a file holds.

        Names are those of the fields, as they are or in capitals, or PureJaxRL's: LR, ENV_NAME,
        ANNEAL_LR, NORMALIZE_ENV (observations and rewards), ACTIVATION (of the network), and
        CLIP_EPS, which sets value_clip too. NUM_UPDATES and MINIBATCH_SIZE are computed from the
        others, and DEBUG has no effect: `fit` reports progress. Fields that are left out have
        their defaults: PureJaxRL's PPO also needs alpha = 0, time_limit_bootstrap = False,
        NetworkConfig(hidden_sizes=(256, 256)), and an observation_clip and a reward_clip beyond
        all values, for it does not clip them. `network` may be a dictionary of `NetworkConfig`'s
        fields.

        Args:
            settings: a mapping; not changed.
            changes: fields of `Config`, which take precedence.

        Raises:
            ValueError: an unknown key, with the nearest known one; a field set by two keys; as
                `Config`.
        """
        return cls._translated(named_fields, settings, changes)

    @classmethod
    def _translated(cls, fields_of: Any, settings: Any, changes: dict[str, Any]) -> "Config":
        """A config of translated settings; errors name the user's keys."""
        for name in changes:
            check_known(name, settings_of(cls), "setting")
        fields, key_of = fields_of(cls, settings, changes)
        used = {field: key for field, key in key_of.items() if field not in changes}
        return made_from(cls, fields | changes, used)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "Config":
        """Settings that are known to work, such as `Config.preset("Pendulum-v1")`.

        Args:
            name: one of `Config.presets()`.
            changes: fields, which take precedence.

        Raises:
            ValueError: an unknown name, with the nearest known one; one that is read from a package
                that is not installed; as `Config`.
        """
        return cls(**named.preset(name).settings).replace(**changes)

    @classmethod
    def presets(cls) -> dict[str, Preset]:
        """All presets by name, each with its `settings`, its `source` and its `result`.

        "paper", "cleanrl", "dm_control", tasks of gymnax, pendulums of Brax and MJX, and the tasks
        of MuJoCo Playground if it is installed.
        `settings` are fields of a `Config`; `source` says where they are from; `result` is what
        they gave here, None where they were not tried.
        """
        return named.presets()

    def to_dict(self) -> dict[str, Any]:
        """All settings as numbers, text, lists and dictionaries, for JSON, YAML and the like.

        `Config.from_dict(cfg.to_dict()) == cfg`.

        Raises:
            ValueError: a setting is an object or a function: an environment, a module, an optax
                schedule, a reward shaper.
        """
        plain = fields_to_plain(self)
        for name, text in objects_in(plain).items():
            raise ValueError(
                f"{name} = {text} is an object, which a dictionary of plain settings cannot hold; "
                "replace it by a plain value first, and pass it again to the Config that is made "
                "from the dictionary"
            )
        return plain

    def _identity(self) -> tuple[Any, ...]:
        """What equal configs have in common."""
        return tuple(identity_unless_hashable(getattr(self, name)) for name in settings_of(Config))
