"""Every bad setting is refused at once, by a message that names it, its value and the remedy."""

import collections
import copy
import dataclasses
import functools
import math
import pydoc
import re
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import Config, HyperParams, NetworkConfig, Symmetry
from rpojax.settings.declared import settings_of

HYPERPARAMETERS = tuple(settings_of(HyperParams))
COUNTS = ("total_timesteps", "num_envs", "num_steps", "update_epochs", "num_minibatches")
WARM_UP = ("random_timesteps", "learning_starts", "critic_warmup")
FLAGS = (
    "clip_value_loss",
    "normalize_observations",
    "normalize_rewards",
    "normalize_values",
    "perturb_rollouts",
    "time_limit_bootstrap",
)
POSITIVE = ("learning_rate", "clip_eps", "value_clip", "kl_target")
NOT_NEGATIVE = (
    "alpha",
    "vf_coef",
    "ent_coef",
    "mirror_coef",
    "weight_decay",
    "max_grad_norm",
    "kl_threshold",
)
FRACTIONS = ("gamma", "gae_lambda")
STATIC_POSITIVE = ("adam_eps", "observation_clip", "reward_clip", "reward_scale")

BAD = [
    *((name, bad, "whole number of at least 1") for name in COUNTS for bad in (0, -4, 0.5, True)),
    *((name, bad, "whole number of at least 1") for name in COUNTS for bad in ("64", None, [8])),
    *((name, bad, "whole number of at least 1") for name in COUNTS for bad in (math.inf, math.nan)),
    *(
        (name, bad, "whole number of at least 0")
        for name in WARM_UP
        for bad in (-1, 1.5, "0", True)
    ),
    *((name, bad, r"in \(0, inf\)") for name in POSITIVE for bad in (0.0, -1.0)),
    *((name, bad, r"in \[0, inf\)") for name in NOT_NEGATIVE for bad in (-1e-3,)),
    *((name, bad, r"in \[0, 1\]") for name in FRACTIONS for bad in (-0.1, 1.01)),
    *((name, bad, r"in \(0, inf\)") for name in STATIC_POSITIVE for bad in (0.0, -1.0)),
    *(
        (name, bad, "finite number in")
        for name in (*POSITIVE, *NOT_NEGATIVE, *FRACTIONS, *STATIC_POSITIVE)
        for bad in (math.nan, math.inf)
    ),
    *(
        (name, bad, "is not a number; give a single one in")
        for name in (*HYPERPARAMETERS, *STATIC_POSITIVE)
        for bad in ("0.1", True, None, [0.1, 0.2])
    ),
    ("alpha", np.array([0.1, 0.5]), "HyperParams.replace takes arrays"),
    *((name, bad, "give True or False") for name in FLAGS for bad in (1, 0, "yes", None)),
    ("advantage_normalization", "minibatches", "'minibatch', 'batch', 'none'"),
    ("advantage_normalization", True, "'minibatch', 'batch', 'none'"),
    ("action_transform", "tanh", "'clip', 'rescale'"),
    ("resets", "cached", "'auto', 'exact', 'pool'"),
    ("agents_at_once", "some", "'auto', 'all', or a whole number from 1"),
    *(("agents_at_once", bad, "whole number of at least 1") for bad in (0, -1, 0.5, True, None)),
    *(("devices_per_agent", bad, "whole number of at least 1") for bad in (0, 1.5, True, "all")),
    *(("reset_pool", bad, "whole number of 1 to 2147483647") for bad in (0, 0.5, True, 2**31)),
    ("env_params", 3, r"is not a dictionary; .* such as \{'g': 9.81\}"),
    ("env_params", "ab", "is not a dictionary"),
    ("sequence_length", 0, "whole number of at least 1"),
    ("advantage_horizon", 0, "whole number of at least 1"),
    ("lr_schedule", "cosine", "'constant', 'linear', 'kl_adaptive' or an optax schedule"),
    ("lr_schedule", None, "'constant', 'linear', 'kl_adaptive' or an optax schedule"),
    ("alpha_schedule", "kl_adaptive", "'constant', 'linear' or an optax schedule"),
    ("surrogate", "spoo", r"'clip', 'spo' or a function \(ratio"),
    ("perturbation", "normal", "'uniform', 'gaussian' or a function of uniform noise"),
    ("optimizer", "sgd", "'adam', 'adamw', 'muon' or a function of the rate"),
    ("optimizer", 3e-4, "'adam', 'adamw', 'muon' or a function of the rate"),
    ("mirror_coef", 0.1, "no effect without symmetry; give symmetry = rpojax.Symmetry"),
    ("symmetry", "mirror", r"is not an rpojax.Symmetry; give Symmetry\(mirror_obs"),
    ("weight_decay", 0.1, "no effect with optimizer = 'adam'; give optimizer = 'adamw'"),
    ("reward_shaper", 0.1, r"give a function \(reward, timestep, timesteps\)"),
]


