"""The built-in perceptrons, and networks of a user's own."""

import functools
import math
from typing import get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rpojax import NetworkConfig
from rpojax.envs import Env
from rpojax.networks import make_network
from rpojax.networks.initialization import LARGEST_DRAWN_TOGETHER
from rpojax.settings.network_config import Activation

OBS, ACTIONS = 3, 2


def unused(*_):
    raise AssertionError("a network does not step the environment")


def environment(obs=None, actions=ACTIONS):
    return Env(
        name="Test-v0",
        reset=unused,
        step=unused,
        obs=jax.ShapeDtypeStruct((OBS,), jnp.float32) if obs is None else obs,
        action_low=-np.ones(actions, np.float32),
        action_high=np.ones(actions, np.float32),
    )


# The built-in perceptrons.


def init(config=None, seed=0, env=None):
    network = make_network(config or NetworkConfig(hidden_sizes=(16, 8)), env or environment())
    network = network._replace(init=jax.jit(network.init), apply=jax.jit(network.apply))
    return network, network.init(jax.random.key(seed))


def test_mlp_starts_with_zero_biases_the_given_log_std_and_scaled_orthogonal_weights():
    _, params = init(NetworkConfig(hidden_sizes=(16, 8), log_std_init=-0.7))
    np.testing.assert_allclose(params["log_std"], [-0.7, -0.7], rtol=1e-6)
    gains = {"actor_0": 2.0, "actor_1": 2.0, "critic_0": 2.0, "critic_1": 2.0, "mean": 1e-4}
    for name, squared in (gains | {"value": 1.0}).items():
        np.testing.assert_array_equal(params[name]["bias"], 0.0)
        kernel = np.asarray(params[name]["kernel"])
        gram = kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T
        np.testing.assert_allclose(gram, squared * np.eye(len(gram)), atol=1e-5 * squared)


