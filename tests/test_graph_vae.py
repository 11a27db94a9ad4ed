import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from aelab.data.specs import InputSpec, SignalGraph
from aelab.machine import seeded
from aelab.models.networks.graph_layers import (
    Graph,
    GraphConvolution,
    Messages,
    both_ways,
    coarsen,
    downwards,
    grid_graph,
    input_graph,
    kernel_shares,
    matching,
    typical_offsets,
    upwards,
    within,
)
from aelab.models.variational import VariationalAutoencoder
from aelab.models.zoo import build
from aelab.settings import Recipe
from aelab.training.loop import fit

with warnings.catch_warnings():  # on import it scripts a class, which PyTorch deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import NNConv

PATH = SignalGraph(((0, 1), (1, 2)), ((0.0,), (1.0,), (2.0,)))


def graph_vae(spec: InputSpec, **hyperparameters: Any) -> VariationalAutoencoder:
    model: VariationalAutoencoder = build("graph-vae", spec, **hyperparameters)
    return model


def geometric_graph(nodes: int, radius: float, seed: int = 0, dimensions: int = 2) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(nodes, dimensions, generator=generator).double()
    near = torch.cdist(positions, positions) < radius
    return Graph(positions, both_ways(near.nonzero().T))


def as_signal_graph(graph: Graph) -> SignalGraph:
    edges = tuple((int(a), int(b)) for a, b in graph.edges.T.tolist() if a < b)
    return SignalGraph(edges, tuple(map(tuple, graph.positions.tolist())))


def renumbered(graph: Graph, order: Tensor) -> Graph:
    """Node `order[i]` of the graph becomes node i."""
    return Graph(graph.positions[order], both_ways(order.argsort()[graph.edges]))


def all_kinds_of_messages() -> dict[str, Messages]:
    fine = geometric_graph(60, 0.25)
    coarse, cluster = coarsen(fine)
    return {
        "within": within(fine, 9),
        "upwards": upwards(fine, coarse, cluster, 9),
        "downwards": downwards(coarse, fine, cluster, 9),
        "one kernel": within(fine, 1),
        "three dimensions": within(geometric_graph(40, 0.4, dimensions=3), 12),
    }


KINDS = all_kinds_of_messages()


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> Iterator[None]:
    with seeded(0):
        yield


# Message passing


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 4), (4, 1), (3, 3)])
def test_message_passing_is_a_sum_of_dense_matrix_products(inputs: int, outputs: int) -> None:
    # Node 1 hears 0 through kernel 0 and 2 through both; node 0 hears only itself.
    pairs = torch.tensor([[0, 0, 2], [0, 1, 1]])
    shares = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.25, 0.75]]).double()
    convolution = GraphConvolution(Messages(pairs, shares, 3, 2), inputs, outputs)
    adjacency = torch.tensor(
        [
            [[0.0, 0.0, 0.0], [1.0, 0.0, 0.25]],
            [[1.0, 0.0, 0.0], [0.0, 0.0, 0.75]],
        ]
    )
    x = torch.randn(3, inputs, 5)
    expected = sum(
        torch.einsum("ij,jcb,cd->idb", adjacency[k], x, convolution.weight[k]) for k in range(2)
    )
    torch.testing.assert_close(convolution(x), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("inputs", "outputs"), [(2, 5), (5, 2)])
