"""Population-based training in `fit`."""

import jax
import numpy as np
import pytest
from bits import assert_same_bits

from rpojax import PBT, Config, NetworkConfig, fit, load, resume
from rpojax.studies import LogUniform, Uniform

pytestmark = pytest.mark.usefixtures("programs_shared")

CFG = Config(
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=4 * 8 * 13,
    network=NetworkConfig(hidden_sizes=(8,)),
    env="MountainCarContinuous-v0",
)
EVOLVE = PBT(
    every=3,
    hyperparams={"learning_rate": LogUniform(1e-4, 1e-2), "alpha": Uniform(0.0, 1.0)},
    fraction=0.4,
    eval_episodes=2,
)


@pytest.fixture(scope="module")
def evolved():
    return fit(CFG, num_seeds=5, evolve=EVOLVE)


def test_history_says_who_goes_on_from_whom_with_what(evolved):
    history = evolved.evolution
    assert history.parents.shape == history.scores.shape == (5, 5)  # 13 updates, 3 at a time
    parents = np.asarray(history.parents)
    own = np.arange(5)
    for generation in range(4):
        scores = np.asarray(history.scores[:, generation])
        order = np.argsort(scores, kind="stable")
        replaced = np.flatnonzero(parents[:, generation] != own)
        assert set(replaced) <= set(order[:2])
        assert set(parents[replaced, generation]) <= set(order[-2:])
    assert (parents[:, 4] == own).all()  # nobody copies after the last update
    for name, value in vars(history.hyperparams).items():
        value = np.asarray(value)
        for generation in range(4):
            kept = parents[:, generation] == own
            assert (value[kept, generation + 1] == value[kept, generation]).all(), name
    rates = np.asarray(history.hyperparams.learning_rate)
    assert len(np.unique(rates[:, 0])) == 5  # drawn from the range
    assert (parents[:, :4] != own[:, None]).any()
    moved = [(a, g) for a in range(5) for g in range(4) if parents[a, g] != a]
    assert any(rates[a, g + 1] != rates[parents[a, g], g] for a, g in moved)


@pytest.mark.slow
def test_replaced_agent_goes_on_from_its_parents_parameters():
    """With gradient steps of no size, so that what was copied is still there."""
    frozen = CFG.replace(total_timesteps=4 * 8 * 2, learning_rate=1e-30)
    evolve = PBT(every=1, hyperparams={"alpha": Uniform(0, 1)}, fraction=0.5, eval_episodes=1)
    result = fit(frozen, num_seeds=4, evolve=evolve)
    parents = np.asarray(result.evolution.parents[:, 0])
    assert (parents != np.arange(4)).any()
    start = fit(frozen.replace(total_timesteps=4 * 8), seeds=range(4)).state.params
    for after, before in zip(
        jax.tree.leaves(result.state.params), jax.tree.leaves(start), strict=True
    ):
        np.testing.assert_allclose(after, np.asarray(before)[parents], atol=1e-20)
    keys = jax.random.key_data(result.state.key)
    assert len(np.unique(np.asarray(keys), axis=0)) == 4  # each stays an agent of its own


def test_chunks_and_checkpoints_change_nothing(evolved, tmp_path):
    stopped = {"on_chunk": lambda progress: progress.updates >= 6, "checkpoint_every": 3}
    fit(CFG, num_seeds=5, evolve=EVOLVE, checkpoint_dir=tmp_path, **stopped)
    resumed = resume(tmp_path)
    assert_same_bits(resumed, evolved)
    assert_same_bits(load(tmp_path).result.evolution, evolved.evolution)


@pytest.mark.slow
def test_values_that_agents_have_of_their_own_are_kept():
    rates = np.float32([1e-4, 2e-4, 3e-4])
    hyperparams = CFG.hyperparams().replace(learning_rate=rates)
    result = fit(CFG.replace(total_timesteps=64), hyperparams=hyperparams, evolve=EVOLVE)
    history = result.evolution.hyperparams
    assert np.asarray(history.learning_rate[:, 0]).tolist() == rates.tolist()
    assert len(np.unique(history.alpha[:, 0])) == 3  # shared by all, so it is drawn


def test_agent_that_diverged_is_replaced():
    rates = np.float32([1e-3, 2e-3, 3e38, 3e-3, 4e-3])
    hyperparams = CFG.hyperparams().replace(learning_rate=rates)
    result = fit(CFG, hyperparams=hyperparams, seeds=range(5), evolve=EVOLVE)
    assert np.asarray(result.finite).all()
    trained = ~np.isnan(np.asarray(result.metrics.learning_rate))
    assert not trained[2, :3].all()
    assert result.evolution.parents[2, 0] != 2
    assert trained[2, 3:].any()


@pytest.mark.slow
def test_nobody_is_replaced_where_no_episode_ended():
    evolve = PBT(every=1, hyperparams={"alpha": Uniform(0.0, 1.0)})
    result = fit(CFG.replace(total_timesteps=64), num_seeds=4, evolve=evolve)
    assert np.isnan(result.evolution.scores).all()
    assert (np.asarray(result.evolution.parents) == np.arange(4)[:, None]).all()


@pytest.mark.slow
def test_a_generation_without_an_episode_has_the_scores_of_the_one_before():
    """Pendulum's episodes of 200 steps end in every third generation of 64; also across chunks."""
    cfg = CFG.replace(env="Pendulum-v1", num_steps=64, total_timesteps=4 * 64 * 8)
    evolve = PBT(every=1, hyperparams={"alpha": Uniform(0.0, 1.0)})
    result = fit(cfg, num_seeds=4, evolve=evolve, eval_episodes=1)
    history = jax.tree.map(np.asarray, result.evolution)
    ended = np.asarray(result.metrics.episode_count)[0] > 0
    assert ended.tolist() == [False] * 3 + [True] + [False] * 2 + [True] + [False]
    assert np.isnan(history.scores[:, :3]).all()
    for generation in (4, 5, 7):
        before = history.scores[history.parents[:, generation - 1], generation - 1]
        np.testing.assert_array_equal(history.scores[:, generation], before)
    np.testing.assert_array_equal(history.scores[:, 3], result.metrics.episode_return[:, 3])
    one_by_one = fit(cfg, num_seeds=4, evolve=evolve, eval_every=1, eval_episodes=1)
    assert_same_bits(one_by_one.evolution, result.evolution)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_seeds": 1}, "evolve needs a population"),
        ({"num_seeds": 4, "eval_every": 2}, "eval_every = 2 ends within a generation of 3"),
        ({"num_seeds": 4, "checkpoint_every": 4}, "checkpoint_every = 4 ends within"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(CFG, evolve=EVOLVE, **arguments)


@pytest.mark.slow
def test_a_population_that_ended_within_a_generation_is_not_prolonged(tmp_path):
    short = CFG.replace(total_timesteps=4 * 8 * 4)
    fit(short, num_seeds=2, evolve=EVOLVE, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"ended after 4 updates, within a generation of 3"):
        resume(tmp_path, total_timesteps=CFG.total_timesteps)
    assert resume(tmp_path).evolution.parents.shape == (2, 2)  # as it is


def test_evolve_is_a_pbt():
    with pytest.raises(ValueError, match=r"evolve = \{'every': 2\} is not a PBT; give rpojax.PBT"):
        fit(CFG, num_seeds=2, evolve={"every": 2})
