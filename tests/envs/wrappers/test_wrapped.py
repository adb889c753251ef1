"""What all wrappers have in common: they conform, resume, and take traced parameters."""

import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits
from toys import make_counter

import rpojax
from rpojax import envs
from rpojax.envs.wrappers import with_time_limit
from rpojax.envs.wrappers.wrapped import with_outer_state


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


def windy(**changes):
    """The counter, whose position drifts by its parameter "wind", and can be pushed."""
    plain = make_counter()

    def step(keys, state, action, params):
        wind = params.get("wind", 0.25)
        return plain.step(keys, state, action.at[:, 0].add(wind), params)

    def push(state, velocity):
        return state | {"position": state["position"] + velocity[:, 0]}

    return make_counter(step=step, push=push, params={"wind": 0.25}, **changes)


def first_of(obs):
    return {"state": obs, "privileged_state": obs}


def follow(command, timestep):
    error = jnp.abs(timestep.obs[1] - command[0])
    return timestep._replace(reward=-error, metrics={"near": (error < 1.0).astype(jnp.float32)})


def harder(level):
    return {"wind": level}


def any_wind(key):
    return {"wind": jax.random.uniform(key)}


# Each with a parameter of its own and two values of it; None where it has none.
WRAPPERS = {
    "transform_observation": (lambda env: envs.transform_observation(env, first_of), None),
    "sensor_noise": (lambda env, x=0.5: envs.sensor_noise(env, x), ("sensor_noise", 0.0, 2.0)),
    "sensor_delay": (
        lambda env, x=2: envs.sensor_delay(env, (0, x), longest=3),
        ("sensor_delay.most", 0, 3),
    ),
    "history": (lambda env: envs.history(env, 3), None),
    "clip_action": (lambda env: envs.clip_action(env, -0.5, 0.95), None),
    "rescale_action": (lambda env: envs.rescale_action(env, -4.0, [3.0, 4.0]), None),
    "action_delay": (
        lambda env, x=2: envs.action_delay(env, (x, 3)),
        ("action_delay.fewest", 0, 3),
    ),
    "action_repeat": (lambda env: envs.action_repeat(env, 3), None),
    "commands": (
        lambda env, x=4.0: envs.commands(
            env, [1.0], [x], follow, interval=(2, 4), metrics=("near",)
        ),
        ("command.high", 1.0, 8.0),
    ),
    "random_pushes": (
        lambda env, x=1.0: envs.random_pushes(env, [x], (1, 3)),
        ("push.speed", 0.0, 2.0),
    ),
    "curriculum": (
        lambda env, x=0.5: envs.curriculum(env, harder, raise_at=0.0, lower_at=-1.0, start=x),
        ("curriculum.start", 0.0, 1.0),
    ),
    "randomized": (lambda env: envs.randomized(env, any_wind), None),
}
OF_THE_COUNTER = {"curriculum", "random_pushes", "randomized", "rescale_action"}
MAKE = {name: make for name, (make, _) in WRAPPERS.items()}
TRACED = {name: traced for name, (_, traced) in WRAPPERS.items() if traced}


@pytest.mark.parametrize("name", MAKE)
def test_it_conforms(name):
    envs.check_env(MAKE[name](windy()), num_steps=30)


def rolled_out(env, params, num_steps=12, num_envs=4):
    """The time steps of a training, without an agent."""

    def body(carry, key):
        action_key, step_key = jax.random.split(key)
        action = jax.random.uniform(action_key, (num_envs, 2), minval=-1.0)
        state, timestep = env.step(jax.random.split(step_key, num_envs), carry, action, params)
        return state, timestep

    keys = jax.random.split(jax.random.key(0), num_steps + 1)
    state, obs = env.restart(jax.random.split(keys[0], num_envs), None, params)
    return obs, jax.lax.scan(body, state, keys[1:])[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACED)
