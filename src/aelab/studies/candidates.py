"""What `aelab choose` tries: models of the zoo that fit the data, with the same size of code."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aelab.data.input_sets import InputDataset
from aelab.files import InputError
from aelab.machine import cores
from aelab.models.zoo import resolve
from aelab.settings import DataSettings, RunSettings
from aelab.studies.fitting import MOST_NUMBERS, fitted_settings, size_of
from aelab.studies.goals import NOISE, Goal


@dataclass(frozen=True)
class Candidate:
    """A model with a recipe: what differs from what `aelab train` would do by itself.

    >>> Candidate("vae", "vae").network is None
    True
    """

    name: str
    model: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    learning_rate: float | None = None


PCA = Candidate("pca", "pca")

DENSE = (
    Candidate("multilayer", "multilayer"),
    Candidate("vae", "vae"),
    Candidate("vanilla", "vanilla"),
    Candidate("multilayer-wide", "multilayer", {"hidden": (256, 128)}),
    Candidate("vae-beta-0.1", "vae", {"beta": 0.1}),
    Candidate("noise-conditional", "noise-conditional"),
    Candidate("noise-conditional-wide", "noise-conditional", {"hidden": (256, 128)}),
    Candidate("noise-conditional-slow", "noise-conditional", learning_rate=7e-4),
    Candidate("multilayer-slow", "multilayer", learning_rate=7e-4),
    Candidate("denoising", "denoising", {"noise_level": NOISE}, "dense"),
    Candidate("denoising-wide", "denoising", {"noise_level": 0.5, "hidden": (256, 128)}, "dense"),
)
"""For any inputs, the likeliest first: a short budget has room for the first ones only."""

CONVOLUTIONAL = (
    Candidate("convolutional", "convolutional"),
    Candidate("conv-vae", "conv-vae"),
    Candidate("denoising", "denoising", {"noise_level": NOISE}),
    Candidate("multilayer", "multilayer"),
    Candidate("vae", "vae"),
    Candidate("convolutional-fast", "convolutional", learning_rate=4e-3),
    Candidate("conv-vae-beta-0.1", "conv-vae", {"beta": 0.1}),
    Candidate("multilayer-wide", "multilayer", {"hidden": (256, 128)}),
)
"""For images, signals and volumes."""

FIRST = {"denoising": "nois", "anomalies": "noise-", "samples": "vae"}
"""What a goal has tried first, by a part of its name."""


def candidates_for(data: InputDataset, goal: Goal) -> tuple[Candidate, ...]:
    """What is tried, the likeliest first; PCA before all, for it takes no time.

    Where no anomaly of a table is known, only the recipes of `noise-conditional`: of one model's,
    the least noise that is left tells the better; which model finds anomalies, it does not.
    """
    found: tuple[Candidate, ...] = DENSE if data.spec.kind == "rows" else CONVOLUTIONAL
    if goal == "anomalies" and found is DENSE and not data.anomalies:
        found = tuple(one for one in found if one.model == "noise-conditional")
    wanted = FIRST.get(goal, "")
    return (PCA, *sorted(found, key=lambda one: wanted not in one.name))


def code_size_of(data: InputDataset, asked: int | None) -> int:
    """The numbers of every candidate's code: half of an input's, at most 32, unless asked for.

    Raises:
        InputError: as many are asked for as an input has, or more.
    """
    size = data.spec.size
    if asked is None:
        return min(MOST_NUMBERS, max(1, size_of(data.spec) // 2))
    if not 1 <= asked < size:
        raise InputError(
            f"latent-dim must be from 1 to {size - 1}, less than the {size} values of an input, "
            f"not {asked}"
        )
    return asked


def settings_of(
    candidate: Candidate,
    data: InputDataset,
    told: DataSettings,
    *,
    code_size: int,
    seconds: float,
    seed: int,
) -> RunSettings:
    """The settings that a candidate is trained with, for about so many seconds."""
    blueprint = resolve(candidate.model, candidate.network)
    fitted = fitted_settings(blueprint, data)
    recipe = fitted.recipe
    if candidate.model == "pca":
        recipe = replace(recipe, epochs=0.0, patience=None)
    else:
        dense = blueprint.network_name == "dense"
        rate = candidate.learning_rate or recipe.learning_rate
        threads = 1 if dense else min(2, cores())
        recipe = replace(recipe, seconds=seconds, learning_rate=rate, threads=threads)
    return replace(
        fitted,
        hyperparameters={
            **fitted.hyperparameters, **candidate.hyperparameters, "latent_dim": code_size
        },
        data=told,
        recipe=recipe,
        seed=seed,
    )  # fmt: skip
