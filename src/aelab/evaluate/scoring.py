"""How unlike its training inputs a model finds an input: its scores of anomalies, by name.

One more score is a `Score` in SCORES, and a place in PREFERRED if it is to be a model's first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.input_sets import InputSplit
from aelab.evaluate.metrics import squared_errors
from aelab.evaluate.noise_levels import (
    mean_errors,
    noise_conditional_only,
    noise_level_parts,
    noise_level_score,
)
from aelab.evaluate.reconstruction import SEED, chunks
from aelab.files import InputError
from aelab.machine import generator_at, permutation_at, seeded
from aelab.models.contract import Autoencoder, Code, InputBatch
from aelab.models.posterior import Posterior
from aelab.models.variational import LatentVariableModel

DRAWS = 8
"""Codes that a variational model's score is averaged over."""

BEYOND = 1e300
"""The score of an input beyond a model's arithmetic: none is more of an anomaly."""

MOST_CODES, MOST_CODE_VALUES = 5_000, 2**18
"""Training inputs whose codes a distance is taken to, drawn by a fixed seed; a megabyte at most."""

MOST_ERRORS = 10_000
"""Training inputs that mean errors are taken over, drawn by a fixed seed."""

NEIGHBOURS = 5
"""Of a code, that its distance is the mean over."""

Scores = Float[Tensor, " batch"]
Errors = Float[Tensor, "batch *shape"]
Fitted = dict[str, Tensor]
"""What a score takes of the training inputs, beside the model."""


def nothing(model: Autoencoder, train: InputSplit) -> Fitted:
    """What most scores take of the training inputs."""
    return {}


@dataclass(frozen=True)
class Score:
    """A score of anomalies: the higher, the less an input is like the training inputs.

    It follows from the input alone, whatever is scored beside it.

    >>> SCORES["distance"].told
    'mean distance of the code to the 5 nearest of training inputs'
    """

    told: str
    """What it is, in words."""

    lacking: Callable[[Autoencoder], str]
    """Why a model has no such score; empty where it has."""

    of: Callable[[Autoencoder, InputBatch, Fitted], Scores]
    fit: Callable[[Autoencoder, InputSplit], Fitted] = nothing

    errors: Callable[[Autoencoder, InputBatch, Fitted], Errors] | None = None
    """How much each value of an input has to do with its score; None where that is not known."""

    part: str = ""
    """The term of the score that the errors are of, if they are not of the whole."""

    def finite(self, model: Autoencoder, x: InputBatch, fitted: Fitted) -> Scores:
        """The score of each input; BEYOND, where it is beyond the model's arithmetic."""
        return self.of(model, x, fitted).nan_to_num(nan=BEYOND, posinf=BEYOND)


def every_model(model: Autoencoder) -> str:
    """Every model reconstructs."""
    return ""


def reconstruction(model: Autoencoder, x: InputBatch, fitted: Fitted) -> Scores:
    """The error of ``decode(encode(x))``, a value of the input, on a scale of [0, 1].

    Sakurada & Yairi 2014.
    """
    return squared_errors(model(x), x, model.spec.peak)


def reconstruction_errors(model: Autoencoder, x: InputBatch, fitted: Fitted) -> Errors:
    """The squared error of each value, of which `reconstruction` is the mean."""
    errors: Tensor = ((model(x) - x) / model.spec.peak).double().square()
    return errors


def variational_only(model: Autoencoder) -> str:
    """Only models that are trained on a bound have one."""
    return "" if isinstance(model, LatentVariableModel) else "it is trained on no bound"


def bound(model: Autoencoder, x: InputBatch, fitted: Fitted) -> Scores:
    """Minus the evidence lower bound in nats.

    ``mean_k (-log p(x | z_k) + KL(q(z | x) || p(z)))`` with z_k the sample that the posterior
    makes of noise eps_k (after An & Cho 2015). The eps_k are the same for every input, so that a
    score follows from its input alone, whatever is scored beside it.
    """
    assert isinstance(model, LatentVariableModel)
    posterior = model.posterior(x)
    bounds = []
    for z in draws(model, x):
        negative_log = model.likelihood.negative_log(model.decoder_output(z), x)
        bounds.append(negative_log + model.divergence(posterior, z))
    return torch.stack(bounds).mean(0).double()


def bound_errors(model: Autoencoder, x: InputBatch, fitted: Fitted) -> Errors:
    """The squared error of each value, a mean over the draws.

    Under a Gaussian likelihood, the bound's reconstruction term but for a factor and a constant.
    """
    assert isinstance(model, LatentVariableModel)
    errors = [(model.decode(z) - x).double().square() for z in draws(model, x)]
    return torch.stack(errors).mean(0) / model.spec.peak**2


def draws(model: LatentVariableModel, x: InputBatch, noise: Tensor | None = None) -> Iterator[Code]:
    """Codes from the posterior of each input, by the same noise for every input.

    It is `noise_of` the posterior, which where nothing can be drawn is given.
    """
    posterior = model.posterior(x)
    for of_one in (noise_of(posterior) if noise is None else noise).to(x.device):
        yield posterior.sample(of_one)


