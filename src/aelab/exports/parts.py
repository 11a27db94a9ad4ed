"""What of a run is exported: each part takes and gives stored values, and needs nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from torch import Tensor, nn

from aelab.data.batch import Batch
from aelab.data.specs import InputSpec
from aelab.evaluate.scoring import BEYOND, NEIGHBOURS, SCORES, Fitted, latent_size
from aelab.exports.stored import Refused, StoredInputs, StoredOutputs
from aelab.models.contract import Autoencoder
from aelab.models.variational import LatentVariableModel

PartName = Literal["whole", "encoder", "decoder", "score"]

Tensors = Mapping[str, Tensor]

Stored = Shaped[Tensor, "batch *shape"]
Labels = Int64[Tensor, " batch"] | None
Code = Float[Tensor, "batch code"]


@dataclass(frozen=True)
class Port:
    """An input or an output of a part.

    >>> Port("code", "float32", (32,)).told
    'code float32[batch, 32]'
    """

    name: str
    dtype: str
    """As NumPy calls it."""

    shape: tuple[int, ...]
    """Of one input's, without the batch."""

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.name} {self.dtype}[{', '.join(map(str, ('batch', *self.shape)))}]"


def stored_port(name: str, spec: InputSpec) -> Port:
    """Where stored values go in or come out: what is no whole number is in double precision."""
    whole = spec.columns is None and spec.dtype != "float32"
    shape = spec.shape if spec.columns is None else (len(spec.columns.names),)
    return Port(name, spec.dtype if whole else "float64", shape)


class Part(nn.Module, ABC):
    """A part of a trained model.

    >>> from aelab.models.zoo import build
    >>> part = Encoder(build("vanilla", InputSpec((1, 8, 8)), latent_dim=2))
    >>> [port.told for port in (*part.takes, *part.gives)]
    ['x uint8[batch, 1, 8, 8]', 'code float32[batch, 2]']
    >>> part(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([5, 2])
    """

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model
        self.stored = StoredInputs(model.spec)
        self.restored = StoredOutputs(model.spec)

    @property
    def takes(self) -> tuple[Port, ...]:
        """Its inputs; beside x the class of each, as its place among the run's, if it is told."""
        spec = self.model.spec
        label = [Port("label", "int64", ())] if spec.classes else []
        return (stored_port("x", spec), *label)

    @property
    @abstractmethod
    def gives(self) -> tuple[Port, ...]:
        """Its outputs, in their order."""


class Encoder(Part):
    """From inputs to codes."""

    @property
    def gives(self) -> tuple[Port, ...]:
        """The code."""
        return (Port("code", "float32", (self.model.code_size,)),)

    def forward(self, x: Stored, label: Labels = None) -> Code:
        """The code of each input."""
        batch, refused = self.stored(x, label)
        return without(self.model.encode(batch), refused)


class Decoder(Part):
    """From codes to what they stand for."""

    @property
    def takes(self) -> tuple[Port, ...]:
        """The code."""
        return (Port("code", "float32", (self.model.code_size,)),)

    @property
    def gives(self) -> tuple[Port, ...]:
        """An input."""
        return (stored_port("reconstruction", self.model.spec),)

    def forward(self, code: Code) -> Stored:
        """What each code stands for."""
        found: Tensor = self.restored(self.model.decode(code))
        return found


class Whole(Part):
    """From inputs to their reconstructions."""

    @property
    def gives(self) -> tuple[Port, ...]:
        """An input."""
        return (stored_port("reconstruction", self.model.spec),)

    def forward(self, x: Stored, label: Labels = None) -> Stored:
        """The reconstruction of each input."""
        batch, refused = self.stored(x, label)
        return without(self.restored(self.model(batch)), refused)


class Score(Part):
    """From inputs to how unlike the training inputs they are, and whether they are anomalies.

    An input whose score is NaN is one.
    """

    threshold: Tensor
    beyond: Tensor

    def __init__(self, model: Autoencoder, name: str, fitted: Fitted, threshold: float) -> None:
        super().__init__(model)
        self.name = name
        self.names = tuple(fitted)
        for key, values in fitted.items():
            self.register_buffer(f"fitted_{key}", values.clone(), persistent=False)
        for key, value in {"threshold": threshold, "beyond": BEYOND}.items():
            self.register_buffer(key, torch.tensor(value, dtype=torch.float64), persistent=False)

    @property
    def gives(self) -> tuple[Port, ...]:
        """The score, and whether it is above the threshold."""
        return (Port("score", "float64", ()), Port("anomaly", "bool", ()))

    def forward(
        self, x: Stored, label: Labels = None
    ) -> tuple[Float64[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """The score of each input."""
        batch, refused = self.stored(x, label)
        score = self.of(batch)
        score = torch.where(score.isnan() | score.isposinf(), self.beyond, score)
        score = without(score, refused)
        return score, ~(score <= self.threshold)

    def of(self, x: Float[Tensor, "batch *values"]) -> Float64[Tensor, " batch"]:
        """As `evaluate.scoring` has it, as far as the model's arithmetic reaches."""
        fitted = {key: self.get_buffer(f"fitted_{key}") for key in self.names}
        if self.name == "distance":
            codes = self.model.encode(x)[:, : latent_size(self.model)].double()
            return distance(codes, fitted["codes"].double())
        if self.name == "bound":
            assert isinstance(self.model, LatentVariableModel)
            return bound(self.model, x, fitted["noise"])
        return SCORES[self.name].of(self.model, x, fitted)


def distance(
    codes: Float64[Tensor, "batch latent"], known: Float64[Tensor, "known latent"]
) -> Float64[Tensor, " batch"]:
    """Mean distance to the nearest of the known codes, by products: pairs would fill the memory.

    >>> distance(torch.tensor([[3.0, 4.0]]).double(), torch.zeros(2, 2).double())
    tensor([5.], dtype=torch.float64)
    """
    squared = codes.square().sum(1, True) - 2 * codes @ known.T + known.square().sum(1)
    nearest = squared.topk(min(NEIGHBOURS, len(known)), largest=False).values
    return nearest.clamp(min=0).sqrt().mean(1)


def bound(
    model: LatentVariableModel, x: Float[Tensor, "batch *values"], noise: Float[Tensor, "n 1 noise"]
) -> Float64[Tensor, " batch"]:
    """Minus the evidence lower bound, with the codes of all draws decoded at once."""
    draws = len(noise)
    posterior = model.posterior(x).repeated(draws)
    z = posterior.sample(noise.flatten(1).repeat(x.shape[0], 1))
    many = Batch.of(x).repeated(draws)
    negative_log = model.likelihood.negative_log(model.decoder_output(z), many)
    of_each = negative_log + model.divergence(posterior, z)
    score: Tensor = of_each.unflatten(0, (-1, draws)).mean(1).double()
    return score


def without(values: Shaped[Tensor, "batch *some"], refused: Refused) -> Stored:
    """Values with NaN for what is refused, where they can be NaN."""
    if not values.is_floating_point():
        return values
    return torch.where(refused.reshape(-1, *[1] * (values.dim() - 1)), torch.nan, values)
