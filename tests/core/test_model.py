"""A config's environment and network are built once for each public call."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from toys import make_counter

import rpojax
from rpojax import NetworkConfig
from rpojax.core import model as model_module
from rpojax.core.acting import policy_obs
from rpojax.core.model import make_model
from rpojax.core.normalize import init_stats
from rpojax.programs.trainer import trainer_for
from rpojax.types import TrainState

CFG = rpojax.Config(
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    total_timesteps=64,
    network=NetworkConfig(hidden_sizes=(8,)),
)


@pytest.fixture(scope="module")
def state():
    return jax.jit(rpojax.make_trainer(CFG).init)(jax.random.key(0))


@pytest.fixture
def builds(monkeypatch):
    """What is built, by name, in order."""
    built = []

    def counting(name, function):
        def build(*args):
            built.append(name)
            return function(*args)

        return build

    monkeypatch.setattr(
        model_module, "make_network", counting("network", model_module.make_network)
    )
    monkeypatch.setattr(model_module.envs, "make", counting("environment", model_module.envs.make))
    return built


@pytest.mark.parametrize(("normalize", "dtype"), [(True, "float32"), (False, "int32")])
def test_network_sees_whole_numbers_unless_they_are_normalised(normalize, dtype):
    env = dataclasses.replace(make_counter(), obs=jax.ShapeDtypeStruct((2,), jnp.int32))
    cfg = CFG.replace(env=env, normalize_observations=normalize)
    assert model_module.seen_obs(cfg, env).dtype == dtype
    state = TrainState(**dict.fromkeys(field.name for field in dataclasses.fields(TrainState)))
    if normalize:
        state = state.replace(obs_stats=init_stats(env.obs))
    seen = policy_obs(cfg, state, jnp.ones((3, 2), jnp.int32))
    assert (seen.shape, seen.dtype) == ((3, 2), dtype)


def evaluate(cfg, state, path):
    return rpojax.evaluate(cfg, state, jax.random.key(1), 2, max_steps=7)


CALLS = {
    "make_train": lambda cfg, state, path: jax.eval_shape(
        rpojax.make_train(cfg), jax.random.key(0)
    ),
    "make_trainer": lambda cfg, state, path: rpojax.make_trainer(cfg),
    "make_policy": lambda cfg, state, path: rpojax.make_policy(cfg, state)(jnp.zeros(3)),
    "evaluate": evaluate,
    "export_params": lambda cfg, state, path: rpojax.export_params(
        cfg, state, path / "params.npz", part="policy"
    ),
    "export_policy": lambda cfg, state, path: rpojax.export_policy(cfg, state, path / "policy"),
    "render_episode": lambda cfg, state, path: rpojax.render_episode(
        cfg, state, path / "episode.gif", jax.random.key(0), max_steps=2
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_public_call_builds_once(name, state, builds, tmp_path):
    CALLS[name](CFG.replace(adam_eps=2e-5), state, tmp_path)
    assert builds == ["environment", "network"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", [None, {"env": "Pendulum-v1"}, "Pendulum-v1", [CFG]])
def test_what_is_no_config_is_refused(name, wrong, state, tmp_path):
    with pytest.raises(ValueError, match=r"cfg = .* is not an rpojax.Config; make one"):
        CALLS[name](wrong, state, tmp_path)


def test_model_made_while_tracing_holds_no_tracers():
    made = []

    @jax.jit
    def traced(number):
        made.append(make_model(CFG))
        return number

    traced(1.0)
    trainer = trainer_for(made[0])
    state, _ = jax.jit(lambda key: trainer.iterate(trainer.init(key)))(jax.random.key(0))
    assert state.update_count == 1
