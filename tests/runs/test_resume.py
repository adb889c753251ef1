"""Runs that are stopped, killed or damaged, then resumed; against `make_train` in test_agents."""

import time

import jax
import jax.numpy as jnp
import killed
import numpy as np
import pytest
from bits import assert_same_bits
from stopped_runs import stopped_after
from test_fit import Memory

import rpojax
from rpojax import Config
from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs.api import fit, resume
from rpojax.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("programs_shared")

SEEDS, UPDATES = 3, 12
# 12 x 32 steps: Pendulum's episodes of 200 end within the run, and not in every update.
BASE = Config(
    total_timesteps=UPDATES * 4 * 32, num_envs=4, num_steps=32, update_epochs=2, num_minibatches=2
)
CFG = BASE.replace(normalize_values=True, lr_schedule="kl_adaptive", kl_threshold=0.05)
EPISODES = {"eval_episodes": 2}  # as in the one run that evaluates, so that all share a program


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """The result of a run, and a directory with a checkpoint of each update."""
    directory = tmp_path_factory.mktemp("first") / "run"
    kept = {"checkpoint_every": 1, "keep_checkpoints": UPDATES + 1, **EPISODES}
    return fit(CFG, SEEDS, seed=5, checkpoint_dir=directory, **kept), directory


@pytest.mark.slow
def test_resume_twice_with_evaluations_switched_on_and_the_config_given(first_run, tmp_path):
    result, directory = first_run
    at = stopped_after(directory, 3, tmp_path / "run")

    class StopError(Exception):
        pass

    def stop(progress):
        if progress.updates >= 7:
            raise StopError

    with pytest.raises(StopError):
        resume(at, cfg=CFG, on_chunk=stop, eval_every=2)
    assert checkpoint_manager.newest(at).run.updates >= 7
    assert_same_bits(resume(at), result)
    assert checkpoint_manager.newest(at).run.settings.eval_every == 2
    best = checkpoint_manager.newest(at).run.best
    assert best.evaluation_return.shape == (SEEDS,)
    assert set(np.asarray(best.state.update_count).tolist()) <= {4, 6, 8, 10, 12}


def test_loggers_of_a_resumed_run_start_where_it_was(first_run, tmp_path):
    result, directory = first_run
    memory = Memory()
    resume(stopped_after(directory, 8, tmp_path / "run"), loggers=[memory], log_every=3)
    assert memory.started == [(CFG, (5, 6, 7), 8)]
    assert [record.updates for record in memory.records] == [9, 12]
    expected = np.asarray(result.metrics.entropy)[:, 8]  # what comes before has records of its own
    np.testing.assert_allclose(memory.records[0].metrics.entropy, expected, rtol=1e-6)


def test_finished_run_is_returned_without_training(first_run):
    def fail(progress):
        raise AssertionError("it trains")

    assert_same_bits(resume(first_run[1], on_chunk=fail), first_run[0])


