"""The second contract, of models that predict the links of one graph, and what they are given."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.link_graph import LinkGraph, Pairs
from aelab.data.specs import GraphSpec
from aelab.models.base import Autoencoder, Losses, Trainable

NodeCode = Float[Tensor, "nodes code"]


class LinkModel(Trainable):
    """A model of one graph by a code z a node: ``z = encode(graph)``, ``decode(z, pairs)``.

    A subclass is built from a GraphSpec and keyword hyperparameters. `encode` is deterministic,
    and `decode` needs nothing but z: the higher its logit, the likelier the link.
    """

    def __init__(self, spec: GraphSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    @abstractmethod
    def code_size(self) -> int:
        """How many numbers a node's code has."""

    @abstractmethod
    def encode(self, graph: LinkGraph) -> NodeCode:
        """The code z of each node, from the graph's features and known edges."""

    @abstractmethod
    def decode(self, z: NodeCode, pairs: Pairs) -> Float[Tensor, " pairs"]:
        """The logit of a link between the nodes of each pair; the same in both directions."""

    @abstractmethod
    def loss(self, graph: LinkGraph) -> Losses:
        """Named terms whose sum is the objective."""

    def decode_rows(self, z: NodeCode, start: int, stop: int) -> Float[Tensor, "rows nodes"]:
        """Logits of the nodes `start` to `stop` with every node, where a model has a faster way."""
        rows = torch.arange(start, stop, device=z.device)
        columns = torch.arange(len(z), device=z.device)
        pairs = torch.cartesian_prod(rows, columns).T
        return self.decode(z, pairs).reshape(len(rows), len(z))

    def forward(self, graph: LinkGraph, pairs: Pairs) -> Float[Tensor, " pairs"]:
        """``decode(encode(graph), pairs)``."""
        return self.decode(self.encode(graph), pairs)


Model = Autoencoder | LinkModel
"""Either of the two contracts."""
