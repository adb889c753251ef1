"""Gymnasium's MuJoCo tasks on MJX, held to Gymnasium's own simulator."""

import functools
import inspect
import os
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco.mjx", reason="needs rpojax[mjx]")

from rpojax import envs
from rpojax.envs.at_once import MOST
from rpojax.envs.contexts import no_log_file
from rpojax.envs.physics import mjcf
from rpojax.envs.physics import mjx as adapter
from rpojax.envs.physics.data import Data
from rpojax.envs.physics.gymnasium_tasks import TASKS


def slow_but(*fast):
    """Names of the tasks, of which all but some are marked slow: MJX takes long to compile."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in TASKS]


# Largest differences allowed in one step from the same state, as |a - b| / (1 + |b|): about ten
# times those measured, which come of float32 against float64 and of solvers that stop elsewhere.
TOLERANCES = {
    "InvertedPendulum-v5": 1e-5,
    "InvertedDoublePendulum-v5": 1e-5,
    "Reacher-v5": 2e-5,
    "Pusher-v5": 2e-4,
    "Swimmer-v5": 2e-5,
    "HalfCheetah-v5": 1e-3,
    "Hopper-v5": 5e-5,
    "Walker2d-v5": 5e-4,
    "Ant-v5": 5e-2,  # of clipped contact forces; 1e-2 of the rest
    "Humanoid-v5": 2e-2,  # of contact forces, with another solver than MuJoCo's
}
# Other settings than Gymnasium's defaults, which another test compares one by one.
CHANGED = {
    "InvertedDoublePendulum-v5": {"healthy_reward": 7.0},
    "Reacher-v5": {"reward_dist_weight": 2.0, "reward_control_weight": 0.5, "frame_skip": 3},
    "Swimmer-v5": {
        "exclude_current_positions_from_observation": False,
        "forward_reward_weight": 3.0,
        "ctrl_cost_weight": 0.1,
    },
    "HalfCheetah-v5": {"ctrl_cost_weight": 0.5},
    "Hopper-v5": {"terminate_when_unhealthy": False, "healthy_state_range": (-5.0, 5.0)},
    "Humanoid-v5": {"include_qfrc_actuator_in_observation": False},
}
ELLIPTIC = 1  # mujoco.mjtCone


def without_time_limit(name, cone=None, **settings):
    """A task on MJX, possibly with another friction cone."""

    def load(path):
        model = mjcf.load_model(path)
        model.opt.cone = model.opt.cone if cone is None else cone
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "load_model", load)
        patch.setattr(mjcf, "with_time_limit", lambda env, limit: env)
        return adapter.make(name, **settings)


class Pair:
    """A task on MJX and in Gymnasium, with the same settings."""

    def __init__(self, name):
        settings = CHANGED.get(name, {})
        with no_log_file():
            self.theirs = gymnasium.make(name, **settings).unwrapped
        # MJX lays the friction pyramid of an upright capsule along another direction than MuJoCo;
        # a cone has none. With the pyramid, a quarter of the steps differ by up to 1.
        cone = ELLIPTIC if name == "Ant-v5" else self.theirs.model.opt.cone
        self.theirs.model.opt.cone = cone
        self.ours = without_time_limit(name, cone, **settings)
        self.remember = TASKS[name].functions(TASKS[name].settings | settings).get("remember")
        self.step = jax.jit(self.ours.step)
        self.key = jax.random.split(jax.random.key(0), 1)

    def state(self):
        """Gymnasium's state as ours."""
        data, model = self.theirs.data, self.theirs.model
        memory = self.remember and self.remember(None, Data(data, model, {}, None, None, None))
        state = mjcf.State((data.qpos, data.qvel, data.qacc_warmstart), memory)
        return jax.tree.map(lambda field: jnp.asarray(field, jnp.float32)[None], state)

    def step_both(self, action):
        """Our and their (observation, reward, terminated, info) after one step from their state."""
        _, timestep = jax.device_get(self.step(self.key, self.state(), action[None], {}))
        obs, reward, terminated, _, info = self.theirs.step(action)
        metrics = {name: value[0] for name, value in timestep.metrics.items()}
        ours = timestep.obs[0], timestep.reward[0], timestep.terminated[0], metrics
        return ours, (obs, reward, terminated, info)


pair = functools.cache(Pair)


def difference(ours, theirs):
    return np.max(np.abs(ours - theirs) / (1.0 + np.abs(theirs)))


