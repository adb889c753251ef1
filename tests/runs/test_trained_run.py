"""A run in Python after the fact."""

import jax
import numpy as np
import pytest
from bits import assert_same_bits

from rpojax import Config, fit, load, make_policy
from rpojax.runs import checkpoint_manager

pytestmark = pytest.mark.usefixtures("programs_shared")

CFG = Config(total_timesteps=6 * 4 * 32, num_envs=4, num_steps=32, num_minibatches=2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    place = tmp_path_factory.mktemp("saved")
    hyperparams = CFG.hyperparams().replace(alpha=[0.1, 0.2])
    result = fit(
        CFG,
        seeds=[7, 3],
        hyperparams=hyperparams,
        eval_every=2,
        eval_episodes=2,
        checkpoint_dir=place / "checkpoints",
    )
    return place, result


def test_run_knows_its_settings_its_agents_and_its_result(saved):
    place, result = saved
    run = load(place)
    assert run.cfg == CFG
    assert [(agent.seed, agent.hyperparams["alpha"]) for agent in run.agents] == [
        (7, 0.1),
        (3, 0.2),
    ]
    assert run.settings.eval_every == 2
    assert_same_bits(run.result, result)
    assert run.updates.tolist() == [6, 6]
    assert run.checkpoint == place / "checkpoints" / "update_000000006"


def test_run_and_checkpoint_directories_mean_the_same(saved):
    place, result = saved
    assert_same_bits(load(str(place / "checkpoints")).result, result)


def test_policy_is_that_of_the_agent(saved):
    place, result = saved
    obs = np.ones((2, 3), np.float32)
    for agent in (0, 1):
        expected = make_policy(CFG, result.select(agent).state)(obs)
        np.testing.assert_array_equal(load(place).policy(agent)(obs), expected)
    noisy = load(place).policy(deterministic=False)
    assert not np.array_equal(noisy(obs, jax.random.key(0)), noisy(obs, jax.random.key(1)))


def test_evaluation_is_that_of_fit_or_of_one_seed(saved):
    run = load(saved[0])
    own = run.evaluate(2)
    assert own.episode_return.shape == (2, 2)
    best = load(saved[0], best=True)
    again = np.asarray(best.evaluate(2).episode_return).mean(axis=1)
    recorded = checkpoint_manager.newest(saved[0] / "checkpoints").run.best.evaluation_return
    np.testing.assert_allclose(again, recorded, rtol=1e-5)
    same = run.evaluate(2, seed=5, max_steps=3)
    assert (np.asarray(same.episode_length) == 3).all()
    assert_same_bits(same, run.evaluate(2, seed=5, max_steps=3))


@pytest.mark.parametrize("agent", [2, -1, 0.5])
def test_other_agents_are_refused(saved, agent):
    with pytest.raises(ValueError, match=f"agent = {agent}"):
        load(saved[0]).state(agent)


def test_best_of_a_run_that_was_not_evaluated_is_refused(tmp_path):
    stop = {"on_chunk": lambda progress: True}
    fit(CFG, seeds=[7, 3], eval_episodes=2, checkpoint_dir=tmp_path, **stop)
    with pytest.raises(ValueError, match="holds no evaluated agents; train with eval_every"):
        load(tmp_path, best=True)
