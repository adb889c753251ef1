import gc
import os
import signal
import threading
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits

from rpojax import Config, HyperParams, TrainingInterrupted, TrainResult, evaluate
from rpojax.core.model import make_model
from rpojax.core.train import init_agent, make_parts
from rpojax.programs import blocks as blocks_module
from rpojax.runs import agents, checkpoint_manager, chunk, loop
from rpojax.runs.api import fit
from rpojax.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("programs_shared")

# 320 steps in each environment: Pendulum's episodes of 200 end in some updates and not in others.
CFG = Config(
    total_timesteps=5 * 4 * 64, num_envs=4, num_steps=64, update_epochs=2, num_minibatches=2
)
RUN = {"num_seeds": 3, "seed": 7, "eval_episodes": 4}  # so that all share a program


@pytest.fixture(scope="module")
def watched() -> tuple[TrainResult, list[Progress]]:
    seen: list[Progress] = []
    return fit(CFG, **RUN, on_chunk=seen.append), seen


def test_progress_counts_from_the_compilation_to_the_end(watched):
    result, seen = watched
    updates = [progress.updates for progress in seen]
    assert updates[0] == 0
    assert updates[-1] == CFG.num_updates
    assert updates == sorted(set(updates))
    assert [progress.steps for progress in seen] == [3 * CFG.batch_size * n for n in updates]
    assert all(progress.compile_seconds > 0 for progress in seen)
    assert seen[0].train_seconds == seen[0].steps_per_second == 0
    assert seen[-1].steps_per_second == pytest.approx(seen[-1].steps / seen[-1].train_seconds)
    together = np.concatenate([progress.metrics.episode_return for progress in seen], axis=1)
    np.testing.assert_array_equal(together, result.metrics.episode_return)
    assert isinstance(seen[-1].metrics.kl, np.ndarray)


def test_slow_updates_come_one_at_a_time(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)
    seen: list[Progress] = []
    fit(CFG, **RUN, on_chunk=seen.append)
    assert [progress.updates for progress in seen] == [0, 1, 2, 3, 4, 5]


class Memory:
    """A logger that keeps all that it receives."""

    def __init__(self):
        self.started, self.records, self.closed = [], [], 0

    def start(self, cfg, agents, updates):
        self.started.append((cfg, agents.seeds, updates))

    def log(self, record):
        self.records.append(record)

    def close(self):
        self.closed += 1


def test_logs_evaluations_and_checkpoints_change_no_bit_and_say_what_happened(watched, tmp_path):
    memory = Memory()
    result = fit(
        CFG,
        **RUN,
        loggers=[memory],
        log_every=2,
        eval_every=2,
        checkpoint_dir=tmp_path / "run",
        checkpoint_every=1,
    )
    assert_same_bits(result, watched[0])
    assert memory.started == [(CFG, (7, 8, 9), None)]
    assert memory.closed == 1
    assert [record.updates for record in memory.records] == [2, 4, 5]
    entropy = np.asarray(result.metrics.entropy)
    np.testing.assert_allclose(memory.records[1].metrics.entropy, entropy[:, 2:4].mean(axis=1))
    keys = [jax.random.fold_in(jax.random.key(n), agents.EVALUATION_STREAM) for n in (7, 8, 9)]
    played = jax.vmap(lambda state, key: evaluate(CFG, state, key, 4).episode_return)(
        result.state, jnp.stack(keys)
    )
    returns = np.stack([record.evaluation_return for record in memory.records])
    np.testing.assert_allclose(returns[-1], played.mean(axis=1), rtol=1e-5)
    run = checkpoint_manager.newest(tmp_path / "run").run
    np.testing.assert_array_equal(run.best.evaluation_return, returns.max(axis=0))
    updates = np.asarray([record.updates for record in memory.records])
    np.testing.assert_array_equal(run.best.state.update_count, updates[returns.argmax(axis=0)])


def test_a_logger_that_cannot_start_leaves_the_old_run(tmp_path):
    class Refusing(Memory):
        def start(self, cfg, agents, updates):
            raise ValueError("path exists already")

    fit(CFG, **RUN, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="path exists already"):
        fit(CFG, **RUN, loggers=[Refusing()], overwrite=True, checkpoint_dir=tmp_path)
    assert checkpoint_manager.updates_saved(tmp_path) == CFG.num_updates


def test_all_agents_may_diverge():
    hyperparams = CFG.hyperparams().replace(learning_rate=1e30)
    with pytest.warns(RuntimeWarning, match=r"agent [012] .* diverged in update 1"):
        result = fit(CFG, **RUN, hyperparams=hyperparams)
    assert not result.finite.any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.state.params))


def press_at(updates: int, times: int = 1):
    def press(progress: Progress) -> None:
        if progress.updates == updates:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    return press


def test_interrupt_without_a_directory_keeps_the_result_at_hand(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)
    with pytest.raises(TrainingInterrupted, match="nothing is saved without a checkpoint_dir") as e:
        fit(CFG, **RUN, on_chunk=press_at(2))
    assert e.value.result.metrics.kl.shape == (3, 2)