def noise_of(posterior: Posterior) -> Float[Tensor, "draws 1 noise"]:
    """What the codes of a bound are drawn by, always the same."""
    shape = (DRAWS, 1, posterior.noise_size)
    return torch.randn(shape, generator=generator_at(SEED, "anomaly"))


def latent_only(model: Autoencoder) -> str:
    """Only a code that has latent numbers has distances."""
    return "" if latent_size(model) else "its code has no numbers"


def latent_size(model: Autoencoder) -> int:
    """How many numbers of a code are no side channel's."""
    return model.code_size - model.side_channel[0]


def distance(model: Autoencoder, x: InputBatch, fitted: Fitted) -> Scores:
    """Mean Euclidean distance of the code to the 5 nearest codes of training inputs.

    After Bergman, Cohen & Hoshen 2020 (arXiv 2002.10445), who take features for codes. Pair by
    pair, and not as a product of matrices, whose last digits depend on what else is in a batch.
    """
    z = model.encode(x)[:, : latent_size(model)].double()
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(z, fitted["codes"].to(z), compute_mode=exact)
    return distances.topk(min(NEIGHBOURS, distances.shape[1]), largest=False).values.mean(1)


def some(train: InputSplit, most: int) -> InputSplit:
    """The training inputs that a score is fitted to: so many at most, drawn by a fixed seed."""
    chosen = torch.zeros(len(train), dtype=torch.bool)
    chosen[permutation_at(len(train), SEED, "codes of anomalies")[:most]] = True
    return train.where(chosen.to(train.index.device))


def training_codes(model: Autoencoder, train: InputSplit) -> Fitted:
    """The codes of training inputs that distances are taken to.

    Raises:
        InputError: none of the codes is finite.
    """
    most = min(MOST_CODES, max(NEIGHBOURS, MOST_CODE_VALUES // latent_size(model)))
    with torch.inference_mode():
        parts = [model.encode(x)[:, : latent_size(model)].cpu() for x in chunks(some(train, most))]
    codes = torch.cat(parts)
    codes = codes[codes.isfinite().all(1)]
    if not len(codes):
        raise InputError("the codes of the training inputs are not finite: there is no distance")
    return {"codes": codes}


SCORES: dict[str, Score] = {
    "reconstruction": Score(
        "squared error of the reconstruction, a value",
        every_model,
        reconstruction,
        errors=reconstruction_errors,
    ),
    "bound": Score(
        "minus the evidence lower bound, in nats",
        variational_only,
        bound,
        errors=bound_errors,
        part="'s reconstruction term",
    ),
    "distance": Score(
        "mean distance of the code to the 5 nearest of training inputs",
        latent_only,
        distance,
        fit=training_codes,
    ),
    "noise-levels": Score(
        "squared error at several noise levels, relative to the training inputs'",
        noise_conditional_only,
        noise_level_score,
        fit=lambda model, train: mean_errors(model, some(train, MOST_ERRORS)),
        errors=noise_level_parts,
    ),
}
"""By name, as ``aelab anomalies --score`` takes them."""

PREFERRED = ("noise-levels", "bound", "reconstruction")
"""A model's own score is the first of these that it has."""


def scores_of(model: Autoencoder) -> tuple[str, ...]:
    """The names of the scores that a model has.

    >>> from aelab.models.zoo import resolve
    >>> from aelab.data.specs import InputSpec
    >>> scores_of(resolve("vanilla").build(InputSpec((8,)), latent_dim=2))
    ('reconstruction', 'distance')
    """
    return tuple(name for name, score in SCORES.items() if not score.lacking(model))


def default_score(model: Autoencoder) -> str:
    """The name of the score that a model's anomalies are told by unless another is asked for."""
    has = scores_of(model)
    return next(name for name in PREFERRED if name in has)


def score_named(name: str | None, model: Autoencoder) -> str:
    """The name of a score that a model has: its own unless one is named.

    Raises:
        InputError: there is no such score, or the model has none.
    """
    if name is None:
        return default_score(model)
    if name not in SCORES:
        raise InputError(f"there is no score {name!r}; there are {', '.join(SCORES)}")
    if why := SCORES[name].lacking(model):
        raise InputError(
            f"the model has no score {name!r}: {why}; ask for {' or '.join(scores_of(model))}"
        )
    return name


def split_scores(
    model: Autoencoder, images: InputSplit, name: str | None = None, fitted: Fitted | None = None
) -> Scores:
    """Score all inputs of a split, in order: by the model's own score unless one is named."""
    score = SCORES[name or default_score(model)]
    with seeded(SEED, "anomaly inputs"), torch.inference_mode():
        return torch.cat([score.finite(model, x, fitted or {}).cpu() for x in chunks(images)])
