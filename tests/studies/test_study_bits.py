"""An agent of a study is that of `make_train` to the bit, although their programs differ."""

import jax
import numpy as np
import pytest
from bits import assert_same_bits

from rpojax import Config, NetworkConfig, make_train, study
from rpojax.studies import Confirm

pytestmark = [pytest.mark.slow, pytest.mark.optimized]

CFG = Config(
    env="MountainCarContinuous-v0",
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=4 * 8 * 8,
    network=NetworkConfig(hidden_sizes=(8,)),
    agents_at_once=1,
)
GRID = {"alpha": [0.0, 0.5], "env_params.power": [0.001, 0.002]}


def test_each_agent_is_that_of_train_alone():
    confirm = Confirm(num_seeds=1, settings=1)
    found = study(CFG, grid=GRID, halving=4, confirm=confirm, num_seeds=2, eval_episodes=2)
    train = jax.jit(make_train(CFG))

    def alone(setting, seed):
        hyperparams = CFG.hyperparams().replace(alpha=setting.changes["alpha"])
        power = setting.changes["env_params.power"]
        return train(jax.random.key(seed), hyperparams, {"power": power})

    assert sorted(found.fractions.tolist()) == [0.25, 0.25, 0.25, 1.0]
    for index, setting in enumerate(found.settings):
        for seed in range(2):
            agent, expected = found.result(index).select(seed), alone(setting, seed)
            done = len(agent.metrics.kl)
            assert done == (8 if index == found.best else 2)
            first = jax.tree.map(lambda leaf, done=done: leaf[:done], expected.metrics)
            assert_same_bits(agent.metrics, first)
            if index == found.best:
                assert_same_bits(agent.state, expected.state)
    again = found.confirmed.result(0).select(0)
    assert_same_bits(again.state, alone(found.settings[found.best], 2).state)
    assert not np.array_equal(again.metrics.kl, found.result(found.best).metrics.kl[0])
