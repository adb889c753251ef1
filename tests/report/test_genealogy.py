import numpy as np
import pytest
from matplotlib.colors import to_hex
from pictures import assert_nothing_is_cut_off, explanation

from rpojax.report import plot_genealogy
from rpojax.report.style import THEMES

PARENTS = np.array([[0, 1, 2], [0, 0, 2], [1, 1, 2]])
RATES = np.array([[1e-3, 1e-2, 1e-4], [1e-3, 2e-3, 1e-4], [3e-3, 2e-3, 1e-4]])
ALPHAS = np.array([[0.1, 0.2, 0.3], [0.1, 0.1, 0.3], [0.1, 0.1, 0.3]])
SCORES = np.array([[0.0, -1.0, -2.0], [1.0, 1.5, np.nan], [9.0, 2.0, -1.0]])


@pytest.mark.parametrize("theme", THEMES)
def test_lines_lead_from_parents_and_the_ancestors_of_the_best_are_thick(theme):
    figure = plot_genealogy(
        PARENTS, {"learning_rate": RATES, "alpha": ALPHAS}, SCORES, steps=[1000, 2000, 3000],
        score_label="episode return", title="Pendulum-v1", theme=theme,
    )  # fmt: skip
    upper, lower, bar = figure.axes
    thick = [line for line in upper.lines if line.get_linewidth() > 2]
    assert len(thick) == 1
    np.testing.assert_allclose(thick[0].get_xydata(), [[1000, 1e-3], [2000, 2e-3], [3000, 3e-3]])
    copied = [line.get_xydata() for line in upper.lines if to_hex(line.get_color()) == "#d55e00"]
    np.testing.assert_allclose(copied, [[[1000, 1e-3], [2000, 2e-3]], [[2000, 2e-3], [3000, 3e-3]]])
    own = [line for line in upper.lines if line.get_color() == THEMES[theme].muted]
    assert len(own) == 4
    assert (upper.get_yscale(), lower.get_yscale()) == ("log", "linear")
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("learning_rate", "alpha")
    assert lower.get_xlabel() == "environment steps of each agent"
    assert bar.get_ylabel() == "episode return"
    unknown, known = upper.collections
    np.testing.assert_allclose(unknown.get_offsets(), [[2000, 1e-4]])
    assert len(known.get_offsets()) == 8
    assert explanation(figure).startswith("3 agents; orange: copied from another")
    assert_nothing_is_cut_off(figure)


def test_generations_are_numbered_without_steps():
    figure = plot_genealogy(PARENTS, {"alpha": ALPHAS}, SCORES, score_label="return")
    assert figure.axes[0].get_xlabel() == "generation"
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": PARENTS[:2]}, r"parents have shape \(2, 3\), scores \(3, 3\) and .*{'alpha'"),
        ({"parents": PARENTS + 1}, "out of range; give whole numbers from 0 to 2"),
        ({"parents": PARENTS * 1.0}, "parents have dtype float64"),
        ({"hyperparameters": {}}, "hyperparameters are empty; give the values of at least one"),
        ({"steps": [1, 2]}, r"steps have shape \(2,\); give one for each of 3 generations"),
    ],
)
def test_errors(change, message):
    arguments = {"parents": PARENTS, "hyperparameters": {"alpha": ALPHAS}, "scores": SCORES}
    with pytest.raises(ValueError, match=message):
        plot_genealogy(**(arguments | change), score_label="return")
