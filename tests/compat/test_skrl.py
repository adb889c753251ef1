"""Settings of skrl as a Config."""

import copy
import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_purejaxrl import difference, identify

import rpojax
from rpojax import Config, NetworkConfig, RunOptions
from rpojax.compat import fit_arguments, from_skrl
from rpojax.core import losses, normalize, optimizer
from rpojax.settings.translation import skrl as fields

SKRL_1 = {  # RPO_DEFAULT_CONFIG as skrl's page has it
    "rollouts": 16,
    "learning_epochs": 8,
    "mini_batches": 2,
    "alpha": 0.5,
    "discount_factor": 0.99,
    "lambda": 0.95,
    "learning_rate": 1e-3,
    "learning_rate_scheduler": None,
    "learning_rate_scheduler_kwargs": {},
    "state_preprocessor": None,
    "state_preprocessor_kwargs": {},
    "value_preprocessor": None,
    "value_preprocessor_kwargs": {},
    "random_timesteps": 0,
    "learning_starts": 0,
    "grad_norm_clip": 0.5,
    "ratio_clip": 0.2,
    "value_clip": 0.2,
    "clip_predicted_values": False,
    "entropy_loss_scale": 0.0,
    "value_loss_scale": 1.0,
    "kl_threshold": 0,
    "rewards_shaper": None,
    "time_limit_bootstrap": False,
    "experiment": {
        "directory": "",
        "experiment_name": "",
        "write_interval": 250,
        "checkpoint_interval": 1000,
        "store_separately": False,
        "wandb": False,
        "wandb_kwargs": {},
    },
}
AS_SKRL_1 = Config(
    num_steps=16,
    update_epochs=8,
    num_minibatches=2,
    alpha=0.5,
    gamma=0.99,
    gae_lambda=0.95,
    learning_rate=1e-3,
    lr_schedule="constant",
    max_grad_norm=0.5,
    clip_eps=0.2,
    value_clip=0.2,
    clip_value_loss=False,
    ent_coef=0.0,
    vf_coef=2.0,
    kl_threshold=0.0,
    adam_eps=1e-8,
    advantage_normalization="batch",
    normalize_observations=False,
    normalize_rewards=False,
    normalize_values=False,
    observation_clip=5.0,
    perturb_rollouts=True,
    time_limit_bootstrap=False,
)


class RunningStandardScaler:
    pass


class KLAdaptiveLR:
    pass


def kl_adaptive():
    pass


def shaper(reward, timestep, timesteps):
    return 2.0 * reward


# skrl.


def test_default_config_of_skrl_1_is_what_its_page_says():
    assert Config.from_skrl(SKRL_1) == Config.from_skrl({}) == AS_SKRL_1
    assert from_skrl(SKRL_1, alpha=0.1) == AS_SKRL_1.replace(alpha=0.1)


def test_every_key_of_the_page_and_no_other_is_known():
    extras = {"class", "rewards_shaper_scale", "mixed_precision"}  # of YAML files, of PyTorch
    assert set(fields.DEFAULTS_1) == set(SKRL_1) | extras
    assert set(fields.EXPERIMENT_DEFAULTS) == set(SKRL_1["experiment"])


