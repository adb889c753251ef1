"""What people see of a run: learning curves and other pictures, tables, pages.

Optuna has more views of a search, such as parallel coordinates:
`optuna.visualization.matplotlib.plot_parallel_coordinate(found.to_optuna())` draws what
`rpojax.study` found.
"""

from rpojax.report.curves import Curve
from rpojax.report.page import Chart, Picture, Section, Table, write_page
from rpojax.report.plotting import (
    plot_curves,
    plot_learning_curves,
    plot_profiles,
    plot_sample_efficiency,
)
from rpojax.report.sweeps import plot_genealogy, plot_heatmap, plot_sensitivity

__all__ = [
    "Chart",
    "Curve",
    "Picture",
    "Section",
    "Table",
    "plot_curves",
    "plot_genealogy",
    "plot_heatmap",
    "plot_learning_curves",
    "plot_profiles",
    "plot_sample_efficiency",
    "plot_sensitivity",
    "write_page",
]
