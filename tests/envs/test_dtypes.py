"""Common dtypes over reset and step: nothing is narrowed, and what has none is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from toys import run

from rpojax import envs
from rpojax.envs import check_env
from rpojax.envs.checks.contract import check_contract
from rpojax.envs.gymnax.family import NAMES


class Cart:
    """`state["x"]` and the observation as `first` at reset; `move` makes the next x of the last."""

    name = "Cart"
    default_params = None

    def __init__(self, first=0, move=lambda x, a: x + 0.1 * a):
        self.first, self.move = first, move

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))

    def reset_env(self, key, params):
        return {"x": self.first}, {"x": self.first, "inner": [self.first], "time": 0}

    def step_env(self, key, state, action, params):
        x = self.move(state["x"], action[0])
        state = {"x": x, "inner": [x], "time": state["time"] + 1}
        return {"x": x}, state, -jnp.abs(1.0 * x), False, {}


def dtypes(env):
    keys = jax.random.split(jax.random.key(0), 2)
    state, obs = jax.eval_shape(env.reset, keys, {})
    assert obs["x"].dtype == env.obs["x"].dtype
    return {"x": state["x"].dtype, "time": state["time"].dtype, "obs": obs["x"].dtype}


def test_integer_at_reset_does_not_stop_a_float_in_step():
    env = envs.make(Cart())
    check_env(env, num_steps=20)
    assert dtypes(env) == {"x": jnp.float32, "time": jnp.int32, "obs": jnp.float32}
    _, _, timestep, state = run(env, lambda obs: jnp.ones((3, 1)), 3)
    np.testing.assert_allclose(state["x"][-1], 0.3, rtol=1e-6)
    np.testing.assert_allclose(state["inner"][0][-1], 0.3, rtol=1e-6)
    np.testing.assert_allclose(timestep.obs["x"][:, 0], [0.1, 0.2, 0.3], rtol=1e-6)


CASES = {
    "a weak 0 and float32": (0, lambda x, a: x + a, jnp.float32),
    "a bool and an integer": (False, lambda x, a: x + 1, jnp.int32),
    "bool and float": (False, lambda x, a: x + a, jnp.float32),
    "uint8 and int32": (jnp.uint8(0), lambda x, a: jnp.int32(x) + 1, jnp.int32),
    "int32, then uint8": (jnp.int32(300), lambda x, a: jnp.uint8(1), jnp.int32),
    "bfloat16 and float16": (jnp.bfloat16(0), lambda x, a: jnp.float16(a), jnp.float32),
    "float32, then bfloat16": (0.0, lambda x, a: jnp.bfloat16(a), jnp.float32),
    "wider at the second step": (
        jnp.int8(0),
        lambda x, a: jnp.int16(1) if x.dtype == jnp.int8 else jnp.int32(1),
        jnp.int32,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_common_dtype_holds_both(case):
    first, move, wanted = CASES[case]
    env = envs.make(Cart(first, move))
    assert dtypes(env)["x"] == dtypes(env)["obs"] == wanted
    check_env(env, num_steps=5)
    _, obs = env.reset(jax.random.split(jax.random.key(0), 2), {})
    assert obs["x"].tolist() == [int(first)] * 2


@pytest.mark.slow
def test_wide_numbers_stay_wide_with_x64():
    with jax.enable_x64(True):
        env = envs.make(Cart(0, lambda x, a: jnp.float64(x) + 0.1))
        assert dtypes(env) == {"x": jnp.float64, "time": jnp.int64, "obs": jnp.float64}
        _, _, timestep, state = run(env, lambda obs: jnp.ones((3, 1), jnp.float32), 3)
        assert state["x"].dtype == np.float64
        np.testing.assert_allclose(state["x"][-1], 0.3, rtol=1e-12)
        assert timestep.reward.dtype == np.float32  # what the agent learns in
        for name in NAMES:
            check_contract(envs.make(name))


def test_strict_promotion_is_not_asked_of_environments():
    with jax.numpy_dtype_promotion("strict"):
        for name in NAMES:
            envs.make(name)
        envs.make(Cart(jnp.int32(0), lambda x, a: x + a))


REFUSED = {
    "signed and unsigned": (
        jnp.uint32(0),
        lambda x, a: jnp.int32(x),
        r"state\['inner'\]\[0\] is uint32 in reset and int32 in step, and neither .* same dtype",
    ),
    "keys and numbers": (
        jax.random.key(0),
        lambda x, a: 0.0,
        r"state\['inner'\]\[0\] is key<fry> in reset and float32 in step",
    ),
    "another shape": (
        jnp.zeros(3),
        lambda x, a: jnp.zeros(1),
        r"state\['inner'\]\[0\] has the shape \(3,\) in reset and \(1,\) in step; give both",
    ),
    "another structure": (
        0.0,
        lambda x, a: (jnp.zeros(1), 1),
        r"state is .*\[float32\[\]\].* in reset and .*\(float32\[1\], int32\[\]\)",
    ),
    "no number": (
        "left",
        lambda x, a: x,
        r"state\['inner'\]\[0\] = 'left' is neither an array nor a number",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_common_dtype_is_refused(case):
    first, move, message = REFUSED[case]

    class Silent(Cart):
        """Observations and rewards of 0, so that the state alone is at fault."""

        def reset_env(self, key, params):
            return {"x": 0.0}, {"inner": [self.first]}

        def step_env(self, key, state, action, params):
            state = {"inner": [self.move(state["inner"][0], action[0])]}
            return {"x": 0.0}, state, 0.0, False, {}

    with pytest.raises(ValueError, match=f"^environment 'Cart': {message}"):
        envs.make(Silent(first, move))


def test_observations_of_another_shape_in_step_are_refused():
    class Column(Cart):
        def step_env(self, *args):
            _, *rest = super().step_env(*args)
            return {"x": jnp.zeros(1)}, *rest

        def reset_env(self, *args):
            _, state = super().reset_env(*args)
            return {"x": jnp.zeros(3)}, state

    message = r"'Cart': obs\['x'\] has the shape \(3,\) in reset and \(1,\) in step"
    with pytest.raises(ValueError, match=message):
        envs.make(Column())


def test_typed_keys_are_carried():
    class Keyed(Cart):
        def reset_env(self, key, params):
            obs, state = super().reset_env(key, params)
            return obs, state | {"key": key}

        def step_env(self, key, state, action, params):
            obs, following, *rest = super().step_env(key, state, action, params)
            return obs, following | {"key": jax.random.split(state["key"])[0]}, *rest

    env = envs.make(Keyed())
    check_env(env, num_steps=5)
    _, _, _, state = run(env, lambda obs: jnp.ones((3, 1)), 2)
    assert jnp.issubdtype(state["key"].dtype, jax.dtypes.prng_key)
