"""What each logger writes is read back, by the programs that are meant to read it."""

import csv
import dataclasses
import io
import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import numpy as np
import pytest

import rpojax
from rpojax import Config, Metrics
from rpojax.loggers import (
    TAGS,
    ConsoleLogger,
    CSVLogger,
    JSONLinesLogger,
    LogRecord,
    TensorBoardLogger,
    WandbLogger,
    columns,
)
from rpojax.settings.agent_table import AgentTable, agent_table

CFG = Config(total_timesteps=10 * 1024, num_envs=8, num_steps=128)
METRICS = [field.name for field in dataclasses.fields(Metrics) if field.name != "environment"]
FILES = [(CSVLogger, "log.csv"), (JSONLinesLogger, "log.jsonl")]


def alike(count: int = 3, **hyperparams) -> AgentTable:
    """Agents that differ in their seeds only, from 5."""
    return agent_table(CFG.hyperparams().replace(**hyperparams), num_seeds=count, seed=5)


def sweep(**values) -> AgentTable:
    """3 values of hyperparameters x 2 seeds; alpha if none is named."""
    values = values or {"alpha": [0.0, 0.1, 0.5]}
    repeated = {name: np.repeat(each, 2) for name, each in values.items()}
    hyperparams = CFG.hyperparams().replace(**repeated)
    return agent_table(CFG.hyperparams(), hyperparams, seeds=[0, 1] * 3)


