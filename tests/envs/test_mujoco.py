"""Gymnasium's and Playground's MuJoCo tasks on MuJoCo's C engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco.batch", reason="needs rpojax[mjx]")
pytest.importorskip("mujoco_playground", reason="needs rpojax[playground]")

import gymnasium
import mujoco

import rpojax
from rpojax import envs
from rpojax.envs.contexts import no_log_file
from rpojax.envs.physics.engine_data import Engine
from rpojax.envs.physics.gymnasium_tasks import TASKS
from rpojax.runs.settings import RunSettings, settings_from_record, settings_to_record

STEPS = 200
TINY = {"num_envs": 4, "num_steps": 8, "num_minibatches": 2, "update_epochs": 1}


def simulation(state, model):
    """Positions and velocities, float64, of the first environment of a batch."""
    row = np.asarray(state.state.physics)[0].view(np.float64)
    return row[1 : 1 + model.nq], row[1 + model.nq : 1 + model.nq + model.nv]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TASKS))
def test_states_are_those_of_gymnasium_to_the_bit(name):
    env = envs.make(f"mujoco/{name}")
    with no_log_file():
        reference = gymnasium.make(name).unwrapped
    keys = jax.random.split(jax.random.key(0), 1)
    state, obs = jax.jit(env.reset)(keys, {})
    reference.reset(seed=0)
    mujoco.mj_resetData(reference.model, reference.data)
    reference.set_state(*simulation(state, reference.model))
    np.testing.assert_allclose(obs[0], reference._get_obs(), rtol=1e-5, atol=1e-5)
    step, rng = jax.jit(env.step), np.random.default_rng(0)
    for _ in range(STEPS):
        action = rng.uniform(env.action_low, env.action_high).astype(np.float32)
        state, timestep = step(keys, state, jnp.asarray(action)[None], {})
        expected, reward, terminated, _, info = reference.step(action)
        qpos, qvel = simulation(state, reference.model)
        np.testing.assert_array_equal(qpos, reference.data.qpos)
        np.testing.assert_array_equal(qvel, reference.data.qvel)
        np.testing.assert_allclose(timestep.obs[0], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(timestep.reward[0], reward, rtol=1e-5, atol=1e-4)
        assert bool(timestep.terminated[0]) == terminated
        for term in set(info) & set(env.metrics):
            np.testing.assert_allclose(timestep.metrics[term][0], info[term], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["Reacher-v5", "Hopper-v5", "Ant-v5", "Humanoid-v5"])
def test_a_task_adds_little_to_its_simulation(name):
    """Operations of a step beside the engine's: 52 to 81 before `from_mjcf`, 46 to 92 with it."""
    env = envs.make(f"mujoco/{name}")
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0)))
    state, _ = jax.eval_shape(env.reset, keys, {})
    action = jax.ShapeDtypeStruct((2, env.action_dim), jnp.float32)
    assert jax.jit(env.step).lower(keys, state, action, {}).as_text().count("stablehlo.") < 100


def test_the_engine_is_the_best_for_the_device(monkeypatch):
    assert "mujoco/HumanoidStandup-v5" in envs.names()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="parameter impl of Hopper-v5 = 'warp'"):
        envs.make("mujoco/Hopper-v5", impl="warp")
    on_gpu = envs.make("mujoco/Reacher-v5", frame_skip=1)
    assert len(jax.eval_shape(on_gpu.reset, jax.random.split(jax.random.key(0), 1), {})[0][0]) == 2
    assert on_gpu.engine == "MJX"
    with pytest.warns(UserWarning, match="simulated by MuJoCo's C engine, which needs a CPU"):
        assert envs.make("mujoco/Reacher-v5", frame_skip=1, impl="c").engine == "MJX"
    with pytest.raises(ValueError, match="JAX computes on a gpu; choose impl"):
        envs.make("mjx/Reacher-v5", frame_skip=1, impl="c")


@pytest.mark.slow
def test_a_run_keeps_the_engine_that_it_began_with(tmp_path):
    cfg = rpojax.Config(env="mujoco/InvertedPendulum-v5", total_timesteps=32, **TINY)
    rpojax.fit(cfg, checkpoint_dir=tmp_path)
    run = rpojax.load(tmp_path)
    assert dict(run.cfg.env_params) == {"impl": "c"}
    assert run.model.env.engine == "MuJoCo C"
    rpojax.resume(tmp_path, cfg=cfg)  # the engine that `cfg` leaves open is the run's
    with pytest.raises(ValueError, match="env_params"):
        rpojax.resume(tmp_path, cfg=cfg.replace(env_params={"impl": "jax"}))
    chosen = cfg.replace(env="mjx/InvertedPendulum-v5", env_params={"impl": "c"})
    record = settings_to_record(RunSettings(cfg=chosen, agents=run.agents))
    with pytest.raises(ValueError, match="env_params"):  # mjx/ leaves nothing open
        settings_from_record(record, chosen.replace(env_params={}))