def small(**changes):
    settings = {"num_envs": 4, "num_steps": 8, "num_minibatches": 2, "total_timesteps": 320}
    return Config(**(settings | changes))


def identify(value):
    return value if isinstance(value, str) else repr(value)


@pytest.mark.parametrize(("name", "value", "remedy"), BAD, ids=identify)
def test_bad_setting_is_refused_with_its_name_value_and_remedy(name, value, remedy):
    shown = re.escape(f"{value:g}" if isinstance(value, float) else repr(value))
    if name in (*COUNTS, *WARM_UP, "sequence_length", "advantage_horizon"):
        shown = re.escape(repr(value))
    with pytest.raises(ValueError, match=f"(?s)^{name} = {shown} .*{remedy}"):
        small(**{name: value})


def test_table_above_covers_every_setting_that_has_a_check():
    free = {"env", "network"}  # checked by make_train, which knows the environment
    assert {name for name, *_ in BAD} | free == {f.name for f in dataclasses.fields(Config)}


def test_scale_of_rewards_that_are_normalised_is_refused():
    assert small(reward_scale=10.0, normalize_rewards=False).reward_scale == 10.0
    with pytest.raises(ValueError, match=r"reward_scale = 10 has no effect .*= False, or .* = 1"):
        small(reward_scale=10.0)


def test_batch_that_does_not_divide_names_the_nearest_that_does():
    message = (
        r"num_envs \* num_steps = 6 \* 16 = 96 .* num_minibatches = 36; .*num_minibatches = 32"
    )
    with pytest.raises(ValueError, match=message):
        small(num_envs=6, num_steps=16, num_minibatches=36, total_timesteps=960)


@pytest.mark.parametrize(
    ("devices", "sizes", "message"),
    [
        (3, {}, r"= 3 does not divide num_envs, 4; .* devices_per_agent = 2"),
        (4, {"num_minibatches": 16}, r"= 4 does not divide samples in a minibatch, 2; .* = 2"),
        (
            4,
            {"network": NetworkConfig(cell="gru"), "sequence_length": 4},
            r"= 4 does not divide sequences in a minibatch, 2; .* = 2",
        ),
        (
            4,
            {"num_envs": 6, "num_steps": 8, "num_minibatches": 6},
            "= 4 does not divide num_envs, 6; .* = 2",
        ),
        (
            3,
            {"network": NetworkConfig(cell="gru"), "sequence_length": 4},
            "= 3 does not divide num_envs, 4; .* = 2",
        ),
    ],
    ids=["environments", "samples", "sequences", "environments and samples", "all three"],
)
def test_devices_that_cannot_have_equal_shares_are_refused(devices, sizes, message):
    sizes = {"num_minibatches": 4, **sizes}
    with pytest.raises(ValueError, match=f"^devices_per_agent {message}"):
        small(devices_per_agent=devices, **sizes)
    assert small(devices_per_agent=2, **sizes).devices_per_agent == 2


def test_run_shorter_than_one_update_names_the_least():
    message = r"total_timesteps = 31 is less than one update, .* = 4 \* 8 = 32; .*at least 32"
    with pytest.raises(ValueError, match=message):
        small(total_timesteps=31)
    assert small(total_timesteps=32).num_updates == 1


