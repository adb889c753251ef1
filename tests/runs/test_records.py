import dataclasses

import jax
import numpy as np
import pytest

from rpojax import Config, Metrics
from rpojax.runs.records import RecordWriter, means_over_updates
from rpojax.runs.run_state import Records, RunState
from rpojax.runs.settings import RunSettings
from rpojax.settings.agent_table import agent_table

UPDATES, AGENTS = 10, 2
CFG = Config(num_envs=4, num_steps=8, num_minibatches=2, total_timesteps=4 * 8 * UPDATES)
TABLE = agent_table(CFG.hyperparams(), num_seeds=AGENTS)
NAMES = [name for name in Metrics.__dataclass_fields__ if name != "environment"]


def counting(offset):
    """f32[AGENTS, UPDATES]: no two values are equal."""
    return (np.arange(AGENTS * UPDATES, dtype=np.float32) + offset).reshape(AGENTS, UPDATES)


HISTORY = Metrics(
    **{name: counting(i) for i, name in enumerate(NAMES)}, environment={"success": counting(99)}
)


class Memory:
    def __init__(self, fails_in=None):
        self.fails_in = fails_in
        self.calls, self.records = [], []

    def note(self, call):
        self.calls.append(call)
        if self.fails_in == call:
            raise RuntimeError("out of ink")

    def start(self, cfg, agents, updates):
        assert cfg is CFG
        assert agents is TABLE
        self.started = updates
        self.note("start")

    def log(self, record):
        self.records.append(record)
        self.note("log")

    def close(self):
        self.note("close")


def run_of(log_every, updates=0):
    """A run after so many updates, with the metrics of all."""
    settings = RunSettings(cfg=CFG, agents=TABLE, log_every=log_every)
    finite = np.ones(AGENTS, bool)
    records = Records.blank(AGENTS, UPDATES)
    return RunState(
        settings=settings, states=None, finite=finite, metrics=HISTORY, records=records,
        updates=updates,
    )  # fmt: skip


def log(writer, end, evaluation=None):
    """Train to an update, in a second."""
    writer._run.updates = end
    writer.log_until(1.0, evaluation)


def writer_to(loggers, log_every, updates=None):
    return RecordWriter(run_of(log_every, updates or 0), loggers, updates is not None)


def resumed(writer, loggers, log_every=3):
    """The writer of a run that is resumed, as its checkpoint has it."""
    run = writer._run
    run.settings = dataclasses.replace(run.settings, log_every=log_every)
    return RecordWriter(run, loggers, resumed=True)


def metrics_of(**given):
    """The given values, and zeros for all other metrics."""
    arrays = {name: np.float32(value) for name, value in given.items()}
    zeros = Metrics.filled(np.zeros_like(arrays["episode_return"]))
    return zeros.replace(**arrays)


def written(chunks, log_every=3, updates=None, evaluations=None):
    """The records of a run in chunks that end after so many updates and took a second each."""
    memory = Memory()
    writer = writer_to([memory], log_every, updates)
    for end in chunks:
        log(writer, end, (evaluations or {}).get(end))
    writer.close()
    assert memory.calls == ["start", *["log"] * len(memory.records), "close"]
    assert memory.started == updates
    return memory.records


@pytest.mark.parametrize("chunks", [range(1, 11), [10], [4, 5, 10], [1, 9, 10]])
def test_windows_do_not_depend_on_the_chunks(chunks):
    records = written(chunks)
    assert [record.updates for record in records] == [3, 6, 9, 10]
    assert [record.steps for record in records] == [32 * n for n in (3, 6, 9, 10)]
    for record, (start, end) in zip(records, [(0, 3), (3, 6), (6, 9), (9, 10)], strict=True):
        logged = vars(record.metrics) | record.metrics.environment
        for name in (*NAMES, "success"):
            values, of_updates = logged[name], (vars(HISTORY) | HISTORY.environment)[name]
            window = of_updates[:, start:end]
            if name in ("episode_count", "invalid_steps"):
                expected = window.sum(axis=1)
            elif name in ("episode_return", "episode_length", "success"):
                counts = HISTORY.episode_count[:, start:end]
                expected = (counts * window).sum(axis=1) / counts.sum(axis=1)
            else:
                expected = window.mean(axis=1)
            np.testing.assert_allclose(values, expected)
            assert values.dtype == np.float32


