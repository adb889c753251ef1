"""Policies of each distribution in use, in evaluation, in pictures and in files."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import rpojax

ACTIONS = {
    "gaussian": lambda action: action,
    "tanh_gaussian": np.tanh,
    "beta": lambda action: np.tanh(0.5 * action),
}
"""What the environment gets, before its bounds, for an action as it is stored."""
MEAN, STD = 0.7, 0.5
STEPS = 3


class Echo:
    """The reward of a step, and the state that it leads to, is the action."""

    name = "Echo"
    default_params = None

    def action_space(self, params):
        return spaces.Box(-2.0, 2.0, (1,))

    def reset_env(self, key, params):
        return jnp.ones(1), {"action": jnp.zeros(1), "time": jnp.array(0)}

    def step_env(self, key, state, action, params):
        state = {"action": action, "time": state["time"] + 1}
        return jnp.ones(1), state, action[0], False, {}

    def is_truncated(self, state, params):
        return state["time"] >= STEPS


def config(distribution):
    return rpojax.Config(
        env=rpojax.envs.from_gymnax(Echo()),
        num_envs=2,
        num_steps=4,
        num_minibatches=1,
        normalize_observations=False,
        action_transform="rescale",
        network=rpojax.NetworkConfig(
            hidden_sizes=(), distribution=distribution, log_std_init=float(np.log(STD))
        ),
    )


def agent(cfg):
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    mean = {"kernel": jnp.zeros((1, 1)), "bias": jnp.full(1, MEAN)}
    return state.replace(params=state.params | {"mean": mean})


@pytest.fixture(params=ACTIONS)
def distribution(request):
    return request.param


@pytest.fixture
def acting(distribution):
    """A config, the state of its agent, and what its environment should get for an action."""
    cfg = config(distribution)
    squash = ACTIONS[distribution]
    return cfg, agent(cfg), lambda action: np.clip(2.0 * squash(action), -2.0, 2.0)


def sampled(distribution, key):
    """Five actions before their squash."""
    if distribution != "beta":
        return MEAN + STD * jax.random.normal(key, (5, 1))
    mode = 1.0 / (1.0 + np.exp(-MEAN))
    shapes = 1.0 + np.array([mode, 1.0 - mode], np.float32) / STD**2
    keys = jax.random.split(key, 5)
    log_gamma = jax.vmap(lambda key: jax.random.loggamma(key, shapes))(keys)
    return log_gamma[:, :1] - log_gamma[:, 1:]


@pytest.mark.slow
def test_policy_and_its_export_squash(acting, distribution, tmp_path):
    cfg, state, received = acting
    obs, key = np.ones((5, 1), np.float32), jax.random.key(7)
    action = sampled(distribution, key)
    for deterministic, arguments, expected in [(True, (), MEAN), (False, (key,), action)]:
        act = rpojax.make_policy(cfg, state, deterministic)
        taken = act(obs, key=key)
        np.testing.assert_allclose(taken, np.broadcast_to(received(expected), (5, 1)), rtol=1e-5)
        path = tmp_path / "policy"
        rpojax.export_policy(cfg, state, path, deterministic=deterministic)
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
        np.testing.assert_allclose(exported.call(obs, *arguments), taken, rtol=1e-6)


def test_exported_arrays_name_the_distribution(acting, distribution, tmp_path):
    cfg, state, _ = acting
    p = rpojax.export_params(cfg, state, tmp_path / "params.npz", part="policy")
    assert p["distribution"] == np.load(tmp_path / "params.npz")["distribution"] == distribution
    assert "distribution" not in rpojax.export_params(cfg, state, tmp_path / "p.npz", "value")


def test_evaluation_and_pictures_squash(acting, tmp_path):
    cfg, state, received = acting
    played = rpojax.evaluate(cfg, state, jax.random.key(0), num_episodes=2)
    np.testing.assert_allclose(played.episode_return, STEPS * received(MEAN), rtol=1e-5)
    seen = []
    rpojax.render_episode(
        cfg,
        state,
        tmp_path / "episode.gif",
        jax.random.key(0),
        draw=lambda axes, env_state: seen.append(env_state["action"].item()),
    )
    np.testing.assert_allclose(seen, [0.0] + STEPS * [received(MEAN)], rtol=1e-5)
