"""Trainings that end early and well: `on_chunk`, `max_seconds`, `stop_when_return`, signals."""

import os
import signal

import jax
import numpy as np
import pytest
from bits import assert_same_bits

from rpojax import Config, TrainingInterrupted, fit, resume
from rpojax.runs import loop
from rpojax.runs.checkpoint_manager import checkpoint_paths

pytestmark = pytest.mark.usefixtures("programs_shared")

# 6 x 64 steps: Pendulum's episodes of 200 end in the fourth update.
CFG = Config(total_timesteps=6 * 4 * 64, num_envs=4, num_steps=64, num_minibatches=2)


RUN = {"num_seeds": 2, "seed": 3, "eval_episodes": 2}  # so that all share a program


@pytest.fixture(scope="module")
def whole():
    return fit(CFG, **RUN)


@pytest.fixture(autouse=True)
def one_update_a_chunk(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)


def saved_updates(directory):
    return [int(path.name[-9:]) for path in checkpoint_paths(directory)]


def test_on_chunk_stops_by_returning_true(whole, tmp_path):
    stop = {"on_chunk": lambda progress: progress.updates >= 2}
    result = fit(CFG, **RUN, **stop, checkpoint_dir=tmp_path)
    assert result.metrics.kl.shape == (2, 2)
    np.testing.assert_array_equal(result.metrics.kl, whole.metrics.kl[:, :2])
    assert saved_updates(tmp_path)[-1] == 2
    assert_same_bits(resume(tmp_path), whole)


def test_on_chunk_may_return_anything_else(whole):
    assert_same_bits(fit(CFG, **RUN, on_chunk=lambda progress: progress.updates + 1), whole)


def test_on_chunk_may_look_at_the_agents_and_their_result(whole):
    results = []
    fit(CFG, **RUN, on_chunk=lambda progress: results.append((progress.agents, progress.result())))
    agents, last = results[-1]
    assert agents.seeds == (3, 4)
    assert_same_bits(last, whole)
    _, first = results[1]  # still whole, although the training went on
    assert first.metrics.kl.shape == (2, 1)
    assert np.asarray(first.state.update_count).tolist() == [1, 1]


def test_max_seconds_of_zero_trains_one_chunk_and_saves_it(whole, tmp_path):
    result = fit(CFG, **RUN, max_seconds=0.0, checkpoint_dir=tmp_path)
    assert result.metrics.kl.shape == (2, 1)
    assert saved_updates(tmp_path)[-1] == 1
    assert resume(tmp_path, max_seconds=0.0).metrics.kl.shape == (2, 2)
    assert_same_bits(resume(tmp_path, max_seconds=1e6), whole)


def test_stop_when_the_mean_return_reaches_a_value(whole):
    returns = np.asarray(whole.metrics.episode_return).mean(axis=0)
    assert np.isnan(returns[:3]).all()
    reached = fit(CFG, **RUN, stop_when_return=float(returns[3]) - 1.0)
    assert reached.metrics.kl.shape == (2, 4)
    assert_same_bits(fit(CFG, **RUN, stop_when_return=0.0), whole)


def test_a_chunk_that_ends_without_an_episode_stops_by_the_last_one_before(monkeypatch):
    """Episodes end in the fourth update, and the chunk ends after the fifth."""
    monkeypatch.setattr(loop.HostLoop, "next_chunk", lambda *_: 5)
    reached = fit(CFG, **RUN, stop_when_return=-1e6)
    assert reached.metrics.kl.shape == (2, 5)
    assert np.isnan(reached.metrics.episode_return[:, 4]).all()


def test_stop_when_an_evaluation_reaches_a_value():
    evaluations = []
    arguments = RUN | {"eval_every": 2}
    whole = fit(CFG, on_chunk=lambda p: evaluations.append(p.evaluation_return), **arguments)
    means = [values.mean() for values in evaluations if values is not None]
    assert len(means) == 3
    threshold = float(max(means)) - 1e-3
    stopped = fit(CFG, stop_when_return=threshold, **arguments)
    assert stopped.metrics.kl.shape[1] == 2 * (int(np.argmax(means)) + 1)
    # Between evaluations nothing is judged: chunks end where the clock says.
    arguments["eval_every"] = 6
    assert np.isfinite(np.asarray(whole.metrics.episode_return)[:, 3]).all()
    returns = np.asarray(whole.metrics.episode_return).mean(axis=0)
    assert fit(CFG, stop_when_return=returns[3], **arguments).metrics.kl.shape == (2, 6)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_saves_and_says_how_to_resume(whole, tmp_path, number):
    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    former = signal.signal(number, handler)
    try:
        with pytest.raises(TrainingInterrupted) as stopped:
            fit(
                CFG, **RUN, checkpoint_dir=tmp_path,
                on_chunk=lambda p: os.kill(os.getpid(), number) if p.updates == 2 else None,
            )  # fmt: skip
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, former)
    assert isinstance(stopped.value, KeyboardInterrupt)
    expected = f"stopped after update 2 of 6; rpojax.resume({str(tmp_path)!r}) resumes it"
    assert str(stopped.value) == expected
    assert stopped.value.signal_number == number
    assert saved_updates(tmp_path)[-1] == 2
    first = jax.tree.map(lambda leaf: leaf[:, :2], whole.metrics)
    assert_same_bits(stopped.value.result.metrics, first)
    assert_same_bits(resume(tmp_path), whole)


def test_a_signal_while_compiling_saves_the_first_checkpoint(whole, tmp_path, monkeypatch):
    compile_programs = loop.compile_programs

    def terminated(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return compile_programs(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "compile_programs", terminated)
        with pytest.raises(
            TrainingInterrupted, match=r"stopped after update 0 of 6; .* resumes it"
        ):
            fit(CFG, **RUN, checkpoint_dir=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["update_000000000"]
    assert_same_bits(resume(tmp_path / "run"), whole)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_seconds", -1.0), ("max_seconds", "soon"), ("stop_when_return", float("nan"))],
)
def test_errors_say_what_to_do(name, value):
    with pytest.raises(ValueError, match=name):
        fit(CFG, **{name: value})
