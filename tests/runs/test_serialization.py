import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from rpojax.runs.serialization import (
    config_to_json,
    describe,
    settings_from_json,
    settings_to_json,
)

import rpojax
from rpojax import Config, NetworkConfig
from rpojax.config import Config as ConfigClass
from rpojax.runs.settings import RunSettings

CFG = Config(
    total_timesteps=10_000,
    num_envs=8,
    num_steps=16,
    num_minibatches=4,
    learning_rate=1.0 / 3.0,
    network=NetworkConfig(hidden_sizes=(7, 5), activation="elu"),
)


def settings(cfg=CFG, **changes):
    defaults = {
        "num_seeds": 3,
        "seed": 5,
        "hyperparams": None,
        "log_every": 1,
        "eval_every": 0,
        "eval_episodes": 2,
        "checkpoint_every": 4,
        "keep_checkpoints": 3,
    }
    return RunSettings(cfg=cfg, **(defaults | changes))


def through_json(value):
    return json.loads(json.dumps(value))


def test_plain_settings_come_back_equal():
    assert settings_from_json(through_json(settings_to_json(settings())), None) == settings()


def test_hyperparams_come_back_bit_for_bit():
    hyperparams = CFG.hyperparams().replace(alpha=0.1, gamma=1.0 / 3.0)
    record = through_json(settings_to_json(settings(hyperparams=hyperparams)))
    restored = settings_from_json(record, None).hyperparams
    for new, old in zip(jax.tree.leaves(restored), jax.tree.leaves(hyperparams), strict=True):
        assert new.dtype == jnp.float32
        assert new == old


def other(value):
    """Another value of the same type, for each plain field that may be changed alone."""
    if isinstance(value, bool):
        return not value
    return value / 2 if isinstance(value, float) and value else value * 2


@pytest.mark.parametrize("name", ["alpha", "gamma", "num_envs", "normalize_values", "network"])
def test_another_config_is_refused_with_the_field_and_both_values(name):
    changed = NetworkConfig() if name == "network" else other(getattr(CFG, name))
    record = through_json(settings_to_json(settings()))
    with pytest.raises(ValueError, match="not the config of this run") as told:
        settings_from_json(record, CFG.replace(**{name: changed}))
    assert f"{name} = {changed!r} where the run has {getattr(CFG, name)!r}; leave" in str(
        told.value
    )
    assert settings_from_json(record, CFG) == settings()


def test_several_differing_fields_are_all_named():
    record = through_json(settings_to_json(settings()))
    with pytest.raises(ValueError, match=r"alpha = 0.25 where the run has 0.5; gamma = 0.5 where"):
        settings_from_json(record, CFG.replace(alpha=0.25, gamma=0.5))


def make_shaper(scale):
    return lambda reward, timestep, timesteps: scale * reward


class Network(nn.Module):
    width: int = 8
    activation: object = nn.tanh


@pytest.mark.parametrize(
    ("name", "value", "different"),
    [
        ("reward_shaper", make_shaper(0.5), make_shaper(0.25)),
        ("reward_shaper", lambda r, t, n: r * 0.5, lambda r, t, n: r * 0.25),
        ("network", Network(width=4), Network(width=5)),
        ("network", Network(activation=nn.tanh), Network(activation=nn.relu)),
        ("lr_schedule", optax.linear_schedule(1.0, 0.0, 78), optax.linear_schedule(1.0, 0.0, 79)),
        ("env", rpojax.envs.make("Pendulum-v1"), rpojax.envs.make("Pendulum-v1", g=1.62)),
    ],
    ids=["closure", "constant", "module", "function in a module", "schedule", "environment"],
)
def test_what_is_not_plain_has_to_be_passed_and_is_told_apart(name, value, different):
    cfg = CFG.replace(**{name: value})
    record = through_json(settings_to_json(settings(cfg)))
    with pytest.raises(ValueError, match=rf"holds what a file cannot \({name} = .*cfg=\.\.\."):
        settings_from_json(record, None)
    assert settings_from_json(record, cfg).cfg is cfg
    with pytest.raises(ValueError, match=rf"not the config of this run: {name} = "):
        settings_from_json(record, CFG.replace(**{name: different}))
    with pytest.raises(ValueError, match=rf"{name} = "):
        settings_from_json(record, CFG)


def test_descriptions_are_one_short_line_and_hold_no_address():
    for value in (make_shaper(2), Network(), rpojax.envs.make("Pendulum-v1"), object(), nn.tanh):
        text = describe(value)
        assert len(text) <= 300
        assert "\n" not in text
        assert "0x" not in text
    assert describe(make_shaper(2)) == describe(make_shaper(2)) != describe(make_shaper(3))


def test_field_that_an_older_version_did_not_have_is_at_its_default():
    record = through_json(settings_to_json(settings()))
    del record["cfg"]["alpha"]
    del record["cfg"]["network"]["shared_torso"]
    assert settings_from_json(record, None) == settings()
    assert settings_from_json(record, CFG) == settings()
    with pytest.raises(ValueError, match=r"alpha = 0\.25 where the run has 0\.5"):
        settings_from_json(record, CFG.replace(alpha=0.25))


def test_field_of_a_newer_version_is_refused():
    record = through_json(settings_to_json(settings()))
    record["cfg"]["warp_factor"] = 9
    with pytest.raises(ValueError, match="does not know: warp_factor; use the version"):
        settings_from_json(record, None)


@pytest.mark.parametrize("cfg", [None, CFG])
@pytest.mark.parametrize(
    "place", [("cfg", "network", "type"), ("cfg", "network", "wings"), ("warp",)]
)
def test_other_things_of_a_newer_version_are_refused(place, cfg):
    record = through_json(settings_to_json(settings()))
    inner = record
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = "Transformer"
    with pytest.raises(ValueError, match=r"does not understand .*; use the version that recorded"):
        settings_from_json(record, cfg)


def test_every_field_of_a_config_is_recorded():
    fields = [field.name for field in dataclasses.fields(ConfigClass)]
    assert list(config_to_json(CFG)) == fields
