"""The priors of a run: the one it was trained with, those fitted to its codes, and the one chosen.

Fitted ones lie in ``priors/`` beside the weights, a file each; ``priors/choice.json`` says which
of all samples are drawn from, and why.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.files import (
    InputError,
    MissingFileError,
    read_json,
    read_metadata,
    read_tensors,
    write_json,
    write_tensors,
)
from aelab.machine import threads
from aelab.models.contract import Autoencoder
from aelab.models.priors.contract import Prior
from aelab.models.sampling import fit_prior
from aelab.models.zoo import FITTED_PRIOR, FITTED_PRIORS, prior_named
from aelab.runs.upgrade import OLD_PRIORS, upgraded_prior
from aelab.settings import RunSettings, check_value

OWN = "own"
"""The prior that a model was trained with, whichever it is."""

BY = {
    "": "",
    "frechet": "Fréchet distance to validation images",
    "log_prob": "log-likelihood of the codes of validation inputs, in nats",
}


@dataclass(frozen=True)
class Choice:
    """Which of a run's priors samples are drawn from.

    >>> Choice("fitted-mixture", "frechet", {"own": 83.1, "fitted-mixture": 13.2}).told
    'Fréchet distance to validation images: own 83.1, fitted-mixture 13.2'
    """

    prior: str
    by: Literal["", "frechet", "log_prob"] = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Of each prior that there was."""

    @property
    def told(self) -> str:
        """Why, for people to read; nothing where there was no choice."""
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        return f"{BY[self.by]}: {figures}" if figures else ""


@dataclass(frozen=True)
class Priors:
    """The priors of the run in a folder, with this model.

    >>> from aelab.api import train
    >>> run = train("pca", "digits", latent_dim=4)
    >>> run.priors.choice.prior, run.priors.named("fitted-mixture").code_size
    ('fitted-mixture', 4)
    """

    folder: Path
    settings: RunSettings
    model: Autoencoder
    found_format: int

    @property
    def own(self) -> Prior | None:
        """What the model was trained with, if anything."""
        return self.model.prior

    @property
    def chosen(self) -> Prior:
        """What samples are drawn from unless another prior is asked for.

        Raises:
            InputError: a file is missing or damaged.
        """
        return self.named(self.choice.prior)

    @property
    def choice(self) -> Choice:
        """Which that is. Where none was chosen, the model's own, or else the fitted one.

        Raises:
            InputError: its file is damaged.
        """
        path = self.folder / "priors" / "choice.json"
        if not path.is_file():
            return Choice(FITTED_PRIOR if self.own is None else OWN)
        content: Any = read_json(path)
        hints = {"prior": str, "by": Literal[tuple(BY)], "figures": dict[str, float]}
        if not (isinstance(content, dict) and content.keys() == hints.keys()):
            raise InputError(f"{path} is damaged; remove it, and the run's own prior is taken")
        for name, value in content.items():
            check_value(f"{path}: {name}", name, value, hints)
        if not all(isinstance(value, int | float) for value in content["figures"].values()):
            raise InputError(f"{path} is damaged; remove it, and the run's own prior is taken")
        return Choice(**content)

    def choose(self, by: Literal["frechet", "log_prob"], figures: Mapping[str, float]) -> None:
        """Choose the prior with the lowest distance, or the highest likelihood, and record why."""
        best = (min if by == "frechet" else max)(figures, key=lambda name: figures[name])
        write_json(self.folder / "priors" / "choice.json", asdict(Choice(best, by, dict(figures))))

    def named(self, name: str) -> Prior:
        """A prior by its name: the model's own (also as "own"), or a fitted one.

        Raises:
            MissingFileError: it is a prior that is fitted to codes, and was not.
            InputError: its file is damaged, or there is no such name.
        """
        if self.own is not None and name in (OWN, self.settings.prior):
            return self.own
        self.refuse_unknown(name)
        path, upgrade = self.path(name), False
        if not path.is_file() and name == FITTED_PRIOR and self.found_format in OLD_PRIORS:
            path, upgrade = self.folder / OLD_PRIORS[self.found_format], True
        if not path.is_file():
            raise MissingFileError(
                f"{self.folder} has no prior {name}: {path} does not exist; "
                f"`aelab sample {self.folder} --prior {name}` fits it"
            )
        tensors = read_tensors(path)
        try:
            tensors = upgraded_prior(tensors) if upgrade else tensors
            made = partial(prior_named(name).from_tensors, tensors)
            prior = self.model.prior_of_codes(made)
            names = json.loads(read_metadata(path).get("classes", "[]"))
            if not (isinstance(names, list) and len(names) == prior.classes):
                raise ValueError("its classes have no names")
            prior.class_names = tuple(map(str, names))
            return prior
        except (RuntimeError, ValueError) as error:
            told = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged or of another model ({told})") from error

    def has(self, name: str) -> bool:
        """Whether there is one of that name."""
        try:
            return self.named(name) is not None
        except MissingFileError:
            return False

    def fit(self, name: str, data: InputDataset) -> Prior:
        """Fit a prior to the codes of the training inputs, and keep it.

        Raises:
            InputError: there is no such prior, codes have no numbers, or none is finite.
        """
        self.refuse_unknown(name)
        if not self.model.code_size:
            raise InputError(f"{self.folder}: codes have no numbers; no prior is fitted to them")
        prior = self.model.prior_of_codes(prior_named(name))
        with threads(self.settings.recipe.threads):
            train, seed = data.split("train"), self.settings.seed
            fit_prior(prior, self.model, train, seed=seed, most=data.most_codes)
        prior.class_names = data.classes[: prior.classes]
        names = {"classes": json.dumps(prior.class_names)}
        write_tensors(self.path(name), prior.tensors(), names)
        return prior

    def asked_for(self, name: str | None, data: Callable[[], Dataset]) -> Prior:
        """The prior of that name, fitted now if the run lacks it; the chosen one unless named.

        Raises:
            InputError: there is no such prior, or it must be fitted and the data are not there.
        """
        if name is None:
            return self.chosen
        try:
            return self.named(name)
        except MissingFileError:
            training = data()
        assert isinstance(training, InputDataset)
        return self.fit(name, training)

    def path(self, name: str) -> Path:
        """Where a fitted prior is, or will be."""
        return self.folder / "priors" / f"{name}.safetensors"

    def refuse_unknown(self, name: str) -> None:
        """Raise InputError unless `name` is of a prior that is fitted to codes."""
        if name not in FITTED_PRIORS:
            own = [] if self.own is None else [OWN]
            known = ", ".join([*own, *FITTED_PRIORS])
            raise InputError(f"{self.folder} has no prior {name!r}: there are {known}")
