"""Which checkpoints are kept and which one is read; how each is stored, see test_storage."""

import dataclasses
import shutil

import jax
import killed
import pytest

from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs.checkpoint import Checkpoint
from rpojax.runs.checkpoint_manager import CheckpointWriter, checkpoint_directory


def kept(directory):
    return [int(path.name[-3:]) for path in checkpoint_manager.checkpoint_paths(directory)]


def test_newest_are_kept(tmp_path):
    writer = CheckpointWriter(tmp_path, killed.ENV)
    for updates in range(6):
        writer.save(killed.made_up(updates))
        assert writer.last_saved == updates
        assert kept(tmp_path) == list(range(max(0, updates - 2), updates + 1))


@pytest.mark.parametrize(("every", "updates", "due"), [(4, 8, True), (4, 7, False), (0, 8, False)])
def test_due_in_its_turn(tmp_path, every, updates, due):
    settings = dataclasses.replace(killed.SETTINGS, checkpoint_every=every)
    CheckpointWriter(tmp_path, killed.ENV).save_if_due(killed.made_up(updates, settings))
    assert kept(tmp_path) == [updates] * due


def test_record_says_what_the_run_is_and_what_wrote_it(tmp_path):
    path = checkpoint.save(tmp_path, killed.ENV, killed.made_up(3))
    record = checkpoint.storage.opened(path).record
    assert record["updates"] == 3
    assert record["evaluated"] is True
    assert record["settings"]["cfg"]["env"] == "Pendulum-v1"
    assert record["settings"]["seeds"] == [0, 1]
    assert record["settings"]["hyperparams"]["alpha"] == [0.5, 0.5]
    assert record["versions"]["jax"] == jax.__version__
    assert {"rpojax", "flax", "optax", "orbax-checkpoint", "devices"} <= set(record["versions"])


def test_settings_are_read_past_a_damaged_record(tmp_path):
    for updates, every in ((1, 5), (2, 7)):
        settings = dataclasses.replace(killed.SETTINGS, eval_every=every)
        checkpoint.save(tmp_path, killed.ENV, killed.made_up(updates, settings))
    assert checkpoint_manager.recorded_settings(tmp_path).eval_every == 7
    (checkpoint_manager.checkpoint_paths(tmp_path)[1] / "record/metadata").write_text("{")
    with pytest.warns(RuntimeWarning, match=r"update_000000002 is damaged.*trying the one before"):
        assert checkpoint_manager.recorded_settings(tmp_path).eval_every == 5


def test_only_complete_checkpoints_are_listed_oldest_first(tmp_path):
    names = ["update_000000010", "update_000000002", "update_000000003.damaged", "update_4", "x"]
    for name in names:
        (tmp_path / name).mkdir()
    found = [path.name for path in checkpoint_manager.checkpoint_paths(tmp_path)]
    assert found == ["update_000000002", "update_000000010"]
    assert checkpoint_manager.checkpoint_paths(tmp_path / "missing") == []


def test_a_run_directory_stands_for_the_checkpoints_in_it(tmp_path):
    inner = tmp_path / "checkpoints"
    assert checkpoint_directory(tmp_path) == tmp_path
    (inner / "update_000000001").mkdir(parents=True)
    assert checkpoint_directory(tmp_path) == checkpoint_directory(inner) == inner


def test_newer_ones_than_the_one_read_are_set_aside_for_good(tmp_path):
    found = None
    for _ in range(2):
        for updates in (1, 2):
            checkpoint.save(tmp_path, killed.ENV, killed.made_up(updates))
        path = checkpoint_manager.checkpoint_paths(tmp_path)[0]
        found = Checkpoint(path, None, killed.made_up(1), {})
        checkpoint_manager.set_newer_aside(found)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [
            "update_000000001",
            "update_000000002.damaged",
        ]
    shutil.rmtree(found.path)
    assert checkpoint_manager.checkpoint_paths(tmp_path) == []


def test_reader_lists_again_when_a_checkpoint_is_removed_meanwhile(tmp_path, monkeypatch):
    """As a training process does with the oldest, while another process reads."""
    checkpoint.save(tmp_path, killed.ENV, killed.made_up(1))

    def read(path, cfg):
        if path.name.endswith("1"):
            checkpoint.save(tmp_path, killed.ENV, killed.made_up(2))
            shutil.rmtree(path)
            raise checkpoint.storage.DamagedCheckpointError(f"{path} is damaged")
        return path.name

    monkeypatch.setattr(checkpoint_manager, "read", read)
    assert checkpoint_manager.newest(tmp_path) == "update_000000002"


def test_the_directory_of_a_run_of_the_command_is_not_taken_for_another(tmp_path):
    (tmp_path / "checkpoints" / "update_000000003").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"directory of a run of `rpojax train`; resume it"):
            checkpoint_manager.require_free(tmp_path, overwrite)
    checkpoint_manager.require_free(tmp_path / "checkpoints", overwrite=True)
