"""Surrogates, perturbations and optimisers as settings: each by hand, and each in a training."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bits import assert_same_bits
from jax.flatten_util import ravel_pytree
from scipy import stats

import rpojax
from rpojax.core import losses
from rpojax.core.perturbation import PERTURBATIONS, perturbation_noise

CFG = rpojax.Config(
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=64,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.5, 2.0, -1.75, 3.0),  # 3 - 2 * 0.25 / 0.4: beyond 1 + eps, the gradient leads back
        (0.5, -2.0, 2.25, -3.0),
        (1.2, 2.0, -2.2, 0.0),  # the optimum is at 1 + eps
        (0.8, -2.0, 1.8, 0.0),
        (1.0, -3.0, 3.0, 3.0),  # as the ratio itself
        (0.5, 2.0, 0.25, -7.0),
    ],
)
def test_spo_surrogate_by_hand(ratio, advantage, loss, slope):
    def surrogate(ratio):
        return losses.spo_surrogate(ratio, jnp.array([advantage, 0.0]), jnp.float32(0.2))

    value, gradient = jax.value_and_grad(surrogate)(jnp.array([ratio, 1.0]))
    np.testing.assert_allclose(2.0 * value, loss, rtol=1e-5)
    np.testing.assert_allclose(2.0 * gradient, [slope, 0.0], rtol=1e-5, atol=1e-5)


def test_gaussian_perturbation_is_normal_with_the_std_of_the_uniform_one():
    noise = {
        name: np.asarray(
            perturbation_noise(CFG.replace(perturbation=name), jax.random.key(0), (100_000,))
        )
        for name in PERTURBATIONS
    }
    gaussian = noise["gaussian"]
    assert stats.kstest(gaussian, stats.norm(scale=1.0 / np.sqrt(3.0)).cdf).pvalue > 1e-4
    np.testing.assert_allclose(gaussian.std(), noise["uniform"].std(), rtol=0.01)
    ends = PERTURBATIONS["gaussian"](jnp.array([-1.0, 0.0, 1.0 - 2.0**-24]))
    assert np.isfinite(ends).all()
    assert ends[1] == 0.0


def trained(hyperparams=None, axes=None, **changes):
    """Parameters [P], or [N, P], after training with a variant."""
    cfg = CFG.replace(**changes)
    train = rpojax.make_train(cfg)
    if axes:
        train = jax.vmap(train, in_axes=(None, axes))
    result = jax.jit(train)(jax.random.key(0), hyperparams or cfg.hyperparams())
    assert result.finite.all()
    if axes is None:
        return ravel_pytree(result.state.params)[0]
    return jax.vmap(lambda params: ravel_pytree(params)[0])(result.state.params)


def test_muon_is_that_of_optax():
    function = trained(optimizer=lambda rate: optax.contrib.muon(rate, eps=1e-5))
    np.testing.assert_allclose(trained(optimizer="muon"), function, atol=2e-6)


def test_weight_decay_is_traced_and_that_of_optax_and_without_it_adamw_is_adam():
    hyperparams = CFG.hyperparams().replace(weight_decay=[0.0, 1.0])
    axes = rpojax.HyperParams.axes(weight_decay=0)
    plain, decayed = trained(hyperparams, axes, optimizer="adamw")
    np.testing.assert_allclose(plain, trained(), atol=1e-6)
    expected = trained(optimizer=lambda rate: optax.adamw(rate, eps=1e-5, weight_decay=1.0))
    np.testing.assert_allclose(decayed, expected, atol=2e-6)


@pytest.mark.slow
def test_the_adaptive_rate_and_a_resumed_run_work_with_matrices_of_an_optimizer(tmp_path):
    cfg = CFG.replace(optimizer="muon", lr_schedule="kl_adaptive")
    whole = rpojax.fit(cfg, checkpoint_dir=tmp_path, checkpoint_every=1, keep_checkpoints=2)
    assert whole.finite.all()
    assert whole.metrics.learning_rate[0, 0] != whole.metrics.learning_rate[0, 1]
    shutil.rmtree(tmp_path / "update_000000002")
    assert_same_bits(rpojax.resume(tmp_path).state.opt_state, whole.state.opt_state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surrogate": lambda ratio, advantage, eps: ratio * advantage}, r"returns .*\(\) here"),
        ({"surrogate": lambda ratio: ratio}, "positional"),
        ({"surrogate": lambda r, a, eps: r.sum() if eps > 0 else a.sum()}, "place of a Python if"),
        ({"perturbation": jnp.sum}, r"returns .*f32\[...\] from U"),
        ({"optimizer": lambda rate: rate}, r"returns .*such as optax.lion"),
        ({"optimizer": lambda rate: optax.polyak_sgd()}, "value"),
    ],
)
def test_functions_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"(?s)^{next(iter(changes))} = .*{message}"):
        rpojax.make_train(CFG.replace(**changes))
