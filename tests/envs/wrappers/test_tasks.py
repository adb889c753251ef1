"""Commands that change with time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import make_counter

from rpojax import envs

MANY = 4096


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def follow(command, timestep):
    """Reward: the sum of command and count; the metric is the command."""
    return timestep._replace(reward=command[0] + timestep.obs[0], metrics={"asked": command[0]})


def commanded(**changes):
    settings = {"low": [-1.0, 2.0], "high": [1.0, 6.0], "interval": None, "metrics": ("asked",)}
    return envs.commands(make_counter(), follow=follow, **(settings | changes))


def played(env, num_steps, params=None):
    params = params or {}
    state, obs = env.reset(keys(MANY), params)

    def body(state, key):
        still = jnp.zeros((MANY, 2))
        return env.step(jax.random.split(key, MANY), state, still, params)

    _, timestep = jax.lax.scan(body, state, keys(num_steps, 1))
    commands = jnp.concatenate([obs["command"][None], timestep.obs["command"]])
    return jax.device_get((commands, timestep))


def test_commands_are_uniform_and_independent():
    commands, _ = played(commanded(), 2)
    first = commands[0]
    assert stats.kstest(first[:, 0], stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-4
    assert stats.kstest(first[:, 1], stats.uniform(2.0, 4.0).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(first.T)[0, 1]) < 0.08
    np.testing.assert_array_equal(commands, np.broadcast_to(first, commands.shape))


def test_they_are_drawn_again_after_intervals_of_the_range():
    commands, _ = played(commanded(interval=(2, 4)), 16)
    changed = np.any(commands[1:] != commands[:-1], axis=-1)  # [T, B]
    assert stats.kstest(commands[-1][:, 0], stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-4
    first = changed.argmax(axis=0) + 1
    assert stats.chisquare(np.bincount(first, minlength=5)[2:5]).pvalue > 1e-4
    assert set(first) == {2, 3, 4}
    times = [np.flatnonzero(column) for column in changed.T]
    between = np.concatenate([np.diff(each)[:2] for each in times])  # the first ones all end
    assert stats.chisquare(np.bincount(between, minlength=5)[2:5]).pvalue > 1e-4
    assert set(between) == {2, 3, 4}


def test_the_reward_is_for_the_command_that_was_observed():
    commands, timestep = played(commanded(interval=1), 3)
    assert np.all(commands[1:] != commands[:-1])
    np.testing.assert_allclose(
        timestep.reward, commands[:-1, :, 0] + timestep.obs["state"][..., 0], rtol=1e-5
    )
    np.testing.assert_array_equal(timestep.metrics["asked"], commands[:-1, :, 0])


def test_the_range_is_a_parameter():
    env = commanded(low=0.0, high=1.0, interval=(2, 3))
    assert set(env.params) == {f"command.{end}" for end in ("low", "high", "fewest", "most")}
    given = {"command.low": jnp.array([5.0]), "command.high": jnp.array([5.0])}
    commands, _ = played(env, 1, given)
    np.testing.assert_array_equal(commands, 5.0)


def test_a_dictionary_gets_one_more_entry():
    env = envs.commands(commanded(), 0.0, 1.0, lambda command, timestep: timestep, name="goal")
    assert {name: leaf.shape for name, leaf in env.obs.items()} == {
        "state": (2,),
        "command": (2,),
        "goal": (1,),
    }
    with pytest.raises(ValueError, match="have an entry 'command'; give another name"):
        envs.commands(commanded(), 0.0, 1.0, follow)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": [1.0]}, "are no range of commands"),
        ({"high": np.inf}, "high = inf is out of range"),
        ({"interval": (0, 3)}, "fewest steps = 0 is not allowed"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        commanded(**changes)
