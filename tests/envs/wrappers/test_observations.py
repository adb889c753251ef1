"""A function of the observation, noise, delay, history."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import keys, make_counter, with_reset

import rpojax
from rpojax import envs
from rpojax.core.model import make_model

MANY = 4096


def parts(env):
    """The counter with a Dict observation of its two numbers."""
    return envs.transform_observation(env, lambda obs: {"count": obs[:1], "position": obs[1:]})


def seen(env, num_steps, num_envs=3):
    """Observations of an episode, [T + 1, B, ...], and its states."""
    state, obs = env.reset(keys(num_envs), {})

    def body(state, key):
        still = jnp.zeros((num_envs, 2))
        state, timestep = env.step(jax.random.split(key, num_envs), state, still, {})
        return state, (timestep.obs, state)

    later, states = jax.lax.scan(body, state, keys(num_steps, 1))[1]
    whole = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), obs, later)
    return jax.device_get((whole, states))


def test_a_function_of_the_observation():
    obs, _ = seen(parts(make_counter()), 3)
    plain, _ = seen(make_counter(), 3)
    np.testing.assert_array_equal(obs["count"], plain[..., :1])
    np.testing.assert_array_equal(obs["position"], plain[..., 1:])


def test_the_critic_can_see_the_clean_state():
    env = envs.transform_observation(
        make_counter(), lambda obs: {"state": obs, "privileged_state": obs}
    )
    env = envs.history(envs.sensor_noise(env, 3.0, keys=("state",)), 2, keys=("state",))
    obs, _ = seen(env, 3)
    plain, _ = seen(make_counter(), 3)
    np.testing.assert_array_equal(obs["privileged_state"], plain)
    assert np.all(obs["state"][:, :, -1] != plain)
    network = rpojax.NetworkConfig(actor_keys=("state",), critic_keys=("privileged_state",))
    model = make_model(rpojax.Config(env=env, network=network))
    params = model.network.init(jax.random.key(0))
    shapes = {name: params[name]["kernel"].shape[0] for name in ("actor_0", "critic_0")}
    assert shapes == {"actor_0": 4, "critic_0": 2}


@pytest.mark.parametrize(
    ("distribution", "expected"), [("normal", stats.norm()), ("uniform", stats.uniform(-1, 2))]
)
def test_noise_has_the_distribution_that_was_asked_for(distribution, expected):
    env = envs.sensor_noise(make_counter(), [0.5, 2.0], distribution=distribution)
    plain, _ = seen(make_counter(), 2, MANY)
    noise = (seen(env, 2, MANY)[0] - plain) / np.array([0.5, 2.0])
    for column in np.moveaxis(noise, 1, 0).reshape(MANY, -1).T:
        assert stats.kstest(column, expected.cdf).pvalue > 1e-4
    correlation = np.corrcoef(np.moveaxis(noise, 1, 0).reshape(MANY, -1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.08  # 5 / sqrt(4096)


def test_noise_changes_the_chosen_entries_alone():
    env = envs.sensor_noise(parts(make_counter()), 1.0, keys=["count"])
    obs, _ = seen(env, 2)
    plain, _ = seen(parts(make_counter()), 2)
    np.testing.assert_array_equal(obs["position"], plain["position"])
    assert np.all(obs["count"] != plain["count"])


def test_a_delay_shows_what_was_some_steps_ago():
    obs, states = seen(envs.sensor_delay(make_counter(), (0, 3)), 6, 64)
    delay = states.delay[0]
    np.testing.assert_array_equal(states.delay, np.broadcast_to(delay, states.delay.shape))
    for time in range(7):
        np.testing.assert_array_equal(obs[time, :, 0], np.maximum(time - delay, 0))
    assert set(delay) == {0, 1, 2, 3}


@pytest.mark.parametrize(("given", "expected"), [({}, 3), ({"sensor_delay.most": 2.0}, 2)])
def test_each_episode_draws_its_delay_uniformly(given, expected):
    env = envs.sensor_delay(make_counter(), (1, 3))
    counts = np.bincount(env.reset(keys(MANY), given)[0].delay, minlength=4)
    assert counts[0] == counts[expected + 1 :].sum() == 0
    assert stats.chisquare(counts[1 : expected + 1]).pvalue > 1e-4


def test_a_changed_delay_stays_within_what_is_remembered():
    env = envs.sensor_delay(make_counter(), 1, longest=2)
    state, _ = env.reset(keys(8), {"sensor_delay.fewest": 5.0, "sensor_delay.most": 9.0})
    np.testing.assert_array_equal(state.delay, 2)
    assert state.frames.shape == (8, 3, 2)


def test_history_stacks_the_latest_observations():
    obs, _ = seen(envs.history(make_counter(), 3), 4)
    np.testing.assert_array_equal(
        obs[:, 0, :, 0], [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    )
    plain, _ = seen(make_counter(), 4)
    np.testing.assert_array_equal(obs[:, :, -1], plain)


def test_history_of_named_entries():
    env = envs.history(parts(make_counter()), 2, keys=("position",))
    assert env.obs["position"].shape == (2, 1)
    assert env.obs["count"].shape == (1,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda env: envs.history(env, 0), "length = 0 is not allowed; give a whole number of at"),
        (lambda env: envs.history(env, 2, keys=("speed",)), "picks entries of a Dict observation"),
        (lambda env: envs.history(parts(env), 2, keys=("posit",)), "mean 'position'"),
        (lambda env: envs.history(parts(env), 2, keys="count"), "is not a list of names"),
        (lambda env: envs.sensor_noise(env, -1.0), "scale = -1 is out of range"),
        (lambda env: envs.sensor_noise(env, [1.0] * 3), r"has the shape \(2,\), and scale \(3,\)"),
        (lambda env: envs.sensor_noise(env, 1.0, distribution="beta"), "distribution = 'beta'"),
        (lambda env: envs.sensor_delay(env, (3, 1)), "most steps = 1 is not allowed; .*at least 3"),
        (lambda env: envs.sensor_delay(env, (1, 2, 3)), r"is no range; give \(fewest, most\)"),
        (lambda env: envs.sensor_delay(env, 4, longest=3), "fewest steps = 4 is not allowed; .*3$"),
        (lambda env: envs.sensor_delay(env, 1, longest="3"), "longest = '3' is not allowed"),
        (lambda env: envs.transform_observation(env, "x"), "function = 'x' is not callable"),
        (
            lambda env: envs.history("Pendulum-v1", 2),
            "env = 'Pendulum-v1' is not an rpojax.envs.Env",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(make_counter())


def test_noise_on_whole_numbers_is_refused():
    env = envs.transform_observation(make_counter(), lambda obs: obs.astype(jnp.int32))
    with pytest.raises(ValueError, match=r"obs is int32; give keys of entries that are floats"):
        envs.sensor_noise(env, 1.0)


def test_a_function_that_loses_the_observation_is_refused_when_it_is_checked():
    env = envs.transform_observation(with_reset(lambda state, obs: (state, obs)), lambda obs: ())
    with pytest.raises(ValueError, match="obs has no leaves"):
        envs.check_env(env)