def test_kernels_that_are_drawn_together_have_the_moments_of_haar_measure_and_are_independent():
    network = make_network(NetworkConfig(hidden_sizes=(8, 8)), environment())
    keys = jax.random.split(jax.random.key(5), 20_000)
    params = jax.jit(jax.vmap(network.init))(keys)  # the longer side is 8 for all of them
    scales = {"actor_0": 2.0, "actor_1": 2.0, "critic_0": 2.0, "critic_1": 2.0, "mean": 1e-4}
    kernels = {
        name: np.asarray(params[name]["kernel"], np.float64) / math.sqrt(squared)
        for name, squared in (scales | {"value": 1.0}).items()
    }
    for name, drawn in kernels.items():
        for power, expected in [(1, 0.0), (2, 1 / 8), (3, 0.0), (4, 3 / 80)]:
            values = drawn**power
            error = np.abs(values.mean(0) - expected)
            limit = 5 * values.std(0) / math.sqrt(len(drawn))
            assert (error < limit).all(), f"{name}, moment {power}"
    entries = np.stack([drawn.reshape(len(drawn), -1)[:, 0] for drawn in kernels.values()])
    correlations = np.corrcoef(entries)[np.triu_indices(len(entries), 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(len(keys))


def test_large_kernels_are_orthogonal_too_and_drawn_with_their_own_shape_alone():
    size = 2 * LARGEST_DRAWN_TOGETHER
    config = NetworkConfig(hidden_sizes=(size, size))
    _, params = init(config)
    for name, squared in {"actor_0": 2.0, "actor_1": 2.0, "mean": 1e-4, "value": 1.0}.items():
        kernel = np.asarray(params[name]["kernel"])
        gram = kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T
        np.testing.assert_allclose(gram, squared * np.eye(len(gram)), atol=1e-5 * squared)
    jaxpr = jax.make_jaxpr(make_network(config, environment()).init)(jax.random.key(0)).jaxpr
    numbers_drawn = max(equation.outvars[0].aval.size for equation in jaxpr.eqns)
    kernels = [leaf["kernel"] for name, leaf in params.items() if name != "log_std"]
    assert numbers_drawn == sum(kernel.size for kernel in kernels)


@pytest.mark.parametrize(
    ("shared", "actor", "critic"),
    [
        (False, ["actor_0", "actor_1"], ["critic_0", "critic_1"]),
        (True, *[["torso_0", "torso_1"]] * 2),
    ],
    ids=["separate", "shared"],
)
def test_actor_and_critic_share_their_torso_only_if_asked(shared, actor, critic):
    network, params = init(NetworkConfig(hidden_sizes=(4, 4), shared_torso=shared))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # off the zeros of the start
    obs = jax.random.normal(jax.random.key(1), (4, OBS))
    jacobian = jax.jit(
        jax.jacrev(lambda p: [jnp.sum(jnp.square(output)) for output in network.apply(p, obs)[0]])
    )(params)
    depends = [
        {
            name
            for name, leaves in gradient.items()
            if any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(leaves))
        }
        for gradient in jacobian
    ]
    assert depends == [{*actor, "mean"}, {"log_std"}, {*critic, "value"}]


def test_mlp_outputs_match_numpy():
    network, params = init(NetworkConfig(hidden_sizes=(5,), activation="relu"))
    params = jax.tree.map(lambda leaf: leaf + 0.05, params)
    obs = np.random.default_rng(0).normal(size=(2, 4, OBS)).astype(np.float32)

    def dense(name, x):
        return x @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"])

    outputs = network.apply(params, jnp.asarray(obs))[0]
    assert outputs.log_std.shape == outputs.mean.shape == (2, 4, ACTIONS)
    assert outputs.value.shape == (2, 4)
    for t, b in np.ndindex(2, 4):
        actor, critic = (np.maximum(dense(name, obs[t, b]), 0) for name in ("actor_0", "critic_0"))
        np.testing.assert_allclose(outputs.mean[t, b], dense("mean", actor), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outputs.value[t, b], dense("value", critic)[0], rtol=1e-5)
        np.testing.assert_allclose(outputs.log_std[t, b], params["log_std"])


@pytest.mark.parametrize("activation", get_args(Activation))
def test_each_activation_is_the_one_named(activation):
    network, params = init(NetworkConfig(hidden_sizes=(1,), activation=activation))
    one = {"kernel": jnp.array([[1.0], [0.0], [0.0]]), "bias": jnp.zeros(1)}
    head = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    params = params | {"critic_0": one, "value": head}
    x = np.linspace(-2.0, 2.0, 9, dtype=np.float32)
    expected = {
        "tanh": np.tanh(x),
        "relu": np.maximum(x, 0),
        "elu": np.where(x > 0, x, np.exp(x) - 1),
        "gelu": [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x],
        "silu": x / (1 + np.exp(-x)),
        "swish": x / (1 + np.exp(-x)),
        "leaky_relu": np.where(x > 0, x, 0.01 * x),
        "selu": 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
        "mish": x * np.tanh(np.log1p(np.exp(x))),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "softplus": np.log1p(np.exp(x)),
        "soft_sign": x / (1 + np.abs(x)),
    }[activation]
    obs = np.stack([x, x, x], axis=-1)
    atol = 1e-3 if activation == "gelu" else 1e-6  # jax.nn takes the tanh form
    np.testing.assert_allclose(
        network.apply(params, jnp.asarray(obs))[0].value, expected, atol=atol
    )


# Dict observations.

DICT_OBS = {
    "camera": jax.ShapeDtypeStruct((2, 3), jnp.uint8),
    "speed": jax.ShapeDtypeStruct((), jnp.float32),
    "arm": {"angle": jax.ShapeDtypeStruct((2,), jnp.float32)},
}


def dict_obs(*leading):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.integers(0, 9, (*leading, *leaf.shape)), leaf.dtype), DICT_OBS
    )


