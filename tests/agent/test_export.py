"""What a trained agent leaves for the world outside: its program, its arrays."""

import json
import subprocess
import sys
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gymnax.environments import spaces
from jax.flatten_util import ravel_pytree

import rpojax
from rpojax import Config, NetworkConfig, export_params, export_policy
from rpojax.core import normalize

CFG = Config(num_envs=8, num_steps=16, num_minibatches=4, total_timesteps=256)


class Dial:
    """A task with two observations: to say what both show."""

    name = "Dial"
    default_params = None
    container = dict

    def action_space(self, params):
        return spaces.Box(-0.5, 0.25, (2,))

    def reset_env(self, key, params):
        target = jax.random.uniform(key, (2,), minval=-1.0)
        return self.container(coarse=jnp.array(3, jnp.int32), fine=target[:, None]), target

    def step_env(self, key, state, action, params):
        obs, target = self.reset_env(key, params)
        return obs, target, -jnp.sum(jnp.square(action - state)), True, {}


class DialNetwork(nn.Module):
    """One hidden layer for both; its critic has a parameter more, and one goes unused."""

    @nn.compact
    def __call__(self, obs):
        coarse = obs["coarse"].astype(jnp.float32)[..., None]
        both = jnp.concatenate([coarse, obs["fine"][..., 0]], axis=-1)
        hidden = jnp.tanh(nn.Dense(8, name="torso")(both))
        log_std = self.param("log_std", nn.initializers.zeros, (2,))
        self.param("unused", nn.initializers.zeros, (4,))
        return nn.Dense(2, name="actor")(hidden), log_std, nn.Dense(1, name="critic")(hidden)


DIAL = CFG.replace(
    env=rpojax.envs.from_gymnax(Dial()), network=DialNetwork(), action_transform="rescale"
)


def agent(cfg: Config) -> rpojax.TrainState:
    """As after a training: parameters away from their start, statistics of something."""
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    params, unravel = ravel_pytree(state.params)
    params += 0.2 * jax.random.normal(jax.random.key(1), params.shape)
    state = state.replace(params=unravel(params))
    if cfg.normalize_observations:
        seen = jax.tree.map(lambda leaf: 2 * leaf + 1, state.obs)
        state = state.replace(obs_stats=normalize.update_stats(state.obs_stats, seen))
    if cfg.normalize_values:
        targets = jnp.arange(10.0)
        state = state.replace(value_stats=normalize.update_stats(state.value_stats, targets))
    return state


@pytest.fixture(scope="module")
def state():
    return agent(CFG.replace(normalize_values=True))


@pytest.fixture(scope="module")
def dial_state():
    return agent(DIAL)


def observations(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).normal(size=(batch, 3)).astype(np.float32)


def dial_observations(batch: int) -> dict[str, np.ndarray]:
    fine = np.random.default_rng(batch).normal(size=(batch, 2, 1)).astype(np.float32)
    return {"coarse": np.arange(batch, dtype=np.int32), "fine": fine}


LOADER = """
import json, pathlib, sys
for name in ("rpojax", "flax", "optax", "gymnax", "chex"):
    sys.modules[name] = None  # importing it fails
import jax.export
import numpy as np

path, batches, key = json.loads(sys.argv[1])
policy = jax.export.deserialize(bytearray(pathlib.Path(path).read_bytes()))
act = jax.jit(policy.call)
for obs in batches:
    obs = jax.tree.map(lambda leaf: np.asarray(leaf["values"], leaf["dtype"]), obs,
                       is_leaf=lambda node: "values" in node)
    action = act(obs) if key is None else act(obs, jax.random.key(key))
    print(json.dumps([action.tolist(), str(action.dtype)]))
"""