def test_speed_is_that_of_the_updates_of_the_window():
    records = written([2, 4, 10])  # 2, 2 and 6 updates in a second each
    steps = 32 * AGENTS
    seconds = [1.0 + 1 / 2, 1 / 2 + 2 / 6, 3 / 6, 1 / 6]
    expected = [steps * n / s for n, s in zip([3, 3, 3, 1], seconds, strict=True)]
    np.testing.assert_allclose([record.steps_per_second for record in records], expected)


def test_evaluation_is_in_the_first_record_after_it_and_in_no_other():
    values = {n: np.full(AGENTS, n, np.float32) for n in (1, 4, 6, 7)}
    records = written(range(1, 11), evaluations=values)
    logged = [record.evaluation_return for record in records]
    np.testing.assert_array_equal(logged[:3], [values[1], values[6], values[7]])  # not of 4
    assert logged[3] is None


def test_evaluation_at_the_end_of_a_chunk_belongs_to_its_last_window():
    values = {6: np.zeros(AGENTS, np.float32)}
    assert [r.evaluation_return is None for r in written([6, 10], evaluations=values)] == [
        True,
        False,
        True,
        True,
    ]


def test_resumed_run_logs_the_window_that_it_was_stopped_in_as_a_whole():
    memory = Memory()
    first = writer_to([], log_every=3)
    log(first, 5)
    writer = resumed(first, [memory])
    log(writer, 6)
    log(writer, 10)
    records = memory.records
    assert [record.updates for record in records] == [6, 9, 10]
    expected = HISTORY.kl[:, 3:6].mean(axis=1)
    np.testing.assert_allclose(records[0].metrics.kl, expected)
    np.testing.assert_allclose(records[0].steps_per_second, 32 * AGENTS)  # of the one seen


def test_log_every_zero_logs_nothing():
    memory = Memory()
    writer = writer_to([memory], log_every=0)
    log(writer, 5)
    writer.close()
    assert memory.calls == []


@pytest.mark.parametrize("where", ["start", "log", "close"])
def test_logger_that_fails_is_dropped_with_one_warning_and_the_others_continue(where):
    bad, good = Memory(fails_in=where), Memory()

    def run():
        writer = writer_to([bad, good], log_every=1)
        for end in (1, 2, 3):
            log(writer, end)
        writer.close()

    with pytest.warns(RuntimeWarning, match=r"Memory failed.*RuntimeError: out of ink") as warned:
        run()
    assert len(warned) == 1
    assert good.calls == ["start", "log", "log", "log", "close"]
    assert bad.calls.count(where) == 1
    assert bad.calls[-1] == "close"


def test_episodes_count_alike_in_whichever_update_they_ended():
    nan = np.nan
    means = means_over_updates(
        metrics_of(
            episode_count=[[1, 0, 3], [0, 0, 0]],
            episode_return=[[10.0, nan, 2.0], [nan, nan, nan]],
            episode_length=[[100.0, nan, 20.0], [nan, nan, nan]],
            kl=[[1.0, 2.0, 6.0], [nan, 4.0, nan]],
        )
    )
    np.testing.assert_array_equal(means.episode_return, np.float32([4.0, nan]))
    np.testing.assert_array_equal(means.episode_length, np.float32([40.0, nan]))
    np.testing.assert_array_equal(means.episode_count, np.float32([4.0, 0.0]))
    np.testing.assert_array_equal(means.kl, np.float32([3.0, 4.0]))


def test_updates_of_a_diverged_agent_are_left_out():
    nan = np.nan
    means = means_over_updates(
        metrics_of(
            episode_count=[[2, nan, nan], [nan, nan, nan]],
            episode_return=[[5.0, nan, nan], [nan, nan, nan]],
        )
    )
    np.testing.assert_array_equal(means.episode_return, np.float32([5.0, nan]))
    np.testing.assert_array_equal(means.episode_count, np.float32([2.0, nan]))


