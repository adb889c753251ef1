"""Evaluation plays one episode in each slot, and nothing after its end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import LIMIT, make_counter

import rpojax
from rpojax.core.model import make_model
from rpojax.programs.trainer import trainer_for


def config(env, **changes):
    return rpojax.Config(
        env=env,
        num_envs=2,
        num_steps=4,
        num_minibatches=1,
        total_timesteps=8,
        network=rpojax.NetworkConfig(hidden_sizes=(4,), **changes),
    )


def initial(cfg):
    return jax.jit(trainer_for(make_model(cfg)).init)(jax.random.key(0))


def broken_after_the_end():
    """The counter, each step worth 1; a step from where an episode ended gives NaN."""
    good = make_counter()

    def reset(keys, params):
        state, obs = good.reset(keys, params)
        return state | {"over": jnp.zeros(len(keys), bool)}, obs

    def step(keys, state, action, params):
        ended = state["over"]
        following, timestep = good.step(
            keys, {k: state[k] for k in ("count", "position")}, action, params
        )
        following |= {"over": ended | timestep.terminated | timestep.truncated}
        following["position"] = jnp.where(ended, jnp.nan, following["position"])
        return following, timestep._replace(
            obs=jnp.where(ended[:, None], jnp.nan, timestep.obs),
            reward=jnp.where(ended, jnp.nan, 1.0),
        )

    return dataclasses.replace(good, reset=reset, step=step)


@pytest.mark.parametrize("cell", [None, "gru"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_nothing_counts_after_the_end_of_an_episode(cell, deterministic):
    cfg = config(broken_after_the_end(), cell=cell, log_std_init=0.5)
    with jax.debug_nans(True):
        played = rpojax.evaluate(cfg, initial(cfg), jax.random.key(1), 64, deterministic)
    assert played.finished.all()
    assert not played.invalid.any()
    np.testing.assert_array_equal(played.episode_return, played.episode_length)
    lengths = np.asarray(played.episode_length)
    assert lengths.max() == LIMIT
    if not deterministic:  # some terminate before others
        assert lengths.min() < LIMIT


def test_the_loop_holds_no_reset():
    good, places = make_counter(), []

    def reset(keys, params):
        places.append("reset")
        return good.reset(keys, params)

    def step(keys, state, action, params):
        places.append("step")
        return good.step(keys, state, action, params)

    cfg = config(good)
    state = initial(cfg)
    cfg = config(dataclasses.replace(good, reset=reset, step=step))
    model = make_model(cfg)
    places.clear()
    jax.make_jaxpr(lambda key: rpojax.agent.evaluation.play_episodes(model, state, key, {}))(
        jax.random.key(0)
    )
    assert places[0] == "reset"
    assert set(places[1:]) == {"step"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((jax.random.key(0), 0), "num_episodes = 0 is not allowed"),
        ((0, 2), r"key = 0 is not a PRNG key .* jax.random.key\(0\)"),
        ((jax.random.key(0), 2, [True]), r"deterministic = \[True\] is not a truth value"),
    ],
    ids=["episodes", "key", "deterministic"],
)
def test_wrong_arguments_are_named(arguments, message):
    cfg = config(make_counter())
    with pytest.raises(ValueError, match=message):
        rpojax.evaluate(cfg, None, *arguments)