def test_its_strength_is_traced_and_mapped_over_agents(name):
    """As the environments that are made with these values; parameters of `env` pass through."""
    parameter, *values = TRACED[name]
    env = MAKE[name](windy())
    shape = env.params[parameter].shape
    rows = jnp.stack([jnp.full(shape, value, jnp.float32) for value in values])

    def both(value):
        return rolled_out(env, {parameter: value})

    mapped = jax.jit(jax.vmap(both))(rows)
    for index, value in enumerate(values):
        made = jax.jit(lambda value=value: rolled_out(MAKE[name](windy(), value), {}))()
        jax.tree.map(
            lambda a, b, index=index: np.testing.assert_allclose(a[index], b, atol=1e-5),
            mapped,
            made,
        )
    first, second = (jax.tree.map(lambda leaf, i=i: leaf[i], mapped) for i in (0, 1))
    assert not all(map(np.array_equal, jax.tree.leaves(first), jax.tree.leaves(second)))


def all_of_them():
    """Each wrapper around another, in the order that the guide recommends."""
    env = envs.action_repeat(windy(max_episode_steps=None), 2)
    env = envs.action_delay(env, (0, 2))
    env = envs.clip_action(env, -0.5, 0.8)
    env = envs.rescale_action(env)
    env = envs.random_pushes(env, 0.5, (1, 3))
    env = envs.commands(env, [1.0], [4.0], follow, interval=(1, 3), metrics=("near",))
    env = envs.transform_observation(env, lambda obs: obs | {"privileged_state": obs["state"]})
    env = envs.sensor_noise(env, 0.1, keys=("state",))
    env = envs.sensor_delay(env, (0, 2), keys=("state",))
    env = envs.history(env, 2, keys=("state",))
    env = with_time_limit(env, 4)
    env = envs.curriculum(env, harder, score="near", raise_at=2.0, lower_at=1.0, step=0.5)
    return envs.randomized(env, lambda key: {"sensor_noise": jax.random.uniform(key)})


CFG = rpojax.Config(
    env=all_of_them(),
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=1,
    total_timesteps=4 * 32,
    network=rpojax.NetworkConfig(
        hidden_sizes=(4,), actor_keys=("state", "command"), critic_keys=("privileged_state",)
    ),
)


@pytest.mark.slow
@pytest.mark.optimized
def test_all_of_them_train_and_resume_to_the_bit_with_parameters_for_each_agent(tmp_path):
    params = {"command.high": [[2.0], [9.0]], "action_delay.most": [0.0, 2.0]}
    whole = rpojax.fit(CFG, 2, env_params=params)
    assert whole.finite.all()
    assert np.unique(whole.metrics.environment["curriculum.level"]).size > 2
    rpojax.fit(
        CFG,
        2,
        env_params=params,
        checkpoint_dir=tmp_path / "run",
        checkpoint_every=1,
        on_chunk=lambda progress: progress.updates >= 2,
    )
    resumed = rpojax.resume(tmp_path / "run", cfg=CFG)
    assert_same_bits((resumed.state, resumed.metrics), (whole.state, whole.metrics))


def test_numbers_of_an_environment_do_not_depend_on_what_is_around_it():
    env, around = windy(), envs.sensor_delay(envs.sensor_noise(windy(), 1.0), 1)
    keys = jax.random.split(jax.random.key(0), 3)
    plain, noisy = env.reset(keys, {})[0], around.reset(keys, {})[0]
    assert_same_bits(noisy.state.state, plain)


def test_two_of_a_kind_need_names_and_differ():
    once = envs.sensor_noise(windy(), 1.0)
    with pytest.raises(ValueError, match=r"has the parameters sensor_noise already.*give name="):
        envs.sensor_noise(once, 1.0)
    twice = envs.sensor_noise(once, 1.0, name="more")
    keys = jax.random.split(jax.random.key(0), 256)
    plain, one, two = (env.reset(keys, {})[1] for env in (windy(), once, twice))
    assert abs(np.corrcoef((one - plain)[:, 0], (two - one)[:, 0])[0, 1]) < 0.2


@pytest.mark.parametrize("name", sorted(MAKE.keys() - OF_THE_COUNTER))
def test_it_can_be_pickled_if_its_functions_can(name):
    env = MAKE[name](envs.make("Pendulum-v1"))
    again = pickle.loads(pickle.dumps(env))
    assert again.obs == env.obs
    assert again.params.keys() == env.params.keys()
