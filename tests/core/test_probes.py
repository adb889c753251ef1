"""Known values on environments of one or two steps, over several seeds at once."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

import rpojax
from rpojax.core.normalize import unstandardize
from rpojax.networks import make_network

GAMMA = 0.6
SEEDS = 4


def trained(env, **changes):
    """A short run of several seeds: their networks as a function of observations, and states."""
    cfg = rpojax.Config(
        env=env,
        total_timesteps=30_720,
        num_envs=16,
        num_steps=16,
        num_minibatches=4,
        update_epochs=4,
        learning_rate=5e-3,
        gamma=GAMMA,
        alpha=0.1,
        clip_value_loss=False,
        normalize_observations=False,
        normalize_rewards=False,
        **changes,
    )
    keys = jax.random.split(jax.random.key(1), SEEDS)
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(keys)
    assert bool(result.finite.all())
    network = make_network(cfg.network, env)

    def outputs(obs):
        batch = jnp.asarray(obs, jnp.float32)[:, None]
        return jax.vmap(network.apply, (0, None))(result.state.params, batch)[0]

    return outputs, result.state


@pytest.mark.parametrize(
    "probe",
    [
        probes.constant_reward,
        probes.reward_by_observation,
        probes.discounted_two_step,
        probes.reward_by_action,
        probes.reward_by_action_and_observation,
    ],
)
def test_probes_keep_the_contract(probe):
    rpojax.envs.check_env(probe(), num_steps=50)


@pytest.mark.slow
def test_value_of_constant_reward():
    outputs, _ = trained(probes.constant_reward())
    value = outputs([0.0]).value
    np.testing.assert_allclose(value, 1.0, atol=0.05)


@pytest.mark.slow
def test_value_follows_the_observation():
    outputs, _ = trained(probes.reward_by_observation())
    value = outputs([-1.0, 1.0]).value
    np.testing.assert_allclose(value, np.tile([-1.0, 1.0], (SEEDS, 1)), atol=0.1)


@pytest.mark.slow
def test_value_is_discounted_once_for_each_step():
    outputs, _ = trained(probes.discounted_two_step())
    value = outputs([0.0, 1.0]).value
    np.testing.assert_allclose(value, np.tile([GAMMA, 1.0], (SEEDS, 1)), atol=0.06)


def test_policy_finds_the_best_action():
    outputs, _ = trained(probes.reward_by_action())
    mean = outputs([0.0]).mean
    np.testing.assert_allclose(mean, 0.5, atol=0.1)


@pytest.mark.slow
def test_policy_finds_the_best_action_for_each_observation():
    outputs, _ = trained(probes.reward_by_action_and_observation())
    mean = outputs([-1.0, 1.0]).mean[..., 0]
    np.testing.assert_allclose(mean, np.tile([-1.0, 1.0], (SEEDS, 1)), atol=0.2)


@pytest.mark.slow
def test_normalized_values_mean_the_same_once_unstandardised():
    outputs, state = trained(probes.discounted_two_step(), normalize_values=True)
    value = jax.vmap(unstandardize)(state.value_stats, outputs([0.0, 1.0]).value)
    np.testing.assert_allclose(value, np.tile([GAMMA, 1.0], (SEEDS, 1)), atol=0.06)
