"""Variational autoencoder of signals on a graph: `graph-vae`."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.specs import InputSpec
from aelab.models.base import Batch, Code, Posterior, VariationalAutoencoder
from aelab.models.graph_layers import (
    Graph,
    GraphConvolution,
    coarsen,
    downwards,
    input_graph,
    upwards,
)
from aelab.models.layers import (
    Activation,
    OutputActivation,
    activation_named,
    multilayer_perceptron,
)
from aelab.models.losses import LikelihoodName


class GraphVAE(VariationalAutoencoder):
    """Variational autoencoder of signals on one graph; an image's is its pixel grid.

    A level's message passing is ``y_i = b + sum_j sum_k u_k(p_j - p_i) W_k x_j``
    (GraphConvolution), from the nodes j of one level to the nodes i of the next, a quarter as
    many, which `coarsen` made of the graph alone; the decoder goes the same way back. A node's
    input is its signal and its position. ``q(z | x) = N(mu(h), exp(log_var(h)))`` with ``h`` all
    nodes of the coarsest level; the decoder sees z only, and ends in an offset for each node.

    Args:
        spec: Shape and preparation of the input, and its graph.
        latent_dim: Numbers in the code.
        channels: Channels of each level; each level has about a quarter of the nodes before.
        hidden: Sizes of dense layers between coarsest level and code; the decoder's are the same
            backwards.
        kernels: Relative positions that have weights of their own, at most; those between them
            share. 16 cover the neighbourhood of 2×2 pixels on a grid.
        activation: After each hidden layer.
        output: Output activation of the Gaussian likelihoods' mean; unless given, sigmoid for
            inputs in [0, 1] and linear for others.
        likelihood: gaussian (one variance, fitted), gaussian-fixed, bernoulli or
            continuous-bernoulli.
        variance: The variance of gaussian-fixed; 0.5 makes it the squared error.
        beta: Weight of the KL divergence; 1 is the evidence lower bound.
    """

    positions: Float[Tensor, "nodes dimensions 1"]

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 32,
        channels: tuple[int, ...] = (32, 64),
        hidden: tuple[int, ...] = (256,),
        kernels: int = 16,
        activation: Activation = "silu",
        output: OutputActivation | None = None,
        likelihood: LikelihoodName = "gaussian",
        variance: float = 0.5,
        beta: float = 1.0,
    ) -> None:
        super().__init__(
            spec,
            latent_dim=latent_dim,
            likelihood=likelihood,
            variance=variance,
            beta=beta,
            output=output,
        )
        if not channels:
            raise ValueError("channels must name at least one level")
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
        self.activation = activation_named(activation)
        self.features = (len(graph), channels[-1])
        size = len(graph) * channels[-1]
        self.heads = multilayer_perceptron([size, *hidden, 2 * latent_dim], activation)
        self.from_code = multilayer_perceptron([latent_dim, *hidden[::-1], size], activation)

    def posterior(self, x: Batch) -> Posterior:
        """Mean and log-variance are the two halves of one linear layer."""
        first, *others = self.encoder
        signal = x.flatten(2).permute(2, 1, 0).contiguous()
        # Message passing is linear: positions, the same for every input, pass once a batch.
        h: Tensor = self.activation(first(signal) + self.place(self.positions))
        for layer in others:
            h = self.activation(layer(h))
        mu, log_var = self.heads(h.flatten(0, 1).T).chunk(2, dim=1)
        return Posterior(mu, log_var)

    def decoder_output(self, z: Code) -> Batch:
        """One value a node and channel, from the code alone."""
        h = self.activation(self.from_code(z)).T.reshape(*self.features, -1)
        for layer in self.decoder[:-1]:
            h = self.activation(layer(h))
        output: Tensor = self.decoder[-1](h)
        return output.permute(2, 1, 0).contiguous().reshape(-1, *self.spec.shape)


def centred(graph: Graph) -> Float[Tensor, "nodes dimensions"]:
    """Positions moved and scaled together to fill [-1, 1]."""
    positions = graph.positions - (graph.positions.amax(0) + graph.positions.amin(0)) / 2
    return (positions / positions.abs().max().clamp(min=1e-12)).float()
