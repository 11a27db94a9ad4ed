"""What is measured and drawn of a run that is trained."""

from collections.abc import Collection
from typing import Any

from PIL.Image import Image

from aelab.data.dataset import Dataset
from aelab.data.graphs import GraphDataset
from aelab.data.input_sets import InputDataset
from aelab.data.specs import told_kind
from aelab.evaluate.choice import validation_distances, validation_likelihoods
from aelab.evaluate.columns import QUICK_GROUPS, Group
from aelab.evaluate.finite import recorded
from aelab.evaluate.protocol import evaluate
from aelab.evaluate.reconstruction import original_figure
from aelab.figures import grids, style
from aelab.files import InputError, write_json, write_picture
from aelab.machine import threads
from aelab.models.contract import Autoencoder, LinkModel
from aelab.models.sampling import sample
from aelab.models.zoo import FITTED_PRIOR, FITTED_PRIORS
from aelab.runs.priors import OWN
from aelab.runs.store import Run
from aelab.settings import check_value

SAMPLES_SHOWN = 64


def evaluate_run(
    run: Run, data: Dataset, split: str, groups: Collection[str] | None = None
) -> dict[str, Any]:
    """Evaluate on a split, add to what is known of that split, and write metrics.json.

    Raises:
        InputError: the data are not those that the run was trained on.
    """
    groups = tuple(QUICK_GROUPS if groups is None else groups)
    check_value("metrics", "metrics", groups, {"metrics": tuple[Group, ...]})
    figures = figures_of(run, data, split, groups)
    inputs = len(data.split(split)) if isinstance(data, InputDataset) else None
    known = run.evaluated(split)
    if known.get("inputs", inputs) != inputs:  # figures of some inputs are not those of all
        known = {}
    done = sorted({*known.get("groups", ()), *groups})
    metrics = recorded({**figures, "split": split, "inputs": inputs, "groups": done}, known)
    write_json(run.folder / "metrics.json", metrics)
    return metrics


def figures_of(run: Run, data: Dataset, split: str, groups: Collection[str]) -> dict[str, Any]:
    """The figures of a run on a split, in these groups.

    Raises:
        InputError: the data are not those that the run was trained on.
    """
    run.refuse_other(data)
    settings, model = run.settings, run.model
    drawn: dict[str, Any] = {}
    if isinstance(model, Autoencoder) and isinstance(data, InputDataset) and model.code_size:
        names = FITTED_PRIORS if "priors" in groups else (FITTED_PRIOR,)
        fitted = {name: run.priors.asked_for(name, lambda: data) for name in names}
        # The very object, so that its samples are drawn and measured once.
        drawn = {"prior": fitted.get(run.priors.choice.prior, run.prior), "fitted": fitted}
    with threads(settings.recipe.threads):
        figures = evaluate(model, data, split, groups, **drawn, seed=settings.seed)
        if settings.data.splits == "original" and isinstance(data, InputDataset):
            assert isinstance(model, Autoencoder)
            figures["original_figure"] = original_figure(
                model, data.split(split), settings.recipe.batch_size
            )
    return figures


def choose_prior(run: Run, data: Dataset) -> None:
    """Choose what samples are drawn from: the run's own prior or the fitted one, on validation.

    By the lower Fréchet distance of samples to validation images; where there are no images, or
    no classes to learn features from, by the likelihood of the codes of validation inputs. Where
    there is only one prior, there is no choice.
    """
    model = run.model
    if not (isinstance(model, Autoencoder) and isinstance(data, InputDataset) and model.code_size):
        return
    if model.prior is None:
        return
    candidates = {OWN: model.prior, FITTED_PRIOR: run.priors.asked_for(FITTED_PRIOR, lambda: data)}
    seed = run.settings.seed
    with threads(run.settings.recipe.threads):
        if distances := validation_distances(model, candidates, data, seed):
            run.priors.choose("frechet", distances)
        else:
            run.priors.choose("log_prob", validation_likelihoods(model, candidates, data, seed))


def draw_run(run: Run, data: Dataset, split: str) -> None:
    """Write the pictures of a run."""
    model = run.model
    if isinstance(model, LinkModel) and isinstance(data, GraphDataset):
        curves = style.link_curves({run.settings.model: model}, data, split)
        style.save(curves, run.pictures[0])
    elif run.pictures:
        write_picture(run.pictures[0], reconstructions(run, data, split))
        write_picture(run.pictures[1], samples(run))


def reconstructions(run: Run, data: Dataset, split: str) -> Image:
    """A picture of originals beside their reconstructions.

    Raises:
        InputError: the run is no model of images.
    """
    if not (isinstance(run.model, Autoencoder) and isinstance(data, InputDataset)):
        raise InputError(f"{run.folder}: {run.settings.model} reconstructs no images")
    refuse_pictures(run)
    run.refuse_other(data)
    with threads(run.settings.recipe.threads):
        return grids.reconstructions(run.model, data, split)


def samples(run: Run, n: int = SAMPLES_SHOWN, *, seed: int | None = None) -> Image:
    """A picture of `n` new images.

    Raises:
        InputError: the run is no model of images.
    """
    refuse_pictures(run)
    with threads(run.settings.recipe.threads):
        seed = run.settings.seed if seed is None else seed
        drawn = sample(run.autoencoder, n, seed=seed, prior=run.prior)
    return grids.sample_grid(drawn, run.autoencoder.spec)


def refuse_pictures(run: Run) -> None:
    """Raise InputError if its inputs are no images."""
    if not run.pictures:
        kind = told_kind(run.spec.kind)
        raise InputError(f"{run.folder}: its inputs are {kind}, and no pictures")
