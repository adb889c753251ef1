"""Environments of one's own MuJoCo models, as users write them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco.batch", reason="needs rpojax[mjx]")

import mujoco

import rpojax
from rpojax import envs
from rpojax.envs.physics.elements import ATTRIBUTES
from rpojax.envs.physics.mjx import model_path


def make_hopper(impl):
    """Gymnasium's Hopper."""

    def is_healthy(data):
        state = jnp.concatenate([data.qpos, data.qvel])[2:]
        height, angle = data.qpos[1], data.qpos[2]
        return (jnp.abs(state) < 100.0).all() & (height > 0.7) & (jnp.abs(angle) < 0.2)

    def velocity(data):
        return (data.qpos[0] - data.memory) / data.control_dt

    return envs.from_mjcf(
        model_path("hopper.xml"),
        control_dt=0.008,
        start=envs.start_at(qpos=5e-3, qvel=5e-3),
        remember=lambda key, data: data.qpos[0],
        observe=lambda data: jnp.concatenate([data.qpos[1:], jnp.clip(data.qvel, -10.0, 10.0)]),
        reward={
            "reward_forward": (1.0, velocity),
            "reward_ctrl": (-1e-3, lambda data: jnp.sum(data.action**2)),
            "reward_survive": (1.0, is_healthy),
        },
        terminate=lambda data: ~is_healthy(data),
        start_from="kinematics",
        impl=impl,
    )


@pytest.mark.parametrize("impl", ["c", pytest.param("jax", marks=pytest.mark.slow)])
def test_the_hopper_of_a_user_is_that_of_the_table_to_the_bit(impl):
    ours, theirs = make_hopper(impl), envs.make("mjx/Hopper-v5", impl=impl)
    np.testing.assert_array_equal(ours.action_high, theirs.action_high)
    assert ours.metrics == theirs.metrics
    keys = jax.random.split(jax.random.key(0), 2)
    actions = jax.random.uniform(jax.random.key(1), (200, 2, 3), minval=-1.0)

    def run(env):
        def step(state, action):
            return env.step(keys, state, action, {})

        state, obs = env.reset(keys, {})
        return obs, jax.lax.scan(step, state, actions)[1]

    got, expected = (jax.device_get(jax.jit(lambda env=env: run(env))()) for env in (ours, theirs))
    jax.tree.map(np.testing.assert_array_equal, got, expected)
    assert got[1].terminated.any()


LEG = """
<mujoco model="leg">
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 1"/>
    <body name="torso" pos="0 0 0.8">
      <freejoint name="root"/>
      <geom name="trunk" size="0.1" mass="2"/>
      <site name="imu"/>
      <body name="thigh">
        <joint name="hip" axis="0 1 0" range="-90 90" frictionloss="0.1"/>
        <geom name="thigh" type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03" mass="1"/>
        <body name="shin" pos="0 0 -0.3">
          <joint name="knee" axis="0 1 0" range="-120 0" damping="0.1"/>
          <geom name="shin" type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03" mass="0.5"/>
          <site name="foot" pos="0 0 -0.3"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="hip" joint="hip" gear="2" ctrlrange="-20 20"/>
    <motor name="knee" joint="knee" gear="0.5" ctrlrange="-9 9"/>
  </actuator>
  <sensor>
    <gyro name="gyro" site="imu"/>
    <framepos name="height" objtype="site" objname="foot"/>
  </sensor>
  <keyframe><key name="bent" qpos="0 0 0.9 1 0 0 0 0.4 -0.8"/></keyframe>
</mujoco>
"""
NAMED = {
    "foot": lambda data: data.site("foot").xpos,
    "knee": lambda data: data.joint("knee").qpos,
    "spin": lambda data: data.joint("root").qvel,
    "gyro": lambda data: data.sensor("gyro").data,
    "shin": lambda data: data.body("shin").xipos,
    "trunk": lambda data: data.geom("trunk").xpos,
    "force": lambda data: data.actuator("knee").force,
    "ctrl": lambda data: data.actuator(0).ctrl,
}
FALL = {"fall": (-1.0, lambda data: data.joint("root").qvel[2])}


def make_leg(**changes):
    given = {
        "model": LEG,
        "control_dt": 0.02,
        "start": envs.start_at("bent"),
        "observe": NAMED,
        "reward": FALL,
        "max_episode_steps": 50,
        "impl": "c",
    }
    return envs.from_mjcf(**{**given, **changes})


