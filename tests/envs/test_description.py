import json

import jax
import numpy as np
import pytest
from toys import make_counter

from rpojax.envs.description import describe_env, described_env, robot_of

PIXELS = jax.ShapeDtypeStruct((4, 4, 3), np.uint8)


@pytest.mark.parametrize("obs", [PIXELS, {"camera": PIXELS, "body": {"speed": PIXELS}}])
def test_a_description_is_enough_to_act(obs):
    robot = {"control_dt": 0.02, "actuators": ("left", "right"), "joints": ("hip", "knee")}
    env = make_counter(obs=obs, action_high=[np.inf, 1.0], metrics=("success",), **robot)
    again = described_env(json.loads(json.dumps(describe_env(env))))
    assert again.obs == obs
    for name in ("name", "max_episode_steps", "metrics", *robot):
        assert getattr(again, name) == getattr(env, name)
    np.testing.assert_array_equal(again.action_low, env.action_low)
    np.testing.assert_array_equal(again.action_high, env.action_high)
    with pytest.raises(ValueError, match="which describes its observations and actions only"):
        again.reset(None)


def test_observations_in_other_containers_are_not_described():
    assert described_env(describe_env(make_counter(obs=(PIXELS, PIXELS)))) is None


def test_actuators_without_names_are_called_as_their_joints():
    mujoco = pytest.importorskip("mujoco")
    joints = '<joint name="hip"/><geom size="1"/>'
    actuators = '<motor joint="hip"/><motor name="left" joint="hip"/><motor tendon="cord"/>'
    tendon = '<tendon><fixed name="cord"><joint joint="hip" coef="1"/></fixed></tendon>'
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody><body>{joints}</body></worldbody>{tendon}"
        f"<actuator>{actuators}</actuator></mujoco>"
    )
    assert robot_of(model) == {"actuators": ("hip", "left", ""), "joints": ("hip",)}
