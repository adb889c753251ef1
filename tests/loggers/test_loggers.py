"""What each logger writes is read back, by the programs that are meant to read it."""

import csv
import dataclasses
import io
import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import numpy as np
import pytest

from rpojax import Config, Metrics
from rpojax.loggers import (
    COLUMNS,
    TAGS,
    ConsoleLogger,
    CSVLogger,
    JSONLinesLogger,
    LogRecord,
    TensorBoardLogger,
    WandbLogger,
)

CFG = Config(total_timesteps=10 * 1024, num_envs=8, num_steps=128)
METRICS = [field.name for field in dataclasses.fields(Metrics)]
FILES = [(CSVLogger, "log.csv"), (JSONLinesLogger, "log.jsonl")]


def record(updates: int, num_seeds: int = 3, evaluated: bool = False, **given) -> LogRecord:
    """Every metric of every seed has a value of its own: 100 * metric + 10 * seed + updates / 8."""
    seeds = 10.0 * np.arange(num_seeds) + updates / 8
    values = {name: (100.0 * i + seeds).astype(np.float32) for i, name in enumerate(METRICS)}
    values |= {name: np.float32(value) for name, value in given.items()}
    return LogRecord(
        updates=updates,
        steps=updates * CFG.batch_size,
        metrics=Metrics(**values),
        steps_per_second=1234.5,
        evaluation_return=np.float32(-seeds) if evaluated else None,
    )


def log(logger, records, updates: int = 0, cfg: Config = CFG) -> None:
    logger.start(cfg, len(records[0].metrics.kl), updates)
    for each in records:
        logger.log(each)
    logger.close()


def read(path: Path) -> list[dict[str, float | None]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                {name: float(text) if text else None for name, text in row.items()}
                for row in csv.DictReader(file)
            ]

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_every_metric_has_a_name_of_its_own_and_a_family():
    assert set(TAGS) == {*METRICS, "steps_per_second", "evaluation_return"}
    assert len(set(TAGS.values())) == len(TAGS)
    assert all(tag.count(" / ") == 1 for tag in TAGS.values())


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_file_holds_a_row_for_each_seed_and_record(make, name, tmp_path):
    path = tmp_path / "made" / name
    log(make(path), [record(2), record(4, evaluated=True)])
    rows = read(path)
    assert all(tuple(row) == COLUMNS for row in rows)
    assert [(row["seed"], row["updates"]) for row in rows] == [
        (0, 2), (1, 2), (2, 2), (0, 4), (1, 4), (2, 4)
    ]  # fmt: skip
    assert [row["steps"] for row in rows] == 3 * [2048] + 3 * [4096]
    for row in rows:
        offset = 10 * row["seed"] + row["updates"] / 8
        assert [row[name] for name in METRICS] == [100 * i + offset for i in range(len(METRICS))]
        assert row["steps_per_second"] == 1234.5
        assert row["evaluation_return"] == (None if row["updates"] == 2 else -offset)


@pytest.mark.parametrize(("make", "name"), FILES)
def test_what_is_not_a_number_is_left_empty(make, name, tmp_path):
    nan, inf = math.nan, math.inf
    path = tmp_path / name
    log(make(path), [record(1, episode_return=[nan, -1.5, 0.1], grad_norm=[inf, 1.0, 2.0])])
    rows = read(path)
    assert [row["episode_return"] for row in rows] == [None, -1.5, 0.1]  # 0.1, not 0.10000000149
    assert rows[0]["grad_norm"] == (inf if name.endswith("csv") else None)


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_killed_process_leaves_every_record_in_the_file(make, name, tmp_path):
    path = tmp_path / name
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_loggers import CFG, record
from rpojax.loggers import {make.__name__}
logger = {make.__name__}({str(path)!r})
logger.start(CFG, 3, 0)
logger.log(record(1))
logger.log(record(2))
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", program], timeout=120)
    assert run.returncode == -9
    assert [row["updates"] for row in read(path)] == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("make", "name"), FILES)
