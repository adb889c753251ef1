"""The conformance test: what only running an environment shows."""

import dataclasses
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import LIMIT, make_counter, with_reset, with_step

from rpojax import envs
from rpojax.envs import TimeStep, check_env
from rpojax.envs.gymnax.family import NAMES


def random_from_the_host():
    """Rewards out of a generator that the keys do not govern."""
    good, generator = make_counter(), np.random.default_rng(0)

    def step(keys, state, action, params):
        state, timestep = good.step(keys, state, action, params)
        shape = jax.ShapeDtypeStruct(timestep.reward.shape, jnp.float32)
        reward = jax.experimental.io_callback(
            lambda: generator.random(shape.shape, np.float32), shape
        )
        return state, timestep._replace(reward=reward)

    return dataclasses.replace(good, step=step)


def nan_at_the_limit(name):
    def change(timestep):
        values = getattr(timestep, name)
        flag = timestep.truncated.reshape(-1, *[1] * (values.ndim - 1))
        return {name: jnp.where(flag, jnp.nan, values)}

    return with_step(change)


def keyed(rekey):
    """The counter with a PRNG key in its state, as plain numbers."""
    good = make_counter()

    def reset(keys, params):
        state, obs = good.reset(keys, params)
        return state | {"rng": jax.random.key_data(keys)}, obs

    def step(keys, state, action, params):
        following, timestep = good.step(keys, state, action, params)
        return following | {"rng": state["rng"]}, timestep

    return dataclasses.replace(good, reset=reset, step=step, rekey=rekey)


BROKEN = {
    "nan in obs": (lambda: nan_at_the_limit("obs"), "^environment 'Counter-v0': obs holds NaN"),
    "nan in reward": (lambda: nan_at_the_limit("reward"), "reward holds NaN"),
    "infinite reward": (
        lambda: with_step(lambda t: {"reward": t.reward / jnp.zeros_like(t.reward)}),
        "reward holds NaN, infinity or a number beyond 1e",
    ),
    "nan in the first obs": (
        lambda: with_reset(lambda state, obs: (state, obs.at[0].set(jnp.nan))),
        r"obs of reset holds NaN, infinity or .* 1e\+15; training cannot start there",
    ),
    "overflowing squares in obs": (
        lambda: with_step(lambda t: {"obs": t.obs * 1e25}),
        r"obs holds NaN, infinity or a number beyond 1e\+15 under random actions",
    ),
    "nan in a metric": (
        lambda: with_step(
            lambda t: {"metrics": {"effort": t.reward * jnp.nan}}, metrics=("effort",)
        ),
        r"metrics\['effort'\] holds NaN",
    ),
    "both ends at once": (
        lambda: with_step(lambda t: {"truncated": t.truncated | t.terminated}),
        "both terminated and truncated",
    ),
    "episodes past the limit": (
        lambda: make_counter(max_episode_steps=LIMIT - 1),
        f"ran past max_episode_steps = {LIMIT - 1}",
    ),
    "rekey that ignores its keys": (
        lambda: keyed(lambda keys, state: state | {"rng": state["rng"] + 1}),
        "rekey gives the same state for other keys",
    ),
    "randomness without the keys": (random_from_the_host, "the same keys gave different results"),
}


def test_check_passes_a_good_environment():
    done = check_env(make_counter(), num_steps=50)
    assert re.fullmatch(r"Counter-v0: 150 random steps, [1-9]\d episodes ended", done)
    check_env(keyed(lambda keys, state: state | {"rng": jax.random.key_data(keys)}), num_steps=50)


@pytest.mark.parametrize("way", BROKEN)
def test_check_fails_a_broken_environment_and_names_it(way):
    make_broken, problem = BROKEN[way]
    with pytest.raises(ValueError, match=r"^environment 'Counter-v0': ") as error:
        check_env(make_broken(), num_steps=60)
    assert re.search(problem, str(error.value)), str(error.value)


def test_check_fails_randomness_drawn_while_tracing():
    generator = np.random.default_rng(0)
    env = with_step(lambda t: {"reward": t.reward + np.float32(generator.random())})
    with pytest.raises(ValueError, match="the same keys gave different results"):
        check_env(env, num_steps=60)


def test_check_fails_what_cannot_be_vmapped():
    good = make_counter()

    @jax.custom_batching.custom_vmap
    def only_alone(x):
        return x

    @only_alone.def_vmap
    def _(axis_size, in_batched, x):
        raise NotImplementedError("no batches")

    def step(keys, state, action, params):
        state, timestep = good.step(keys, state, action, params)
        return state, timestep._replace(reward=only_alone(timestep.reward))

    with pytest.raises((ValueError, NotImplementedError)):
        check_env(dataclasses.replace(good, step=step), num_steps=60)


@pytest.mark.parametrize("name", NAMES)
def test_check_passes_each_named_environment(name):
    check_env(envs.make(name))


# Environments that reset by themselves inside of a step.


