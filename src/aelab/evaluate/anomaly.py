"""Anomalies: how unlike its training inputs a model finds an input, and how well that tells."""

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.columns import Figures
from aelab.evaluate.links import auc
from aelab.evaluate.metrics import squared_errors
from aelab.evaluate.reconstruction import SEED, chunks
from aelab.evaluate.subject import Subject
from aelab.machine import generator_at, seeded
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.variational import LatentVariableModel

DRAWS = 8
"""Codes that a variational model's score is averaged over."""

BEYOND = 1e300
"""The score of an input beyond a model's arithmetic: none is more of an anomaly."""

Scores = Float[Tensor, " batch"]


def measure(subject: Subject) -> Figures:
    """How well the classes that were left out of training are told from the others."""
    return {"anomaly_auroc": anomaly_auroc(subject.model, subject.data, subject.split)}


def anomaly_scores(model: Autoencoder, x: InputBatch) -> Scores:
    """Score inputs: the higher, the less like the training inputs.

    For autoencoders, the error of ``decode(encode(x))``, a value of the input, on a scale of
    [0, 1] (Sakurada & Yairi 2014). For variational ones, minus the evidence lower bound in nats,
    ``mean_k (-log p(x | z_k) + KL(q(z | x) || p(z)))`` with z_k the sample that the posterior
    makes of noise eps_k (after An & Cho 2015). The eps_k are the same for every input, so that a
    score follows from its input alone, whatever is scored beside it.
    """
    if not isinstance(model, LatentVariableModel):
        return squared_errors(model(x), x, model.spec.peak)
    posterior = model.posterior(x)
    shape = (DRAWS, 1, posterior.noise_size)
    bounds = []
    for noise in torch.randn(shape, generator=generator_at(SEED, "anomaly")).to(x.device):
        z = posterior.sample(noise)
        negative_log = model.likelihood.negative_log(model.decoder_output(z), x)
        bounds.append(negative_log + model.divergence(posterior, z))
    return torch.stack(bounds).mean(0).double()


def finite_scores(model: Autoencoder, x: InputBatch) -> Scores:
    """The same; as BEYOND, where an input is beyond the model's arithmetic."""
    return anomaly_scores(model, x).nan_to_num(nan=BEYOND, posinf=BEYOND)


def split_scores(model: Autoencoder, images: InputSplit) -> Scores:
    """Score all inputs of a split, in order."""
    with seeded(SEED, "anomaly inputs"), torch.inference_mode():
        return torch.cat([anomaly_scores(model, x).cpu() for x in chunks(images)])


def anomaly_auroc(model: Autoencoder, data: InputDataset, split: str) -> float | None:
    """How often an anomaly scores above a normal input: the area under the ROC curve.

    The normal inputs are the split's, the anomalies those of the classes that were left out of
    training; None where no class was, or the split has none of them.
    """
    if not len(data.anomalies.get(split, ())):
        return None
    return auc(split_scores(model, data.anomalies[split]), split_scores(model, data.split(split)))