@pytest.mark.parametrize("name", ["mujoco/Hopper-v5", "playground/ReacherHard"])
def test_check_env_passes_and_names_the_engine(name):
    params = {"impl": "c"} if name.startswith("playground") else {}
    done = envs.check_env(envs.make(name, **params))
    assert done.startswith(f"{name.partition('/')[2]}, simulated by MuJoCo C: 3000 random steps, ")


@pytest.mark.slow
def test_agents_differ_in_their_robots_and_a_run_goes_on_to_the_bit(tmp_path):
    cfg = rpojax.Config(
        env="mujoco/Hopper-v5",
        total_timesteps=4 * 32,
        lr_schedule="constant",  # whose rates do not depend on the end of the run
        agents_at_once=1,
        network=rpojax.NetworkConfig(hidden_sizes=(8,)),
        **TINY,
    )
    mass = envs.make(cfg.env).params["body_mass"]
    masses = {"body_mass": np.stack([mass, 1.5 * mass])}
    half = cfg.replace(total_timesteps=2 * 32)
    rpojax.fit(half, seeds=[3, 4], env_params=masses, checkpoint_dir=tmp_path)
    parts = rpojax.resume(tmp_path, total_timesteps=4 * 32)
    alone = rpojax.fit(cfg, seeds=[4], env_params={"body_mass": masses["body_mass"][1:]})
    for got, expected in zip(
        jax.tree.leaves((parts.state.params, parts.state.env_state)),
        jax.tree.leaves((alone.state.params, alone.state.env_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(got[1], expected[0])


DM_CONTROL = ("CartpoleBalance", "CheetahRun", "FishSwim", "FingerTurnHard", "HumanoidStand")


@pytest.mark.slow
@pytest.mark.parametrize("name", DM_CONTROL)
def test_tasks_of_playground_run_unmodified(name):
    env = envs.make(f"playground/{name}", impl="c")
    keys = jax.random.split(jax.random.key(0), 3)
    state, obs = jax.jit(env.reset)(keys, {})
    step = jax.jit(env.step)
    for _ in range(5):
        state, timestep = step(keys, state, jnp.zeros((3, env.action_dim)), {})
    assert np.isfinite(timestep.obs).all()
    assert not np.allclose(timestep.obs, obs)
    heavy = {"body_mass": 2.0 * env.params["body_mass"]}
    _, other = jax.jit(env.step)(keys, state, jnp.ones((3, env.action_dim)), heavy)
    _, same = step(keys, state, jnp.ones((3, env.action_dim)), {})
    assert not np.allclose(other.obs, same.obs, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CartpoleBalance", "WalkerWalk"])
def test_tasks_of_playground_are_as_on_mjx(name):
    """20 steps from 8 starts; the solvers' limits and float32 are what differs."""
    on_c, on_mjx = (envs.make(f"playground/{name}", impl=impl) for impl in ("c", "jax"))
    keys = jax.random.split(jax.random.key(1), 8)
    (state, obs), (other, expected) = (jax.jit(env.reset)(keys, {}) for env in (on_c, on_mjx))
    np.testing.assert_allclose(obs, expected, rtol=1e-4, atol=1e-4)
    step, other_step = jax.jit(on_c.step), jax.jit(on_mjx.step)
    for action in jax.random.uniform(keys[0], (20, 8, on_c.action_dim), minval=-1.0):
        state, timestep = step(keys, state, action, {})
        other, led_to = other_step(keys, other, action, {})
    np.testing.assert_allclose(timestep.obs, led_to.obs, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(timestep.reward, led_to.reward, atol=0.02)


def test_what_the_engine_lacks_is_named():
    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
    with pytest.raises(AttributeError, match=r"data\.contact is not a field"):
        Engine(model, (), lambda engine: engine.advance(engine.data(), {}).contact)
    with pytest.raises(AttributeError, match=r"data\.replace\(xpos=\.\.\.\)"):
        Engine(model, (), lambda engine: engine.data().replace(xpos=jnp.zeros((1, 3))).row)