def test_second_interrupt_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)
    press = press_at(2, times=2)
    with pytest.raises(KeyboardInterrupt) as stopped:
        fit(CFG, **RUN, on_chunk=press, checkpoint_dir=tmp_path, checkpoint_every=5)
    assert not isinstance(stopped.value, TrainingInterrupted)
    assert checkpoint_manager.newest(tmp_path).run.updates == 0


def test_it_trains_away_from_the_main_thread_too():
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(CFG, **RUN)))
    thread.start()
    thread.join()
    assert bool(results[0].finite.all())


@pytest.mark.slow
def test_memory_does_not_grow_while_it_trains(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)  # 40 chunks of one update
    cfg = CFG.replace(num_envs=4, num_steps=8, total_timesteps=40 * 4 * 8)
    on_device, on_host = [], []

    def weigh(progress: Progress) -> None:
        if progress.updates == 0:
            tracemalloc.start()
        if progress.updates % 10 == 0:
            gc.collect()
        on_device.append(sum(array.nbytes for array in jax.live_arrays()))
        on_host.append(tracemalloc.get_traced_memory()[0])

    try:
        fit(cfg, num_seeds=2, on_chunk=weigh, loggers=[Forgetful()])
    finally:
        tracemalloc.stop()
    assert len(on_device) == 41
    assert set(on_device[2:]) == {on_device[2]}
    # In bytes. Objects of the interpreter and of JAX that replace untraced ones are about 20 kB in
    # these 20 chunks. One agent's state for each would be 2 MB, one layer of its network 320 kB.
    assert on_host[40] - on_host[20] < 100_000


class Forgetful(Memory):
    def log(self, record):
        pass


@pytest.mark.parametrize("num_steps", [8, 64])
def test_metrics_on_the_device_are_a_row_an_update_whatever_num_steps(num_steps):
    cfg = CFG.replace(num_steps=num_steps)
    parts = make_parts(make_model(cfg))
    hyperparams = cfg.hyperparams()

    def advance(key):
        states = chunk.AgentStates(
            init_agent(parts, key, hyperparams, {}), jnp.array(True), hyperparams, {}
        )
        return chunk.train_one_agent(parts, 7, states, 3)

    _, metrics, _ = jax.eval_shape(advance, jax.random.key(0))
    assert {leaf.shape for leaf in jax.tree.leaves(metrics)} == {(7,)}


def test_an_exception_from_the_caller_ends_the_training():
    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.updates:
            raise StopError

    with pytest.raises(StopError):
        fit(CFG, **RUN, on_chunk=stop)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="num_seeds = 0 is not allowed; give a whole number"):
        fit(CFG, num_seeds=0)
    sweep = CFG.hyperparams().replace(alpha=jnp.array([0.0, 0.5]))
    with pytest.raises(ValueError, match=r"disagree \(hyperparams.alpha: 2, num_seeds: 3\)"):
        fit(CFG, num_seeds=3, hyperparams=sweep)
    with pytest.raises(ValueError, match=r"hyperparams = 0\.5 is not a HyperParams"):
        fit(CFG, hyperparams=0.5)
    out_of_range = HyperParams(**{**vars(CFG.hyperparams()), "gamma": jnp.float32(1.5)})
    with pytest.raises(ValueError, match=r"gamma = 1\.5 is out of range"):
        fit(CFG, hyperparams=out_of_range)
    with pytest.raises(ValueError, match="did you mean 'Pendulum-v1'"):
        fit(CFG.replace(env="Pendulum-v0"))
    for name in ("log_every", "eval_every", "checkpoint_every"):
        with pytest.raises(ValueError, match=f"{name} = -1 is not allowed; give a whole number"):
            fit(CFG, **{name: -1})
    for name in ("eval_episodes", "keep_checkpoints"):
        with pytest.raises(ValueError, match=f"{name} = 0 is not allowed; give a whole number"):
            fit(CFG, **{name: 0})


@pytest.mark.slow
def test_blocks_shrink_until_the_training_fits_into_the_memory(monkeypatch):
    cfg, blocks = CFG.replace(agents_at_once="all"), []
    needed = {8: 900, 4: 500, 2: 300, 1: 200}

    def in_blocks(function, most):
        blocks.append(most())
        return blocks_module.in_blocks(function, most)

    monkeypatch.setattr(agents, "in_blocks", in_blocks)
    monkeypatch.setattr(agents, "bytes_needed", lambda program: needed[blocks[-1]])
    monkeypatch.setattr(agents, "bytes_available", lambda device: 350)
    progress = []
    fit(cfg, num_seeds=8, on_chunk=lambda p: progress.append(p) or True)
    assert blocks == [8, 4, 2]
    assert progress[0].device_bytes == 300


def test_agents_that_do_not_fit_at_all_are_refused_before_the_training(monkeypatch):
    monkeypatch.setattr(agents, "bytes_available", lambda device: 1000)
    with pytest.raises(MemoryError, match=r"2 agents need .* has 0.0 MB; give fewer agents"):
        fit(CFG.replace(agents_at_once=1), num_seeds=2)
