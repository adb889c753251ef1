"""What people see of a run: learning curves and other pictures, tables, a progress bar."""

from rpojax.report.bands import plot_profiles, plot_sample_efficiency
from rpojax.report.curves import Curve
from rpojax.report.genealogy import plot_genealogy
from rpojax.report.page import Picture, Section, Table, write_page
from rpojax.report.parallel import plot_parallel_coordinates
from rpojax.report.plotting import plot_curves, plot_learning_curves
from rpojax.report.sweeps import plot_heatmap, plot_sensitivity

__all__ = [
    "Curve",
    "Picture",
    "Section",
    "Table",
    "plot_curves",
    "plot_genealogy",
    "plot_heatmap",
    "plot_learning_curves",
    "plot_parallel_coordinates",
    "plot_profiles",
    "plot_sample_efficiency",
    "plot_sensitivity",
    "write_page",
]
