"""Sizes by abstract evaluation, held to sizes counted by hand and to what XLA allocates."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from toys import make_counter

from rpojax import Config, NetworkConfig
from rpojax.core.model import make_model
from rpojax.core.train import init_agent, iterate, make_parts
from rpojax.programs.agents_at_once import gradient_step_bytes, rollout_bytes


def config(width=64, envs=64, **changes):
    network = changes.pop("network", NetworkConfig(hidden_sizes=(width, width)))
    return Config(num_envs=envs, num_steps=32, num_minibatches=8, network=network, **changes)


def test_gradient_step_counts_parameters_and_activations():
    width, minibatch = 64, 256
    found = gradient_step_bytes(make_model(config(width))).total
    parameters = 2 * (3 * width + width + width * width + width + width) + 1 + 2
    activations = minibatch * 2 * 2 * width  # two networks of two layers
    least = 4 * (6 * parameters + activations)
    assert least < found < 2.0 * least


@pytest.mark.parametrize("cell", [None, "lstm"])
def test_working_set_grows_with_width_and_environments(cell):
    def of(width, envs):
        network = NetworkConfig(hidden_sizes=(width,), cell=cell)
        return gradient_step_bytes(make_model(config(envs=envs, network=network))).total

    assert of(16, 16) < of(32, 16) < of(32, 64)


def test_working_set_has_any_observation_and_module():
    import flax.linen as nn

    class Module(nn.Module):
        @nn.compact
        def __call__(self, obs):
            hidden = nn.relu(nn.Dense(8)(obs))
            mean = nn.Dense(1)(hidden)
            return mean, self.param("log_std", nn.initializers.zeros, (1,)), mean[..., 0]

    assert gradient_step_bytes(make_model(config(network=Module()))).activations > 0


def test_working_set_has_the_observations_that_the_network_sees():
    """An embedding takes whole numbers only; `vmap(train)` failed where `train` did not."""
    import flax.linen as nn

    class Embedding(nn.Module):
        @nn.compact
        def __call__(self, obs):
            mean = nn.Dense(2)(nn.Embed(8, 4)(obs))
            return mean, jnp.zeros(2), mean[..., 0]

    good = make_counter()

    def reset(keys, params):
        state, _ = good.reset(keys, params)
        return state, state["count"]

    def step(keys, state, action, params):
        state, timestep = good.step(keys, state, action, params)
        return state, timestep._replace(obs=state["count"])

    obs = jax.ShapeDtypeStruct((), jnp.int32)
    env = dataclasses.replace(good, reset=reset, step=step, obs=obs)
    cfg = config(network=Embedding(), env=env, normalize_observations=False)
    assert gradient_step_bytes(make_model(cfg)).activations > 0


@pytest.mark.optimized
def test_rollout_is_of_the_order_of_what_a_program_allocates():
    cfg = config(width=16, envs=256)
    parts = make_parts(make_model(cfg))
    hyperparams = cfg.hyperparams()
    init = functools.partial(init_agent, parts)
    state = jax.eval_shape(init, jax.random.key(0), hyperparams, {})
    program = jax.jit(functools.partial(iterate, parts)).lower(state, hyperparams, {}).compile()
    analysis = program.memory_analysis()
    allocated = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes
    assert 0.3 < rollout_bytes(parts.model) / allocated < 3.0


@pytest.mark.parametrize("cell", [None, "gru"])
def test_devices_that_share_an_agent_have_less_of_it_each(cell):
    """Half of the activations and of what is collected; all parameters, and one whole batch."""
    network = NetworkConfig(hidden_sizes=(64,), cell=cell)
    models = [make_model(config(network=network, devices_per_agent=devices)) for devices in (1, 2)]
    alone, shared = (gradient_step_bytes(model) for model in models)
    assert shared.parameters == alone.parameters
    assert 0.45 < shared.activations / alone.activations < 0.65
    alone, shared = (rollout_bytes(model) for model in models)
    assert 0.5 < shared / alone < 0.75
