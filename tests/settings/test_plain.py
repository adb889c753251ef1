import dataclasses
import functools
import json

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

import rpojax
from rpojax import Config, NetworkConfig
from rpojax.settings.plain import describe, fields_to_plain, objects_in
from rpojax.settings.recorded import config_from_plain, hyperparams_from_plain, hyperparams_to_plain

CFG = Config(
    total_timesteps=10_000,
    num_envs=8,
    num_steps=16,
    num_minibatches=4,
    learning_rate=1.0 / 3.0,
    env_params={"g": 1.62},
    network=NetworkConfig(hidden_sizes=(7, 5), activation="elu"),
)


def recorded(cfg=CFG):
    return json.loads(json.dumps(fields_to_plain(cfg)))


def test_plain_config_comes_back_equal():
    assert config_from_plain(recorded()) == CFG


def test_every_field_of_a_config_is_recorded():
    assert list(fields_to_plain(CFG)) == [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("agents", [(), (3,)], ids=["one", "three"])
def test_hyperparams_come_back_bit_for_bit(agents):
    hyperparams = jax.tree.map(
        lambda leaf: np.full(agents, leaf / 3, np.float32), CFG.hyperparams()
    )
    record = json.loads(json.dumps(hyperparams_to_plain(hyperparams)))
    restored = hyperparams_from_plain(record, CFG.hyperparams())
    for new, old in zip(jax.tree.leaves(restored), jax.tree.leaves(hyperparams), strict=True):
        assert new.dtype == np.float32
        np.testing.assert_array_equal(new, old)


def test_hyperparameter_that_the_record_lacks_has_its_default():
    record = hyperparams_to_plain(CFG.hyperparams().replace(alpha=0.1))
    del record["gamma"]
    restored = hyperparams_from_plain(record, CFG.hyperparams().replace(gamma=0.8))
    assert (restored.alpha, restored.gamma) == (np.float32(0.1), np.float32(0.8))


def test_hyperparameter_of_a_newer_version_is_refused_by_name():
    record = hyperparams_to_plain(CFG.hyperparams()) | {"warp": 1.0}
    with pytest.raises(ValueError, match=r"hyperparameters .* does not know: warp; use"):
        hyperparams_from_plain(record, CFG.hyperparams())


def other(value):
    """Another value of the same type, for each plain field that may be changed alone."""
    if isinstance(value, bool):
        return not value
    return value / 2 if isinstance(value, float) and value else value * 2


@pytest.mark.parametrize("name", ["alpha", "gamma", "num_envs", "normalize_values", "network"])
def test_another_config_is_refused_with_the_field_and_both_values(name):
    changed = NetworkConfig() if name == "network" else other(getattr(CFG, name))
    with pytest.raises(ValueError, match="not the config of this run") as error:
        config_from_plain(recorded(), CFG.replace(**{name: changed}))
    if name == "network":
        assert "where the run has NetworkConfig(hidden_sizes=(7, 5)" in str(error.value)
    else:
        assert f"{name} = {changed!r} where the run has {getattr(CFG, name)!r}; leave" in str(
            error.value
        )
    assert config_from_plain(recorded(), CFG) is CFG


def test_several_differing_fields_are_all_named():
    with pytest.raises(ValueError, match=r"alpha = 0.25 where the run has 0.5; gamma = 0.5 where"):
        config_from_plain(recorded(), CFG.replace(alpha=0.25, gamma=0.5))


def make_shaper(scale):
    return lambda reward, timestep, timesteps: scale * reward


class Network(nn.Module):
    width: int = 8
    activation: object = nn.tanh


OBJECTS = {
    "closure": ("reward_shaper", make_shaper(0.5), make_shaper(0.25)),
    "module": ("network", Network(width=4), Network(width=5)),
    "function in a module": ("network", Network(), Network(activation=nn.relu)),
    "schedule": (
        "lr_schedule",
        optax.linear_schedule(1.0, 0.0, 78),
        optax.linear_schedule(1.0, 0.0, 79),
    ),
    "environment": (
        "env",
        rpojax.envs.make("Pendulum-v1"),
        rpojax.envs.make("Pendulum-v1", g=1.62),
    ),
}


@pytest.mark.parametrize(("name", "value", "different"), OBJECTS.values(), ids=OBJECTS)
def test_objects_are_described_and_have_to_be_passed(name, value, different):
    cfg = CFG.replace(**{name: value})
    record = recorded(cfg)
    assert objects_in(record) == {name: describe(value)}
    with pytest.raises(ValueError, match=rf"objects, .*a file cannot hold \({name} = .*cfg=\.\."):
        config_from_plain(record)
    with pytest.raises(ValueError, match=rf"{name} = .* is an object"):
        cfg.to_dict()
    assert config_from_plain(record, cfg) is cfg  # without a warning
    with pytest.raises(ValueError, match=rf"not the config of this run: {name} = "):
        config_from_plain(record, CFG)  # a plain value in place of the object
    changed = cfg.replace(**{name: different})
    with pytest.warns(UserWarning, match=rf"may not be .*: {name} = .* where the run has .*same"):
        assert config_from_plain(record, changed) is changed
    with pytest.raises(ValueError, match=r"not the config of this run: alpha = 0.25 where"):
        config_from_plain(record, changed.replace(alpha=0.25))


def longer(key):
    return {"l": 2.0}


def holding(value):
    return lambda: value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (nn.Dense, "flax.linen.linear:Dense"),
        (jax.jit(make_shaper), f"{__name__}:make_shaper"),
        (functools.partial(make_shaper, 2), f"{__name__}:make_shaper(0=2)"),
        (
            holding({"b", "c", "a"}),
            f"{__name__}:holding.<locals>.<lambda>(value=['a', 'b', 'c'])",
        ),
        (
            holding(np.eye(2)),
            f"{__name__}:holding.<locals>.<lambda>(value=[[1.0, 0.0], [0.0, 1.0]])",
        ),
        (
            holding({"f": nn.relu}),
            f"{__name__}:holding.<locals>.<lambda>(value={{f: {describe(nn.relu)}}})",
        ),
        (holding(object()), f"{__name__}:holding.<locals>.<lambda>(value=builtins:object)"),
        (object(), "builtins:object"),
        (
            rpojax.envs.randomized(rpojax.envs.make("Pendulum-v1", g=1.5), longer),
            "rpojax.envs.wrappers.episodes:randomized(0=rpojax.envs.registry:make("
            f"0='Pendulum-v1', g=1.5), 1={__name__}:longer)",
        ),
    ],
)
def test_description_is_an_import_path_with_plain_values(value, text):
    """So it depends neither on addresses nor on PYTHONHASHSEED."""
    assert describe(value) == text


