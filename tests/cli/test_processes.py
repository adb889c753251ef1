"""The command in processes of its own: signals, several at once, what each compiles."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import BATCH, TINY, Finished, finish, rows_of, run, started

import rpojax
from rpojax import Config
from rpojax.runs import checkpoint_manager
from rpojax.runs.checkpoint_manager import checkpoint_paths
from rpojax.runs.directory import RunDirectory

LONG = 10**8
SIGNALS = {"first run": signal.SIGINT, "second run": signal.SIGTERM}
ENDLESS = ("train", *TINY, f"--total-timesteps={LONG}", "--eval-every=5", "--eval-episodes=2")


class Stopped(NamedTuple):
    path: Path
    finished: Finished
    programs: set[str]  # in the compilation cache
    pid: int
    others: list[Finished]  # commands about the same run, while it was trained


def another(name: str, value: float) -> float:
    """Another value of a hyperparameter, in its range."""
    return 0.9 * value if value else 0.1


def wait_for(process: "subprocess.Popen[str]", condition: Callable[[], object]) -> None:
    for _ in range(3000):
        with contextlib.suppress(OSError):
            if condition():
                return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("it does not train")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> list[Stopped]:
    """Two runs, each in a process of its own that is stopped by a signal.

    They have the same settings and different values of every hyperparameter.
    """
    place = tmp_path_factory.mktemp("stopped")
    caches = place / "caches"
    hyperparams = [
        f"--{name.replace('_', '-')}={another(name, getattr(Config(), name))}"
        for name in vars(Config().hyperparams())
        if name != "mirror_coef"  # of Config.symmetry, which has no flag
    ]
    assert len(hyperparams) == 13
    runs = []
    for (name, number), flags in zip(SIGNALS.items(), ([], hyperparams), strict=True):
        path = place / "runs" / name
        fixed = ("--checkpoint-every=0", "--optimizer=adamw", f"--run-name={name}")
        arguments = (*ENDLESS, *fixed, *flags)
        with started(*arguments, cwd=place, XDG_CACHE_HOME=str(caches)) as process:
            wait_for(process, lambda path=path: len(rows_of(path)) > 20)
            again = (*ENDLESS, f"--output-dir={path.parent}", f"--run-name={name}")
            others = [
                run("eval", path, "--episodes=2"),
                run("resume", path),
                run("resume", path / "checkpoints"),
                run(*again),
                run(*again, "--overwrite"),
            ]
            process.send_signal(number)
            finished = finish(process)
        programs = {entry.name for entry in (caches / "rpojax" / "xla").iterdir()}
        runs.append(Stopped(path, finished, programs, process.pid, others))
    return runs


def test_other_hyperparameters_compile_nothing_anew(stopped):
    first, second = stopped
    one, other = (
        checkpoint_manager.recorded_settings(stop.path / "checkpoints") for stop in stopped
    )
    for name, values in vars(one.agents.hyperparams).items():
        changed = values != getattr(other.agents.hyperparams, name)
        assert changed.all() or name == "mirror_coef", name
    assert any("train_agents" in name for name in first.programs)
    # But for the copies of the metrics, which are as long as the run was when it was stopped.
    new = {name for name in second.programs - first.programs if not name.startswith("jit_stage-")}
    assert not new


def test_a_signal_saves_and_says_how_to_resume(stopped):
    for path, finished, *_ in stopped:
        assert finished.status == 128 + SIGNALS[path.name]
        saved = RunDirectory(path).updates_saved
        assert saved is not None
        assert saved > 10
        assert finished.err.splitlines()[-1] == (
            f"rpojax: stopped, saved up to update {saved} of {LONG // BATCH}; "
            f"resume with `rpojax resume 'runs/{path.name}'`"
        )
        assert int(rows_of(path)[-1]["updates"]) == saved
        assert "Traceback" not in finished.err
        assert not (path / "run.lock").exists()
        updates = [int(row["updates"]) for row in rows_of(path)]
        assert updates == sorted(2 * list(range(1, saved + 1))), "one row of each of two agents"


def test_one_process_at_a_time_trains_in_a_directory(stopped):
    for stop in stopped:
        reader, *writers = stop.others
        assert reader.status == 0, "readers are welcome"
        for refused in writers:
            assert f"in use by process {stop.pid}" in refused.complaint


@pytest.mark.slow
def test_two_resumes_at_once(stopped, tmp_path):
    path = Path(shutil.copytree(stopped[0].path, tmp_path / "copy"))
    before = len(rows_of(path))
    surroundings: dict[str, Any] = {"cwd": tmp_path, "XDG_CACHE_HOME": str(tmp_path / "caches")}
    with (
        started("resume", "copy", **surroundings) as one,
        started("resume", "copy", **surroundings) as two,
    ):
        while one.poll() is None and two.poll() is None:
            time.sleep(0.1)
        left, refused = (two, one) if two.poll() is None else (one, two)
        wait_for(left, lambda: len(rows_of(path)) > before)
        left.send_signal(signal.SIGHUP)
        ends = [finish(refused), finish(left)]
    assert [end.status for end in ends] == [2, 129]
    assert "in use by process" in ends[0].err
    updates = [int(row["updates"]) for row in rows_of(path)]
    assert len(updates) == 2 * len(set(updates))
    assert not any("Traceback" in end.err for end in ends)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_it_were_not(tmp_path):
    arguments = ("train", *TINY, f"--total-timesteps={128 * 400}", "--checkpoint-every=20")
    whole, killed = (tmp_path / "runs" / name for name in ("whole", "killed"))
    surroundings: dict[str, Any] = {"cwd": tmp_path, "XDG_CACHE_HOME": str(tmp_path / "caches")}
    with started(*arguments, "--run-name=whole", **surroundings) as process:
        ends = [finish(process)]
    with started(*arguments, "--run-name=killed", **surroundings) as process:
        wait_for(process, lambda: checkpoint_paths(killed / "checkpoints"))
        process.kill()
        ends.append(finish(process))
    for seconds in (0.1, 4.0, None):
        with started("resume", "runs/killed", **surroundings) as process:
            if seconds is not None:
                time.sleep(seconds)
                process.kill()
            ends.append(finish(process))
    assert (ends[0].status, ends[-1].status) == (0, 0), ends
    assert not any("Traceback" in end.err for end in ends)
    ours, theirs = (
        [{name: row[name] for name in row.keys() - {"steps_per_second"}} for row in rows_of(path)]
        for path in (killed, whole)
    )
    assert ours == theirs


@pytest.mark.slow
def test_two_trainings_without_a_name_at_once(tmp_path):
    short = ("train", *TINY, "--total-timesteps=2560")
    surroundings: dict[str, Any] = {"cwd": tmp_path, "XDG_CACHE_HOME": str(tmp_path / "caches")}
    with started(*short, **surroundings) as one, started(*short, **surroundings) as other:
        ends = [finish(one), finish(other)]
    assert [end.status for end in ends] == [0, 0], ends
    runs = list((tmp_path / "runs").iterdir())
    assert [len(rows_of(run)) for run in runs] == [2 * 20, 2 * 20]


@pytest.mark.slow
def test_a_training_goes_on_when_the_reader_of_its_output_leaves(tmp_path):
    arguments = ("train", *TINY, "--total-timesteps=2560", "--run-name=x")
    with started(*arguments, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "caches")) as process:
        process.stdout.close()
        process.stdout = None
        finished = finish(process)
    assert (finished.status, finished.err) == (0, "")
    assert len(rows_of(tmp_path / "runs" / "x")) == 2 * 20


def test_a_platform_that_is_missing_is_one_line(tmp_path):
    with started("train", cwd=tmp_path, JAX_PLATFORMS="cuda") as process:
        assert "cuda" in finish(process).complaint


def test_python_m_is_the_command_and_the_parser_imports_nothing_that_is_slow():
    program = (
        "import runpy, sys; sys.argv[1:] = ['--version']; "
        "runpy.run_module('rpojax', run_name='__main__', alter_sys=True); print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    version, loaded = printed.splitlines()
    assert version == f"rpojax {rpojax.__version__}"
    assert "rpojax.cli" in loaded.split()
    assert not {"gymnax", "matplotlib", "seaborn", "pandas", "orbax"} & set(loaded.split())