def steps(env, actions, params=None, count=1):
    """The last observation after some actions f32[T, A], the same in each environment."""
    keys, params = jax.random.split(jax.random.key(0), count), params or {}

    def run(keys, actions):
        def step(state, action):
            state, timestep = env.step(keys, state, jnp.tile(action, (count, 1)), params)
            return state, timestep

        state, obs = env.reset(keys, params)
        return obs, jax.lax.scan(step, state, actions)[1]

    return jax.device_get(jax.jit(run)(keys, jnp.asarray(actions, jnp.float32)))


def in_mujoco(model, controls, substeps=4):
    """MuJoCo's own data after each row of controls (a function of the data, or numbers)."""
    data = mujoco.MjData(model)
    data.qpos[:] = model.key("bent").qpos
    for control in controls:
        for _ in range(substeps):
            data.ctrl[:] = control(data) if callable(control) else control
            mujoco.mj_step(model, data)
    return data


ACTIONS = np.random.default_rng(0).uniform(-1, 1, (10, 2)).astype(np.float32)


@pytest.mark.parametrize("impl", ["c", pytest.param("jax", marks=pytest.mark.slow)])
def test_names_find_what_mujoco_finds(impl):
    env = make_leg(impl=impl)
    assert (env.name, env.metrics, env.max_episode_steps) == ("leg", ("fall",), 50)
    np.testing.assert_array_equal(env.action_high, [20.0, 9.0])
    _, timesteps = steps(env, ACTIONS)
    data = in_mujoco(mujoco.MjModel.from_xml_string(LEG), ACTIONS)
    for name, read in NAMED.items():
        expected = read(data)
        assert timesteps.obs[name][-1, 0].shape == expected.shape, name
        np.testing.assert_allclose(timesteps.obs[name][-1, 0], expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(timesteps.reward[-1], -data.joint("root").qvel[2], rtol=1e-3)


WITH_ALL_KINDS = LEG.replace(
    '<site name="imu"/>', '<site name="imu"/><camera name="eye"/>'
).replace(
    "<actuator>", '<tendon><fixed name="t"><joint joint="hip" coef="2"/></fixed></tendon><actuator>'
)


def test_elements_have_the_attributes_of_mujocos():
    model = mujoco.MjModel.from_xml_string(WITH_ALL_KINDS)
    data = in_mujoco(model, ACTIONS)
    mujoco.mj_rnePostConstraint(model, data)
    element = {"body": "shin", "joint": "knee", "geom": "shin", "site": "foot", "actuator": "knee"}
    element |= {"camera": "eye", "tendon": "t", "sensor": "gyro"}

    def read(data):
        return {
            f"{kind}/{name}": getattr(getattr(data, kind)(element[kind]), name)
            for kind, names in ATTRIBUTES.items()
            for name in names
        }

    found, expected = steps(make_leg(model=model, observe=read), ACTIONS)[1].obs, read(data)
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name][-1, 0].ravel(), np.ravel(value), rtol=2e-3, atol=2e-3, err_msg=name
        )


@pytest.mark.parametrize("impl", ["c", "jax"])
@pytest.mark.parametrize(
    ("observe", "message"),
    [
        (
            lambda data: data.joint("knee").xpos,
            r"attribute of data.joint\('knee'\): 'xpos'; did .*",
        ),
        (lambda data: data.site("foot").qpos, r"attribute of data.site\('foot'\): 'qpos'"),
        (lambda data: data.qposs, "attribute of data: 'qposs'; did you mean 'qpos'"),
    ],
    ids=["joint", "site", "data"],
)
def test_what_data_do_not_have_is_named(observe, message, impl):
    with pytest.raises(AttributeError, match=message):
        make_leg(observe=observe, impl=impl)


def test_energy_is_mujocos():
    text = LEG.replace('timestep="0.005"/>', 'timestep="0.005"><flag energy="enable"/></option>')
    env = make_leg(model=text, observe=lambda data: data.energy)
    data = in_mujoco(mujoco.MjModel.from_xml_string(text), ACTIONS)
    np.testing.assert_allclose(steps(env, ACTIONS)[1].obs[-1, 0], data.energy, rtol=1e-3)
    assert data.energy.all()


