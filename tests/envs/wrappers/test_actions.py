"""Bounds, delay and repetition of actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import LIMIT, keys, make_counter

from rpojax import envs


def received(env, actions):
    """What the counter receives in its first dimension for each of some actions, one episode."""
    state, obs = env.reset(keys(1), {})
    found = []
    for action in actions:
        before = obs[0, 1]
        state, timestep = env.step(keys(1), state, jnp.array([[action, 0.0]]), {})
        obs = timestep.obs
        found.append(float(obs[0, 1] - before))
    return np.array(found)


def test_clipped_actions_stay_within_narrower_bounds():
    env = envs.clip_action(make_counter(), [-0.5, -9.0], 0.25)
    np.testing.assert_array_equal(env.action_low, [-0.5, -1.0])
    np.testing.assert_array_equal(env.action_high, [0.25, 0.25])
    np.testing.assert_allclose(received(env, [-1.0, 0.1, 1.0]), [-0.5, 0.1, 0.25], atol=1e-6)


def test_clipping_gives_infinite_bounds_an_end():
    infinite = dataclasses.replace(make_counter(), action_high=np.full(2, np.inf))
    np.testing.assert_array_equal(envs.clip_action(infinite, -3.0, 3.0).action_high, [3.0, 3.0])


def test_rescaled_actions_are_mapped_onto_the_bounds():
    wide = dataclasses.replace(make_counter(), action_low=np.array([-4.0, -1.0]))
    env = envs.rescale_action(wide, 0.0, 10.0)
    np.testing.assert_array_equal(env.action_high, [10.0, 10.0])
    expected = [-4.0, -1.5, 1.0, 1.0]
    np.testing.assert_allclose(received(env, [0.0, 5.0, 10.0, 12.0]), expected, atol=1e-6)


def test_actions_take_effect_late_and_are_0_before():
    for delay in range(3):
        env = envs.action_delay(make_counter(), delay)
        expected = [0.0] * delay + [0.5, 0.25, -0.5, 1.0][: 4 - delay]
        found = received(env, [0.5, 0.25, -0.5, 1.0])
        np.testing.assert_allclose(found, expected, atol=1e-6)
    above = envs.clip_action(make_counter(), 0.5, 1.0)
    np.testing.assert_allclose(received(envs.action_delay(above, 1), [1.0, 1.0]), [0.5, 1.0])


def test_each_episode_draws_its_delay_uniformly():
    env = envs.action_delay(make_counter(), (0, 3))
    counts = np.bincount(env.reset(keys(4096), {})[0].delay)
    assert len(counts) == 4
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_repeated_action_adds_rewards_and_stops_at_the_end():
    env = envs.action_repeat(make_counter(render_fps=30.0), 3)
    assert (env.max_episode_steps, env.render_fps) == (-(-LIMIT // 3), 10.0)
    state, _ = env.reset(keys(2), {})
    action = jnp.array([[0.5, 0.0], [0.5, 1.0]])  # the second terminates at once
    state, timestep = env.step(keys(2), state, action, {})
    np.testing.assert_array_equal(timestep.obs[:, 0], [3.0, 1.0])
    np.testing.assert_allclose(timestep.reward, [1.5, 0.5])
    np.testing.assert_array_equal(timestep.terminated, [False, True])
    for _ in range(2):
        state, timestep = env.step(keys(2), state, action, {})
    assert timestep.truncated[0]
    np.testing.assert_allclose(timestep.obs[0, 0], LIMIT)  # 7 steps in three actions


def test_steps_of_a_repeated_action_have_keys_of_their_own():
    plain = make_counter()

    def step(all_keys, state, action, params):
        noise = jax.vmap(jax.random.normal)(all_keys)
        return plain.step(all_keys, state, action.at[:, 0].set(noise), params)

    env = envs.action_repeat(dataclasses.replace(plain, step=step), 2)
    state, obs = env.reset(keys(256), {})
    _, timestep = env.step(keys(256, 1), state, jnp.zeros((256, 2)), {})
    moved = np.asarray(timestep.obs - obs)[:, 1]
    assert 1.6 < moved.var() < 2.5  # 4 for the same number twice


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda env: envs.clip_action(env, 0.5, 0.5), "are not below .*give a lower low"),
        (lambda env: envs.clip_action(env, [0.0] * 3, 1.0), r"low has the shape \(3,\)"),
        (lambda env: envs.rescale_action(env, -np.inf, 1.0), "low and high are .*give finite"),
        (lambda env: envs.action_repeat(env, 0), "times = 0 is not allowed"),
        (lambda env: envs.action_delay(env, -1), "fewest steps = -1 is not allowed"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(make_counter())


def test_infinite_bounds_cannot_be_rescaled():
    infinite = dataclasses.replace(make_counter(), action_high=np.full(2, np.inf))
    with pytest.raises(ValueError, match=r"those of 'Counter-v0' are .*clip_action"):
        envs.rescale_action(infinite)
