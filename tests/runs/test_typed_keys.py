"""Typed PRNG keys in an environment's state, as those of Playground have, everywhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits, leaves

import rpojax
from rpojax import fit
from rpojax.envs import Env, TimeStep, check_env

pytestmark = pytest.mark.optimized

LIMIT = 5


def keyed(impl):
    """A position with noise from the key in the state, which is split in each step."""

    def reset_one(key, params):
        position_key, rng_key = jax.random.split(key)
        position = jax.random.uniform(position_key, (1,))
        rng = jax.random.key(jax.random.bits(rng_key) >> 1, impl=impl)
        return {"position": position, "time": jnp.int32(0), "rng": rng}, position

    def step_one(_, state, action, params):
        rng, noise_key = jax.random.split(state["rng"])
        noise = jax.random.normal(noise_key, (1,))
        position = state["position"] + 0.1 * action + 0.1 * noise
        time = state["time"] + 1
        reward = -jnp.abs(position[0])
        following = {"position": position, "time": time, "rng": rng}
        return following, TimeStep(position, reward, jnp.array(False), time >= LIMIT)

    return Env(
        name="keyed",
        reset=jax.vmap(reset_one),
        step=jax.vmap(step_one),
        obs=jax.ShapeDtypeStruct((1,), jnp.float32),
        action_low=[-1.0],
        action_high=[1.0],
        max_episode_steps=LIMIT,
    )


def config(impl, **changes):
    return rpojax.Config(
        env=keyed(impl),
        num_envs=4,
        num_steps=8,
        num_minibatches=2,
        update_epochs=1,
        total_timesteps=4 * 8 * 4,
        network=rpojax.NetworkConfig(hidden_sizes=(4,)),
        **changes,
    )


@pytest.fixture(scope="module", params=["threefry2x32", "rbg"])
def cfg(request):
    return config(request.param)


@pytest.fixture(scope="module")
def state(cfg):
    return jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).state


def test_check_env_passes(cfg):
    check_env(cfg.env, num_steps=20)
    with jax.debug_key_reuse(True):
        check_env(cfg.env, num_steps=20)


@pytest.mark.parametrize("resets", ["exact", "pool"])
def test_training(cfg, resets):
    with jax.debug_key_reuse(True):
        result = jax.jit(rpojax.make_train(cfg.replace(resets=resets)))(jax.random.key(0))
    assert bool(result.finite)
    (keys,) = leaves(result.state.env_state["rng"])
    assert len(np.unique(keys, axis=0)) == 4


def test_evaluation(cfg, state):
    played = rpojax.evaluate(cfg, state, jax.random.key(1), num_episodes=6)
    np.testing.assert_array_equal(played.episode_length, LIMIT)
    assert len(np.unique(played.episode_return)) == 6


def test_rendering(cfg, state, tmp_path):
    seen = []
    rpojax.render_episode(
        cfg, state, tmp_path / "a.gif", jax.random.key(1), draw=lambda _, one: seen.append(one)
    )
    keys = np.stack([leaves(one["rng"])[0] for one in seen])
    assert len(np.unique(keys, axis=0)) == LIMIT + 1


def test_export(cfg, state, tmp_path):
    rpojax.export_policy(cfg, state, tmp_path / "policy", platforms=("cpu",))
    policy = jax.export.deserialize(bytearray((tmp_path / "policy").read_bytes()))
    obs = np.float32([[0.1], [0.7]])
    np.testing.assert_allclose(policy.call(obs), rpojax.make_policy(cfg, state)(obs), atol=1e-6)


def test_fit_saves_and_resumes_them(cfg, tmp_path):
    def stop(progress):
        return progress.updates >= 1

    settings = {"num_seeds": 2, "eval_every": 2, "eval_episodes": 2}
    whole = fit(cfg, **settings)
    fit(cfg, **settings, checkpoint_dir=tmp_path, on_chunk=stop)
    assert_same_bits(rpojax.resume(tmp_path, cfg=cfg), whole)
    assert_same_bits(rpojax.load(tmp_path, cfg=cfg).result.state, whole.state)


def test_diverging_steps_keep_them_intact(cfg):
    """The last finite state is chosen among keys too."""

    def step(keys, state, action, params):
        following, timestep = cfg.env.step(keys, state, action, params)
        bad = following["time"] == 2
        return following, timestep._replace(reward=jnp.where(bad, jnp.nan, timestep.reward))

    env = dataclasses.replace(cfg.env, step=step)
    changed = cfg.replace(env=env)
    state = jax.jit(rpojax.make_train(changed))(jax.random.key(0)).state
    played = rpojax.evaluate(changed, state, jax.random.key(1), num_episodes=3)
    assert played.invalid.all()
    np.testing.assert_array_equal(played.episode_length, 2)