@pytest.mark.parametrize("name", WARM_UP)
def test_warm_up_is_whole_rollouts_and_ends_before_the_run(name):
    with pytest.raises(ValueError, match=rf"{name} = 33 is not a whole .* = 32; give 32 or 64"):
        small(**{name: 33})
    with pytest.raises(ValueError, match=rf"{name} = 320.* leave nothing of the run's 320 steps"):
        small(**{name: 320})
    assert getattr(small(**{name: 288}), name) == 288


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_sizes": 64}, r"hidden_sizes = 64 .*give e.g. \(64, 64\)"),
        ({"hidden_sizes": "64"}, r"hidden_sizes = '64' .*give e.g. \(64, 64\)"),
        ({"hidden_sizes": (64, 0)}, "hidden_sizes = 0 .*at least 1"),
        ({"hidden_sizes": (64, "32")}, "hidden_sizes = '32' .*at least 1"),
        ({"activation": "sine"}, "activation = 'sine' .*'tanh', 'relu'"),
        ({"critic_hidden_sizes": 64}, r"critic_hidden_sizes = 64 .*give e.g. \(64, 64\)"),
        (
            {"critic_hidden_sizes": (8,), "shared_torso": True},
            r"critic_hidden_sizes = \(8,\) needs a torso .*shared_torso = False",
        ),
        ({"layer_norm": "yes"}, "layer_norm = 'yes' .*True or False"),
        ({"cell": "gated"}, "cell = 'gated' .*'rnn', 'gru', 'lstm', or None"),
        ({"cell_sizes": 64}, r"cell_sizes = 64 .*give e.g. \(64, 64\)"),
        ({"cell": "gru", "cell_sizes": ()}, r"cell_sizes = \(\) .*'gru' .*give e.g. \(64,\)"),
        ({"dtype": "float16"}, "dtype = 'float16' .*'float32', 'bfloat16'"),
        ({"state_dependent_log_std": None}, "state_dependent_log_std = None .*True or False"),
        ({"actor_keys": "position"}, r"actor_keys = 'position' .*\(\"position\",\)"),
        ({"critic_keys": ()}, r"critic_keys = \(\) .*None for all"),
        (
            {"shared_torso": True, "actor_keys": ("a",)},
            r"actor_keys = \('a',\) and critic_keys = None .*shared_torso = False",
        ),
        ({"log_std_max": 30.0}, r"log_std_max = 30 .*\[-20, 20\]"),
        ({"log_std_min": 2.0}, "log_std_min = 2 is not below log_std_max = 2"),
        ({"shared_torso": 1}, "shared_torso = 1 .*give True or False"),
        ({"log_std_init": math.nan}, "log_std_init = nan .*finite number"),
        *(
            ({"log_std_init": value}, "^log_std_init = .* is not a number")
            for value in ("0", True, [0.0, 1.0], None)
        ),
        ({"log_std_init": 3.0}, r"log_std_init = 3 .*\[-20, 2\]"),
        ({"log_std_init": -21.0}, r"log_std_init = -21 .*\[-20, 2\]"),
        ({"distribution": "gamma"}, "distribution = 'gamma' .*'gaussian', 'tanh_gaussian', 'beta'"),
        ({"std_parameterization": "square"}, "std_param.* = 'square' .*'exp', 'softplus'"),
        (
            {"std_parameterization": "softplus", "log_std_init": -3.0, "log_std_min": -3.0},
            "log_std_init = -3 is log_std_min, .*give a larger",
        ),
    ],
    ids=str,
)
def test_bad_network_setting_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**changes)


@pytest.mark.parametrize("scalar", [jnp.float32, np.array], ids=["jax", "numpy"])
def test_scalar_arrays_become_floats_so_that_the_config_stays_hashable(scalar):
    cfg = Config(alpha=scalar(0.5), network=NetworkConfig(log_std_init=scalar(0.0)))
    assert hash(cfg) == hash(Config())
    assert type(cfg.alpha) is type(cfg.network.log_std_init) is float


def test_whole_floats_and_numpy_integers_become_ints():
    cfg = Config(total_timesteps=5e5, num_envs=np.int64(64), num_steps=np.float64(128))
    for name, value in {"total_timesteps": 500_000, "num_envs": 64, "num_steps": 128}.items():
        assert getattr(cfg, name) == value
        assert type(getattr(cfg, name)) is int
    assert cfg == Config()


@pytest.mark.parametrize(
    ("asked", "updates", "actual"), [(320, 10, 320), (351, 10, 320), (352, 11, 352), (32, 1, 32)]
)
def test_actual_timesteps_are_the_whole_updates_within_what_was_asked(asked, updates, actual):
    cfg = small(total_timesteps=asked)
    assert cfg.total_timesteps == asked
    assert (cfg.batch_size, cfg.minibatch_size) == (32, 16)
    assert (cfg.num_updates, cfg.actual_timesteps) == (updates, actual)