SCALER = "RunningStandardScaler"
KL = "learning_rate_scheduler"
LINEAR = {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 80}
# What is given besides the defaults of skrl 1, and what that changes.
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"class": "RPO"}, {}),
    ({"rollouts": 32}, {"num_steps": 32}),
    ({"learning_epochs": 3}, {"update_epochs": 3}),
    ({"mini_batches": 4}, {"num_minibatches": 4}),
    ({"alpha": 0.1}, {"alpha": 0.1}),
    ({"discount_factor": 0.9}, {"gamma": 0.9}),
    ({"lambda": 0.8}, {"gae_lambda": 0.8}),
    ({"learning_rate": 5e-4}, {"learning_rate": 5e-4}),
    ({KL: "KLAdaptiveLR"}, {"lr_schedule": "kl_adaptive"}),
    ({KL: KLAdaptiveLR}, {"lr_schedule": "kl_adaptive"}),
    ({KL: kl_adaptive}, {"lr_schedule": "kl_adaptive"}),
    (
        {KL: "KLAdaptiveRL", f"{KL}_kwargs": {"kl_threshold": 0.01, "min_lr": 1e-6}},
        {"lr_schedule": "kl_adaptive", "kl_target": 0.01},
    ),
    (
        {KL: "LinearLR", f"{KL}_kwargs": LINEAR},
        {"lr_schedule": fields.LinearFactor(1.0, 0.1, 10.0)},
    ),
    ({f"{KL}_kwargs": {"kl_threshold": 0.01}}, {}),  # without a scheduler, as in skrl
    ({f"{KL}_kwargs": None}, {}),
    ({"state_preprocessor": SCALER}, {"normalize_observations": True}),
    ({"state_preprocessor": RunningStandardScaler}, {"normalize_observations": True}),
    (
        {
            "state_preprocessor": RunningStandardScaler,
            "state_preprocessor_kwargs": {"size": 3, "device": "cpu", "clip_threshold": 8.0},
        },
        {"normalize_observations": True, "observation_clip": 8.0},
    ),
    ({"value_preprocessor": SCALER}, {"normalize_values": True}),
    (
        {"value_preprocessor": SCALER, "value_preprocessor_kwargs": {"size": 1, "epsilon": 1e-8}},
        {"normalize_values": True},
    ),
    ({"random_timesteps": 48}, {"random_timesteps": 48 * 64}),
    ({"learning_starts": 100}, {"learning_starts": 96 * 64}),
    ({"grad_norm_clip": 1.0}, {"max_grad_norm": 1.0}),
    ({"grad_norm_clip": -1}, {"max_grad_norm": 0.0}),
    ({"ratio_clip": 0.1}, {"clip_eps": 0.1}),
    ({"value_clip": 0.1}, {"value_clip": 0.1}),
    ({"clip_predicted_values": True}, {"clip_value_loss": True}),
    ({"entropy_loss_scale": 0}, {}),
    ({"value_loss_scale": 0.5}, {"vf_coef": 1.0}),
    ({"kl_threshold": 0.02}, {"kl_threshold": 0.02}),
    ({"rewards_shaper": shaper}, {"reward_shaper": shaper}),
    ({"rewards_shaper_scale": 0.1}, {"reward_shaper": fields.RewardScale(0.1)}),
    ({"time_limit_bootstrap": True}, {"time_limit_bootstrap": True}),
    ({"mixed_precision": False}, {}),
    ({"experiment": {"directory": "runs", "wandb": True}}, {}),  # see fit_arguments
]


@pytest.mark.parametrize(("given", "changed"), CASES, ids=identify)
def test_key_of_skrl_changes_its_fields_alone(given, changed):
    assert difference(Config.from_skrl(given), AS_SKRL_1) == changed
    assert Config.from_skrl(SKRL_1 | given) == Config.from_skrl(given)


def test_cases_above_cover_every_key():
    assert {key for given, _ in CASES for key in given} == set(fields.DEFAULTS_1)


@dataclasses.dataclass(kw_only=True)
class ExperimentCfg:  # as in skrl 2
    directory: str = ""
    experiment_name: str = "run"
    write_interval: int | str = "auto"
    checkpoint_interval: int | str = "auto"
    store_separately: bool = True
    wandb: bool = False
    wandb_kwargs: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(kw_only=True)
