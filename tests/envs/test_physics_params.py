"""Brax, MJX and MuJoCo Playground: parameters of their physics, and what they print."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import envs
from rpojax.envs.checks.contract import check_traced_params


def after(env, params, steps=3):
    """The observation after some steps with one action, [2, ...]."""
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = env.reset(keys, params)
    action = jnp.full((2, env.action_dim), 0.5)

    def step(state, _):
        state, timestep = env.step(keys, state, action, params)
        return state, timestep.obs

    return jax.lax.scan(step, state, length=steps)[1][-1]


@pytest.mark.parametrize("backend", ["spring", pytest.param("mjx", marks=pytest.mark.slow)])
def test_brax_takes_fields_of_its_system_or_of_its_mujoco_model(backend):
    pytest.importorskip("brax", reason="needs rpojax[brax]")
    env = envs.make("brax/inverted_pendulum", backend=backend)
    check_traced_params(env)
    mass = {"spring": "link.inertia.mass", "mjx": "body_mass"}[backend]
    assert {"gravity", mass} < set(env.params)
    defaults = dict(env.params)
    run = jax.jit(lambda params: after(env, params))
    plain = jax.jit(lambda: after(env, {}))()
    np.testing.assert_allclose(run(defaults), plain, rtol=1e-4, atol=1e-5)
    for name in ("gravity", mass):
        obs = run(defaults | {name: 2.0 * defaults[name]})
        assert np.all(np.max(np.abs(obs - plain), axis=1) > 1e-3)


@pytest.mark.slow
def test_playground_takes_fields_of_its_mujoco_model():
    pytest.importorskip("mujoco_playground", reason="needs rpojax[playground]")
    env = envs.make("playground/CartpoleBalance")
    check_traced_params(env)
    defaults = dict(env.params)
    run = jax.jit(lambda params: after(env, params))
    plain = jax.jit(lambda: after(env, {}))()
    np.testing.assert_allclose(run(defaults), plain, rtol=1e-4, atol=1e-5)
    for name in ("body_mass", "dof_damping", "actuator_gear"):
        obs = run(defaults | {name: 5.0 * defaults[name]})
        assert np.all(np.max(np.abs(obs - plain), axis=1) > 1e-6)
    np.testing.assert_array_equal(
        jax.jit(lambda: after(env, {}))(), plain
    )  # nothing is left changed


@pytest.mark.slow
def test_nothing_is_printed_where_warp_is_not_installed():
    """MJX would."""
    pytest.importorskip("mujoco.mjx", reason="needs rpojax[mjx]")
    pytest.importorskip("brax", reason="needs rpojax[brax]")
    program = """
import sys
sys.modules["warp"] = None
from rpojax import envs
envs.make("brax/fast")
envs.make("mjx/InvertedPendulum-v5")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=600)
    assert (run.returncode, run.stdout) == (0, b""), run.stderr


def test_fast_has_no_physics_to_change():
    pytest.importorskip("brax", reason="needs rpojax[brax]")
    assert not envs.make("brax/fast").params