def test_equal_settings_are_equal_and_hash_alike():
    one = Config(network=NetworkConfig(hidden_sizes=[32, 32]), alpha=0.1)
    two = Config(network=NetworkConfig(hidden_sizes=(32, 32)), alpha=0.1)
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two, two.replace(alpha=0.2)}) == 2
    f = jax.jit(lambda cfg, x: x * cfg.num_envs, static_argnums=0)
    assert [float(f(Config(num_envs=num), 2.0)) for num in (64, 32)] == [128.0, 64.0]


def test_config_cannot_be_changed_in_place():
    cfg = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.alpha = 0.1
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.network.activation = "relu"


def test_replace_copies_and_checks():
    cfg = small()
    changed = cfg.replace(alpha=0.1, num_envs=8)
    assert (changed.alpha, changed.num_envs, changed.num_steps) == (0.1, 8, 8)
    assert cfg == small()
    with pytest.raises(ValueError, match="alpha = -1 is out of range"):
        cfg.replace(alpha=-1.0)
    with pytest.raises(ValueError, match="not divisible by num_minibatches = 3"):
        cfg.replace(num_minibatches=3)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("num_env", "num_envs"), ("aplha", "alpha"), ("lr", "learning_rate")],
)
def test_an_unknown_setting_suggests_the_nearest(name, nearest):
    message = f"{name!r}; did you mean {nearest!r}"
    for make in (Config, Config().replace):
        with pytest.raises(ValueError, match=f"unknown setting {message}"):
            make(**{name: 1})
    if nearest in HYPERPARAMETERS:
        with pytest.raises(ValueError, match=f"unknown hyperparameter {message}"):
            Config().hyperparams().replace(**{name: 1.0})
        with pytest.raises(ValueError, match=f"unknown hyperparameter {message}"):
            HyperParams.axes(**{name: 0})


def test_unknown_name_that_is_like_no_other_lists_them_all():
    with pytest.raises(ValueError, match=r"hyperparameter 'zzz'; known: .*alpha.*kl_target"):
        Config().hyperparams().replace(zzz=1.0)


def test_hyperparams_are_the_configs_values_as_float32_scalars():
    values = {name: 0.25 + 0.01 * i for i, name in enumerate(HYPERPARAMETERS)}
    cfg = Config(optimizer="adamw", symmetry=Symmetry(abs, abs), **values)
    hyperparams = cfg.hyperparams()
    for i, name in enumerate(HYPERPARAMETERS):
        leaf = getattr(hyperparams, name)
        assert leaf.shape == ()
        assert leaf.dtype == jnp.float32
        np.testing.assert_allclose(leaf, 0.25 + 0.01 * i, rtol=1e-6)


def test_hyperparams_replace_takes_numbers_lists_and_arrays():
    hyperparams = Config().hyperparams()
    changed = hyperparams.replace(alpha=[0, 0.5], gamma=1, ent_coef=np.array([0.1, 0.2, 0.3]))
    assert changed.alpha.shape == (2,)
    assert changed.ent_coef.shape == (3,)
    assert changed.alpha.dtype == changed.gamma.dtype == changed.ent_coef.dtype == jnp.float32
    assert float(changed.gamma) == 1.0
    assert hyperparams.alpha.shape == ()
    assert float(hyperparams.alpha) == 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, math.nan) for name in HYPERPARAMETERS),
        *((name, -1.0) for name in HYPERPARAMETERS),
        *((name, 0.0) for name in POSITIVE),
        *((name, 1.5) for name in FRACTIONS),
        ("alpha", math.inf),
    ],
)
def test_hyperparams_out_of_range_are_refused_wherever_they_are_seen(name, value):
    message = rf"^{name} = {value:g} is out of range; give a finite number in [\[(]0"
    hyperparams = Config().hyperparams()
    with pytest.raises(ValueError, match=message):
        hyperparams.replace(**{name: value})
    with pytest.raises(ValueError, match=message):
        hyperparams.replace(**{name: [0.5, value, 0.5]})  # one bad value in a sweep
    made_otherwise = dataclasses.replace(hyperparams, **{name: jnp.float32(value)})
    with pytest.raises(ValueError, match=message):
        made_otherwise.check()


