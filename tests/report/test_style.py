import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from rpojax.report.style import THEMES, colors, new_figure, seeds_in_words, theme_of


def luminance(color) -> float:
    """Relative luminance by WCAG 2."""
    channels = np.asarray(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_colors_stand_out_from_the_background_and_from_each_other(name):
    theme = theme_of(name)
    for text in (theme.text, theme.muted):
        assert contrast(text, theme.background) > 4.5
    for count in (7, 8, 12):
        chosen = colors(count, theme)
        assert len({to_rgb(color) for color in chosen}) == count
    assert min(contrast(color, theme.background) for color in theme.palette) > 2.0
    for color in colors(9, theme):
        assert contrast(color, theme.background) > 1.3


def test_background_of_the_file_is_that_of_the_theme():
    for name in THEMES:
        file = io.BytesIO()
        new_figure(theme_of(name), (2.0, 2.0)).savefig(file)
        file.seek(0)
        expected = to_rgb(THEMES[name].background)
        np.testing.assert_allclose(matplotlib.image.imread(file)[0, 0, :3], expected, atol=0.01)


def test_an_unknown_theme_is_refused():
    with pytest.raises(
        ValueError, match="theme = 'blue' is not known; give one of 'light', 'dark'"
    ):
        theme_of("blue")


def test_numbers_of_seeds_in_words():
    assert seeds_in_words(1) == "1 seed"
    assert seeds_in_words(16) == seeds_in_words((16, 16)) == "16 seeds"
    assert seeds_in_words((3, 5)) == "3 to 5 seeds"
