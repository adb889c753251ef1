"""Agents of one program that differ in the parameters of their environments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter

import rpojax
from rpojax import envs

pytestmark = pytest.mark.optimized

CFG = rpojax.Config(
    num_envs=4,
    num_steps=16,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=128,
    env_params={"max_steps_in_episode": 20},
    agents_at_once=1,
)
KEY = jax.random.key(0)
GRAVITIES = jnp.array([1.62, 9.81, 20.0])
AXES = (None, None, {"g": 0})


def same_bits(a, b):
    data = [
        [jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in t]
        for t in (jax.tree.leaves(a), jax.tree.leaves(b))
    ]
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(*data, strict=True))


@pytest.fixture(scope="module")
def train():
    return rpojax.make_train(CFG)


@pytest.fixture(scope="module")
def alone(train):
    """Agents that were trained one by one."""
    compiled = jax.jit(train)
    return [compiled(KEY, None, {"g": g}) for g in GRAVITIES]


@pytest.mark.slow
def test_agents_differ_in_a_parameter_and_are_what_each_is_alone(train, alone):
    together = jax.jit(jax.vmap(train, AXES))(KEY, None, {"g": GRAVITIES})
    for index, agent in enumerate(alone):
        assert same_bits(together.select(index), agent)
    assert len(set(np.asarray(together.metrics.value_loss[:, 0]).tolist())) == 3


@pytest.mark.slow
def test_a_parameter_that_is_known_gives_the_bits_of_one_that_is_traced(train, alone):
    constant = jax.jit(lambda key: train(key, None, {"g": 9.81}))(KEY)
    assert same_bits(constant, alone[1])


def test_no_parameters_are_the_environment_as_it_is(train, alone):
    plain = jax.jit(train)(KEY)
    assert same_bits(jax.jit(train)(KEY, None, {}), plain)
    assert not same_bits(plain, alone[1])


@pytest.mark.slow
def test_a_nested_and_a_sharded_vmap_give_the_same_bits(train, alone):
    sharded = rpojax.sharded_vmap(train, AXES)(KEY, None, {"g": GRAVITIES})
    keys = jnp.stack([KEY, jax.random.key(1)])
    nested = jax.vmap(jax.vmap(train, AXES), (0, None, None))
    seeds = jax.jit(nested)(keys, None, {"g": GRAVITIES})
    for index, agent in enumerate(alone):
        assert same_bits(sharded.select(index), agent)
        assert same_bits(seeds.select(0, index), agent)


def test_hyperparameters_and_parameters_are_mapped_together(train, alone):
    hyperparams = CFG.hyperparams().replace(alpha=jnp.array([0.1, CFG.alpha]))
    axes = (None, rpojax.HyperParams.axes(alpha=0), {"g": 0})
    both = jax.jit(jax.vmap(train, axes))(KEY, hyperparams, {"g": GRAVITIES[:2]})
    assert same_bits(both.select(1), alone[1])
    assert not same_bits(both.select(0), alone[0])


def test_agents_in_blocks_differ_as_those_alone(alone):
    train = rpojax.make_train(CFG.replace(agents_at_once="all"))
    together = jax.jit(jax.vmap(train, AXES))(KEY, None, {"g": GRAVITIES})
    for index, agent in enumerate(alone):
        np.testing.assert_allclose(
            together.metrics.value_loss[index, 0], agent.metrics.value_loss[0], rtol=1e-4
        )


def test_a_trainer_takes_the_same_parameters(alone):
    trainer = rpojax.make_trainer(CFG)
    params = {"g": GRAVITIES[1]}
    start = jax.jit(trainer.init)(KEY, None, params)
    run = jax.jit(lambda state, params: trainer.run(state, None, env_params=params))
    state, metrics = run(start, params)
    assert same_bits(state, alone[1].state)
    assert same_bits(metrics, alone[1].metrics)
    _, first = jax.jit(trainer.iterate)(start, None, params)
    np.testing.assert_allclose(first.value_loss, metrics.value_loss[0], rtol=1e-4)
    _, other = jax.jit(trainer.iterate)(start)
    assert abs(other.value_loss - first.value_loss) > 1e-3 * first.value_loss


def test_evaluation_takes_parameters(alone):
    state = alone[1].state
    key = jax.random.key(5)

    def returns(params, state=state):
        return rpojax.evaluate(CFG, state, key, 4, env_params=params).episode_return

    plain, same, other = returns(None), returns({"g": 10.0}), returns({"g": 1.0})
    np.testing.assert_allclose(same, plain, rtol=1e-3)
    assert not np.allclose(other, plain, rtol=1e-2)
    mapped = jax.vmap(returns, ({"g": 0},))({"g": jnp.array([10.0, 1.0])})
    assert np.array_equal(mapped, jnp.stack([same, other]))


def test_wrong_parameters_are_refused_wherever_they_are_given(train, alone):
    trainer, state = rpojax.make_trainer(CFG), alone[0].state
    wrong = {"h": 1.0}
    for call in (
        lambda: train(KEY, None, wrong),
        lambda: trainer.init(KEY, None, wrong),
        lambda: trainer.iterate(state, None, wrong),
        lambda: trainer.run(state, None, 1, wrong),
        lambda: rpojax.evaluate(CFG, state, KEY, 2, env_params=wrong),
    ):
        with pytest.raises(ValueError, match="unknown parameter of Pendulum-v1 'h'"):
            call()
    with pytest.raises(ValueError, match=r"\['g'\] has the shape \(3,\), and one"):
        jax.jit(jax.vmap(train, (0, None, None)))(jax.random.split(KEY, 3), None, {"g": GRAVITIES})


def test_an_environment_without_parameters_is_refused():
    cfg = CFG.replace(env=envs.make(make_counter()), env_params={})
    with pytest.raises(ValueError, match="'Counter-v0' has no parameters that can be changed"):
        rpojax.make_train(cfg)(KEY, None, {"g": 1.0})