def test_position_targets_are_around_a_keyframe():
    model = mujoco.MjModel.from_xml_string(LEG)
    model.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
    model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1] = 30.0, -30.0
    action = envs.position_targets(scale=0.5, default="bent")
    env = make_leg(model=model, action=action, observe=lambda data: data.qpos)
    np.testing.assert_array_equal([env.action_low, env.action_high], [[-1.0, -1.0], [1.0, 1.0]])
    targets = [[2.0, 0.5] * (np.array([0.4, -0.8]) + 0.5 * row) for row in ACTIONS]
    data = in_mujoco(model, targets)
    np.testing.assert_allclose(steps(env, ACTIONS)[1].obs[-1, 0], data.qpos, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [0.1, 3.0], ids=["within the limits", "at the limits"])
def test_pd_torques_are_computed_in_each_step_of_the_simulation(size):
    stiffness, damping = np.array([30.0, 20.0]), np.array([0.5, 0.3])
    env = make_leg(
        action=envs.pd_torques(stiffness, damping, scale=size, default="bent"),
        observe=lambda data: data.qpos,
    )
    model = mujoco.MjModel.from_xml_string(LEG)
    gear, limit = np.array([2.0, 0.5]), np.array([20.0, 9.0])
    reached = []

    def law(target):
        def control(data):
            torque = stiffness * (target - data.qpos[7:]) - damping * data.qvel[6:]
            reached.append(np.abs(torque / gear) > limit)
            return np.clip(torque / gear, -limit, limit)

        return control

    data = in_mujoco(model, [law(np.array([0.4, -0.8]) + size * row) for row in ACTIONS])
    assert np.any(reached) == (size > 1.0)
    np.testing.assert_allclose(steps(env, ACTIONS)[1].obs[-1, 0], data.qpos, rtol=1e-3, atol=1e-4)


def test_memory_is_that_of_before_for_rewards_and_the_new_one_for_observations():
    def remember(key, data):
        if data.memory is None:
            return {"last": data.action, "command": jax.random.uniform(key), "steps": 0}
        return {**data.memory, "last": data.action, "steps": data.memory["steps"] + 1}

    env = make_leg(
        remember=remember,
        observe={
            "last": lambda data: data.memory["last"],
            "command": lambda data: data.memory["command"][None],
        },
        reward={"rate": (-0.5, lambda data: jnp.sum((data.action - data.memory["last"]) ** 2))},
        metrics={"steps": lambda data: data.memory["steps"]},
    )
    obs, timesteps = steps(env, ACTIONS, count=3)
    np.testing.assert_array_equal(obs["last"], 0.0)
    np.testing.assert_array_equal(timesteps.obs["last"][:, 1], ACTIONS)
    assert len(np.unique(obs["command"])) == 3
    np.testing.assert_array_equal(timesteps.obs["command"][-1], obs["command"])
    rates = np.sum(np.diff(ACTIONS, axis=0, prepend=0.0) ** 2, axis=1)
    np.testing.assert_allclose(timesteps.reward[:, 0], -0.5 * rates, rtol=1e-5)
    np.testing.assert_allclose(timesteps.metrics["rate"], timesteps.reward)
    np.testing.assert_array_equal(timesteps.metrics["steps"][:, 2], range(10))
    envs.check_env(env, num_steps=60)


