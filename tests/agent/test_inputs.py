"""What a policy accepts, and what it refuses by its shape."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from rpojax.agent.inputs import DEFAULT_EPISODE_LIMIT, as_observations, episode_limit

CFG = rpojax.Config(num_envs=4, num_steps=8, num_minibatches=2, total_timesteps=64)
TRAINER = rpojax.make_trainer(CFG)
SHAPED = {"position": jax.ShapeDtypeStruct((2,), "float32"), "time": jax.ShapeDtypeStruct((), "i4")}


def make_policy(cfg):
    return rpojax.make_policy(cfg, jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0)))


@pytest.fixture(scope="module")
def act():
    return make_policy(CFG)


@pytest.fixture(scope="module")
def remember():
    return make_policy(CFG.replace(network=rpojax.NetworkConfig(cell="lstm")))


USES = {
    "policy": lambda cfg, state: rpojax.make_policy(cfg, state),
    "evaluate": lambda cfg, state: rpojax.evaluate(cfg, state, jax.random.key(0), max_steps=1),
    "export": lambda cfg, state: rpojax.export_params(cfg, state, "never.npz"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"hidden_sizes": (64,)}, r"actor_1/bias is of shape \(64,\) in .*absent in the network"),
        ({"cell": "rnn"}, r"actor_rnn_0/bias is absent in state.params, and of shape \(64,\) in"),
        ({"hidden_sizes": (64, 8)}, r"actor_1/bias is of shape \(64,\) in .*of shape \(8,\) in"),
    ],
)
def test_a_state_of_another_network_is_refused(use, changes, difference):
    """Parameters that the network does not know were ignored, and another function acted."""
    state = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(TRAINER.init, jax.random.key(0)).replace(key=None),
    )
    cfg = CFG.replace(network=rpojax.NetworkConfig(**changes), num_minibatches=1)
    with pytest.raises(ValueError, match=rf"network = NetworkConfig\(.*{difference}"):
        USES[use](cfg, state)


@pytest.mark.parametrize("use", USES)
def test_a_result_in_place_of_its_state_is_refused(use):
    result = jax.eval_shape(rpojax.make_train(CFG), jax.random.key(0))
    with pytest.raises(ValueError, match=r"state is a TrainResult .* result\.state"):
        USES[use](CFG, result)


def test_policies_are_made_of_traced_states():
    states = jax.eval_shape(jax.vmap(TRAINER.init), jax.random.split(jax.random.key(0), 2))

    def act(state):
        return rpojax.make_policy(CFG, state)(jnp.zeros(3))

    assert jax.eval_shape(jax.vmap(act), states).shape == (2, 1)


@pytest.mark.parametrize("kind", [np.float32, jnp.float32])
@pytest.mark.parametrize(
    "value", [np.zeros((3, 1)), 0.6, np.zeros(2), np.zeros((3, 4)), np.zeros((2, 0)), np.zeros(1)]
)
def test_observations_of_another_shape_are_refused(act, value, kind):
    """A column of three would else be three observations of one number each."""
    with pytest.raises(ValueError, match=r"obs has the shape \(.*\); give .* of shape \[..., 3\]"):
        act(kind(value))


@pytest.mark.parametrize(
    "value",
    [
        [0.6, 0.8],
        [0.1, 0.2, 0.3, 0.4],
        [[0.6], [0.8], [2.0]],
        [[0.6, 0.8, 2.0], [0.6]],
        ["a", "b", "c"],
        [1j, 2j, 3j],
        {"obs": np.zeros(3)},
        "abc",
        0.6,
        None,
    ],
)
def test_what_is_no_list_of_three_numbers_is_refused(act, value):
    with pytest.raises(ValueError, match=r"obs .* observations of shape \[..., 3\]"):
        act(value)


def test_a_list_of_the_right_length_is_taken_as_an_array(act):
    obs = [0.6, 0.8, 2.0]
    action = act(obs)
    assert type(action) is np.ndarray
    np.testing.assert_array_equal(action, act(np.array(obs, np.float32)))
    np.testing.assert_allclose(act([obs, obs]), np.stack([action, action]), rtol=1e-5)


@pytest.mark.parametrize("large", [3_000_000_000, -(2**40)])
def test_whole_numbers_beyond_int32_are_no_others(act, large):
    for obs in ([large, 0, 0], np.array([large, 0, 0])):
        np.testing.assert_array_equal(act(obs), act(np.array([large, 0, 0], np.float32)))


def test_whole_numbers_stay_where_the_environment_gives_them():
    obs = {"position": np.zeros((5, 2), np.int64), "time": np.arange(5, dtype=np.uint8)}
    taken, _ = as_observations(obs, SHAPED)
    assert (taken["position"].dtype, taken["time"].dtype) == ("float32", "uint8")


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 2)])
def test_a_carry_of_another_batch_is_refused(remember, batch):
    _, carry = remember(np.zeros((2, 3)))
    remember(np.zeros((2, 3)), carry)
    with pytest.raises(ValueError, match=r"carry has the shape .*give the carry that the policy"):
        remember(np.zeros((*batch, 3)), carry)


@pytest.mark.parametrize("carry", [(), {"actor": ()}, np.zeros(2)])
def test_a_carry_of_another_structure_is_refused(remember, carry):
    with pytest.raises(ValueError, match=r"carry = .* has another structure"):
        remember(np.zeros((2, 3)), carry)


@pytest.mark.parametrize("reset", [True, np.zeros(3, bool), np.zeros((2, 1), bool)])
def test_reset_flags_of_another_batch_are_refused(remember, reset):
    obs = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"reset has the shape .* bool\[2\]"):
        remember(obs, reset=reset)


def test_reset_flags_may_be_a_list(remember):
    obs, flags = np.ones((2, 3)), [True, False]
    _, carry = remember(obs)
    action, _ = remember(obs, carry, flags)
    for kind in (np.array, jnp.array):
        np.testing.assert_array_equal(action, remember(obs, carry, kind(flags))[0])
    assert action[0] != action[1]


def test_leaves_of_an_observation_share_their_leading_axes():
    obs = {"position": np.zeros((5, 2)), "time": np.zeros(5)}
    _, leading = as_observations(obs, SHAPED)
    assert leading == (5,)
    for wrong in (
        obs | {"time": np.zeros(4)},
        obs | {"time": np.zeros((5, 1))},
        obs | {"position": np.zeros((5, 3))},
        {"position": np.zeros((5, 2))},
        obs | {"velocity": np.zeros(5)},
    ):
        with pytest.raises(ValueError, match=r"'position': '\[..., 2\]', 'time': '\[...\]'"):
            as_observations(wrong, SHAPED)


@pytest.mark.parametrize("cell", [None, "lstm"])
def test_a_further_step_traces_nothing(cell):
    """Tracing takes several times as long as acting."""
    cfg = CFG.replace(network=rpojax.NetworkConfig(cell=cell))
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    act = rpojax.make_recurrent_policy(cfg, state, deterministic=False)
    obs, key = np.zeros(3, np.float32), jax.random.key(1)
    _, carry = act(obs, key=key)
    act(obs, carry, key=key)
    jax.config.update("jax_no_tracing", True)
    try:
        act(obs, carry, key=key)
    finally:
        jax.config.update("jax_no_tracing", False)


ENV = rpojax.envs.make("Pendulum-v1")
ENDLESS = dataclasses.replace(ENV, max_episode_steps=None)


@pytest.mark.parametrize(
    ("env", "max_steps", "limit"),
    [
        (ENV, None, 200),
        (ENV, 7, 7),
        (ENV, 300, 300),
        (ENDLESS, 7, 7),
        (ENDLESS, None, DEFAULT_EPISODE_LIMIT),
        (dataclasses.replace(ENV, max_episode_steps=2**63), None, 2**31 - 1),
    ],
)
def test_the_callers_limit_comes_before_the_environments(env, max_steps, limit):
    assert episode_limit(env, max_steps) == limit


@pytest.mark.parametrize("value", [0, -3, 1.5, "many", 10**10])
def test_a_limit_that_is_no_positive_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"max_steps = .* whole number of 1 to 2147483647"):
        episode_limit(ENV, value)