def test_hyperparams_can_be_replaced_and_checked_while_tracing():
    @jax.jit
    @jax.vmap
    def replaced(alpha):
        hyperparams = Config().hyperparams().replace(alpha=alpha)
        hyperparams.check()
        return hyperparams.alpha + hyperparams.gamma

    np.testing.assert_allclose(replaced(jnp.array([0.0, 1.0])), [0.99, 1.99], rtol=1e-6)


def test_axes_map_the_named_leaves_alone():
    axes = HyperParams.axes(alpha=0, gamma=1)
    assert (axes.alpha, axes.gamma) == (0, 1)
    assert all(getattr(axes, n) is None for n in HYPERPARAMETERS if n not in ("alpha", "gamma"))
    hyperparams = Config().hyperparams().replace(alpha=[0.1, 0.2], gamma=[[0.9, 0.8]])
    add = jax.vmap(lambda hp: hp.alpha + hp.gamma + hp.gae_lambda, in_axes=(axes,))
    np.testing.assert_allclose(add(hyperparams), [[1.95], [1.95]], rtol=1e-6)


@pytest.mark.parametrize("axis", [0.5, True, "0", [0]])
def test_axes_are_whole_numbers(axis):
    with pytest.raises(ValueError, match=r"axes\(alpha=.*\) is not an axis; .*HyperParams.replace"):
        HyperParams.axes(alpha=axis)


def test_callers_objects_are_not_changed():
    sizes, alphas = [32, 16], [0.1, 0.5]
    settings = {"num_envs": 4.0, "num_steps": 8, "num_minibatches": 2, "total_timesteps": 5e5}
    kept = copy.deepcopy(settings)
    network = NetworkConfig(hidden_sizes=sizes)
    cfg = Config(**settings, network=network)
    cfg.hyperparams().replace(alpha=alphas)
    cfg.replace(network=NetworkConfig(hidden_sizes=sizes, activation="relu"))
    assert (sizes, alphas, settings) == ([32, 16], [0.1, 0.5], kept)
    assert type(settings["num_envs"]) is float
    assert cfg.network is network
    sizes.append(8)
    assert cfg.network.hidden_sizes == (32, 16)


# Sequences of recurrent networks.

RECURRENT = NetworkConfig(cell="gru", cell_sizes=(4,))


def test_sequences_are_whole_rollouts_unless_told_otherwise():
    assert small(network=RECURRENT).steps_per_sequence == 8
    assert small(network=RECURRENT, sequence_length=4).steps_per_sequence == 4


def test_sequence_length_needs_memory_and_divides_the_rollout():
    with pytest.raises(ValueError, match=r"sequence_length = 4 .*no memory; leave it None"):
        small(sequence_length=4)
    with pytest.raises(ValueError, match=r"num_steps = 8 .*sequence_length = 3; the nearest .* 2"):
        small(network=RECURRENT, sequence_length=3)


def test_advantage_horizon_divides_the_rollout():
    assert small(advantage_horizon=4).advantage_horizon == 4
    with pytest.raises(ValueError, match=r"num_steps = 8 .*advantage_horizon = 3; the near.* = 2"):
        small(advantage_horizon=3)


def test_sequences_that_minibatches_do_not_divide_name_the_nearest():
    message = r"4 \* 8 / 8 = 4 sequences .* num_minibatches = 16; the nearest .*num_minibatches = 4"
    with pytest.raises(ValueError, match=message):
        small(network=RECURRENT, num_minibatches=16)
    assert small(network=RECURRENT, num_minibatches=16, sequence_length=2).num_minibatches == 16


# Values that mean plain ones.


class Items(collections.UserDict):
    """A mapping that is no dict, as OmegaConf's."""


