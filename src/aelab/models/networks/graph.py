"""Message passing on a graph that signals live on, `graph`."""

from collections.abc import Collection
from itertools import pairwise
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.specs import InputSpec, Kind
from aelab.models.layers import Activation, activation_named, multilayer_perceptron
from aelab.models.networks.contract import Code, Features, InputBatch, Network
from aelab.models.networks.graph_layers import (
    Graph,
    GraphConvolution,
    coarsen,
    downwards,
    input_graph,
    upwards,
)


class GraphNetwork(Network):
    """Message passing on the one graph that inputs live on; an image's is its pixel grid.

    A level's message passing is ``y_i = b + sum_j sum_k u_k(p_j - p_i) W_k x_j``
    (GraphConvolution), from the nodes j of one level to the nodes i of the next, a quarter as
    many, which `coarsen` made of the graph alone; the decoder goes the same way back. A node's
    input is its signal and its position. The features h are all nodes of the coarsest level,
    through dense layers; the decoder sees z only, and ends in an offset for each node (layers
    after Fey et al. 2018, arXiv 1711.08920).

    Args:
        spec: Shape and preparation of the input, and its graph.
        code_size: Numbers in the code; none makes the last hidden layer the code.
        channels: Channels of each level; each level has about a quarter of the nodes before.
        hidden: Sizes of dense layers between coarsest level and code; the decoder's are the same
            backwards.
        kernels: Relative positions that have weights of their own, at most; those between them
            share. 16 cover the neighbourhood of 2×2 pixels on a grid.
        activation: After each hidden layer.

    >>> import torch
    >>> network = GraphNetwork(InputSpec((1, 8, 8)), 4, channels=(2,), hidden=(16,))
    >>> network.encode(torch.zeros(5, 1, 8, 8)).shape, network.decode(torch.zeros(5, 4)).shape
    (torch.Size([5, 16]), torch.Size([5, 1, 8, 8]))
    """

    takes: ClassVar[Collection[Kind]] = ("images", "signals")

    positions: Float[Tensor, "nodes dimensions 1"]

    def __init__(
        self,
        spec: InputSpec,
        code_size: int | None,
        *,
        channels: tuple[int, ...] = (32, 64),
        hidden: tuple[int, ...] = (256,),
        kernels: int = 16,
        activation: Activation = "silu",
    ) -> None:
        super().__init__(spec, code_size)
        if not channels:
            raise ValueError("channels must name at least one level")
        self.activation = activation
        graph = input_graph(spec)
        self.register_buffer("positions", centred(graph)[:, :, None], persistent=False)
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for inputs, outputs in pairwise((spec.shape[0], *channels)):
            coarse, cluster = coarsen(graph)
            up = upwards(graph, coarse, cluster, kernels)
            down = downwards(coarse, graph, cluster, kernels)
            if not encoder:
                self.place = GraphConvolution(up, graph.positions.shape[1], outputs, "none")
            encoder.append(GraphConvolution(up, inputs, outputs))
            decoder.append(GraphConvolution(down, outputs, inputs, "shared" if decoder else "own"))
            graph = coarse
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder[::-1])
        self.activate = activation_named(activation)
        self.level_shape = (len(graph), channels[-1])
        size = len(graph) * channels[-1]
        self.features = [size, *hidden][-1]
        self.to_features: nn.Module = nn.Identity()
        if hidden:
            layers = multilayer_perceptron([size, *hidden], activation)
            self.to_features = layers.append(activation_named(activation))
        layers = multilayer_perceptron([self.code_size, *hidden[::-1], size], activation)
        self.from_code = layers.append(activation_named(activation))

    def encode(self, x: InputBatch) -> Features:
        """All nodes of the coarsest level, through the dense layers."""
        first, *others = self.encoder
        signal = x.flatten(2).permute(2, 1, 0).contiguous()
        # Message passing is linear: positions, the same for every input, pass once a batch.
        level: Tensor = self.activate(first(signal) + self.place(self.positions))
        for layer in others:
            level = self.activate(layer(level))
        h: Tensor = self.to_features(level.flatten(0, 1).T)
        return h

    def decode(self, z: Code) -> InputBatch:
        """One value a node and channel, from the code alone."""
        level = self.from_code(z).T.reshape(*self.level_shape, -1)
        for layer in self.decoder[:-1]:
            level = self.activate(layer(level))
        y: Tensor = self.decoder[-1](level)
        return y.permute(2, 1, 0).contiguous().reshape(-1, *self.spec.shape)


def centred(graph: Graph) -> Float[Tensor, "nodes dimensions"]:
    """Positions moved and scaled together to fill [-1, 1]."""
    positions = graph.positions - (graph.positions.amax(0) + graph.positions.amin(0)) / 2
    return (positions / positions.abs().max().clamp(min=1e-12)).float()
