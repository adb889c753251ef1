import numpy as np
import pytest
from matplotlib.colors import to_rgb

from rpojax.report.style import MUTED, OTHERS, TEXT, as_values, colors, scale_of, seeds_in_words


def luminance(color) -> float:
    """Relative luminance by WCAG 2."""
    channels = np.asarray(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#16181d"], ids=["light", "dark"])
def test_colors_stand_out_from_light_and_dark_pages_and_from_each_other(background):
    assert len({to_rgb(color) for color in colors(6)}) == 6
    assert colors(9) == [*colors(6), *[OTHERS] * 3]
    assert min(contrast(color, background) for color in colors(9)) > 2.0
    assert min(contrast(color, "#ffffff") for color in (TEXT, MUTED)) > 4.5


def test_numbers_of_seeds_in_words():
    assert seeds_in_words(1) == "1 seed"
    assert seeds_in_words(16) == seeds_in_words((16, 16)) == "16 seeds"
    assert seeds_in_words((3, 5)) == "3 to 5 seeds"


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
