"""MuJoCo Playground's environments, held to Playground itself."""

import functools
import importlib.util
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco_playground", reason="needs rpojax[playground]")

from brax.envs.wrappers import training as wrapper
from mujoco_playground import dm_control_suite, registry
from mujoco_playground._src import mjx_env
from mujoco_playground._src.dm_control_suite import pendulum
from positions import placed

import rpojax
from rpojax import envs
from rpojax.envs.contexts import standard_numpy
from rpojax.envs.physics import playground as adapter

STEPS = 8
PENDULUM = "PendulumSwingup"


@functools.cache
def made(name):
    return envs.make(f"playground/{name}")


@pytest.mark.parametrize(
    "name", [PENDULUM, pytest.param("CartpoleBalance", marks=pytest.mark.slow)]
)
def test_steps_are_those_of_playground(name):
    ours = made(name)
    keys = jax.random.split(jax.random.key(0), 2)
    shape = (STEPS, 2, ours.action_dim)
    actions = jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)

    @jax.jit
    def our_steps(actions):
        state, obs = ours.reset(keys, {})

        def step(state, action):
            return ours.step(keys, state, action, {})

        return obs, jax.lax.scan(step, state, actions)[1]

    obs, timesteps = jax.device_get(our_steps(actions))
    with standard_numpy():
        theirs = registry.load(name, config_overrides={"impl": "jax"})
        step, state = jax.jit(jax.vmap(theirs.step)), jax.jit(jax.vmap(theirs.reset))(keys)
        np.testing.assert_allclose(obs, state.obs, atol=1e-6)
        for index, action in enumerate(actions):
            state = step(state, action)
            timestep = jax.tree.map(lambda leaf, index=index: leaf[index], timesteps)
            np.testing.assert_allclose(timestep.obs, state.obs, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(timestep.reward, state.reward, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(timestep.terminated, state.done.astype(bool))
            assert set(timestep.metrics) == set(ours.metrics) == set(state.metrics)
            for term, value in state.metrics.items():
                np.testing.assert_allclose(timestep.metrics[term], value, rtol=1e-4, atol=1e-5)


def test_pendulum_conforms():
    env = envs.make(f"playground/{PENDULUM}", impl="c")
    assert (env.name, env.action_dim, env.max_episode_steps) == (PENDULUM, 1, 1000)
    np.testing.assert_array_equal([env.action_low, env.action_high], [[-1.0], [1.0]])
    assert (env.resets, env.render_fps) == ("pool", 50.0)
    envs.check_env(env, num_steps=20)


def test_configuration_of_the_task_is_used():
    env = envs.make(f"playground/{PENDULUM}", episode_length=5, action_repeat=2, ctrl_dt=0.03)
    assert env.max_episode_steps == 3
    assert env.render_fps == pytest.approx(1 / 0.06)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("CartpoleBalanced", {}, "did you mean 'playground/CartpoleBalance'"),
        (PENDULUM, {"ctrl_dts": 1}, f"parameter of {PENDULUM} 'ctrl_dts'; did you mean 'ctrl_dt'"),
        (
            PENDULUM,
            {"episode_length": 0},
            "episode_length of .* = 0 is not allowed; .* 1 to 2147483647",
        ),
        (PENDULUM, {"episode_length": 10**10}, "episode_length of .* 1 to 2147483647"),
        (PENDULUM, {"action_repeat": True}, "action_repeat of .* = True is not allowed; .*whole"),
        (PENDULUM, {"impl": "cpp"}, "impl of .* = 'cpp' is not known; .*'jax', 'c', 'warp'"),
        (PENDULUM, {"impl": "warp"}, "impl = 'warp' needs an NVIDIA GPU.*CPU here; leave it 'jax'"),
        (PENDULUM, {"vision": True}, "vision = True needs a renderer on a GPU.*leave it False"),
        (PENDULUM, {"vision": 1}, "vision of .* = 1 is not a truth value"),
        (PENDULUM, {"ctrl_dt": "x"}, r"parameters {'ctrl_dt': 'x'} of Pendulum.*cannot be casted"),
        (PENDULUM, {"ctrl_dt": None}, "ctrl_dt of .* = None is not allowed; give one like 0.02"),
        (PENDULUM, {"ctrl_dt": 0.025}, "ctrl_dt = 0.025 is no multiple of sim_dt = 0.01; give one"),
        (PENDULUM, {"ctrl_dt": 0.001}, "ctrl_dt = 0.001 is no multiple of sim_dt = 0.01"),
        ("CartpoleBalance", {"vision_config.nworld": 1}, "unknown parameter .*'vision_config.nwor"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_wrong_parameters_are_refused_with_the_remedy(name, params, message):
    if params.get("impl") == "warp" and jax.default_backend() == "gpu":
        pytest.skip("warp works here")
    with pytest.raises(ValueError, match=message):
        envs.make(f"playground/{name}", **params)


@pytest.fixture
def _no_robots(monkeypatch, tmp_path):
    """As where nothing has been downloaded; and a download fails the test."""
    monkeypatch.setattr(adapter, "ROBOT_PACKAGES", ())
    monkeypatch.setattr(mjx_env, "MENAGERIE_PATH", tmp_path / "absent")
    monkeypatch.setattr(mjx_env, "EXTERNAL_DEPS_PATH", tmp_path)
    monkeypatch.setattr(mjx_env, "_clone_with_progress", lambda *args: pytest.fail("cloned"))


@pytest.mark.usefixtures("_no_robots")
@pytest.mark.parametrize(
    ("name", "robot"),
    [("Go1JoystickFlatTerrain", "unitree_go1"), ("PandaPickCube", "franka_emika_panda")],
)
def test_robots_that_are_not_there_are_not_downloaded(name, robot, tmp_path):
    with pytest.raises(ValueError, match=f"no folder {robot} in '{tmp_path}/absent'") as error:
        envs.make(f"playground/{name}")
    assert "MUJOCO_MENAGERIE_PATH" in str(error.value)
    assert "pip install 'rpojax[robots]'" in str(error.value)
    assert "\n" not in str(error.value)
    assert adapter.names() == dm_control_suite.ALL_ENVS
    with pytest.raises(ValueError, match=f"no folder {robot} in '{tmp_path}/mine'"):
        envs.make(f"playground/{name}", menagerie_path=tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_robots_are_listed_one_by_one(monkeypatch, tmp_path):
    for name in registry.ALL_ENVS:
        in_suite = name in dm_control_suite.ALL_ENVS
        assert bool(adapter._robots_of(name)) != in_suite, f"{name}: give its folder in ROBOTS"
    (tmp_path / "unitree_go1").mkdir()
    (tmp_path / "franka_emika_panda").mkdir()
    monkeypatch.setenv("MUJOCO_MENAGERIE_PATH", str(tmp_path))
    there = set(adapter.names()) - set(dm_control_suite.ALL_ENVS)
    assert {"Go1Getup", "PandaPickCube"} < there
    assert {name[:3] for name in there} == {"Go1", "Pan"}
    assert "PandaRobotiqPushCube" not in there  # needs a gripper too


def test_a_robot_of_a_package_is_read_there(monkeypatch, tmp_path):
    package = tmp_path / "some_robots"
    folder = package / "mujoco" / "playground" / "assets" / "mujoco_menagerie"
    (folder / "unitree_go1").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(adapter, "ROBOT_PACKAGES", ("no_such_package", "some_robots"))
    monkeypatch.setattr(mjx_env, "MENAGERIE_PATH", tmp_path / "absent")
    assert str(adapter._folder_of(("unitree_go1",), adapter._menageries())) == str(folder)
    assert adapter._folder_of(("unitree_go1", "aloha"), adapter._menageries()) is None
    (tmp_path / "absent" / "unitree_go1").mkdir(parents=True)  # Playground has downloaded it
    found = adapter._folder_of(("unitree_go1",), adapter._menageries())
    assert found == mjx_env.MENAGERIE_PATH


needs_robots = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in adapter.ROBOT_PACKAGES),
    reason="needs rpojax[robots]",
)


@needs_robots
def test_all_robots_are_in_the_packages():
    assert set(adapter.names()) == set(registry.ALL_ENVS)


@needs_robots
@pytest.mark.slow
@pytest.mark.parametrize("name", ["Go1JoystickFlatTerrain", "PandaRobotiqPushCube"])
def test_robots_conform_and_train_with_their_preset(name):
    env = envs.make(f"playground/{name}", impl="c")
    envs.check_env(env, num_steps=20)
    keys = {"actor_keys": ("state",), "critic_keys": ("privileged_state",)}
    cfg = rpojax.Config.preset(f"playground/{name}").replace(
        env=env,
        num_envs=4,
        num_steps=8,
        advantage_horizon=None,
        num_minibatches=2,
        update_epochs=1,
        total_timesteps=96,
        network=rpojax.NetworkConfig(
            hidden_sizes=(8,), **(keys if isinstance(env.obs, dict) else {})
        ),
    )
    assert bool(np.all(rpojax.fit(cfg).finite))


@needs_robots
@pytest.mark.slow
def test_randomizers_of_playground_are_taken_as_they_are():
    name = "Go1JoystickFlatTerrain"
    env = envs.make(f"playground/{name}", impl="c")
    drawn = envs.randomized(env, registry.get_domain_randomizer(name))
    state, obs = jax.jit(drawn.reset)(jax.random.split(jax.random.key(0), 2), {})
    assert {"dof_frictionloss", "qpos0", "geom_friction", "body_mass"} < set(state.params)
    assert not np.array_equal(*state.params["dof_frictionloss"])
    assert np.isfinite(obs["state"]).all()


class Noisy(pendulum.SwingUp):
    """As tasks of locomotion observe: with noise for the actor, and more for the critic."""

    def _get_obs(self, data, info):
        info["rng"], key = jax.random.split(info["rng"])
        state = super()._get_obs(data, info)
        noisy = state + jax.random.uniform(key, state.shape, minval=-0.1, maxval=0.1)
        return {"state": noisy, "privileged_state": jnp.concatenate([state, data.qpos])}


@pytest.fixture
def _noisy():
    def config():
        changed = pendulum.default_config()
        changed.episode_length = 4
        changed.ranges = [0.0, 1.0]
        changed.scales = {"noise": 1.0}
        return changed

    dm_control_suite.register_environment("Noisy", Noisy, config)
    yield
    del dm_control_suite._envs["Noisy"], dm_control_suite._cfgs["Noisy"]


@pytest.mark.slow
@pytest.mark.usefixtures("_noisy")
def test_asymmetric_agents_train_side_by_side():
    """The critic sees more than the actor; two agents in one program."""
    network = rpojax.NetworkConfig(
        hidden_sizes=(8,), actor_keys=("state",), critic_keys=("privileged_state",)
    )
    cfg = rpojax.Config(
        env="playground/Noisy",
        network=network,
        num_envs=2,
        num_steps=8,
        num_minibatches=1,
        update_epochs=1,
        reset_pool=2,
        total_timesteps=32,
    )
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(jax.random.split(jax.random.key(0)))
    assert bool(result.finite.all())
    np.testing.assert_array_equal(result.metrics.episode_length, 4.0)


@pytest.mark.usefixtures("_noisy")
def test_parts_of_a_configuration_are_named_by_their_path():
    """Lists take as many values as their default has."""
    env = envs.make("playground/Noisy", **{"scales.noise": 0.5, "ranges": (0.0, 2.0)})
    assert set(env.obs) == {"state", "privileged_state"}
    for value in ([1.0], 1.0):
        with pytest.raises(ValueError, match=r"ranges of Noisy = .* is not allowed; give 2 values"):
            envs.make("playground/Noisy", ranges=value)


class Eager(pendulum.SwingUp):
    """A task whose reward a user has changed, with a metric."""

    def step(self, state, action):
        state = super().step(state, action)
        effort = jnp.square(action).sum()
        state.metrics["effort"] = effort
        return state.replace(reward=state.reward - 0.1 * effort)

    def reset(self, rng):
        state = super().reset(rng)
        state.metrics["effort"] = jnp.zeros(())
        return state


def eager():
    config = pendulum.default_config()
    config.impl, config.episode_length = "jax", 4
    return Eager(config)


@pytest.mark.parametrize("impl", ["c", pytest.param("jax", marks=pytest.mark.slow)])
def test_an_instance_of_a_users_class_trains_with_its_metrics(impl):
    env = envs.from_playground(eager(), impl=impl)
    assert (env.name, env.max_episode_steps) == ("Eager", 4)
    assert "effort" in env.metrics
    assert env.model.nq == 1
    cfg = rpojax.Config(
        env=env,
        num_envs=2,
        num_steps=8,
        num_minibatches=1,
        update_epochs=1,
        network=rpojax.NetworkConfig(hidden_sizes=(8,)),
        total_timesteps=32,
    )
    metrics = jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).metrics
    assert np.all(np.asarray(metrics.environment["effort"]) > 0.0)
    np.testing.assert_array_equal(metrics.episode_length, 4.0)


class Unforwarded(pendulum.SwingUp):
    """Observes the positions of its start without the forward dynamics, as some tasks do."""

    def reset(self, rng):
        qpos = jax.random.uniform(rng, (1,))
        data = mjx_env.make_data(self.mj_model, qpos=qpos, impl=self.mjx_model.impl.value)
        zero = jnp.zeros(())
        return mjx_env.State(data, self._get_obs(data, {}), zero, zero, {}, {})

    def _get_obs(self, data, info):
        return jnp.concatenate([data.qpos, data.qvel, data.xpos[1]])


def test_a_start_without_forward_dynamics_holds_what_it_was_given():
    config = pendulum.default_config()
    config.impl = "jax"
    keys = jax.random.split(jax.random.key(0), 2)
    starts = []
    for impl in ("jax", "c"):
        env = envs.from_playground(Unforwarded(config), impl=impl)
        starts.append(env.reset(keys, {})[1])
    np.testing.assert_array_equal(*starts)
    assert starts[0][0, 0] != starts[0][1, 0]


def test_make_takes_an_instance_for_what_it_is(monkeypatch):
    taken = []
    monkeypatch.setattr(adapter, "from_playground", lambda env: taken.append(env))
    env = eager()
    envs.make(env)
    assert taken == [env]


def test_wrappers_of_playground_are_refused():
    wrapped = wrapper.EpisodeWrapper(eager(), 10, 1)
    with pytest.raises(ValueError, match=r"EpisodeWrapper of brax.* as rpojax does by itself"):
        envs.from_playground(wrapped)


def test_environment_made_by_name_can_be_pickled():
    copy = pickle.loads(pickle.dumps(made(PENDULUM)))
    assert (copy.name, copy.obs) == (PENDULUM, made(PENDULUM).obs)


def test_environment_can_be_made_inside_a_jit():
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0)))
    jax.eval_shape(lambda keys: envs.make(f"playground/{PENDULUM}").reset(keys, {})[1], keys)


def test_positions_of_a_state_are_drawn(monkeypatch):
    monkeypatch.setattr(adapter, "render_with_mujoco", placed)
    env = adapter.make(PENDULUM)
    state, obs = jax.device_get(jax.jit(env.reset)(jax.random.split(jax.random.key(0), 3), {}))
    np.testing.assert_allclose(np.sin(env.render(state)), obs[:, :1], atol=1e-6)
