import numpy as np
import pytest
from matplotlib.colors import to_hex
from pictures import assert_nothing_is_cut_off, explanation

from rpojax import Config
from rpojax.report import plot_genealogy, plot_heatmap, plot_sensitivity
from rpojax.report.style import MUTED
from rpojax.statistics import Estimate
from rpojax.types import Evolution

NAN = np.nan
LABELS = {"xlabel": "alpha", "ylabel": "episode return"}
MAP_LABELS = {**LABELS, "score_label": "return", "num_seeds": 1}


def estimate(*value) -> Estimate:
    value = np.array(value)
    return Estimate(value, value - 1.0, value + 2.0, 0.95)


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_sensitivity_shows_points_in_order_with_their_intervals():
    figure = plot_sensitivity(
        [0.1, 0.0, 0.01], estimate(3.0, 1.0, 2.0), num_seeds=16, title="Pendulum-v1", **LABELS
    )
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0.0, 1.0], [0.01, 2.0], [0.1, 3.0]])
    spans = {path[0][0]: (path[0][1], path[1][1]) for path in axes.collections[0].get_segments()}
    assert spans == {0.1: (2.0, 5.0), 0.0: (0.0, 3.0), 0.01: (1.0, 4.0)}
    assert axes.get_xscale() == "symlog"
    assert_nothing_is_cut_off(figure)
    assert ticks(axes.xaxis) == ["0", "0.01", "0.1"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("alpha", "episode return")
    assert explanation(figure) == (
        "interquartile mean and 95 % interval of 16 seeds for each setting"
    )


def test_points_of_settings_that_differ_in_more_than_one_value_are_not_joined():
    figure = plot_sensitivity([1.0, 2.0], estimate(1.0, 2.0), num_seeds=4, joined=False, **LABELS)
    assert figure.axes[0].lines[0].get_linestyle() == "None"


def test_sensitivity_to_what_is_no_number_has_no_line():
    figure = plot_sensitivity(["tanh", "relu"], estimate(1.0, 2.0), num_seeds=4, **LABELS)
    (axes,) = figure.axes
    assert axes.lines[0].get_linestyle() == "None"
    assert ticks(axes.xaxis) == ["tanh", "relu"]


def test_an_interval_that_there_is_not_is_not_named():
    alone = Estimate(np.array([1.0, 2.0]), np.full(2, NAN), np.full(2, NAN), 0.95)
    figure = plot_sensitivity([0.0, 0.5], alone, num_seeds=1, **LABELS)
    assert explanation(figure) == "interquartile mean of 1 seed for each setting"


def test_many_values_have_ticks_at_decades():
    rates = np.geomspace(1e-5, 1e-2, 50)
    figure = plot_sensitivity(rates, estimate(*rates), num_seeds=4, **LABELS)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert_nothing_is_cut_off(figure)
    assert {"1e-05", "0.0001", "0.001", "0.01"} <= set(ticks(axes.xaxis))


def test_heat_map_has_a_cell_for_each_pair():
    scores = np.array([[-1.0, 0.5, NAN], [-1234.5, 2.0, 3.0]])
    figure = plot_heatmap(
        [0.0, 0.1, 0.5], [1e-4, 1e-3], scores, score_label="episode return", num_seeds=8,
        title="Pendulum-v1", xlabel="alpha", ylabel="learning_rate",
    )  # fmt: skip
    axes, bar = figure.axes
    cells = {text.get_position(): text for text in axes.texts if not text.get_gid()}
    assert {place: text.get_text() for place, text in cells.items()} == {
        (0, 0): "-1", (1, 0): "0.5", (2, 0): "-", (0, 1): "-1234", (1, 1): "2", (2, 1): "3",
    }  # fmt: skip
    mesh = axes.collections[0]
    np.testing.assert_array_equal(mesh.get_array().filled(NAN), scores)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1234.5, 3.0)
    assert to_hex(cells[(0, 1)].get_color()) == "#ffffff"  # on the darkest cell
    assert to_hex(cells[(2, 1)].get_color()) == "#000000"  # on the brightest
    assert ticks(axes.xaxis) == ["0", "0.1", "0.5"]
    assert ticks(axes.yaxis) == ["0.0001", "0.001"]
    assert bar.get_ylabel() == "episode return"
    assert explanation(figure) == "interquartile mean of 8 seeds for each setting"
    assert_nothing_is_cut_off(figure)


