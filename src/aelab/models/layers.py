"""Blocks that models share."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.batch import Batch
from aelab.data.specs import InputSpec

Activation = Literal["relu", "leaky-relu", "elu", "gelu", "silu", "tanh"]
DenseActivation = Literal[Activation, "gated"]
OutputActivation = Literal["sigmoid", "linear"]
NoiseKind = Literal["gaussian", "masking", "salt-and-pepper"]

# In place, where the gradient needs the output only: a tenth less time in a convolutional step.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky-relu": partial(nn.LeakyReLU, inplace=True),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
OUTPUT_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}


def activation_named(
    name: str, known: dict[str, Callable[[], nn.Module]] = ACTIVATIONS
) -> nn.Module:
    """The activation called `name`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in known:
        raise ValueError(f"activation must be one of {', '.join(known)}, not {name!r}")
    return known[name]()


def output_activation(name: str | None, spec: InputSpec) -> nn.Module:
    """The output activation called `name`; unless given, the one that reaches all inputs.

    That is the sigmoid where x lies in [0, 1], and none elsewhere.
    """
    return activation_named(
        name or ("sigmoid" if spec.in_unit_interval else "linear"), OUTPUT_ACTIVATIONS
    )


def positive(name: str, *values: int) -> None:
    """Refuse sizes below 1.

    Raises:
        ValueError: naming the hyperparameter.
    """
    if not all(value >= 1 for value in values):
        raise ValueError(f"{name} must be 1 or more, not {', '.join(map(str, values))}")


def one_of(name: str, value: str, names: object) -> None:
    """Refuse a `value` that is none of a Literal's `names`.

    Raises:
        ValueError: naming the hyperparameter.
    """
    if value not in get_args(names):
        raise ValueError(f"{name} must be one of {', '.join(get_args(names))}, not {value!r}")


def multilayer_perceptron(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers from ``sizes[0]`` to ``sizes[-1]``, an activation after each but the last.

    >>> multilayer_perceptron([784, 64], "relu")
    Sequential( (0): Linear(in_features=784, out_features=64, bias=True) )
    """
    return hidden_layers(sizes[:-1], activation).append(linear(*sizes[-2:]))


def hidden_layers(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers from ``sizes[0]`` to ``sizes[-1]``, an activation after each.

    `gated` layers are ``(W x + b) * sigmoid(V x + c)``, both maps in one linear layer (Dauphin et
    al. 2017, arXiv 1612.08083, eq. 1).

    >>> hidden_layers([784, 64], "gated")
    Sequential( (0): Linear(in_features=784, out_features=128, bias=True) (1): GLU(dim=-1) )
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        if activation == "gated":
            layers += [linear(inputs, 2 * outputs), nn.GLU()]
        else:
            layers += [linear(inputs, outputs), activation_named(activation)]
    return nn.Sequential(*layers)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer between sizes that are refused below 1."""
    positive("layer sizes", inputs, outputs)
    return nn.Linear(inputs, outputs)


def corrupt(
    x: Float[Tensor, "batch *shape"],
    kind: NoiseKind,
    level: float,
    peak: float,
    *,
    bounded: bool = True,
) -> Float[Tensor, "batch *shape"]:
    """A noisy copy of `x`, whose values lie in [0, peak], or anywhere if they are not `bounded`.

    gaussian: adds N(0, (level · peak)²) and clips to the bounds. masking: sets a share `level`
    of the values to 0. salt-and-pepper: sets a share `level` to 0 or `peak`, half each. Draws
    from the global generator. Of a batch, what else is known of it stays with it, and the level of
    Gaussian noise becomes known.

    >>> corrupt(torch.ones(1, 3), "masking", level=1.0, peak=1.0)
    tensor([[0., 0., 0.]])

    Raises:
        ValueError: there is no such noise.
    """
    if isinstance(x, Batch):
        noisy = x.with_inputs(corrupt(x.x, kind, level, peak, bounded=bounded))
        if kind == "gaussian":
            noisy.noise_level = torch.full((len(x),), level * peak, device=x.device)
        return noisy
    if kind == "gaussian":
        added = x + level * peak * torch.randn_like(x)
        return added.clamp(0, peak) if bounded else added
    draw = torch.rand_like(x)
    if kind == "masking":
        return x.masked_fill(draw < level, 0)
    if kind == "salt-and-pepper":
        return x.masked_fill(draw < level, 0).masked_fill(draw < level / 2, peak)
    raise ValueError(f"noise must be gaussian, masking or salt-and-pepper, not {kind!r}")
