"""The trained agent in use, and its evaluation."""

import gc
import pickle
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from rpojax.agent import evaluation

CFG = rpojax.Config(
    num_envs=8, num_steps=16, num_minibatches=4, total_timesteps=256, update_epochs=2
)


@pytest.fixture(scope="module")
def results():
    train = jax.jit(jax.vmap(rpojax.make_train(CFG)))
    return train(jax.random.split(jax.random.key(0), 2))


@pytest.fixture(scope="module")
def state(results):
    return results.select(1).state


def test_numpy_in_numpy_out_and_jax_in_jax_out(state):
    act = rpojax.make_policy(CFG, state)
    obs = np.array([0.1, 0.9, -2.0], np.float32)
    action = act(obs)
    assert type(action) is np.ndarray
    assert action.shape == (1,)
    assert action.dtype == np.float32
    assert isinstance(act(jnp.asarray(obs)), jax.Array)
    np.testing.assert_allclose(act(jnp.asarray(obs)), action)
    assert act(obs.astype(np.float64)).dtype == np.float32


def test_numpy_observations_under_transformations(state):
    """They raised a TracerArrayConversionError."""
    act = rpojax.make_policy(CFG, state, deterministic=False)
    obs, keys = np.ones(3, np.float32), jax.random.split(jax.random.key(1), 3)
    assert jax.eval_shape(jax.vmap(lambda key: act(obs, key=key)), keys).shape == (3, 1)
    assert jax.eval_shape(lambda key: act(obs, key=key), keys[0]).shape == (1,)


def test_any_number_of_leading_axes(state):
    act = rpojax.make_policy(CFG, state)
    obs = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    actions = act(obs)
    assert actions.shape == (4, 5, 1)
    np.testing.assert_allclose(actions[2, 3], act(obs[2, 3]), rtol=1e-5, atol=1e-6)


def test_deterministic_policy_is_the_unperturbed_mean_of_normalised_observations(state):
    obs = np.array([0.1, 0.9, -2.0], np.float64)
    stats = jax.device_get(state.obs_stats)
    hidden = np.clip((obs - stats.mean) / np.sqrt(stats.var + 1e-8), -10, 10)
    params = jax.device_get(state.params)
    for layer in ("actor_0", "actor_1"):
        hidden = np.tanh(hidden @ params[layer]["kernel"] + params[layer]["bias"])
    mean = hidden @ params["mean"]["kernel"] + params["mean"]["bias"]
    act = rpojax.make_policy(CFG.replace(alpha=5.0), state)
    np.testing.assert_allclose(act(obs.astype(np.float32)), np.clip(mean, -2, 2), atol=1e-5)


def test_stochastic_policy_needs_a_key_and_varies_with_it(state):
    act = rpojax.make_policy(CFG, state, deterministic=False)
    obs = np.zeros(3, np.float32)
    first, second = (act(obs, jax.random.key(seed)) for seed in (0, 1))
    assert first != second
    np.testing.assert_array_equal(first, act(obs, jax.random.key(0)))
    with pytest.raises(ValueError, match="give a new PRNG key"):
        act(obs)


def test_actions_stay_within_the_bounds(state):
    act = rpojax.make_policy(CFG, state, deterministic=False)
    actions = act(np.zeros((1000, 3), np.float32), jax.random.key(0))
    assert np.abs(actions).max() <= 2.0
    assert np.abs(actions).max() > 1.5


def test_several_agents_are_refused(results):
    with pytest.raises(ValueError, match=r"agents of shape \(2,\); .*select"):
        rpojax.make_policy(CFG, results.state)


@pytest.mark.parametrize("make", [rpojax.make_policy, rpojax.make_recurrent_policy])
@pytest.mark.parametrize("deterministic", [True, False])
def test_policies_can_be_pickled(state, make, deterministic):
    act = make(CFG, state, deterministic)
    copy = pickle.loads(pickle.dumps(act))
    obs, key = np.ones((2, 3), np.float32), jax.random.key(4)
    jax.tree.map(np.testing.assert_array_equal, copy(obs, key=key), act(obs, key=key))


def test_evaluation_plays_whole_episodes(state):
    played = rpojax.evaluate(CFG, state, jax.random.key(0), num_episodes=16)
    assert played.episode_return.shape == (16,)
    np.testing.assert_array_equal(played.episode_length, 200)
    assert bool(played.finished.all())
    assert (np.asarray(played.episode_return) < -1.0).all()


def test_evaluation_stops_at_max_steps_and_says_so(state):
    played = rpojax.evaluate(CFG, state, jax.random.key(0), num_episodes=4, max_steps=7)
    np.testing.assert_array_equal(played.episode_length, 7)
    assert not bool(played.finished.any())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((n, v) for n in ("num_episodes", "max_steps") for v in (0, -1, 2.5, "8", True)),
        ("max_steps", 10**10),
    ],
)
def test_evaluation_of_no_episodes_or_steps_is_refused(state, name, value):
    with pytest.raises(ValueError, match=rf"{name} = .* give a whole number of (at least 1|1 to)"):
        rpojax.evaluate(CFG, state, jax.random.key(0), **{name: value})


def test_evaluation_keeps_few_compiled_programs():
    """Each new config used to keep its program, some megabytes, for good."""
    first = weakref.ref(evaluation._program(CFG, 3, True, 5))
    for index in range(evaluation.PROGRAMS_KEPT):
        evaluation._program(CFG.replace(alpha=0.1 + 0.01 * index), 3, True, 5)
    gc.collect()
    assert first() is None
    assert evaluation._program.cache_info().currsize == evaluation.PROGRAMS_KEPT


def test_one_program_evaluates_agents_with_any_hyperparameters(state):
    rpojax.evaluate(CFG, state, jax.random.key(0), num_episodes=2, max_steps=3)
    programs = evaluation._program.cache_info().misses
    other = CFG.replace(**{name: 0.9 * getattr(CFG, name) for name in vars(CFG.hyperparams())})
    other = other.replace(ent_coef=0.1, kl_threshold=0.1)
    rpojax.evaluate(other, state, jax.random.key(0), num_episodes=2, max_steps=3)
    assert evaluation._program.cache_info().misses == programs


def test_evaluation_agrees_with_playing_by_hand(state):
    """One episode stepped in Python with make_policy from the same start."""
    key = jax.random.key(3)
    total = rpojax.evaluate(CFG, state, key, num_episodes=1).episode_return[0]
    env = rpojax.envs.make(CFG.env)
    act = rpojax.make_policy(CFG, state)
    step_key, reset_key = jax.random.split(key)
    env_state, obs = jax.jit(env.reset)(jax.random.split(reset_key, 1), {})
    step = jax.jit(env.step)
    by_hand = 0.0
    for _ in range(200):
        env_state, timestep = step(jax.random.split(step_key, 1), env_state, act(obs), {})
        by_hand += float(timestep.reward[0])
        obs = timestep.obs
    np.testing.assert_allclose(by_hand, total, rtol=1e-3)


def test_evaluation_can_be_vmapped_over_agents(results):
    returns = jax.vmap(
        lambda state: rpojax.evaluate(CFG, state, jax.random.key(0), num_episodes=8)
    )(results.state).episode_return
    assert returns.shape == (2, 8)
    assert not np.allclose(returns[0], returns[1])


def test_stochastic_evaluation_differs_from_the_mean_actions(state):
    deterministic, stochastic = (
        rpojax.evaluate(CFG, state, jax.random.key(0), 8, deterministic=flag).episode_return
        for flag in (True, False)
    )
    assert not np.allclose(deterministic, stochastic)