def test_models_are_taken_in_all_their_forms(tmp_path):
    path = tmp_path / "leg.xml"
    path.write_text(LEG)
    model = mujoco.MjModel.from_xml_string(LEG)
    plain = steps(make_leg(), ACTIONS)[1].obs["foot"]
    for each in (path, str(path), mujoco.MjSpec.from_string(LEG), model):
        env = make_leg(model=each, iterations=50)
        np.testing.assert_allclose(steps(env, ACTIONS)[1].obs["foot"], plain, atol=1e-5)
    assert model.opt.iterations == 100  # the user's own is not changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control_dt": 0.012}, "'leg': control_dt = 0.012 is no multiple .* timestep = 0.005"),
        ({"control_dt": float("nan")}, "control_dt = nan is out of range"),
        ({"reward": {}}, "reward = {} has no terms; give a table of"),
        (
            {"reward": {"x": FALL["fall"][1]}},
            r"reward\['x'\] = .* is not \(weight, function of Data\)",
        ),
        ({"reward": {"x": (np.nan, FALL["fall"][1])}}, r"weight of reward\['x'\] = nan is out of"),
        ({"observe": "qpos"}, "observe = 'qpos' is not callable; give a function"),
        ({"observe": {"x": "qpos"}}, r"observe\['x'\] = 'qpos' is not callable"),
        ({"metrics": [FALL]}, "metrics = .* is no table; give functions by name"),
        ({"terminate": 1.0}, "terminate = 1.0 is not callable"),
        ({"start": lambda key, model: jnp.zeros(9)}, r"start returns .* return .*\(9,\), \(8,\)"),
        ({"start": envs.start_at(3)}, "unknown key 3; known: bent"),
        ({"action": envs.pd_torques(np.nan, 1.0)}, "stiffness = nan is out of range"),
        ({"action": envs.pd_torques(1.0, [1.0] * 3)}, r"damping has the shape \(3,\).* the 2 act"),
        ({"action": envs.position_targets(scale="1")}, "scale = '1' is not a number"),
        ({"reward": {"x": (1.0, lambda data: data.qvel)}}, r"reward\['x'\] has the shape \(8,\)"),
        ({"terminate": lambda data: data.qpos > 0}, "terminate has the shape .* one number"),
        ({"metrics": {"x": lambda data: data.qvel}}, r"metrics\['x'\] has the shape"),
        ({"start": envs.start_at("home")}, "unknown key 'home'; known: bent"),
        ({"observe": lambda data: data.site("hand").xpos}, "unknown site 'hand'; .*imu, foot"),
        ({"observe": lambda data: data.body("tors").xpos}, "body 'tors'; did you mean 'torso'"),
        ({"impl": "warp"}, "impl = 'warp' is not known; give one of 'auto', 'jax', 'c'"),
        ({"max_episode_steps": 0}, "max_episode_steps = 0 is not allowed"),
        ({"action": envs.position_targets(default="x")}, "unknown key 'x'; known: bent"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        make_leg(**changes)


def test_noise_of_a_start_is_checked():
    with pytest.raises(ValueError, match="qvel = -1 is out of range"):
        envs.start_at(qvel=-1.0)


def with_changes(**changes):
    text = LEG
    for before, after in changes.values():
        assert before in text
        text = text.replace(before, after)
    return text


CYLINDERS = {"a": ('name="trunk" size="0.1"', 'name="trunk" type="cylinder" size="0.1 0.1"')}
CYLINDERS["b"] = ('type="plane" size="5 5 1"', 'type="box" size="5 5 1" pos="0 0 -1"')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (CYLINDERS, "cannot simulate the geoms 'trunk' and 'floor': .*CYLINDER.*impl = \"c\""),
        ({"a": ("<gyro", "<user dim='1'/><gyro")}, "cannot simulate sensor number 0: .*USER"),
        ({"a": ('timestep="0.005"', 'timestep="0.005" integrator="implicit"')}, "the model.*IMPL"),
    ],
    ids=["geoms", "sensor", "integrator"],
)
def test_what_mjx_lacks_is_named_and_works_in_c(changes, message):
    model = with_changes(**changes)
    with pytest.raises(ValueError, match=message):
        make_leg(model=model, observe=lambda data: data.qpos, impl="jax")
    assert make_leg(model=model, observe=lambda data: data.qpos).obs.shape == (9,)


