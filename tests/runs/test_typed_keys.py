"""Typed PRNG keys in an environment's state, as those of Playground have, everywhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits, leaves
from stopped_runs import stopped_after

import rpojax
from rpojax import fit
from rpojax.envs import Env, TimeStep, check_env

pytestmark = pytest.mark.usefixtures("programs_shared")

LIMIT = 5
KINDS = ("threefry2x32", "rbg")  # of 2 words, and of 4


def keyed():
    """A position with noise from keys in the state, one of each kind, split in each step."""

    def reset_one(key, params):
        position_key, *rng_keys = jax.random.split(key, 3)
        position = jax.random.uniform(position_key, (1,))
        rng = {
            kind: jax.random.key(jax.random.bits(rng_key) >> 1, impl=kind)
            for kind, rng_key in zip(KINDS, rng_keys, strict=True)
        }
        return {"position": position, "time": jnp.int32(0), "rng": rng}, position

    def step_one(_, state, action, params):
        rng, noise = {}, 0.0
        for kind, key in state["rng"].items():
            rng[kind], noise_key = jax.random.split(key)
            noise += jax.random.normal(noise_key, (1,))
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


CFG = rpojax.Config(
    env=keyed(),
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=1,
    total_timesteps=4 * 8 * 4,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)


@pytest.fixture(scope="module")
def state():
    return train(CFG).state


def train(cfg):
    with jax.debug_key_reuse(True):
        return jax.jit(rpojax.make_train(cfg))(jax.random.key(0))


def test_check_env_passes():
    with jax.debug_key_reuse(True):
        check_env(CFG.env, num_steps=20)


@pytest.mark.slow
def test_training_keeps_the_keys_of_environments_apart(state):
    for kept in (state, train(CFG.replace(resets="pool")).state):
        for kind in KINDS:
            (keys,) = leaves(kept.env_state["rng"][kind])
            assert len(np.unique(keys, axis=0)) == 4


def test_evaluation(state):
    played = rpojax.evaluate(CFG, state, jax.random.key(1), num_episodes=6)
    np.testing.assert_array_equal(played.episode_length, LIMIT)
    assert len(np.unique(played.episode_return)) == 6


def test_rendering(state, tmp_path):
    seen = []
    rpojax.render_episode(
        CFG, state, tmp_path / "a.gif", jax.random.key(1), draw=lambda _, one: seen.append(one)
    )
    for kind in KINDS:
        keys = np.stack([leaves(one["rng"][kind])[0] for one in seen])
        assert len(np.unique(keys, axis=0)) == LIMIT + 1


def test_export(state, tmp_path):
    rpojax.export_policy(CFG, state, tmp_path / "policy", platforms=("cpu",))
    policy = jax.export.deserialize(bytearray((tmp_path / "policy").read_bytes()))
    obs = np.float32([[0.1], [0.7]])
    np.testing.assert_allclose(policy.call(obs), rpojax.make_policy(CFG, state)(obs), atol=1e-6)


def test_fit_saves_and_resumes_them(tmp_path):
    saved = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 1, "keep_checkpoints": 5}
    whole = fit(CFG, num_seeds=2, eval_every=2, eval_episodes=2, **saved)
    at = stopped_after(tmp_path / "run", 1, tmp_path / "stopped")
    assert_same_bits(rpojax.resume(at, cfg=CFG), whole)
    assert_same_bits(rpojax.load(at, cfg=CFG).result.state, whole.state)


def test_diverging_steps_keep_them_intact():
    """The last finite state is chosen among keys too."""

    def step(keys, state, action, params):
        following, timestep = CFG.env.step(keys, state, action, params)
        bad = following["time"] == 2
        return following, timestep._replace(reward=jnp.where(bad, jnp.nan, timestep.reward))

    changed = CFG.replace(env=dataclasses.replace(CFG.env, step=step))
    state = jax.jit(rpojax.make_train(changed))(jax.random.key(0)).state
    played = rpojax.evaluate(changed, state, jax.random.key(1), num_episodes=3)
    assert played.invalid.all()
    np.testing.assert_array_equal(played.episode_length, 2)
