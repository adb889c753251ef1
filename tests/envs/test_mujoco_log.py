"""MuJoCo's warnings do not leave a file behind."""

import logging

import pytest

pytest.importorskip("mujoco", reason="needs rpojax[mjx]")

import mujoco

from rpojax.envs.contexts import no_log_file


def warn():
    """Make MuJoCo warn: the state of a falling body is not a number."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    data.qvel[:] = float("nan")
    mujoco.mj_step(model, data)


def test_warnings_are_logged_and_leave_no_file(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, "rpojax.mujoco"), no_log_file():
        warn()
    assert "QVEL" in caplog.text
    assert not list(tmp_path.iterdir())
    assert mujoco.get_mju_user_warning() is None


def test_handler_of_the_user_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heard = []
    mujoco.set_mju_user_warning(heard.append)
    try:
        with no_log_file():
            warn()
        assert len(heard) == 1
        assert mujoco.get_mju_user_warning() is not None
    finally:
        mujoco.set_mju_user_warning(None)
