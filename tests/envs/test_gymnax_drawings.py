"""Pictures of gymnax's environments, with the parameters that they are given."""

from types import SimpleNamespace

import gymnax
import jax
import numpy as np
import pytest
from gymnax.environments.classic_control.pendulum import Pendulum
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle
from toys import Plain

from rpojax import envs
from rpojax.envs.gymnax.drawings import find_drawing


def picture(name: str, params=None, **env_state):
    axes = Figure().add_subplot()
    arrays = {name: np.asarray(value, np.float32) for name, value in env_state.items()}
    env, defaults = gymnax.make(name)
    state = jax.eval_shape(env.reset_env, jax.random.key(0), defaults)[1]
    draw = find_drawing(state, defaults.replace(**(params or {})))
    draw(axes, SimpleNamespace(**arrays))
    return axes


def centres(axes) -> list[tuple[float, float]]:
    return [patch.center for patch in axes.patches if isinstance(patch, Circle)]


def test_the_pendulum_stands_at_0_and_turns_anticlockwise():
    for theta, tip in ((0.0, (0, 1)), (np.pi, (0, -1)), (np.pi / 2, (-1, 0))):
        rod = picture("Pendulum-v1", theta=theta, last_u=0.0).lines[0]
        np.testing.assert_allclose(rod.get_xydata(), [(0, 0), tip], atol=1e-6)


def test_the_car_stands_on_the_ground_left_of_the_flag():
    lowest = -np.pi / 6
    axes = picture("MountainCarContinuous-v0", position=lowest)
    (car,) = (patch for patch in axes.patches if isinstance(patch, Circle))
    np.testing.assert_allclose(car.center, (lowest, 0.1 + car.radius), atol=1e-3)
    flag = axes.lines[1].get_xydata()
    np.testing.assert_allclose(flag[:, 0], 0.45)
    np.testing.assert_allclose(flag[0, 1], 0.45 * np.sin(3 * 0.45) + 0.55, rtol=1e-6)


def test_the_arm_ends_where_the_reward_is_measured():
    angles, goal = np.array([0.3, 2.0]), (0.5, -1.5)
    axes = picture("Reacher-misc", angles=angles, goal_xy=goal)
    tip = (np.cos(angles).sum(), np.sin(angles).sum())
    np.testing.assert_allclose(axes.lines[0].get_xydata()[-1], tip, rtol=1e-6)
    assert any(np.allclose(centre, goal) for centre in centres(axes))
    assert any(np.allclose(centre, tip) for centre in centres(axes))


@pytest.mark.parametrize("position", [(0.5, 0.5), (7.0, -3.0)])
def test_what_swims_or_rolls_away_stays_in_the_picture(position):
    swimmer = picture(
        "Swimmer-misc",
        xy=position,
        xy_vel=(1, 0),
        goal_xy=(0, 1),
        urchin_xys=np.zeros((5, 2)),
    )
    robot = picture("PointRobot-misc", pos=position, goal=(0, 1))
    for axes in (swimmer, robot):
        (low_x, high_x), (low_y, high_y) = axes.get_xlim(), axes.get_ylim()
        assert low_x < position[0] < high_x
        assert low_y < position[1] < high_y
        assert any(np.allclose(centre, position) for centre in centres(axes))
        assert any(np.allclose(centre, (0, 1)) for centre in centres(axes))


def test_the_torque_is_drawn_as_a_share_of_its_bound():
    for torque, share in ((2.0, 1.0), (5.0, 0.4)):
        axes = picture("Pendulum-v1", {"max_torque": torque}, theta=0.0, last_u=2.0)
        (arc,) = [patch for patch in axes.patches if isinstance(patch, Arc)]
        assert (arc.theta1, arc.theta2) == (90.0, pytest.approx(90.0 + 120.0 * share))


def test_the_valley_and_the_flag_are_where_the_parameters_put_them():
    params = {"min_position": -1.0, "max_position": 0.9, "goal_position": 0.7}
    ground, flag = picture("MountainCarContinuous-v0", params, position=0.0).lines
    assert (ground.get_xdata()[0], ground.get_xdata()[-1]) == (-1.0, 0.9)
    np.testing.assert_allclose(flag.get_xdata(), 0.7)


def test_circles_of_the_point_robot_have_their_radii():
    params = {"circle_radius": 3.0, "goal_radius": 0.7}
    axes = picture("PointRobot-misc", params, pos=(0, 0), goal=(0, 3))
    rail, goal, *_ = axes.patches
    assert (rail.width, rail.height, goal.radius) == (6.0, 6.0, 0.7)
    assert axes.get_ylim()[1] > 3.0


def test_frames_per_second_are_those_of_the_environments_own_time():
    rates = {dt: envs.make("Pendulum-v1", dt=dt).render_fps for dt in (0.05, 0.1, 0.001, 0.0)}
    assert rates == {0.05: 20.0, 0.1: 10.0, 0.001: 50.0, 0.0: 50.0}
    assert envs.make("MountainCarContinuous-v0").render_fps == 30.0


def test_parameters_may_be_traced():
    env, params = gymnax.make("Pendulum-v1")

    def first(dt):
        made = envs.from_gymnax(env, params.replace(dt=dt))
        return made.reset(jax.random.split(jax.random.key(0)), {})

    assert jax.jit(first)(0.1)[1].shape == (2, 3)


def test_picture_belongs_to_the_state_not_to_the_name():
    class Mine(Plain):
        name = "Pendulum-v1"

    class Heavier(Pendulum):
        name = "Heavier"

    assert envs.make(Mine()).render is None
    assert envs.make(Heavier()).render is not None
