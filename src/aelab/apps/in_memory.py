"""A trained run and arrays or tensors of stored values: codes, reconstructions, scores, samples.

What is given is prepared as the run's own inputs were, and what comes back is as it was stored.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor

from aelab.apps.restore import Layout
from aelab.apps.streams import chunks, using
from aelab.data.arrays import as_array
from aelab.data.dataset import Dataset
from aelab.data.inputs import of_memory
from aelab.data.loading import is_frame
from aelab.data.preparation import restore
from aelab.data.specs import InputSpec
from aelab.data.words import in_words, types_of
from aelab.files import InputError
from aelab.machine import generator_at
from aelab.models.contract import Autoencoder
from aelab.models.priors.contract import Prior
from aelab.models.sampling import CHUNK, sample_chunks
from aelab.runs.store import Run

A = TypeVar("A", NDArray[Any], Tensor)
"""An array or a tensor, whichever is given: the same comes back; of a data frame, an array, or a
pyarrow.Table where inputs are restored that hold words."""


def codes(run: Run, x: A, labels: object | None = None) -> A:
    """The code of each input."""
    return like(each(run, x, labels, lambda model, batch: model.encode(batch)), x)


def reconstructions(run: Run, x: A, labels: object | None = None) -> A:
    """What the model makes of each input, with the axes and the type of x."""
    restored = each(run, x, labels, lambda model, batch: restore(model(batch), model.spec))
    if is_frame(x):
        return as_table(restored, run.autoencoder.spec) or like(restored, x)
    layout = Layout.like(as_array(x, "x"), run.autoencoder.spec.shape)
    return like(torch.from_numpy(layout.arranged(restored.numpy())), x)


def scores(
    run: Run, x: A, labels: object | None, name: str | None, data: Callable[[], Dataset]
) -> A:
    """How unlike the training inputs each input is, by the score of that name.

    `data` gives what the run was trained on, for a score that it must be fitted to first.
    """
    # Here, for it imports scikit-learn, which opening a run does not need.
    from aelab.evaluate.scoring import SCORES, score_named
    from aelab.runs.kept_scores import fitted

    name = score_named(name, run.autoencoder)
    score, found = SCORES[name], fitted(run, name, data)
    return like(each(run, x, labels, lambda model, batch: score.finite(model, batch, found)), x)


def decoded(run: Run, z: A) -> A:
    """The input that each code stands for."""
    size = run.autoencoder.code_size
    given = as_array(z, "z")
    if given.ndim != 2 or given.shape[1] != size:
        hint = "; give a batch, z[None]" if given.shape == (size,) else ""
        raise InputError(f"z has the shape {given.shape}; codes have the shape [n, {size}]{hint}")
    with using(run) as model:
        parts = torch.from_numpy(given.astype(np.float32)).split(CHUNK)
        found = [restore(model.decode(part), model.spec) for part in parts]
    return as_table(torch.cat(found), run.autoencoder.spec) or like(torch.cat(found), z)


def samples(
    run: Run,
    n: int,
    *,
    prior: Prior,
    seed: int | None,
    temperature: float,
    class_name: str | None,
) -> Any:  # noqa: ANN401 - a tensor, or a table of words
    """New inputs."""
    seed = run.settings.seed if seed is None else seed
    with using(run) as model:
        drawn = sample_chunks(
            model, n, seed=seed, prior=prior, temperature=temperature, class_name=class_name
        )
        found = [restore(x, model.spec) for x in drawn]
    generator = generator_at(seed, "words")
    return as_table(torch.cat(found), run.autoencoder.spec, generator) or torch.cat(found)


def as_table(stored: Tensor, spec: InputSpec, generator: torch.Generator | None = None) -> Any:  # noqa: ANN401 - a pyarrow.Table
    """Rows of a run that was trained on words, as a table of its columns; None of another run."""
    if spec.columns is None or not spec.columns.mixed:
        return None
    columns = in_words(stored, spec.columns, generator)
    return pyarrow.table(columns, schema=pyarrow.schema(list(types_of(spec.columns).items())))


def each(
    run: Run, x: A, labels: object | None, work: Callable[[Autoencoder, Tensor], Tensor]
) -> Tensor:
    """What `work` makes of the model and the prepared inputs, a chunk at a time."""
    inputs = of_memory(x, run.autoencoder.spec, labels=labels)
    with using(run) as model:
        found = [work(model, inputs.batch(numbers)) for numbers in chunks(inputs)]
    return torch.cat(found)  # outside inference mode: it may take part in somebody's gradients


def like(found: Tensor, given: A) -> A:
    """A tensor as what was given: as an array, or where the given tensor is."""
    return found.to(given.device) if isinstance(given, Tensor) else found.numpy()
