"""The bound of log_std, which a parameter must be able to come back from."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rpojax
from rpojax.core.model import make_model
from rpojax.networks.bounds import bounded

LOW, HIGH = -1.0, 0.5
VALUES = np.array([-3.0, -1.0, -0.2, 0.3, 0.5, 2.0], np.float32)


def test_the_value_is_the_clipped_one():
    np.testing.assert_array_equal(bounded(VALUES, LOW, HIGH), np.clip(VALUES, LOW, HIGH))


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        (1.0, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),  # descent moves down: not below the low bound
        (-1.0, [-1.0, -1.0, -1.0, -1.0, -1.0, 0.0]),  # up: not above the high bound
        (0.0, [0.0] * 6),
    ],
)
def test_outside_only_the_gradient_that_leads_back_is_left(gradient, expected):
    _, pull_back = jax.vjp(lambda value: bounded(value, LOW, HIGH), VALUES)
    np.testing.assert_array_equal(pull_back(jnp.full(6, gradient))[0], expected)


@pytest.mark.parametrize("state_dependent", [False, True])
@pytest.mark.parametrize(("start", "bound", "wanted"), [(3.0, 2.0, 0.5), (-4.0, -3.0, -1.0)])
def test_log_std_returns_from_beyond_its_bound(state_dependent, start, bound, wanted):
    """With `jnp.clip` it stayed there for good: no gradient."""
    network = rpojax.NetworkConfig(
        hidden_sizes=(8,),
        log_std_min=-3.0,
        log_std_max=2.0,
        state_dependent_log_std=state_dependent,
    )
    network = make_model(rpojax.Config(network=network)).network
    params = network.init(jax.random.key(0))
    if state_dependent:
        params["log_std"]["bias"] += start
    else:
        params["log_std"] += start
    obs = jax.random.normal(jax.random.key(1), (16, 3))
    optimizer = optax.adam(0.05)

    def loss(params):
        return jnp.mean(jnp.square(network.apply(params, obs)[0].log_std - wanted))

    def step(carry, _):
        params, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    assert np.allclose(network.apply(params, obs)[0].log_std, bound)
    (params, _), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, None, length=300))(
        (params, optimizer.init(params))
    )
    np.testing.assert_allclose(network.apply(params, obs)[0].log_std, wanted, atol=0.1)


def test_log_std_does_not_drift_on_beyond_its_bound():
    """A loss that keeps pushing would else take the parameter so far that it never came back."""
    optimizer = optax.adam(0.05)

    def step(carry, _):
        value, opt_state = carry
        gradient = jax.grad(lambda value: -bounded(value, LOW, HIGH))(value)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (value + updates, opt_state), value

    start = jnp.float32(0.0)
    _, path = jax.lax.scan(step, (start, optimizer.init(start)), None, length=2000)
    assert path[-1] < HIGH + 0.6
    assert path[-1] == path[-1000]
