"""The perturbation as the package draws it, alone and in rollouts."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from rpojax import Config, NetworkConfig, make_trainer
from rpojax.core.distribution import GAUSSIAN
from rpojax.core.keys import update_keys
from rpojax.core.model import DISTRIBUTIONS, make_model
from rpojax.core.perturbation import perturb, perturbation_noise, with_scheduled_alpha
from rpojax.core.rollout import collect
from rpojax.programs.trainer import trainer_for

SIGMA, ALPHA = 0.8, 1.0
CFG = Config()


@pytest.mark.parametrize("policy", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_perturbation_with_alpha_zero_returns_the_mean_bit_for_bit(policy):
    rng = np.random.default_rng(8)
    magnitudes = 10.0 ** rng.uniform(-37, 37, (4096, 2))
    mean = (magnitudes * rng.choice([-1, 1], magnitudes.shape)).astype(np.float32)
    noise = perturbation_noise(CFG, jax.random.key(0), mean.shape)
    perturbed = jax.jit(jax.vmap(functools.partial(perturb, policy), (None, None, 0, None)))
    log_std = jnp.zeros_like(mean)
    unchanged, changed = perturbed(jnp.asarray(mean), log_std, jnp.array([0.0, 0.5]), noise)
    np.testing.assert_array_equal(np.asarray(unchanged).view(np.int32), mean.view(np.int32))
    assert (np.asarray(changed) != mean).any()


def test_perturbation_noise_is_uniform_on_minus_one_to_one():
    noise = np.asarray(perturbation_noise(CFG, jax.random.key(1), (50_000, 2))).ravel()
    assert noise.min() >= -1.0
    assert noise.max() <= 1.0
    assert stats.kstest(noise, stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-6


def test_perturbation_reaches_alpha_on_both_sides():
    noise = perturbation_noise(CFG, jax.random.key(2), (20_000, 1))
    zeros = jnp.zeros_like(noise)
    shift = np.asarray(perturb(GAUSSIAN, zeros, zeros, jnp.float32(0.3), noise))
    assert 0.299 < shift.max() <= 0.3
    assert -0.3 <= shift.min() < -0.299


@pytest.fixture(scope="module")
def rollout():
    """(action - mean, log_prob of the action) [T, B] with sigma = 0.8; test_rollout.py has more."""
    cfg = Config(
        num_envs=256,
        num_steps=128,
        total_timesteps=256 * 128,
        alpha=ALPHA,
        network=NetworkConfig(hidden_sizes=(4,), log_std_init=math.log(SIGMA)),
    )
    model = make_model(cfg)

    @jax.jit
    def run(key):
        state, keys = trainer_for(model).init(key), update_keys(cfg, jax.random.key(1))
        _, transitions = collect(model, state, cfg.hyperparams(), {}, keys)
        offset = transitions.action - transitions.mean
        return offset[..., 0], transitions.log_prob

    return tuple(np.asarray(x, np.float64) for x in run(jax.random.key(0)))


def test_perturbation_is_independent_of_the_noise(rollout):
    """Both are recovered from the action and its log_prob, taken under the shifted mean."""
    offset, log_prob = (x.ravel() for x in rollout)
    squared = -2.0 * (log_prob + math.log(SIGMA) + 0.5 * math.log(2.0 * math.pi))
    distance = SIGMA * np.sqrt(np.maximum(squared, 0.0))
    # Where the noise is larger than alpha, one of its two signs puts the shift out of bounds.
    clear = distance > ALPHA * 1.001
    offset, distance = offset[clear], distance[clear]
    noise = np.where(np.abs(offset - distance) <= ALPHA * 1.001, distance, -distance)
    shift = offset - noise
    n = len(shift)
    assert n > 5_000
    assert np.abs(shift).max() < ALPHA * 1.002
    assert abs(np.var(shift) - ALPHA**2 / 3) < 5 * np.std(shift**2) / math.sqrt(n)
    assert abs(np.corrcoef(shift, noise)[0, 1]) < 5 / math.sqrt(n)
    assert abs(np.corrcoef(np.abs(shift), np.abs(noise))[0, 1]) < 5 / math.sqrt(n)


def test_draws_differ_from_step_to_step_and_between_environments(rollout):
    offset = rollout[0]
    steps = np.corrcoef(offset[1:].ravel(), offset[:-1].ravel())[0, 1]
    environments = np.corrcoef(offset[:, 1:].ravel(), offset[:, :-1].ravel())[0, 1]
    bound = 5 / math.sqrt(offset.size)
    assert abs(steps) < bound
    assert abs(environments) < bound


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.8, 0.8, 0.8, 0.8, 0.8]),
        ("linear", [0.8, 0.5, 0.26, 0.2, 0.2]),
        (optax.exponential_decay(1.0, 5, 0.5), [0.8, 0.4, 0.8 * 0.5**1.8, 0.2, 0.1]),
    ],
    ids=["constant", "linear", "optax"],
)
def test_alpha_follows_its_schedule(schedule, expected):
    cfg = Config(
        total_timesteps=10 * 64, num_envs=8, num_steps=8, num_minibatches=2, alpha_schedule=schedule
    )
    hyperparams = cfg.hyperparams().replace(alpha=0.8, alpha_end=0.2)
    scheduled = jax.vmap(lambda count: with_scheduled_alpha(cfg, hyperparams, count))
    alpha = scheduled(jnp.array([0, 5, 9, 10, 15])).alpha
    np.testing.assert_allclose(alpha, expected, rtol=1e-6)


@pytest.mark.slow
def test_agents_of_a_linear_schedule_learn_as_with_the_same_alpha_by_hand():
    """What `iterate` does with alpha in each update, against a loop that passes it in."""
    cfg = Config(total_timesteps=3 * 64, num_envs=8, num_steps=8, num_minibatches=2)
    linear = make_trainer(cfg.replace(alpha_schedule="linear"))
    constant = make_trainer(cfg)
    hyperparams = cfg.hyperparams().replace(alpha=0.9, alpha_end=0.3)
    by_schedule = by_hand = jax.jit(constant.init)(jax.random.key(0), hyperparams)
    step, step_by_hand = jax.jit(linear.iterate), jax.jit(constant.iterate)
    for alpha in (0.9, 0.7, 0.5):
        by_schedule, _ = step(by_schedule, hyperparams)
        by_hand, _ = step_by_hand(by_hand, hyperparams.replace(alpha=alpha))
    for ours, theirs in zip(
        jax.tree.leaves(by_schedule.params), jax.tree.leaves(by_hand.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
