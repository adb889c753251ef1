"""What a rollout holds, in particular how its actions are spread."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

import rpojax
from rpojax.core import distribution
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.rollout import collect, tally_episodes
from rpojax.programs.trainer import trainer_for
from rpojax.types import EpisodeTotals, Transition

ALPHA, LOG_STD = 0.8, -0.5


ECHO = probes.echo()


@functools.cache
def program(**changes):
    """Collects one rollout for a number of updates done."""
    cfg = rpojax.Config(
        env=changes.pop("env", "Reacher-misc"),
        num_envs=128,
        num_steps=128,
        total_timesteps=128 * 128 * 4,
        alpha=ALPHA,
        network=rpojax.NetworkConfig(hidden_sizes=(8,), log_std_init=LOG_STD),
        **changes,
    )
    model = make_model(cfg)
    trainer = trainer_for(model)

    def run(update_count):
        state = trainer.init(jax.random.key(0)).replace(update_count=update_count)
        return collect(model, state, cfg.hyperparams(), {}, update_keys(cfg, jax.random.key(7)))

    return jax.jit(run)


def rollout(update_count=0, **changes):
    return program(**changes)(jnp.int32(update_count))[1]


@pytest.mark.parametrize("perturbed", [True, False])
def test_actions_spread_as_the_perturbed_gaussian(perturbed):
    """Var[a - mean] = sigma^2 + alpha^2 / 3: smaller or larger if z and the noise were related."""
    steps = rollout(perturb_rollouts=perturbed)
    deviation = np.asarray(steps.action - steps.mean, np.float64)
    sigma = np.exp(LOG_STD)
    expected = sigma**2 + (ALPHA**2 / 3 if perturbed else 0.0)
    flat = deviation.reshape(-1, 2)
    error = np.std(np.square(flat), axis=0) / np.sqrt(len(flat))
    np.testing.assert_allclose(np.mean(np.square(flat), axis=0), expected, atol=5 * error.max())
    np.testing.assert_allclose(flat.mean(0), 0.0, atol=5 * np.sqrt(expected / len(flat)))
    assert abs(np.corrcoef(flat.T)[0, 1]) < 5 / np.sqrt(len(flat))


def test_log_prob_is_that_of_the_mean_the_action_was_drawn_from():
    steps = rollout(perturb_rollouts=False)
    recomputed = distribution.log_prob(steps.action, steps.mean, steps.log_std)
    np.testing.assert_allclose(recomputed, steps.log_prob, atol=1e-5)


def test_every_draw_is_its_own():
    steps = rollout()
    deviation = np.asarray(steps.action - steps.mean).reshape(-1)
    assert len(np.unique(deviation)) > 0.99 * deviation.size


@pytest.mark.optimized
def test_warm_up_acts_uniformly_within_the_bounds_and_then_with_the_policy():
    """Two rollouts of random steps: in update 1 still, in update 2 no more. Bounds are -2, 2."""
    changes = {"env": ECHO, "random_timesteps": 2 * 128 * 128}
    received = np.asarray(rollout(update_count=1, **changes).final_obs).ravel()
    assert np.abs(received).max() <= 2.0
    counts, _ = np.histogram(received, bins=16, range=(-2.0, 2.0))
    expected = received.size / 16
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)

    steps = rollout(update_count=2, **changes)
    np.testing.assert_array_equal(steps.final_obs, np.clip(steps.action, -2.0, 2.0))


def test_warm_up_actions_are_apart_from_the_perturbation():
    """They used to be the same numbers, so that alpha's noise was the action of the warm-up."""
    changes = {"env": ECHO, "random_timesteps": 2 * 128 * 128}
    received = np.asarray(rollout(update_count=1, **changes).final_obs).ravel()
    steps = rollout(update_count=2, **changes)
    deviation = np.asarray(steps.action - steps.mean).ravel()  # noise and perturbation, same keys
    assert abs(np.corrcoef(received, deviation)[0, 1]) < 5 / np.sqrt(received.size)
    assert steps.mean.std() < 0.1 * deviation.std()


def test_episodes_are_tallied_across_rollouts():
    reward = jnp.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    terminated = jnp.array([[False, True], [False, False], [False, False]])
    truncated = jnp.array([[False, False], [True, False], [False, False]])
    start = EpisodeTotals(
        reward=jnp.array([0.5, 0.0]),
        length=jnp.array([4, 0]),
        metrics={"effort": jnp.array([50.0, 0.0])},
    )
    fields = dict.fromkeys(Transition._fields) | {
        "reward": reward,
        "terminated": terminated,
        "truncated": truncated,
        "metrics": {"effort": 100.0 * reward},
    }
    running, ended, count = tally_episodes(start, Transition(**fields))
    np.testing.assert_allclose(running.reward, [3.0, 50.0])
    np.testing.assert_allclose(running.metrics["effort"], [300.0, 5000.0])
    assert float(ended.metrics["effort"]) == (50 + 100 + 200) + 1000
    np.testing.assert_array_equal(running.length, [1, 2])
    assert float(ended.reward) == (0.5 + 1.0 + 2.0) + 10.0
    assert int(ended.length) == (4 + 2) + 1
    assert float(count) == 2.0