class ConfigDict:
    """Keys and items without being a Mapping, as ml_collections'."""

    def __init__(self, **items):
        self.items_of = items

    def __repr__(self):  # names a test: without an address
        return f"ConfigDict({self.items_of})"

    def keys(self):
        return self.items_of.keys()

    def __getitem__(self, key):
        return self.items_of[key]


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("num_envs", np.array(8), 8),
        ("num_envs", jnp.int32(8), 8),
        ("alpha", np.float32(0.5), 0.5),
        ("alpha", jnp.array(0.5), 0.5),
        ("alpha", 1, 1.0),
        ("normalize_values", np.True_, True),
        ("normalize_values", np.array(True), True),
        ("action_transform", np.str_("clip"), "clip"),
        ("env", np.str_("Pendulum-v1"), "Pendulum-v1"),
        ("sequence_length", np.int8(8), 8),
        ("network", Items(hidden_sizes=[8]), NetworkConfig(hidden_sizes=(8,))),
        ("network", ConfigDict(hidden_sizes=(8,)), NetworkConfig(hidden_sizes=(8,))),
        ("env_params", {"g": np.float32(0.5)}, (("g", 0.5),)),
        ("env_params", ConfigDict(b=1, a=True), (("a", True), ("b", 1))),
        ("env_params", [["g", [1, 2.5]]], (("g", (1, 2.5)),)),
        ("env_params", {"g": jnp.float32(0.5)}, (("g", 0.5),)),
    ],
    ids=identify,
)
def test_values_that_mean_plain_ones_are_stored_as_those(name, value, plain):
    network = {"network": RECURRENT} if name == "sequence_length" else {}
    stored = getattr(small(**{name: value} | network), name)
    assert stored == plain
    assert type(stored) is type(plain)


@pytest.mark.parametrize(
    "sizes", [[8, 4], np.array([8, 4]), collections.UserList([8, np.int64(4)])], ids=repr
)
def test_sequences_of_widths_become_tuples_of_ints(sizes):
    stored = NetworkConfig(hidden_sizes=sizes).hidden_sizes
    assert stored == (8, 4)
    assert {type(size) for size in stored} == {int}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"g": None}, "^env_params.g = None is not a plain value"),
        ({"g": [[1]]}, r"^env_params.g = \[1\] is not a plain value"),
        ({1: 2}, "^env_params has the name 1; give names as text"),
    ],
    ids=str,
)
def test_environment_parameters_that_are_not_plain_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        small(env_params=params)


def test_config_of_containers_comes_from_them_too():
    settings = ConfigDict(num_envs=np.int64(8), network=Items(cell="gru"), env_params=Items(g=1.0))
    settings.items_of["num_minibatches"] = 8
    gru = NetworkConfig(cell="gru")
    expected = Config(num_envs=8, num_minibatches=8, network=gru, env_params={"g": 1.0})
    assert Config.from_dict(settings) == expected


KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "value",
    [
        [1, [2, 3]],
        KEY,
        object(),
        10**400,
        10**5000,
        b"1",
        {"a": 1},
        1j,
        KEY.dtype,
        "abc",
        True,
        None,
    ],
    ids=[
        "ragged",
        "key",
        "object",
        "huge",
        "giant",
        "bytes",
        "dict",
        "1j",
        "dtype",
        "text",
        "truth",
        "none",
    ],
)
@pytest.mark.parametrize("name", ["alpha", "num_envs", "total_timesteps", "adam_eps", "gamma"])
def test_objects_where_numbers_belong_are_refused_by_name(name, value):
    named = "num_envs" if name == "total_timesteps" else name
    with pytest.raises(ValueError, match=rf"{name}|{named}"):
        small(**{name: value})
    if name in HYPERPARAMETERS:
        with pytest.raises(ValueError, match=f"^{name} = "):
            Config().hyperparams().replace(**{name: value})


@pytest.mark.parametrize("name", [*HYPERPARAMETERS, *STATIC_POSITIVE])
def test_numbers_that_float32_does_not_hold_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name} = 1e-46 .* 0 in float32; give .*1.2e-38"):
        small(**{name: 1e-46})
    with pytest.raises(ValueError, match=f"^{name} = 1e-40 .* 0 in float32"):  # XLA flushes it
        small(**{name: 1e-40})
    with pytest.raises(ValueError, match=rf"^{name} = 1e\+39 is out of range"):
        small(**{name: 1e39})
    if name in HYPERPARAMETERS:
        with pytest.raises(ValueError, match=f"^{name} = 1e-46 "):
            Config().hyperparams().replace(**{name: [0.5, 1e-46]})