def actions_elsewhere(path, batches, key=None) -> list[np.ndarray]:
    """Actions of an exported policy in a process that cannot import rpojax."""

    def plain(leaf: np.ndarray) -> dict:
        return {"values": leaf.tolist(), "dtype": str(leaf.dtype)}

    given = json.dumps([str(path), [jax.tree.map(plain, obs) for obs in batches], key])
    run = subprocess.run(
        [sys.executable, "-c", LOADER, given], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert all(dtype == "float32" for _, dtype in results)
    return [np.asarray(action, np.float32) for action, _ in results]


def test_exported_policy_acts_alike_without_rpojax(state, tmp_path):
    export_policy(CFG, state, tmp_path / "policy")
    batches = [observations(1), observations(7)]
    act = rpojax.make_policy(CFG, state)
    for action, obs in zip(actions_elsewhere(tmp_path / "policy", batches), batches, strict=True):
        assert action.shape == (len(obs), 1)
        np.testing.assert_allclose(action, act(obs), atol=1e-6)


def test_exported_policy_takes_a_tree_of_observations(dial_state, tmp_path):
    export_policy(DIAL, dial_state, tmp_path / "policy")
    batches = [dial_observations(1), dial_observations(7)]
    act = rpojax.make_policy(DIAL, dial_state)
    for action, obs in zip(actions_elsewhere(tmp_path / "policy", batches), batches, strict=True):
        assert action.shape == (len(obs["coarse"]), 2)
        np.testing.assert_allclose(action, act(obs), atol=1e-6)
        assert (np.abs(action) > 1e-3).all()


def test_exported_stochastic_policy_draws_the_same_samples(state, tmp_path):
    export_policy(CFG, state, tmp_path / "policy", deterministic=False)
    act = rpojax.make_policy(CFG, state, deterministic=False)
    (action,) = actions_elsewhere(tmp_path / "policy", [observations(7)], key=3)
    np.testing.assert_allclose(action, act(observations(7), jax.random.key(3)), atol=1e-6)
    assert np.ptp(action) > 0.5
    loaded = rpojax.load_policy(tmp_path / "policy")
    assert not loaded.deterministic
    again, _ = loaded(observations(7), key=jax.random.key(3))
    np.testing.assert_allclose(again, action, atol=1e-6)
    with pytest.raises(ValueError, match="key = None, but the policy is stochastic"):
        loaded(observations(7))


def test_exported_recurrent_policy_takes_and_returns_its_carry(tmp_path):
    network = rpojax.NetworkConfig(hidden_sizes=(8,), cell="lstm", cell_sizes=(4,))
    cfg = CFG.replace(network=network, num_minibatches=2)
    state = agent(cfg)
    export_policy(cfg, state, tmp_path / "policy")
    program = jax.export.deserialize(bytearray((tmp_path / "policy").read_bytes()))
    shapes = jax.tree.unflatten(program.in_tree, program.in_avals)[0][1]
    batch = 3
    carry = jax.tree.map(lambda leaf: np.zeros((batch, *leaf.shape[1:]), leaf.dtype), shapes)
    act, ours = rpojax.make_policy(cfg, state), None
    exported = jax.jit(program.call)
    for step in range(4):
        obs = observations(batch) + step
        reset = np.array([False, step == 2, True])
        action, carry = exported(obs, carry, reset)
        expected, ours = act(obs, ours, reset)
        np.testing.assert_allclose(action, expected, atol=1e-6)


def test_exported_program_knows_its_platforms_and_checks_its_input(state, tmp_path):
    def exported(**settings):
        export_policy(CFG, state, tmp_path / "policy", **settings)
        return jax.export.deserialize(bytearray((tmp_path / "policy").read_bytes()))

    assert exported().platforms == ("cpu", "cuda", "tpu")
    only = exported(platforms=("cpu",))
    assert only.platforms == ("cpu",)
    with pytest.raises(ValueError, match="shape"):
        only.call(np.zeros((7, 4), np.float32))


def test_observations_in_a_container_of_ones_own_are_refused(tmp_path):
    class Obs(NamedTuple):
        coarse: jax.Array
        fine: jax.Array

    class Tuple(Dial):
        container = Obs

    class Network(DialNetwork):
        @nn.compact
        def __call__(self, obs):
            hidden = obs.fine[..., 0]
            return (
                hidden,
                jnp.zeros(2),
                jnp.sum(hidden, axis=-1) * self.param("scale", nn.initializers.ones, ()),
            )

    cfg = DIAL.replace(env=rpojax.envs.from_gymnax(Tuple()), network=Network())
    state = agent(cfg)
    with pytest.raises(
        ValueError,
        match="observations of 'Dial' or the carry of the network cannot be exported; give each as",
    ):
        export_policy(cfg, state, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_a_network_that_counts_its_observations_is_refused(tmp_path):
    class Counting(DialNetwork):
        @nn.compact
        def __call__(self, obs):
            mean, log_std, value = super().__call__(obs)
            return (mean if obs["coarse"].shape[0] < 5 else -mean), log_std, value

    cfg = DIAL.replace(network=Counting())
    state = agent(cfg)
    with pytest.raises(
        ValueError, match="cannot be exported for any batch size; make it independent"
    ):
        export_policy(cfg, state, tmp_path / "policy")


def test_arrays_give_the_mean_action_in_numpy(state, tmp_path):
    path = tmp_path / "policy"  # no suffix, and none is added
    written = export_params(CFG, state, path, part="policy")
    p = np.load(path, allow_pickle=False)
    assert set(p) == set(written)
    obs = 3.0 * observations(7)
    hidden = (obs - p["obs_stats/mean"]) / p["obs_stats/std"]
    hidden = np.clip(hidden, -p["observation_clip"], p["observation_clip"])
    for layer in ("params/actor_0", "params/actor_1"):
        hidden = np.tanh(hidden @ p[f"{layer}/kernel"] + p[f"{layer}/bias"])
    mean = hidden @ p["params/mean/kernel"] + p["params/mean/bias"]
    action = np.clip(mean, p["action_low"], p["action_high"])
    np.testing.assert_allclose(action, rpojax.make_policy(CFG, state)(obs), atol=1e-5)
    assert p["action_transform"] == "clip"


def test_arrays_give_the_value_in_numpy(state, tmp_path):
    cfg = CFG.replace(normalize_values=True)
    p = export_params(cfg, state, tmp_path / "value.npz", part="value")
    obs = observations(7)
    hidden = (obs - p["obs_stats/mean"]) / p["obs_stats/std"]
    hidden = np.clip(hidden, -p["observation_clip"], p["observation_clip"])
    for layer in ("params/critic_0", "params/critic_1"):
        hidden = np.tanh(hidden @ p[f"{layer}/kernel"] + p[f"{layer}/bias"])
    value = (hidden @ p["params/value/kernel"] + p["params/value/bias"])[:, 0]
    network = rpojax.networks.make_network(cfg.network, rpojax.envs.make(cfg.env))
    seen = normalize.normalize(state.obs_stats, jnp.asarray(obs), cfg.observation_clip)
    np.testing.assert_allclose(value, network.apply(state.params, seen)[0].value, atol=1e-5)
    np.testing.assert_allclose(p["value_stats/mean"], state.value_stats.mean)
    np.testing.assert_allclose(p["value_stats/std"], np.sqrt(state.value_stats.var), rtol=1e-5)


@pytest.mark.parametrize("parameterization", ["exp", "softplus"])
def test_arrays_give_the_standard_deviation_in_numpy(parameterization, tmp_path):
    network = NetworkConfig(
        hidden_sizes=(4,),
        activation="swish",
        std_parameterization=parameterization,
        log_std_init=-1.0,
        log_std_min=-3.0,
        log_std_max=-0.9,
    )
    cfg = CFG.replace(network=network)
    state = agent(cfg)
    p = export_params(cfg, state, tmp_path / "params.npz", part="policy")
    assert p["activation"] == "silu"
    assert p["std_parameterization"] == parameterization
    raw = p["params/log_std"]
    if parameterization == "softplus":
        raw = np.log(np.log1p(np.exp(raw)) + np.exp(p["log_std_min"]))
    log_std = np.clip(raw, p["log_std_min"], p["log_std_max"])
    apply = rpojax.networks.make_network(network, rpojax.envs.make(cfg.env)).apply
    expected = apply(state.params, jnp.zeros((1, 3)))[0].log_std[0]
    np.testing.assert_allclose(log_std, expected, rtol=1e-6)


def test_arrays_name_the_entries_that_each_part_sees(tmp_path):
    keys = {"actor_keys": ("coarse",), "critic_keys": ("coarse", "fine")}
    cfg = DIAL.replace(network=NetworkConfig(hidden_sizes=(4,), **keys))
    state = agent(cfg)
    for part, names in (("policy", {"actor_keys"}), ("value", {"critic_keys"}), ("all", set(keys))):
        arrays = export_params(cfg, state, tmp_path / "params.npz", part=part)
        assert set(keys) & set(arrays) == names
        assert all(arrays[name].tolist() == list(keys[name]) for name in names)


def modules(arrays: dict[str, np.ndarray]) -> set[str]:
    return {name.split("/")[1] for name in arrays if name.startswith("params/")}


def test_parts_of_the_built_in_network(state, tmp_path):
    def part(cfg: Config, state: rpojax.TrainState, name: str) -> set[str]:
        return modules(export_params(cfg, state, tmp_path / "params.npz", part=name))

    policy, value = {"actor_0", "actor_1", "mean", "log_std"}, {"critic_0", "critic_1", "value"}
    assert part(CFG, state, "policy") == policy
    assert part(CFG, state, "value") == value
    assert part(CFG, state, "all") == policy | value

    shared = CFG.replace(network=NetworkConfig(hidden_sizes=(8,), shared_torso=True))
    shared_state = agent(shared)
    assert part(shared, shared_state, "policy") == {"torso_0", "mean", "log_std"}
    assert part(shared, shared_state, "value") == {"torso_0", "value"}


def test_parts_of_a_network_of_ones_own(dial_state, tmp_path):
    path = tmp_path / "params.npz"
    policy = export_params(DIAL, dial_state, path, part="policy")
    value = export_params(DIAL, dial_state, path, part="value")
    assert modules(policy) == {"torso", "actor", "log_std"}
    assert modules(value) == {"torso", "critic"}
    whole = export_params(DIAL, dial_state, path)
    assert modules(whole) == {"torso", "actor", "critic", "log_std", "unused"}
    np.testing.assert_array_equal(
        whole["params/critic/kernel"], dial_state.params["critic"]["kernel"]
    )
    assert whole["obs_stats/mean/fine"].shape == (2, 1)
    assert whole["obs_stats/std/coarse"].shape == ()
    assert np.load(path)["action_transform"] == "rescale"
    np.testing.assert_array_equal(whole["action_high"], [0.25, 0.25])
    assert "action_low" not in value
    assert "value_stats/mean" not in whole  # the critic predicts returns as they are


def test_arrays_of_an_nnx_module_and_of_observations_as_they_are(tmp_path):
    class Network(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])
            self.critic = nnx.Linear(3, 1, rngs=rngs)

        def __call__(self, obs):
            mean, log_std = jnp.split(self.layers[1](self.layers[0](obs)), 2, axis=-1)
            return mean, log_std, self.critic(obs)

    cfg = CFG.replace(network=lambda rngs: Network(rngs), normalize_observations=False)
    state = agent(cfg)
    policy = export_params(cfg, state, tmp_path / "params.npz", part="policy")
    assert set(policy) == {
        *(f"params/layers/{i}/{name}" for i in (0, 1) for name in ("kernel", "bias")),
        "action_low",
        "action_high",
        "action_transform",
        "distribution",
    }


def test_errors_say_what_to_do(state, tmp_path):
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)
    for export in (export_policy, export_params):
        with pytest.raises(ValueError, match=r"agents of shape \(2,\); .*select"):
            export(CFG, several, tmp_path / "file")
    with pytest.raises(ValueError, match="part = 'actor' is not known; give one of 'all', 'pol"):
        export_params(CFG, state, tmp_path / "file", part="actor")
    with pytest.raises(ValueError, match="platforms = 'gpu' is not known; give one of 'cpu', 'cud"):
        export_policy(CFG, state, tmp_path / "file", platforms=("gpu",))
    for platforms in ("cpu", ()):
        with pytest.raises(
            ValueError, match=r"platforms = .* is not a list .*, such as \('cpu',\)"
        ):
            export_policy(CFG, state, tmp_path / "file", platforms=platforms)
    with pytest.raises(FileNotFoundError):
        export_policy(CFG, state, tmp_path / "missing" / "file")
    assert not list(tmp_path.iterdir())
