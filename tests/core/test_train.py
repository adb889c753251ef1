"""The whole trainer: transformations, reproducibility, hyperparameters, warm-up, health."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits

import rpojax
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Metrics

CFG = rpojax.Config(
    num_envs=8,
    num_steps=32,
    num_minibatches=4,
    update_epochs=2,
    total_timesteps=8 * 32 * 8,
    network=rpojax.NetworkConfig(hidden_sizes=(16, 16)),
)
KEYS = jax.random.split(jax.random.key(0), 3)


@pytest.fixture(scope="module")
def train():
    """Trains an agent, with changes of its hyperparameters."""
    program = jax.jit(rpojax.make_train(CFG))
    return lambda key, **changes: program(key, CFG.hyperparams().replace(**changes))


@pytest.fixture(scope="module")
def result(train):
    return train(KEYS[0])


@pytest.fixture(scope="module")
def train_three():
    """Trains agents of the three keys with learning rates of their own."""
    axes = rpojax.HyperParams.axes(learning_rate=0)
    train = jax.jit(jax.vmap(rpojax.make_train(CFG), (0, axes)))
    return lambda *rates: train(KEYS, CFG.hyperparams().replace(learning_rate=jnp.array(rates)))


@pytest.fixture(scope="module")
def vmapped(train_three):
    return train_three(*[CFG.learning_rate] * 3)


def test_metrics_are_one_float_for_each_update(result):
    assert result.metrics.environment == {}
    for field in dataclasses.fields(Metrics):
        leaf = getattr(result.metrics, field.name)
        if field.name != "environment":
            assert leaf.shape == (CFG.num_updates,), field.name
            assert leaf.dtype == jnp.float32, field.name
    np.testing.assert_array_equal(result.metrics.invalid_steps, 0.0)
    assert int(result.state.update_count) == CFG.num_updates
    assert bool(result.finite)


def test_episode_metrics_count_what_the_environment_did(result):
    """8 Pendulums of 200 steps in 256 steps each: one episode ends in each, in update 6."""
    count = np.asarray(result.metrics.episode_count)
    np.testing.assert_array_equal(count, [0, 0, 0, 0, 0, 0, 8, 0])
    length = np.asarray(result.metrics.episode_length)
    assert length[6] == 200.0
    np.testing.assert_array_equal(np.isnan(length), count == 0)
    np.testing.assert_array_equal(np.isnan(result.metrics.episode_return), count == 0)
    assert -2000.0 < float(result.metrics.episode_return[6]) < -300.0


def test_same_key_gives_the_same_bits(train, result):
    assert_same_bits(train(KEYS[0]), result)


def test_other_key_gives_another_agent(train, result):
    other = train(KEYS[1]).metrics
    assert not np.array_equal(other.policy_loss, result.metrics.policy_loss)


def test_vmapped_agents_equal_single_ones(train, vmapped):
    for index in range(len(KEYS)):
        single = train(KEYS[index]).metrics
        together = vmapped.select(index).metrics
        np.testing.assert_allclose(together.policy_loss, single.policy_loss, atol=1e-4)
        np.testing.assert_allclose(together.value_loss, single.value_loss, atol=1e-4)
        np.testing.assert_allclose(together.episode_return, single.episode_return, rtol=1e-4)


def test_every_hyperparameter_can_be_vmapped_and_matters():
    """One program, one row for each leaf: row i changes leaf i alone, row -1 none."""
    cfg = CFG.replace(
        total_timesteps=8 * 32 * 3,
        lr_schedule="kl_adaptive",
        alpha_schedule="linear",
        kl_target=1e-3,
        max_grad_norm=1.0,
        optimizer="adamw",
    )
    changed = {
        "learning_rate": 2e-3,
        "alpha": 0.1,
        "alpha_end": 0.9,
        "gamma": 0.9,
        "gae_lambda": 0.5,
        "clip_eps": 0.05,
        "value_clip": 0.01,
        "vf_coef": 0.05,
        "ent_coef": 0.1,
        "weight_decay": 1.0,
        "max_grad_norm": 0.01,
        "kl_threshold": 1e-6,
        "kl_target": 1e-9,
    }
    assert set(changed) == set(settings_of(HyperParams)) - {"mirror_coef"}  # of a symmetry
    default = cfg.hyperparams()
    rows = len(changed) + 1
    values = {
        name: jnp.full(rows, getattr(default, name)).at[row].set(value)
        for row, (name, value) in enumerate(changed.items())
    }
    axes = rpojax.HyperParams.axes(**dict.fromkeys(changed, 0))
    traces = []

    def counted(key, hyperparams):
        traces.append(1)
        return rpojax.make_train(cfg)(key, hyperparams)

    sweep = jax.jit(jax.vmap(counted, (None, axes)))
    params = sweep(KEYS[0], default.replace(**values)).state.params
    flat = np.concatenate(
        [np.asarray(leaf).reshape(rows, -1) for leaf in jax.tree.leaves(params)], 1
    )
    for row, name in enumerate(changed):
        assert np.abs(flat[row] - flat[-1]).max() > 1e-6, f"{name} changed nothing"

    sweep(KEYS[1], default.replace(**(values | {"alpha": np.linspace(0.0, 1.0, rows)})))
    assert len(traces) == 1, "a sweep over other values traced again"


def test_numbers_and_arrays_of_a_hyperparameter_share_one_program():
    traces = []

    def counted(key, hyperparams):
        traces.append(1)
        return rpojax.make_train(CFG)(key, hyperparams)

    train = jax.jit(counted)
    for hyperparams in (
        CFG.hyperparams(),
        CFG.hyperparams().replace(alpha=0.1),
        CFG.hyperparams().replace(alpha=np.float64(0.2), gamma=1),
    ):
        train.lower(KEYS[0], hyperparams)
        jax.eval_shape(train, KEYS[0], hyperparams)
    assert len(traces) == 1


def test_gamma_reaches_the_scale_of_the_rewards(train):
    low = train(KEYS[0], gamma=0.5).state.reward_stats
    high = train(KEYS[0], gamma=0.99).state.reward_stats
    assert float(high.var) > 4.0 * float(low.var)


@pytest.mark.slow
def test_diverged_agent_is_flagged_and_leaves_the_others_alone(train_three, vmapped):
    result = train_three(CFG.learning_rate, 1e38, CFG.learning_rate)
    np.testing.assert_array_equal(result.finite, [True, False, True])
    np.testing.assert_allclose(
        result.metrics.policy_loss[2], vmapped.metrics.policy_loss[2], atol=1e-4
    )


@pytest.mark.slow
def test_warm_up_collects_but_does_not_learn():
    cfg = CFG.replace(learning_starts=2 * CFG.batch_size, random_timesteps=CFG.batch_size)
    trainer = rpojax.make_trainer(cfg)
    iterate = jax.jit(trainer.iterate)
    states = [jax.jit(trainer.init)(KEYS[0])]
    for _ in range(3):
        states.append(iterate(states[-1])[0])
    for before, after in [(0, 1), (1, 2)]:
        assert_same_bits(states[before].params, states[after].params)
        assert_same_bits(states[before].opt_state, states[after].opt_state)
        assert float(states[after].obs_stats.count) == after * cfg.batch_size
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), states[2].params, states[3].params)
    assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_reward_shaper_shapes_what_is_learnt_and_not_what_is_reported(result):
    def shaper(reward, timestep, timesteps):
        return reward * (1.0 + timestep / timesteps)

    shaped = jax.jit(rpojax.make_train(CFG.replace(reward_shaper=shaper)))(KEYS[0])
    assert float(shaped.state.reward_stats.var) > 1.2 * float(result.state.reward_stats.var)
    assert -2000.0 < float(shaped.metrics.episode_return[6]) < -300.0


@pytest.mark.parametrize("key", [0, None, "0", jnp.zeros(3), KEYS], ids=type)
def test_what_is_no_key_of_one_agent_is_refused(key):
    for function in (rpojax.make_train(CFG), TRAINER.init):
        with pytest.raises(ValueError, match=r"key = .* give one, such as jax.random.key\(0\)"):
            function(key)


def test_hyperparams_of_the_wrong_kind_are_refused():
    with pytest.raises(ValueError, match=r"make one with cfg.hyperparams\(\)"):
        rpojax.make_train(CFG)(KEYS[0], {"alpha": 0.1})


TRAINER = rpojax.make_trainer(CFG)
STATE = jax.eval_shape(TRAINER.init, KEYS[0])
TAKES_HYPERPARAMS = {
    "train": lambda hp: rpojax.make_train(CFG)(KEYS[0], hp),
    "init": lambda hp: TRAINER.init(KEYS[0], hp),
    "iterate": lambda hp: TRAINER.iterate(STATE, hp),
    "run": lambda hp: TRAINER.run(STATE, hp),
    "traced": lambda hp: jax.eval_shape(rpojax.make_train(CFG), KEYS[0], hp),
    "one axis of two mapped": lambda hp: jax.eval_shape(
        jax.vmap(rpojax.make_train(CFG), (0, None)), KEYS, hp
    ),
}


def test_a_run_has_a_whole_number_of_updates():
    for number in (0, 2, 2.0, np.int64(2)):
        _, metrics = jax.eval_shape(lambda state, n=number: TRAINER.run(state, None, n), STATE)
        assert metrics.kl.shape == (int(number),)
    for number in (-1, 2.5, True, "3"):
        with pytest.raises(ValueError, match=r"num_updates = .*; give a whole number of at least"):
            TRAINER.run(STATE, None, number)
    with pytest.raises(ValueError, match=r"num_updates = .* is traced.*static_argnums=2"):
        jax.eval_shape(TRAINER.run, STATE, None, 2)


@pytest.mark.parametrize(
    ("function", "name"),
    [("init", field.name) for field in dataclasses.fields(HyperParams)]
    + [(function, "alpha") for function in TAKES_HYPERPARAMS if function != "init"],
)
def test_hyperparameter_that_is_no_scalar_is_refused(function, name):
    value = getattr(CFG, name)
    hyperparams = CFG.hyperparams().replace(**{name: [value, value]})
    with pytest.raises(ValueError, match=rf"hyperparams\.{name} .*\(2,\).*axes\({name}=0\).*fit"):
        TAKES_HYPERPARAMS[function](hyperparams)


def test_hyperparams_known_to_be_bad_are_refused():
    bad = dataclasses.replace(CFG.hyperparams(), gamma=jnp.float32(jnp.nan))
    with pytest.raises(ValueError, match=r"gamma = nan .* \[0, 1\]"):
        rpojax.make_train(CFG)(KEYS[0], bad)


# Dict observations.


def as_dict(env):
    """Pendulum with its observation in leaves of three ranks, in the order of the flat one."""

    def split(obs):
        return {"a": obs[..., :1, None], "b": obs[..., 1], "c": {"d": obs[..., 2:]}}

    def reset(keys, params):
        state, obs = env.reset(keys, params)
        return state, split(obs)

    def step(keys, state, action, params):
        state, timestep = env.step(keys, state, action, params)
        return state, timestep._replace(obs=split(timestep.obs))

    obs = jax.eval_shape(split, jnp.zeros(3))
    return dataclasses.replace(env, reset=reset, step=step, obs=obs)


@pytest.mark.slow
def test_dict_observations_train_as_their_flattened_twin(result):
    """Each leaf has statistics of its own, so that not a number may differ."""
    env = as_dict(rpojax.envs.make("Pendulum-v1"))
    rpojax.envs.check_env(env, num_steps=300)
    twin = jax.jit(rpojax.make_train(CFG.replace(env=env)))(KEYS[0])
    assert jax.tree.structure(twin.state.obs_stats.mean) == jax.tree.structure(env.obs)
    for name in ("policy_loss", "value_loss", "kl", "episode_return"):
        np.testing.assert_allclose(
            getattr(twin.metrics, name), getattr(result.metrics, name), atol=1e-4, rtol=1e-4
        )


@pytest.mark.slow
def test_privileged_critic_trains_beside_an_actor_that_sees_less():
    env = as_dict(rpojax.envs.make("Pendulum-v1"))
    network = rpojax.NetworkConfig(hidden_sizes=(16, 16), actor_keys=("a", "b"))
    cfg = CFG.replace(env=env, network=network)
    state = jax.jit(rpojax.make_train(cfg))(KEYS[0]).state
    assert state.params["actor_0"]["kernel"].shape == (2, 16)
    assert state.params["critic_0"]["kernel"].shape == (3, 16)
    act = rpojax.make_policy(cfg, state)
    obs = {"a": np.ones((5, 1, 1), np.float32), "b": np.zeros(5, np.float32)}
    speeds = [{"d": np.full((5, 1), speed, np.float32)} for speed in (-8.0, 8.0)]
    slow, fast = (act(obs | {"c": speed}) for speed in speeds)
    np.testing.assert_array_equal(slow, fast)
