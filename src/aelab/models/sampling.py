"""New inputs from a trained model and a prior; ways and walks through its codes."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.batch import Batch
from aelab.data.dataset import TrainingData
from aelab.files import InputError
from aelab.machine import permutation_at, seeded
from aelab.models.contract import Autoencoder, Code, InputBatch
from aelab.models.priors.contract import Prior
from aelab.models.variational import LatentVariableModel

MOST_CODES = 20_000
"""Training inputs whose codes a prior is fitted to, at most."""

CHUNK = 500


def fit_prior(
    prior: Prior,
    model: Autoencoder,
    data: TrainingData,
    *,
    seed: int = 0,
    most: int | None = None,
) -> None:
    """Fit a prior to the codes of up to 20,000 training inputs (or `most`), and to their labels.

    Codes of variational models are samples of their posteriors. Those not finite are left out.

    Raises:
        InputError: there is no other.
    """
    chosen = permutation_at(len(data), seed, "prior")[: min(most or MOST_CODES, MOST_CODES)]
    with seeded(seed, "prior"), torch.inference_mode():
        batches = [Batch.of(data.batch(i)) for i in chosen.split(CHUNK)]
        codes = torch.cat([code_of(model, batch).cpu() for batch in batches])
    labels = [batch.labels for batch in batches if batch.labels is not None]
    finite = codes.isfinite().all(1)
    if not finite.any():
        raise InputError(
            "no training input has a finite code, so no prior can be fitted: the training "
            "diverged; try a lower --learning-rate, or --clip-norm 1"
        )
    known = torch.cat(labels).cpu()[finite] if len(labels) == len(batches) else None
    prior.fit(codes[finite].clone(), known, seed=seed)


def code_of(model: Autoencoder, batch: Batch) -> Code:
    """A code of each input: a sample of its posterior, where the model has one."""
    return (
        model.posterior(batch).sample()
        if isinstance(model, LatentVariableModel)
        else (model.encode(batch))
    )


def sample(
    model: Autoencoder,
    n: int,
    *,
    seed: int = 0,
    prior: Prior | None = None,
    temperature: float = 1.0,
    class_name: str | None = None,
) -> InputBatch:
    """`n` new inputs, ``decode(z)`` for codes from `prior`, or else from the model's own.

    The i-th follows from (seed, i): asking for more only adds to them. `temperature` scales the
    deviation of the prior, or that of each component of a mixture: below 1, samples are more
    alike (Kingma & Dhariwal 2018, arXiv 1807.03039, section 6). `class_name` asks for samples of
    one class.

    Raises:
        InputError: `n` is less than 1, the temperature less than 0, the model has no prior of
            its own and none is given, or the prior knows no such class.
    """
    chunks = sample_chunks(
        model, n, seed=seed, prior=prior, temperature=temperature, class_name=class_name
    )
    return torch.cat(list(chunks))


def sample_chunks(
    model: Autoencoder,
    n: int,
    *,
    seed: int,
    prior: Prior | None,
    temperature: float,
    class_name: str | None = None,
) -> Iterator[InputBatch]:
    """The same, a chunk at a time: memory does not grow with `n`.

    Raises:
        InputError: as `sample`.
    """
    refuse_number(n, temperature)
    source = prior_of(model, prior)
    label = None if class_name is None else label_of(source, class_name)
    for i in range(0, n, CHUNK):
        with seeded(seed, "sample", i), torch.inference_mode():
            # As many as a chunk has, whatever is asked for: each code has its place in the noise.
            if label is None:
                z = source.sample_codes(CHUNK, temperature)
            else:
                z = source.sample_class(CHUNK, label, temperature)
            x = model.decode(model.admissible(z[: n - i].to(device_of(model))))
        yield x


def refuse_number(n: int, temperature: float) -> None:
    """Raise InputError unless there can be so many samples, at that temperature."""
    if n < 1:
        raise InputError(f"the number of samples must be 1 or more, not {n}")
    if not 0 <= temperature < math.inf:
        raise InputError(f"the temperature must be a number from 0 up, not {temperature}")


def label_of(prior: Prior, class_name: str) -> int:
    """The number of a class that a prior can draw codes of.

    Raises:
        InputError: it knows no such class, or none at all.
    """
    if not prior.class_names:
        raise InputError(
            f"codes come from {prior.told}, which knows no classes; where the data have classes, "
            f"--prior fitted-mixture does"
        )
    if class_name not in prior.class_names:
        raise InputError(
            f"there is no class {class_name!r}; there are {', '.join(prior.class_names)}"
        )
    return prior.class_names.index(class_name)


def prior_of(model: Autoencoder, prior: Prior | None) -> Prior:
    """What codes of a model are drawn from: the given prior, or else its own.

    Raises:
        InputError: there is neither.
    """
    found = prior or model.prior
    if found is None:
        raise InputError(f"a {type(model).__name__} has no prior; fit one with fit_prior()")
    return found


def device_of(model: Autoencoder) -> torch.device:
    """Where the model's tensors are."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def between(
    model: Autoencoder,
    first: Float[Tensor, "1 code"],
    second: Float[Tensor, "1 code"],
    shares: Float[Tensor, " steps"],
) -> Float[Tensor, "steps code"]:
    """Codes on the way from one to another: ``(1 - t) first + t second`` for each share t.

    Side numbers are no points of a line: they are those of the nearer end.
    """
    t = shares[:, None]
    z = (1 - t) * first + t * second
    latent = latent_size(model)
    z[:, latent:] = torch.where(t < 0.5, first[:, latent:], second[:, latent:])
    return z


def traversal(
    model: Autoencoder, z: Float[Tensor, "1 code"], number: int, values: Float[Tensor, " steps"]
) -> InputBatch:
    """What becomes of one code when its latent number `number` takes each of `values`."""
    codes = z.repeat(len(values), 1)
    codes[:, number] = values
    return model.decode(codes)


def latent_size(model: Autoencoder) -> int:
    """Numbers of a code without those of a side channel."""
    return model.code_size - model.side_channel[0]
