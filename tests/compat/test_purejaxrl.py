"""Settings of PureJaxRL and of plain dictionaries, as a Config."""

import dataclasses
import json
import re

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rpojax
from rpojax import Config, NetworkConfig
from rpojax.compat import from_purejaxrl


def identify(value):
    """A test's name, without addresses: parallel workers must agree on it."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def difference(cfg, base):
    """The fields of a config that differ from those of another."""
    return {
        field.name: getattr(cfg, field.name)
        for field in dataclasses.fields(Config)
        if getattr(cfg, field.name) != getattr(base, field.name)
    }


PUREJAXRL = {  # of its ppo_continuous_action.py
    "LR": 3e-4,
    "NUM_ENVS": 2048,
    "NUM_STEPS": 10,
    "TOTAL_TIMESTEPS": 5e7,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 32,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.0,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ENV_NAME": "hopper",
    "ANNEAL_LR": False,
    "NORMALIZE_ENV": True,
    "DEBUG": True,
}
AS_PUREJAXRL = Config(
    env="hopper",
    num_envs=2048,
    num_steps=10,
    total_timesteps=50_000_000,
    update_epochs=4,
    lr_schedule="constant",
)


def test_config_of_purejaxrl_is_understood():
    assert Config.from_dict(PUREJAXRL) == from_purejaxrl(PUREJAXRL) == AS_PUREJAXRL


def test_changes_take_precedence():
    changed = from_purejaxrl(PUREJAXRL | {"GAMMA": "bad"}, gamma=0.9, alpha=0.0)
    assert changed == AS_PUREJAXRL.replace(gamma=0.9, alpha=0.0)
    with pytest.raises(ValueError, match="unknown setting 'aplha'; did you mean 'alpha'"):
        from_purejaxrl(PUREJAXRL, aplha=0.0)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"LR": 1e-3}, {"learning_rate": 1e-3}),
        ({"NUM_ENVS": 1024}, {"num_envs": 1024}),
        ({"NUM_STEPS": 20}, {"num_steps": 20}),
        ({"TOTAL_TIMESTEPS": 1e6}, {"total_timesteps": 1_000_000}),
        ({"UPDATE_EPOCHS": 2}, {"update_epochs": 2}),
        ({"NUM_MINIBATCHES": 16}, {"num_minibatches": 16}),
        ({"GAMMA": 0.9}, {"gamma": 0.9}),
        ({"GAE_LAMBDA": 0.9}, {"gae_lambda": 0.9}),
        ({"CLIP_EPS": 0.1}, {"clip_eps": 0.1, "value_clip": 0.1}),
        ({"CLIP_EPS": 0.1, "value_clip": 0.3}, {"clip_eps": 0.1, "value_clip": 0.3}),
        ({"ENT_COEF": 0.01}, {"ent_coef": 0.01}),
        ({"VF_COEF": 1.0}, {"vf_coef": 1.0}),
        ({"MAX_GRAD_NORM": 1.0}, {"max_grad_norm": 1.0}),
        ({"ACTIVATION": "relu"}, {"network": NetworkConfig(activation="relu")}),
        (
            {"ACTIVATION": "relu", "network": {"hidden_sizes": [256, 256]}},
            {"network": NetworkConfig(activation="relu", hidden_sizes=(256, 256))},
        ),
        ({"ENV_NAME": "ant"}, {"env": "ant"}),
        ({"ANNEAL_LR": True}, {"lr_schedule": "linear"}),
        (
            {"NORMALIZE_ENV": False},
            {"normalize_observations": False, "normalize_rewards": False},
        ),
        ({"DEBUG": False}, {}),
        ({"NUM_UPDATES": 3, "MINIBATCH_SIZE": 4}, {}),  # as its make_train leaves them behind
        (
            {"ALPHA": 0.0, "TIME_LIMIT_BOOTSTRAP": False},
            {"alpha": 0, "time_limit_bootstrap": False},
        ),
    ],
    ids=identify,
)
def test_key_of_purejaxrl_changes_its_fields_alone(given, changed):
    settings = dict(PUREJAXRL)
    before = dict(settings)
    assert difference(Config.from_dict(settings | given), AS_PUREJAXRL) == changed
    assert settings == before


ALL_SET = Config(
    env="MountainCarContinuous-v0",
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    network=NetworkConfig(hidden_sizes=(8, 4), activation="elu", log_std_init=-1.0),
    learning_rate=jnp.float32(0.25),
    alpha=np.float64(0.1),
    lr_schedule="kl_adaptive",
    learning_starts=32,
    normalize_values=True,
    env_params={"max_steps_in_episode": 50, "goal": [1, 2.5]},
)


@pytest.mark.parametrize("cfg", [Config(), ALL_SET, AS_PUREJAXRL], ids=lambda c: c.env)
def test_config_comes_back_from_its_dictionary_and_from_json(cfg):
    settings = cfg.to_dict()
    assert list(settings) == [field.name for field in dataclasses.fields(Config)]
    assert Config.from_dict(settings) == cfg
    through_json = json.loads(json.dumps(settings))
    assert through_json == settings
    assert Config.from_dict(through_json) == cfg


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("env", rpojax.envs.make("Pendulum-v1")),
        ("network", lambda rngs: None),
        ("lr_schedule", optax.linear_schedule(1.0, 0.5, 10)),
        ("reward_shaper", lambda reward, timestep, timesteps: 2.0 * reward),
    ],
)
def test_setting_that_is_an_object_has_no_place_in_a_dictionary(name, value):
    with pytest.raises(ValueError, match=f"{name} = .* is an object, .* replace it"):
        Config().replace(**{name: value}).to_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lerning_rate": 1}, "unknown setting 'lerning_rate'; did you mean 'learning_rate'"),
        ({"NUM_ENV": 1}, "unknown setting 'NUM_ENV'; did you mean 'NUM_ENVS'"),
        ({"ANEAL_LR": 1}, "unknown setting 'ANEAL_LR'; did you mean 'ANNEAL_LR'"),
        ({"LR": 1e-3, "learning_rate": 1e-3}, "'LR' and 'learning_rate' both set learning_rate"),
        ({"GAMMA": 0.9, "gamma": 0.9}, "'GAMMA' and 'gamma' both set gamma; give one"),
        ({"ANNEAL_LR": "yes"}, "ANNEAL_LR = 'yes' is not a truth value; give True or False"),
        ({"NORMALIZE_ENV": 1}, "NORMALIZE_ENV = 1 is not a truth value"),
        ({"network": {"hiden_sizes": [8]}}, "of the network 'hiden_sizes'; did you mean 'hidden_"),
        ({"network": {"activation": "tanh"}, "ACTIVATION": "relu"}, "both set activation"),
        ({"network": 3, "ACTIVATION": "relu"}, "network = 3; set it there"),
        ({1: 2}, "unknown setting '1'"),
        ([1], r"settings = \[1\] is not a dictionary"),
        ({"gamma": 2.0}, r"gamma = 2 is out of range; give a finite number in \[0, 1\]$"),
        ({"LR": -1.0}, r"learning_rate = -1 is .* \(learning_rate is set by 'LR'\)$"),
        ({"CLIP_EPS": 0}, r"clip_eps = 0 is .* \(clip_eps is set by 'CLIP_EPS'\)$"),
    ],
    ids=identify,
)
def test_dictionary_that_cannot_be_is_refused_with_the_remedy(settings, message):
    with pytest.raises(ValueError, match=message):
        Config.from_dict(settings)
