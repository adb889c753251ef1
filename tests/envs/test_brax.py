"""Brax's environments, held to Brax itself."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("brax", reason="needs rpojax[brax]")

from brax.envs import get_environment
from brax.envs.fast import Fast
from brax.envs.wrappers import training
from positions import placed

import rpojax
from rpojax import envs
from rpojax.envs.contexts import standard_numpy
from rpojax.envs.physics import brax as adapter

PENDULUM = "inverted_pendulum"
STEPS = 8


@standard_numpy()
def simulated_by_both(name, **params):
    """Our TimeSteps and Brax's states, [STEPS, 2, ...], for the same starts and actions."""
    ours, theirs = envs.make(f"brax/{name}", **params), get_environment(name, **params)
    keys = jax.random.split(jax.random.key(0), 2)
    shape = (STEPS, 2, ours.action_dim)
    actions = jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)

    @jax.jit
    def our_steps(actions):
        state, obs = ours.reset(keys, {})

        def step(state, action):
            return ours.step(keys, state, action, {})

        return obs, jax.lax.scan(step, state, actions)[1]

    step, state = jax.jit(jax.vmap(theirs.step)), jax.jit(jax.vmap(theirs.reset))(keys)
    first, states = state.obs, []
    for action in actions:
        state = step(state, action)
        states.append(state)
    states = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    obs, timesteps = jax.device_get(our_steps(actions))
    np.testing.assert_allclose(obs, first, atol=1e-6)
    return timesteps, states


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("generalized", "positional", "mjx")]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["spring", *SLOW])
def test_steps_are_those_of_brax(backend):
    ours, theirs = simulated_by_both(PENDULUM, backend=backend)
    np.testing.assert_allclose(ours.obs, theirs.obs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.reward, theirs.reward, rtol=1e-5)
    np.testing.assert_array_equal(ours.terminated, theirs.done.astype(bool))


@pytest.mark.slow
def test_metrics_are_those_of_brax():
    ours, theirs = simulated_by_both("reacher", backend="spring")
    assert set(ours.metrics) == {"reward_dist", "reward_ctrl"}
    for name, value in theirs.metrics.items():
        np.testing.assert_allclose(ours.metrics[name], value, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.reward, theirs.reward, rtol=1e-4, atol=1e-6)
    assert np.ptp(ours.metrics["reward_ctrl"]) > 0.1


@pytest.mark.slow
def test_pendulum_conforms():
    env = envs.make(f"brax/{PENDULUM}", episode_length=5)
    assert (env.name, env.action_dim, env.max_episode_steps) == (PENDULUM, 1, 5)
    np.testing.assert_array_equal([env.action_low, env.action_high], [[-1.0], [1.0]])
    assert (env.resets, env.render_fps) == ("pool", pytest.approx(25.0))
    envs.check_env(env, num_steps=20)


def test_fast_conforms_and_has_no_renderer():
    env = envs.make("brax/fast")
    envs.check_env(env, num_steps=20)
    assert env.render is None


