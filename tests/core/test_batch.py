"""With which statistics a rollout is learnt from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from rpojax.core import normalize
from rpojax.core import train as train_module
from rpojax.core.batch import make_batch, merge_observations, scale_rewards
from rpojax.core.functions import check_functions
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.rollout import collect
from rpojax.core.update import StepMetrics


def raw_pendulum():
    """Pendulum in units in which its observations are in the thousands."""
    env = rpojax.envs.make("Pendulum-v1")

    def raw(obs):
        return 3000.0 + 1000.0 * obs

    def reset(keys, params):
        state, obs = env.reset(keys, params)
        return state, raw(obs)

    def step(keys, state, action, params):
        state, timestep = env.step(keys, state, action, params)
        return state, timestep._replace(obs=raw(timestep.obs))

    return dataclasses.replace(env, reset=reset, step=step)


CFG = rpojax.Config(
    env=raw_pendulum(), num_envs=16, num_steps=32, num_minibatches=4, total_timesteps=16 * 32 * 3
)


@pytest.fixture
def learnt_from(monkeypatch):
    """Mean and standard deviation of the observations in the batch of each of three updates."""

    def update(cfg, network, optimizer, learner, batch, hyperparams, keys, *_):
        spread = [jnp.mean(batch.obs), jnp.std(batch.obs)]
        return learner, StepMetrics(*spread, *[jnp.zeros(())] * 5)

    monkeypatch.setattr(train_module, "update", update)
    metrics = jax.jit(rpojax.make_train(CFG))(jax.random.key(0)).metrics
    return np.stack([metrics.policy_loss, metrics.value_loss])


def test_the_first_update_learns_from_scaled_observations(learnt_from):
    """They were clipped to 10, nearly all of them: mean 10 and no spread."""
    mean, std = learnt_from
    np.testing.assert_allclose(mean[0], 0.0, atol=1e-3)
    np.testing.assert_allclose(std[0], 1.0, atol=1e-3)
    assert (np.abs(mean) < 1.0).all()
    assert ((std > 0.3) & (std < 3.0)).all()


def test_later_rollouts_are_learnt_from_as_they_were_collected():
    state = jax.jit(rpojax.make_trainer(CFG).init)(jax.random.key(0))
    first, second = jax.random.normal(jax.random.key(1), (2, 32, 16, 3)) + jnp.array(5.0)

    learn_with, act_with = merge_observations(CFG, state, first)
    assert float(learn_with.obs_stats.count) == float(act_with.count) == 32 * 16
    np.testing.assert_array_equal(learn_with.obs_stats.mean, act_with.mean)

    state = state.replace(obs_stats=act_with)
    learn_with, merged = merge_observations(CFG, state, second)
    np.testing.assert_array_equal(learn_with.obs_stats.mean, act_with.mean)
    expected = normalize.update_stats(act_with, second)
    np.testing.assert_array_equal(merged.mean, expected.mean)
    assert float(merged.count) == 2 * 32 * 16


def test_without_normalisation_there_are_no_statistics():
    cfg = CFG.replace(normalize_observations=False)
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    assert merge_observations(cfg, state, state.obs[None]) == (state, None)


@pytest.mark.parametrize(
    ("shaper", "problem"),
    [
        (lambda reward, timestep, timesteps: reward.mean(), r"returns .*shape=\(\)"),
        (lambda reward, timestep, timesteps: reward[:, None], r"returns .*shape=\(16, 1\)"),
        (lambda reward, timestep, timesteps: (reward, timestep), r"returns \("),
        (lambda reward, timestep, timesteps: None, "returns None"),
        (lambda reward, timestep, timesteps: reward * 1j, "returns .*complex64"),
        (lambda reward, timestep, timesteps: reward if timestep else 0.0, "boolean conversion"),
    ],
    ids=["mean", "column", "pair", "nothing", "complex", "python if"],
)
def test_a_shaper_that_does_not_shape_rewards_is_refused(shaper, problem):
    cfg = CFG.replace(reward_shaper=shaper)
    with pytest.raises(ValueError, match=rf"^reward_shaper = .*{problem}.*\(16,\) here.*where"):
        rpojax.make_train(cfg)


def test_a_shaper_may_count_successes():
    check_functions(CFG.replace(reward_shaper=lambda reward, timestep, timesteps: reward > 0))


def collected(model):
    """A function of a state: the state and the transitions after a rollout."""

    def run(state):
        keys = update_keys(model.cfg, state.key)
        return collect(model, state, model.cfg.hyperparams(), {}, keys)

    return jax.jit(run)


def test_a_constant_factor_scales_what_the_shaper_gives():
    cfg = rpojax.Config(
        num_envs=2,
        num_steps=4,
        num_minibatches=1,
        normalize_rewards=False,
        reward_scale=10.0,
        reward_shaper=lambda reward, timestep, timesteps: reward + 1.0,
    )
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    hyperparams = cfg.hyperparams()
    state, steps = collected(make_model(cfg))(state)
    _, reward = scale_rewards(cfg, state, steps, steps.terminated, hyperparams)
    np.testing.assert_allclose(reward, 10.0 * (steps.reward + 1.0), rtol=1e-6)


def test_a_horizon_cuts_advantages_as_rollouts_of_its_length_would():
    """12 steps with a horizon of 4 are three rollouts of 4, each bootstrapping from the next."""
    cfg = rpojax.Config(num_envs=2, num_steps=12, num_minibatches=1, normalize_rewards=False)
    model, hyperparams = make_model(cfg), cfg.hyperparams()
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    after, steps = collected(model)(state)

    def advantages(cfg, after, steps):
        batch = make_batch(cfg, model.network, after, steps, steps.reward, hyperparams)[1]
        return np.asarray(batch.advantage).reshape(cfg.num_steps, 2)

    cut = advantages(cfg.replace(advantage_horizon=4), after, steps)
    for start in (0, 4, 8):
        part = jax.tree.map(lambda leaf, start=start: leaf[start : start + 4], steps)
        following = after if start == 8 else after.replace(obs=steps.obs[start + 4])
        alone = advantages(cfg.replace(num_steps=4), following, part)
        np.testing.assert_allclose(cut[start : start + 4], alone, rtol=1e-5, atol=1e-5)
    whole = advantages(cfg, after, steps)
    assert np.abs(cut - whole).max() > 0.1
    same = advantages(cfg.replace(advantage_horizon=12), after, steps)
    np.testing.assert_array_equal(same, whole)


@pytest.mark.slow
def test_before_there_is_a_scale_the_critics_outputs_are_the_old_values():
    """Otherwise the clip of the value loss compares two scales, and no sample has a gradient."""
    cfg = rpojax.Config(
        num_envs=8,
        num_steps=32,
        num_minibatches=1,
        update_epochs=1,
        normalize_values=True,
        normalize_rewards=False,
        total_timesteps=8 * 32 * 2,
    )
    model, hyperparams = make_model(cfg), cfg.hyperparams()
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    collect_again = collected(model)
    for known in (False, True):
        state, steps = collect_again(state)
        state, _ = merge_observations(cfg, state, steps.obs)
        before = state.value_stats
        state, batch, _ = make_batch(cfg, model.network, state, steps, steps.reward, hyperparams)
        outputs = model.network.apply(state.params, batch.obs)[0].value
        if known:
            outputs = normalize.unstandardize(before, outputs)
            outputs = normalize.standardize(state.value_stats, outputs)
        np.testing.assert_allclose(batch.value, outputs, atol=1e-5)
    assert abs(float(state.value_stats.mean)) > 10.0


def test_a_shaper_may_compute_in_float64():
    def shaper(reward, timestep, timesteps):
        return reward * jnp.array(0.5, jnp.float64)

    with jax.enable_x64(True):
        cfg = rpojax.Config(
            num_envs=2, num_steps=8, num_minibatches=1, total_timesteps=16, reward_shaper=shaper
        )
        result = jax.jit(rpojax.make_train(cfg))(jax.random.key(0))
    assert bool(result.finite)
