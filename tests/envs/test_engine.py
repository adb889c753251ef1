"""MuJoCo's C engine as an operation of JAX: its bits, its parameters, its faults."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco.batch", reason="needs rpojax[mjx]")

import mujoco

from rpojax.envs.physics import engine
from rpojax.envs.physics.engine import make_simulator

XML = """
<mujoco>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="9 9 1"/>
    <body name="torso" pos="0 0 0.6">
      <freejoint/>
      <geom type="capsule" fromto="-0.2 0 0 0.2 0 0" size="0.05"/>
      <body name="leg" pos="0.2 0 0">
        <joint name="hip" type="hinge" axis="0 1 0" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.04"/>
        <site name="foot" pos="0 0 -0.4"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="hip" gear="20" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
STEPS, SUBSTEPS = 60, 3  # until after the fall onto the floor


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture(scope="module")
def simulator(model):
    return make_simulator(
        model,
        ("qpos", "qvel", "site_xpos", "time"),
        ("body_mass", "body_inertia", "opt.gravity", "dof_damping"),
    )


@pytest.fixture(scope="module")
def run(simulator):
    """A loop of one simulation: (row, controls [T, nu], params) -> row, (qpos, qvel) [T, ...]."""

    def of_one(row, controls, params):
        def step(row, ctrl):
            row, fields = simulator.advance(row, {"ctrl": ctrl}, params, SUBSTEPS)
            return row, (fields["qpos"], fields["qvel"])

        return jax.lax.scan(step, row, controls)

    return of_one


def controls(count, model, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, STEPS, model.nu)).astype(np.float32)


def in_c(model, controls):
    """Positions and velocities [T, ...] of a loop over one mujoco.MjData."""
    data = mujoco.MjData(model)
    found = []
    for ctrl in controls:
        data.ctrl[:] = ctrl
        for _ in range(SUBSTEPS):
            mujoco.mj_step(model, data)
        found.append((data.qpos.copy(), data.qvel.copy()))
    return tuple(np.array(each) for each in zip(*found, strict=True))


@pytest.mark.parametrize("count", [1, 7, 64])
def test_steps_are_those_of_mujoco_to_the_bit(model, simulator, run, count):
    given = controls(count, model)
    rows = np.broadcast_to(simulator.row, (count, simulator.row.size))
    rows, (qpos, qvel) = jax.jit(jax.vmap(run, (0, 0, None)))(rows, given, {})
    batch = mujoco.batch.Batch(model, nsim=count, nthread=1)
    bound = batch.bind("ctrl")
    for ctrl in np.swapaxes(given, 0, 1):
        bound[:] = ctrl
        batch.step(nstep=SUBSTEPS)
    state = np.asarray(rows).view(np.float64)
    np.testing.assert_array_equal(state[:, 1 : 1 + model.nq], batch.bind("qpos"))
    expected = in_c(model, given[-1])
    np.testing.assert_array_equal(qpos[-1], expected[0].astype(np.float32))
    np.testing.assert_array_equal(qvel[-1], expected[1].astype(np.float32))
    assert expected[0][-1, 2] < 0.3  # on the floor


def test_nested_vmaps_give_the_same_bits(model, simulator, run):
    given = controls(6, model)
    alone = jax.jit(run)(simulator.row, given[4], {})
    inner = jax.vmap(run, (None, 0, None))
    nested = jax.jit(jax.vmap(inner, (None, 0, None)))(
        simulator.row, given.reshape(2, 3, STEPS, -1), {}
    )
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[1, 1]), alone, nested)


