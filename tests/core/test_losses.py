"""The terms of the loss by hand and by loops, and the whole loss with its gradient."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import Config, NetworkConfig
from rpojax.core import losses
from rpojax.core.update import rpo_loss
from rpojax.envs import Env
from rpojax.networks import make_network
from rpojax.types import Batch

N, OBS, ACTIONS = 48, 3, 2
CONFIG = Config(
    num_envs=N,
    num_steps=1,
    num_minibatches=1,
    total_timesteps=N,
    network=NetworkConfig(hidden_sizes=(5, 4)),
    clip_eps=0.2,
    value_clip=0.3,
    vf_coef=0.7,
    ent_coef=0.05,
    alpha=0.4,
)


def f32(values):
    return jnp.asarray(values, jnp.float32)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.5, 2.0, -2.4),  # good and already likelier than allowed: clipped
        (0.5, 2.0, -1.0),  # good and less likely: the ratio itself
        (1.5, -2.0, 3.0),  # bad and likelier: the ratio itself
        (0.5, -2.0, 1.6),  # bad and already less likely than allowed: clipped
        (1.1, 2.0, -2.2),  # inside
        (1.0, -3.0, 3.0),
    ],
)
def test_clipped_surrogate_by_hand(ratio, advantage, loss):
    def surrogate(r):
        return losses.clipped_surrogate(f32([r]), f32([advantage]), f32(0.2))

    np.testing.assert_allclose(surrogate(ratio), loss, rtol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [(1.5, 2.0, 0.0), (0.5, 2.0, -2.0), (1.5, -2.0, 2.0), (0.5, -2.0, 0.0)],
)
def test_clipped_surrogate_has_a_gradient_only_where_it_is_not_clipped(ratio, advantage, slope):
    gradient = jax.grad(losses.clipped_surrogate)(f32([ratio]), f32([advantage]), f32(0.2))
    np.testing.assert_allclose(gradient, [slope], rtol=1e-6)


def test_squared_error_by_hand():
    got = losses.squared_error(f32([1.0, 2.0, 3.0]), f32([1.0, 0.0, -1.0]))
    np.testing.assert_allclose(got, (0 + 4 + 16) / 3 / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "target", "loss"),
    [
        (1.1, 3.0, 1.9**2 / 2),  # a small move: as it is
        (2.0, 3.0, 1.8**2 / 2),  # a large move towards the target: as if it had stopped at 1.2
        (0.0, 3.0, 3.0**2 / 2),  # a large move away from it: as it is
        (2.0, 1.2, 0.8**2 / 2),
    ],
)
def test_clipped_value_loss_by_hand(value, target, loss):
    got = losses.clipped_squared_error(f32([value]), f32([target]), f32([1.0]), f32(0.2))
    np.testing.assert_allclose(got, loss, rtol=1e-5)


def test_normalized_advantage_has_mean_zero_and_std_one():
    got = losses.normalize_advantage(f32([1.0, 2.0, 3.0, 6.0]))
    std = math.sqrt((4 + 1 + 0 + 9) / 4)
    np.testing.assert_allclose(got, np.array([-2, -1, 0, 3]) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, -1e-7, 123456.789, -3e30])
@pytest.mark.parametrize("shape", [(1,), (7,), (256,), (100, 10)])
def test_normalized_advantage_of_equal_samples_is_zero(value, shape):
    """The rounding of the mean gave -0.99 for a thousand times 0.1."""
    normalize = jax.jit(losses.normalize_advantage)
    np.testing.assert_array_equal(normalize(jnp.full(shape, value)), np.zeros(shape))


def test_normalized_advantage_of_nan_is_nan():
    assert np.isnan(losses.normalize_advantage(jnp.full(8, jnp.nan))).all()


def test_probability_ratio_by_hand():
    ratio, log_ratio = losses.probability_ratio(f32([-1.0, -3.0, 0.5]), f32([-1.0, -1.0, 0.0]))
    np.testing.assert_allclose(ratio, np.exp([0.0, -2.0, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(log_ratio, [0.0, -2.0, 0.5], rtol=1e-6)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("log_ratio", [88.0, 89.0, 1e4, 1e30, -89.0, -1e30])
def test_the_gradient_is_finite_for_any_ratio(log_ratio, advantage):
    """An infinite ratio made the gradient NaN, also where the clipped branch was chosen."""

    def loss(log_prob):
        ratio, _ = losses.probability_ratio(log_prob, jnp.zeros(2))
        return losses.clipped_surrogate(ratio, f32([advantage, 1.0]), f32(0.2))

    gradient = jax.grad(loss)(f32([log_ratio, 0.0]))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[1], -0.5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 1.0),  # perfect
        ([6.0, 7.0, 8.0, 9.0], 1.0),  # a constant error is not variance
        ([7.0, 7.0, 7.0, 7.0], 0.0),
        ([4.0, 3.0, 2.0, 1.0], -3.0),  # worse than a constant: Var(2 * target) / Var(target) = 4
        ([0.5, 1.0, 1.5, 2.0], 0.75),
    ],
)
def test_explained_variance_by_hand(value, expected):
    got = losses.explained_variance(f32(value), f32([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_explained_variance_is_taken_over_all_axes():
    rng = np.random.default_rng(3)
    value, target = rng.normal(size=(2, 7, 5)) + np.array([0.0, 1.0])[:, None, None]
    expected = 1.0 - np.var(target - value) / np.var(target)
    np.testing.assert_allclose(
        losses.explained_variance(f32(value), f32(target)), expected, rtol=1e-4
    )


# The whole loss.


def unused(*_):
    raise AssertionError("the loss does not need the environment")


ENV = Env(
    name="none",
    reset=unused,
    step=unused,
    obs=jax.ShapeDtypeStruct((OBS,), jnp.float32),
    action_low=-np.ones(ACTIONS, np.float32),
    action_high=np.ones(ACTIONS, np.float32),
)
NETWORK = make_network(CONFIG.network, ENV)


def numpy_outputs(params, obs):
    """Mean, log_std and value of one observation; weights as nested dicts of float64 arrays."""

    def dense(name, x):
        layer = params[name]
        return [
            sum(x[i] * layer["kernel"][i, j] for i in range(len(x))) + layer["bias"][j]
            for j in range(len(layer["bias"]))
        ]

    def torso(name):
        hidden = obs
        for index in range(2):
            hidden = [math.tanh(x) for x in dense(f"{name}_{index}", hidden)]
        return hidden

    return dense("mean", torso("actor")), params["log_std"], dense("value", torso("critic"))[0]


def log_density(action, mean, log_std):
    return sum(
        -((a - m) ** 2) / (2.0 * math.exp(s) ** 2) - s - 0.5 * math.log(2.0 * math.pi)
        for a, m, s in zip(action, mean, log_std, strict=True)
    )


def plain_ppo_terms(params, batch, hp, shift):
    """Surrogate, value loss and entropy of PPO by a loop; `shift` [N, A] is added to the means."""
    advantage = batch["advantage"]
    mean_advantage = sum(advantage) / N
    std_advantage = math.sqrt(sum((a - mean_advantage) ** 2 for a in advantage) / N)
    surrogate = value_loss = entropy = 0.0
    clipped_ratios = clipped_values = 0
    for n in range(N):
        mean, log_std, value = numpy_outputs(params, batch["obs"][n])
        mean = [m + s for m, s in zip(mean, shift[n], strict=True)]
        ratio = math.exp(log_density(batch["action"][n], mean, log_std) - batch["log_prob"][n])
        standardized = (advantage[n] - mean_advantage) / std_advantage
        inside = min(max(ratio, 1.0 - hp["clip_eps"]), 1.0 + hp["clip_eps"])
        surrogate += min(ratio * standardized, inside * standardized)
        clipped_ratios += ratio != inside

        old, target = batch["value"][n], batch["target"][n]
        near = min(max(value, old - hp["value_clip"]), old + hp["value_clip"])
        value_loss += max((value - target) ** 2, (near - target) ** 2) / 2.0
        clipped_values += near != value
        entropy += sum(s + 0.5 * math.log(2.0 * math.pi * math.e) for s in log_std)
    shares = clipped_ratios / N, clipped_values / N
    return -surrogate / N, value_loss / N, entropy / N, shares


def numpy_rpo_loss(params, batch, hp, noise):
    surrogate, value_loss, entropy, _ = plain_ppo_terms(params, batch, hp, hp["alpha"] * noise)
    return surrogate + hp["vf_coef"] * value_loss - hp["ent_coef"] * entropy


def float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


@pytest.fixture(scope="module")
def recorded():
    """Parameters, a minibatch and noise, with ratios and values on both sides of their clips."""
    rng = np.random.default_rng(4)
    params = jax.tree.map(
        lambda leaf: leaf + f32(0.3 * rng.normal(size=leaf.shape)), NETWORK.init(jax.random.key(0))
    )
    obs = rng.normal(size=(N, OBS)).astype(np.float32)
    action = rng.normal(size=(N, ACTIONS)).astype(np.float32)
    log_prob, mean, value = [], [], []
    for n in range(N):
        m, log_std, v = numpy_outputs(float64(params), obs[n].astype(np.float64))
        log_prob.append(log_density(action[n].astype(np.float64), m, log_std))
        mean.append(m)
        value.append(v)
    batch = Batch(
        obs=f32(obs),
        action=f32(action),
        log_prob=f32(np.array(log_prob) + rng.normal(0.0, 0.2, N)),
        mean=f32(np.array(mean) + rng.normal(0.0, 0.3, (N, ACTIONS))),
        log_std=f32(rng.normal(0.0, 0.2, (N, ACTIONS))),
        advantage=f32(2.0 + 3.0 * rng.normal(size=N)),
        value=f32(np.array(value) + rng.normal(0.0, 0.5, N)),
        target=f32(np.array(value) + rng.normal(0.0, 1.0, N)),
    )
    noise = f32(rng.uniform(-1.0, 1.0, (N, ACTIONS)))
    return params, batch, noise


def as_numpy(recorded):
    params, batch, noise = recorded
    return float64(params), {k: float64(v) for k, v in batch._asdict().items()}, float64(noise)


@jax.jit
def loss_and_gradient(params, batch, noise, hyperparams):
    def loss(params):
        return rpo_loss(CONFIG, NETWORK, params, batch, noise, hyperparams)

    return jax.value_and_grad(loss, has_aux=True)(params)


def settings(hyperparams):
    names = ("alpha", "clip_eps", "value_clip", "vf_coef", "ent_coef")
    return {name: float(getattr(hyperparams, name)) for name in names}


def test_loss_matches_numpy_in_float64(recorded):
    hyperparams = CONFIG.hyperparams()
    (loss, metrics), _ = loss_and_gradient(*recorded, hyperparams)
    params, batch, noise = as_numpy(recorded)
    hp = settings(hyperparams)
    surrogate, value_loss, entropy, shares = plain_ppo_terms(params, batch, hp, 0.4 * noise)
    assert all(0.1 < share < 0.9 for share in shares), f"one side of a clip is not seen: {shares}"
    np.testing.assert_allclose(metrics.policy_loss, surrogate, rtol=1e-4)
    np.testing.assert_allclose(metrics.value_loss, value_loss, rtol=1e-4)
    np.testing.assert_allclose(metrics.entropy, entropy, rtol=1e-5)
    np.testing.assert_allclose(metrics.clip_fraction, shares[0], rtol=1e-5)
    expected = numpy_rpo_loss(params, batch, hp, noise)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_gradient_matches_central_differences_in_float64(recorded):
    hyperparams = CONFIG.hyperparams()
    _, gradient = loss_and_gradient(*recorded, hyperparams)
    params, batch, noise = as_numpy(recorded)
    hp = settings(hyperparams)
    leaves, structure = jax.tree.flatten(params)
    gradients = jax.tree.leaves(gradient)
    rng = np.random.default_rng(5)
    scale = max(float(jnp.abs(leaf).max()) for leaf in gradients)
    step = 1e-5
    for leaf, got in zip(leaves, gradients, strict=True):  # two places in every weight and bias
        for place in rng.choice(leaf.size, size=min(2, leaf.size), replace=False):
            index = np.unravel_index(place, leaf.shape)
            kept, sides = leaf[index], []
            for sign in (1.0, -1.0):
                leaf[index] = kept + sign * step
                shifted = jax.tree.unflatten(structure, leaves)
                sides.append(numpy_rpo_loss(shifted, batch, hp, noise))
            leaf[index] = kept
            slope = (sides[0] - sides[1]) / (2.0 * step)
            np.testing.assert_allclose(got[index], slope, rtol=1e-3, atol=1e-4 * scale)
    assert scale > 0.1


def test_coefficients_weigh_their_terms_as_stated(recorded):
    base = CONFIG.hyperparams().replace(vf_coef=0.0, ent_coef=0.0)
    (policy, metrics), _ = loss_and_gradient(*recorded, base)
    np.testing.assert_allclose(policy, metrics.policy_loss, rtol=1e-6)
    (with_value, _), _ = loss_and_gradient(*recorded, base.replace(vf_coef=2.0))
    np.testing.assert_allclose(with_value - policy, 2.0 * metrics.value_loss, rtol=1e-5)
    (with_entropy, _), _ = loss_and_gradient(*recorded, base.replace(ent_coef=0.5))
    np.testing.assert_allclose(with_entropy - policy, -0.5 * metrics.entropy, rtol=1e-5)


def test_loss_at_alpha_zero_is_that_of_plain_ppo(recorded):
    hyperparams = CONFIG.hyperparams().replace(alpha=0.0)
    (loss, metrics), gradient = loss_and_gradient(*recorded, hyperparams)
    params, batch, _ = as_numpy(recorded)
    hp = settings(hyperparams)
    surrogate, value_loss, entropy, _ = plain_ppo_terms(params, batch, hp, np.zeros((N, ACTIONS)))
    expected = surrogate + 0.7 * value_loss - 0.05 * entropy
    np.testing.assert_allclose(loss, expected, rtol=1e-4)

    other = (recorded[0], recorded[1], -0.5 * recorded[2])  # the noise must not matter at all
    (loss_again, _), gradient_again = loss_and_gradient(*other, hyperparams)
    assert float(loss_again) == float(loss)
    jax.tree.map(np.testing.assert_array_equal, gradient_again, gradient)

    (perturbed, perturbed_metrics), _ = loss_and_gradient(*recorded, CONFIG.hyperparams())
    assert abs(float(perturbed - loss)) > 1e-3
    # The perturbation is felt in the ratio, not in the KL that schedules and thresholds use.
    assert float(perturbed_metrics.kl) == float(metrics.kl)
    assert abs(float(perturbed_metrics.kl_perturbed - metrics.kl_perturbed)) > 1e-3


def test_kl_is_from_the_old_policy_to_the_new_one(recorded):
    (_, metrics), _ = loss_and_gradient(*recorded, CONFIG.hyperparams())
    params, batch, _ = as_numpy(recorded)
    total = 0.0
    for n in range(N):
        mean, log_std, _ = numpy_outputs(params, batch["obs"][n])
        for a in range(ACTIONS):
            old_var, new_var = math.exp(2 * batch["log_std"][n, a]), math.exp(2 * log_std[a])
            gap = batch["mean"][n, a] - mean[a]
            total += 0.5 * (math.log(new_var / old_var) + (old_var + gap**2) / new_var - 1.0)
    np.testing.assert_allclose(metrics.kl, total / N, rtol=1e-4)


def test_value_loss_without_clipping_is_the_squared_error(recorded):
    cfg = CONFIG.replace(clip_value_loss=False)
    params, batch, noise = recorded
    _, metrics = rpo_loss(cfg, NETWORK, params, batch, noise, cfg.hyperparams())
    value = float64(NETWORK.apply(params, batch.obs)[0].value)
    expected = np.mean((value - float64(batch.target)) ** 2) / 2
    np.testing.assert_allclose(metrics.value_loss, expected, rtol=1e-5)


@pytest.mark.parametrize("choice", ["none", "batch"])
def test_advantages_are_left_alone_unless_normalised_by_minibatch(recorded, choice):
    cfg = CONFIG.replace(advantage_normalization=choice)
    params, batch, noise = recorded
    twice = batch._replace(advantage=2.0 * batch.advantage)
    (_, by_minibatch), _ = loss_and_gradient(*recorded, CONFIG.hyperparams())
    _, once = rpo_loss(cfg, NETWORK, params, batch, noise, cfg.hyperparams())
    _, doubled = rpo_loss(cfg, NETWORK, params, twice, noise, cfg.hyperparams())
    np.testing.assert_allclose(doubled.policy_loss, 2.0 * once.policy_loss, rtol=1e-5)
    assert abs(float(once.policy_loss - by_minibatch.policy_loss)) > 0.1
