import numpy as np
import pytest
from pictures import assert_nothing_is_cut_off, explanation

from rpojax.report import plot_parallel_coordinates
from rpojax.report.style import THEMES

SEARCH = {
    "learning_rate": [1e-4, 1e-2, 1e-3],
    "alpha": [0.5, 0.5, 0.5],
    "network.activation": ["tanh", "relu", "swish"],
    "gamma": [0.9, 0.99, 0.945],
}
LABELS = {"score_label": "episode return", "num_seeds": 4}


def settings(figure):
    """The lines of the settings; those of axes and ticks have two points."""
    return [line for line in figure.axes[0].lines if len(line.get_xdata()) == len(SEARCH)]


@pytest.mark.parametrize("unscored", [np.nan, np.inf])
@pytest.mark.parametrize("theme", THEMES)
def test_a_line_goes_through_the_values_of_each_setting(theme, unscored):
    figure = plot_parallel_coordinates(
        SEARCH, [-5.0, 7.0, unscored], title="Pendulum-v1", theme=theme, **LABELS
    )
    unknown, worst, best = settings(figure)  # the best comes last, on top
    np.testing.assert_allclose(worst.get_ydata(), [0.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(best.get_ydata(), [1.0, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(unknown.get_ydata(), [0.5, 0.5, 1.0, 0.5], atol=1e-12)
    assert unknown.get_linestyle() == ":"
    assert best.get_linewidth() > worst.get_linewidth()
    assert best.get_zorder() > worst.get_zorder()
    axes, bar = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == list(SEARCH)
    assert bar.get_ylabel() == "episode return"
    texts = [text.get_text() for text in axes.texts]
    assert {"0.0001", "0.001", "0.01", "0.5", "tanh", "relu", "swish", "0.9", "0.99"} <= set(texts)
    assert explanation(figure) == (
        "interquartile mean of 4 seeds for each of 3 settings; the best is thick, 1 without a "
        "score dotted"
    )
    assert_nothing_is_cut_off(figure)


def test_the_lowest_score_is_the_best_where_scores_are_minimized():
    scores = [-5.0, 7.0, np.nan]
    figure = plot_parallel_coordinates(SEARCH, scores, direction="minimize", **LABELS)
    *_, worst, best = settings(figure)
    np.testing.assert_allclose(best.get_ydata(), [0.0, 0.5, 0.0, 0.0])
    assert best.get_linewidth() > worst.get_linewidth()
    with pytest.raises(ValueError, match="direction = 'down' is not known"):
        plot_parallel_coordinates(SEARCH, scores, direction="down", **LABELS)


def test_axes_of_many_values_have_five_ticks():
    rng = np.random.default_rng(0)
    search = {"learning_rate": 10 ** rng.uniform(-5, -2, 40), "gamma": rng.uniform(0.9, 1.0, 40)}
    search["learning_rate"][0] = 0.0
    figure = plot_parallel_coordinates(search, np.zeros(40), **LABELS)
    texts = [text for text in figure.axes[0].texts if text.get_gid() != "explanation"]
    assert len(texts) == 10
    assert texts[0].get_text() == "0"
    assert_nothing_is_cut_off(figure)


def test_errors():
    with pytest.raises(ValueError, match=r"scores have shape \(2,\), and hyperparameters {'learn"):
        plot_parallel_coordinates(SEARCH, [1.0, 2.0], **LABELS)
    with pytest.raises(
        ValueError, match=r"\['alpha'\] is one hyperparameter; give two, or plot_se"
    ):
        plot_parallel_coordinates({"alpha": [0.0, 1.0]}, [1.0, 2.0], **LABELS)
