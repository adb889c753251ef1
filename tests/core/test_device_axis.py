"""What the devices of an agent tell each other; here they are a mapped axis on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.core.device_axis import ONE_DEVICE, DeviceAxis
from rpojax.core.normalize import init_stats, update_stats
from rpojax.devices.sharding import ENVS_AXIS

THREE = DeviceAxis(3)


def on_three(function, *args):
    """What each of three devices returns, [3, ...], for arguments [3, ...]."""
    return jax.vmap(function, axis_name=ENVS_AXIS, axis_size=3)(*args)


def samples(*shape, seed=0):
    return np.random.default_rng(seed).normal(1e3, 2.0, shape).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1])
def test_shares_make_up_the_whole(axis):
    values = samples(6, 9)
    shares = on_three(lambda: THREE.share(values, axis))
    np.testing.assert_array_equal(np.concatenate(shares, axis=axis), values)
    for whole in on_three(lambda part: THREE.whole(part, axis), shares):
        np.testing.assert_array_equal(whole, values)


def test_keys_are_shared_out():
    keys = jax.random.split(jax.random.key(0), 6)
    shares = on_three(lambda: THREE.share(keys))
    np.testing.assert_array_equal(
        jax.random.key_data(shares).reshape(6, 2), jax.random.key_data(keys)
    )


def test_means_and_sums_are_those_of_all():
    tree = {"a": samples(3, 4), "b": samples(3)}
    means = on_three(THREE.mean, tree)
    sums = on_three(THREE.sum, tree)
    for name, values in tree.items():
        for mean, total in zip(means[name], sums[name], strict=True):
            np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-6)
            np.testing.assert_allclose(total, values.sum(axis=0), rtol=1e-6)


def test_a_flag_of_one_is_a_flag_of_all():
    flags = jnp.array([[False, True], [False, False], [False, True]])
    np.testing.assert_array_equal(on_three(THREE.any, flags), [[False, True]] * 3)


def test_moments_are_those_of_all_samples():
    """Of parts whose means differ: the mean of their variances would be too small."""
    values = samples(3, 50, 2) + np.arange(3, dtype=np.float32)[:, None, None]
    mean, var = on_three(THREE.moments, values.mean(axis=1), values.var(axis=1))
    together = values.astype(np.float64).reshape(150, 2)
    np.testing.assert_allclose(mean, [together.mean(axis=0)] * 3, rtol=1e-6)
    np.testing.assert_allclose(var, [together.var(axis=0)] * 3, rtol=1e-4)


def test_statistics_of_three_shares_are_those_of_the_whole():
    batch = samples(8, 6, 2)
    stats = init_stats(jax.ShapeDtypeStruct((2,), jnp.float32))
    whole = update_stats(update_stats(stats, batch), batch + 1.0)

    def of_share():
        share = THREE.share(jnp.asarray(batch), 1)
        return update_stats(update_stats(stats, share, THREE), share + 1.0, THREE)

    shared = on_three(of_share)
    np.testing.assert_array_equal(shared.count, [whole.count] * 3)
    np.testing.assert_allclose(shared.mean, [whole.mean] * 3, rtol=1e-6)
    np.testing.assert_allclose(shared.var, [whole.var] * 3, rtol=1e-4)


def test_one_device_is_left_alone():
    values = samples(4)
    for method in (ONE_DEVICE.share, ONE_DEVICE.whole, ONE_DEVICE.mean, ONE_DEVICE.sum):
        assert method(values) is values
    assert ONE_DEVICE.any(values) is values
    assert ONE_DEVICE.moments(values, values) == (values, values)
