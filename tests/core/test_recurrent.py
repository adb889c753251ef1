"""Networks that remember: cells, unrolling, resets, and the training with them."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from flax import nnx

import rpojax
from rpojax import Config, NetworkConfig, envs
from rpojax.core import distribution
from rpojax.core.batch import make_batch
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.rollout import collect
from rpojax.core.update import replay
from rpojax.networks import cells, make_network
from rpojax.programs.trainer import trainer_for

KINDS = ["rnn", "gru", "lstm"]
ENVS, STEPS, LENGTH = 4, 12, 6


# The cells' equations.

FLAX = {"rnn": nn.SimpleCell, "gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}
GATES = {"rnn": [("i", "h")], "gru": [("ir", "hr"), ("iz", "hz"), ("in", "hn")]}
GATES["lstm"] = [("ii", "hi"), ("if", "hf"), ("ig", "hg"), ("io", "ho")]


def from_flax(kind, theirs):
    """A flax cell's parameters in our layout."""
    inputs, hidden = zip(*[(theirs[i], theirs[h]) for i, h in GATES[kind]], strict=True)
    with_bias = hidden if kind == "lstm" else inputs
    ours = {
        "input": jnp.concatenate([gate["kernel"] for gate in inputs], axis=-1),
        "hidden": jnp.concatenate([gate["kernel"] for gate in hidden], axis=-1),
        "bias": jnp.concatenate([gate["bias"] for gate in with_bias]),
    }
    return ours | ({"hidden_bias": theirs["hn"]["bias"]} if kind == "gru" else {})