@pytest.mark.parametrize("name", slow_but("InvertedPendulum-v5"))
def test_steps_are_those_of_gymnasium(name):
    """100 random actions; each step from Gymnasium's own state, so that errors do not add up."""
    if name == "HumanoidStandup-v5":
        pytest.skip("compiles for as long as Humanoid; test_mujoco.py has it")
    both = pair(name)
    rng = np.random.default_rng(0)
    both.theirs.reset(seed=0)
    worst = 0.0
    for _ in range(100):
        action = rng.uniform(both.ours.action_low, both.ours.action_high).astype(np.float32)
        ours, theirs = both.step_both(action)
        assert ours[0].shape == theirs[0].shape
        assert set(ours[3]) <= set(theirs[3])
        worst = max(worst, difference(ours[0], theirs[0]), difference(ours[1], theirs[1]))
        for term, value in ours[3].items():
            worst = max(worst, difference(value, theirs[3][term]))
        assert ours[2] == theirs[2]
        if theirs[2]:
            both.theirs.reset()
    assert worst < TOLERANCES[name]


@pytest.mark.parametrize("name", slow_but("InvertedPendulum-v5"))
def test_starts_are_those_of_gymnasium(name):
    """What is observed of the same positions and velocities, and how those are distributed."""
    with no_log_file():
        theirs = gymnasium.make(name).unwrapped
    ours = adapter.make(name)
    state, obs = jax.device_get(jax.jit(ours.reset)(jax.random.split(jax.random.key(0), 4000), {}))
    for index in range(3):
        theirs.reset(seed=0)
        theirs.set_state(*(np.float64(part[index]) for part in state.state.physics[:2]))
        np.testing.assert_allclose(obs[index], theirs._get_obs(), atol=1e-5)

    theirs.reset(seed=0)
    drawn = []
    for _ in range(1000):
        theirs.reset()
        drawn.append(np.concatenate([theirs.data.qpos, theirs.data.qvel]))
    made = np.concatenate(state.state.physics[:2], axis=1)
    spread = np.std(drawn, axis=0)
    np.testing.assert_allclose(made.std(axis=0), spread, rtol=0.1, atol=1e-6)
    gap = np.abs(made.mean(axis=0) - np.mean(drawn, axis=0))
    assert (gap <= 0.2 * spread + 1e-6).all()
    positions = slice(theirs.model.nq)  # are bounded; some tasks draw normal velocities
    for edge, slack in ((np.min, -1.0), (np.max, 1.0)):
        outside = slack * (edge(made, axis=0) - edge(drawn, axis=0))
        assert (outside <= spread + 1e-6)[positions].all()


@pytest.mark.slow
def test_pusher_starts_apart_from_its_goal():
    env = adapter.make("Pusher-v5")
    state, _ = jax.device_get(jax.jit(env.reset)(jax.random.split(jax.random.key(1), 4000), {}))
    distance = np.linalg.norm(state.state.physics[0][:, -4:-2], axis=1)
    assert distance.min() > 0.17
    assert distance.min() < 0.175


@pytest.mark.parametrize("name", TASKS)
def test_settings_are_gymnasiums_keyword_arguments_with_their_defaults(name):
    spec = gymnasium.spec(name)
    task = TASKS[name]
    module, cls = spec.entry_point.split(":")
    arguments = inspect.signature(getattr(__import__(module, fromlist=[cls]), cls)).parameters
    defaults = {name: argument.default for name, argument in arguments.items()}
    known = dict(task.settings, frame_skip=task.frame_skip, xml_file=task.xml)
    assert known == {name: defaults[name] for name in known}
    assert task.max_episode_steps == spec.max_episode_steps
    left_out = {"self", "kwargs", "default_camera_config"}
    left_out |= {"uph_cost_weight"}  # of HumanoidStandup, where Gymnasium does not use it either
    assert set(defaults) - set(known) - left_out == set()


@pytest.mark.slow
def test_pendulum_conforms():
    env = envs.make("mjx/InvertedPendulum-v5", max_episode_steps=5)
    assert (env.name, env.action_dim, env.max_episode_steps) == ("InvertedPendulum-v5", 1, 5)
    np.testing.assert_array_equal(env.action_high, [3.0])
    np.testing.assert_array_equal(env.action_low, [-3.0])
    assert (env.obs.shape, env.obs.dtype) == ((4,), jnp.float32)
    assert env.most_at_once == MOST
    envs.check_env(env, num_steps=40)


