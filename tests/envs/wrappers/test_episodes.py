"""A time limit, parameters that are drawn for each episode, and a curriculum."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits
from toys import LIMIT, keys, make_counter, run

import rpojax
from rpojax import envs
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.resets import Starts, draw_starts, rekey, step_and_reset
from rpojax.envs import check_env
from rpojax.envs.base import Continuation
from rpojax.envs.wrappers import with_time_limit

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


@pytest.mark.slow
@pytest.mark.optimized
def test_a_constant_draw_trains_as_the_environment_without_it():
    """To the same bits where the parameter is an argument of the program in both."""
    plain = rpojax.make_train(small(PENDULUM))
    drawn = rpojax.make_train(small(envs.randomized(PENDULUM, standard_length)))
    expected = jax.jit(plain)(jax.random.key(0), None, {"l": 1.0})
    result = jax.jit(drawn)(jax.random.key(0))
    assert_same_bits(
        (result.metrics, result.state.params), (expected.metrics, expected.state.params)
    )


def test_it_conforms_and_evaluates_and_draws():
    env = envs.randomized(PENDULUM, any_length)
    envs.check_env(env, num_steps=20)
    cfg = small(env)
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    evaluation = rpojax.evaluate(cfg, state, jax.random.key(1), 16)
    plain = rpojax.evaluate(cfg.replace(env=PENDULUM), state, jax.random.key(1), 16)
    assert evaluation.finished.all()
    assert np.all(evaluation.episode_return != plain.episode_return)


def test_an_episode_is_rendered(tmp_path):
    cfg = small(envs.randomized(PENDULUM, any_length))
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
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
        ({"l": 1.0}, "draw = {'l': 1.0} is not callable; give a function"),
        (lambda key: {}, "draw returns no parameters; return at least one"),
        (lambda key: {"length": 1.0}, "unknown parameter of Pendulum-v1 'length'"),
        (
            lambda key: {"l": jax.random.uniform(key, (2,))},
            r"draw\(key\)\['l'\] has the shape \(2,\), .* takes \(\); return those of one env",
        ),
    ],
)
def test_wrong_draws_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        envs.randomized(PENDULUM, draw)


def test_an_environment_without_parameters_cannot_be_randomised():
    with pytest.raises(ValueError, match=r"draw returns .*'Counter-v0' has no parameters"):
        envs.randomized(make_counter(), any_length)


def rising(level):
    """The counter's x, which its reward and its first position show."""
    return {"x": 10.0 * level}


def shown(**changes):
    """The counter with a parameter x: its reward is x + the first action, its position begins at x.

    The metric "won" is 1 in the last of three steps, where the first action is positive.
    """
    plain = make_counter()

    def reset(keys, params):
        state, _ = plain.reset(keys, params)
        state["position"] = jnp.full(len(keys), params.get("x", 1.0))
        return state, jnp.stack([0.0 * state["position"], state["position"]], axis=-1)

    def step(keys, state, action, params):
        state, timestep = plain.step(keys, state, action, params)
        won = (state["count"] == 3) & (action[:, 0] > 0)
        return state, timestep._replace(
            reward=params.get("x", 1.0) + action[:, 0],
            truncated=state["count"] >= 3,
            metrics={"won": won.astype(jnp.float32)},
        )

    fields = {"params": {"x": 1.0}, "metrics": ("won",), "max_episode_steps": 3}
    return make_counter(reset=reset, step=step, **(fields | changes))


def levels(env, policy, num_steps, params=None, num_envs=3, start=None):
    """What a training sees: states, observations and time steps [T, B, ...]."""

    def body(carry, key):
        all_keys = jax.random.split(key, num_envs)
        stepped = step_and_reset(
            env, params or {}, start or Starts(None, None), all_keys, *carry, policy(carry[1])
        )
        return (stepped.state, stepped.obs), (stepped.state, stepped.obs, stepped.timestep)

    first = env.restart(keys(num_envs), None, params or {})
    return first, jax.lax.scan(body, first, keys(num_steps))[1]


def wins(obs):
    """The first environment always wins, the second never, the third never either."""
    return jnp.array([[0.5, 0.0], [-0.5, 0.0], [-0.5, 0.0]])


LADDER = envs.curriculum(
    shown(), rising, score="won", raise_at=1.0, lower_at=0.5, step=0.25, start=0.5
)


def test_levels_rise_and_fall_with_success_and_outlive_episodes():
    first, (state, obs, timestep) = levels(LADDER, wins, 12)
    np.testing.assert_array_equal(first[0].level, 0.5)
    np.testing.assert_array_equal(first[1][:, 1], 5.0)  # a start has the level too
    expected = [0.5, 0.5, 0.75, 0.75, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(state.level[:, 0], expected)
    np.testing.assert_allclose(state.level[:, 1], 1.0 - np.array(expected))
    np.testing.assert_allclose(obs[2, :, 1], 10.0 * state.level[2])
    np.testing.assert_allclose(
        timestep.reward[3], 10.0 * state.level[2] + jnp.array([0.5, -0.5, -0.5])
    )


def test_the_metric_is_the_level_of_the_episode():
    _, (_, _, timestep) = levels(LADDER, wins, 6)
    per_episode = timestep.metrics["curriculum.level"].reshape(2, 3, 3).sum(axis=1)
    np.testing.assert_allclose(per_episode, [[0.5, 0.5, 0.5], [0.75, 0.25, 0.25]])
    cfg = small(LADDER, num_envs=4)
    metrics = jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).metrics
    assert metrics.environment["curriculum.level"][0] != metrics.environment["curriculum.level"][1]


