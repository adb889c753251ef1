"""Which checkpoints are kept and which one is taken; how each is stored, see test_storage."""

import dataclasses
import shutil

import jax
import killed
import numpy as np
import pytest

from rpojax.runs import checkpoint
from rpojax.runs.checkpoint import Keeper


def made_up(updates, returns=None):
    values = None if returns is None else np.asarray(returns, np.float32)
    return killed.snapshot(updates)._replace(evaluation_return=values)


def kept(directory):
    return [int(path.name[-3:]) for path in checkpoint.checkpoint_paths(directory)]


def test_newest_and_best_are_kept(tmp_path):
    keeper = Keeper(tmp_path, killed.SETTINGS)
    for updates, score in enumerate([1.0, 5.0, 3.0, 4.0, None, 2.0, np.nan, 1.0]):
        returns = None if score is None else [score - 1.0, score + 1.0]
        keeper.save(made_up(updates, returns))
    assert kept(tmp_path) == [1, 5, 6, 7]
    assert keeper.last_saved == 7
    keeper.save(made_up(8, [5.0, 5.1]))  # the new best
    assert kept(tmp_path) == [6, 7, 8]


def test_best_of_an_earlier_process_is_known_and_kept(tmp_path):
    first = Keeper(tmp_path, killed.SETTINGS)
    for updates, score in enumerate([9.0, 1.0]):
        first.save(made_up(updates, [score, score]))
    second = Keeper(tmp_path, killed.SETTINGS, last_saved=1)
    for updates in range(2, 6):
        second.save(made_up(updates, [2.0, 2.0]))
    assert kept(tmp_path) == [0, 3, 4, 5]
    assert list(checkpoint.evaluated_paths(checkpoint.checkpoint_paths(tmp_path)).values()) == [
        9.0,
        2.0,
        2.0,
        2.0,
    ]


@pytest.mark.parametrize(
    ("every", "updates", "returns", "due"),
    [
        (4, 8, None, True),
        (4, 7, None, False),
        (0, 8, None, False),
        (4, 7, [3.0, 3.0], True),
        (4, 7, [1.0, 1.0], False),
        (4, 7, [np.nan, 9.0], False),
    ],
)
def test_due_in_its_turn_or_when_it_is_the_best(tmp_path, every, updates, returns, due):
    keeper = Keeper(tmp_path, dataclasses.replace(killed.SETTINGS, checkpoint_every=every))
    keeper.save(made_up(1, [2.0, 2.0]))
    values = None if returns is None else np.asarray(returns, np.float32)
    assert keeper.is_due(updates, values) is due


def test_record_says_what_the_run_is_and_what_wrote_it(tmp_path):
    path = checkpoint.save(tmp_path, killed.SETTINGS, made_up(3, [1.0, 2.5]))
    record = checkpoint.storage.read_record(path)
    assert record["updates"] == 3
    assert record["evaluation_return"] == [1.0, 2.5]
    assert record["settings"]["cfg"]["env"] == "Pendulum-v1"
    assert record["settings"]["num_seeds"] == 2
    assert record["versions"]["jax"] == jax.__version__
    assert {"rpojax", "flax", "optax", "orbax-checkpoint", "devices"} <= set(record["versions"])


def test_damaged_records_are_passed_by_in_the_search_for_the_best(tmp_path):
    for updates, score in enumerate([1.0, 2.0]):
        checkpoint.save(tmp_path, killed.SETTINGS, made_up(updates, [score, score]))
    paths = checkpoint.checkpoint_paths(tmp_path)
    (paths[1] / "record" / "metadata").write_text("{")
    assert checkpoint.evaluated_paths(paths) == {paths[0]: 1.0}


def test_nothing_was_evaluated_is_an_error(tmp_path):
    checkpoint.save(tmp_path, killed.SETTINGS, made_up(0))
    with pytest.raises(
        ValueError, match=r"no checkpoint in .* was evaluated; train with eval_every"
    ):
        checkpoint.load(tmp_path, best=True)


def test_only_whole_checkpoints_are_listed_oldest_first(tmp_path):
    names = ["update_000000010", "update_000000002", "update_000000003.damaged", "update_4", "x"]
    for name in names:
        (tmp_path / name).mkdir()
    found = [path.name for path in checkpoint.checkpoint_paths(tmp_path)]
    assert found == ["update_000000002", "update_000000010"]
    assert checkpoint.checkpoint_paths(tmp_path / "missing") == []


def test_newer_ones_than_the_one_taken_are_set_aside_for_good(tmp_path):
    found = None
    for _ in range(2):
        for updates in (1, 2):
            checkpoint.save(tmp_path, killed.SETTINGS, made_up(updates))
        path = checkpoint.checkpoint_paths(tmp_path)[0]
        found = checkpoint.Checkpoint(path, killed.SETTINGS, made_up(1), {})
        checkpoint.set_newer_aside(found)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [
            "update_000000001",
            "update_000000002.damaged",
        ]
    shutil.rmtree(found.path)
    assert checkpoint.checkpoint_paths(tmp_path) == []