def test_parameters_have_the_names_of_bodies_joints_and_geoms():
    env = make_leg(observe=lambda data: data.qpos)
    heavy = env.params["body_mass"].copy()
    heavy[env.model.body("thigh").id] = 5.0
    damped = env.params["dof_damping"].copy()
    damped[env.model.joint("hip").dofadr[0]] = 2.0
    whole = steps(env, ACTIONS, {"body_mass": heavy, "dof_damping": damped})[1].obs
    drawn = envs.randomized(
        env, lambda key: {"body_mass[thigh]": jnp.float32(5.0), "dof_damping[hip]": 2.0}
    )
    np.testing.assert_array_equal(steps(drawn, ACTIONS)[1].obs, whole)
    assert {"body_mass", "dof_damping"} & set(drawn.params) == set()
    resolved = envs.params.resolve_params(env, {"body_mass[thigh]": 5.0})
    np.testing.assert_array_equal(resolved["body_mass"], heavy)
    rows = envs.params.params_of_agents(
        env, {"body_mass[thigh]": [5.0, 1.0], "jnt_range[knee]": [-1, 0]}
    )
    np.testing.assert_array_equal(rows["body_mass"], [heavy, env.params["body_mass"]])
    assert rows["jnt_range"].shape == (1, 3, 2)
    for name, message in (
        ("body_mass[thig]", "unknown body 'thig'; did you mean 'thigh'"),
        ("body_masses[thigh]", "unknown parameter of leg 'body_masses'; did you mean 'body_mass'"),
        ("gravity[x]", "gravity belongs to no body"),
    ):
        with pytest.raises(ValueError, match=message):
            envs.params.resolve_params(env, {name: 1.0})
    with pytest.raises(
        ValueError, match=r"env_params\['body_mass\[thigh\]'\] has the shape \(2,\)"
    ):
        envs.params.resolve_params(env, {"body_mass[thigh]": [1.0, 2.0]})


FIELDS = {
    "dof_frictionloss": lambda value: 5.0 * value,
    "qpos0": lambda value: value + np.float32([0] * 7 + [0.3, -0.2]),
    "geom_friction": lambda value: 0.05 * value,
    "geom_solref": lambda value: 2.0 * value,
    "jnt_range": lambda value: 0.3 * value,
    "body_mass": lambda value: 2.0 * value,
}


@pytest.mark.parametrize("impl", ["c", pytest.param("jax", marks=pytest.mark.slow)])
def test_fields_that_randomizers_set_are_mujocos(impl):
    """`geom_friction` too: the leg slides on the floor."""
    env = make_leg(
        impl=impl,
        observe=lambda data: data.qpos,
        start=lambda key, model: (
            model.key("bent").qpos.astype(np.float32),
            np.float32([2] + [0] * 7),
        ),
    )
    assert set(FIELDS) < set(env.params)
    actions = np.zeros((40, 2), np.float32)
    run = jax.jit(lambda params: env_steps(env, actions, params))
    plain = np.asarray(run(dict(env.params)))
    for name, change in FIELDS.items():
        value = np.float32(change(env.params[name]))
        model = mujoco.MjModel.from_xml_string(LEG)
        getattr(model, name)[:] = value
        mujoco.mj_setConst(model, mujoco.MjData(model))
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[0] = model.key("bent").qpos, 2.0
        mujoco.mj_step(model, data, 4 * len(actions))
        got = run({**env.params, name: value})
        np.testing.assert_allclose(got, data.qpos, rtol=0.02, atol=0.02, err_msg=name)
        assert np.max(np.abs(got - plain)) > 1e-3, name


def env_steps(env, actions, params):
    keys = jax.random.split(jax.random.key(0), 1)
    state, _ = env.reset(keys, params)

    def step(state, action):
        state, timestep = env.step(keys, state, action[None], params)
        return state, timestep.obs[0]

    return jax.lax.scan(step, state, actions)[1][-1]


def test_randomizers_of_playgrounds_form_are_taken_as_they_are():
    def domain_randomize(model, rng):
        @jax.vmap
        def draw(key):
            friction = model.geom_friction.at[0, 0].set(jax.random.uniform(key, minval=0.4))
            return friction, model.body_mass * jax.random.uniform(key, (model.nbody,))

        friction, mass = draw(rng)
        in_axes = jax.tree.map(lambda leaf: None, model)
        in_axes = in_axes.tree_replace({"geom_friction": 0, "body_mass": 0})
        return model.tree_replace({"geom_friction": friction, "body_mass": mass}), in_axes

    env = make_leg()
    drawn = envs.randomized(env, domain_randomize)
    state, _ = jax.jit(drawn.reset)(jax.random.split(jax.random.key(0), 3), {})
    assert set(state.params) == {"geom_friction", "body_mass"}
    assert state.params["geom_friction"].shape == (3, *env.params["geom_friction"].shape)
    assert len(np.unique(state.params["geom_friction"][:, 0, 0])) == 3
    assert np.all(np.asarray(state.params["body_mass"]) <= env.params["body_mass"])
    with pytest.raises(ValueError, match="'Pendulum-v1' simulates no MuJoCo model"):
        envs.randomized(envs.make("Pendulum-v1"), domain_randomize)


