"""A page's picture: one look for all of them, and the same bytes from the same figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "regrow",  # names inside the file follow from this instead of from chance
}


def svg(size: tuple[float, float], draw: Callable[[Figure], Axes], columns: int = 0) -> bytes:
    """An SVG file of a figure of `size` inches; one version of matplotlib draws the same bytes each time.

    `draw` fills the figure and returns the panel whose legend stands below all of them, in `columns` (0: in a row).
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(cast(Any, _SETTINGS)):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06), facecolor="white")
        handles, labels = draw(figure).get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=columns or max(1, len(labels)))
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