@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_resumed_run_goes_on_where_it_stands_and_doubles_no_row(make, name, torn, tmp_path):
    path = tmp_path / name
    log(make(path), [record(updates) for updates in (2, 4, 6, 8)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - torn])  # as a kill may leave it
    log(make(path), [record(updates) for updates in (6, 8, 10)], updates=5)
    rows = read(path)
    assert [row["updates"] for row in rows] == [u for u in (2, 4, 6, 8, 10) for _ in range(3)]
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_resumed_run_without_its_file_makes_one(make, name, tmp_path):
    log(make(tmp_path / name), [record(6)], updates=5)
    assert [row["updates"] for row in read(tmp_path / name)] == [6, 6, 6]


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_file_of_another_run_or_another_kind_is_left_alone(make, name, tmp_path):
    path = tmp_path / name
    log(make(path), [record(1)])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"{name}' exists already; give another path, or remove"):
        make(path).start(CFG, 3, 0)
    assert path.read_bytes() == before
    for foreign in ("to be kept\n", '{"update": 1}\n', "seed,updates\n0,1\n", "[]\n"):
        path.write_text(foreign)
        with pytest.raises(ValueError, match=f"not a file that this version's {make.__name__}"):
            make(path).start(CFG, 3, 5)
        assert path.read_text() == foreign


def test_a_file_logger_is_started_first_and_may_be_closed_twice(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv")
    logger.close()
    with pytest.raises(ValueError, match="call start before log"):
        logger.log(record(1))


def test_console_prints_a_line_for_each_record(capsys):
    nan = math.nan
    few = record(1, episode_return=[nan, -10.0, -30.0], kl=[0.01, 0.02, 0.03])
    log(ConsoleLogger(), [few, record(10, evaluated=True)])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(" 1,024 of 10,240 steps   return -20.0 ± 10.0   ")
    assert "kl 0.0200 ± 0.0082" in first
    assert first.endswith("1,234 steps/s")
    assert second.startswith("10,240 of 10,240 steps")
    assert second.endswith("evaluation -11.2 ± 8.2")

    elsewhere = io.StringIO()
    log(ConsoleLogger(elsewhere), [record(1, num_seeds=1, episode_return=[nan])])
    assert "return nan   " in elsewhere.getvalue()
    assert "±" not in elsewhere.getvalue()
    assert not capsys.readouterr().out


def scalars_of(directory: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of one run: values by step, for each tag."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    run = event_accumulator.EventAccumulator(str(directory)).Reload()
    return {
        tag: {event.step: event.value for event in run.Scalars(tag)}
        for tag in run.Tags()["scalars"]
    }


def test_tensorboard_shows_the_mean_and_each_seed_as_a_run(tmp_path):
    records = [record(2, episode_return=[math.nan, 1.0, 3.0]), record(4, evaluated=True)]
    log(TensorBoardLogger(tmp_path), records)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "seed_0", "seed_1", "seed_2"
    ]  # fmt: skip
    mean = scalars_of(tmp_path)
    assert set(mean) == set(TAGS.values())
    assert mean["Reward / Total reward (mean)"] == {2048: 2.0, 4096: 10.5}
    assert mean["Loss / Policy loss"] == {2048: 310.25, 4096: 310.5}
    assert mean["Evaluation / Total reward (mean)"] == {4096: -10.5}
    assert mean["Stats / Steps per second"] == {2048: 1234.5, 4096: 1234.5}
    seed = scalars_of(tmp_path / "seed_0")
    assert set(seed) == set(TAGS.values()) - {TAGS["steps_per_second"]}
    assert seed["Reward / Total reward (mean)"] == {4096: 0.5}
    assert seed["Policy / Standard deviation"] == {2048: 1200.25, 4096: 1200.5}


def test_one_seed_is_one_run_for_tensorboard(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(1, num_seeds=1)])
    assert [path.is_file() for path in tmp_path.iterdir()] == [True]
    assert scalars_of(tmp_path)["Loss / Value loss"] == {1024: 400.125}


