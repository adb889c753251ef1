"""A time limit that is laid over an environment; parameters that are drawn for each episode."""

import dataclasses
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import LIMIT, make_counter, run

import rpojax
from rpojax import envs
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.resets import draw_starts, rekey, step_and_reset
from rpojax.envs import check_env
from rpojax.envs.wrappers import with_outer_state, with_time_limit


class Outer(NamedTuple):
    state: Any
    more: int


def test_a_wrapper_passes_its_inner_state_to_rekey_and_render():
    inner = make_counter(rekey=lambda keys, state: state + keys, render=lambda states: states * 2)
    env = with_outer_state(inner, inner.reset, inner.step, max_episode_steps=3)
    assert env.rekey(10, Outer(1, 5)) == Outer(11, 5)
    assert env.render(Outer(4, 5)) == 8
    assert (env.name, env.max_episode_steps) == (inner.name, 3)
    plain = with_outer_state(make_counter(), inner.reset, inner.step)
    assert plain.rekey is None
    assert plain.render is None


CALM, FATAL = jnp.zeros((3, 2)), jnp.ones((3, 2))


def test_episodes_are_cut_off_after_the_limit():
    env = with_time_limit(make_counter(), 4)
    assert env.max_episode_steps == 4
    check_env(env, num_steps=50)
    obs, _, timestep, _ = run(env, lambda obs: CALM, 9)
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated.all(axis=1)), [3, 7])
    np.testing.assert_array_equal(timestep.truncated.any(axis=1), timestep.truncated.all(axis=1))
    assert not timestep.terminated.any()
    np.testing.assert_array_equal(timestep.obs[3, :, 0], 4.0)
    np.testing.assert_array_equal(obs[4, :, 0], 0.0)


def test_the_environments_own_limit_stays():
    env = with_time_limit(make_counter(), LIMIT + 2)
    _, _, timestep, _ = run(env, lambda obs: CALM, LIMIT + 1)
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated.all(axis=1)), [LIMIT - 1])


def test_termination_on_the_last_step_is_no_truncation():
    env = with_time_limit(make_counter(), 3)
    _, _, timestep, _ = run(env, lambda obs: jnp.where(obs[:, :1] == 2.0, FATAL, CALM), 3)
    np.testing.assert_array_equal(np.flatnonzero(timestep.terminated.all(axis=1)), [2])
    assert not timestep.truncated.any()


def test_renderer_sees_the_state_without_the_counter():
    seen = []
    env = dataclasses.replace(make_counter(), render=lambda states: seen.append(states))
    states, _ = env.reset(jax.random.split(jax.random.key(0)), {})
    limited = with_time_limit(env, 3)
    limited.render(limited.reset(jax.random.split(jax.random.key(0)), {})[0])
    assert jax.tree.structure(seen[0]) == jax.tree.structure(states)
    assert with_time_limit(make_counter(), 3).render is None


SHORT = 5
PENDULUM = envs.make("Pendulum-v1", max_steps_in_episode=SHORT)


def any_length(key):
    return {"l": jax.random.uniform(key, minval=0.5, maxval=1.5)}


def standard_length(key):
    return {"l": jnp.float32(1.0)}


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def small(env, **changes):
    settings = {"num_envs": 8, "num_steps": 16, "num_minibatches": 2, "total_timesteps": 256}
    return rpojax.Config(env=env, agents_at_once=1, **(settings | changes))


def test_starts_are_those_without_it_and_lengths_have_the_distribution_of_the_draw():
    state, obs = jax.jit(envs.randomized(PENDULUM, any_length).reset)(keys(4096), {})
    np.testing.assert_array_equal(obs, jax.jit(PENDULUM.reset)(keys(4096), {})[1])
    lengths = np.sort(state.params["l"])
    uniform = (np.arange(4096) + 0.5) / 4096 + 0.5
    assert np.max(np.abs(lengths - uniform)) < 0.03  # Kolmogorov-Smirnov: 1.36 / 64 at 95 %
    assert abs(np.corrcoef(state.params["l"], obs[:, 0])[0, 1]) < 0.05


