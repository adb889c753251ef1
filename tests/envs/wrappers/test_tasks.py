"""Commands that change with time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import keys, make_counter

from rpojax import envs

MANY = 4096


def follow(command, timestep):
    """Reward: the sum of command and count; the metric is the command."""
    return timestep._replace(reward=command[0] + timestep.obs[0], metrics={"asked": command[0]})


def commanded(**changes):
    settings = {"low": [-1.0, 2.0], "high": [1.0, 6.0], "follow": follow, "metrics": ("asked",)}
    return envs.commands(make_counter(), **(settings | changes))


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


def test_follow_returns_a_time_step():
    env = commanded(follow=lambda command, timestep: timestep.reward)
    with pytest.raises(ValueError, match=r"follow returns .*; return a TimeStep"):
        envs.check_env(env)


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
        ({"follow": None}, "follow = None is not callable"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        commanded(**changes)


POLE = """<mujoco><option timestep="0.01"/><worldbody>
<body><joint type="slide" axis="1 0 0"/><joint type="hinge" axis="0 1 0"/><geom size="0.1"/></body>
</worldbody></mujoco>"""


ENGINES = [pytest.param("jax", marks=pytest.mark.slow), "c"]


@pytest.fixture(scope="module", params=ENGINES)
def sliding(request):
    """A ball that slides and turns without forces, whose observation is its velocity."""
    pytest.importorskip("mujoco.mjx")
    return envs.from_mjcf(
        POLE.replace("<option", '<option gravity="0 0 0"')
        .replace("</mujoco>", '<actuator><motor joint="slide" gear="0"/></actuator></mujoco>')
        .replace('type="slide"', 'type="slide" name="slide"'),
        control_dt=0.01,
        observe=lambda data: data.qvel,
        reward={"still": (1.0, lambda data: -jnp.abs(data.qvel[0]))},
        start=envs.start_at(qvel=0.25),
        impl=request.param,
    )


def velocities(env, num_steps, num_envs, params=None):
    """[T + 1, B, 2] of an episode."""
    state, obs = env.reset(keys(num_envs), params or {})

    def body(state, key):
        still = jnp.zeros((num_envs, 1))
        state, timestep = env.step(jax.random.split(key, num_envs), state, still, params or {})
        return state, timestep.obs

    later = jax.lax.scan(body, state, keys(num_steps, 1))[1]
    return np.asarray(jnp.concatenate([obs[None], later]))


def test_pushes_change_velocities_at_random_times(sliding):
    found = np.diff(velocities(envs.random_pushes(sliding, [2.0], (2, 4)), 9, 512), axis=0)
    kicked = np.abs(found[..., 0]) > 1e-4
    assert np.abs(found[..., 1]).max() < 1e-6  # the second velocity is not pushed
    first = kicked.argmax(axis=0) + 1
    assert set(first) == {2, 3, 4}
    assert stats.chisquare(np.bincount(first, minlength=5)[2:5]).pvalue > 1e-4
    kicks = found[..., 0][kicked]
    assert stats.kstest(kicks, stats.uniform(-2.0, 4.0).cdf).pvalue > 1e-4


def test_the_strength_of_pushes_is_traced(sliding):
    env = envs.random_pushes(sliding, [1.0, 1.0], 1)
    found = jax.jit(jax.vmap(lambda speed: jnp.asarray(pushed(env, speed))))(
        jnp.array([[0.0, 0.0], [1.0, 3.0]])
    )
    assert np.abs(found[0]).max() < 1e-6
    assert 2.5 < np.abs(found[1][..., 1]).max() < 3.0001


def pushed(env, speed):
    params = {"push.speed": speed}
    state, obs = env.reset(keys(64), params)
    return env.step(keys(64, 1), state, jnp.zeros((64, 1)), params)[1].obs - obs


def test_what_cannot_be_pushed_is_refused(sliding):
    with pytest.raises(ValueError, match=r"'Counter-v0' cannot be pushed: Env.push is None"):
        envs.random_pushes(make_counter(), 1.0, 5)
    with pytest.raises(ValueError, match=r"speed = \[1, 1, 1\] does not fit the velocities"):
        envs.random_pushes(sliding, [1, 1, 1], 5)
    envs.check_env(envs.random_pushes(sliding, 1.0, 5), num_steps=5)


@pytest.mark.parametrize("impl", ENGINES)
def test_tasks_of_playground_can_be_pushed(impl):
    pytest.importorskip("mujoco_playground")
    env = envs.make("playground/CartpoleBalance", impl=impl)

    @jax.jit
    def speeds(keys):
        state, _ = env.reset(keys, {})
        after = env.push(state, jnp.array([[0.5], [-2.0]]))
        still = jnp.zeros((2, 1))
        stepped = [env.step(keys, each, still, {})[1].obs for each in (state, after)]
        return state.state.data.qvel, after.state.data.qvel, *stepped

    before, pushed, calm, kicked = speeds(keys(2))
    np.testing.assert_allclose(pushed - before, [[0.5, 0.0], [-2.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose((kicked - calm)[:, 3], [0.5, -2.0], atol=0.1)  # the cart's
