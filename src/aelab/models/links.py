"""Graph autoencoders that predict the links of one graph: `gae` and `vgae`."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.link_graph import LinkGraph, Pairs, csr_matrix, normalised_adjacency
from aelab.data.specs import GraphSpec
from aelab.models.contract import LinkModel, Losses, NodeCode
from aelab.models.layers import one_of, positive
from aelab.models.losses import batch_mean
from aelab.models.posterior import Gaussian
from aelab.models.priors.normal import Normal

Encoder = Literal["gcn", "linear"]
Negatives = Literal["auto", "all-pairs", "sampled"]

ALL_PAIRS_NODES = 5_000  # up to here, `auto` weighs all pairs: 25 million of them
BLOCK_PAIRS = 2**19  # logits in memory at a time: as many as stay in a processor's cache
MAX_LOG_STD = 10.0


class GraphAutoencoder(LinkModel):
    """Graph autoencoder, variational or not (Kipf & Welling 2016, arXiv 1611.07308).

    With ``P = D^-1/2 (A + I) D^-1/2`` of the known edges A (in P their weights, where they have
    some) and a code of K numbers a node::

        gcn:     mu = P relu(P X W_0) W_1       linear:  mu = P^k X W_1
        decode:  logit(i, j) = z_i . z_j

    The linear encoder with k = 1 is Salha et al. 2020 (arXiv 2001.07614). A variational model has
    ``log_std`` from a second such last layer and ``z = mu + exp(log_std) eps``; else z = mu. With
    a `scale`, each row of the last layer is set to that length before its propagation (Ahn & Kim
    2021, arXiv 2108.08046).

    The loss is ``norm`` times the mean over all N^2 ordered pairs of the cross-entropy with target
    A + I, links weighing ``(N^2 - S) / S``, with ``norm = N^2 / (2 (N^2 - S))`` and S the sum of A;
    links and non-links so weigh one half each. Sampled negatives estimate the same by the mean
    over links and the mean over as many random non-links. In a bipartite graph all pairs are
    those within a kind, too, and sampled ones are not. The KL divergence is a mean over nodes
    divided by N, as the bound over N^2 pairs is divided by N^2.

    Args:
        spec: Size of the graph.
        variational: A distribution over codes, and a KL term.
        encoder: gcn (two layers with a ReLU between) or linear.
        latent_dim: Numbers in a node's code.
        hidden: Width of the gcn's first layer.
        steps: Times the linear encoder propagates.
        scale: Length of each node's vector before the last propagation; none leaves it free.
        negatives: all-pairs, sampled, or auto: all pairs up to 5,000 nodes.
        dropout: Share of the inputs of each layer that is zeroed in training.
        masked: Share of the known edges that messages do not pass in a training step, and that
            are then the links to be told; 0 passes and tells all.
        beta: Weight of the KL divergence; 1 is the paper's.

    >>> graph = LinkGraph(torch.eye(3), torch.tensor([[0, 1], [1, 2]]))
    >>> model = GraphAutoencoder(GraphSpec(3, 3), latent_dim=2)
    >>> model(graph, torch.tensor([[0], [2]])).shape, sorted(model.loss(graph))
    (torch.Size([1]), ['reconstruction'])
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        variational: bool = False,
        encoder: Encoder = "gcn",
        latent_dim: int = 16,
        hidden: int = 32,
        steps: int = 1,
        scale: float | None = None,
        negatives: Negatives = "auto",
        dropout: float = 0.0,
        masked: float = 0.0,
        beta: float = 1.0,
    ) -> None:
        super().__init__(spec)
        for name, size in (("latent_dim", latent_dim), ("hidden", hidden), ("steps", steps)):
            positive(name, size)
        one_of("encoder", encoder, Encoder)
        one_of("negatives", negatives, Negatives)
        for name, share in (("dropout", dropout), ("masked", masked)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be at least 0 and less than 1, not {share}")
        if not beta >= 0:
            raise ValueError(f"beta must be 0 or more, not {beta}")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale must be more than 0, not {scale}")
        self.variational = variational
        self.latent_dim, self.steps, self.scale = latent_dim, steps, scale
        self.dropout, self.masked, self.beta = dropout, masked, beta
        few = negatives == "auto" and spec.nodes <= ALL_PAIRS_NODES
        self.all_pairs = negatives == "all-pairs" or few
        self.first = glorot(spec.features, hidden) if encoder == "gcn" else None
        width = hidden if encoder == "gcn" else spec.features
        self.mu = glorot(width, latent_dim)
        self.log_std = glorot(width, latent_dim) if variational else None
        self.prior = Normal(latent_dim)

    @property
    def code_size(self) -> int:
        """`latent_dim`."""
        return self.latent_dim

    def encode(self, graph: LinkGraph) -> NodeCode:
        """The posterior's mean."""
        return self.posterior(graph.x, graph.propagation).mu

    def decode(self, z: NodeCode, pairs: Pairs) -> Float[Tensor, " pairs"]:
        """``z_i . z_j``."""
        return (z[pairs[0]] * z[pairs[1]]).sum(1)

    def decode_rows(self, z: NodeCode, start: int, stop: int) -> Float[Tensor, "rows nodes"]:
        """``z_i . z_j`` as a matrix product."""
        return z[start:stop] @ z.T

    def posterior(
        self,
        x: Float[Tensor, "nodes features"],
        propagation: Float[Tensor, "nodes nodes"],
        dropout: float = 0.0,
    ) -> Gaussian:
        """Mean and log-variance of each node's code; a log-variance of 0 where there is none."""
        h = dropped(x, dropout)
        if self.first is not None:
            h = dropped((propagation @ (h @ self.first)).relu(), dropout)
        mu = h @ self.mu
        if self.scale is not None:
            mu = self.scale * F.normalize(mu)
        mu = self.propagate(mu, propagation)
        if self.log_std is None:
            return Gaussian(mu, torch.zeros_like(mu))
        log_std = self.propagate(h @ self.log_std, propagation).clamp(max=MAX_LOG_STD)
        return Gaussian(mu, 2 * log_std)

    def propagate(self, h: NodeCode, propagation: Float[Tensor, "nodes nodes"]) -> NodeCode:
        """``P^k h``, with k = 1 in the gcn."""
        for _ in range(1 if self.first is not None else self.steps):
            h = propagation @ h
        return h

    def loss(self, graph: LinkGraph) -> Losses:
        """Cross-entropy and, of a variational model, beta times the KL divergence."""
        propagation, told = graph.propagation, graph.positives
        if self.masked:
            propagation, told = masked_edges(graph, self.masked)
        posterior = self.posterior(graph.x, propagation, self.dropout)
        z = posterior.sample() if self.variational else posterior.mu
        if self.all_pairs:
            reconstruction = all_pairs_cross_entropy(z, told)
        else:
            non_links = graph.draw_non_links(told.shape[1])
            reconstruction = sampled_cross_entropy(self.decode(z, told), self.decode(z, non_links))
        if not self.variational:
            return {"reconstruction": reconstruction}
        kl = batch_mean(posterior.kl(self.prior, z)) / graph.nodes
        return {"reconstruction": reconstruction, "kl": self.beta * kl}


def all_pairs_cross_entropy(z: NodeCode, positives: Int64[Tensor, "2 edges"]) -> Float[Tensor, ""]:
    """Weighted cross-entropy of all ordered pairs with target A + I, as Kipf & Welling weigh it.

    ``norm / N^2 sum_ij [w t_ij softplus(-s_ij) + (1 - t_ij) softplus(s_ij)]``, s = z z^T.
    """
    nodes, links = len(z), 2 * positives.shape[1]
    weight = (nodes**2 - links) / links
    norm = nodes**2 / (2 * (nodes**2 - links))
    logits = (z[positives[0]] * z[positives[1]]).sum(1)
    loops = z.square().sum(1)
    ones = 2 * exchange(logits, weight) + exchange(loops, weight)
    total: Tensor = ProductSoftplus.apply(z) + ones  # type: ignore[no-untyped-call]
    return norm / nodes**2 * total


def exchange(logits: Float[Tensor, " pairs"], weight: float) -> Float[Tensor, ""]:
    """What the sum of softplus(s) changes by where the target is 1."""
    return (weight * F.softplus(-logits) - F.softplus(logits)).sum()


def sampled_cross_entropy(
    links: Float[Tensor, " edges"], non_links: Float[Tensor, " pairs"]
) -> Float[Tensor, ""]:
    """``(mean softplus(-s) over links + mean softplus(s) over non-links) / 2``."""
    return (batch_mean(F.softplus(-links)) + batch_mean(F.softplus(non_links))) / 2


class ProductSoftplus(torch.autograd.Function):
    """``sum_ij softplus(z_i . z_j)`` over all ordered pairs, never holding all N^2 of them.

    Its gradient is ``2 sigmoid(z z^T) z``, taken in the same pass. Both go block by block over
    the upper half of the symmetric z z^T: a pair of different nodes counts twice.

    >>> ProductSoftplus.apply(torch.zeros(3, 2))  # 9 log 2
    tensor(6.2383)
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:  # noqa: ANN401 - autograd's context
        """The sum."""
        total = torch.zeros((), dtype=torch.float64, device=z.device)
        gradient = torch.zeros_like(z)
        for rows in torch.arange(len(z)).split(max(1, BLOCK_PAIRS // len(z))):
            start, stop = int(rows[0]), int(rows[-1]) + 1
            block = z[start:stop]
            logits = block @ z[start:].T  # the block with itself, and with all later nodes
            softplus = F.softplus(logits)
            total += 2 * softplus.sum() - softplus[:, : len(block)].sum()
            slope = logits.sigmoid_()
            gradient[start:stop] += 2 * (slope @ z[start:])
            gradient[stop:] += 2 * (slope[:, len(block) :].T @ block)
        ctx.save_for_backward(gradient)
        return total.to(z.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # noqa: ANN401 - autograd's context
        """The gradient that `forward` has left."""
        gradient: Tensor = ctx.saved_tensors[0]
        return upstream * gradient


def masked_edges(
    graph: LinkGraph, share: float
) -> tuple[Float[Tensor, "nodes nodes"], Int64[Tensor, "2 told"]]:
    """Hide a random `share` of the known edges: the propagation of the rest, and the hidden."""
    edges = graph.positives.shape[1]
    order = torch.randperm(edges, device=graph.positives.device)
    told, passed = graph.positives[:, order].split(
        [max(1, round(share * edges)), edges - max(1, round(share * edges))], 1
    )
    weights = None if graph.weights is None else graph.weights[order][told.shape[1] :]
    edge_index = torch.cat([passed, passed.flip(0)], 1)
    return normalised_adjacency(edge_index, graph.nodes, weights), told


def dropped(h: Float[Tensor, "nodes width"], share: float) -> Float[Tensor, "nodes width"]:
    """Zero a random `share` of the entries (of a sparse matrix: of those it holds)."""
    if not share:
        return h
    if h.layout != torch.sparse_csr:
        return F.dropout(h, share)
    values = F.dropout(h.values(), share)
    return csr_matrix(h.crow_indices(), h.col_indices(), values, (h.shape[0], h.shape[1]))


def glorot(inputs: int, outputs: int) -> nn.Parameter:
    """Weights from Glorot & Bengio's uniform distribution."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(inputs, outputs)))