def test_steps_are_those_of_an_environment_made_with_the_parameters():
    env = envs.randomized(PENDULUM, any_length)
    state, _ = env.reset(keys(3), {})
    action = jnp.array([[0.5], [-1.0], [2.0]])
    after, timestep = jax.jit(env.step)(keys(3), state, action, {})
    for index, length in enumerate(np.asarray(state.params["l"])):
        made = envs.make("Pendulum-v1", l=float(length))
        row = slice(index, index + 1)
        inner = jax.tree.map(lambda leaf, row=row: leaf[row], state.state)
        _, expected = made.step(keys(3)[row], inner, action[row], {})
        np.testing.assert_allclose(timestep.obs[row], expected.obs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(timestep.reward[row], expected.reward, rtol=1e-5)
    np.testing.assert_array_equal(after.params["l"], state.params["l"])


@pytest.mark.parametrize("resets", ["exact", "pool"])
def test_each_episode_of_a_rollout_draws_its_own(resets):
    cfg = small(envs.randomized(PENDULUM, any_length), resets=resets, reset_pool=32)
    model = make_model(cfg)
    env = model.env

    @jax.jit
    def lengths(key):
        update = update_keys(cfg, key)
        starts = draw_starts(cfg, env, {}, update)
        start = env.reset(keys(cfg.num_envs), {})

        def step(carry, inputs):
            step_keys, picks = inputs
            now = starts._replace(picks=picks)
            action = jnp.zeros((cfg.num_envs, 1))
            stepped = step_and_reset(env, {}, now, step_keys, *carry, action)
            return (stepped.state, stepped.obs), carry[0].params["l"]

        found = jax.lax.scan(step, start, (update.environment, starts.picks))[1]
        return found, None if starts.pool is None else starts.pool[0].params["l"]

    found, pool = jax.device_get(lengths(jax.random.key(3)))
    episodes = found[:15].reshape(3, SHORT, -1)
    assert np.all(episodes == episodes[:, :1])  # one length for each episode
    drawn = episodes[:, 0]
    if resets == "exact":
        assert len(np.unique(drawn)) == drawn.size
    else:
        assert len(np.unique(drawn[1:])) > 8
        assert set(drawn[1:].ravel()) <= set(pool.tolist())
    assert np.all((drawn >= 0.5) & (drawn <= 1.5))


def test_a_constant_draw_steps_to_the_bits_of_the_environment_without_it():
    """Operation by operation; XLA may round a program otherwise in which the value is known."""
    env = envs.randomized(PENDULUM, standard_length)
    state, obs = env.reset(keys(64), {})
    plain_state, plain_obs = PENDULUM.reset(keys(64), {})
    action = jnp.linspace(-2.0, 2.0, 64)[:, None]
    _, timestep = env.step(keys(64), state, action, {})
    _, expected = PENDULUM.step(keys(64), plain_state, action, {})
    np.testing.assert_array_equal(obs, plain_obs)
    for a, b in zip(timestep[:4], expected[:4], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("resets", ["exact", "pool"])
def test_a_constant_draw_trains_as_the_environment_without_it(resets):
    """To the same bits where the parameter is an argument of the program in both."""
    plain = rpojax.make_train(small(PENDULUM, resets=resets))
    drawn = rpojax.make_train(small(envs.randomized(PENDULUM, standard_length), resets=resets))
    expected = jax.jit(plain)(jax.random.key(0), None, {"l": 1.0})
    result = jax.jit(drawn)(jax.random.key(0))
    for a, b in zip(
        jax.tree.leaves((result.metrics, result.state.params)),
        jax.tree.leaves((expected.metrics, expected.state.params)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_it_conforms_and_evaluates_and_draws():
    env = envs.randomized(PENDULUM, any_length)
    envs.check_env(env, num_steps=20)
    cfg = small(env)
    state = rpojax.make_trainer(cfg).init(jax.random.key(0))
    evaluation = rpojax.evaluate(cfg, state, jax.random.key(1), 16)
    plain = rpojax.evaluate(cfg.replace(env=PENDULUM), state, jax.random.key(1), 16)
    assert evaluation.finished.all()
    assert np.all(evaluation.episode_return != plain.episode_return)


def test_an_episode_is_rendered(tmp_path):
    cfg = small(envs.randomized(PENDULUM, any_length))
    state = rpojax.make_trainer(cfg).init(jax.random.key(0))
    path = tmp_path / "episode.gif"
    rpojax.render_episode(cfg, state, path, jax.random.key(1))
    assert path.stat().st_size > 1000


def test_parameters_that_are_not_drawn_can_be_given():
    env = envs.randomized(PENDULUM, any_length)
    assert set(env.params) == set(PENDULUM.params) - {"l"}
    state, _ = env.reset(keys(3), {})
    action = jnp.zeros((3, 1))
    heavy = {"m": 2.0, "g": 1.0}
    _, changed = env.step(keys(3), state, action, heavy)
    direct = jax.vmap(
        lambda key, state, params, action: PENDULUM.step(
            key[None], jax.tree.map(lambda leaf: leaf[None], state), action[None], params | heavy
        )
    )
    _, expected = direct(keys(3), state.state, state.params, action)
    np.testing.assert_allclose(changed.obs, expected.obs[:, 0], rtol=1e-6)
    assert not np.allclose(changed.obs, env.step(keys(3), state, action, {})[1].obs)


def test_all_drawn_leaves_none_to_give():
    env = envs.randomized(PENDULUM, lambda key: dict.fromkeys(PENDULUM.params, 1.0))
    assert not env.params


def test_a_rekey_of_the_environment_goes_on_working():
    def numbered(keys, state):
        return {**state, "position": jax.vmap(jax.random.uniform)(keys)}

    plain = make_counter(rekey=numbered, params={"x": 1.0})
    env = envs.randomized(plain, lambda key: {"x": jax.random.uniform(key)})
    state, _ = env.reset(keys(3), {})
    again = rekey(env, keys(3, 1), state)
    assert np.all(again.state["position"] != state.state["position"])
    np.testing.assert_array_equal(again.params["x"], state.params["x"])


@pytest.mark.parametrize("changes", [{}, {"y": 1.0}])
def test_a_cpu_computes_a_large_batch_in_the_blocks_of_the_environment(changes):
    plain = make_counter(most_at_once=3, params={"x": 1.0, "y": 2.0})
    env = envs.randomized(plain, lambda key: {"x": jax.random.uniform(key)})
    state, _ = jax.eval_shape(env.reset, keys(6), changes)
    programs = (
        jax.make_jaxpr(env.reset)(keys(6), changes),
        jax.make_jaxpr(env.step)(keys(6), state, jnp.zeros((6, 2)), changes),
    )
    assert all("f32[2,3,2]" in str(program) for program in programs)  # two blocks of three


def test_it_can_be_pickled_if_the_draw_can():
    env = pickle.loads(pickle.dumps(envs.randomized(envs.make("Pendulum-v1"), standard_length)))
    assert set(env.params) == set(PENDULUM.params) - {"l"}
    state, _ = env.reset(keys(2), {})
    np.testing.assert_array_equal(state.params["l"], [1.0, 1.0])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda key: 1.0, "draw returns .* which is not a dictionary; give parameters of 'Pend"),
        (lambda key: {}, "draw returns no parameters; draw at least one"),
        (lambda key: {"length": 1.0}, "unknown parameter of Pendulum-v1 'length'"),
        (
            lambda key: {"l": jax.random.uniform(key, (2,))},
            r"draw\(key\)\['l'\] has the shape \(2,\), .* takes \(\); draw for one environment",
        ),
    ],
)
def test_wrong_draws_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        envs.randomized(PENDULUM, draw)


def test_an_environment_without_parameters_cannot_be_randomised():
    with pytest.raises(ValueError, match=r"draw returns .*'Counter-v0' has no parameters"):
        envs.randomized(make_counter(), any_length)