def test_masses_give_what_set_const_gives(model, simulator, run):
    given = controls(1, model)[0]
    mass = jnp.asarray(model.body_mass, jnp.float32) * 3
    inertia = jnp.asarray(model.body_inertia, jnp.float32) * 3
    gravity = jnp.array([0.0, 0.0, -1.62])
    masses = jnp.stack([mass, jnp.asarray(model.body_mass, jnp.float32)])
    inertias = jnp.stack([inertia, jnp.asarray(model.body_inertia, jnp.float32)])
    params = {"body_mass": masses, "body_inertia": inertias}
    _, (qpos, _) = jax.jit(jax.vmap(run, (None, None, 0)))(simulator.row, given, params)
    moon = jax.jit(run)(simulator.row, given, {"opt.gravity": gravity})[1][0]

    heavy = mujoco.MjModel.from_xml_string(XML)
    stale = heavy.dof_invweight0.copy()
    heavy.body_mass[:], heavy.body_inertia[:] = mass, inertia
    for name in ("dof_damping",):  # parameters travel as float32
        getattr(heavy, name)[:] = getattr(heavy, name).astype(np.float32)
    heavy.opt.gravity[:] = heavy.opt.gravity.astype(np.float32)
    mujoco.mj_setConst(heavy, mujoco.MjData(heavy))
    assert not np.allclose(heavy.dof_invweight0, stale)
    np.testing.assert_array_equal(qpos[0], in_c(heavy, given)[0].astype(np.float32))
    # The model's own values leave it as it was compiled, also after a change.
    np.testing.assert_array_equal(qpos[1], in_c(model, given)[0].astype(np.float32))
    # Gravity alone changes from one simulation to the next.
    gravities = jnp.stack([gravity, jnp.array([0.0, 0.0, -5.0]), gravity])
    params = {"body_mass": mass, "body_inertia": inertia, "opt.gravity": gravities}
    axes = {"body_mass": None, "body_inertia": None, "opt.gravity": 0}
    _, (qpos, _) = jax.jit(jax.vmap(run, (None, None, axes)))(simulator.row, given, params)
    for index in range(3):
        heavy.opt.gravity[:] = gravities[index]
        np.testing.assert_array_equal(qpos[index], in_c(heavy, given)[0].astype(np.float32))
    light = mujoco.MjModel.from_xml_string(XML)
    light.opt.gravity[:] = gravity
    light.dof_damping[:] = light.dof_damping.astype(np.float32)
    for name in ("body_mass", "body_inertia"):
        getattr(light, name)[:] = getattr(light, name).astype(np.float32)
    mujoco.mj_setConst(light, mujoco.MjData(light))
    np.testing.assert_array_equal(moon, in_c(light, given)[0].astype(np.float32))


def test_a_state_that_was_given_is_the_one_that_is_computed(model, simulator):
    qpos = jnp.array([0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.5])
    row, fields = simulator.advance(jnp.asarray(simulator.row), {"qpos": qpos}, {})
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    np.testing.assert_array_equal(fields["site_xpos"], data.site_xpos.astype(np.float32))
    _, after = simulator.advance(row, {}, {}, SUBSTEPS)
    np.testing.assert_allclose(after["time"], SUBSTEPS * 0.005, rtol=1e-6)


def test_plugins_and_their_state_are_part_of_a_row():
    text = """
    <mujoco>
      <extension><plugin plugin="mujoco.pid"><instance name="pid">
        <config key="kp" value="40"/><config key="ki" value="40"/>
      </instance></plugin></extension>
      <worldbody><body><joint name="hip"/><geom size="0.1" pos="0.3 0 0"/></body></worldbody>
      <actuator><plugin joint="hip" plugin="mujoco.pid" instance="pid" actdim="1"/></actuator>
    </mujoco>
    """
    model = mujoco.MjModel.from_xml_string(text)
    simulator = make_simulator(model, ("qpos",))
    row, ctrl = jnp.asarray(simulator.row), jnp.full(1, 0.5)
    for _ in range(5):
        row, fields = simulator.advance(row, {"ctrl": ctrl}, {}, 10)
    data = mujoco.MjData(model)
    data.ctrl[:] = 0.5
    mujoco.mj_step(model, data, 50)
    np.testing.assert_array_equal(fields["qpos"], data.qpos.astype(np.float32))
    assert data.act[0] != 0


