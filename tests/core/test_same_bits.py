"""Programs of one training that are written differently give the same bits, optimized as they are.

Without optimizations XLA would round all of them alike.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits

import rpojax
from rpojax.core import losses

pytestmark = pytest.mark.optimized

CFG = rpojax.Config(
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=4 * 8 * 5,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)
KEY = jax.random.key(0)


def trained(key=KEY, **changes):
    return jax.jit(rpojax.make_train(CFG.replace(**changes)))(key)


@pytest.fixture(scope="module")
def whole():
    return trained()


@pytest.mark.slow
def test_running_in_parts(whole):
    """init + run + run + iterate is train: the state carries everything."""
    trainer = rpojax.make_trainer(CFG)
    run = jax.jit(trainer.run, static_argnums=2)
    state = jax.jit(trainer.init)(KEY)
    state, first = run(state, None, 2)
    state, second = run(state, None, 2)
    state, last = jax.jit(trainer.iterate)(state)
    metrics = jax.tree.map(lambda a, b, c: jnp.concatenate([a, b, c[None]]), first, second, last)
    assert_same_bits((state.params, state.opt_state), (whole.state.params, whole.state.opt_state))
    assert_same_bits(metrics, whole.metrics)


@pytest.mark.slow
def test_old_style_keys(whole):
    old = trained(jax.random.key_data(KEY))
    assert_same_bits(old.metrics, whole.metrics)
    assert_same_bits(old.state.params, whole.state.params)


def test_functions_in_place_of_names(whole):
    functions = trained(
        surrogate=lambda ratio, advantage, clip_eps: losses.clipped_surrogate(
            ratio, advantage, clip_eps
        ),
        perturbation=lambda uniform: uniform,
    )
    assert_same_bits(functions.state.params, whole.state.params)


@pytest.mark.slow
@pytest.mark.parametrize(("normalize", "first"), [(False, 0), (True, 1)])
def test_alpha_zero_is_ppo(normalize, first):
    """Whatever would perturb and wherever, the metrics are the same and the ratio is 1.

    Not in the first update if observations are normalised: it scales them, its rollout did not.
    """
    ppo = {"alpha": 0.0, "update_epochs": 1, "num_minibatches": 1}
    ppo["normalize_observations"] = normalize
    metrics = trained(**ppo).metrics
    for changes in ({"perturb_rollouts": False}, {"perturbation": "gaussian"}):
        assert_same_bits(trained(**ppo, **changes).metrics, metrics)
    assert np.abs(metrics.kl_perturbed[first:]).max() < 1e-7
    assert np.abs(metrics.kl[first:]).max() < 1e-7
    assert np.max(metrics.clip_fraction[first:]) == 0.0
