"""Training to the end: slow, and the one proof that counts."""

import jax
import numpy as np
import probes
import pytest

import rpojax

pytestmark = pytest.mark.optimized

SEEDS = 8


@pytest.fixture(scope="module")
def agents():
    cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=500_000)
    train = jax.jit(jax.vmap(rpojax.make_train(cfg)))
    return cfg, jax.block_until_ready(train(jax.random.split(jax.random.key(0), SEEDS)))


@pytest.mark.slow
def test_every_seed_solves_pendulum_in_500k_steps(agents):
    cfg, results = agents
    evaluation = jax.vmap(lambda state: rpojax.evaluate(cfg, state, jax.random.key(1)))(
        results.state
    )
    returns = np.asarray(evaluation.episode_return.mean(axis=1))
    print(f"\nPendulum-v1, {SEEDS} seeds: {returns.mean():.1f} +- {returns.std(ddof=1):.1f}")
    print("by seed:", np.round(returns, 1))
    assert (returns >= -200.0).all(), returns
    assert bool(results.finite.all())


@pytest.mark.slow
def test_trained_policy_does_as_well_in_gymnasium(agents):
    """The policy as a NumPy function, in the environment of another library."""
    gymnasium = pytest.importorskip("gymnasium")
    cfg, results = agents
    act = rpojax.make_policy(cfg, results.select(0).state)
    envs = gymnasium.make_vec("Pendulum-v1", num_envs=64, vectorization_mode="sync")
    obs, _ = envs.reset(seed=0)
    total = np.zeros(64)
    for _ in range(200):
        obs, reward, _, _, _ = envs.step(act(obs))
        total += reward
    envs.close()
    print(f"\nGymnasium's Pendulum-v1, 64 episodes: {total.mean():.1f} +- {total.std(ddof=1):.1f}")
    assert total.mean() >= -200.0, total.mean()


@pytest.mark.slow
@pytest.mark.parametrize("cell", [None, "rnn", "gru", "lstm"])
def test_recurrent_agents_remember_and_perceptrons_cannot(cell):
    """Without memory the best return is 0, with it 1: all of four seeds stay on their side."""
    cfg = rpojax.Config(
        env=probes.recall(),
        num_envs=32,
        num_steps=24,
        update_epochs=4,
        num_minibatches=4,
        total_timesteps=40_000,
        learning_rate=3e-3,
        alpha=0.1,
        gamma=1.0,
        network=rpojax.NetworkConfig(hidden_sizes=(16,), cell=cell, cell_sizes=(16,)),
        normalize_observations=False,
        normalize_rewards=False,
    )
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(jax.random.split(jax.random.key(0), 4))
    evaluation = jax.vmap(lambda state: rpojax.evaluate(cfg, state, jax.random.key(1), 64))(
        result.state
    )
    returns = evaluation.episode_return.mean(axis=1)
    if cell is None:
        assert returns.max() < 0.05, returns
    else:
        assert returns.min() > 0.95, returns


@pytest.mark.slow
def test_a_perceptron_with_a_history_does_without_velocities():
    """-204 over 8 agents; -1144 without the history, in benchmarks/results/memory.csv."""
    angle = rpojax.envs.transform_observation(rpojax.envs.make("Pendulum-v1"), lambda obs: obs[:2])
    cfg = rpojax.Config.preset("Pendulum-v1", env=rpojax.envs.history(angle, 4))
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(jax.random.split(jax.random.key(0), SEEDS))
    evaluation = jax.vmap(lambda state: rpojax.evaluate(cfg, state, jax.random.key(1)))(
        result.state
    )
    returns = np.asarray(evaluation.episode_return.mean(axis=1))
    print(f"\nPendulum-v1 without velocities: {returns.mean():.1f}, by seed:", np.round(returns, 1))
    assert returns.mean() >= -250.0, returns


@pytest.mark.slow
def test_bfloat16_solves_pendulum_too():
    network = rpojax.NetworkConfig(dtype="bfloat16")
    cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=500_000, network=network)
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(jax.random.split(jax.random.key(0), 4))
    evaluation = jax.vmap(lambda state: rpojax.evaluate(cfg, state, jax.random.key(1)))(
        result.state
    )
    returns = np.asarray(evaluation.episode_return.mean(axis=1))
    print(f"\nPendulum-v1 in bfloat16: {returns.mean():.1f} +- {returns.std(ddof=1):.1f}")
    assert (returns >= -200.0).all(), returns