@pytest.mark.parametrize("call", [rpojax.fit, rpojax.resume])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("csv", r"loggers = 'csv' is not a list of loggers; .*loggers=\[rpojax.loggers.CSVLogger"),
        (ConsoleLogger(), "loggers = <.*ConsoleLogger .* is not a list of loggers"),
        ([CSVLogger], r"loggers\[0\] = <class .*> is a class; .* CSVLogger\(...\)"),
        ([ConsoleLogger(), "csv"], r"loggers\[1\] = 'csv' has no method start"),
    ],
)
def test_what_is_no_logger_is_refused_before_training(call, given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        call(CFG if call is rpojax.fit else tmp_path, loggers=given)


def record(updates: int, num_agents: int = 3, evaluated: bool = False, **given) -> LogRecord:
    """Each metric of each agent has its own value: 100 * metric + 10 * agent + updates / 8."""
    agents = 10.0 * np.arange(num_agents) + updates / 8
    values = {name: (100.0 * i + agents).astype(np.float32) for i, name in enumerate(METRICS)}
    values |= {name: np.float32(value) for name, value in given.items()}
    return LogRecord(
        updates=updates,
        steps=updates * CFG.batch_size,
        metrics=Metrics(**values),
        steps_per_second=1234.5,
        evaluation_return=np.float32(-agents) if evaluated else None,
    )


def log(logger, records, updates: int | None = None, cfg: Config = CFG, agents=None) -> None:
    logger.start(cfg, agents or alike(len(records[0].metrics.kl)), updates)
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


def test_columns_name_the_hyperparameters_in_which_agents_differ():
    last = ("updates", "steps", *METRICS, "steps_per_second", "evaluation_return")
    assert columns(alike()) == ("agent", "seed", *last)
    assert columns(sweep()) == ("agent", "seed", "alpha", *last)


def test_the_hyperparameter_learning_rate_is_another_column_than_the_metric():
    table = sweep(alpha=[0.0, 0.1, 0.1], learning_rate=[1e-3, 1e-3, 3e-4])
    assert columns(table)[2:4] == ("hyperparams.learning_rate", "alpha")
    for agents in (table, alike()):
        assert len(set(columns(agents))) == len(columns(agents))


@pytest.mark.parametrize(("make", "name"), FILES)
def test_rows_hold_the_hyperparameters_of_their_agents(make, name, tmp_path):
    path = tmp_path / name
    table = sweep(alpha=[0.0, 0.1, 0.1], learning_rate=[1e-3, 1e-3, 3e-4])
    log(make(path), [record(2, num_agents=6)], agents=table)
    rows = read(path)
    assert all(tuple(row) == columns(table) for row in rows)
    assert [row["agent"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["seed"] for row in rows] == [0, 1, 0, 1, 0, 1]
    assert [row["alpha"] for row in rows] == [0.0, 0.0, 0.1, 0.1, 0.1, 0.1]
    assert [row["hyperparams.learning_rate"] for row in rows] == 4 * [1e-3] + 2 * [3e-4]
    assert [row["learning_rate"] for row in rows] == [
        100 * METRICS.index("learning_rate") + 10 * agent + 0.25 for agent in range(6)
    ]
    assert "0.10000000" not in path.read_text()


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_resumed_run_with_other_columns_is_refused(make, name, tmp_path):
    path = tmp_path / name
    log(make(path), [record(1, num_agents=6)], agents=sweep())
    before = path.read_bytes()
    for agents in (alike(6), sweep(gamma=[0.9, 0.95, 0.99])):
        with pytest.raises(
            ValueError, match=r"wrote with the columns agent, seed, (updates|gamma)"
        ):
            make(path).start(CFG, agents, 5)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_file_holds_a_row_for_each_agent_and_record(make, name, tmp_path):
    path = tmp_path / "made" / name
    log(make(path), [record(2), record(4, evaluated=True)])
    rows = read(path)
    assert all(tuple(row) == columns(alike()) for row in rows)
    assert [(row["agent"], row["seed"], row["updates"]) for row in rows] == [
        (0, 5, 2), (1, 6, 2), (2, 7, 2), (0, 5, 4), (1, 6, 4), (2, 7, 4)
    ]  # fmt: skip
    assert [row["steps"] for row in rows] == 3 * [2048] + 3 * [4096]
    for row in rows:
        offset = 10 * row["agent"] + row["updates"] / 8
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


def test_a_killed_process_leaves_every_record_in_its_files(tmp_path):
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_loggers import CFG, FILES, alike, record
for make, name in FILES:
    logger = make({str(tmp_path)!r} + "/" + name)
    logger.start(CFG, alike(), None)
    logger.log(record(1))
    logger.log(record(2))
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", program], timeout=120)
    assert run.returncode == -9
    for _, name in FILES:
        assert [row["updates"] for row in read(tmp_path / name)] == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("make", "name"), FILES)
@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_resumed_run_continues_its_file_without_doubling_a_row(make, name, torn, tmp_path):
    path = tmp_path / name
    log(make(path), [record(updates) for updates in (2, 4, 6, 8)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - torn])  # as a kill may leave it
    log(make(path), [record(updates) for updates in (6, 8, 10)], updates=5)
    rows = read(path)
    assert [row["updates"] for row in rows] == [u for u in (2, 4, 6, 8, 10) for _ in range(3)]
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize(("make", "name"), FILES)
@pytest.mark.parametrize("harm", ["hole", "torn", "agent", "all"])
def test_a_resumed_run_writes_the_rows_again_that_the_file_lacks(make, name, harm, tmp_path):
    """As a disk leaves it that was full for a while; the file is as it would have been."""
    path = tmp_path / name
    records = {updates: record(updates, evaluated=updates == 6) for updates in (2, 4, 6, 8)}
    log(make(path), [*records.values()])
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    head = len(lines) - 12
    if harm == "hole":
        kept = lines[: head + 4] + lines[head + 9 :]
    elif harm == "torn":
        kept = [*lines[: head + 4], lines[head + 4][:20], *lines[head + 6 :]]
    else:
        kept = lines[: head + 7] + lines[head + 8 :] if harm == "agent" else []
    path.write_bytes(b"".join(kept))
    logger = make(path)
    logger.start(CFG, alike(), 8)
    lacked = {"hole": 2, "torn": 2, "agent": 1, "all": 4}[harm]
    assert logger.complete(list(records), records.get) == lacked
    assert path.read_bytes() == whole
    assert logger.complete(list(records), records.get) == 0
    logger.log(record(10))
    logger.close()
    assert [row["updates"] for row in read(path)][-3:] == [10, 10, 10]
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("make", "name"), FILES)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_regular_file_is_refused(make, name, kind, tmp_path):
    if kind == "link":
        (tmp_path / "mine").write_text("mine")
        (tmp_path / name).symlink_to(tmp_path / "mine")
    else:
        os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}' is not a regular file; remove it"):
        make(tmp_path / name).start(CFG, alike(), 8)
    assert kind == "pipe" or (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_resumed_run_without_its_file_makes_one(make, name, tmp_path):
    log(make(tmp_path / name), [record(6)], updates=5)
    assert [row["updates"] for row in read(tmp_path / name)] == [6, 6, 6]


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_run_resumed_from_its_start_begins_its_file_again(make, name, tmp_path):
    """As one that was killed before its second checkpoint."""
    log(make(tmp_path / name), [record(1), record(2)])
    log(make(tmp_path / name), [record(1)], updates=0)
    assert [row["updates"] for row in read(tmp_path / name)] == [1, 1, 1]


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_file_of_another_run_or_another_kind_is_left_alone(make, name, tmp_path):
    path = tmp_path / name
    log(make(path), [record(1)])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"{name}' exists already; give another path, or remove"):
        make(path).start(CFG, alike(), None)
    assert path.read_bytes() == before
    for foreign in ("to be kept\n", '{"updates": 1}\n', "seed,updates\n0,1\n", "[]\n"):
        path.write_text(foreign)
        with pytest.raises(ValueError, match=f"not a file that this version's {make.__name__}"):
            make(path).start(CFG, alike(), 5)
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
    assert "evaluation -11.2 ± 8.2   " in second

    elsewhere = io.StringIO()
    log(ConsoleLogger(elsewhere), [record(1, num_agents=1, episode_return=[nan])])
    assert "return -   " in elsewhere.getvalue()
    assert "±" not in elsewhere.getvalue()
    assert not capsys.readouterr().out


