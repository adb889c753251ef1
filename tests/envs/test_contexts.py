"""Contexts in which code of other packages is called."""

import contextlib
import logging

import jax
import jax.numpy as jnp
import pytest

from rpojax.envs.contexts import concrete_values, no_log_file


def test_values_are_concrete_while_a_caller_is_traced():
    found = []

    @jax.jit
    def traced(x):
        with concrete_values():
            found.append(jnp.ones(3))
        return x

    traced(1.0)
    assert not isinstance(found[0], jax.core.Tracer)


def test_nothing_changes_outside_of_a_trace():
    assert isinstance(concrete_values(), contextlib.nullcontext)


@pytest.fixture
def mujoco():
    return pytest.importorskip("mujoco", reason="needs rpojax[mjx]")


def warn(mujoco):
    """Make MuJoCo warn: the state of a falling body is not a number."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    data.qvel[:] = float("nan")
    mujoco.mj_step(model, data)


def test_warnings_are_logged_and_leave_no_file(mujoco, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, "rpojax.mujoco"), no_log_file():
        warn(mujoco)
    assert "QVEL" in caplog.text
    assert not list(tmp_path.iterdir())
    assert mujoco.get_mju_user_warning() is None


def test_handler_of_the_user_stays(mujoco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heard = []
    mujoco.set_mju_user_warning(heard.append)
    try:
        with no_log_file():
            warn(mujoco)
        assert len(heard) == 1
        assert mujoco.get_mju_user_warning() is not None
    finally:
        mujoco.set_mju_user_warning(None)