def test_descriptions_are_one_short_line():
    for value in (rpojax.envs.make("Pendulum-v1"), Network(), holding(list(range(1000)))):
        text = describe(value)
        assert len(text) <= 300
        assert "\n" not in text


def test_setting_that_the_record_lacks_has_its_default():
    record = recorded()
    del record["alpha"], record["network"]["shared_torso"]
    assert config_from_plain(record) == CFG
    assert config_from_plain(record, CFG) is CFG
    with pytest.raises(ValueError, match=r"alpha = 0\.25 where the run has 0\.5"):
        config_from_plain(record, CFG.replace(alpha=0.25))


@pytest.mark.parametrize("cfg", [None, CFG])
@pytest.mark.parametrize("place", ["settings", "settings of the network"])
def test_setting_of_a_newer_version_is_refused_by_name(place, cfg):
    record = recorded()
    (record if place == "settings" else record["network"])["warp_factor"] = 9
    with pytest.raises(ValueError, match=f"{place} that .* does not know: warp_factor; use the"):
        config_from_plain(record, cfg)


def test_what_is_no_config_is_refused():
    with pytest.raises(ValueError, match=r"cfg = \{'alpha': 0.5\} is not a Config; give the one"):
        config_from_plain(recorded(CFG), {"alpha": 0.5})