def test_console_prints_a_line_for_each_set_of_hyperparameters(capsys):
    returns = [-10.0, -30.0, 1.0, math.nan, math.nan, math.nan]
    log(ConsoleLogger(), [record(1, num_agents=6, episode_return=returns)], agents=sweep())
    head, *groups = capsys.readouterr().out.splitlines()
    assert head == " 1,024 of 10,240 steps   1,234 steps/s"
    assert [line.split("   std")[0] for line in groups] == [
        "  alpha=0     return -20.0 ± 10.0",
        "  alpha=0.1   return 1.0",
        "  alpha=0.5   return -",
    ]


def test_console_prints_on_a_terminal_without_the_sign():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    log(ConsoleLogger(stream), [record(1, episode_return=[0.0, 2.0, 4.0])])
    assert b"return 2.0 +- 1.6" in raw.getvalue()


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


def directories(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.is_dir())


def test_tensorboard_shows_the_mean_and_each_agent_as_a_run(tmp_path):
    records = [record(2, episode_return=[math.nan, 1.0, 3.0]), record(4, evaluated=True)]
    log(TensorBoardLogger(tmp_path), records)
    assert directories(tmp_path) == ["seed=5", "seed=6", "seed=7"]
    mean = scalars_of(tmp_path)
    assert set(mean) == set(TAGS.values())
    assert mean["Reward / Total reward (mean)"] == {2048: 2.0, 4096: 10.5}
    assert mean["Loss / Policy loss"] == {2048: 310.25, 4096: 310.5}
    assert mean["Evaluation / Total reward (mean)"] == {4096: -10.5}
    assert mean["Stats / Steps per second"] == {2048: 1234.5, 4096: 1234.5}
    seed = scalars_of(tmp_path / "seed=5")
    assert set(seed) == set(TAGS.values()) - {TAGS["steps_per_second"]}
    assert seed["Reward / Total reward (mean)"] == {4096: 0.5}
    assert seed["Policy / Standard deviation"] == {2048: 1200.25, 4096: 1200.5}