@pytest.mark.slow
def test_agents_times_environments_are_a_batch():
    """Nested vmap."""
    env = pair("InvertedPendulum-v5").ours
    keys = jax.random.split(jax.random.key(0), 6)
    action = jnp.linspace(-3.0, 3.0, 6)[:, None]
    flat_state, _ = jax.jit(env.reset)(keys, {})
    _, flat = jax.jit(env.step)(keys, flat_state, action, {})

    def folded(tree):
        return jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), tree)

    state, _ = jax.jit(jax.vmap(env.reset))(keys.reshape(2, 3), {})
    _, nested = jax.jit(jax.vmap(env.step))(keys.reshape(2, 3), state, folded(action), {})
    np.testing.assert_allclose(nested.obs, folded(flat.obs), atol=1e-6)
    np.testing.assert_array_equal(nested.terminated, folded(flat.terminated))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Hoper-v5", {}, "unknown environment 'mjx/Hoper-v5'; did you mean 'mjx/Hopper-v5'"),
        ("Hopper-v5", {"healthy_rewards": 1}, "of Hopper-v5 'healthy_rewards'; did you mean"),
        ("Hopper-v5", {"frame_skip": 0.5}, "frame_skip of Hopper-v5 = 0.5 is not allowed; .*whole"),
        ("Hopper-v5", {"iterations": 2**31}, "iterations .* is not allowed; .* 1 to 2147483647"),
        ("Hopper-v5", {"healthy_reward": "x"}, "healthy_reward of Hopper-v5 = 'x' is not a number"),
        ("Hopper-v5", {"healthy_reward": [1.0, 2.0]}, "healthy_reward .* is not one number"),
        (
            "Hopper-v5",
            {"healthy_z_range": 1.0},
            "healthy_z_range .* = 1.0 is not a range; give two",
        ),
        ("Hopper-v5", {"terminate_when_unhealthy": 1}, "= 1 is not a truth value"),
        ("Hopper-v5", {"xml_file": 1}, "xml_file of Hopper-v5 = 1 is no path"),
        ("Hopper-v5", {"xml_file": "/no.xml"}, "model: MuJoCo refuses '/no.xml'"),
        ("Ant-v5", {"main_body": "trunk"}, "unknown body 'trunk'; known: world, torso"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_wrong_parameters_are_refused_with_the_remedy(name, params, message):
    with pytest.raises(ValueError, match=message):
        envs.make(f"mjx/{name}", **params)


@pytest.mark.slow
def test_parameters_reach_the_simulation():
    """Those that the comparison with Gymnasium leaves at their defaults."""
    made = envs.make(
        "mjx/InvertedPendulum-v5", reset_noise_scale=0.0, max_episode_steps=2, frame_skip=1
    )
    keys = jax.random.split(jax.random.key(0), 1)
    start, obs = jax.jit(made.reset)(keys, {})
    np.testing.assert_array_equal(obs, 0.0)
    assert made.render_fps == 50.0
    action = jnp.ones((1, 1))
    states = []
    state, step = start, jax.jit(made.step)
    for _ in range(2):
        state, timestep = step(keys, state, action, {})
        states.append(timestep)
    assert not states[0].truncated[0]
    assert states[1].truncated[0]
    both = pair("InvertedPendulum-v5")
    _, two_frames = both.step(both.key, start.state, action, {})
    np.testing.assert_allclose(states[1].obs, two_frames.obs, atol=1e-5)


def test_limits_of_the_solver_are_those_given(monkeypatch):
    found = []

    def capture(model, *args):
        found.append((model.opt.iterations, model.opt.ls_iterations))
        raise RuntimeError("far enough")

    monkeypatch.setattr(mjcf, "on_mjx", capture)
    for params in {}, {"iterations": 500}, {"iterations": 2, "ls_iterations": 200}:
        with pytest.raises(RuntimeError, match="far enough"):
            adapter.make("Hopper-v5", **params)
    ls_iterations = mjcf.LINE_SEARCH_ITERATIONS
    assert found == [(mjcf.ITERATIONS, ls_iterations), (500, ls_iterations), (2, 200)]


@pytest.mark.slow
def test_environment_can_be_made_inside_a_jit():
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0)))
    jax.eval_shape(lambda keys: envs.make("mjx/InvertedPendulum-v5").reset(keys, {})[1], keys)


RENDERING = """
import jax, numpy as np
from rpojax import envs
env = envs.make("mjx/InvertedPendulum-v5", reset_noise_scale=0.3)
states, _ = jax.jit(env.reset)(jax.random.split(jax.random.key(0), 3), {})
try:
    frames = env.render(jax.device_get(states))
except ValueError as error:
    print("refused:", error)
else:
    print(frames.shape, frames.dtype, (frames[0] != frames[1]).any(), frames.std() > 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["egl", "disabled"])
def test_pictures_are_made_or_refused_with_the_remedy(backend):
    run = subprocess.run(
        [sys.executable, "-c", RENDERING],
        env=os.environ | {"MUJOCO_GL": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if backend == "egl" and "refused" not in run.stdout and run.returncode == 0:
        assert "(3, 240, 320, 3) uint8 True True" in run.stdout
    elif backend == "egl" and run.returncode:
        pytest.skip(f"EGL does not work here: {run.stderr[-200:]}")
    else:
        assert "refused: environment 'InvertedPendulum-v5': MuJoCo cannot draw here" in run.stdout
        assert "MUJOCO_GL=egl" in run.stdout


def test_loading_a_task_leaves_no_file(tmp_path, monkeypatch):
    """MuJoCo warns of an attribute in this model."""
    monkeypatch.chdir(tmp_path)
    mjcf.load_model(adapter.model_path("half_cheetah.xml"))
    assert not list(tmp_path.iterdir())
