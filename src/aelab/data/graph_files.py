"""A user's own graph: a list of edges or an adjacency matrix, and maybe a table of node features.

Nodes are numbered in the order of their ids (by value, where all are whole numbers): the order of
the rows changes nothing.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from aelab.data.adjacency import read_array, read_square_table
from aelab.data.compressed import inner_suffix, is_compressed
from aelab.data.edge_list import read_edges
from aelab.data.found_edges import FoundEdges, in_order
from aelab.data.matrix_market import read_matrix_market
from aelab.data.node_features import read_features, some, standardised
from aelab.data.raw_graph import RawGraph, canonical_edges, canonical_weights
from aelab.data.table_files import is_columnar
from aelab.files import InputError


def read_graph(
    path: Path, features: Path | None = None, *, bipartite: bool = False, plain: bool = False
) -> RawGraph:
    """Read the graph in a file, with the node features in a table if there is one.

    A table of features has the node's id in its first column and numbers in all others, which
    are scaled to mean 0 and variance 1; its nodes without an edge are isolated nodes of the graph.

    Raises:
        InputError: a file cannot be used; it names the file, the place and the remedy.
        MissingFileError: there is no such file.
    """
    found = read_found(path, bipartite=bipartite, plain=plain)
    ids, values, notes = found.ids, None, [*found.notes]
    if features is not None:
        table_ids, values = read_features(features)
        unknown = np.setdiff1d(ids, table_ids)
        if len(unknown):
            raise InputError(
                f"{features} has no row for {some(unknown)}, which {path} joins by edges; add the "
                f"row, or leave the edges out"
            )
        ids, first = np.unique(table_ids, return_index=True)
        values = values[first]
    ordered, first_kind = in_order(ids, found.kinds)
    if found.kinds is not None and len(ordered) < len(ids):
        raise InputError(
            f"{features} has a row for {some(np.setdiff1d(ids, ordered))}, whose kind is not told; "
            f"ids begin with {found.kinds[0]}: or {found.kinds[1]}:"
        )
    order = np.searchsorted(ids, ordered)  # ids are sorted
    x = None
    if values is not None:
        x, more = standardised(values)
        x, notes = x[order], [*notes, *more]
    pairs, weights = np.argsort(order)[np.searchsorted(ids, found.pairs)], None
    if found.weights is not None:
        weights = canonical_weights(pairs, found.weights, len(ids))
    edges, done = canonical_edges(pairs, len(ids), weighted=weights is not None)
    notes += done
    isolated = len(ids) - len(edges.unique())
    if isolated:
        notes.append(f"{isolated:,} of {len(ids):,} nodes have no edge to another node")
    name = (path.with_suffix("") if is_compressed(path) else path).stem
    node_ids = tuple(ordered.tolist())
    return RawGraph(name, node_ids, edges, x, None, tuple(notes), weights, first_kind)


def read_found(path: Path, *, bipartite: bool = False, plain: bool = False) -> FoundEdges:
    """The edges in a file, read by its suffix, and a text by what is in it.

    With `plain`, of a list only the ids at both ends, and of a matrix no weights.
    """
    suffix = inner_suffix(path)
    if suffix in (".mtx", ".npy"):
        read = read_matrix_market if suffix == ".mtx" else read_array
        found = read(path, bipartite=bipartite)
        return without_weights(found) if plain else found
    if not plain and not is_columnar(path):
        matrix = read_square_table(path, bipartite=bipartite)
        if matrix is not None:
            return matrix
    return read_edges(path, plain=plain, bipartite=bipartite)


def without_weights(found: FoundEdges) -> FoundEdges:
    """The edges alone, which is told where they had weights."""
    told = () if found.weights is None else ("the weights were left out, as plain edges have none",)
    return replace(found, weights=None, notes=(*found.notes, *told))