class RPO_CFG:  # as in skrl 2.1, after its expand()
    experiment: ExperimentCfg = dataclasses.field(default_factory=ExperimentCfg)
    alpha: float = 0.5
    rollouts: int = 16
    learning_epochs: int = 8
    mini_batches: int = 2
    discount_factor: float = 0.99
    gae_lambda: float = 0.95
    learning_rate: Any = (1e-3, 1e-3)
    learning_rate_scheduler: Any = (None, None)
    learning_rate_scheduler_kwargs: Any = dataclasses.field(default_factory=lambda: ({}, {}))
    observation_preprocessor: Any = None
    observation_preprocessor_kwargs: dict = dataclasses.field(default_factory=dict)
    state_preprocessor: Any = None
    state_preprocessor_kwargs: dict = dataclasses.field(default_factory=dict)
    value_preprocessor: Any = None
    value_preprocessor_kwargs: dict = dataclasses.field(default_factory=dict)
    grad_norm_clip: float = 0.5
    ratio_clip: float = 0.2
    value_clip: float = 0.2
    entropy_loss_scale: float = 0.0
    value_loss_scale: float = 2.5
    kl_threshold: float = 0.0
    time_limit_bootstrap: bool = False
    rewards_shaper: Any = None
    mixed_precision: bool = False


AS_SKRL_2 = AS_SKRL_1.replace(vf_coef=5.0, clip_value_loss=True)


def test_dataclass_of_skrl_2_is_understood():
    assert Config.from_skrl(RPO_CFG()) == AS_SKRL_2
    assert fit_arguments(RPO_CFG(), AS_SKRL_2).store_separately


def test_a_key_that_only_skrl_2_has_brings_its_defaults():
    assert Config.from_skrl({"gae_lambda": 0.9}) == AS_SKRL_2.replace(gae_lambda=0.9)
    rates = {"learning_rate": (2e-3, 2e-3)}  # a pair, for the policy and for the value
    assert Config.from_skrl(rates) == AS_SKRL_2.replace(learning_rate=2e-3)
    assert Config.from_skrl({"class": "rpo"}) == Config.from_skrl({})


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"gae_lambda": 0.9}, {"gae_lambda": 0.9}),
        (
            {"learning_rate_scheduler": (KLAdaptiveLR, KLAdaptiveLR)},
            {"lr_schedule": "kl_adaptive"},
        ),
        ({"value_clip": 0.0}, {"clip_value_loss": False}),
        ({"value_clip": 0.1}, {"value_clip": 0.1}),
        ({"entropy_loss_scale": 0.01}, {"ent_coef": 0.01}),  # summed, as here
        (
            {
                "observation_preprocessor": RunningStandardScaler,
                "observation_preprocessor_kwargs": {"clip_threshold": 3.0},
            },
            {"normalize_observations": True, "observation_clip": 3.0},
        ),
        (
            {"observation_preprocessor": SCALER, "state_preprocessor": SCALER},
            {"normalize_observations": True},
        ),
    ],
    ids=identify,
)
def test_key_of_skrl_2_changes_its_fields_alone(given, changed):
    assert difference(Config.from_skrl(RPO_CFG(**given)), AS_SKRL_2) == changed