def test_tensorboard_forgets_what_a_killed_run_did_past_its_checkpoint(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(updates) for updates in (1, 2, 3, 4)])
    log(TensorBoardLogger(tmp_path), [record(5)], updates=2)
    for run in (tmp_path, tmp_path / "seed_2"):
        assert list(scalars_of(run)["Policy / KL divergence"]) == [1024, 2048, 5120]


def test_tensorboard_files_can_be_read_while_the_run_goes_on(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.start(CFG, 1, 0)
    logger.log(record(1, num_seeds=1))
    assert list(scalars_of(tmp_path)["Policy / Entropy"]) == [1024]
    logger.close()


def test_a_new_run_wants_a_tensorboard_directory_of_its_own(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(1)])
    with pytest.raises(ValueError, match="holds the event files of another run; give another"):
        TensorBoardLogger(tmp_path).start(CFG, 3, 0)


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [(TensorBoardLogger, "tensorboardX", "tensorboard"), (WandbLogger, "wandb", "wandb")],
)
def test_a_missing_package_is_named_with_its_extra(make, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"{module} is not .*pip install 'rpojax\[{extra}\]'"):
        make("somewhere")


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory):
    """The directory of an offline run of W&B, three seeds and two records."""
    wandb = pytest.importorskip("wandb")
    directory = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(directory / "home"))
        patch.setenv("WANDB_SILENT", "true")
        cfg = CFG.replace(network=nn.Dense(1), env="Swimmer-misc", reward_shaper=lambda r, t, n: r)
        logger = WandbLogger(project="tests", dir=str(directory), mode="offline", id="run1")
        records = [record(2, episode_return=[math.nan, 1.0, 3.0]), record(4, evaluated=True)]
        log(logger, records, cfg=cfg)
        wandb.teardown()  # waits until W&B's own process has written all
    (run,) = (directory / "wandb").glob("offline-run-*-run1")
    return run


def wandb_records(run: Path):
    """The messages in a run's file: a log of LevelDB's format, after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    block, first_or_middle = 32768, (2, 3)
    data = (run / "run-run1.wandb").read_bytes()
    position, message = 7, b""
    while position < len(data):
        if block - position % block < 7:  # no room for a header: the rest of the block is empty
            position += block - position % block
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        message += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind not in first_or_middle:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            yield record
            message = b""


def test_wandb_keeps_an_offline_run_with_all_metrics(offline_run):
    history = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in one.history.item}
        for one in wandb_records(offline_run)
        if one.WhichOneof("record_type") == "history"
    ]
    assert [row["_step"] for row in history] == [2048, 4096]
    assert [row["Reward / Total reward (mean)"] for row in history] == [2.0, 10.5]
    assert [row["seed_2/Policy / KL divergence"] for row in history] == [620.25, 620.5]
    assert "seed_0/Reward / Total reward (mean)" not in history[0]
    assert history[1]["seed_1/Evaluation / Total reward (mean)"] == -10.5
    assert set(TAGS.values()) <= set(history[1])


def test_wandb_knows_the_settings(offline_run):
    (run,) = (
        one.run for one in wandb_records(offline_run) if one.WhichOneof("record_type") == "run"
    )
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert run.project == "tests"
    assert config["env"] == "Swimmer-misc"
    assert config["num_seeds"] == 3
    assert config["gamma"] == 0.99
    assert "Dense" in config["network"]
    assert "<lambda>" in config["reward_shaper"]


def test_wandb_is_told_whether_the_run_is_resumed(monkeypatch):
    wandb = pytest.importorskip("wandb")
    calls = []
    monkeypatch.setattr(wandb, "init", lambda **settings: calls.append(settings))
    WandbLogger(id="a").start(CFG, 2, 0)
    WandbLogger(id="a").start(CFG, 2, 7)
    WandbLogger(id="a", resume="must").start(CFG, 2, 7)
    WandbLogger("mine").start(CFG, 2, 7)
    assert [call.get("resume") for call in calls] == ["never", "allow", "must", None]
    assert [call["project"] for call in calls] == ["rpojax", "rpojax", "rpojax", "mine"]
    assert calls[0]["config"]["network"]["hidden_sizes"] == (64, 64)
