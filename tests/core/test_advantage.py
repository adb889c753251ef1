"""GAE against a loop over time, and its two limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.core.advantage import generalized_advantage

T, B = 40, 6
GAMMA, LAMBDA = 0.97, 0.9
NAMES = ("reward", "value", "next_value", "terminated", "done")


def random_rollout(seed, end_probability=0.15):
    """Rollouts in which about a seventh of the steps end an episode, in either way."""
    rng = np.random.default_rng(seed)
    value = rng.normal(size=(T, B))
    next_value = np.concatenate([value[1:], rng.normal(size=(1, B))])
    end = rng.random((T, B)) < end_probability
    terminated = end & (rng.random((T, B)) < 0.5)
    next_value = np.where(end, rng.normal(size=(T, B)), next_value)  # of the final observation
    return {
        "reward": rng.normal(size=(T, B)),
        "value": value,
        "next_value": next_value,
        "terminated": terminated,
        "done": end,
    }


def gae(rollout, gamma=GAMMA, gae_lambda=LAMBDA):
    arrays = [
        jnp.asarray(rollout[name], None if rollout[name].dtype == bool else jnp.float32)
        for name in NAMES
    ]
    advantage = generalized_advantage(*arrays, jnp.float32(gamma), jnp.float32(gae_lambda))
    return np.asarray(advantage, np.float64)


def loop_gae(rollout, gamma, gae_lambda):
    """The sum over k of (gamma lambda)^k delta_{t+k} within the episode, one by one."""
    advantage = np.zeros((T, B))
    for b in range(B):
        for t in range(T):
            weight = 1.0
            for k in range(t, T):
                delta = rollout["reward"][k, b] - rollout["value"][k, b]
                if not rollout["terminated"][k, b]:
                    delta += gamma * rollout["next_value"][k, b]
                advantage[t, b] += weight * delta
                if rollout["done"][k, b]:
                    break
                weight *= gamma * gae_lambda
    return advantage


@pytest.mark.parametrize(
    ("gamma", "gae_lambda"), [(0.99, 0.95), (0.9, 0.5), (1.0, 1.0), (0.0, 0.9)]
)
def test_matches_a_loop(gamma, gae_lambda):
    rollout = random_rollout(0)
    assert rollout["terminated"].any()
    assert (rollout["done"] & ~rollout["terminated"]).any()
    expected = loop_gae(rollout, gamma, gae_lambda)
    np.testing.assert_allclose(gae(rollout, gamma, gae_lambda), expected, rtol=1e-4, atol=1e-4)


def test_hand_computed_example():
    """gamma = lambda = 1/2: delta_1 = 3 + 4 - 2 = 5, delta_0 = 1 + 1 - 4 = -2, A_0 = -2 + 5/4."""
    rollout = {
        "reward": np.array([[1.0], [3.0]]),
        "value": np.array([[4.0], [2.0]]),
        "next_value": np.array([[2.0], [8.0]]),
        "terminated": np.zeros((2, 1), bool),
        "done": np.zeros((2, 1), bool),
    }
    np.testing.assert_allclose(gae(rollout, 0.5, 0.5), [[-0.75], [5.0]], rtol=1e-6)


def test_lambda_zero_is_the_one_step_error():
    rollout = random_rollout(1)
    future = np.where(rollout["terminated"], 0.0, rollout["next_value"])
    expected = rollout["reward"] + GAMMA * future - rollout["value"]
    np.testing.assert_allclose(gae(rollout, gae_lambda=0.0), expected, rtol=1e-5, atol=1e-5)


def test_lambda_one_is_the_discounted_return_with_bootstrap_minus_the_value():
    rollout = random_rollout(2)
    expected = np.zeros((T, B))
    for b in range(B):
        for t in range(T):
            total, discount = 0.0, 1.0
            for k in range(t, T):
                total += discount * rollout["reward"][k, b]
                discount *= GAMMA
                last = rollout["done"][k, b] or k == T - 1
                if last:
                    if not rollout["terminated"][k, b]:
                        total += discount * rollout["next_value"][k, b]
                    break
            expected[t, b] = total - rollout["value"][t, b]
    # The values in between cancel only if each step's next_value is the next step's value.
    np.testing.assert_allclose(gae(rollout, gae_lambda=1.0), expected, rtol=1e-4, atol=1e-4)


def test_termination_and_truncation_differ_in_exactly_the_bootstrap():
    rollout = random_rollout(3, end_probability=0.0)
    end, start = 20, 15
    rollout["done"][end] = True
    truncated = gae(rollout)
    rollout["terminated"][end] = True
    terminated = gae(rollout)
    bootstrap = GAMMA * rollout["next_value"][end]
    difference = truncated - terminated
    np.testing.assert_allclose(difference[end], bootstrap, rtol=1e-4, atol=1e-5)
    decay = (GAMMA * LAMBDA) ** (end - start)
    np.testing.assert_allclose(difference[start], decay * bootstrap, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(difference[end + 1 :], 0.0)


@pytest.mark.parametrize("terminated", [True, False], ids=["terminated", "truncated"])
def test_nothing_leaks_across_the_end_of_an_episode(terminated):
    rollout = random_rollout(4, end_probability=0.0)
    end = 12
    rollout["done"][end, 0] = True
    rollout["terminated"][end, 0] = terminated
    before = gae(rollout)
    for name in ("reward", "value", "next_value"):
        rollout[name][end + 1 :] += 1e3
    after = gae(rollout)
    np.testing.assert_array_equal(before[: end + 1, 0], after[: end + 1, 0])
    assert (np.abs(before[: end + 1, 1:] - after[: end + 1, 1:]) > 1.0).all()


def test_value_of_nan_after_termination_is_not_looked_at():
    rollout = random_rollout(5)
    rollout["next_value"][rollout["terminated"]] = np.nan
    assert np.isfinite(gae(rollout)).all()


def test_gamma_and_lambda_can_be_traced():
    rollout = random_rollout(6)
    arrays = [
        jnp.asarray(rollout[name], None if rollout[name].dtype == bool else jnp.float32)
        for name in NAMES
    ]
    settings = jnp.array([[0.9, 0.8], [0.99, 0.5]])
    got = jax.jit(jax.vmap(lambda pair: generalized_advantage(*arrays, pair[0], pair[1])))(settings)
    for advantage, (gamma, gae_lambda) in zip(got, [(0.9, 0.8), (0.99, 0.5)], strict=True):
        expected = loop_gae(rollout, gamma, gae_lambda)
        np.testing.assert_allclose(advantage, expected, rtol=1e-4, atol=1e-4)


def test_flags_that_are_not_boolean_are_refused():
    rollout = random_rollout(7)
    rollout["done"] = rollout["done"].astype(np.float32)
    with pytest.raises(AssertionError):
        gae(rollout)