def test_changes_win_over_skrl_and_set_what_it_keeps_elsewhere():
    cfg = Config.from_skrl(
        SKRL_1 | {"learning_starts": 32, "mini_batches": 3},
        env="MountainCarContinuous-v0",
        num_envs=8,
        total_timesteps=8 * 1000,
        num_minibatches=4,
        network=NetworkConfig(hidden_sizes=(32,)),
    )
    assert cfg.env == "MountainCarContinuous-v0"
    assert cfg.learning_starts == 32 * 8
    assert cfg.num_updates == 1000 // 16
    assert (cfg.num_minibatches, cfg.network.hidden_sizes) == (4, (32,))


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({"learning_rate_scheduler": "StepLR"}, {"lr_schedule": "linear"}),
        (
            {"learning_rate_scheduler": "KLAdaptiveLR", f"{KL}_kwargs": {"lr_factor": 2}},
            {"lr_schedule": "kl_adaptive"},
        ),
        (
            {"state_preprocessor": "Whitening"},
            {"normalize_observations": True, "observation_clip": 9.0},
        ),
        ({"value_preprocessor": "Whitening"}, {"normalize_values": True}),
        ({"entropy_loss_scale": 0.01}, {"ent_coef": 0.01 / 6}),
        ({"mixed_precision": True}, {"network": NetworkConfig()}),
    ],
    ids=identify,
)
def test_value_without_an_equal_is_refused_unless_its_field_is_given(given, changes):
    with pytest.raises(ValueError, match=re.escape(next(iter(given)))):
        Config.from_skrl(given)
    assert difference(Config.from_skrl(given, **changes), AS_SKRL_1) == {
        name: value for name, value in changes.items() if value != getattr(AS_SKRL_1, name)
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"roll_outs": 16}, "unknown setting of skrl's RPO 'roll_outs'; did you mean 'rollouts'"),
        ({"gae_lamda": 1}, "did you mean 'gae_lambda'"),
        (
            {"seed": 42, "models": {}, "agent": {"rollouts": 16}, "trainer": {"timesteps": 100}},
            r"section 'agent' beside 'seed', 'models', 'trainer'.*give settings\['agent'\]",
        ),
        ({"timesteps": 100}, r"give total_timesteps = timesteps \* num_envs"),
        (
            {"lambda": 0.9, "gae_lambda": 0.9},
            "'lambda' is a setting of skrl 1 and 'gae_lambda' of skrl 2",
        ),
        ({"class": "PPO"}, "class = 'PPO' is another algorithm; give 'RPO', and alpha = 0"),
        ({"learning_rate": (1e-3, 1e-4)}, "differs for policy and value.*give one value for both"),
        ({KL: "StepLR"}, "'StepLR' has no counterpart here; give KLAdaptiveLR, LinearLR or None"),
        (
            {KL: KLAdaptiveLR, f"{KL}_kwargs": {"min_lr": 1e-5}},
            "min_lr = 1e-05 has no counterpart here; leave it at skrl's default, 1e-06",
        ),
        ({KL: KLAdaptiveLR, f"{KL}_kwargs": {"kl_treshold": 1}}, "did you mean 'kl_threshold'"),
        ({KL: "LinearLR", f"{KL}_kwargs": {"total": 1}}, "did you mean 'total_iters'"),
        ({KL: "LinearLR", f"{KL}_kwargs": {"total_iters": 0}}, "total_iters = 0 is not allowed"),
        ({KL: "LinearLR", f"{KL}_kwargs": {"end_factor": None}}, "end_factor = None is not a num"),
        (
            {"state_preprocessor": "Scaler"},
            "'Scaler' has no counterpart here; give RunningStandardScal",
        ),
        (
            {"state_preprocessor": SCALER, "state_preprocessor_kwargs": {"epsilon": 1e-5}},
            "epsilon = 1e-05 has no counterpart here; leave it at skrl's default, 1e-08",
        ),
        (
            {"state_preprocessor": SCALER, "state_preprocessor_kwargs": {"clip_treshold": 3}},
            "argument in state_preprocessor_kwargs 'clip_treshold'; did you mean 'clip_threshold'",
        ),
        (
            {"value_preprocessor": SCALER, "value_preprocessor_kwargs": {"clip_threshold": 9}},
            "clip_threshold = 9 has no counterpart here; leave it at skrl's default, 5",
        ),
        (
            {"gae_lambda": 0.9, "state_preprocessor": SCALER},
            "state_preprocessor without observation_preprocessor",
        ),
        ({"entropy_loss_scale": 0.01}, r"give ent_coef = 0.01 / \(number of action dimensions\)"),
        ({"random_timesteps": 100}, "ends inside one of the rollouts of 16.*give 96 or 112"),
        ({"random_timesteps": 0.5}, "random_timesteps = 0.5 is not allowed"),
        ({"rollouts": 0}, "rollouts = 0 is not allowed"),
        ({"value_loss_scale": "2"}, "value_loss_scale = '2' is not a number"),
        ({"clip_predicted_values": 1}, "clip_predicted_values = 1 is not a truth value"),
        ({"rewards_shaper": shaper, "rewards_shaper_scale": 2.0}, "give one of them"),
        ({"rewards_shaper": 0.1}, "reward_shaper = 0.1 is not callable"),
        ({"mixed_precision": True}, "mixed_precision = True is a setting of the network"),
        ({"experiment": {"wand": True}}, "skrl's experiment 'wand'; did you mean 'wandb'"),
        ({"experiment": {"wandb": "yes"}}, "experiment: wandb = 'yes' is not a truth value"),
        ({"experiment": {"write_interval": 0.5}}, "experiment: write_interval = 0.5 is not all"),
        ({"experiment": {"directory": None}}, "experiment: directory = None is not text"),
        ({"experiment": 3}, "experiment = 3 is not a dictionary"),
        ([("rollouts", 16)], r"settings = \[.* is not a dictionary"),
        (RPO_CFG, "settings = .* is not a dictionary"),
        ({"discount_factor": 2.0}, r"gamma = 2 is out of range; give a finite number in \[0, 1\]"),
        ({"discount_factor": 2.0}, r"\(gamma is set by 'discount_factor'\)"),
        ({"mini_batches": 7}, r"8 \(num_minibatches is set by 'mini_batches'\)"),
    ],
    ids=lambda value: identify(value)[:50],
)
def test_what_cannot_be_is_refused_with_the_remedy(given, message):
    with pytest.raises(ValueError, match=message):
        Config.from_skrl(given)


