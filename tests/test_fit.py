import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import Config, HyperParams, TrainResult, make_train, make_trainer
from rpojax.fit import Progress, fit

fit_module = importlib.import_module("rpojax.fit")  # the package may have a function of that name

# 320 steps in each environment: Pendulum's episodes of 200 end in some updates and not in others.
CFG = Config(
    total_timesteps=5 * 8 * 64, num_envs=8, num_steps=64, update_epochs=2, num_minibatches=2
)


def leaves(result: TrainResult) -> list[np.ndarray]:
    unkeyed = result.replace(state=result.state.replace(key=jax.random.key_data(result.state.key)))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(unkeyed)]


def assert_same(a: TrainResult, b: TrainResult) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def watched() -> tuple[TrainResult, list[Progress]]:
    seen: list[Progress] = []
    return fit(CFG, num_seeds=3, seed=7, on_chunk=seen.append), seen


def test_numbers_are_those_of_the_vmapped_train(watched):
    keys = jax.random.split(jax.random.key(7), 3)
    assert_same(watched[0], jax.jit(jax.vmap(make_train(CFG)))(keys))


def test_bits_are_those_of_the_trainer(watched):
    trainer = make_trainer(CFG)
    state = jax.jit(jax.vmap(trainer.init))(jax.random.split(jax.random.key(7), 3))
    state, metrics = jax.jit(jax.vmap(trainer.run))(state)
    expected = watched[0].replace(state=state, metrics=metrics)
    for x, y in zip(leaves(watched[0]), leaves(expected), strict=True):
        np.testing.assert_array_equal(x, y)


def test_hyperparams_reach_the_training_and_agree_with_make_train():
    hyperparams = CFG.hyperparams().replace(alpha=0.1, learning_rate=1e-3)
    result = fit(CFG, num_seeds=2, seed=1, hyperparams=hyperparams)
    keys = jax.random.split(jax.random.key(1), 2)
    expected = jax.jit(jax.vmap(make_train(CFG), (0, None)))(keys, hyperparams)
    assert_same(result, expected)
    np.testing.assert_allclose(result.metrics.learning_rate[:, 0], 1e-3)


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
    monkeypatch.setattr(fit_module, "LONGEST_CHUNK", longest)
    monkeypatch.setattr(fit_module, "SECONDS_PER_CHUNK", 3600.0)
    seen: list[Progress] = []
    with jax.log_compiles():
        result = fit(CFG, num_seeds=3, seed=7, on_chunk=seen.append)
    lengths = np.diff([progress.updates for progress in seen]).tolist()
    assert lengths == {2: [1, 2, 2], 256: [1, 4]}[longest]
    programs = [
        record for record in caplog.messages if record.startswith("Compiling jit(_advance)")
    ]
    assert len(programs) == 1
    assert_same(result, watched[0])


def test_slow_updates_come_one_at_a_time(monkeypatch):
    monkeypatch.setattr(fit_module, "SECONDS_PER_CHUNK", 0.0)
    seen: list[Progress] = []
    fit(CFG, on_chunk=seen.append)
    assert [progress.updates for progress in seen] == [0, 1, 2, 3, 4, 5]


def test_a_diverged_seed_is_flagged(watched):
    assert watched[0].finite.tolist() == [True, True, True]
    hyperparams = CFG.hyperparams().replace(learning_rate=1e30)
    assert fit(CFG, num_seeds=2, hyperparams=hyperparams).finite.tolist() == [False, False]


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
    with pytest.raises(ValueError, match=r"hyperparams.alpha has shape \(2,\).*vmap make_train"):
        fit(CFG, hyperparams=sweep)
    out_of_range = HyperParams(**{**vars(CFG.hyperparams()), "gamma": jnp.float32(1.5)})
    with pytest.raises(ValueError, match=r"gamma = 1\.5 is out of range"):
        fit(CFG, hyperparams=out_of_range)
    with pytest.raises(ValueError, match="did you mean 'Pendulum-v1'"):
        fit(CFG.replace(env="Pendulum-v0"))