def flax_cell(kind, inputs=3, size=5, seed=0):
    """A flax cell, a carry and parameters of it with random biases."""
    cell = FLAX[kind](size)
    key = jax.random.key(seed)
    carry = cell.initialize_carry(key, (4, inputs))
    params = cell.init(key, carry, jnp.ones((4, inputs)))["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noise = [0.5 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return cell, jax.tree.unflatten(tree, noise), carry


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_flax_s(kind):
    cell, params, carry = flax_cell(kind)
    carry = jax.tree.map(lambda leaf: leaf + 0.3, carry)
    obs = jax.random.normal(jax.random.key(1), (4, 3))
    theirs, hidden = cell.apply({"params": params}, carry, obs)
    ours = cells.step(cells.CELLS[kind], from_flax(kind, params), obs, carry, "float32")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
    np.testing.assert_allclose(cells.CELLS[kind].hidden(ours), hidden, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_unrolled_outputs_and_gradients_are_those_of_flax_step_by_step(kind):
    cell, theirs, carry = flax_cell(kind)
    keys = jax.random.split(jax.random.key(2), 4)
    inputs = jax.random.normal(keys[0], (7, 4, 3))
    reset = jax.random.bernoulli(keys[1], 0.3, (7, 4))
    weights = jax.random.normal(keys[2], (7, 4, 5))
    carry = jax.tree.map(lambda leaf: leaf + 0.3, carry)

    def by_steps(params, inputs, carry):
        hidden = []
        for x, flags in zip(inputs, reset, strict=True):
            carry = jax.tree.map(lambda leaf, flags=flags: leaf * ~flags[:, None], carry)
            carry, output = cell.apply({"params": params}, carry, x)
            hidden.append(output)
        return jnp.stack(hidden)

    def unrolled(params, inputs, carry):
        return cells.unroll(
            cells.CELLS[kind], from_flax(kind, params), inputs, carry, reset, "float32"
        )

    def outputs_and_gradients(function):
        def loss(*args):
            hidden = function(*args)
            return jnp.sum(hidden * weights), hidden

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(theirs, inputs, carry)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        outputs_and_gradients(unrolled),
        outputs_and_gradients(by_steps),
    )


# Networks in a rollout whose episodes terminate and are truncated inside sequences.


class LinenMemory(nn.Module):
    """A user's own recurrent module, whose carry does not start at 0."""

    def initial_carry(self, batch_shape):
        return jnp.full((*batch_shape, 5), 0.5)

    @nn.compact
    def __call__(self, carry, obs):
        carry, hidden = nn.GRUCell(5)(carry, obs)
        log_std = self.param("log_std", nn.initializers.zeros, (1,))
        return carry, (nn.Dense(1)(hidden), log_std, nn.Dense(1)(hidden))


class NnxMemory(nnx.Module):
    def __init__(self, rngs):
        self.cell = nnx.GRUCell(2, 5, rngs=rngs)
        self.mean = nnx.Linear(5, 1, rngs=rngs)
        self.value = nnx.Linear(5, 1, rngs=rngs)
        self.log_std = nnx.Param(jnp.zeros(1))

    def initial_carry(self, batch_shape):
        return jnp.zeros((*batch_shape, 5))

    def __call__(self, carry, obs):
        carry, hidden = self.cell(carry, obs)
        return carry, (self.mean(hidden), self.log_std[...], self.value(hidden)[..., 0])


NETWORKS = {
    **{kind: NetworkConfig(hidden_sizes=(6,), cell=kind, cell_sizes=(5,)) for kind in KINDS},
    "two layers, shared": NetworkConfig(
        hidden_sizes=(), cell="lstm", cell_sizes=(5, 4), shared_torso=True
    ),
    "linen": LinenMemory(),
    "nnx": NnxMemory,
}


def config(network, **changes):
    settings = {
        "env": probes.noisy_episodes(),
        "num_envs": ENVS,
        "num_steps": STEPS,
        "num_minibatches": 2,
        "update_epochs": 2,
        "sequence_length": LENGTH,
        "total_timesteps": ENVS * STEPS * 3,
        "network": network,
    }
    return Config(**(settings | changes))


def two_rollouts(cfg):
    """State after the second of two rollouts without an update, and the second's transitions."""
    model = make_model(cfg)
    trainer, network = trainer_for(model), model.network

    def run(key):
        state = trainer.init(key)
        hyperparams = cfg.hyperparams().replace(alpha=0.0)
        for rollout_key in jax.random.split(jax.random.key(5), 2):
            keys = update_keys(cfg, rollout_key)
            state, transitions = collect(model, state, hyperparams, {}, keys)
        state, batch, _ = make_batch(
            cfg, network, state, transitions, transitions.reward, hyperparams
        )
        return state, transitions, batch, replay(network, state.params, batch)

    return network, *jax.jit(run)(jax.random.key(0))


@pytest.fixture(scope="module", params=NETWORKS)
def rolled_out(request):
    cfg = config(NETWORKS[request.param], normalize_observations=False)
    return cfg, *two_rollouts(cfg)


@pytest.mark.slow
def test_replay_of_unchanged_parameters_has_ratio_one_at_every_step(rolled_out):
    _, _, _, transitions, batch, outputs = rolled_out
    inside = np.asarray(transitions.reset).reshape(-1, LENGTH, ENVS)[:, 1:]
    assert inside.sum() > 4, "no episode began inside a sequence"
    assert np.asarray(transitions.terminated).any()
    assert np.asarray(transitions.truncated).any()
    log_prob = distribution.log_prob(batch.action, outputs.mean, outputs.log_std)
    ratio = np.exp(np.asarray(log_prob - batch.log_prob))
    assert ratio.shape == (ENVS * STEPS // LENGTH, LENGTH)
    np.testing.assert_allclose(ratio, 1.0, atol=1e-5)
    np.testing.assert_allclose(outputs.value, batch.value, atol=1e-5)


def test_values_and_bootstraps_are_those_of_a_walk_through_each_episode(rolled_out):
    """A reference that keeps one carry for each environment and looks at nothing else."""
    cfg, network, state, transitions, batch, _ = rolled_out
    apply = jax.jit(network.apply)
    fresh = network.initial_carry((1,))
    reward, gamma = np.asarray(transitions.reward, np.float64), cfg.gamma
    target = np.zeros((STEPS, ENVS))
    for env in range(ENVS):
        carry = jax.tree.map(lambda leaf, env=env: leaf[0, env][None], transitions.carry)
        value, after, begins = [], [], transitions.reset[:, env]
        for step in range(STEPS):
            if begins[step]:
                carry = fresh
            outputs, carry = apply(state.params, transitions.obs[step, env][None], carry)
            value.append(float(outputs.value[0]))
            final, _ = apply(state.params, transitions.final_obs[step, env][None], carry)
            after.append(float(final.value[0]))
        advantage = 0.0
        for step in reversed(range(STEPS)):
            ended = bool(transitions.terminated[step, env])
            done = ended or bool(transitions.truncated[step, env])
            delta = reward[step, env] + gamma * after[step] * (not ended) - value[step]
            advantage = delta + gamma * cfg.gae_lambda * (not done) * advantage
            target[step, env] = advantage + value[step]
    ours = np.asarray(batch.target).reshape(STEPS // LENGTH, ENVS, LENGTH).swapaxes(1, 2)
    np.testing.assert_allclose(ours.reshape(STEPS, ENVS), target, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_remembered_across_episodes_and_everything_inside(kind):
    network = make_network(NETWORKS[kind], probes.noisy_episodes())
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(9), leaf.shape),
        network.init(jax.random.key(0)),
    )
    obs = jax.random.normal(jax.random.key(1), (6, 1, 2))
    reset = jnp.zeros((6, 1), bool).at[3].set(True)
    carry = network.initial_carry((1,))
    unroll = jax.jit(network.unroll)

    def changed_by(step, where):
        moved = unroll(params, obs.at[step].add(1.0), carry, where).value
        return np.asarray(moved != unroll(params, obs, carry, where).value)[:, 0]

    np.testing.assert_array_equal(changed_by(1, reset), [0, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(changed_by(4, reset), [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(changed_by(1, ~reset & reset), [0, 1, 1, 1, 1, 1])


# Training, evaluating and acting with them.


@pytest.fixture(scope="module", params=["lstm", "linen"])
def trained(request):
    cfg = config(NETWORKS[request.param])
    keys = jax.random.split(jax.random.key(0), 3)
    return cfg, keys, jax.jit(jax.vmap(rpojax.make_train(cfg)))(keys)


@pytest.mark.slow
def test_vmapped_recurrent_agents_equal_single_ones(trained):
    cfg, keys, together = trained
    single = jax.jit(rpojax.make_train(cfg))(keys[1])
    assert bool(single.finite)
    for name in ("policy_loss", "value_loss", "kl"):
        ours, theirs = getattr(together.select(1).metrics, name), getattr(single.metrics, name)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert float(single.metrics.grad_norm[0]) > 0.0


def test_first_step_of_an_update_sees_ratio_one():
    """In the second update: the first scales its observations, and its rollout did not."""
    cfg = config(NETWORKS["lstm"], update_epochs=1, num_minibatches=1, alpha=0.0)
    metrics = jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).metrics
    np.testing.assert_allclose(metrics.kl_perturbed[1], 0.0, atol=1e-6)
    np.testing.assert_allclose(metrics.kl[1], 0.0, atol=1e-6)


def test_policy_with_its_carry_plays_as_evaluate_does(trained):
    """Episodes of Pendulum hold no randomness but their start."""
    cfg, _, _ = trained
    cfg = cfg.replace(env=envs.make("Pendulum-v1", max_steps_in_episode=12))
    if not isinstance(cfg.network, NetworkConfig):
        cfg = cfg.replace(network=LinenMemory())
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(3))
    key = jax.random.key(4)
    evaluation = rpojax.evaluate(cfg, state, key, num_episodes=2)
    _, reset_key = jax.random.split(key)
    env_state, obs = cfg.env.reset(jax.random.split(reset_key, 2), {})
    act, carry, total = rpojax.make_policy(cfg, state), None, 0.0
    step = jax.jit(cfg.env.step)
    for index in range(12):
        action, carry = act(np.asarray(obs), carry)
        assert isinstance(action, np.ndarray)
        keys = jax.random.split(jax.random.key(index), 2)
        env_state, timestep = step(keys, env_state, action, {})
        obs, total = timestep.obs, total + timestep.reward
    np.testing.assert_allclose(total, evaluation.episode_return, rtol=1e-4)


def test_policy_starts_anew_where_it_is_told(trained):
    cfg, _, result = trained
    act = rpojax.make_policy(cfg, result.select(0).state)
    obs = np.ones((2, 2), np.float32)
    first, carry = act(obs)
    again, _ = act(obs, carry, reset=np.array([True, False]))
    np.testing.assert_allclose(again[0], first[0], atol=1e-6)
    assert abs(again[1] - first[1]).max() > 1e-6


def test_stochastic_recurrent_policy_needs_a_key(trained):
    cfg, _, result = trained
    act = rpojax.make_policy(cfg, result.select(0).state, deterministic=False)
    obs = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="key = None"):
        act(obs)
    sampled, _ = act(obs, key=jax.random.key(0))
    other, _ = act(obs, key=jax.random.key(1))
    assert np.abs(sampled - other).max() > 1e-3


# What is refused.


@dataclasses.dataclass
class Returning:
    """Makes a linen module of the given outputs."""

    outputs: object

    def module(self):
        outputs = self.outputs

        class Module(nn.Module):
            def initial_carry(self, batch_shape):
                return jnp.zeros((*batch_shape, 5))

            @nn.compact
            def __call__(self, carry, obs):
                return outputs(carry, obs)

        return Module()


def good(obs):
    return obs[..., :1], jnp.zeros(1), obs[..., 0]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda carry, obs: good(obs), r"is recurrent and returns .*return the tuple \(carry, "),
        (lambda carry, obs: (carry[:, :3], good(obs)), "turns a carry of .*the same shapes"),
        (lambda carry, obs: (carry, good(obs)[:2]), "return the tuple"),
        (lambda carry, obs: (carry, (obs, jnp.zeros(1), obs[..., 0])), "mean of shape"),
    ],
    ids=["no carry", "other carry", "no value", "mean"],
)
def test_recurrent_module_of_other_outputs_is_refused(outputs, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make_network(Returning(outputs).module(), probes.noisy_episodes())


def test_sequence_length_for_a_module_without_memory_is_refused():
    class Forgetful(nn.Module):
        @nn.compact
        def __call__(self, obs):
            return good(obs)

    with pytest.raises(ValueError, match=r"sequence_length = 6 .*no memory"):
        rpojax.make_train(config(Forgetful()))


def test_a_carry_without_the_batch_is_refused():
    class Counting(nn.Module):
        def initial_carry(self, batch_shape):
            return {"hidden": jnp.zeros((*batch_shape, 4)), "time": jnp.int32(0)}

        @nn.compact
        def __call__(self, carry, obs):
            return carry | {"time": carry["time"] + 1}, good(obs)

    with pytest.raises(ValueError, match=r"initial_carry\(\(.*begin the shape of each"):
        rpojax.make_train(config(Counting()))
