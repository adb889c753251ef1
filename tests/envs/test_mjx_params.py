"""Parameters of MJX models that may be traced, held to MuJoCo with the same fields changed."""

import copy

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco.mjx", reason="needs rpojax[mjx]")

from rpojax import envs
from rpojax.envs.checks.contract import check_traced_params
from rpojax.envs.contexts import no_log_file, standard_numpy
from rpojax.envs.physics import mjx_params
from rpojax.envs.physics.mjcf import State
from rpojax.envs.wrappers.episodes import Timed

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


@pytest.mark.slow
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


ALL_KINDS = """
<mujoco>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 1"/>
    <body name="target" mocap="true" pos="1 0 1"><geom size="0.1" contype="0"/></body>
    <body name="torso" pos="0 0 1">
      <freejoint/> <geom type="box" size="0.2 0.1 0.1"/> <site name="a" pos="0.2 0 0"/>
      <body name="arm" pos="0.2 0 0">
        <joint name="shoulder" type="ball" damping="0.1" armature="0.01"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0.1" size="0.04"/>
        <body name="hand" pos="0.3 0 0.1">
          <joint name="elbow" axis="0 1 0" armature="0.02" frictionloss="0.1" range="-1 1"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.03"/> <site name="b" pos="0.2 0 0"/>
        </body>
      </body>
      <body name="leg" pos="-0.1 0 -0.1">
        <joint name="hip" axis="0 1 0"/> <geom size="0.05" pos="0 0 -0.2"/>
      </body>
    </body>
    <body name="cart" pos="0 1 0.2"><joint name="rail" type="slide"/> <geom size="0.1"/></body>
  </worldbody>
  <tendon>
    <spatial name="cord" armature="0.03" limited="true" range="0 1">
      <site site="a"/> <site site="b"/>
    </spatial>
    <fixed name="both"><joint joint="elbow" coef="1"/><joint joint="hip" coef="-0.5"/></fixed>
  </tendon>
  <equality> <connect body1="hand" body2="leg" anchor="0.1 0 0" active="false"/> </equality>
  <actuator>
    <muscle tendon="cord" lengthrange="0.1 0.9" gear="2"/> <motor joint="rail" gear="3"/>
  </actuator>
</mujoco>
"""
DERIVED = (
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "dof_M0",
    "tendon_length0",
    "tendon_invweight0",
    "actuator_acc0",
    "eq_data",
)


@pytest.fixture(scope="module")
def all_kinds():
    """A model with each kind of joint, tendon and constraint: MuJoCo's, and MJX's in numpy."""
    from mujoco import MjModel, mjx

    model = MjModel.from_xml_string(ALL_KINDS)
    return model, jax.tree.map(np.asarray, mjx.put_model(model, impl="jax"))


@pytest.fixture(scope="module")
def derived(all_kinds):
    """Derived constants of the model with some fields changed, by one compiled program."""

    @jax.jit
    def compute(fields):
        with standard_numpy():
            model = jax.tree.map(jnp.asarray, all_kinds[1]).replace(**fields)
            model = mjx_params.with_derived_constants(model)
        return [getattr(model, name) for name in DERIVED], model.stat.meaninertia

    return compute


FIELDS = (
    "body_mass",
    "body_inertia",
    "body_pos",
    "body_ipos",
    "dof_armature",
    "dof_damping",
    "geom_friction",
    "geom_size",
    "actuator_gear",
    "qpos0",
)


def test_derived_constants_call_no_lapack(all_kinds, derived):
    """Two of its batched decompositions in one program hang on two cores."""
    fields = {name: jnp.asarray(getattr(all_kinds[0], name), jnp.float32) for name in FIELDS}
    program = jax.jit(derived).lower(fields).as_text()
    assert "dot_general" in program
    assert "lapack" not in program


@pytest.mark.parametrize("name", FIELDS)
def test_derived_constants_are_those_of_set_const(name, all_kinds, derived, monkeypatch):
    import mujoco

    changed = copy.copy(all_kinds[0])
    field = getattr(changed, name)
    field[...] = field * 1.7 + (0.1 if name == "qpos0" else 0.0)
    if name == "qpos0":
        field[3:7] = field[7:11] = [1.0, 0.0, 0.0, 0.0]
    data = mujoco.MjData(changed)
    mujoco.mj_setConst(changed, data)
    fields = {each: jnp.asarray(getattr(changed, each), jnp.float32) for each in FIELDS}
    found, mean_inertia = derived(fields)
    for each, values in zip(DERIVED, found, strict=True):
        wanted = getattr(changed, each)
        np.testing.assert_allclose(values, wanted, rtol=2e-4, atol=1e-5, err_msg=each)
    mujoco.mj_forward(changed, data)
    inertia = np.zeros((changed.nv, changed.nv))
    for column, unit in zip(inertia, np.eye(changed.nv), strict=True):
        mujoco.mj_mulM(changed, data, column, unit)
    assert float(mean_inertia) == pytest.approx(np.diagonal(inertia).mean(), rel=1e-4)
    is_constant = name in ("dof_damping", "geom_friction", "geom_size")
    if not is_constant:
        before = [getattr(all_kinds[0], each) for each in DERIVED]
        assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(found, before, strict=True))
    computed = []
    monkeypatch.setattr(mjx_params, "with_derived_constants", lambda model: computed.append(model))
    mjx_params.changed(all_kinds[1], {name: fields[name]})
    assert len(computed) == (not is_constant)  # where none follows, the program is as before


@pytest.mark.slow
def test_a_hopper_of_other_masses_moves_as_in_mujoco():
    """20 steps of MJX and of the C engine, which calls `mj_setConst`."""
    engines = [envs.make("mjx/Hopper-v5", impl=impl) for impl in ("jax", "c")]
    defaults, keys = engines[0].params, jax.random.split(jax.random.key(0), 1)
    params = {name: 3.0 * defaults[name] for name in ("body_mass", "body_inertia")}
    actions = jax.random.uniform(jax.random.key(1), (20, 1, 3), minval=-1.0)

    def play(env):
        def step(state, action):
            state, timestep = env.step(keys, state, action, params)
            return state, timestep.obs

        return jax.lax.scan(step, env.reset(keys, params)[0], actions)[1]

    ours, theirs = (jax.jit(lambda env=env: play(env))() for env in engines)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


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
