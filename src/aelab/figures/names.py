"""Names beside points, where they cover nothing."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

PLACES = [
    (
        x * far,
        y * far,
        {-1: "right", 0: "center", 1: "left"}[x],
        {-1: "top", 0: "center", 1: "bottom"}[y],
    )
    for far in (6, 11, 18)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
]
"""Where a name may stand: so many typographic points to the right and up, and how aligned."""


def name_points(
    figure: Figure,
    axes: Axes,
    points: Mapping[str, tuple[float, float]],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    bold: Collection[str] = (),
) -> None:
    """Write each point's name beside it, clear of the points, of other names and of lines.

    Each stands in the first place that is free, or where it covers least; the legend is not
    covered either. `lines` are runs of points that are joined level and upright.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # fixes where the axes are
    inside = axes.get_window_extent()
    at = axes.transData.transform
    taken = [Bbox([at(point), at(point)]).padded(6) for point in points.values()]
    for line in lines:
        taken += [Bbox([at(a), at(b)]).padded(2) for a, b in pairwise(line)]
    if (legend := axes.get_legend()) is not None:
        taken.append(legend.get_window_extent())
    for name, point in points.items():
        written = axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=8)
        written.set_in_layout(False)
        written.set_fontweight("bold" if name in bold else "normal")
        found: list[tuple[float, int, Bbox]] = []
        for x, y, across, up in PLACES:
            written.set(position=(x, y), ha=across, va=up)
            box = written.get_window_extent()
            covered = sum(shared(box, other) for other in taken)
            found.append((covered + 10 * (area(box) - shared(box, inside)), len(found), box))
        _, place, box = min(found)
        x, y, across, up = PLACES[place]
        written.set(position=(x, y), ha=across, va=up)
        taken.append(box)


def area(box: Bbox) -> float:
    """Of a box in pixels."""
    return float(box.width * box.height)


def shared(a: Bbox, b: Bbox) -> float:
    """The area that two boxes have in common."""
    common = Bbox.intersection(Bbox([a.min, a.max]), Bbox([b.min, b.max]))
    return 0.0 if common is None else area(common)
