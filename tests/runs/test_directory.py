"""The directory of a run: what is where, and what a file in it may say."""

import json
from pathlib import Path

import pytest

from rpojax.loggers import CSVLogger
from rpojax.runs import directory as directories
from rpojax.runs.directory import RunDirectory
from rpojax.runs.settings import RunSettings
from rpojax.settings.agent_table import agent_table
from rpojax.settings.config import Config
from rpojax.settings.run_options import RunOptions


@pytest.fixture
def made(monkeypatch):
    """The arguments of each WandbLogger that is made."""
    arguments = []
    monkeypatch.setattr(directories, "WandbLogger", lambda **given: arguments.append(given))
    return arguments


def test_names_are_reserved_once(tmp_path):
    paths = [RunDirectory.reserve(tmp_path / "runs", "x").path for _ in range(3)]
    assert [path.name for path in paths] == ["x", "x-2", "x-3"]
    assert all(path.is_dir() for path in paths)


def test_wandb_arguments_come_back(tmp_path, made):
    directory = RunDirectory(tmp_path)
    directory.loggers(tensorboard=False, wandb="walks")
    directory.loggers_again()
    assert made[0] == made[1]
    assert {path.name for path in tmp_path.iterdir()} == {"wandb.json"}
    directory.loggers_again(wandb="runs")
    assert made[2] == made[1] | {"project": "runs"}


@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"user": "another"}, None])
def test_a_run_of_another_origin_is_sent_to_wandb_only_if_that_is_asked_for(
    tmp_path, made, changed
):
    directory = RunDirectory(tmp_path)
    directory.loggers(tensorboard=False, wandb="walks")
    recorded = json.loads(directory.wandb.read_text())
    if changed is None:  # a directory of an older version
        recorded = {name: recorded[name] for name in ("project", "name", "id")}
    directory.wandb.write_text(json.dumps(recorded | (changed or {})))
    with pytest.warns(RuntimeWarning, match="or on another host, .* give --wandb walks to send it"):
        assert directory.loggers_again() == []
    assert len(made) == 1
    assert len(directory.loggers_again(wandb="walks")) == 1
    assert made[1] == made[0]
    assert len(directory.loggers_again()) == 1, "it is ours from there on"


