"""The map of a graph's nodes, as a link model's codes place them."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from aelab.data.graphs import GraphDataset
from aelab.figures.style import BLUE, new_figure, styled
from aelab.report.codes import plane, scatter
from aelab.report.tiles import one_thread
from aelab.runs.store import Run

MOST_EDGES = 20_000
"""Edges that are drawn; those after them are left out."""


@styled()
@one_thread()
def node_map(run: Run, data: GraphDataset, *, name: str | None = None) -> Figure:
    """The codes of all nodes in two dimensions, with the graph's edges between them.

    Nodes are coloured by class where the graph has classes.
    """
    name = name or run.settings.model
    z = run.link_model.encode(data.split("train").graph)
    points, _, _, shares = plane(z)
    told = f"{name}: the {len(z):,} nodes of {data.name} where their codes place them"
    figure = new_figure(7, 6.2, f"{told}, {sum(shares):.0%} of the codes' variance.")
    axes = figure.subplots()
    ends = data.whole.positives[:, :MOST_EDGES].numpy()
    lines = LineCollection(list(points[ends.T]), colors="#999999", linewidths=0.3, alpha=0.3)
    axes.add_collection(lines)
    if data.labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=7, color=BLUE, linewidths=0)
    else:
        classes = tuple(f"class {n + 1}" for n in range(int(data.labels.max()) + 1))
        scatter(axes, points, data.labels, classes)
    low, high = np.quantile(points, (0.002, 0.998), axis=0)
    room = 0.05 * (high - low)
    axes.set(
        title=f"{name}: the nodes of {data.name}",
        xlabel=f"component 1 ({shares[0]:.0%} of the codes' variance)",
        ylabel=f"component 2 ({shares[1]:.0%})",
        xlim=(low[0] - room[0], high[0] + room[0]),
        ylim=(low[1] - room[1], high[1] + room[1]),
    )
    return figure
