"""What the live part of a graph's page works with: nodes, and their likeliest links."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aelab.apps.links import BLOCK_PAIRS, node_codes
from aelab.data.graphs import GraphDataset
from aelab.models.contract import LinkModel
from aelab.report.codes import plane
from aelab.report.material import Material
from aelab.report.nodes import MOST_EDGES
from aelab.report.packed import packed

MOST_NODES = 20_000
"""With more, a page would be slow."""

LIKELIEST = 5
"""Missing links that are told of each node."""


def links_parts(
    material: Material, data: GraphDataset
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any], dict[str, str]]:
    """The graph and the models as nodes.js reads them, no encoders, and the rows without a part."""
    scene: dict[str, Any] = {"kind": "links"}
    if len(data.node_ids) > MOST_NODES:
        told = f"a graph of {len(data.node_ids):,} nodes is too large for it"
        return scene, [], {}, dict.fromkeys(material.runs, told)
    labels = [0] * len(data.node_ids) if data.labels is None else data.labels.tolist()
    scene |= {
        "names": list(data.node_ids),
        "labels": labels,
        "edges": packed(data.whole.positives[:, :MOST_EDGES]),
    }
    models = []
    for name, run in material.runs.items():
        z = node_codes(run.link_model, data)
        points, _, _, _ = plane(z)
        low, high = np.quantile(points, (0.002, 0.998), axis=0)
        found, scores = likeliest(run.link_model, data)
        models.append(
            {
                "name": name,
                "points": packed(torch.from_numpy(points).float()),
                "low": (low - 0.05 * (high - low)).tolist(),
                "high": (high + 0.05 * (high - low)).tolist(),
                "likeliest": packed(found),
                "scores": packed(scores),
            }
        )
    return scene, models, {}, {}


@torch.no_grad()
def likeliest(
    model: LinkModel, data: GraphDataset
) -> tuple[Int64[Tensor, "nodes found"], Float[Tensor, "nodes found"]]:
    """Of each node those that it is likeliest linked to, of all that no edge of any split joins.

    With the scores of these links, ``sigmoid(logit)``; -1 where there are no more.
    """
    z = node_codes(model, data)
    known = data.whole
    nodes, edges = len(z), known.edge_index
    found, scores = [], []
    for start in range(0, nodes, max(1, BLOCK_PAIRS // nodes)):
        stop = min(start + max(1, BLOCK_PAIRS // nodes), nodes)
        logits = model.decode_rows(z, start, stop).clone()
        here = (edges[0] >= start) & (edges[0] < stop)
        logits[edges[0, here] - start, edges[1, here]] = -torch.inf
        rows = torch.arange(start, stop)
        logits[rows - start, rows] = -torch.inf
        if known.first_kind is not None:  # a link joins nodes of different kinds
            kind = torch.arange(nodes) < known.first_kind
            logits[kind[start:stop, None] == kind] = -torch.inf
        best = logits.topk(min(LIKELIEST, nodes), dim=1)
        found.append(best.indices)
        scores.append(best.values.sigmoid().where(best.values > -torch.inf, -1))
    return torch.cat(found), torch.cat(scores)
