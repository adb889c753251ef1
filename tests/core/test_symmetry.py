"""A mirror symmetry: mirror images of samples in the loss, a loss on what is not symmetric."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from test_update import made_up_batch, setup

import rpojax
from rpojax import Symmetry
from rpojax.core.distribution import GAUSSIAN
from rpojax.core.model import make_model
from rpojax.core.symmetry import asymmetry
from rpojax.core.update import rpo_loss
from rpojax.networks import Outputs

SIGNS = np.array([1.0, -1.0, -1.0], np.float32)  # Pendulum shows cos, sin and the velocity


def mirror_obs(obs):
    return obs * SIGNS


def mirror_action(action):
    return -action


PENDULUM = Symmetry(mirror_obs, mirror_action)
SMALL = rpojax.Config(
    num_envs=8,
    num_steps=16,
    num_minibatches=4,
    update_epochs=2,
    total_timesteps=8 * 16 * 4,
    network=rpojax.NetworkConfig(hidden_sizes=(8,)),
)


def loss_of(cfg, network, params, batch, noise):
    def total(params):
        return rpo_loss(cfg, network, params, batch, noise, cfg.hyperparams())

    (value, metrics), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    return value, metrics, ravel_pytree(gradient)[0]


def halves():
    """A batch with mirrored observations, its perturbation, and a config and network for both."""
    made = setup(symmetry=PENDULUM, clip_value_loss=False)
    batch = made_up_batch(made)
    params = jax.tree.map(lambda leaf: leaf + 0.1, made.learner.params)  # the ratio is not 1
    noise = jax.random.uniform(jax.random.key(3), batch.action.shape, minval=-1.0)
    batch = batch._replace(mirrored_obs=batch.obs * SIGNS[None])
    return made.cfg, made.network, params, batch, noise


def test_augmentation_is_the_loss_on_samples_and_their_mirror_images():
    cfg, network, params, batch, noise = halves()
    image = batch._replace(obs=batch.mirrored_obs, action=-batch.action)
    both, noises = jax.tree.map(
        lambda *parts: jnp.concatenate(parts), (batch, noise), (image, noise)
    )
    value, metrics, gradient = loss_of(cfg, network, params, batch, noise)
    expected = loss_of(cfg.replace(symmetry=None), network, params, both, noises)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[2], rtol=1e-3, atol=1e-6)
    alone = loss_of(cfg.replace(symmetry=None), network, params, batch, noise)
    assert not np.allclose(gradient, alone[2], rtol=0.1)
    np.testing.assert_allclose(metrics.kl, alone[1].kl, rtol=1e-6)  # of what the policy did


def test_the_mirror_loss_by_hand():
    here = Outputs(jnp.array([[1.0, 2.0], [0.0, 3.0]]), jnp.zeros((2, 2)), jnp.zeros(2))
    there = Outputs(jnp.array([[2.0, 1.0], [4.0, 0.0]]), jnp.zeros((2, 2)), jnp.zeros(2))
    swap = Symmetry(mirror_obs, lambda action: action[::-1])
    np.testing.assert_allclose(asymmetry(swap, GAUSSIAN, here, there), 0.25)  # of 3 and 4 alone
    left, right = jax.grad(lambda *both: asymmetry(swap, GAUSSIAN, *both), (0, 1))(here, there)
    np.testing.assert_allclose(right.mean, [[0.0, 0.0], [0.5, 0.0]])
    assert not np.any(left.mean)


def test_the_weight_of_the_mirror_loss_is_a_traced_hyperparameter():
    cfg, network, params, batch, noise = halves()
    cfg = cfg.replace(symmetry=Symmetry(mirror_obs, mirror_action, augment=False))

    def loss(weight):
        hyperparams = cfg.hyperparams().replace(mirror_coef=weight)
        return rpo_loss(cfg, network, params, batch, noise, hyperparams)[0]

    losses = jax.jit(jax.vmap(loss))(jnp.array([0.0, 1.0, 3.0]))
    plain, _, _ = loss_of(cfg.replace(symmetry=None), network, params, batch, noise)
    np.testing.assert_allclose(losses[0], plain, rtol=1e-5)
    outputs = [network.apply(params, obs)[0].mean for obs in (batch.obs, batch.mirrored_obs)]
    penalty = np.mean(np.square(sum(outputs)))
    np.testing.assert_allclose(losses[1:] - losses[0], [penalty, 3.0 * penalty], rtol=1e-3)


@pytest.fixture(scope="module")
def deviations():
    """How far from symmetric policies are that were trained with weights of the mirror loss."""
    symmetric = Symmetry(mirror_obs, mirror_action, augment=False)
    cfg = SMALL.replace(symmetry=symmetric, env="Pendulum-v1", learning_rate=1e-2)
    hyperparams = cfg.hyperparams().replace(mirror_coef=[0.0, 10.0])
    axes = None, rpojax.HyperParams.axes(mirror_coef=0)
    train = jax.jit(jax.vmap(rpojax.make_train(cfg), axes))
    network = make_model(cfg).network
    obs = jax.random.normal(jax.random.key(1), (256, 3))

    def deviation(params):
        here, there = (network.apply(params, each)[0].mean for each in (obs, obs * SIGNS[None]))
        return jnp.mean(jnp.square(here + there))

    return jax.vmap(deviation)(train(jax.random.key(0), hyperparams).state.params)


def test_the_mirror_loss_makes_policies_symmetric(deviations):
    assert deviations[1] < 0.2 * deviations[0]


def test_raw_observations_are_mirrored_before_they_are_normalised():
    """A mirror with an offset, which commutes with no normalisation but the right one."""

    def flipped(obs):
        return jnp.array([5.0, 0.0, 0.0]) - obs * jnp.array([1.0, -1.0, -1.0])

    seen = []

    def spy(obs):
        jax.debug.callback(seen.append, obs)
        return flipped(obs)

    cfg = SMALL.replace(symmetry=Symmetry(spy, mirror_action), total_timesteps=8 * 16 * 2)
    train = rpojax.make_train(cfg)
    seen.clear()
    result = jax.block_until_ready(jax.jit(train)(jax.random.key(0)))
    jax.effects_barrier()
    circle = np.array([np.square(obs[:2]).sum() for obs in seen])
    np.testing.assert_allclose(circle, 1.0, atol=1e-5)  # cos^2 + sin^2 of raw observations
    assert len(seen) == 8 * 16 * 2
    assert bool(result.finite)


@pytest.mark.parametrize(
    ("symmetry", "message"),
    [
        (Symmetry(lambda obs: 0.5 * obs, mirror_action), "mirror_obs is no mirror: applied twice"),
        (Symmetry(lambda obs: obs[:2], mirror_action), r"mirror_obs .*returns float32\[2\] for"),
        (Symmetry(lambda obs: (obs,), mirror_action), r"mirror_obs is no mirror: it returns"),
        (Symmetry(lambda obs: obs["x"], mirror_action), "mirror_obs is no mirror"),
        (Symmetry(mirror_obs, lambda action: action + 1.0), "mirror_action is no mirror: applied"),
    ],
)
def test_what_is_no_mirror_is_refused(symmetry, message):
    cfg = SMALL.replace(symmetry=symmetry)

    def train(key):
        return rpojax.make_train(cfg)(key)

    with pytest.raises(ValueError, match=message):
        rpojax.make_train(cfg)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(train, jax.random.key(0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Symmetry(1, mirror_action), "symmetry.mirror_obs = 1 is not callable"),
        (Symmetry(mirror_obs, mirror_action, 2), "symmetry.augment = 2 is not a truth value"),
    ],
)
def test_fields_of_the_wrong_kind_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SMALL.replace(symmetry=wrong)


def test_a_recurrent_network_is_refused():
    network = rpojax.NetworkConfig(hidden_sizes=(8,), cell="gru", cell_sizes=(4,))
    cfg = SMALL.replace(symmetry=PENDULUM, network=network)
    with pytest.raises(ValueError, match=r"symmetry needs a network without memory"):
        rpojax.make_train(cfg)
