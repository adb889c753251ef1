"""What the tests of pictures look at."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg


def explanation(figure) -> str:
    """The line below the title, "" without one."""
    found = figure.findobj(lambda artist: artist.get_gid() == "explanation")
    return found[0].get_text() if found else ""


def lines(figure) -> dict[str, np.ndarray]:
    """Points of the labelled curves, without those that have no value."""
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    return {label: points[~np.isnan(points[:, 1])] for label, points in drawn.items()}


def assert_nothing_is_cut_off(figure) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn, frame = figure.get_tightbbox(canvas.get_renderer()), figure.bbox_inches
    assert drawn.x0 >= frame.x0
    assert drawn.y0 >= frame.y0
    assert drawn.x1 <= frame.x1
    assert drawn.y1 <= frame.y1
