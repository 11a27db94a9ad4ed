"""The one protocol: which figures, for which kind of model."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from aelab.data.dataset import Dataset
from aelab.data.graphs import GraphDataset
from aelab.data.input_sets import InputDataset
from aelab.evaluate.columns import GROUPS, QUICK_GROUPS, Figures
from aelab.evaluate.links import evaluate_links, validation_auc
from aelab.evaluate.reconstruction import evaluate_inputs, reconstruction_errors, validation_loss
from aelab.evaluate.subject import Subject
from aelab.machine import NoiseOfProcessor
from aelab.models.contract import Autoencoder, LinkModel, Model
from aelab.models.priors.contract import Prior


def evaluate(
    model: Model,
    data: Dataset,
    split: str = "test",
    groups: Collection[str] = QUICK_GROUPS,
    *,
    prior: Prior | None = None,
    fitted: Mapping[str, Prior] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of `model` on a split of `data`, group by group.

    `prior` (the model's own unless given) and `seed` are what samples are drawn by; samples
    from the model's own and from the `fitted` priors are measured beside them. Figures that do not
    apply are None. parameters are all numbers learnt, those found in closed form included.

    Raises:
        ValueError: the data are of another kind or shape than the model's.
    """
    with evaluation_mode(model):
        if isinstance(model, LinkModel) and isinstance(data, GraphDataset):
            figures: dict[str, Any] = {**evaluate_links(model, data, split)}
        elif isinstance(model, Autoencoder) and isinstance(data, InputDataset):
            figures = evaluate_autoencoder(model, data, split, groups, (prior, fitted or {}), seed)
        else:
            raise ValueError(f"{data.name} is no data set for a {type(model).__name__}")
    parameters = sum(tensor.numel() for tensor in model.state_dict().values())
    return {**figures, "parameters": parameters}


def evaluate_autoencoder(
    model: Autoencoder,
    data: InputDataset,
    split: str,
    groups: Collection[str],
    priors: tuple[Prior | None, Mapping[str, Prior]],
    seed: int,
) -> dict[str, Any]:
    """The figures of a model of inputs, and what the audits found."""
    images = data.split(split)
    if images.spec != model.spec:
        raise ValueError(
            f"the model takes inputs of {model.spec}, and {data.name} has {images.spec}"
        )
    with channels_last(model):
        figures, codes = evaluate_inputs(model, data, split, groups)
        subject = Subject(model, data, split, codes, *priors, seed)
        for name, group in GROUPS.items():
            if name in groups and group.path is not None:
                figures |= measure_of(group.path)(subject)
    return figures


def measure_of(path: str) -> Callable[[Subject], dict[str, Any]]:
    """The function at ``module:function``."""
    module, _, function = path.partition(":")
    found: Callable[[Subject], dict[str, Any]] = getattr(import_module(module), function)
    return found


@contextmanager
def evaluation_mode(model: Model) -> Iterator[None]:
    """Inside, the model is in evaluation mode; afterwards each module is in the mode it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def channels_last(model: Autoencoder) -> Iterator[None]:
    """Inside, convolutions have their channels innermost: a third faster, the last bits apart.

    Afterwards the parameters have the very tensors that they had, in whatever layout.
    """
    before = [(parameter, parameter.data) for parameter in model.parameters()]
    for parameter, values in before:
        if values.dim() == 4:
            parameter.data = values.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for parameter, values in before:
            parameter.data = values


@dataclass(frozen=True)
class Validation:
    """What an epoch is worth on the validation split.

    >>> epochs = Validation(0.3, {"mse": 0.03}), Validation(0.2, {"mse": 0.02})
    >>> min(epochs, key=lambda epoch: epoch.loss).shown
    {'mse': 0.02}
    """

    loss: float
    """The best epoch has the least."""

    shown: Figures
    """What is told of it, by metric."""


def validate(model: Model, data: Dataset) -> Validation:
    """Score an epoch: by the model's own objective, or by minus the AUC of a link model."""
    if isinstance(model, LinkModel) and isinstance(data, GraphDataset):
        auc = validation_auc(model, data)
        return Validation(-auc, {"auc": auc})
    assert isinstance(model, Autoencoder)
    assert isinstance(data, InputDataset)
    images = data.split("validation")
    with NoiseOfProcessor():
        return Validation(validation_loss(model, images), reconstruction_errors(model, images))