def test_the_score_is_the_return_where_no_metric_is_named():
    env = envs.curriculum(shown(), rising, raise_at=16.0, lower_at=14.0, start=0.5)
    _, (state, _, _) = levels(env, wins, 3)  # returns of 3 * (5 + action)
    np.testing.assert_allclose(state.level[-1], [0.6, 0.4, 0.4])
    env = envs.curriculum(shown(), rising, raise_at=17.0, lower_at=13.0, start=0.5)
    _, (state, _, _) = levels(env, wins, 3)
    np.testing.assert_allclose(state.level[-1], 0.5)


def test_an_episode_that_ends_with_nan_lowers_the_level():
    plain = shown()

    def step(keys, state, action, params):
        state, timestep = plain.step(keys, state, action, params)
        reward = jnp.where(action[:, 0] > 0, jnp.nan, timestep.reward)
        return state, timestep._replace(reward=reward)

    broken = dataclasses.replace(plain, step=step)
    env = envs.curriculum(broken, rising, raise_at=0.0, lower_at=-9.0, start=0.5)
    _, (state, _, _) = levels(env, wins, 1)
    np.testing.assert_allclose(state.level[0], [0.4, 0.5, 0.5])


def test_with_a_pool_levels_outlive_episodes_and_starts_are_of_the_full_task():
    pool = LADDER.reset(keys(4), {})
    starts = Starts(pool, jnp.zeros(3, jnp.int32))
    _, (state, obs, timestep) = levels(LADDER, wins, 6, start=starts)
    np.testing.assert_allclose(state.level[-1], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(obs[2, :, 1], 10.0)
    np.testing.assert_allclose(
        timestep.reward[3], 10.0 * state.level[2] + jnp.array([0.5, -0.5, -0.5])
    )
    assert LADDER.resets == "exact"


def test_evaluation_plays_the_full_task():
    state, obs = LADDER.reset(keys(2), {})
    np.testing.assert_array_equal(state.level, 1.0)
    np.testing.assert_array_equal(obs[:, 1], 10.0)
    cfg = small(LADDER)
    agent = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    evaluation = rpojax.evaluate(cfg, agent, jax.random.key(1), 4)
    np.testing.assert_array_equal(evaluation.metrics["curriculum.level"], 1.0)


@pytest.mark.parametrize(
    "around",
    [
        lambda env: envs.history(env, 2),
        lambda env: with_time_limit(env, 3),
        lambda env: envs.randomized(env, lambda key: {"curriculum.step": 0.25}),
        lambda env: envs.curriculum(
            env, lambda level: {"y": level}, raise_at=99.0, lower_at=0.0, name="other"
        ),
    ],
)
def test_levels_outlive_episodes_inside_of_other_wrappers(around):
    inner = envs.curriculum(
        shown(params={"x": 1.0, "y": 0.0}),
        rising,
        score="won",
        raise_at=1.0,
        lower_at=0.5,
        step=0.25,
        start=0.5,
    )
    env = around(inner)
    first, (state, _, _) = levels(env, wins, 6)
    np.testing.assert_allclose(first[0].state.level, 0.5)
    np.testing.assert_allclose(state.state.level[-1], [1.0, 0.0, 0.0])
    starts = Starts(env.reset(keys(4), {}), jnp.zeros(3, jnp.int32))
    _, (state, _, _) = levels(env, wins, 6, start=starts)
    np.testing.assert_allclose(state.state.level[-1], [1.0, 0.0, 0.0])


def test_the_rule_can_differ_between_agents():
    def last(step, start):
        params = {"curriculum.step": step, "curriculum.start": start}
        return levels(LADDER, wins, 3, params)[1][0].level[-1]

    found = jax.jit(jax.vmap(last))(jnp.array([0.1, 0.5]), jnp.array([0.2, 0.4]))
    np.testing.assert_allclose(found, [[0.3, 0.1, 0.1], [0.9, 0.0, 0.0]], atol=1e-6)
    assert set(LADDER.params) == {f"curriculum.{end}" for end in RULE}


RULE = ("raise_at", "lower_at", "step", "start")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "lost"}, "unknown metric of Counter-v0 'lost'"),
        ({"raise_at": jnp.nan}, "raise_at = nan is out of range"),
        ({"params_of": {"x": 1.0}}, "params_of = {'x': 1.0} is not callable"),
        ({"params_of": lambda level: {"z": level}}, "unknown parameter of Counter-v0 'z'"),
    ],
)
def test_wrong_curricula_are_refused(changes, message):
    given = {"params_of": rising, "raise_at": 1.0, "lower_at": 0.0} | changes
    with pytest.raises(ValueError, match=message):
        envs.curriculum(shown(), **given)


def test_check_finds_a_continuation_that_changes_the_state():
    def restart(all_keys, ended, params):
        return shown().reset(all_keys, params)[0], jnp.zeros((len(all_keys), 3))

    good = shown()
    env = dataclasses.replace(
        good, continuation=Continuation(restart, lambda ended, fresh, params: fresh)
    )
    with pytest.raises(ValueError, match="restart starts otherwise than reset"):
        check_env(env)
    inherit = Continuation(lambda *args: good.reset(args[0], {}), lambda *args: 0)
    with pytest.raises(ValueError, match="inherit changes the state"):
        check_env(dataclasses.replace(good, continuation=inherit))
