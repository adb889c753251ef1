import numpy as np
import pytest

from rpojax.report.scales import as_values, scale_of, to_scale


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1e-4, 3e-4, 1e-3, 3e-3], "log"),
        ([0.0, 0.01, 0.1, 0.5], "symlog"),
        ([0.0, 0.1, 0.5], "linear"),  # less than a decade
        ([0.1, 0.5, 1.0, 1.5, 2.0], "linear"),  # more, but evenly spaced
        ([-1.0, 0.01, 0.1, 1.0], "linear"),
        ([0.9, 0.99, 0.999], "linear"),
        ([5.0], "linear"),
        ([7e-5, 8e-5, 9e-5, 1e-4, 1.1e-4, 2.2e-3, 2.7e-3, 3.4e-3], "log"),  # in clusters
        (10 ** np.random.default_rng(0).uniform(-5, -2, 64), "log"),
        (np.random.default_rng(0).uniform(0.001, 1, 64), "linear"),
    ],
    ids=str,
)
def test_scale_is_that_by_which_values_are_spread(values, scale):
    assert scale_of(values) == scale


def test_zero_is_a_decade_below_the_smallest():
    np.testing.assert_allclose(to_scale([0.0, 0.01, 0.1], "symlog"), [-3.0, -2.0, -1.0])
    np.testing.assert_allclose(to_scale([0.01, 1.0], "log"), [-2.0, 0.0])
    np.testing.assert_array_equal(to_scale([3.0, 1.0], "linear"), [3.0, 1.0])


def test_values_that_are_no_numbers_are_categories_in_their_order():
    places, categories = as_values(["tanh", "relu", "tanh", "swish"])
    np.testing.assert_array_equal(places, [0, 1, 0, 2])
    assert categories == ["tanh", "relu", "swish"]
    places, categories = as_values([(64, 64), (256,), (64, 64)])
    np.testing.assert_array_equal(places, [0, 1, 0])
    assert categories == ["(64, 64)", "(256,)"]
    places, categories = as_values([True, False])
    assert categories == ["True", "False"]
    places, categories = as_values([16, 64])
    assert places.dtype == np.float64
    assert categories is None
