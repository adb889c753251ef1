"""Parameters of MJX models that may be traced, held to MuJoCo with the same fields changed."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco.mjx", reason="needs rpojax[mjx]")

from rpojax import envs
from rpojax.envs.checks.contract import check_traced_params
from rpojax.envs.contexts import no_log_file
from rpojax.envs.physics.mjcf import State
from rpojax.envs.wrappers import Timed

pytestmark = pytest.mark.usefixtures("compiled_quickly")

NAME = "InvertedDoublePendulum-v5"
TOLERANCE = 1e-4


def field_of(model, name):
    return model.opt.gravity if name == "gravity" else getattr(model, name)


@pytest.fixture(scope="module")
def env():
    return envs.make(f"mjx/{NAME}")


@pytest.fixture(scope="module")
def step(env):
    return jax.jit(lambda params, *args: env.step(*args, params))


@pytest.fixture(scope="module")
def simulator():
    with no_log_file():
        made = gymnasium.make(NAME).unwrapped
    made.reset(seed=0)
    return made


@pytest.mark.parametrize(
    "name",
    [
        "gravity",
        "body_mass",
        "body_inertia",
        "body_pos",
        "body_ipos",
        "dof_damping",
        "dof_armature",
        "jnt_stiffness",
        "actuator_gear",
        "actuator_gainprm",
    ],
)
def test_a_traced_parameter_is_mujocos(env, step, simulator, name):
    qpos, qvel = np.array([0.1, 0.2, -0.3]), np.array([0.5, -1.0, 2.0])
    physics = [jnp.asarray(each, jnp.float32)[None] for each in (qpos, qvel, np.zeros(3))]
    state = Timed(State(tuple(physics), None), jnp.zeros(1, jnp.int32))
    action = np.array([0.7], np.float32)
    keys = jax.random.split(jax.random.key(0), 1)
    changed = env.params[name] * 1.3 + (0.1 if name in ("dof_armature", "jnt_stiffness") else 0.0)
    field = field_of(simulator.model, name)
    before = field.copy()
    observed = []
    for value in (before, changed):
        field[:] = value
        simulator.set_state(qpos, qvel)
        simulator.data.qacc_warmstart[:] = 0.0
        theirs = simulator.step(action)[0]
        params = env.params | {name: jnp.asarray(value, jnp.float32)}
        ours = step(params, keys, state, action[None])[1].obs[0]
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
        observed.append(theirs)
    field[:] = before
    assert np.max(np.abs(observed[1] - observed[0])) > 10 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["InvertedPendulum-v5", "Hopper-v5", "Swimmer-v5"])
def test_all_parameters_can_be_traced(name):
    env = envs.make(f"mjx/{name}")
    assert {"gravity", "body_mass", "geom_friction"} < set(env.params)
    assert ("density" in env.params) == (name == "Swimmer-v5")  # which swims in something
    check_traced_params(env)


@pytest.mark.slow
def test_environments_of_one_batch_share_parameters_and_agents_do_not(env):
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = jax.jit(env.reset)(keys, {})

    def step(gravity):
        return env.step(keys, state, jnp.zeros((2, 1)), {"gravity": gravity})[1].obs

    moon, earth = np.array([0.0, 0.0, -1.62]), np.array([0.0, 0.0, -9.81])
    obs = jax.jit(jax.vmap(step))(jnp.array([moon, earth], jnp.float32))
    plain = jax.jit(env.step)(keys, state, jnp.zeros((2, 1)), {})[1].obs
    np.testing.assert_allclose(obs[1], plain, rtol=1e-4, atol=1e-6)
    assert np.all(np.max(np.abs(obs[0] - obs[1]), axis=1) > 1e-4)


@pytest.mark.slow
def test_each_episode_can_draw_its_own_gravity(env):
    def draw(key):
        return {"gravity": jnp.array([0.0, 0.0, -1.0]) * jax.random.uniform(key, maxval=20.0)}

    drawn = envs.randomized(env, draw)
    keys = jax.random.split(jax.random.key(0), 4)
    state, _ = jax.jit(drawn.reset)(keys, {})
    obs = jax.jit(drawn.step)(keys, state, jnp.zeros((4, 1)), {})[1].obs
    assert len(np.unique(state.params["gravity"][:, 2])) == 4
    given = jax.jit(lambda gravity, *args: env.step(*args, {"gravity": gravity}))
    for index in range(4):
        rows = slice(index, index + 1)
        inner = jax.tree.map(lambda leaf, rows=rows: leaf[rows], state.state)
        gravity = state.params["gravity"][index]
        expected = given(gravity, keys[rows], inner, jnp.zeros((1, 1)))[1].obs
        np.testing.assert_allclose(obs[rows], expected, rtol=1e-4, atol=1e-5)
