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

from rpojax import (
    Config,
    HyperParams,
    NetworkConfig,
    TrainingInterrupted,
    TrainResult,
    evaluate,
    make_train,
)
from rpojax.core.model import make_model
from rpojax.core.train import init_agent, make_parts
from rpojax.programs import blocks as blocks_module
from rpojax.runs import agents, checkpoint, checkpoint_manager, chunk, loop
from rpojax.runs.api import fit, resume
from rpojax.runs.progress import Progress
from rpojax.settings.agent_table import agent_table

pytestmark = pytest.mark.optimized

# 320 steps in each environment: Pendulum's episodes of 200 end in some updates and not in others.
CFG = Config(
    total_timesteps=5 * 8 * 64, num_envs=8, num_steps=64, update_epochs=2, num_minibatches=2
)


def vmapped(cfg: Config, num_seeds: int, seed: int, hyperparams: HyperParams | None = None):
    """What `fit` is to be bit-identical to: hyperparameters [N] as arguments of one program."""
    table = agent_table(cfg.hyperparams(), hyperparams, num_seeds=num_seeds, seed=seed)
    return jax.jit(jax.vmap(make_train(cfg)))(table.keys(), table.hyperparams)


@pytest.fixture(scope="module")
def watched() -> tuple[TrainResult, list[Progress]]:
    seen: list[Progress] = []
    return fit(CFG, num_seeds=3, seed=7, on_chunk=seen.append), seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_seeds", "changes"),
    [
        (1, {}),
        (3, {}),
        (3, {"normalize_values": True, "lr_schedule": "kl_adaptive", "kl_threshold": 0.02}),
        (
            3,
            {
                "normalize_observations": False,
                "normalize_rewards": False,
                "network": NetworkConfig(shared_torso=True, hidden_sizes=(16,), activation="relu"),
                "lr_schedule": "constant",
            },
        ),
    ],
    ids=["one agent", "default", "values and kl_adaptive", "shared torso, no normalisers"],
)
def test_result_is_bit_identical_to_the_vmapped_train(changes, num_seeds):
    cfg = CFG.replace(**changes)
    assert_same_bits(fit(cfg, num_seeds, seed=7), vmapped(cfg, num_seeds, seed=7))


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


@pytest.mark.parametrize("longest", [2, 256])
def test_chunks_of_any_length_need_one_program_and_give_the_same(
    watched, longest, monkeypatch, caplog
):
    monkeypatch.setattr(agents, "LONGEST_CHUNK", longest)
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 3600.0)
    seen: list[Progress] = []
    with jax.log_compiles():
        result = fit(CFG, num_seeds=3, seed=7, on_chunk=seen.append)
    lengths = np.diff([progress.updates for progress in seen]).tolist()
    assert lengths == {2: [1, 2, 2], 256: [1, 4]}[longest]
    programs = [
        record for record in caplog.messages if record.startswith("Compiling jit(train_agents)")
    ]
    assert len(programs) == 1
    assert_same_bits(result, watched[0])


def test_slow_updates_come_one_at_a_time(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)
    seen: list[Progress] = []
    fit(CFG, on_chunk=seen.append)
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
        num_seeds=3,
        seed=7,
        loggers=[memory],
        log_every=2,
        eval_every=2,
        eval_episodes=4,
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

    arguments = {"num_seeds": 3, "seed": 7, "checkpoint_dir": tmp_path}
    fit(CFG, **arguments)
    with pytest.raises(ValueError, match="path exists already"):
        fit(CFG, loggers=[Refusing()], overwrite=True, **arguments)
    assert checkpoint_manager.updates_saved(tmp_path) == CFG.num_updates


def nan_for_the_unlucky(reward, timestep, timesteps):
    """NaN in the third update, for the agents whose environments go badly then."""
    return jnp.where((timestep == 150) & (jnp.mean(reward) < -6.5), jnp.nan, reward)


@pytest.mark.slow
def test_diverged_agent_keeps_its_last_finite_state_and_the_others_are_unaffected(tmp_path):
    cfg = CFG.replace(reward_shaper=nan_for_the_unlucky)
    expected = vmapped(cfg, 4, seed=0)
    finite = np.asarray(expected.finite)
    assert finite.any()
    assert not finite.all(), "choose another threshold: some are to diverge and some are not"
    with pytest.warns(RuntimeWarning) as warned:
        result = fit(
            cfg, 4, seed=0, checkpoint_dir=tmp_path, checkpoint_every=1, keep_checkpoints=9
        )
    assert sorted(str(each.message) for each in warned) == [
        f"agent {agent} (seed={agent}) diverged in update 3, where NaN or infinity appeared first "
        "in: reward; it keeps its state after update 2, and is trained no further"
        for agent in np.flatnonzero(~finite)
    ]
    np.testing.assert_array_equal(result.finite, finite)
    before = checkpoint.read(checkpoint_manager.checkpoint_paths(tmp_path)[2], cfg).run
    assert before.updates == 2
    assert before.finite.all()
    for seed in range(4):
        if finite[seed]:
            assert_same_bits(result.select(seed), expected.select(seed))
        else:
            select = jax.tree.map(lambda leaf, seed=seed: leaf[seed], before.states.state)
            assert_same_bits(result.select(seed).state, select)
            assert int(result.state.update_count[seed]) == 2
            losses = np.asarray(result.metrics.policy_loss[seed])
            np.testing.assert_array_equal(np.isnan(losses), [False, False, True, True, True])
    last = checkpoint_manager.newest(tmp_path, cfg).run
    np.testing.assert_array_equal(last.finite, finite)
    assert_same_bits(resume(tmp_path, cfg=cfg), result)


@pytest.mark.slow
def test_all_agents_may_diverge():
    hyperparams = CFG.hyperparams().replace(learning_rate=1e30)
    with pytest.warns(RuntimeWarning, match=r"agent [01] .* diverged in update 1"):
        result = fit(CFG, num_seeds=2, hyperparams=hyperparams)
    assert result.finite.tolist() == [False, False]
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
        fit(CFG, on_chunk=press_at(2))
    assert e.value.result.metrics.kl.shape == (1, 2)


def test_second_interrupt_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 0.0)
    with pytest.raises(KeyboardInterrupt) as stopped:
        fit(CFG, on_chunk=press_at(2, times=2), checkpoint_dir=tmp_path, checkpoint_every=5)
    assert not isinstance(stopped.value, TrainingInterrupted)
    assert checkpoint_manager.newest(tmp_path).run.updates == 0


def test_it_trains_away_from_the_main_thread_too():
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(CFG, 3, 7)))
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
        fit(CFG, on_chunk=stop)


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