def test_tensorboard_shows_the_mean_of_each_set_of_hyperparameters_as_a_run(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(2, num_agents=6)], agents=sweep())
    means = ["alpha=0", "alpha=0.1", "alpha=0.5"]
    assert directories(tmp_path) == sorted(
        [*means, *(f"{mean},seed={seed}" for mean in means for seed in (0, 1))]
    )
    tag = TAGS["policy_loss"]
    assert scalars_of(tmp_path) == {TAGS["steps_per_second"]: {2048: 1234.5}}
    assert scalars_of(tmp_path / "alpha=0.1")[tag] == {2048: 325.25}
    assert scalars_of(tmp_path / "alpha=0.1,seed=1")[tag] == {2048: 330.25}
    assert TAGS["steps_per_second"] not in scalars_of(tmp_path / "alpha=0.1")


def test_a_set_of_hyperparameters_with_one_agent_has_no_mean_of_its_own(tmp_path):
    hyperparams = CFG.hyperparams().replace(gamma=[0.9, 0.9, 0.99])
    agents = agent_table(CFG.hyperparams(), hyperparams)
    log(TensorBoardLogger(tmp_path), [record(2)], agents=agents)
    assert directories(tmp_path) == [
        "gamma=0.9", "gamma=0.9,seed=0", "gamma=0.9,seed=1", "gamma=0.99,seed=2"
    ]  # fmt: skip


def test_one_agent_is_one_run_for_tensorboard(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(1, num_agents=1)])
    assert [path.is_file() for path in tmp_path.iterdir()] == [True]
    assert scalars_of(tmp_path)["Loss / Value loss"] == {1024: 400.125}


def test_tensorboard_forgets_what_a_killed_run_did_past_its_checkpoint(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(updates) for updates in (1, 2, 3, 4)])
    log(TensorBoardLogger(tmp_path), [record(5)], updates=2)
    for run in (tmp_path, tmp_path / "seed=7"):
        assert list(scalars_of(run)["Policy / KL divergence"]) == [1024, 2048, 5120]


def test_tensorboard_gets_the_records_that_its_files_lack(tmp_path):
    records = {updates: record(updates) for updates in (1, 2, 3, 4)}
    logger = TensorBoardLogger(tmp_path)
    logger.start(CFG, alike(), None)
    for updates in (1, 2, 4):
        logger.log(records[updates])
    logger.close()
    (damaged,) = (tmp_path / "seed=6").iterdir()
    damaged.write_bytes(damaged.read_bytes()[:-3])
    logger = TensorBoardLogger(tmp_path)
    logger.start(CFG, alike(), 4)
    assert logger.complete(list(records), records.get) == 2
    assert logger.complete(list(records), records.get) == 0
    logger.close()
    for run in (tmp_path, tmp_path / "seed=6"):
        assert list(scalars_of(run)["Policy / KL divergence"]) == [1024, 2048, 3072, 4096]


class FakeRun:
    """What a logger uses of a run of W&B."""

    def __init__(self, step, offline):
        self.step, self.offline, self.steps = step, offline, []

    def log(self, values, step):
        self.steps.append(step)


@pytest.mark.parametrize(("offline", "sent"), [(False, [3072, 4096]), (True, [])])
def test_wandb_gets_the_records_after_the_last_one_that_it_has(monkeypatch, offline, sent):
    wandb = pytest.importorskip("wandb")
    run = FakeRun(2049, offline)
    monkeypatch.setattr(wandb, "init", lambda **_: run)
    logger = WandbLogger(id="a")
    logger.start(CFG, alike(), 4)
    assert logger.complete([1, 2, 3, 4], record) == len(sent)
    assert run.steps == sent