def test_the_ant_of_gymnasium_takes_another_robot(tmp_path):
    path = tmp_path / "leg.xml"
    path.write_text(LEG)
    settings = {"xml_file": str(path), "main_body": "torso", "frame_skip": 4}
    env = envs.make("mujoco/Ant-v5", **settings)
    assert env.action_dim == 2
    _, timesteps = steps(env, ACTIONS)
    import gymnasium

    theirs = gymnasium.make("Ant-v5", **settings, disable_env_checker=True).unwrapped
    theirs.reset(seed=0)
    assert theirs._get_obs().shape == timesteps.obs[0, 0].shape


ARM = """
<mujoco model="arm">
  <option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>
  <default>
    <joint axis="0 0 1" damping="0.1" armature="0.01"/>
    <geom type="capsule" size="0.015" contype="0" conaffinity="0"/>
  </default>
  <worldbody>
    <body name="upper">
      <joint name="shoulder"/>
      <geom fromto="0 0 0 0.2 0 0"/>
      <body name="lower" pos="0.2 0 0">
        <joint name="elbow" range="-150 150"/>
        <geom fromto="0 0 0 0.2 0 0"/>
        <site name="tip" pos="0.2 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" ctrlrange="-1 1"/>
    <motor joint="elbow" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


def make_arm():
    """An arm that reaches for a target, drawn for each episode."""

    def target(key, data):
        if data.memory is not None:
            return data.memory
        radius_key, angle_key = jax.random.split(key)
        angle = jax.random.uniform(angle_key, minval=-jnp.pi, maxval=jnp.pi)
        radius = jax.random.uniform(radius_key, minval=0.1, maxval=0.38)
        return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def distance(data):
        return jnp.linalg.norm(data.memory - data.site("tip").xpos[:2])

    return envs.from_mjcf(
        ARM,
        control_dt=0.02,
        start=envs.start_at(qpos=0.5, qvel=0.1),
        remember=target,
        observe={
            "joints": lambda data: jnp.stack([jnp.cos(data.qpos), jnp.sin(data.qpos), data.qvel]),
            "target": lambda data: data.memory,
            "rest": lambda data: data.memory - data.site("tip").xpos[:2],
        },
        reward={
            "distance": (-1.0, distance),
            "near": (0.5, lambda data: distance(data) < 0.03),
            "effort": (-0.01, lambda data: jnp.sum(data.action**2)),
        },
        max_episode_steps=100,
    )


@pytest.mark.slow
def test_an_arm_of_ones_own_learns_to_reach(tmp_path):
    """Nine of ten random targets within 3 cm, two seconds after the start; four agents.

    And what is exported acts as well, in MuJoCo, on other targets.
    """
    pytest.importorskip("onnx")
    env = make_arm()
    cfg = rpojax.Config(
        env=env,
        total_timesteps=400_000,
        num_envs=64,
        num_steps=32,
        num_minibatches=8,
        update_epochs=8,
        learning_rate=1e-3,
        lr_schedule="linear",
        gamma=0.97,
        alpha=0.05,
    )
    result = rpojax.fit(cfg, num_seeds=4)
    keys = jax.random.split(jax.random.key(99), 256)
    reached = []
    for agent in range(4):
        act = rpojax.make_policy(cfg, result.select(agent).state, deterministic=True)

        def step(carry, _, act=act):
            state, obs = carry
            state, timestep = env.step(keys, state, act(obs), {})
            return (state, timestep.obs), None

        (_, obs), _ = jax.jit(
            lambda step=step: jax.lax.scan(step, env.reset(keys, {}), length=99)
        )()
        reached.append(np.mean(np.linalg.norm(obs["rest"], axis=1) < 0.03))
    assert min(reached) >= 0.9, reached
    state = result.select(0).state
    evaluated = rpojax.evaluate(cfg, state, jax.random.key(5), num_episodes=4096).episode_return
    rpojax.export_policy(cfg, state, tmp_path / "arm.onnx", format="onnx")
    policy = rpojax.load_policy(tmp_path / "arm.onnx")
    played = rpojax.play(policy, env, num_episodes=1000, realtime=False).evaluation.episode_return
    print(f"reached {reached}, evaluated {evaluated.mean():.2f}, played {played.mean():.2f}")
    assert abs(played.mean() / evaluated.mean() - 1.0) < 0.05