def test_what_mujoco_resets_comes_back_as_nan_and_nothing_is_printed(
    model, simulator, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    rows = jnp.broadcast_to(jnp.asarray(simulator.row), (3, simulator.row.size))
    ctrl = jnp.array([[0.0], [jnp.nan], [0.0]])
    far = jnp.zeros((3, model.nv)).at[2, 0].set(1e20)
    _, fields = jax.vmap(lambda row, inputs: simulator.advance(row, inputs, {}, SUBSTEPS))(
        rows, {"ctrl": ctrl, "qvel": far}
    )
    assert np.isnan(fields["qpos"]).all(axis=1).tolist() == [False, True, True]
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_errors_name_what_is_wrong(model, simulator, monkeypatch):
    with pytest.raises(ValueError, match="'qpoz' is not a field of"):
        make_simulator(model, ("qpoz",))
    with pytest.raises(ValueError, match="does not give the fields contact"):
        make_simulator(model, ("contact",))
    with pytest.raises(ValueError, match="unknown parameter of the model 'mass'"):
        simulator.advance(jnp.asarray(simulator.row), {}, {"mass": 1.0})
    mujoco.set_mjcb_control(lambda model, data: None)
    try:
        with pytest.raises(ValueError, match="mjcb_control is a Python function"):
            make_simulator(model, ("qpos",))
    finally:
        mujoco.set_mjcb_control(None)


@pytest.fixture
def uncompiled(tmp_path, monkeypatch):
    """An empty cache directory, and the engine forgotten by this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine.library.cache_clear()
    yield tmp_path
    engine.library.cache_clear()


def test_without_a_compiler_the_error_says_what_to_install(uncompiled, monkeypatch):
    monkeypatch.setenv("PATH", str(uncompiled))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="there is none; install g"):
        engine.library()


def test_a_compiler_that_fails_is_named_and_leaves_nothing(uncompiled, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(RuntimeError, match="'false' failed to compile"):
        engine.library()
    assert not list((uncompiled / "rpojax").iterdir())


def test_a_cache_directory_that_cannot_be_written_is_named(uncompiled, monkeypatch):
    (uncompiled / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(uncompiled / "file"))
    with pytest.raises(RuntimeError, match="set XDG_CACHE_HOME"):
        engine.library()


def test_another_mujoco_is_another_engine(monkeypatch):
    before = engine._digest()
    monkeypatch.setattr(mujoco, "__version__", "5.0.0")
    assert engine._digest() != before


PROGRAM = """
import hashlib, os, sys
import jax, mujoco, numpy as np
from rpojax.envs.physics.engine import make_simulator
import test_engine as tests

jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
events = []
jax.monitoring.register_event_listener(lambda name, **kwargs: events.append(name))
model = mujoco.MjModel.from_xml_string(tests.XML)
simulator = make_simulator(model, ("qpos",))

def run(row, controls):
    def step(row, ctrl):
        row, fields = simulator.advance(row, {"ctrl": ctrl}, {}, tests.SUBSTEPS)
        return row, fields["qpos"]
    return jax.lax.scan(step, row, controls)[1]

given = tests.controls(12, model)
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("agents",))
spec = jax.sharding.PartitionSpec("agents")
mapped = jax.shard_map(jax.vmap(run, (None, 0)), mesh=mesh, in_specs=(None, spec), out_specs=spec)
qpos = np.asarray(jax.jit(mapped)(simulator.row, given))
hits = events.count("/jax/compilation_cache/cache_hits")
misses = events.count("/jax/compilation_cache/cache_misses")
if (child := os.fork()) == 0:  # a process that was forked ends, and this one goes on
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert (np.asarray(jax.jit(mapped)(simulator.row, given)) == qpos).all()
print(hashlib.sha256(qpos.tobytes()).hexdigest(), hits, misses)
"""


@pytest.mark.slow
def test_other_processes_devices_and_threads_give_the_same_bits_from_the_cache(tmp_path):
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }

    def start(devices, *command):
        words = [*command, sys.executable, "-c", PROGRAM, str(devices)]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)

    first = [start(1), start(3)]  # both compile the engine at the same time
    printed = [process.communicate(timeout=300)[0].split() for process in first]
    cores = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    later = [start(1, *cores), start(2)]
    printed += [process.communicate(timeout=300)[0].split() for process in later]
    assert len({bits for bits, _, _ in printed}) == 1
    assert int(printed[2][1]) > 0
    assert int(printed[2][2]) == 0
    assert len(list((tmp_path / "rpojax").iterdir())) == 1
