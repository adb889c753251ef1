"""The static contract: what is refused without running an environment."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter, with_next_state, with_reset, with_step, with_step_result

from rpojax import envs
from rpojax.envs import TimeStep
from rpojax.envs.checks.contract import check_contract

BROKEN = {
    "bounds of different shapes": (
        lambda: make_counter(action_low=np.float32([-1.0])),
        "bounds differ in shape",
    ),
    "bounds swapped": (
        lambda: make_counter(action_low=np.float32([-1.0, 2.0])),
        "action_low is not below action_high",
    ),
    "bounds of nan": (
        lambda: make_counter(action_high=np.float32([1.0, np.nan])),
        "action_low is not below action_high",
    ),
    "first obs of another shape": (
        lambda: with_reset(lambda state, obs: (state, obs[:, :1])),
        "^environment 'Counter-v0': obs from reset is",
    ),
    "first obs of another dtype": (
        lambda: with_reset(lambda state, obs: (state, obs.astype(jnp.int32))),
        "^environment 'Counter-v0': obs from reset is",
    ),
    "first obs of another structure": (
        lambda: with_reset(lambda state, obs: (state, {"obs": obs})),
        "^environment 'Counter-v0': obs from reset is",
    ),
    "first obs without the batch": (
        lambda: with_reset(lambda state, obs: (state, obs[0])),
        "^environment 'Counter-v0': obs from reset is",
    ),
    "a state without the batch": (
        lambda: with_reset(lambda state, obs: (state | {"time": jnp.int32(0)}, obs)),
        r"state\['time'\] from reset is int32\[\].*give each leaf of the state a leading axis",
    ),
    "obs of another shape": (
        lambda: with_step(lambda t: {"obs": t.obs[:, :1]}),
        "obs from step is",
    ),
    "obs of another dtype": (
        lambda: with_step(lambda t: {"obs": t.obs.astype(jnp.bfloat16)}),
        "obs from step is",
    ),
    "final_obs by its old place": (
        lambda: with_step_result(lambda t: TimeStep(t.obs, t.obs, *t[1:4])),
        "step is of one episode, and TimeStep has no final_obs: return .*leave resets to rpojax",
    ),
    "final_obs by name": (
        lambda: with_step_result(lambda t: TimeStep(final_obs=t.obs, **t._asdict())),
        "step is of one episode, and TimeStep has no final_obs: .*unexpected keyword",
    ),
    "final_obs replaced": (
        lambda: with_step(lambda t: {"final_obs": t.obs}),
        "step is of one episode, and TimeStep has no final_obs",
    ),
    "final_obs read": (
        lambda: with_step(lambda t: {"obs": t.final_obs}),
        "step is of one episode, and TimeStep has no final_obs",
    ),
    "metrics without names": (
        lambda: with_step(lambda t: {"metrics": t.reward}),
        r"metrics from step is float32\[3\]; give a dictionary from the names in Env.metrics, \(\)",
    ),
    "a metric that is not declared": (
        lambda: with_step(lambda t: {"metrics": {"success": t.reward}}),
        r"metrics from step is \{'success': float32\[3\]\}; give a dictionary from .*, \(\), to",
    ),
    "a metric that is not given": (
        lambda: make_counter(metrics=("success",)),
        r"metrics from step is \{\}; give a dictionary from .*, \('success',\), to",
    ),
    "a metric of flags": (
        lambda: with_step(lambda t: {"metrics": {"success": t.terminated}}, metrics=("success",)),
        r"metrics\['success'\] from step is bool\[3\], and should be float32\[3\]",
    ),
    "a metric with a comma": (
        lambda: make_counter(metrics=("a,b",)),
        r"metrics = \('a,b',\) is not allowed; give a tuple of different names",
    ),
    "one metric twice": (
        lambda: make_counter(metrics=("a", "a")),
        r"metrics = \('a', 'a'\) is not allowed",
    ),
    "names of metrics in one text": (
        lambda: make_counter(metrics="success"),
        r"metrics = 'success' is not allowed; give a tuple",
    ),
    "reward with an axis of one": (
        lambda: with_step(lambda t: {"reward": t.reward[:, None]}),
        "reward from step is",
    ),
    "reward of whole numbers": (
        lambda: with_step(lambda t: {"reward": t.reward.astype(jnp.int32)}),
        "reward from step is",
    ),
    "terminated of floats": (
        lambda: with_step(lambda t: {"terminated": t.terminated.astype(jnp.float32)}),
        "terminated from step is",
    ),
    "truncated for all at once": (
        lambda: with_step(lambda t: {"truncated": jnp.any(t.truncated)}),
        "truncated from step is",
    ),
    "state of another dtype": (
        lambda: with_next_state(lambda s: s | {"count": s["count"].astype(jnp.float32)}),
        "step changes the state: state",
    ),
    "state of another shape": (
        lambda: with_next_state(lambda s: s | {"count": s["count"][:, None]}),
        "step changes the state: state",
    ),
    "state of another structure": (
        lambda: with_next_state(lambda s: s | {"more": s["count"]}),
        "step changes the state: state",
    ),
    "obs without leaves": (lambda: make_counter(obs={}), "obs has no leaves"),
    "obs of no numbers": (
        lambda: make_counter(obs={"x": jax.ShapeDtypeStruct((0, 3), jnp.float32)}),
        r"obs\['x'\] has the shape \(0, 3\), which holds no numbers",
    ),
    "obs of complex numbers": (
        lambda: make_counter(obs=jax.ShapeDtypeStruct((2,), jnp.complex64)),
        "obs has the dtype complex64; observations are real",
    ),
    "obs of keys": (
        lambda: make_counter(obs=jax.eval_shape(lambda: jax.random.key(0))),
        "obs has the dtype key<fry>; observations are real",
    ),
    "obs without a spec": (lambda: make_counter(obs=3), "obs is described by 3; give a jax.Shape"),
    "no actions": (
        lambda: make_counter(action_low=[], action_high=[]),
        "actions have no dimensions",
    ),
    "bounds of one number": (
        lambda: make_counter(action_low=-1.0, action_high=1.0),
        "differ in shape or are not vectors",
    ),
    "a limit of 0": (lambda: make_counter(max_episode_steps=0), "max_episode_steps = 0 is not"),
    "a limit of 2.5": (lambda: make_counter(max_episode_steps=2.5), "max_episode_steps = 2.5 is"),
    "resets of no kind": (
        lambda: make_counter(resets="cached"),
        "resets = 'cached' is not allowed; give one of exact, pool",
    ),
    "rekey of another state": (
        lambda: make_counter(rekey=lambda keys, state: state | {"key": keys}),
        "rekey changes the state: state is ",
    ),
    "three values from reset": (
        lambda: make_counter(reset=lambda keys, params: (keys, keys, keys)),
        r"reset returns 3 values, and should return 2: \(state, obs\)",
    ),
    "one value from step": (
        lambda: make_counter(step=lambda *args: args[1]),
        r"step returns 1 value, and should return 2: \(state, TimeStep\)",
    ),
    "a plain tuple from step": (
        lambda: make_counter(step=lambda *args: (args[1], (1, 2, 3))),
        "step returns a tuple; return .*TimeStep",
    ),
}


def test_contract_accepts_a_good_environment():
    check_contract(make_counter())


@pytest.mark.parametrize("way", BROKEN)
def test_broken_environment_is_refused_by_name(way):
    make_broken, problem = BROKEN[way]
    with pytest.raises(ValueError, match=r"^environment 'Counter-v0': ") as error:
        check_contract(make_broken())
    assert re.search(problem, str(error.value)), str(error.value)


@pytest.mark.parametrize("check", [envs.make, envs.check_env])
def test_the_contract_is_checked_where_environments_are_made_and_checked(check):
    make_broken, problem = BROKEN["obs of another shape"]
    with pytest.raises(ValueError, match=problem):
        check(make_broken())


def test_the_leaf_that_differs_is_named():
    env = with_next_state(lambda s: s | {"count": s["count"].astype(jnp.float32)})
    with pytest.raises(ValueError, match=r"state\['count'\] is float32\[3\], .* be int32\[3\]"):
        check_contract(env)


def test_nothing_is_compiled_or_run():
    def forbidden(_):
        raise AssertionError("run")

    good = make_counter()

    def reset(keys, params):
        state, obs = good.reset(keys, params)
        jax.debug.callback(forbidden, obs)
        return state, obs

    check_contract(dataclasses.replace(good, reset=reset))
    jax.effects_barrier()
