"""New episodes where old ones end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter

import rpojax
from rpojax import envs
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.resets import Starts, draw_starts, rekey, reset_mode, step_and_reset
from rpojax.core.rollout import collect
from rpojax.envs import TimeStep
from rpojax.programs.trainer import trainer_for

EXACT = Starts(None, None)
CFG = rpojax.Config(
    num_envs=16,
    num_steps=64,
    num_minibatches=4,
    update_epochs=1,
    total_timesteps=16 * 64 * 2,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)


def test_an_episode_that_ends_gives_way_to_a_new_one():
    env = make_counter()
    keys = jax.random.split(jax.random.key(0), 3)
    state = {"count": jnp.array([6, 0, 3]), "position": jnp.array([9.0, 8.0, 7.0])}
    # The first is cut off, the second terminates, the third goes on.
    action = jnp.array([[0.5, 0.0], [0.5, 1.0], [0.5, 0.0]])
    state, obs, timestep, _ = step_and_reset(env, {}, EXACT, keys, state, jnp.zeros((3, 2)), action)
    np.testing.assert_array_equal(timestep.terminated, [False, True, False])
    np.testing.assert_array_equal(timestep.truncated, [True, False, False])
    np.testing.assert_allclose(timestep.obs, [[7.0, 9.5], [1.0, 8.5], [4.0, 7.5]])
    np.testing.assert_array_equal(state["count"], [0, 0, 4])
    np.testing.assert_array_equal(obs[:, 0], [0.0, 0.0, 4.0])
    np.testing.assert_array_equal(obs[:, 1], state["position"])
    fresh = np.asarray(state["position"][:2])
    assert ((fresh >= 2.0) & (fresh < 3.0)).all()
    assert fresh[0] != fresh[1]
    assert state["position"][2] == 7.5


def test_reset_does_not_reuse_the_key_of_the_step():
    """Each sees its own half of the key, so that starts are independent of the dynamics."""

    def reset(keys, params):
        return {"key": jax.random.key_data(keys)}, jnp.zeros((keys.shape[0], 2))

    def step(keys, state, action, params):
        obs, done = jnp.zeros((keys.shape[0], 2)), jnp.ones(keys.shape[0], bool)
        seen.append(jax.random.key_data(keys))
        return state, TimeStep(obs, obs[:, 0], done, ~done)

    seen = []
    env = dataclasses.replace(make_counter(), reset=reset, step=step)
    keys = jax.random.split(jax.random.key(0), 4)
    zeros = jnp.zeros((4, 2))
    state = step_and_reset(env, {}, EXACT, keys, reset(keys, {})[0], zeros, zeros).state
    used = np.concatenate([seen[0], state["key"], jax.random.key_data(keys)])
    assert len({tuple(key) for key in used}) == 12
    halves = jax.random.key_data(jax.vmap(jax.random.split)(keys))
    np.testing.assert_array_equal(seen[0], halves[:, 0])  # runs keep their numbers
    np.testing.assert_array_equal(state["key"], halves[:, 1])


def test_the_environment_chooses_the_resets_unless_the_config_does():
    for own in ("exact", "pool"):
        env = make_counter(resets=own)
        modes = {mode: reset_mode(CFG.replace(resets=mode), env) for mode in ("exact", "pool")}
        assert modes == {"exact": "exact", "pool": "pool"}
        assert reset_mode(CFG, env) == own
    assert envs.make("Pendulum-v1").resets == "exact"


def drawn(size, seed=0, **changes):
    cfg = CFG.replace(resets="pool", reset_pool=size, **changes)
    return draw_starts(cfg, make_counter(), {}, update_keys(cfg, jax.random.key(seed)))


def test_each_rollout_has_a_pool_and_picks_of_its_own():
    first, second = drawn(5), drawn(5, seed=1)
    positions = [starts.pool[0]["position"] for starts in (first, second)]
    assert len(np.unique(positions)) == 10
    np.testing.assert_array_equal(first.pool[1][:, 1], positions[0])
    assert first.picks.shape == (64, 16)
    assert not np.array_equal(first.picks, second.picks)


def test_picks_are_uniform():
    picks = drawn(8, num_steps=1024, total_timesteps=1024 * 16).picks
    counts = np.bincount(np.ravel(picks), minlength=8)
    expected = 1024 * 16 / 8
    assert len(counts) == 8
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_starts_of_a_pool_have_the_distribution_of_reset_but_spread_less():
    """Uniform in [2, 3]: mean 2.5 over pools; within one of K = 4 a variance of 3/4 of 1/12."""
    starts = jax.vmap(lambda seed: drawn(4, seed))(jnp.arange(400))
    pools = np.asarray(starts.pool[0]["position"])
    picked = np.take_along_axis(pools, np.asarray(starts.picks).reshape(400, -1), axis=1)
    np.testing.assert_allclose(pools.mean(), 2.5, atol=5 * np.sqrt(1 / 12 / 1600))
    np.testing.assert_allclose(picked.var(axis=1).mean(), 0.75 / 12, rtol=0.1)


def test_new_episodes_start_in_states_of_the_pool():
    pool = drawn(3).pool
    keys = jax.random.split(jax.random.key(0), 4)
    state = {"count": jnp.array([6, 6, 6, 0]), "position": jnp.zeros(4)}
    starts = Starts(pool, jnp.array([2, 0, 2, 1]))
    zeros = jnp.zeros((4, 2))
    state, obs, timestep, _ = step_and_reset(make_counter(), {}, starts, keys, state, zeros, zeros)
    positions = pool[0]["position"]
    np.testing.assert_array_equal(state["position"], [*positions[jnp.array([2, 0, 2])], 0.0])
    np.testing.assert_array_equal(obs[:, 1], state["position"])
    np.testing.assert_array_equal(timestep.obs[:, 0], [7, 7, 7, 1])


def data(keys):
    return np.asarray(jax.random.key_data(keys))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_rekey_replaces_typed_keys_and_nothing_else(impl):
    own = jax.random.split(jax.random.key(3, impl=impl), (2, 3))
    numbers = {"x": jnp.arange(2.0), "raw": jnp.zeros((2, 2), jnp.uint32)}
    state = numbers | {"several": own, "again": own[:, 1]}
    one, other = (
        rekey(make_counter(), jax.random.split(jax.random.key(seed)), state) for seed in (0, 1)
    )
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    for name in numbers:
        np.testing.assert_array_equal(one[name], state[name])
    everything = np.concatenate(
        [data(each["several"]).reshape(6, -1) for each in (state, one, other)]
    )
    assert len(np.unique(everything, axis=0)) == 18
    np.testing.assert_array_equal(data(one["several"][:, 1]), data(one["again"]))  # as it was


def test_the_hook_replaces_keys_that_are_plain_numbers():
    def hook(keys, state):
        return state | {"raw": data_of(keys)}

    data_of = jax.random.key_data
    env = make_counter(rekey=hook)
    keys = jax.random.split(jax.random.key(0))
    state = {"raw": data_of(keys), "typed": keys}
    got = rekey(env, jax.random.split(jax.random.key(1)), state)
    used = np.concatenate([got["raw"], data(got["typed"]), data(keys)])
    assert len(np.unique(used, axis=0)) == 6


def noisy(rekeyed):
    """One start for all; each observation is noise out of the key in the state."""

    def one_reset(key, params):
        rng = jax.random.key_data(key) if rekeyed == "hook" else key  # typed, also of a uint32[2]
        return {"rng": rng, "time": jnp.int32(0)}, jnp.zeros(2)

    def one_step(_, state, action, params):
        rng = state["rng"]
        typed = jax.random.wrap_key_data(rng) if rekeyed == "hook" else rng
        following, now = jax.random.split(typed)
        obs = jax.random.normal(now, (2,))
        time = state["time"] + 1
        if rekeyed == "hook":
            following = jax.random.key_data(following)
        return {"rng": following, "time": time}, TimeStep(obs, obs[0], time < 0, time >= 4)

    def hook(keys, state):
        return state | {"rng": jax.random.key_data(keys)}

    return make_counter(
        reset=jax.vmap(one_reset),
        step=jax.vmap(one_step),
        max_episode_steps=4,
        rekey=hook if rekeyed == "hook" else None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
@pytest.mark.parametrize("rekeyed", ["typed keys", "hook"])
def test_noise_of_episodes_from_one_start_differs(rekeyed, make_key):
    """A pool of one state, so that all episodes start in it."""
    cfg = CFG.replace(env=noisy(rekeyed), resets="pool", reset_pool=1)
    model = make_model(cfg)
    state = jax.jit(trainer_for(model).init)(make_key(0))
    keys = update_keys(cfg, jax.random.key(1))
    _, steps = jax.jit(lambda state: collect(model, state, cfg.hyperparams(), {}, keys))(state)
    noise = np.asarray(steps.final_obs).reshape(-1, 2)
    assert len(np.unique(noise, axis=0)) == len(noise)


@pytest.mark.slow
@pytest.mark.parametrize("rekeyed", ["typed keys", "hook"])
def test_training_with_a_pool_passes_the_check_for_reuse_of_keys(rekeyed):
    cfg = CFG.replace(env=noisy(rekeyed), resets="pool", reset_pool=3)
    with jax.debug_key_reuse(True):
        result = jax.jit(rpojax.make_train(cfg))(jax.random.key(0))
    assert bool(result.finite)
    assert (result.metrics.episode_length == 4).all()


def test_a_pool_computes_no_reset_in_a_step():
    good, places = make_counter(), []

    def reset(keys, params):
        places.append(len(keys))
        return good.reset(keys, params)

    def sizes_of_resets(mode):
        env = dataclasses.replace(good, reset=reset)
        model = make_model(CFG.replace(env=env, resets=mode, reset_pool=5))
        state = jax.eval_shape(trainer_for(model).init, jax.random.key(0))
        keys = update_keys(model.cfg, jax.random.key(1))
        places.clear()
        jax.eval_shape(lambda state: collect(model, state, CFG.hyperparams(), {}, keys), state)
        return set(places)

    assert sizes_of_resets("exact") == {16}  # of all environments, in each step
    assert sizes_of_resets("pool") == {5}