@pytest.mark.parametrize("leading", [(), (7,), (4, 2)])
def test_leaves_of_any_rank_are_flattened_in_the_order_of_their_names(leading):
    network, params = init(env=environment(DICT_OBS))
    flat_network, flat_params = init(env=environment(jax.ShapeDtypeStruct((9,), jnp.float32)))
    jax.tree.map(np.testing.assert_array_equal, params, flat_params)
    obs = dict_obs(*leading)
    leaves = (obs["arm"]["angle"], obs["camera"], obs["speed"])
    flat = np.concatenate([np.reshape(leaf, (*leading, -1)) for leaf in leaves], axis=-1)
    outputs = network.apply(params, obs)[0]
    assert outputs.value.shape == leading
    expected = flat_network.apply(params, jnp.asarray(flat, jnp.float32))[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), outputs, expected)


@pytest.mark.parametrize("cell", [None, "gru"])
def test_actor_and_critic_see_the_entries_they_are_given(cell):
    config = NetworkConfig(
        hidden_sizes=(4,),
        cell=cell,
        cell_sizes=(3,),
        actor_keys=("arm",),
        critic_keys=("speed", "arm"),
    )
    network, params = init(config, env=environment(DICT_OBS))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert params["actor_0"]["kernel"].shape == (2, 4)
    assert params["critic_0"]["kernel"].shape == (3, 4)
    carry = network.initial_carry((5,))
    floats = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), dict_obs(5))
    sees = {}
    for name in ("mean", "value"):
        loss = lambda obs, name=name: jnp.sum(  # noqa: E731
            getattr(network.apply(params, obs, carry)[0], name)
        )
        gradient = jax.grad(loss)(floats)
        sees[name] = {key for key in gradient if np.abs(jax.tree.leaves(gradient[key])).max() > 0}
    assert sees == {"mean": {"arm"}, "value": {"arm", "speed"}}


@pytest.mark.parametrize(
    ("obs", "changes", "message"),
    [
        (DICT_OBS, {"actor_keys": ("sped",)}, "unknown entry of actor_keys 'sped'; .*'speed'"),
        (None, {"critic_keys": ("arm",)}, "critic_keys = .*'Test-v0' are .*leave it None"),
    ],
)
def test_keys_that_the_observations_do_not_have_are_refused(obs, changes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make_network(NetworkConfig(**changes), environment(obs))


# The standard deviation, precision, no hidden layers.


def test_log_std_can_depend_on_the_observation():
    network, params = init(NetworkConfig(state_dependent_log_std=True, log_std_init=-0.4))
    obs = jax.random.normal(jax.random.key(1), (64, OBS))
    log_std = np.asarray(network.apply(params, obs)[0].log_std)
    assert log_std.shape == (64, ACTIONS)
    np.testing.assert_allclose(log_std, -0.4, atol=0.1)
    assert log_std.std(axis=0).min() > 1e-4


@pytest.mark.parametrize("state_dependent", [False, True])
def test_log_std_stays_within_its_bounds(state_dependent):
    config = NetworkConfig(
        state_dependent_log_std=state_dependent, log_std_min=-1.0, log_std_max=0.5
    )
    network, params = init(config)
    obs = jnp.zeros((3, OBS))
    for shift, expected in [(-3.0, -1.0), (0.25, 0.25), (3.0, 0.5)]:
        bias = params["log_std"]["bias"] if state_dependent else params["log_std"]
        moved = {"bias": bias + shift, "kernel": jnp.zeros((64, ACTIONS))}
        changed = params | {"log_std": moved if state_dependent else bias + shift}
        np.testing.assert_allclose(network.apply(changed, obs)[0].log_std, expected, atol=1e-6)


class NormalisedPerceptron(nn.Module):
    """Two hidden layers, each normalised by flax between product and nonlinearity."""

    @nn.compact
    def __call__(self, obs):
        for index, size in enumerate((16, 8)):
            obs = nn.Dense(size, name=f"actor_{index}")(obs)
            obs = nn.silu(nn.LayerNorm(name=f"actor_norm_{index}")(obs))
        return nn.Dense(ACTIONS, name="mean")(obs)


def test_layer_norm_is_that_of_flax_before_the_nonlinearity():
    config = NetworkConfig(hidden_sizes=(16, 8), activation="silu", layer_norm=True)
    network, params = init(config)
    noise = iter(jax.random.split(jax.random.key(5), 100))
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(next(noise), leaf.shape), params
    )
    obs = 5.0 * jax.random.normal(jax.random.key(1), (4, 3, OBS)) + 2.0
    expected = NormalisedPerceptron().apply({"params": params}, obs)
    np.testing.assert_allclose(network.apply(params, obs)[0].mean, expected, atol=1e-5)