def test_unknown_change_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown setting 'num_env'; did you mean 'num_envs'"):
        Config.from_skrl({}, num_env=8)


def test_settings_of_the_caller_are_not_changed():
    given = SKRL_1 | {
        "state_preprocessor": SCALER,
        "state_preprocessor_kwargs": {"size": 3},
        "experiment": {"wandb": True, "wandb_kwargs": {"project": "p"}},
    }
    before = copy.deepcopy(given)
    cfg = Config.from_skrl(given)
    fit_arguments(given, cfg).wandb["project"] = "other"
    assert given == before


# What the numbers mean in skrl, and here.


def test_value_loss_weighs_as_much_as_in_skrl():
    value, target = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.0, 1.0, 0.5])
    scale = 1.7
    in_skrl = scale * np.mean((np.asarray(target) - np.asarray(value)) ** 2)
    cfg = Config.from_skrl({"value_loss_scale": scale})
    np.testing.assert_allclose(cfg.vf_coef * losses.squared_error(value, target), in_skrl, 1e-6)


@pytest.mark.parametrize("rollouts", [1, 4, 16])
@pytest.mark.parametrize("learning_starts", [0, 1, 15, 16, 17, 64])
def test_learning_starts_with_the_rollout_that_it_starts_with_in_skrl(rollouts, learning_starts):
    timesteps = range(160)
    updates = [
        timestep
        for timestep in timesteps
        if not (timestep + 1) % rollouts and timestep >= learning_starts
    ]
    without = len(timesteps) // rollouts - len(updates)
    given = {"rollouts": rollouts, "learning_starts": learning_starts}
    cfg = Config.from_skrl(given, num_envs=8, total_timesteps=160 * 8)
    assert cfg.learning_starts == without * cfg.batch_size


