"""Which quantity of an update was NaN or infinite first."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import rpojax
from rpojax.core.divergence import QUANTITIES, first_not_finite
from rpojax.core.model import make_model
from rpojax.programs.trainer import trainer_for

CFG = rpojax.Config(
    num_envs=2,
    num_steps=4,
    num_minibatches=2,
    update_epochs=1,
    total_timesteps=8,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)


def pendulum_that_starts_with_nan():
    env = rpojax.envs.make("Pendulum-v1")

    def reset(keys, params):
        state, obs = env.reset(keys, params)
        return state, jnp.full_like(obs, jnp.nan)

    return dataclasses.replace(env, reset=reset, name="spoilt")


CASES = {
    "observation": {"env": pendulum_that_starts_with_nan()},
    "reward of the shaper": {"reward_shaper": lambda reward, timestep, timesteps: reward * jnp.nan},
    "loss": {"normalize_rewards": False, "reward_shaper": lambda r, *_: 1e30 * r},
    "parameters": {
        "learning_rate": 3e38,
        "lr_schedule": lambda updates: jnp.full((), 10.0),
        "num_minibatches": 1,
    },
}


def first_quantity(cfg):
    model = make_model(cfg)

    @jax.jit
    def index(key):
        state = trainer_for(model).init(key)
        return first_not_finite(model, state, cfg.hyperparams(), {})

    return QUANTITIES[int(index(jax.random.key(0)))]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_first_quantity_is_found(case):
    assert first_quantity(CFG.replace(**CASES[case])) == case.split()[0]


def test_gradient_is_told_from_the_loss():
    """A square root at 0: its value is finite, its gradient is not."""
    import flax.linen as nn

    class Network(nn.Module):
        @nn.compact
        def __call__(self, obs):
            scale = self.param("scale", nn.initializers.zeros, ())
            mean = nn.Dense(1)(obs) + jnp.sqrt(scale)
            return mean, self.param("log_std", nn.initializers.zeros, (1,)), nn.Dense(1)(obs)

    assert first_quantity(CFG.replace(network=Network())) == "gradient"