def test_a_run_without_logs_is_resumed_without_logs(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.loggers_again() == []
    run.metrics_csv.touch()
    assert [type(logger) for logger in run.loggers_again()] == [CSVLogger]


GOOD = {"project": "p", "name": "n", "id": "i"}


@pytest.mark.parametrize(
    "content",
    [
        GOOD | {"base_url": "http://elsewhere.example"},
        GOOD | {"mode": "offline"},
        GOOD | {"project": ["p"]},
        {"project": "p", "name": "n"},
        ["project", "name", "id"],
        None,
        "[" * 100_000,
    ],
    ids=["address", "mode", "not text", "too few", "list", "null", "nested"],
)
def test_foreign_wandb_file_is_refused_and_starts_no_logger(tmp_path, made, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "wandb.json").write_text(text)
    with pytest.raises(ValueError, match=r"is not the file that `rpojax train --wandb` writes"):
        RunDirectory(tmp_path).loggers_again()
    assert not made


def test_failed_start_restores_the_old_run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    (directory.checkpoints / "update_000000003").mkdir(parents=True)
    directory.metrics_csv.write_text("old")
    (directory.path / "notes.txt").write_text("mine")
    before = sorted(directory.path.rglob("*"))

    def start_and_fail():
        with directory.made():
            assert not directory.metrics_csv.exists()
            directory.metrics_csv.write_text("new")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        start_and_fail()
    assert sorted(directory.path.rglob("*")) == before
    assert directory.metrics_csv.read_text() == "old"


def test_started_run_replaces_the_old_one(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    (directory.checkpoints / "update_000000003").mkdir(parents=True)
    directory.metrics_csv.write_text("old")
    (directory.path / "notes.txt").write_text("mine")
    with directory.made():
        (directory.checkpoints / "update_000000000").mkdir(parents=True)
    names = {path.relative_to(directory.path).as_posix() for path in directory.path.rglob("*")}
    assert names == {"notes.txt", "checkpoints", "checkpoints/update_000000000"}


def test_settings_are_written_as_config_reads_them(tmp_path):
    import yaml

    cfg = Config(alpha=0.3, env_params={"g": 1.62})
    agents, options = agent_table(cfg.hyperparams(), num_seeds=3, seed=5), RunOptions(eval_every=4)
    directory = RunDirectory(tmp_path)
    directory.write_settings(RunSettings(cfg=cfg, agents=agents, **vars(options)))
    plain = yaml.safe_load(directory.settings.read_text())
    assert (plain.pop("num_seeds"), plain.pop("seed")) == (3, 5)
    assert RunOptions(**{name: plain.pop(name) for name in vars(options)}) == options
    assert Config.from_dict(plain) == cfg


@pytest.fixture
def old_run(tmp_path):
    """A run with a checkpoint, a log and a file of the user's."""
    directory = RunDirectory(tmp_path / "run")
    (directory.checkpoints / "update_000000003").mkdir(parents=True)
    directory.metrics_csv.write_text("old")
    (directory.path / "notes.txt").write_text("mine")
    return directory


def files_in(path):
    return {each.relative_to(path).as_posix() for each in path.rglob("*")}


class Killed(BaseException):
    pass


KILLED = []


def start_and_be_killed(directory, change):
    """What is left of a process that changes the directory of a new run and is killed."""
    start = directory.made()
    start.__enter__()
    KILLED.append(start)  # never left
    change(directory)


def test_a_killed_start_leaves_the_old_run_to_the_next_command(old_run):
    before = files_in(old_run.path)
    start_and_be_killed(old_run, lambda run: run.metrics_csv.write_text("new"))
    with pytest.raises(ValueError, match=r"was killed before it had saved; `rpojax resume .*back"):
        old_run.require_run()
    with old_run.locked(), pytest.raises(ValueError, match="exists already; resume it"):
        old_run.require_free(overwrite=False)
    assert files_in(old_run.path) == before
    assert old_run.metrics_csv.read_text() == "old"
    with old_run.made():  # another start, after the killed one
        (old_run.checkpoints / "update_000000000").mkdir(parents=True)
    assert files_in(old_run.path) == {"notes.txt", "checkpoints", "checkpoints/update_000000000"}


def test_a_run_that_was_killed_after_it_had_saved_keeps_its_files(old_run):
    def save(run):
        (run.checkpoints / "update_000000007").mkdir(parents=True)
        run.metrics_csv.write_text("new")

    start_and_be_killed(old_run, save)
    old_run.recover()
    assert (old_run.updates_saved, old_run.metrics_csv.read_text()) == (7, "new")
    assert not any(name.startswith(".previous") for name in files_in(old_run.path))


@pytest.mark.parametrize("moves", [1, 2])
def test_a_kill_between_two_moves_loses_nothing(old_run, monkeypatch, moves):
    before, rename = files_in(old_run.path), Path.rename
    done = []

    def killed_rename(self, target):
        if len(done) == moves:
            raise Killed
        done.append(self)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed_rename)
        with pytest.raises(Killed), old_run.made():
            pass
    old_run.recover()
    assert files_in(old_run.path) == before


def test_a_start_that_was_killed_before_it_had_saved_leaves_nothing_in_the_way(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    (directory.path / "settings.txt").write_text("mine")

    def begin(run):
        run.settings.write_text("new")
        (run.checkpoints / "update_000000000.draft.orbax-checkpoint-tmp").mkdir(parents=True)
        (run.path / ".settings.17.draft.yaml").touch()
        (run.path / "run.lock.0123abcd").touch()  # of older versions

    start_and_be_killed(directory, begin)
    with pytest.raises(ValueError, match="was killed before it had saved; start it again with the"):
        directory.require_run()
    with directory.locked():
        pass
    assert files_in(directory.path) == {"settings.txt"}


def test_there_is_nothing_to_recover_without_a_directory(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(ValueError, match="is not a directory; give the directory of a run"):
            RunDirectory(path).require_run()


def test_a_failed_start_restores_a_run_of_fit(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    (directory.path / "update_000000003").mkdir(parents=True)
    directory.metrics_csv.write_text("old")
    before = files_in(directory.path)

    def start_and_fail():
        with directory.made():
            assert directory.updates_saved is None
            assert directory.checkpoints.name == "checkpoints"
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        start_and_fail()
    assert files_in(directory.path) == before