def test_many_cells_have_no_numbers_and_names_are_axes_too():
    figure = plot_heatmap(range(20), range(10), np.zeros((10, 20)), **MAP_LABELS)
    assert [text.get_gid() for text in figure.axes[0].texts] == ["explanation"]
    figure = plot_heatmap(["tanh", "relu"], [1], np.full((1, 2), NAN), **MAP_LABELS)
    assert ticks(figure.axes[0].xaxis) == ["tanh", "relu"]
    assert_nothing_is_cut_off(figure)


def test_errors():
    with pytest.raises(ValueError, match=r"values have shape \(2,\) and scores \(3,\); give both"):
        plot_sensitivity([1.0, 2.0], estimate(1.0, 2.0, 3.0), num_seeds=1, **LABELS)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), for 3 values up and 2 to the right"):
        plot_heatmap([1, 2], [1, 2, 3], np.zeros((2, 3)), **MAP_LABELS)


def test_values_of_a_heat_map_are_written_in_full():
    figure = plot_heatmap([False, True], [1048576, 1048577], np.zeros((2, 2)), **MAP_LABELS)
    axes = figure.axes[0]
    assert ticks(axes.xaxis) == ["False", "True"]
    assert ticks(axes.yaxis) == ["1048576", "1048577"]


def test_lines_lead_from_parents_and_the_ancestors_of_the_best_are_thick():
    rates = np.array([[1e-3, 1e-2, 1e-4], [1e-3, 2e-3, 1e-4], [3e-3, 2e-3, 1e-4]])
    alphas = np.array([[0.1, 0.2, 0.3], [0.1, 0.1, 0.3], [0.1, 0.1, 0.3]])
    population = Evolution(
        hyperparams=Config().hyperparams().replace(learning_rate=rates.T, alpha=alphas.T),
        scores=np.array([[0.0, -1.0, -2.0], [1.0, 1.5, NAN], [9.0, 2.0, -1.0]]).T,
        parents=np.array([[0, 0, 2], [1, 1, 2], [0, 0, 0]]).T,  # the last lead to no generation
    )
    figure = plot_genealogy(
        population, ["learning_rate", "alpha"], score_label="episode return", title="Pendulum-v1"
    )
    upper, lower, bar = figure.axes
    thick = [line for line in upper.lines if line.get_linewidth() > 2]
    assert len(thick) == 1
    np.testing.assert_allclose(thick[0].get_xydata(), [[1, 1e-3], [2, 2e-3], [3, 3e-3]])
    copied = [line.get_xydata() for line in upper.lines if to_hex(line.get_color()) == "#d55e00"]
    np.testing.assert_allclose(copied, [[[1, 1e-3], [2, 2e-3]], [[2, 2e-3], [3, 3e-3]]])
    own = [line for line in upper.lines if line.get_color() == MUTED]
    assert len(own) == 4
    assert (upper.get_yscale(), lower.get_yscale()) == ("log", "linear")
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("learning_rate", "alpha")
    assert (lower.get_xlabel(), bar.get_ylabel()) == ("generation", "episode return")
    unknown, known = upper.collections
    np.testing.assert_allclose(unknown.get_offsets(), [[2, 1e-4]])
    assert len(known.get_offsets()) == 8
    assert explanation(figure).startswith("3 agents; orange: copied from another")
    assert_nothing_is_cut_off(figure)