def test_message_passing_is_that_of_pytorch_geometric(kind: str, inputs: int, outputs: int) -> None:
    messages = KINDS[kind]
    kernels = messages.kernels.shape[1]
    ours = GraphConvolution(messages, inputs, outputs, "own")
    assert ours.bias is not None
    torch.nn.init.normal_(ours.bias)
    # Its edge network is our sum over the kernels: from an edge's shares to the edge's matrix.
    edge_network = torch.nn.Linear(kernels, inputs * outputs, bias=False)
    theirs = NNConv(
        (inputs, outputs), outputs, edge_network, aggr="add", root_weight=False, bias=False
    )
    edge_network.weight.data = ours.weight.detach().flatten(1).T.contiguous()
    x = torch.randn(messages.sources, inputs, requires_grad=True)
    size = (messages.sources, messages.targets)
    expected = theirs((x, None), messages.pairs, messages.kernels.float(), size)
    y = ours(x[:, :, None])[:, :, 0]
    torch.testing.assert_close(y - ours.bias[:, :, 0], expected, rtol=1e-4, atol=1e-4)

    upstream = torch.randn_like(expected)
    gradients = torch.autograd.grad(y, [x, ours.weight], upstream)
    expected_gradients = torch.autograd.grad(expected, [x, edge_network.weight], upstream)
    torch.testing.assert_close(gradients[0], expected_gradients[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        gradients[1].flatten(1).T, expected_gradients[1], rtol=1e-4, atol=1e-4
    )


def test_the_gradient_is_that_of_finite_differences() -> None:
    convolution = GraphConvolution(KINDS["upwards"], 2, 3).double()
    x = torch.randn(60, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(convolution, x, fast_mode=True)


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 9), st.integers(3, 9), st.sampled_from([(1, 4), (4, 3), (2, 2)]))
def test_on_a_grid_it_is_the_convolution(
    height: int, width: int, channels: tuple[int, int]
) -> None:
    convolution = GraphConvolution(within(grid_graph(height, width), 9), *channels)
    # Kernels are in the order of their relative positions: row by row.
    kernel = convolution.weight.unflatten(0, (3, 3)).permute(3, 2, 0, 1)
    x = torch.randn(2, channels[0], height, width)
    y = convolution(x.flatten(2).permute(2, 1, 0)).permute(2, 1, 0).unflatten(2, (height, width))
    torch.testing.assert_close(y, F.conv2d(x, kernel, padding=1), rtol=1e-4, atol=1e-5)


def test_between_levels_of_a_grid_it_is_the_strided_convolution_and_its_transpose() -> None:
    fine = grid_graph(8, 12)
    coarse, cluster = coarsen(fine)
    assert cluster.tolist() == [r // 2 * 6 + c // 2 for r in range(8) for c in range(12)]

    down = GraphConvolution(upwards(fine, coarse, cluster, 16), 2, 3)
    kernel = down.weight.unflatten(0, (4, 4)).permute(3, 2, 0, 1)
    x = torch.randn(5, 2, 8, 12)
    y = down(x.flatten(2).permute(2, 1, 0)).permute(2, 1, 0).unflatten(2, (4, 6))
    expected = F.conv2d(x, kernel, stride=2, padding=1)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)

    up = GraphConvolution(downwards(coarse, fine, cluster, 16), 3, 2)
    kernel = up.weight.flip(0).unflatten(0, (4, 4)).permute(2, 3, 0, 1)
    x = torch.randn(5, 3, 4, 6)
    y = up(x.flatten(2).permute(2, 1, 0)).permute(2, 1, 0).unflatten(2, (8, 12))
    expected = F.conv_transpose2d(x, kernel, stride=2, padding=1)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 99))
def test_kernels_share_every_message_and_follow_relative_positions_alone(
    dimensions: int, kernels: int, seed: int
) -> None:
    offsets = torch.randn(50, dimensions, generator=torch.Generator().manual_seed(seed)).double()
    shares = kernel_shares(offsets, typical_offsets(offsets, kernels))
    assert shares.shape == (50, kernels)
    torch.testing.assert_close(shares.sum(1), torch.ones(50).double())
    assert shares.amin() >= 0
    assert shares.sum(0).amin() > 0  # no kernel is idle
    scaled = kernel_shares(7 * offsets, typical_offsets(7 * offsets, kernels))
    torch.testing.assert_close(scaled, shares, rtol=1e-3, atol=1e-3)


# Coarsening


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.floats(0.05, 0.6), st.integers(0, 99), st.integers(1, 3))
def test_coarsening_puts_every_node_in_one_connected_cluster(
    nodes: int, radius: float, seed: int, dimensions: int
) -> None:
    graph = geometric_graph(nodes, radius, seed, dimensions)
    coarse, cluster = coarsen(graph)
    assert cluster.shape == (nodes,)
    assert cluster.unique().tolist() == list(range(len(coarse)))
    assert cluster.bincount().max() <= 4
    for i in range(len(coarse)):
        members = cluster == i
        torch.testing.assert_close(coarse.positions[i], graph.positions[members].mean(0))
        inside = members[graph.edges].all(0).sum()
        assert inside >= 2 * (members.sum() - 1)  # at least a tree, in both directions
    adjacent = {tuple(pair) for pair in cluster[graph.edges].T.tolist() if pair[0] != pair[1]}
    assert {tuple(pair) for pair in coarse.edges.T.tolist()} == adjacent


