"""A generation of population-based training, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import PBT, Config
from rpojax.programs.evolution import choose_parents, explore, training_scores
from rpojax.studies import Choice, LogUniform, Uniform


def numpy_parents(scores, num_replaced, drawn):
    """Truncation selection as Jaderberg et al. (2017) word it.

    Rank all agents; if an agent is in the bottom n, sample another from the top n uniformly.
    """
    ranked = sorted(range(len(scores)), key=lambda agent: (scores[agent], agent))
    bottom, top = ranked[:num_replaced], ranked[len(scores) - num_replaced :]
    parents = list(range(len(scores)))
    for agent, choice in zip(bottom, drawn, strict=True):
        parents[agent] = top[choice]
    return parents


@pytest.mark.parametrize(("count", "num_replaced"), [(2, 1), (5, 1), (10, 2), (10, 5), (33, 7)])
def test_parents_are_those_of_plain_numpy(count, num_replaced):
    rng = np.random.default_rng(count)
    for trial in range(5):
        scores = rng.integers(0, 6, count).astype(np.float32)  # with ties
        key = jax.random.key(trial)
        drawn = np.asarray(jax.random.randint(key, (num_replaced,), 0, num_replaced))
        parents = choose_parents(jnp.asarray(scores), num_replaced, key)
        assert parents.tolist() == numpy_parents(scores.tolist(), num_replaced, drawn.tolist())


def test_each_of_the_best_is_drawn_alike():
    scores = jnp.arange(10.0)
    keys = jax.random.split(jax.random.key(0), 4000)
    parents = jax.vmap(lambda key: choose_parents(scores, 2, key))(keys)
    assert set(np.unique(parents[:, :2]).tolist()) == {8, 9}
    assert abs(np.mean(np.asarray(parents[:, 0]) == 9) - 0.5) < 0.05
    assert (np.asarray(parents[:, 2:]) == np.arange(2, 10)).all()


PBT_OF_TWO = PBT(
    hyperparams={"learning_rate": LogUniform(1e-4, 1e-2), "alpha": Uniform(0.0, 1.0)},
    factors=(0.5, 2.0),
    resample=0.25,
)


def test_hyperparameters_are_multiplied_or_drawn_anew_within_their_ranges():
    hyperparams = (
        Config()
        .hyperparams()
        .replace(
            learning_rate=np.full(4000, 1e-3), alpha=np.full(4000, 0.8), gamma=np.full(4000, 0.9)
        )
    )
    changed = explore(PBT_OF_TWO, hyperparams, jax.random.key(0))
    rate, alpha = np.asarray(changed.learning_rate), np.asarray(changed.alpha)
    assert changed.gamma is hyperparams.gamma
    halved, doubled = np.isclose(rate, 5e-4).mean(), np.isclose(rate, 2e-3).mean()
    assert abs(halved - 0.375) < 0.04
    assert abs(doubled - 0.375) < 0.04
    anew = rate[~np.isclose(rate, 5e-4) & ~np.isclose(rate, 2e-3)]
    assert abs(np.mean(np.log10(anew)) + 3.0) < 0.1  # the middle of the range, in orders
    assert alpha.min() >= 0.0
    assert abs(np.isclose(alpha, 1.0).mean() - 0.375) < 0.04  # 1.6 is cut to the range's end
    one_alone = np.isclose(rate, 5e-4) & ~np.isclose(alpha, 0.4)
    assert abs(one_alone.mean() - 0.375 * 0.625) < 0.04  # the two change independently


def test_score_is_the_mean_over_episodes_not_over_updates():
    returns = jnp.array([[1.0, 4.0, jnp.nan], [jnp.nan, jnp.nan, jnp.nan]])
    scores = training_scores(returns, jnp.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]))
    assert scores[0] == 3.0
    assert np.isnan(scores[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every = 0"),
        ({"fraction": 0.6}, "fraction = 0.6"),
        ({"factors": ()}, "factors = .* is not a list of factors"),
        ({"factors": (0.0, 2.0)}, "factors = 0 is out of range"),
        ({"resample": 1.5}, "resample = 1.5"),
        ({"hyperparams": {}}, "hyperparams = .* is not a dictionary of ranges"),
        ({"hyperparams": {"num_envs": Uniform(1, 2)}}, "unknown hyperparameter 'num_envs'"),
        ({"hyperparams": {"alpha": Choice((1.0,))}}, "a population explores numbers"),
        ({"hyperparams": {"gamma": Uniform(0.9, 1.1)}}, "gamma = 1.1 is out of range"),
    ],
)
def test_bad_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PBT(**settings)


@pytest.mark.parametrize(("count", "replaced"), [(2, 1), (3, 1), (5, 1), (10, 2), (32, 6)])
def test_number_replaced(count, replaced):
    assert PBT().number_replaced(count) == replaced


def test_population_of_one_is_refused():
    with pytest.raises(ValueError, match="evolve needs a population; give num_seeds of at least 2"):
        PBT().number_replaced(1)