def test_layer_norm_starts_as_one_that_only_normalises_and_changes_no_other_parameter():
    _, plain = init(NetworkConfig(hidden_sizes=(16, 8)))
    _, params = init(NetworkConfig(hidden_sizes=(16, 8), layer_norm=True))
    jax.tree.map(np.testing.assert_array_equal, plain, {name: params[name] for name in plain})
    added = {name: layer for name, layer in params.items() if name not in plain}
    assert set(added) == {f"{part}_norm_{i}" for part in ("actor", "critic") for i in (0, 1)}
    for layer in added.values():
        np.testing.assert_array_equal(layer["scale"], 1.0)
        np.testing.assert_array_equal(layer["bias"], 0.0)


@pytest.mark.parametrize("changes", [{"shared_torso": True}, {"cell": "gru"}], ids=str)
def test_layer_norm_forgets_the_scale_of_the_observations(changes):
    network, params = init(NetworkConfig(hidden_sizes=(16,), layer_norm=True, **changes))
    obs, carry = jax.random.normal(jax.random.key(1), (3, OBS)), network.initial_carry((3,))
    near, far = (network.apply(params, scale * obs, carry)[0] for scale in (1.0, 100.0))
    np.testing.assert_allclose(near.value, far.value, rtol=1e-3, atol=1e-4)


def test_critic_may_have_sizes_of_its_own():
    _, params = init(NetworkConfig(hidden_sizes=(8,), critic_hidden_sizes=(16, 4)))
    shapes = {name: layer["kernel"].shape for name, layer in params.items() if name != "log_std"}
    assert shapes == {
        "actor_0": (OBS, 8),
        "mean": (8, ACTIONS),
        "critic_0": (OBS, 16),
        "critic_1": (16, 4),
        "value": (4, 1),
    }
    network, params = init(NetworkConfig(hidden_sizes=(8,), critic_hidden_sizes=()))
    assert network.apply(params, jnp.ones((5, OBS)))[0].value.shape == (5,)


def test_swish_is_silu():
    assert NetworkConfig(activation="swish") == NetworkConfig(activation="silu")


@pytest.mark.parametrize("state_dependent", [False, True])
def test_softplus_std_starts_where_asked_and_nears_its_floor(state_dependent):
    config = NetworkConfig(
        state_dependent_log_std=state_dependent,
        std_parameterization="softplus",
        log_std_init=-1.5,
        log_std_min=-3.0,
        log_std_max=0.5,
    )
    network, params = init(config)
    obs = jnp.zeros((3, OBS))
    np.testing.assert_allclose(network.apply(params, obs)[0].log_std, -1.5, atol=1e-5)
    floor = math.exp(-3.0)
    for raw, expected in [
        (-60.0, -3.0),
        (0.0, math.log(math.log(2.0) + floor)),
        (1.0, math.log(math.log(1.0 + math.e) + floor)),
        (60.0, 0.5),
    ]:
        free = jnp.full(ACTIONS, raw)
        layer = {"bias": free, "kernel": jnp.zeros((64, ACTIONS))}
        changed = params | {"log_std": layer if state_dependent else free}
        np.testing.assert_allclose(network.apply(changed, obs)[0].log_std, expected, atol=1e-5)