@pytest.mark.parametrize("graph", [grid_graph(7, 9), geometric_graph(90, 0.2)])
def test_coarsening_does_not_depend_on_how_nodes_are_numbered(graph: Graph) -> None:
    order = torch.randperm(len(graph), generator=torch.Generator().manual_seed(1))
    coarse, cluster = coarsen(graph)
    again, cluster_again = coarsen(renumbered(graph, order))
    assert torch.equal(cluster_again, cluster[order])
    torch.testing.assert_close(again.positions, coarse.positions)
    assert torch.equal(again.edges, coarse.edges)


def test_matching_takes_the_shortest_edges_first() -> None:
    graph = Graph(
        torch.tensor([[0.0], [2.0], [3.0], [5.0], [9.0]]).double(),
        both_ways(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])),
    )
    assert matching(graph).tolist() == [0, 1, 1, 2, 2]


def test_a_graph_of_5000_nodes_is_coarsened_and_passed() -> None:
    spec = InputSpec((1, 5000), graph=as_signal_graph(geometric_graph(5000, 0.03)))
    model = graph_vae(spec)
    assert model(torch.rand(2, 1, 5000)).shape == (2, 1, 5000)


# The model


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 13), (2, 8, 8), (1, 8, 31)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_it_takes_images_of_any_size(shape: tuple[int, ...], precision: torch.dtype) -> None:
    model = graph_vae(InputSpec(shape), latent_dim=5)
    x = torch.rand(3, *shape)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        losses = model.loss(x)
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    z = model.encode(x)
    assert z.shape == (3, 5)
    assert torch.equal(z, model.encode(x))
    assert model.decode(z).shape == x.shape


def test_the_decoder_needs_the_code_and_the_graph_only() -> None:
    spec = InputSpec((1, 12, 10))
    model = graph_vae(spec)
    z = model.encode(torch.rand(4, 1, 12, 10))
    other = graph_vae(spec)
    assert not [name for name in model.state_dict() if "product" in name or "positions" in name]
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.decode(z), model.decode(z))  # a model that never saw an image
    torch.testing.assert_close(model.decode(z[1:2]), model.decode(z)[1:2])


def test_an_image_is_a_signal_on_its_grid() -> None:
    grid = as_signal_graph(grid_graph(9, 11))
    with seeded(0):
        image = graph_vae(InputSpec((2, 9, 11)))
    with seeded(0):
        signal = graph_vae(InputSpec((2, 99), graph=grid))
    x = torch.rand(3, 2, 9, 11)
    assert torch.equal(image(x).flatten(2), signal(x.flatten(2)))


@pytest.mark.parametrize("graph", [grid_graph(9, 11), geometric_graph(90, 0.2)])
def test_it_does_not_depend_on_how_nodes_are_numbered(graph: Graph) -> None:
    order = torch.randperm(len(graph), generator=torch.Generator().manual_seed(2))
    outputs = []
    x = torch.rand(3, 2, len(graph))
    for signal, nodes in ((x, graph), (x[:, :, order], renumbered(graph, order))):
        with seeded(0):
            model = graph_vae(InputSpec((2, len(graph)), graph=as_signal_graph(nodes)))
        outputs.append(model(signal))
    torch.testing.assert_close(outputs[1], outputs[0][:, :, order])


class Heights:
    """A hill anywhere on the plane, seen at the nodes."""

    def __init__(self, graph: Graph, n: int, seed: int) -> None:
        tops = torch.rand(n, 1, 2, generator=torch.Generator().manual_seed(seed))
        distances = (graph.positions.float() - tops).square().sum(2)
        self.x = (-distances / (2 * 0.2**2)).exp()[:, None]

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, i: Tensor) -> Tensor:
        return self.x[i]


