"""Training, evaluation, policies and `fit` under JAX's own switches."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax

TINY = {
    "num_envs": 2,
    "num_steps": 4,
    "num_minibatches": 2,
    "update_epochs": 1,
    "total_timesteps": 16,
}
FEED_FORWARD = rpojax.Config(**TINY, network=rpojax.NetworkConfig(hidden_sizes=(4,)))
RECURRENT = FEED_FORWARD.replace(
    network=rpojax.NetworkConfig(hidden_sizes=(4,), cell="gru", cell_sizes=(4,)),
    sequence_length=2,
)
CONFIGS = {"feed-forward": FEED_FORWARD, "recurrent": RECURRENT}


STRICT = {
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_numpy_dtype_promotion": "strict",
}


@contextlib.contextmanager
def switched(**values):
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def keys(num=3):
    """New key arrays for each use: `jax_debug_key_reuse` follows them outside of programs, too."""
    return [jax.random.key(seed) for seed in range(num)]


def train_and_play(cfg, max_steps=3):
    """A result of training, and what its policy does: plain arrays without PRNG keys."""
    train_key, evaluation_key, action_key = keys()
    result = jax.jit(rpojax.make_train(cfg))(train_key)
    played = rpojax.evaluate(
        cfg, result.state, evaluation_key, 2, deterministic=False, max_steps=max_steps
    )
    act = rpojax.make_recurrent_policy(cfg, result.state, deterministic=False)
    action, _ = act(jnp.ones((2, 3), jnp.float32), key=action_key)
    result = result.replace(state=result.state.replace(key=None))
    return {"result": result, "played": played, "action": action}


@pytest.fixture(scope="module", params=CONFIGS)
def cfg_and_plain(request):
    """A config, and what comes out of it with no switch set."""
    cfg = CONFIGS[request.param]
    return cfg, train_and_play(cfg)


def assert_same(made, plain, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), made, plain)


def without_environment(made):
    """Without the fields of the state that have the environment's own dtypes."""
    result = made["result"]
    return made | {"result": result.replace(state=result.state.replace(env_state=None, obs=None))}


def without_episodes(made):
    """Without the metrics that are means over episodes."""
    result = made["result"]
    metrics = result.metrics.replace(episode_return=None, episode_length=None)
    return made | {"result": result.replace(metrics=metrics)}


@pytest.mark.slow
def test_strict_switches_change_no_bit(cfg_and_plain):
    cfg, plain = cfg_and_plain
    with switched(**STRICT):
        assert_same(train_and_play(cfg), plain, rtol=0)


@pytest.mark.slow
def test_x64_leaves_all_but_the_environment_in_32_bits(cfg_and_plain):
    cfg, plain = cfg_and_plain
    with switched(jax_enable_x64=True):
        made = train_and_play(cfg)
    assert made["result"].state.obs.dtype == jnp.float64  # the switch reaches the environment
    dtypes = [
        jax.tree.map(lambda leaf: leaf.dtype, without_environment(tree)) for tree in (made, plain)
    ]
    assert dtypes[0] == dtypes[1]
    assert bool(made["result"].finite)


@pytest.mark.slow
def test_debug_nans_lets_a_healthy_training_pass(cfg_and_plain):
    """No episode of 200 steps ends in 8: the mean over none is NaN, or 0 under the switch."""
    cfg, plain = cfg_and_plain
    with switched(jax_debug_nans=True):
        made = train_and_play(cfg)
    for name in ("episode_return", "episode_length"):
        assert np.isnan(getattr(plain["result"].metrics, name)).all()
        np.testing.assert_array_equal(getattr(made["result"].metrics, name), 0.0)
    np.testing.assert_array_equal(made["result"].metrics.episode_count, 0.0)
    assert_same(without_episodes(made), without_episodes(plain), rtol=0)


@pytest.mark.slow
def test_debug_nans_keeps_means_over_episodes():
    cfg = FEED_FORWARD.replace(num_steps=200, total_timesteps=800)
    results = []
    for value in (False, True):
        with switched(jax_debug_nans=value):
            results.append(jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).metrics)
    plain, made = results
    np.testing.assert_array_equal(made.episode_count, [2.0, 2.0])
    np.testing.assert_array_equal(made.episode_length, [200.0, 200.0])
    np.testing.assert_array_equal(made.episode_return, plain.episode_return)


@pytest.mark.slow
def test_debug_nans_finds_a_diverging_training():
    cfg = FEED_FORWARD.replace(reward_shaper=lambda reward, timestep, timesteps: reward * jnp.nan)
    with switched(jax_debug_nans=True), pytest.raises(FloatingPointError):
        jax.jit(rpojax.make_train(cfg))(jax.random.key(0))


@pytest.mark.slow
def test_transfer_guard_finds_no_transfer_in_compiled_programs(cfg_and_plain):
    cfg, _ = cfg_and_plain
    train = jax.jit(rpojax.make_train(cfg))
    train_key, evaluation_key, action_key = keys()
    obs, hyperparams = jnp.ones((2, 3), jnp.float32), cfg.hyperparams()
    state = train(train_key, hyperparams).state
    act = rpojax.make_recurrent_policy(cfg, state, deterministic=False)
    _, carry = act(obs, key=action_key)

    def evaluate():
        return rpojax.evaluate(cfg, state, evaluation_key, 2, deterministic=False, max_steps=3)

    evaluate()
    with switched(jax_transfer_guard="disallow"):
        jax.block_until_ready((train(train_key, hyperparams), evaluate()))
        jax.block_until_ready(act(obs, carry, key=action_key))


@pytest.mark.slow  # each operation of each step is dispatched
def test_disable_jit_runs_the_same_algorithm():
    cfg = FEED_FORWARD.replace(num_steps=2, num_minibatches=1, total_timesteps=4)
    plain = train_and_play(cfg, max_steps=1)
    with switched(jax_disable_jit=True):
        made = train_and_play(cfg, max_steps=1)
    assert_same(made, plain, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def fitted():
    return rpojax.fit(FEED_FORWARD, num_seeds=2, eval_every=1, eval_episodes=2)


@pytest.mark.parametrize(
    "switches",
    [
        STRICT | {"jax_debug_nans": True, "jax_debug_infs": False},  # no best return is -inf
        {"jax_enable_x64": True},
    ],
)
def test_fit(fitted, switches):
    with switched(**switches):
        made = rpojax.fit(FEED_FORWARD, num_seeds=2, eval_every=1, eval_episodes=2)
    assert bool(np.all(made.finite))
    assert np.isnan(made.metrics.episode_return).all()
    assert {leaf.dtype for leaf in jax.tree.leaves(made.metrics)} == {jnp.dtype(jnp.float32)}
    if "jax_enable_x64" not in switches:  # which changes the environment's random numbers
        assert_same(made.metrics, fitted.metrics, rtol=0)
