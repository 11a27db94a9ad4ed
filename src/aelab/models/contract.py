"""What the loop, the protocol and the applications rely on: the two contracts of a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.link_graph import LinkGraph, Pairs
from aelab.data.specs import GraphSpec, InputSpec, Kind
from aelab.files import InputError
from aelab.models.losses import batch_mean, squared_error
from aelab.models.priors.contract import Prior

InputBatch = Float[Tensor, "batch channels *positions"]
Code = Float[Tensor, "batch code"]
NodeCode = Float[Tensor, "nodes code"]
Losses = Mapping[str, Float[Tensor, ""]]

NUMBER_BITS = 32
"""Of a number in a code: it is a float32."""


def refuse_array(x: object) -> None:
    """Raise InputError for an array, which a run prepares for its model.

    >>> refuse_array([[0.5, 1.0]])
    Traceback (most recent call last):
    aelab.files.InputError: a model takes a tensor of prepared inputs, not list; run.encode(x) takes
    arrays and tensors as they are stored
    """
    if not isinstance(x, Tensor):
        raise InputError(
            f"a model takes a tensor of prepared inputs, not {type(x).__name__}; run.encode(x) "
            f"takes arrays and tensors as they are stored"
        )


class Trainable(nn.Module, ABC):
    """What `aelab.training.loop.fit` trains.

    >>> class Zero(Trainable):
    ...     def loss(self, batch):
    ...         return {"squared_error": batch.square().mean()}
    >>> Zero().loss(torch.tensor([1.0, 3.0]))
    {'squared_error': tensor(5.)}
    """

    @classmethod
    def prior_size(cls, latent_dim: int) -> int:
        """How many of a code's latent numbers the prior is of that it is built with; mostly all."""
        return latent_dim

    @classmethod
    def decoded_size(cls, spec: Any, latent_dim: int | None) -> int | None:  # noqa: ANN401
        """How many numbers its network decodes; mostly the latent ones."""
        return latent_dim

    @classmethod
    def network_spec(cls, spec: Any) -> Any:  # noqa: ANN401
        """What its network is built for; mostly the inputs themselves."""
        return spec

    @abstractmethod
    def loss(self, batch: Any, /) -> Losses:  # noqa: ANN401 - what its data yield
        """Named terms whose sum is the objective."""

    def initialise(self, data: TrainingData) -> None:
        """Set what follows from the training data in closed form; called before any step."""


class Autoencoder(Trainable):
    """A model of inputs x by codes z: ``z = encode(x)``, ``x_hat = decode(z)``.

    A subclass is built from an InputSpec and keyword hyperparameters, and a composed one from a
    network besides. `encode` is deterministic, and `decode` needs nothing but z: what else a
    decoder uses belongs to the code and is counted in `code_size`. What x is given as is a
    `Batch`: the tensor of inputs, with their labels or mask beside them where the data have them.

    >>> class Halves(Autoencoder):
    ...     code_size = 4
    ...     def encode(self, x):
    ...         return x.flatten(1)[:, :4]
    ...     def decode(self, z):
    ...         return torch.cat([z, z], 1)
    >>> model = Halves(InputSpec((8,)))
    >>> model(torch.ones(2, 8)).shape
    torch.Size([2, 8])
    """

    takes: ClassVar[Collection[Kind]] = ("images", "signals", "rows")
    """The kinds of data that it is made for; of a composition, as far as its network is too."""

    conditional: ClassVar[bool] = False
    """Whether it can be told the class of each input: ``spec.classes``, and `Batch.labels`."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.prior: Prior | None = None  # what codes are drawn from, if it is trained with one

    @property
    @abstractmethod
    def code_size(self) -> int:
        """How many numbers z has."""

    @property
    def code_bits(self) -> float:
        """How many bits z has: 32 a number, unless a model knows better."""
        numbers, bits = self.side_channel
        return NUMBER_BITS * (self.code_size - numbers) + bits

    @property
    def side_channel(self) -> tuple[int, float]:
        """How many numbers of z are no latent numbers, and how many bits they hold in all."""
        return 0, 0.0

    def prior_of_codes(self, make: Callable[[int], Prior]) -> Prior:
        """A prior of its codes; `make` makes one of as many numbers as are left to be modelled."""
        return make(self.code_size)

    @abstractmethod
    def encode(self, x: InputBatch) -> Code:
        """The code z of each input."""

    @abstractmethod
    def decode(self, z: Code) -> InputBatch:
        """The reconstruction x_hat from a code alone."""

    def admissible(self, z: Code) -> Code:
        """The codes nearest to z that inputs could have, if not all can be; z may be drawn."""
        return z

    def forward(self, x: InputBatch) -> InputBatch:
        """``decode(encode(x))``."""
        return self.decode(self.encode(x))

    def loss(self, x: InputBatch) -> Losses:
        """Named terms whose sum is the objective; here the squared error of reconstruction."""
        return {"squared_error": batch_mean(squared_error(self(x), x))}


class LinkModel(Trainable):
    """A model of one graph by a code z a node: ``z = encode(graph)``, ``decode(z, pairs)``.

    A subclass is built from a GraphSpec and keyword hyperparameters. `encode` is deterministic,
    and `decode` needs nothing but z: the higher its logit, the likelier the link.

    >>> class Degrees(LinkModel):
    ...     code_size = 1
    ...     def encode(self, graph):
    ...         return graph.edge_index[0].bincount(minlength=graph.nodes)[:, None].float()
    ...     def decode(self, z, pairs):
    ...         return (z[pairs[0]] * z[pairs[1]]).sum(1)
    ...     def loss(self, graph):
    ...         return {}
    >>> graph = LinkGraph(torch.eye(3), torch.tensor([[0, 1], [1, 2]]))
    >>> Degrees(GraphSpec(3, 3))(graph, torch.tensor([[0], [1]]))
    tensor([2.])
    """

    takes: ClassVar[Collection[Kind]] = ["links"]

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
