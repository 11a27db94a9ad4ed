"""Train link models on one large random graph: seconds an epoch, and the peak of the memory.

    python benchmarks/links_at_scale.py --nodes 100000 --edges 1000000 --epochs 5

Nodes lie in communities of 100, and nine in ten edges stay inside one, so that there is something
to learn; nodes have no features. The peak is the whole process's, Python and libraries included.
"""

import argparse
import resource
import time

import numpy as np
import torch

from aelab.apps.links import top_missing_links
from aelab.data.graphs import GraphDataset, split_raw_graph
from aelab.data.raw_graph import RawGraph, canonical_edges
from aelab.evaluate.links import evaluate_links
from aelab.machine import keep_freed_memory, seeded
from aelab.models.links import GraphAutoencoder
from aelab.settings import Recipe
from aelab.training.loop import fit

SIZE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--top", type=int, default=0, help="find this many missing links, too")
    arguments = parser.parse_args()

    keep_freed_memory()
    data = random_graph(arguments.nodes, arguments.edges)
    print(f"{arguments.nodes:,} nodes, {arguments.edges:,} edges: {peak():.2f} GB so far")
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=1,
        learning_rate=0.01,
        schedule="constant",
        threads=arguments.threads,
    )
    for variational in (False, True):
        name = "vgae" if variational else "gae"
        with seeded(0):
            model = GraphAutoencoder(data.spec, variational=variational)
        seconds = 0.0
        for state in fit(model, data.split("train"), recipe):
            print(f"{name} epoch {state.step}: {state.seconds - seconds:.2f} s, {peak():.2f} GB")
            seconds = state.seconds
        scores = evaluate_links(model, data)
        print(f"{name}: test AUC {scores['auc']:.3f}, AP {scores['ap']:.3f}, {peak():.2f} GB")
    if arguments.top:
        start = time.perf_counter()
        links = top_missing_links(model, data, arguments.top)
        seconds = time.perf_counter() - start
        print(f"{len(links)} missing links: {seconds:.1f} s, {peak():.2f} GB")


def random_graph(nodes: int, edges: int) -> GraphDataset:
    """Communities of equal size, split for link prediction; exactly `edges` different edges."""
    random = np.random.default_rng(0)
    first = random.integers(nodes, size=2 * edges)
    near = (first // SIZE * SIZE + random.integers(SIZE, size=2 * edges)) % nodes
    far = random.integers(nodes, size=2 * edges)
    second = np.where(random.random(2 * edges) < 0.9, near, far)
    found, _ = canonical_edges(np.stack([first, second]), nodes)
    chosen = torch.from_numpy(np.sort(random.permutation(found.shape[1])[:edges]))
    network = RawGraph("random", tuple(map(str, range(nodes))), found[:, chosen], None)
    return split_raw_graph(network, seed=0)


def peak() -> float:
    """The process's largest memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