def test_tensorboard_files_can_be_read_while_the_run_goes_on(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.start(CFG, alike(1), None)
    logger.log(record(1, num_agents=1))
    assert list(scalars_of(tmp_path)["Policy / Entropy"]) == [1024]
    logger.close()


def test_a_new_run_wants_a_tensorboard_directory_of_its_own(tmp_path):
    log(TensorBoardLogger(tmp_path), [record(1)])
    with pytest.raises(ValueError, match="holds the event files of another run; give another"):
        TensorBoardLogger(tmp_path).start(CFG, alike(), None)


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
    """Runs an offline run of W&B with a few records, and returns its directory."""
    wandb = pytest.importorskip("wandb")
    directory = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(directory / "home"))
        patch.setenv("WANDB_SILENT", "true")
        cfg = CFG.replace(network=nn.Dense(1), env="Swimmer-misc", reward_shaper=lambda r, t, n: r)
        for name, agents in (("alike", alike(alpha=0.25)), ("sweep", sweep())):
            logger = WandbLogger(project="tests", dir=str(directory), mode="offline", id=name)
            returns = [math.nan, *(1.0 + 2.0 * agent for agent in range(len(agents) - 1))]
            first = record(2, num_agents=len(agents), episode_return=returns)
            second = record(4, num_agents=len(agents), evaluated=True)
            log(logger, [first, second], cfg=cfg, agents=agents)
        wandb.teardown()  # waits until W&B's own process has written all

    def find(name: str) -> Path:
        (run,) = (directory / "wandb").glob(f"offline-run-*-{name}")
        return run / f"run-{name}.wandb"

    return find


def wandb_records(path: Path):
    """The messages in a run's file: a log of LevelDB's format, after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    block, first_or_middle = 32768, (2, 3)
    data = path.read_bytes()
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


def history_of(path: Path) -> list[dict[str, float]]:
    return [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in one.history.item}
        for one in wandb_records(path)
        if one.WhichOneof("record_type") == "history"
    ]


def config_of(path: Path) -> dict:
    records = wandb_records(path)
    (run,) = (one.run for one in records if one.WhichOneof("record_type") == "run")
    assert run.project == "tests"
    return {item.key: json.loads(item.value_json) for item in run.config.update}


def test_wandb_keeps_an_offline_run_with_all_metrics(offline_run):
    history = history_of(offline_run("alike"))
    assert [row["_step"] for row in history] == [2048, 4096]
    assert [row["Reward / Total reward (mean)"] for row in history] == [2.0, 10.5]
    assert [row["seed=7/Policy / KL divergence"] for row in history] == [620.25, 620.5]
    assert "seed=5/Reward / Total reward (mean)" not in history[0]
    assert history[1]["seed=6/Evaluation / Total reward (mean)"] == -10.5
    assert set(TAGS.values()) <= set(history[1])


def test_wandb_has_a_section_for_each_set_of_hyperparameters(offline_run):
    first, second = history_of(offline_run("sweep"))
    tag = "Reward / Total reward (mean)"
    assert tag not in first
    assert first["alpha=0/" + tag] == first["alpha=0,seed=1/" + tag] == 1.0
    assert first["alpha=0.5/" + tag] == 8.0
    assert second["alpha=0.1/Evaluation / Total reward (mean)"] == -25.5
    assert second["Stats / Steps per second"] == 1234.5


def test_wandb_knows_the_settings(offline_run):
    config = config_of(offline_run("alike"))
    assert config["env"] == "Swimmer-misc"
    assert config["seeds"] == [5, 6, 7]
    assert config["num_agents"] == 3
    assert config["gamma"] == 0.99
    assert config["alpha"] == 0.25  # of the agents, not of the Config
    assert "Dense" in config["network"]["description"]
    assert "<lambda>" in config["reward_shaper"]["description"]
    assert config_of(offline_run("sweep"))["alpha"] == [0.0, 0.0, 0.1, 0.1, 0.5, 0.5]


def test_wandb_knows_whether_the_run_is_resumed(monkeypatch):
    wandb = pytest.importorskip("wandb")
    calls = []
    monkeypatch.setattr(wandb, "init", lambda **settings: calls.append(settings))
    WandbLogger(id="a").start(CFG, alike(2), None)
    WandbLogger(id="a").start(CFG, alike(2), 7)
    WandbLogger(id="a", resume="must").start(CFG, alike(2), 7)
    WandbLogger("mine").start(CFG, alike(2), 7)
    assert [call.get("resume") for call in calls] == ["never", "allow", "must", None]
    assert [call["project"] for call in calls] == ["rpojax", "rpojax", "rpojax", "mine"]
    assert calls[0]["config"]["network"]["hidden_sizes"] == [64, 64]