@pytest.mark.parametrize("cell", [None, "lstm"])
def test_bfloat16_keeps_parameters_and_outputs_in_float32_and_is_near(cell):
    sizes = {"hidden_sizes": (32, 32), "cell": cell, "cell_sizes": (16,)}
    network, params = init(NetworkConfig(dtype="bfloat16", **sizes))
    exact, _ = init(NetworkConfig(**sizes))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    obs = jax.random.normal(jax.random.key(1), (64, OBS))
    carry = network.initial_carry((64,))
    outputs, after = network.apply(params, obs, carry)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, after))} == {jnp.dtype("float32")}
    value = exact.apply(params, obs, carry)[0].value
    error = np.abs(outputs.value - value).max() / np.abs(value).max()
    assert 1e-4 < error < 0.05  # rounded to 8 bits, and indeed rounded
    assert len(np.unique(outputs.mean)) > 100  # the heads are not: means would clump


def test_no_hidden_layers_is_a_linear_policy():
    network, params = init(NetworkConfig(hidden_sizes=()))
    assert params["mean"]["kernel"].shape == (OBS, ACTIONS)
    assert set(params) == {"mean", "value", "log_std"}
    one, two = jnp.ones((1, OBS)), 2.0 * jnp.ones((1, OBS))
    mean = network.apply(params, one)[0].mean
    np.testing.assert_allclose(network.apply(params, two)[0].mean, 2.0 * mean, rtol=1e-5)


def test_different_keys_give_different_networks_and_the_same_key_the_same():
    network, params = init()
    same, other = network.init(jax.random.key(0)), network.init(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, params, same)
    assert np.abs(params["actor_0"]["kernel"] - other["actor_0"]["kernel"]).max() > 0.01
    # actor and critic do not start as copies of each other either
    assert np.abs(params["actor_0"]["kernel"] - params["critic_0"]["kernel"]).max() > 0.01


# Networks of a user's own.


class LinenNetwork(nn.Module):
    """mean = obs W, value = obs w, in the forms that a user may return them."""

    log_std_shape: str = "[A]"
    value_shape: str = "[...]"
    mean_features: int = ACTIONS

    @nn.compact
    def __call__(self, obs):
        mean = nn.Dense(self.mean_features, use_bias=False, name="mean")(obs)
        value = nn.Dense(1, use_bias=False, name="value")(obs)
        log_std = self.param("log_std", nn.initializers.constant(-1.0), (ACTIONS,))
        if self.log_std_shape == "[..., A]":
            log_std = jnp.broadcast_to(log_std, (*obs.shape[:-1], ACTIONS))
        if self.log_std_shape == "[A + 1]":
            log_std = jnp.zeros(ACTIONS + 1)
        if self.value_shape == "[..., 2]":
            value = jnp.concatenate([value, value], axis=-1)
        if self.value_shape == "[...]":
            value = value[..., 0]
        return mean, log_std, value


class NnxNetwork(nnx.Module):
    def __init__(self, rngs, norm=False):
        self.mean = nnx.Linear(OBS, ACTIONS, use_bias=False, rngs=rngs)
        self.value = nnx.Linear(OBS, 1, use_bias=False, rngs=rngs)
        self.log_std = nnx.Param(jnp.full(ACTIONS, -1.0))
        self.norm = nnx.BatchNorm(OBS, rngs=rngs) if norm else None

    def __call__(self, obs):
        if self.norm is not None:
            obs = self.norm(obs)
        return self.mean(obs), self.log_std[...], self.value(obs)