def test_time_limit_truncates():
    env = envs.make("brax/fast", episode_length=5, action_repeat=2)
    assert env.max_episode_steps == 3
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = env.reset(keys, {})
    ends = []
    for _ in range(3):
        state, timestep = env.step(keys, state, jnp.ones((2, 1)), {})
        ends.append((bool(timestep.terminated.any()), bool(timestep.truncated.all())))
    assert ends == [(False, False), (False, False), (False, True)]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("inverted_pendulums", {}, "did you mean 'brax/inverted_pendulum'"),
        ("fast", {"backend": "mjx"}, "unknown parameter of fast 'backend'; known: episode_length"),
        ("reacher", {"backend": "spring2"}, "backend of reacher = 'spring2' is not known; .*'mjx'"),
        ("reacher", {"n_frame": 2}, "unknown parameter of reacher 'n_frame'; did you mean 'n_fra"),
        ("reacher", {"n_frames": 0}, "n_frames of reacher = 0 is not allowed; .* of 1 to"),
        (
            "fast",
            {"episode_length": 0},
            "episode_length of fast = 0 is not allowed; .*whole number",
        ),
        (
            "fast",
            {"episode_length": 10**10},
            "episode_length of fast = .*whole number of 1 to 2147483647",
        ),
        ("fast", {"action_repeat": 1.5}, "action_repeat of fast = 1.5 is not allowed; .*whole"),
        ("fast", {"obs_mode": "smell"}, "parameters {'obs_mode': 'smell'} of fast are refused"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_wrong_parameters_are_refused_with_the_remedy(name, params, message):
    with pytest.raises(ValueError, match=message):
        envs.make(f"brax/{name}", **params)


class WithBackend(Fast):
    def __init__(self, goal=0.5, *, backend="spring"):
        super().__init__()


class WithOthers(Fast):
    def __init__(self, goal=0.5, **others):
        super().__init__(**others)


class WithBoth(Fast):
    def __init__(self, backend="spring", **others):
        super().__init__(**others)


@pytest.mark.parametrize(
    ("cls", "known"),
    [(WithBackend, "goal, backend"), (WithOthers, "goal"), (WithBoth, "backend, n_frames")],
)
def test_parameters_of_an_environment_of_ones_own_are_its_arguments(cls, known, monkeypatch):
    monkeypatch.setitem(adapter._classes(), "own", cls)
    assert adapter.make("own", episode_length=3).max_episode_steps == 3
    with pytest.raises(ValueError, match=f"known: episode_length, action_repeat, {known}$"):
        adapter.make("own", zzz=1)


class Costly(Fast):
    """An environment of a user, with a metric."""

    def reset(self, rng):
        return super().reset(rng).replace(metrics={"cost": jnp.zeros(())})

    def step(self, state, action):
        cost = jnp.square(action).sum()
        after = super().step(state, action)
        return after.replace(reward=after.reward - cost, metrics={"cost": cost})


def test_instances_of_a_users_class_are_taken():
    env = envs.from_brax(Costly(), episode_length=5)
    assert (env.name, env.max_episode_steps, env.metrics) == ("Costly", 5, ("cost",))
    assert envs.make(Costly()).max_episode_steps == 1000
    envs.check_env(env, num_steps=20)
    with pytest.raises(ValueError, match=r"EpisodeWrapper of brax.* give the environment without"):
        envs.make(training.EpisodeWrapper(Costly(), 10, 1))


def test_asymmetric_agents_train_side_by_side():
    """The critic sees more than the actor; two agents in one program."""
    params = {"obs_mode": "dict_state", "asymmetric_obs": True, "episode_length": 4}
    network = rpojax.NetworkConfig(
        hidden_sizes=(8,), actor_keys=("state",), critic_keys=("privileged_state",)
    )
    cfg = rpojax.Config(
        env="brax/fast",
        env_params=params,
        network=network,
        num_envs=2,
        num_steps=8,
        num_minibatches=1,
        update_epochs=1,
        total_timesteps=32,
    )
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(jax.random.split(jax.random.key(0)))
    assert bool(result.finite.all())
    np.testing.assert_array_equal(result.metrics.episode_length, 4.0)


def test_environment_made_by_name_can_be_pickled():
    env = envs.make("brax/fast", episode_length=3)
    assert pickle.loads(pickle.dumps(env)).max_episode_steps == 3


@pytest.mark.slow
def test_environment_can_be_made_inside_a_jit():
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0)))
    name = f"brax/{PENDULUM}"
    jax.eval_shape(lambda keys: envs.make(name, backend="spring").reset(keys, {})[1], keys)


@pytest.mark.parametrize("backend", ["generalized", "spring"])
def test_positions_of_a_state_are_drawn(backend, monkeypatch):
    monkeypatch.setattr(adapter, "render_with_mujoco", placed)
    env = adapter.make(PENDULUM, backend=backend)
    state, obs = jax.device_get(jax.jit(env.reset)(jax.random.split(jax.random.key(0), 3), {}))
    np.testing.assert_allclose(env.render(state), obs[:, :2], atol=1e-7)
