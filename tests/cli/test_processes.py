"""The command in processes of its own: several at once, odd surroundings, exit statuses."""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_cli import TINY, finish, rows_of, started

from rpojax.runs.checkpoint_manager import checkpoint_paths

SHORT = ("train", *TINY, "--total-timesteps=2560")
ENDLESS = ("train", *TINY, f"--total-timesteps={10**8}", "--checkpoint-every=5")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> str:
    """Compiled programs for all processes below."""
    return str(tmp_path_factory.mktemp("caches"))


def wait_for_updates(path: Path, process: "subprocess.Popen[str]", checkpoints: int = 2) -> None:
    for _ in range(1200):
        if len(checkpoint_paths(path / "checkpoints")) >= checkpoints:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("it does not train")


@contextlib.contextmanager
def training(place: Path, cache: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that trains in runs/first below a place."""
    with started(*ENDLESS, "--run-name=first", cwd=place, XDG_CACHE_HOME=cache) as process:
        wait_for_updates(place / "runs" / "first", process)
        yield process


def updates_logged(path: Path) -> list[int]:
    return [int(row["updates"]) for row in rows_of(path / "metrics.csv")]


def test_one_process_at_a_time_trains_in_a_directory(tmp_path, cache):
    run = tmp_path / "runs" / "first"
    with training(tmp_path, cache) as process:
        for second in (
            ("resume", "runs/first"),
            ("resume", "runs/first/checkpoints"),
            (*SHORT, "--run-name=first"),
            (*SHORT, "--run-name=first", "--overwrite"),
        ):
            with started(*second, cwd=tmp_path, XDG_CACHE_HOME=cache) as other:
                finished = finish(other)
            assert finished.status == 2, second
            assert f"in use by process {process.pid}" in finished.err
            assert finished.err.count("\n") == 1
        with started("eval", "runs/first", "--episodes=2", cwd=tmp_path, XDG_CACHE_HOME=cache) as e:
            assert finish(e).status == 0  # readers are welcome
        process.send_signal(signal.SIGHUP)
        finished = finish(process)
    assert finished.status == 129, finished.err
    updates = updates_logged(run)
    assert updates == sorted(updates)
    assert len(updates) == 2 * len(set(updates))  # a row for each of two agents


def test_two_resumes_at_once(tmp_path, cache):
    with training(tmp_path, cache) as process:
        process.kill()
    again = ("resume", "runs/first", "--max-seconds=20")
    with (
        started(*again, cwd=tmp_path, XDG_CACHE_HOME=cache) as one,
        started(*again, cwd=tmp_path, XDG_CACHE_HOME=cache) as other,
    ):
        ends = [finish(one), finish(other)]
    assert sorted(end.status for end in ends) == [0, 2]
    assert "in use by process" in next(end.err for end in ends if end.status == 2)
    updates = updates_logged(tmp_path / "runs" / "first")
    assert len(updates) == 2 * len(set(updates))
    assert all("Traceback" not in end.err for end in ends)


def test_two_trainings_without_a_name_at_once(tmp_path, cache):
    with (
        started(*SHORT, cwd=tmp_path, XDG_CACHE_HOME=cache) as one,
        started(*SHORT, cwd=tmp_path, XDG_CACHE_HOME=cache) as other,
    ):
        ends = [finish(one), finish(other)]
    assert [end.status for end in ends] == [0, 0], ends
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    for run in runs:
        assert len(updates_logged(run)) == 2 * 20


def test_max_seconds_ends_a_run_that_can_be_resumed(tmp_path, cache):
    place = f"a directory [bold] of {'long ' * 20}names"  # wider than the terminal
    arguments = (*ENDLESS, f"--output-dir={place}", "--run-name=x", "--max-seconds=1", "--json")
    with started(*arguments, cwd=tmp_path, XDG_CACHE_HOME=cache) as process:
        finished = finish(process)
    assert finished.status == 0, finished.err
    report: dict[str, Any] = json.loads(finished.out)
    assert report["steps"] < 2 * 10**8
    assert f"resume with `rpojax resume '{place}/x'`" in finished.err
    assert Path(tmp_path, report["files"]["learning_curve"]).exists()


def test_every_agent_diverged(tmp_path, cache):
    arguments = (*SHORT, "--learning-rate=1e30", "--json")
    with started(*arguments, cwd=tmp_path, XDG_CACHE_HOME=cache) as process:
        finished = finish(process)
    assert finished.status == 3, finished.err
    assert finished.err.splitlines()[-1] == "rpojax: every agent diverged"
    report = json.loads(finished.out)
    assert [agent["diverged_at"] for agent in report["agents"]] == [1, 1]
    assert [group["mean"] for group in report["groups"]] == [None]


def test_killed_again_and_again_it_ends_as_if_it_were_not(tmp_path, cache):
    arguments = ("train", *TINY, f"--total-timesteps={128 * 400}", "--checkpoint-every=20")
    for name in ("whole", "killed"):
        with started(
            *arguments, f"--run-name={name}", cwd=tmp_path, XDG_CACHE_HOME=cache
        ) as process:
            if name == "whole":
                assert finish(process).status == 0
            else:
                wait_for_updates(tmp_path / "runs" / name, process, checkpoints=1)
                process.kill()
                assert "Traceback" not in finish(process).err
    for seconds in (0.1, 0.4, None):
        with started("resume", "runs/killed", cwd=tmp_path, XDG_CACHE_HOME=cache) as process:
            if seconds is not None:
                wait_for_updates(tmp_path / "runs" / "killed", process, checkpoints=1)
                time.sleep(seconds)
                process.kill()
            finished = finish(process)
        assert "Traceback" not in finished.err
    assert finished.status == 0, finished.err
    whole, killed = (
        [
            {name: value for name, value in row.items() if name != "steps_per_second"}
            for row in rows_of(tmp_path / "runs" / name / "metrics.csv")
        ]
        for name in ("whole", "killed")
    )
    assert whole == killed


def test_damaged_checkpoints_and_full_disks_are_one_line_each(tmp_path, cache):
    with started(*SHORT, "--run-name=x", cwd=tmp_path, XDG_CACHE_HOME=cache) as process:
        assert finish(process).status == 0
    newest, *_ = checkpoint_paths(tmp_path / "runs" / "x" / "checkpoints")[::-1]
    for file in newest.rglob("*"):
        if file.is_file() and "record" not in file.parts:
            file.write_bytes(b"damaged")
    with started("eval", "runs/x", cwd=tmp_path, XDG_CACHE_HOME=cache) as process:
        finished = finish(process)
    assert finished.status == 0
    (line,) = finished.err.splitlines()
    assert line.startswith("rpojax: warning: ")
    assert f"{newest.name} is damaged" in line


def test_directory_that_vanished_is_reported(tmp_path, cache):
    arguments = (*ENDLESS[:-1], "--checkpoint-every=0", "--run-name=x")
    with started(*arguments, cwd=tmp_path, XDG_CACHE_HOME=cache) as process:
        wait_for_updates(tmp_path / "runs" / "x", process, checkpoints=1)
        (tmp_path / "runs" / "x").rename(tmp_path / "elsewhere")
        process.send_signal(signal.SIGINT)
        finished = finish(process)
    assert finished.status == 130
    assert "runs/x" in finished.err
    assert "was removed while the run trained" in finished.err
    assert "nothing was saved" in finished.err.splitlines()[-1]
    assert "Traceback" not in finished.err


def test_ascii_terminals_and_platforms_that_are_missing(tmp_path, cache):
    with started(
        *SHORT, cwd=tmp_path, XDG_CACHE_HOME=cache, PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    ) as process:
        finished = finish(process)
    assert finished.status == 0, finished.err
    assert "+-" in finished.out
    with started(*SHORT, cwd=tmp_path, JAX_PLATFORMS="cuda") as process:
        finished = finish(process)
    assert finished.status == 2, finished.err
    assert finished.err.count("\n") == 1, finished.err
    assert "cuda" in finished.err


def test_control_characters_are_escaped(tmp_path):
    with started("eval", "\x1b[31mred\x07", cwd=tmp_path) as process:
        finished = finish(process)
    assert finished.status == 2
    assert finished.err.strip().isprintable()