# Limits.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_timesteps": 1e14}, r"= 100000000000000 is more than 2147483647 updates .*at most"),
        ({"total_timesteps": 10**5000}, "total_timesteps = .* is more than 2147483647 updates"),
        ({"total_timesteps": 2**31 * 32}, f"give at most {(2**31 - 1) * 32}, or larger num_envs"),
        ({"num_envs": 10**9 + 1, "num_steps": 1, "total_timesteps": 10**10}, "num_minibatches = 2"),
        ({"num_envs": 2**20, "num_steps": 2**11}, "is more than 2147483647 steps in one update"),
        ({"update_epochs": 2**30}, "update_epochs = 1073741824 .*; give at most 1073741823"),
        (
            {"reward_shaper": lambda r, t, n: r, "total_timesteps": 2**30 * 32},
            "timesteps in each environment",
        ),
    ],
    ids=["1e14", "giant", "updates", "prime batch", "batch", "epochs", "shaper"],
)
def test_counts_beyond_int32_are_refused_at_once_with_the_limit(changes, message):
    start = time.monotonic()
    with pytest.raises(ValueError, match=message):
        small(**changes)
    assert time.monotonic() - start < 1.0
    assert small(total_timesteps=(2**31 - 1) * 32).num_updates == 2**31 - 1  # the largest


def test_minibatch_of_one_normalised_advantage_is_refused():
    message = r"num_minibatches = 32 .* 4 \* 8 = 32 leaves one sample in each minibatch.*at most 16"
    with pytest.raises(ValueError, match=message):
        small(num_minibatches=32)
    for other in ("batch", "none"):
        assert small(num_minibatches=32, advantage_normalization=other).minibatch_size == 1
    one = {"num_envs": 1, "num_steps": 1, "num_minibatches": 1}
    with pytest.raises(ValueError, match=r"one sample in each batch.*larger num_envs or num_steps"):
        small(**one, advantage_normalization="batch")
    assert small(**one, advantage_normalization="none").batch_size == 1


# Objects that cannot be hashed.


@dataclasses.dataclass
class UnhashableEnv:
    values: list


class ArrayModule(nn.Module):
    weights: object

    def __call__(self, obs):
        return obs, obs, obs


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("env", lambda: UnhashableEnv([1])),
        ("network", lambda: ArrayModule(np.ones(3))),
        ("network", lambda: ArrayModule([64, 64])),
    ],
    ids=["dataclass", "array", "list"],
)
def test_objects_that_cannot_be_hashed_are_compared_by_identity(name, make):
    value = make()
    cfg = small(**{name: value})
    assert cfg == small(**{name: value})
    assert hash(cfg) == hash(small(**{name: value}))
    assert cfg != small(**{name: make()})
    assert cfg != small()
    assert cfg != small(**{name: value}, alpha=0.1)


# Reward shapers.


def shape(reward, timestep, timesteps):
    return reward


@pytest.mark.parametrize(
    "shaper",
    [shape, lambda *args: args[0], lambda r, t, n, scale=2.0: scale * r, functools.partial(shape)],
    ids=["function", "star", "default", "partial"],
)
def test_reward_shaper_of_three_arguments_is_taken(shaper):
    assert small(reward_shaper=shaper).reward_shaper is shaper


@pytest.mark.parametrize(
    "shaper",
    [lambda r: r, lambda r, t, n, scale: r, lambda *, reward: reward, lambda: 0.0],
    ids=["one", "four", "keywords", "none"],
)
def test_reward_shaper_of_another_signature_is_refused_by_name(shaper):
    with pytest.raises(
        ValueError, match=r"^reward_shaper = .*; give a function \(reward, timestep"
    ):
        small(reward_shaper=shaper)


# Texts.


@pytest.mark.parametrize("cls", [Config, HyperParams, NetworkConfig])
def test_help_shows_each_field_its_default_and_meaning(cls):
    text = " ".join(pydoc.render_doc(cls, renderer=pydoc.plaintext).replace("|", " ").split())
    settings = settings_of(cls)
    assert list(settings) == [field.name for field in dataclasses.fields(cls)]
    for field in dataclasses.fields(cls):
        default = field.default
        shown = f" Default: {default!r}." if isinstance(default, int | float | str) else ""
        assert f"{field.name}: {settings[field.name].text}{shown}" in text


def test_ranges_are_part_of_the_texts():
    assert settings_of(Config)["gamma"].text == "Discount per step. In [0, 1]."
    assert settings_of(Config)["num_envs"].text.endswith(" At least 1.")


def test_config_holds_a_default_for_each_hyperparameter():
    assert {name: settings_of(Config)[name].text for name in HYPERPARAMETERS} == {
        name: settings_of(HyperParams)[name].text for name in HYPERPARAMETERS
    }
