"""What people do with a trained link model: score pairs, find missing links, embed the nodes."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.graphs import GraphDataset
from aelab.data.link_graph import LinkGraph
from aelab.files import InputError, atomic_path
from aelab.models.contract import LinkModel, NodeCode

BLOCK_PAIRS = 2**23  # logits in memory at a time

Link = tuple[str, str, float]
"""Two node ids and the score of a link between them, ``sigmoid(logit)``: it orders pairs, and is
no calibrated probability, for training weighs links and non-links alike."""


def node_codes(model: LinkModel, data: GraphDataset) -> NodeCode:
    """Code z of each node, in the order of `data.node_ids`, from the training edges."""
    graph = data.split("train").graph.to(next(model.parameters()).device)
    with torch.no_grad():
        return model.encode(graph)


def score_pairs(
    model: LinkModel, data: GraphDataset, pairs_by_id: Sequence[tuple[str, str]]
) -> list[Link]:
    """Score the links between the given pairs of node ids.

    Raises:
        InputError: an id is no node's.
    """
    unknown = sorted({node for pair in pairs_by_id for node in pair} - data.index.keys())
    if unknown:
        raise InputError(
            f"{data.name} has no node {', '.join(map(repr, unknown[:3]))}"
            f"{f' (nor {len(unknown) - 3:,} more ids given)' if len(unknown) > 3 else ''}; its "
            f"{len(data.node_ids):,} nodes are {data.node_ids[0]!r} … {data.node_ids[-1]!r}"
        )
    z = node_codes(model, data)
    numbers = [[data.index[pair[end]] for pair in pairs_by_id] for end in (0, 1)]
    with torch.no_grad():
        scores = model.decode(z, torch.tensor(numbers, dtype=torch.long, device=z.device)).sigmoid()
    return [(*pair, score) for pair, score in zip(pairs_by_id, scores.tolist(), strict=True)]


def top_missing_links(model: LinkModel, data: GraphDataset, n: int = 100) -> list[Link]:
    """The `n` likeliest links among all pairs that no edge of any split joins, best first.

    In a bipartite graph these are pairs of a node of each kind.
    Every pair is scored once, block by block: memory does not grow with their number.

    Raises:
        InputError: `n` is less than 1.
    """
    if n < 1:
        raise InputError(f"top must be 1 or more, not {n}")
    z = node_codes(model, data)
    known = data.whole.to(z.device)
    best = torch.empty(0, device=z.device)
    keys = torch.empty(0, dtype=torch.long, device=z.device)
    rows = max(1, BLOCK_PAIRS // len(z))
    with torch.no_grad():
        for start in range(0, len(z), rows):
            stop = min(start + rows, len(z))
            scores, found = _best_of_rows(model, z, known, start, stop, n)
            best, keys = torch.cat([best, scores]), torch.cat([keys, found])
            order = torch.argsort(best, descending=True, stable=True)[:n]
            best, keys = best[order], keys[order]
    return [
        (data.node_ids[key // len(z)], data.node_ids[key % len(z)], score)
        for key, score in zip(keys.tolist(), best.sigmoid().tolist(), strict=True)
    ]


def _best_of_rows(
    model: LinkModel, z: NodeCode, known: LinkGraph, start: int, stop: int, n: int
) -> tuple[Float[Tensor, " found"], Int64[Tensor, " found"]]:
    """Logits and keys of the best unknown links from nodes `start` to `stop` to later ones."""
    logits = model.decode_rows(z, start, stop).clone()
    here = (known.positives[0] >= start) & (known.positives[0] < stop)
    first, second = known.positives[:, here]
    logits[first - start, second] = -torch.inf
    own = torch.arange(start, stop, device=z.device)
    logits[:, :stop].masked_fill_(torch.arange(stop, device=z.device) <= own[:, None], -torch.inf)
    if known.first_kind is not None:  # a link joins a node of the first kind to one of the second
        logits[:, : known.first_kind] = -torch.inf
        logits[max(0, known.first_kind - start) :] = -torch.inf
    scores, places = logits.flatten().topk(min(n, logits.numel()))
    kept = scores > -torch.inf
    return scores[kept], places[kept] + start * len(z)


def write_links(path: Path, links: Sequence[Link]) -> None:
    """Write links as CSV: source, target, score.

    Raises:
        InputError: `path` cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "target", "score"))
        writer.writerows((source, target, f"{score:.6g}") for source, target, score in links)


def write_embeddings(path: Path, model: LinkModel, data: GraphDataset) -> None:
    """Write the nodes' codes: as CSV (node, z0, z1, …), or as NPY by the suffix .npy.

    An NPY file holds numbers only, one row a node; the ids go into ``<name>.ids.csv`` beside it.

    Raises:
        InputError: `path` cannot be written, or ends in neither.
    """
    z: NDArray[np.float32] = node_codes(model, data).cpu().numpy()
    match path.suffix.lower():
        case ".csv":
            header = ["node", *(f"z{i}" for i in range(z.shape[1]))]
            rows = [[i, *map(str, row)] for i, row in zip(data.node_ids, z, strict=True)]
            _write_rows(path, [header, *rows])
        case ".npy":
            with atomic_path(path) as temporary:
                np.save(temporary, z, allow_pickle=False)
            _write_rows(path.with_suffix(".ids.csv"), [["node"], *([i] for i in data.node_ids)])
        case _:
            raise InputError(f"{path}: embeddings are written as .csv or .npy")


def _write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
