"""From an observation to an action, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from rpojax.core import normalize
from rpojax.core.acting import Perturbation, act, play, to_env_action
from rpojax.core.model import make_model
from rpojax.programs.trainer import trainer_for

OBS = jnp.array([[0.5, -0.5, 3.0], [1.0, 0.0, -7.0]])
LOG_STD = -0.5


@pytest.fixture(scope="module")
def model():
    network = rpojax.NetworkConfig(hidden_sizes=(8,), log_std_init=LOG_STD)
    return make_model(rpojax.Config(num_envs=2, action_transform="rescale", network=network))


@pytest.fixture(scope="module")
def state(model):
    """With statistics of observations that are neither centred nor of unit scale."""
    state = jax.jit(trainer_for(model).init)(jax.random.key(0))
    seen = 2.0 + 3.0 * jax.random.normal(jax.random.key(1), (100, 3))
    return state.replace(obs_stats=normalize.update_stats(state.obs_stats, seen))


def mean_of(model, state):
    seen = normalize.normalize(state.obs_stats, OBS, model.cfg.observation_clip)
    return model.network.apply(state.params, seen)[0].mean


def test_the_mean_action_is_the_networks_for_normalised_observations(model, state):
    acted = act(model, state, OBS, (), None)
    expected = mean_of(model, state)
    np.testing.assert_array_equal(acted.action, expected)
    np.testing.assert_array_equal(acted.centre, expected)
    np.testing.assert_array_equal(acted.outputs.mean, expected)
    np.testing.assert_allclose(acted.env_action, np.clip(2.0 * expected, -2.0, 2.0), atol=1e-6)


def test_a_sample_is_drawn_around_the_perturbed_mean(model, state):
    noise, shift = jnp.array([[0.3], [-1.0]]), jnp.array([[0.5], [-0.25]])
    acted = act(model, state, OBS, (), None, noise, Perturbation(jnp.float32(0.4), shift))
    centre = mean_of(model, state) + 0.4 * shift
    np.testing.assert_allclose(acted.centre, centre, rtol=1e-6)
    np.testing.assert_allclose(acted.action, centre + np.exp(LOG_STD) * noise, rtol=1e-6)
    np.testing.assert_array_equal(acted.outputs.mean, mean_of(model, state))


def test_play_takes_the_mean_or_a_sample_without_perturbation(model, state):
    mean, carry = play(model, state, OBS, (), None, None)
    assert carry == ()
    np.testing.assert_array_equal(mean, act(model, state, OBS, (), None).env_action)
    key = jax.random.key(4)
    sampled, _ = play(model, state, OBS, (), None, key)
    noise = jax.random.normal(key, (2, 1))
    np.testing.assert_array_equal(sampled, act(model, state, OBS, (), None, noise).env_action)


def test_actions_are_clipped_or_rescaled_onto_the_bounds():
    env = rpojax.envs.make("Pendulum-v1")
    action = jnp.array([[-3.0], [-0.5], [0.25], [9.0]])
    clipped = to_env_action(action, env, "clip")
    np.testing.assert_allclose(clipped[:, 0], [-2.0, -0.5, 0.25, 2.0])
    rescaled = to_env_action(action, env, "rescale")
    np.testing.assert_allclose(rescaled[:, 0], [-2.0, -1.0, 0.5, 2.0])