def test_linear_schedule_is_that_of_torch_at_the_start_of_each_update():
    """torch moves its LinearLR on after each epoch, by a factor on the rate before."""
    start, end, total, epochs = 0.8, 0.2, 20, 4
    cfg = Config.from_skrl(
        {
            "learning_epochs": epochs,
            KL: "LinearLR",
            f"{KL}_kwargs": {"start_factor": start, "end_factor": end, "total_iters": total},
        },
    )
    expected, rate = [], start
    for epoch in range(1, 8 * epochs + 1):
        expected.append(rate)
        if epoch <= total:
            rate *= 1 + (end - start) / (total * start + (epoch - 1) * (end - start))
    got = [float(cfg.lr_schedule(jnp.int32(update))) for update in range(8)]
    np.testing.assert_allclose(got, expected[::epochs], rtol=1e-6)


def test_constants_that_cannot_be_set_are_those_of_skrl():
    assert fields.KL_ADAPTIVE == {
        "min_lr": optimizer.MIN_LEARNING_RATE,
        "max_lr": optimizer.MAX_LEARNING_RATE,
        "kl_factor": 2.0,  # as in test_optimizer
        "lr_factor": optimizer.ADAPT_FACTOR,
    }
    assert normalize.EPSILON == fields.SCALER_EPSILON
    assert Config().kl_target == fields.KL_TARGET


def test_settings_of_skrl_train():
    cfg = Config.from_skrl(
        {
            "learning_epochs": 2,
            "rollouts": 8,
            KL: "LinearLR",
            f"{KL}_kwargs": {"start_factor": 1.0, "end_factor": 0.5, "total_iters": 4},
            "state_preprocessor": SCALER,
            "value_preprocessor": SCALER,
            "rewards_shaper_scale": 0.1,
            "time_limit_bootstrap": True,
        },
        num_envs=4,
        total_timesteps=4 * 8 * 3,
        network=NetworkConfig(hidden_sizes=(8,)),
    )
    result = jax.jit(rpojax.make_train(cfg))(jax.random.key(0))
    assert bool(result.finite)
    np.testing.assert_allclose(result.metrics.learning_rate, [1e-3, 0.75e-3, 0.5e-3], rtol=1e-6)


# skrl's "experiment".

RUN = Config(num_envs=4, num_steps=16, num_minibatches=2, total_timesteps=4 * 16 * 500)


def test_experiment_of_the_page():
    given = SKRL_1 | {"experiment": SKRL_1["experiment"] | {"experiment_name": "first"}}
    assert fit_arguments(given, RUN) == (
        RunOptions(log_every=16, checkpoint_every=62),  # 250 / 16 = 15.6, 1000 / 16 = 62.5
        "runs/first/checkpoints",
        "runs/first",
        None,
        False,
    )


def test_experiment_by_its_own_defaults():
    arguments = fit_arguments({}, RUN)
    assert arguments.options == RunOptions(log_every=5, checkpoint_every=50)  # of 500 updates
    assert re.fullmatch(r"runs/\d\d-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}_RPO", arguments.tensorboard_dir)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"directory": "/data"}, {"checkpoint_dir": "/data/x/checkpoints"}),
        ({"write_interval": 0}, {"log_every": 0, "tensorboard_dir": None}),
        ({"write_interval": 1}, {"log_every": 1}),
        ({"checkpoint_interval": -1}, {"checkpoint_every": 0, "checkpoint_dir": None}),
        ({"checkpoint_interval": 160}, {"checkpoint_every": 10}),
        ({"store_separately": True}, {"store_separately": True}),
        ({"wandb": True}, {"wandb": {"name": "x"}}),
        (
            {"wandb": True, "wandb_kwargs": {"name": "y", "project": "p"}},
            {"wandb": {"name": "y", "project": "p"}},
        ),
        ({"wandb_kwargs": {"project": "p"}}, {"wandb": None}),
    ],
    ids=identify,
)
def test_experiment_setting_changes_its_argument(given, changed):
    def arguments(**given):
        found = fit_arguments({"experiment": {"experiment_name": "x", **given}}, RUN)
        return {**found._asdict(), **vars(found.options), "options": None}

    expected = arguments(**{k: v for k, v in given.items() if k == "directory"}) | changed
    assert arguments(**given) == expected
