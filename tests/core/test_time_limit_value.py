"""What the critic learns where a time limit ends every episode.

The reward is r in each step, for ever; episodes are cut off after T steps, and the observation does
not tell the time. The value is r / (1 - gamma) where a time limit is no end, and the mean of the
finite sums over an episode where it is taken for one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from rpojax import envs
from rpojax.envs.wrappers import with_time_limit
from rpojax.networks import make_network

REWARD, GAMMA, SEEDS = 2.0, 0.8, 4


def paying(limit):
    """Rewards nothing but time."""

    def reset(keys, params):
        return jnp.zeros(keys.shape[0]), jnp.ones((keys.shape[0], 1))

    def step(keys, state, action, params):
        no = jnp.zeros(keys.shape[0], bool)
        reward = jnp.full(keys.shape[0], REWARD)
        return state, envs.TimeStep(jnp.ones((keys.shape[0], 1)), reward, no, no)

    endless = envs.Env(
        name="Paying",
        reset=reset,
        step=step,
        obs=jax.ShapeDtypeStruct((1,), jnp.float32),
        action_low=np.array([-1.0]),
        action_high=np.array([1.0]),
    )
    return with_time_limit(endless, limit)


def learnt_values(limit, bootstrap):
    cfg = rpojax.Config(
        env=paying(limit),
        total_timesteps=30_720,
        num_envs=16,
        num_steps=16,
        num_minibatches=4,
        update_epochs=4,
        learning_rate=5e-3,
        gamma=GAMMA,
        gae_lambda=1.0,  # targets are whole sums, and none takes the value of another step
        clip_value_loss=False,
        normalize_observations=False,
        normalize_rewards=False,
        time_limit_bootstrap=bootstrap,
        network=rpojax.NetworkConfig(hidden_sizes=(16,)),
    )
    keys = jax.random.split(jax.random.key(0), SEEDS)
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(keys)
    network = make_network(cfg.network, cfg.env)
    outputs, _ = jax.vmap(network.apply, (0, None))(result.state.params, jnp.ones((1, 1)))
    return np.ravel(outputs.value)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 4])
def test_values_look_past_a_time_limit_with_bootstrap_and_stop_there_without(limit):
    for_ever = REWARD / (1.0 - GAMMA)
    finite = np.mean([for_ever * (1.0 - GAMMA**left) for left in range(1, limit + 1)])
    np.testing.assert_allclose(learnt_values(limit, bootstrap=True), for_ever, rtol=0.02)
    np.testing.assert_allclose(learnt_values(limit, bootstrap=False), finite, rtol=0.02)
