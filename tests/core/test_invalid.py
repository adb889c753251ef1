"""NaN, infinity and what overflows in an environment end an episode, not the agent."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter

import rpojax
from rpojax.core.invalid import end_where_invalid
from rpojax.envs import TimeStep
from rpojax.loggers import CSVLogger

HUGE = 1e25  # its square is infinite in float32
BAD = [np.nan, np.inf, -np.inf, HUGE, -HUGE]
ENVS, STEPS = 8, 32
CFG = rpojax.Config(
    num_envs=ENVS,
    num_steps=STEPS,
    num_minibatches=2,
    update_epochs=1,
    total_timesteps=ENVS * STEPS * 4,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)


def timestep(**changes):
    fields = {
        "obs": {"x": jnp.ones((4, 2)), "n": jnp.ones(4, jnp.int32)},
        "reward": jnp.ones(4),
        "terminated": jnp.zeros(4, bool),
        "truncated": jnp.array([True, True, False, False]),
        "metrics": {"effort": jnp.ones(4)},
    }
    return TimeStep(**(fields | changes))


BEFORE = {"x": jnp.full((4, 2), 7.0), "n": jnp.full(4, 7)}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("part", ["obs", "reward"])
def test_an_invalid_step_terminates_with_the_observation_before(part, bad):
    given = timestep()
    if part == "obs":
        given = timestep(obs={**given.obs, "x": given.obs["x"].at[1, 1].set(bad)})
    else:
        given = timestep(reward=given.reward.at[1].set(bad))
    ended, invalid = end_where_invalid(BEFORE, given)
    np.testing.assert_array_equal(invalid, [False, True, False, False])
    np.testing.assert_array_equal(ended.terminated, [False, True, False, False])
    np.testing.assert_array_equal(ended.truncated, [True, False, False, False])
    np.testing.assert_array_equal(ended.reward, [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(ended.metrics["effort"], [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(ended.obs["x"], [[1, 1], [7, 7], [1, 1], [1, 1]])
    np.testing.assert_array_equal(ended.obs["n"], [1, 7, 1, 1])
    assert jax.tree.map(lambda leaf: leaf.dtype, ended) == jax.tree.map(
        lambda leaf: leaf.dtype, given
    )


def test_a_valid_step_stays_as_it_is():
    ended, invalid = end_where_invalid(BEFORE, timestep())
    assert not invalid.any()
    jax.tree.map(np.testing.assert_array_equal, ended, timestep())


def diverging(part, bad=jnp.nan, share=0.05):
    """The counter, whose steps go wrong now and then: the state for good, and what is seen."""
    good = make_counter()

    def step(keys, state, action, params):
        following, timestep = good.step(keys, state, action, params)
        wrong = jax.vmap(lambda key: jax.random.bernoulli(key, share))(keys)
        following["position"] = jnp.where(wrong, bad, following["position"])
        if part == "obs":
            seen = jnp.stack([following["count"], following["position"]], axis=1)
            return following, timestep._replace(obs=seen)
        return following, timestep._replace(reward=jnp.where(wrong, bad, timestep.reward))

    return dataclasses.replace(good, step=step)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "bad", "resets"),
    [("obs", jnp.nan, "exact"), ("reward", jnp.inf, "pool"), ("obs", HUGE, "pool")],
)
def test_agents_train_on_and_the_steps_are_counted(part, bad, resets):
    cfg = CFG.replace(env=diverging(part, bad), resets=resets)
    result = jax.jit(rpojax.make_train(cfg))(jax.random.key(0))
    assert bool(result.finite)
    assert all(np.isfinite(values).all() for values in jax.tree.leaves(result.metrics))
    counts = np.asarray(result.metrics.invalid_steps)
    expected = 0.05 * ENVS * STEPS
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    assert (counts < result.metrics.episode_count).all()


def test_evaluation_says_which_episodes_ended_so_and_counts_what_was_before():
    cfg = CFG.replace(env=diverging("obs", share=0.2))
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    played = rpojax.evaluate(cfg, state, jax.random.key(1), num_episodes=64)
    assert played.finished.all()
    assert np.isfinite(played.episode_return).all()
    invalid = np.asarray(played.invalid)
    assert invalid.any()
    assert not invalid.all()
    lengths = np.asarray(played.episode_length)
    assert lengths[invalid].min() < lengths[~invalid].max() == 7


def test_a_picture_shows_the_last_finite_state(tmp_path):
    cfg = CFG.replace(env=diverging("obs", share=1.0))
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    seen = []
    rpojax.render_episode(
        cfg, state, tmp_path / "a.gif", jax.random.key(0), draw=lambda _, one: seen.append(one)
    )
    assert [int(one["count"]) for one in seen] == [0, 0]
    assert np.isfinite([one["position"] for one in seen]).all()


@pytest.mark.slow
def test_fit_warns_once_and_logs_the_number(tmp_path):
    cfg = CFG.replace(env=diverging("reward"))
    path = tmp_path / "metrics.csv"
    with pytest.warns(RuntimeWarning, match="steps of the environment gave NaN") as warned:
        result = rpojax.fit(cfg, num_seeds=2, loggers=[CSVLogger(path)], log_every=2)
    assert len(warned) == 1
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    column = header.index("invalid_steps")
    logged = [float(row[column]) for row in rows]
    counts = np.asarray(result.metrics.invalid_steps)
    np.testing.assert_array_equal(logged, counts.reshape(2, 2, 2).sum(axis=2).T.ravel())