def walker(reset_inside, start=0.5, noise=0.0, cut_off=True):
    """Walks to the right from a random start; `start` is the width of its distribution."""

    def first(key):
        x = 1.0 + start * jax.random.uniform(key)
        return {"x": x, "time": jnp.int32(0)}

    def reset(keys, params):
        state = jax.vmap(first)(keys)
        return state, {"x": state["x"][:, None]}

    def step_one(key, state, action, params):
        x = state["x"] + 0.1 + noise * jax.random.normal(key)
        state = {"x": x, "time": state["time"] + 1}
        done = state["time"] >= LIMIT
        if reset_inside:
            fresh = first(key)
            state = jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, state)
        obs = {"x": state["x"][None]}
        return state, TimeStep(obs, action[0], done & (not cut_off), done & cut_off)

    return make_counter(
        reset=reset,
        step=jax.vmap(step_one),
        obs={"x": jax.ShapeDtypeStruct((1,), jnp.float32)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", [0.5, 0.0], ids=["random starts", "one start"])
def test_check_finds_a_step_that_resets_by_itself(start):
    check_env(walker(False, start), num_steps=30)
    with pytest.raises(ValueError, match=r"'Counter-v0': .*: step resets by itself"):
        check_env(walker(True, start), num_steps=30)


def replaying(whole, noise=0.1):
    """As the wrappers of Brax: each episode starts where the first one of its environment did."""
    good = walker(False, noise=noise)

    def reset(keys, params):
        state, obs = good.reset(keys, params)
        return state | {"first": state["x"]}, obs

    def step(keys, state, action, params):
        inner = {"x": state["x"], "time": state["time"]}
        following, timestep = good.step(keys, inner, action, params)
        done = timestep.truncated
        x = jnp.where(done, state["first"], following["x"])
        time = jnp.where(done, 0, following["time"])
        if whole:
            timestep = timestep._replace(obs={"x": x[:, None]})
        return {"x": x, "time": time, "first": state["first"]}, timestep

    return dataclasses.replace(good, reset=reset, step=step)


@pytest.mark.parametrize(
    ("whole", "part"), [(True, "state"), (False, "state")], ids=["all", "state alone"]
)
def test_check_finds_a_step_that_replays_the_first_state(whole, part):
    with pytest.raises(ValueError, match=f"the final {part} of each episode is the first of"):
        check_env(replaying(whole), num_steps=30)


def test_random_dynamics_are_not_taken_for_resets():
    check_env(walker(False, noise=0.1), num_steps=30)


def test_check_warns_of_a_time_limit_that_terminates():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(walker(False), num_steps=30)
    with pytest.warns(UserWarning, match="'Counter-v0': every episode terminated at .* = 7; if"):
        check_env(walker(False, cut_off=False), num_steps=30)


def test_check_passes_typed_keys_in_the_state():
    good = make_counter()

    def reset(keys, params):
        state, obs = good.reset(keys, params)
        return state | {"key": keys}, obs

    def step(keys, state, action, params):
        following, timestep = good.step(keys, state, action, params)
        return following | {"key": keys}, timestep

    check_env(dataclasses.replace(good, reset=reset, step=step), num_steps=20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (300.0, 500.0),
        (-500.0, -300.0),
        (9.0, 11.0),
        (20.0, np.inf),
        (-np.inf, -20.0),
        (0.0, np.inf),
        (-np.inf, np.inf),
    ],
)
def test_check_acts_within_the_bounds(low, high):
    seen = []
    good = make_counter(action_low=[low, low], action_high=[high, high])

    def step(keys, state, action, params):
        jax.debug.callback(lambda values: seen.append(np.asarray(values)), action)
        return good.step(keys, state, 0.0 * action, params)

    check_env(dataclasses.replace(good, step=step), num_steps=10)
    jax.effects_barrier()
    actions = np.concatenate(seen)
    assert ((actions >= low) & (actions <= high) & np.isfinite(actions)).all()
    assert np.ptp(actions) > 0.0


SWITCHES = {
    "debug_nans": lambda: jax.debug_nans(True),
    "debug_key_reuse": lambda: jax.debug_key_reuse(True),
    "strict promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "disable_jit": lambda: jax.disable_jit(),
    "x64": lambda: jax.enable_x64(True),
}


@pytest.mark.slow
@pytest.mark.parametrize("switch", SWITCHES)
def test_check_works_with_the_switches_of_jax(switch):
    with SWITCHES[switch]():
        check_env(envs.make("MountainCarContinuous-v0"), num_steps=3)


@pytest.mark.parametrize("part", ["obs", "reward"])
def test_nan_of_a_diverged_simulation_that_terminates_is_warned_of(part):
    """As physics engines that set done and leave NaN behind."""

    def change(timestep):
        values = getattr(timestep, part)
        flag = timestep.terminated.reshape(-1, *[1] * (values.ndim - 1))
        return {part: jnp.where(flag, jnp.nan, values)}

    message = r"'Counter-v0': \d+ of 300 steps under random actions terminated with NaN, inf"
    with pytest.warns(UserWarning, match=message):
        check_env(with_step(change), num_steps=100)