@pytest.mark.slow
def test_run_can_be_prolonged(first_run, tmp_path):
    result, directory = first_run
    half = CFG.replace(total_timesteps=CFG.total_timesteps // 2)
    fit(half, SEEDS, seed=5, checkpoint_dir=tmp_path / "half", **EPISODES)
    assert_same_bits(resume(tmp_path / "half", total_timesteps=CFG.total_timesteps), result)
    assert checkpoint_manager.newest(tmp_path / "half").run.settings.cfg == CFG
    with pytest.raises(ValueError, match=r"total_timesteps = 128 is less than the 1536 steps that"):
        resume(directory, total_timesteps=128)


def damage(path):
    """Change one byte of the largest file of a checkpoint."""
    file = max((f for f in path.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.slow
def test_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(first_run, tmp_path):
    result, directory = first_run
    at = stopped_after(directory, 5, tmp_path / "run")
    for path in checkpoint_manager.checkpoint_paths(at)[-2:]:
        damage(path)
    seen: list[Progress] = []
    with pytest.warns(RuntimeWarning, match=r"update_00000000[45] is damaged.*the one bef") as told:
        assert_same_bits(resume(at, on_chunk=seen.append), result)
    assert len(told) == 2
    assert seen[0].updates == 3
    for name in ("update_000000004", "update_000000005"):
        assert (at / f"{name}.damaged").is_dir()
        assert checkpoint.read(at / name).run.updates == int(name[-1])


@pytest.mark.filterwarnings("ignore:.*trying the one before:RuntimeWarning")
def test_no_undamaged_checkpoint_is_an_error(first_run, tmp_path):
    at = stopped_after(first_run[1], 1, tmp_path / "run")
    for path in checkpoint_manager.checkpoint_paths(at):
        damage(path)
    with pytest.raises(ValueError, match=r"all 2 checkpoints in .* are damaged; start a new run"):
        resume(at)


def test_what_is_no_run_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "update_000000001.draft.orbax-checkpoint-tmp").mkdir()
    with pytest.raises(ValueError, match="holds no checkpoint; give the checkpoint_dir of rpojax"):
        resume(tmp_path)
    for path in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"{path.name}' is not a directory; give"):
            resume(path)


def test_another_config_is_refused_and_the_run_stays(first_run):
    result, directory = first_run
    with pytest.raises(ValueError, match=r"not the config of this run: gamma = 0\.5 where the run"):
        resume(directory, cfg=CFG.replace(gamma=0.5))
    assert_same_bits(resume(directory, cfg=CFG), result)


def half_reward(reward, timestep, timesteps):
    return 0.5 * reward


@pytest.mark.slow
def test_config_with_a_function_has_to_be_given(tmp_path):
    cfg = BASE.replace(reward_shaper=half_reward, total_timesteps=2 * BASE.batch_size)
    result = fit(cfg, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"reward_shaper = test_resume:half_reward\); pass"):
        resume(tmp_path)
    assert_same_bits(resume(tmp_path, cfg=cfg), result)
    assert rpojax.load(tmp_path, cfg=cfg).cfg is cfg


def test_existing_run_is_refused_and_overwritten_only_on_demand(first_run, tmp_path):
    at = stopped_after(first_run[1], 2, tmp_path / "run")
    (at / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a run already; resume it with rpojax\.resume\(.*"):
        fit(CFG, SEEDS, seed=5, checkpoint_dir=at)
    assert checkpoint_manager.newest(at).run.updates == 2
    stop = {"on_chunk": lambda progress: True}
    fit(CFG, SEEDS, seed=5, checkpoint_dir=at, overwrite=True, **stop, **EPISODES)
    assert checkpoint_manager.newest(at).run.updates == 0
    assert (at / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match=r"notes\.txt' is a file; give a directory"):
        fit(CFG, checkpoint_dir=at / "notes.txt")


def test_change_of_versions_is_a_warning(first_run, tmp_path, monkeypatch):
    result, directory = first_run
    now = checkpoint.versions()
    monkeypatch.setattr(checkpoint, "versions", lambda: now | {"jax": "99.0"})
    at = stopped_after(directory, 11, tmp_path / "run")
    with pytest.warns(
        RuntimeWarning, match=rf"jax {jax.__version__} is now 99.0: the training resumes"
    ):
        assert_same_bits(resume(at), result)


def test_state_that_the_config_does_not_make_is_an_error(first_run, tmp_path, monkeypatch):
    at = stopped_after(first_run[1], 1, tmp_path / "run")
    made = checkpoint.init_agent

    def other(*args):
        return made(*args).replace(learning_rate=jnp.zeros(2, jnp.int8))

    monkeypatch.setattr(checkpoint, "init_agent", other)
    with pytest.raises(
        ValueError,
        match=r"learning_rate'\] in its part 'state' is float32\[3\], where .* int8\[3, 2\]",
    ):
        resume(at)


def test_full_disk_loses_nothing_that_was_trained(first_run, tmp_path, monkeypatch):
    result, _ = first_run
    write = checkpoint.storage.write

    def full_from_the_third_on(path, *args, **arguments):
        if int(path.name.removeprefix("update_")) > 2:
            raise OSError(f"checkpoint {path} could not be written: No space left on device")
        write(path, *args, **arguments)

    monkeypatch.setattr(checkpoint.storage, "write", full_from_the_third_on)
    with pytest.warns(
        RuntimeWarning, match=r"No space left on device; the training continues, and"
    ):
        done = fit(CFG, SEEDS, 5, checkpoint_dir=tmp_path / "run", checkpoint_every=1, **EPISODES)
    assert_same_bits(done, result)
    assert checkpoint_manager.newest(tmp_path / "run").run.updates == 2
    monkeypatch.undo()
    assert_same_bits(resume(tmp_path / "run"), result)


def test_first_checkpoint_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    def full(path, *args, **arguments):
        raise OSError(f"checkpoint {path} could not be written: No space left on device")

    monkeypatch.setattr(checkpoint.storage, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        fit(CFG, SEEDS, 5, checkpoint_dir=tmp_path, **EPISODES)


def test_relative_directory_stays_the_same_after_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def leave(progress):
        monkeypatch.chdir(tmp_path / "elsewhere")

    fit(CFG, SEEDS, seed=5, checkpoint_dir="run", on_chunk=leave, **EPISODES)
    assert checkpoint_manager.checkpoint_paths(tmp_path / "run")[-1].name.endswith("12")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.*is damaged:RuntimeWarning")
def test_run_killed_again_and_again_is_bit_identical(first_run, tmp_path):
    result, directory = first_run
    at = stopped_after(directory, 0, tmp_path / "run")
    rng, quickly = np.random.default_rng(0), jax.config.values["jax_disable_most_optimizations"]
    for _ in range(5):
        process, told = killed.start(killed.resume_and_report, str(at), quickly)
        assert told.poll(120)
        time.sleep(rng.uniform(0.0, 0.4))
        process.kill()
        process.join(60)
        seen = killed.last_message(told)
        newest = checkpoint_manager.newest(at).run
        assert newest.updates >= seen
        whole = jax.tree.map(lambda leaf: leaf[:, : newest.updates], result.metrics)  # noqa: B023
        jax.tree.map(np.testing.assert_array_equal, newest.metrics, whole)
    assert_same_bits(rpojax.resume(at), result)