def check_linear_network(network):
    """Outputs and gradients of mean = obs W and value = obs w against NumPy."""
    params = network.init(jax.random.key(0))
    kernels = {leaf.shape: np.asarray(leaf) for leaf in jax.tree.leaves(params)}
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(6, OBS)).astype(np.float32)
    weight, value_weight = rng.normal(size=(6, ACTIONS)), rng.normal(size=6)

    apply = jax.jit(lambda params, obs: network.apply(params, obs)[0])
    outputs = apply(params, jnp.asarray(obs))
    np.testing.assert_allclose(outputs.mean, obs @ kernels[OBS, ACTIONS], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs.value, (obs @ kernels[OBS, 1])[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs.log_std, np.full((6, ACTIONS), -1.0))

    @jax.jit
    @jax.grad
    def gradient(params):
        out = network.apply(params, jnp.asarray(obs))[0]
        weighted = jnp.sum(out.mean * weight) + jnp.sum(out.value * value_weight)
        return weighted + 3.0 * jnp.sum(out.log_std)

    grads = {leaf.shape: np.asarray(leaf) for leaf in jax.tree.leaves(gradient(params))}
    np.testing.assert_allclose(grads[OBS, ACTIONS], obs.T @ weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[OBS, 1][:, 0], obs.T @ value_weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[(ACTIONS,)], [18.0, 18.0], rtol=1e-5)

    # A second use, outside the trace, with other parameters and other leading axes.
    doubled = jax.tree.map(lambda leaf: 2.0 * leaf, params)
    twice = network.apply(doubled, jnp.asarray(obs).reshape(2, 3, OBS))[0]
    np.testing.assert_allclose(twice.mean.reshape(6, ACTIONS), 2.0 * outputs.mean, rtol=1e-5)
    assert twice.value.shape == (2, 3)


@pytest.mark.parametrize("log_std_shape", ["[A]", "[..., A]"])
@pytest.mark.parametrize("value_shape", ["[...]", "[..., 1]"])
def test_linen_module_gives_its_outputs_and_gradients(log_std_shape, value_shape):
    check_linear_network(make_network(LinenNetwork(log_std_shape, value_shape), environment()))


def test_nnx_factory_gives_its_outputs_and_gradients():
    check_linear_network(make_network(lambda rngs: NnxNetwork(rngs), environment()))


@pytest.mark.parametrize(
    "network",
    [LinenNetwork(), NnxNetwork, NetworkConfig(hidden_sizes=(4,))],
    ids=["linen", "nnx", "mlp"],
)
def test_init_and_apply_can_be_vmapped_over_seeds(network):
    made = make_network(network, environment())
    keys = jax.random.split(jax.random.key(0), 3)
    obs = jnp.ones((5, OBS))
    run = jax.jit(lambda key: made.apply(made.init(key), obs)[0])
    params = jax.jit(jax.vmap(made.init))(keys)
    outputs, _ = jax.jit(jax.vmap(made.apply, (0, None)))(params, obs)
    assert outputs.mean.shape == (3, 5, ACTIONS)
    for i in range(3):
        alone = run(keys[i])
        np.testing.assert_allclose(outputs.mean[i], alone.mean, rtol=1e-4, atol=1e-6)
    assert np.abs(outputs.mean[0] - outputs.mean[1]).max() > 1e-4


@pytest.mark.parametrize("network", [LinenNetwork(), NnxNetwork], ids=["linen", "nnx"])
def test_init_takes_the_older_kind_of_key(network):
    made = make_network(network, environment())
    old, new = made.init(jax.random.PRNGKey(3)), made.init(jax.random.key(3))
    jax.tree.map(np.testing.assert_array_equal, old, new)


class BatchNormNetwork(nn.Module):
    @nn.compact
    def __call__(self, obs):
        return LinenNetwork()(nn.BatchNorm(use_running_average=False)(obs))


class ThreeOutputsInAList(nn.Module):
    @nn.compact
    def __call__(self, obs):
        return list(LinenNetwork()(obs))


class MeanOnly(nn.Module):
    @nn.compact
    def __call__(self, obs):
        return nn.Dense(ACTIONS)(obs)


class Flattening(LinenNetwork):
    """Takes one leading axis only."""

    @nn.compact
    def __call__(self, obs):
        return super().__call__(obs["camera"].reshape(obs["camera"].shape[0], -1))


class Narrow(LinenNetwork):
    """Keeps a parameter in bfloat16."""

    @nn.compact
    def __call__(self, obs):
        mean, log_std, value = super().__call__(obs)
        return mean * self.param("scale", nn.initializers.ones, (), jnp.bfloat16), log_std, value


class SquashedLinen(LinenNetwork):
    distribution: str = "tanh_gaussian"


class SquashedNnx(NnxNetwork):
    distribution = "tanh_gaussian"


@pytest.mark.parametrize(
    ("plain", "squashed"),
    [
        (LinenNetwork(), SquashedLinen()),
        (NnxNetwork, SquashedNnx),
        (NetworkConfig(), NetworkConfig(distribution="tanh_gaussian")),
        (NetworkConfig(cell="gru"), NetworkConfig(cell="gru", distribution="tanh_gaussian")),
    ],
    ids=["linen", "nnx", "mlp", "gru"],
)
def test_network_says_what_its_outputs_parametrise(plain, squashed):
    assert make_network(plain, environment()).distribution == "gaussian"
    assert make_network(squashed, environment()).distribution == "tanh_gaussian"


@pytest.mark.parametrize(
    ("network", "problem", "remedy"),
    [
        (
            SquashedLinen(distribution="gamma"),
            "attribute distribution of the network SquashedLinen = 'gamma' is not known",
            "'gaussian', 'tanh_gaussian', 'beta'",
        ),
        (LinenNetwork(mean_features=3), r"mean of shape \(5, 3\)", r"mean \[5, 2\].*'Test-v0'"),
        (LinenNetwork("[A + 1]"), r"log_std of shape \(3,\)", r"log_std \[5, 2\] or \[2\]"),
        (LinenNetwork("[A]", "[..., 2]"), r"value of shape \(5, 2\)", r"value \[5\] or \[5, 1\]"),
        (MeanOnly(), "MeanOnly.* returns", r"return the tuple \(mean \[5, 2\]"),
        (ThreeOutputsInAList(), "ThreeOutputsInAList.* returns", "return the tuple"),
        (BatchNormNetwork(), "BatchNormNetwork keeps state.*batch_stats", "without batch stat"),
        (functools.partial(NnxNetwork, norm=True), "keeps state.*BatchStat", "without batch stat"),
        (NnxNetwork(nnx.Rngs(0)), "not a NetworkConfig", r"lambda rngs: MyModule\(rngs=rngs\)"),
        (lambda rngs: 3.0, "not an nnx module", "give a function of nnx.Rngs"),
        ("mlp", "network = 'mlp' is not a NetworkConfig", "give"),
        (LinenNetwork, "LinenNetwork.* is not a function of nnx.Rngs", "an instance"),
        (lambda: NnxNetwork(nnx.Rngs(0)), "is not a function of nnx.Rngs", "lambda rngs"),
        (None, "network = None is not a NetworkConfig", "give"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_unfit_network_is_refused_with_the_remedy(network, problem, remedy):
    with pytest.raises(ValueError, match=f"(?s){problem}.*{remedy}"):
        make_network(network, environment())


def test_modules_that_take_one_leading_axis_only_are_refused():
    """They failed in training, where the critic is called with whole rollouts."""
    remedy = r"as obs\['camera'\]\.reshape\(\*obs\['camera'\]\.shape\[:-2\], -1\) does"
    with pytest.raises(ValueError, match=rf"(?s)Flattening.*\[T, B, \.\.\.\], raises.*{remedy}"):
        make_network(Flattening(), environment(DICT_OBS))


def test_parameters_in_bfloat16_are_refused():
    """They failed in training, in a scan."""
    with pytest.raises(ValueError, match=r"(?s)Narrow.*parameter scale in bfloat16.*dtype=bfloat"):
        make_network(Narrow(), environment())


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float32])
def test_modules_are_checked_with_what_they_see(dtype):
    seen = []

    class Seeing(LinenNetwork):
        @nn.compact
        def __call__(self, obs):
            seen.append(obs.dtype)
            return super().__call__(obs)

    whole = jax.ShapeDtypeStruct((OBS,), jnp.int32)
    obs = jax.ShapeDtypeStruct((OBS,), dtype)
    make_network(Seeing(), environment(whole), obs).init(jax.random.key(0))
    assert set(seen) == {jnp.dtype(dtype)}