def test_logger_that_refuses_its_file_ends_the_run_before_it_begins():
    class Refusing(Memory):
        def start(self, cfg, agents, updates):
            raise ValueError("metrics.csv exists; give another path")

    started = Memory()
    with pytest.raises(ValueError, match="give another path"):
        writer_to([started, Refusing()], log_every=1)
    assert started.calls == ["start", "close"]


def test_evaluation_before_a_stop_is_in_the_first_record_after_it():
    value = np.zeros(AGENTS, np.float32)
    first, memory = writer_to([Memory()], log_every=3), Memory()
    log(first, 4, value)
    log(resumed(first, [memory]), 7)
    assert [record.updates for record in memory.records] == [6]
    np.testing.assert_array_equal(memory.records[0].evaluation_return, value)


@pytest.mark.parametrize("log_every", [1, 2, 4, 5])
def test_a_run_resumed_with_another_log_every_logs_each_update_once(log_every):
    first, memory = writer_to([Memory()], log_every=3), Memory()
    log(first, 5)
    log(resumed(first, [memory], log_every), UPDATES)
    counts = [record.metrics.episode_count for record in memory.records]
    np.testing.assert_allclose(sum(counts), HISTORY.episode_count[:, 3:].sum(axis=1))
    assert memory.records[0].updates > 5
    assert all(np.isfinite(record.steps_per_second) for record in memory.records)


def test_a_prolonged_run_logs_no_update_twice():
    """It had ended within a window of three."""
    memory = Memory()
    first = writer_to([], log_every=3)
    log(first, 6)
    first._run.records.ended[6], first._run.updates = True, 7
    log(resumed(first, [memory]), UPDATES)
    assert [record.updates for record in memory.records] == [9, 10]
    np.testing.assert_allclose(
        memory.records[0].metrics.episode_count, HISTORY.episode_count[:, 7:9].sum(axis=1)
    )


class Patchy(Memory):
    """Lacks records, and takes them later."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.fails_at = fails_at

    def log(self, record):
        if record.updates == self.fails_at:
            self.fails_at = None
            raise OSError("No space left on device")
        super().log(record)

    def complete(self, ends, record_at):
        missing = [end for end in ends if end not in [each.updates for each in self.records]]
        self.records += map(record_at, missing)
        return len(missing)


def same_record(one, other):
    assert (one.updates, one.steps, one.steps_per_second) == (
        other.updates, other.steps, other.steps_per_second
    )  # fmt: skip
    for ours, theirs in (
        (one.metrics, other.metrics),
        (one.evaluation_return, other.evaluation_return),
    ):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_logger_that_failed_has_all_records_at_the_end():
    whole, patchy = Memory(), Patchy(fails_at=6)
    writer = writer_to([whole, patchy], log_every=2)
    log(writer, 3, np.full(AGENTS, 3, np.float32))
    log(writer, 5, np.full(AGENTS, 5, np.float32))
    with pytest.warns(RuntimeWarning, match="Patchy failed and is dropped: OSError: No space left"):
        log(writer, 7, np.full(AGENTS, 7, np.float32))
    log(writer, UPDATES)
    with pytest.warns(RuntimeWarning, match="Patchy lacked 3 of 5 records, which are written now"):
        writer.close()
    assert [record.updates for record in patchy.records] == [2, 4, 6, 8, 10]
    for ours, theirs in zip(patchy.records, whole.records, strict=True):
        same_record(ours, theirs)


def test_a_resumed_run_gives_a_logger_the_records_that_it_lacks():
    whole, patchy = Memory(), Patchy()
    writer = writer_to([whole], log_every=3)
    log(writer, 7, np.ones(AGENTS, np.float32))
    with pytest.warns(RuntimeWarning, match="Patchy lacked 2 of 2 records"):
        second = resumed(writer, [patchy], log_every=1)
    log(second, 8)
    assert [record.updates for record in patchy.records] == [3, 6, 8]
    for ours, theirs in zip(patchy.records, whole.records, strict=False):
        same_record(ours, theirs)
