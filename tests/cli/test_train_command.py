"""`rpojax train` and `rpojax resume`."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from commands import BATCH, TINY, TRAIN, UPDATES, parsed, returns_in, rows_of, run

import rpojax
from rpojax import Config, RunOptions, loggers
from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs.progress_bar import ProgressBar

pytestmark = pytest.mark.usefixtures("programs_shared")


def test_train_prints_one_json_object_and_the_rest_on_stderr(trained):
    report = trained.finished.report
    assert report["run_directory"] == str(trained.path)
    assert (report["env"], report["episodes"]) == ("Pendulum-v1", 128)
    assert [agent["seed"] for agent in report["agents"]] == [0, 1]
    assert all(agent["finite"] for agent in report["agents"])
    assert all(-2000.0 < value < 0.0 for value in returns_in(report))
    (group,) = report["groups"]
    assert group["mean"] == pytest.approx(np.mean(returns_in(report)))
    assert group["std"] == pytest.approx(np.std(returns_in(report)))
    assert report["steps"] == 2 * UPDATES * BATCH
    assert report["steps_per_second"] == pytest.approx(report["steps"] / report["seconds"])
    assert report["setup_seconds"] > 0
    assert report["compile_seconds"] > 0
    told = trained.finished.err
    assert "4,000 steps are not whole updates of 128; each agent trains for 3,968" in told
    for text in ("end of training", "128 evaluation", "2 of 2", " ± ", "steps/s", "compiled in"):
        assert text in told


def test_train_leaves_its_files_in_the_run_directory(trained):
    files = trained.finished.report["files"]
    names = {
        "settings.yaml", "checkpoints", "metrics.csv", "learning_curve.png", "tensorboard",
    }  # fmt: skip
    assert {Path(path).name for path in files.values()} == names
    assert {path.name for path in trained.path.iterdir()} == names
    assert {Path(path).parent for path in files.values()} == {trained.path}

    rows = rows_of(trained.path)
    settings = checkpoint_manager.recorded_settings(trained.path / "checkpoints")
    assert tuple(rows[0]) == loggers.columns(settings.agents)
    for seed in ("0", "1"):
        of_seed = [row for row in rows if row["seed"] == seed]
        assert [int(row["steps"]) for row in of_seed] == [BATCH * (n + 1) for n in range(UPDATES)]
        assert [row["episode_count"] for row in of_seed].count("8.0") == 2  # 496 steps, 200 each
        evaluated = [int(row["updates"]) for row in of_seed if row["evaluation_return"]]
        assert evaluated == [10, 20, 30, 31]
    pixels = matplotlib.image.imread(trained.path / "learning_curve.png")
    assert pixels.shape[:2] == (600, 1050)
    assert pixels.std() > 0.05
    assert list((trained.path / "tensorboard" / "seed=1").glob(loggers.charts.EVENT_FILES))
    saved = [
        path.name for path in checkpoint_manager.checkpoint_paths(trained.path / "checkpoints")
    ]
    assert saved[-3:] == ["update_000000027", "update_000000030", "update_000000031"]


def test_settings_of_a_run_start_it_again(trained):
    path = trained.path / "settings.yaml"
    again = parsed(f"--config={path}")
    recorded = checkpoint_manager.recorded_settings(trained.path / "checkpoints")
    assert again.config.to_config() == recorded.cfg
    assert tuple(range(again.seed, again.seed + again.num_seeds)) == recorded.agents.seeds
    changed = parsed(f"--config={path}", "--alpha=0.25", "--num-seeds=7")
    assert changed.config.to_config() == recorded.cfg.replace(alpha=0.25)
    assert changed.num_seeds == 7


def test_resume_of_a_finished_run_reports_it_again(trained, tmp_path):
    path = trained.copy(tmp_path)
    (path / "learning_curve.png").unlink()
    finished = run("resume", path)
    assert (finished.status, finished.err) == (0, "")
    assert "nothing was left to train" in finished.out
    assert "2 of 2" in finished.out
    names = (
        "settings.yaml", "checkpoints", "metrics.csv", "tensorboard", "learning_curve.png",
    )  # fmt: skip
    files = [str(path / name) for name in names]
    assert finished.out.splitlines()[-5:] == files
    assert all(Path(file).exists() for file in files)


def test_resume_writes_the_rows_again_that_the_logs_lack(trained, tmp_path):
    path = trained.copy(tmp_path)
    whole = (path / "metrics.csv").read_bytes()
    lines = whole.splitlines(keepends=True)
    (path / "metrics.csv").write_bytes(b"".join(lines[:9] + lines[12:-3]))
    (events,) = (path / "tensorboard" / "seed=1").iterdir()
    events.unlink()
    finished = run("resume", path)
    assert finished.status == 0
    assert "CSVLogger lacked 4 of 31 records, which are written now" in finished.err
    assert "TensorBoardLogger lacked 31 of 31 records" in finished.err
    assert (path / "metrics.csv").read_bytes() == whole
    (path / "metrics.csv").unlink()
    assert "lacked 31 of 31" in run("resume", path).err
    assert (path / "metrics.csv").read_bytes() == whole


@pytest.mark.slow
def test_links_and_pipes_in_place_of_files_are_replaced_or_refused(trained, tmp_path):
    path = trained.copy(tmp_path)
    (tmp_path / "mine").write_text("mine")
    for name in ("settings.yaml", "learning_curve.png"):
        (path / name).unlink()
        (path / name).symlink_to(tmp_path / "mine")
    os.mkfifo(path / "run.lock")
    assert run("resume", path).status == 0
    os.mkfifo(path / "policy_0.npz")
    (path / "policy_0.npz.json").symlink_to(tmp_path / "mine")
    os.mkfifo(path / "policy_0.py")
    assert "policy_0.py' is not a regular file" in run("export", path, "--format=numpy").complaint
    (path / "policy_0.py").unlink()
    assert run("export", path, "--format=numpy").status == 0
    assert (tmp_path / "mine").read_text() == "mine"
    assert not any(each.is_symlink() for each in path.iterdir())
    os.mkfifo(path / "wandb.json")
    assert "wandb.json' is not" in run("resume", path).complaint
    (path / "wandb.json").unlink()
    (path / "metrics.csv").unlink()
    os.mkfifo(path / "metrics.csv")
    assert "metrics.csv' is not a regular file; remove it" in run("resume", path).err
    assert "is not a regular file" in run("plot", path).complaint
    (path / "settings.yaml").unlink()
    (path / "settings.yaml").symlink_to("/dev/zero")
    again = run("train", f"--config={path / 'settings.yaml'}", f"--output-dir={tmp_path}")
    assert "is not a regular file" in again.complaint
    (path / "metrics.csv").unlink()
    (path / "tensorboard" / "seed=9").symlink_to(tmp_path)
    assert "seed=9' is a link; remove it" in run("resume", path).complaint


def test_one_command_starts_resumes_and_says_that_all_is_done(trained, tmp_path):
    path = trained.copy(tmp_path)
    repeated = (*TRAIN, f"--output-dir={tmp_path}", "--run-name=copy", "--resume-or-start")
    checkpoints = sorted(path.rglob("update_*"))
    finished = run(*repeated)
    assert finished.status == 0
    assert "nothing was left to train" in finished.out
    assert sorted(path.rglob("update_*")) == checkpoints
    assert "alpha = 0.25 where the run has 0.5" in run(*repeated, "--alpha=0.25").complaint
    assert "has a run with the seeds [0, 1]" in run(*repeated, "--seed=3").complaint
    assert "give one" in run(*repeated, "--overwrite").complaint
    assert "needs the --run-name" in run(*TRAIN, "--resume-or-start").complaint
    later = run(*repeated, "--total-timesteps=4200", "--json").report
    assert later["steps"] == 2 * 32 * BATCH


@pytest.mark.slow
def test_resume_to_a_later_end_is_a_run_of_that_length(trained, tmp_path):
    path = trained.copy(tmp_path)
    resumed = run("resume", path, "--total-timesteps=5000", "--json").report
    straight = run(
        *TRAIN, "--total-timesteps=5000", f"--output-dir={tmp_path}", "--run-name=x", "--json"
    ).report
    for name in ("agents", "groups", "steps"):
        assert resumed[name] == straight[name], name
    assert (path / "settings.yaml").read_text() == (tmp_path / "x" / "settings.yaml").read_text()
    timed = {"steps_per_second", "evaluation_return"}  # the end of the first run was evaluated
    ours, theirs = (
        [{name: row[name] for name in row.keys() - timed} for row in rows_of(place)]
        for place in (path, tmp_path / "x")
    )
    assert ours == theirs
    events = sorted((path / "tensorboard").glob(loggers.charts.EVENT_FILES))
    assert len(events) == 2, "the resumed run continues in TensorBoard"


def test_existing_run_directory_is_refused_with_the_remedy(trained):
    before = sorted(trained.path.rglob("*"))
    again = run(*TRAIN, f"--output-dir={trained.path.parent}", "--run-name=tiny")
    assert "exists already; resume it with `rpojax resume" in again.complaint
    assert "--overwrite" in again.complaint
    assert sorted(trained.path.rglob("*")) == before


@pytest.mark.slow
def test_overwrite_replaces_the_run_and_leaves_other_files(trained, tmp_path):
    path = trained.copy(tmp_path)
    (path / "notes.txt").write_text("mine")
    arguments = (*TRAIN, f"--output-dir={tmp_path}", "--run-name=copy", "--overwrite")

    saved = sorted(path.rglob("*"))
    assert "num_seeds = 0" in run(*arguments, "--num-seeds=0").complaint
    assert "unknown environment" in run(*arguments, "--env=Pendlum").complaint
    assert sorted(path.rglob("*")) == saved, "a run that cannot start removes nothing"

    report = run(*arguments, "--seed=1", "--json").report
    assert returns_in(report) != returns_in(trained.finished.report)
    assert (path / "notes.txt").read_text() == "mine"
    assert not (path / "tensorboard").exists()
    assert len(rows_of(path)) == 2 * UPDATES


def test_a_disk_that_is_full_from_the_start_leaves_no_directory(tmp_path, monkeypatch):
    def write(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(f"checkpoint {path} could not be written: No space left on device")

    monkeypatch.setattr(checkpoint.storage, "write", write)
    finished = run(*TRAIN, f"--output-dir={tmp_path}", "--run-name=x")
    assert finished.complaint.endswith("No space left on device")
    assert not (tmp_path / "x").exists()


def test_a_disk_that_is_full_at_the_end_costs_the_picture_alone(trained, tmp_path, monkeypatch):
    path = trained.copy(tmp_path)

    def draw(cfg: Config, metrics: rpojax.Metrics, place: Path, **_: Any) -> None:
        raise OSError(f"{str(place)!r} could not be written: No space left on device")

    monkeypatch.setattr("rpojax.cli.training.plot_learning_curves", draw)
    finished = run("resume", path, "--json")
    assert finished.status == 2
    assert json.loads(finished.out)["agents"] == trained.finished.report["agents"]
    line = finished.err.splitlines()[-1]
    assert line.startswith("rpojax: ")
    assert "learning_curve.png" in line


@pytest.mark.slow
def test_last_agents_that_cannot_be_saved_end_the_command_with_an_error(tmp_path, monkeypatch):
    save = checkpoint_manager.save

    def save_until_full(directory, env, run):
        if run.updates > 2:
            raise OSError("No space left on device")
        return save(directory, env, run)

    monkeypatch.setattr(checkpoint_manager, "save", save_until_full)
    arguments = (*TINY, "--total-timesteps=384", "--checkpoint-every=2", "--run-name=full")
    finished = run("train", *arguments, f"--output-dir={tmp_path}")
    assert finished.status == 2
    assert "metrics.csv" in finished.out
    assert finished.err.splitlines()[-1].startswith(
        f"rpojax: the agents after update 3 could not be saved, and '{tmp_path / 'full'}' holds "
        "those after update 2; make room, and train the rest again with `rpojax resume "
    )


def test_without_a_name_the_directory_tells_environment_and_time(tmp_path):
    command = parsed(f"--output-dir={tmp_path}", "--env=MountainCarContinuous-v0")
    made = [command._run_directory(command.config.to_config()).path for _ in range(3)]
    assert len(set(made)) == 3, "also within a second"
    for path in made:
        assert path.parent == tmp_path
        assert re.fullmatch(r"MountainCarContinuous-v0_\d{8}-\d{6}(-\d+)?", path.name)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "."])
def test_a_run_name_does_not_leave_the_output_directory(name, tmp_path):
    finished = run(*TRAIN, f"--output-dir={tmp_path}/runs", f"--run-name={name}")
    assert f"run_name = {name!r} is not the name of a directory" in finished.complaint
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_told_of_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    finished = run(*TRAIN, f"--output-dir={tmp_path}", "--run-name=x", "--tensorboard")
    assert "pip install 'rpojax[tensorboard]'" in finished.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_max_seconds_ends_a_run_that_can_be_resumed(tmp_path):
    place = tmp_path / f"a directory [bold] of {'long ' * 20}names"  # wider than the terminal
    arguments = (f"--output-dir={place}", "--run-name=x", "--max-seconds=1", "--json")
    finished = run("train", *TINY, "--total-timesteps=1e8", "--checkpoint-every=5", *arguments)
    assert finished.report["steps"] < 2 * 10**8
    assert f"resume with `rpojax resume '{place}/x'`" in finished.err
    assert Path(finished.report["files"]["learning_curve"]).exists()
    assert parsed(f"--config={place}/x/settings.yaml").run == RunOptions(
        checkpoint_every=5, max_seconds=1.0
    )


def test_a_run_is_resumed_with_other_options(trained, tmp_path):
    path = trained.copy(tmp_path)
    flags = ("--total-timesteps=1e8", "--max-seconds=0", "--eval-every=7", "--eval-episodes=2")
    steps = run("resume", path, *flags, "--json").report["steps"]
    assert 2 * UPDATES * BATCH < steps < 2 * 10**8
    recorded = checkpoint_manager.recorded_settings(path / "checkpoints")
    assert (recorded.eval_every, recorded.eval_episodes, recorded.log_every) == (7, 2, 1)
    assert recorded.max_seconds is None
    again = parsed(f"--config={path}/settings.yaml", "--eval-every=8").run
    assert again == RunOptions(eval_every=8, eval_episodes=2, max_seconds=0.0)


@pytest.mark.slow
def test_a_run_stops_at_a_return_and_another_starts_from_its_agents(trained, tmp_path):
    arguments = (*TRAIN, f"--output-dir={tmp_path}", "--run-name=x")
    flags = (f"--initial={trained.path}", "--learning-rate=1e-12", "--stop-when-return=-1e6")
    assert run(*arguments, "--json", *flags).report["steps"] == 2 * 10 * BATCH
    ours, theirs = rpojax.load(tmp_path / "x"), rpojax.load(trained.path)
    for agent in (0, 1):
        kernels = [each.state(agent).params["mean"]["kernel"] for each in (ours, theirs)]
        np.testing.assert_allclose(*kernels, atol=1e-6)
    arguments = (*TRAIN, f"--output-dir={tmp_path}", "--run-name=y")
    assert "initial holds agents of shape (2,), and the run has 3" in (
        run(*arguments, "--num-seeds=3", f"--initial={trained.path}").complaint
    )
    assert "'nowhere' is not a directory" in run(*arguments, "--initial=nowhere").complaint
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.slow
def test_every_agent_diverged(tmp_path):
    finished = run(*TRAIN, "--learning-rate=1e30", "--json", f"--output-dir={tmp_path}")
    assert finished.status == 3, finished.err
    assert finished.err.splitlines()[-1] == "rpojax: every agent diverged"
    report = json.loads(finished.out)
    assert [agent["diverged_at"] for agent in report["agents"]] == [1, 1]
    assert [group["mean"] for group in report["groups"]] == [None]


def test_directory_that_vanished_is_reported(tmp_path, monkeypatch):
    def vanish(bar: ProgressBar, progress: rpojax.Progress) -> None:
        if progress.updates and not (tmp_path / "elsewhere").exists():
            (tmp_path / "x").rename(tmp_path / "elsewhere")
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "show", vanish)
    finished = run(*TRAIN, "--checkpoint-every=0", f"--output-dir={tmp_path}", "--run-name=x")
    assert finished.status == 130
    assert f"{tmp_path}/x" in finished.err
    assert "was removed while the run trained" in finished.err
    assert "nothing was saved" in finished.err.splitlines()[-1]