@pytest.mark.slow
def test_it_learns_heights_on_an_irregular_graph() -> None:
    graph = geometric_graph(150, 0.15)
    spec = InputSpec((1, 150), graph=as_signal_graph(graph))
    train, test = Heights(graph, 1024, 0), Heights(graph, 256, 1).x
    with seeded(0):
        model = graph_vae(spec, latent_dim=4, hidden=(64,))
    for _ in fit(model, train, Recipe(epochs=25.0, batch_size=64, learning_rate=5e-3)):
        pass
    with torch.no_grad():
        error = (model(test) - test).square().mean().item()
    mean = train.x.mean(0)
    centred = (train.x - mean).flatten(1).double()
    components = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -4:].float()
    deviation = (test - mean).flatten(1)
    pca = (deviation - deviation @ components @ components.T).square().mean().item()
    assert pca < deviation.square().mean().item()
    assert error < pca / 2  # the hills are two numbers each, but no linear function of them


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bytes(precision: Any) -> None:
    graph = geometric_graph(60, 0.25)
    spec = InputSpec((1, 60), graph=as_signal_graph(graph))
    states = []
    for _ in range(2):
        with seeded(3):
            model = graph_vae(spec, latent_dim=4, channels=(4, 8), hidden=(16,))
        recipe = Recipe(epochs=2.0, precision=precision)
        for _ in fit(model, Heights(graph, 200, 0), recipe, seed=3):
            pass
        states.append(model.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (replace(PATH, edges=((0, 1), (1, 3))), "edge.*3.*0 to 2"),
        (replace(PATH, edges=((0, 1), (-1, 2))), "edge.*-1"),
        (replace(PATH, positions=((0.0,), (1.0,))), "2 positions.*3 nodes"),
        (replace(PATH, positions=((0.0,), (1.0,), (2.0, 3.0))), "coordinates"),
        (replace(PATH, positions=((), (), ())), "coordinates"),
        (replace(PATH, positions=((0.0,), (math.nan,), (2.0,))), "finite"),
        (replace(PATH, edges=()), "no edges"),
        (replace(PATH, edges=((1, 1),)), "no edges"),
    ],
)
def test_a_mistake_in_the_graph_is_named(graph: SignalGraph, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        input_graph(InputSpec((1, 3), graph=graph))


def test_rows_live_on_no_graph() -> None:
    with pytest.raises(ValueError, match="rows and come without a graph"):
        input_graph(InputSpec((3,)))


def test_without_a_graph_a_signal_lives_on_its_line_or_grid() -> None:
    on_a_line = input_graph(InputSpec((1, 3)))
    assert torch.equal(on_a_line.edges, input_graph(InputSpec((1, 3), graph=PATH)).edges)
    assert torch.equal(on_a_line.positions, torch.tensor([[0.0], [1.0], [2.0]]).double())
    volume = input_graph(InputSpec((1, 3, 4, 5)))
    near = (volume.positions[:, None] - volume.positions).abs().amax(2) == 1
    assert torch.equal(volume.edges, near.nonzero().T)
    assert len(volume) == 60
    assert volume.edges[0].bincount()[1 * 20 + 1 * 5 + 1] == 26


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"kernels": 0}, "kernels"),
        ({"channels": (4, 0)}, "channels"),
        ({"channels": ()}, "channels"),
        ({"hidden": (0,)}, "layer sizes|hidden"),
        ({"latent_dim": 0}, "latent_dim"),
    ],
)
def test_a_size_below_one_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        graph_vae(InputSpec((1, 3), graph=PATH), **arguments)


def test_edges_may_be_given_in_either_direction_and_more_than_once() -> None:
    spec = InputSpec((1, 3), graph=PATH)
    sloppy = replace(PATH, edges=((1, 0), (0, 1), (1, 1), (2, 1)))
    assert torch.equal(input_graph(replace(spec, graph=sloppy)).edges, input_graph(spec).edges)
    assert np.array_equal(input_graph(spec).edges.numpy(), [[0, 1, 1, 2], [1, 0, 2, 1]])
