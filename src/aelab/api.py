"""Python in one line a step: ``run = train("vae", "digits")``, then ``run.encode(x)`` and so on.

The verbs of the command line call what is here. All but opening a run is imported where it is
used: opening one imports neither matplotlib nor scikit-learn.
"""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from aelab.apps import in_memory
from aelab.apps.in_memory import A
from aelab.data.dataset import Dataset
from aelab.data.inputs import open_inputs
from aelab.data.loading import load as load_data
from aelab.data.loading import load_array, load_object, load_settings, narrowed, settled
from aelab.models.blueprint import Blueprint
from aelab.models.sampling import refuse_number
from aelab.models.zoo import build, rows_of
from aelab.runs.store import Run
from aelab.settings import IN_MEMORY, DataSettings, Recipe, RunSettings, check_value, usual_split
from aelab.studies import html
from aelab.studies.asked import (
    CompareOptions,
    DataOptions,
    TrainOptions,
    filled,
    fitted_options,
    load_asked,
    option_name,
    training,
    training_options,
    with_help,
)
from aelab.studies.study import load_study

if TYPE_CHECKING:
    from aelab.report.page import Report as Report
    from aelab.studies.compare import Result

__all__ = [
    "DataSettings",
    "Recipe",
    "Run",
    "RunSettings",
    "TrainedRun",
    "build",
    "compare",
    "load",
    "load_data",
    "load_study",
    "open_inputs",
    "report",
    "train",
]

Data = str | Path | NDArray[Any] | Tensor | Dataset
"""A name, a path, an array or a tensor of stored values, or a data set that is loaded."""


@dataclass(frozen=True, repr=False)
class TrainedRun(Run):
    """A run folder, and what its model makes of arrays and tensors.

    Inputs are given, and come back, as values are stored in one's own files, with the axes of an
    ``.npy`` file, and prepared as the run's own were. For prepared tensors there is `model`.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    >>> run = train("vanilla", x, latent_dim=3, epochs=1, seed=1)
    >>> run.encode(x).shape, run.reconstruct(x).shape, run.sample(2).shape
    ((50, 3), (50, 8, 8), torch.Size([2, 1, 8, 8]))
    """

    given: Dataset | None = field(default=None, compare=False)
    """Its data, if they were given as an array or a data set: they may be in no file."""

    def __repr__(self) -> str:
        return f"<run of {self.settings.model}, seed {self.settings.seed}, in {self.folder}>"

    def encode(self, x: A, labels: object | None = None) -> A:
        """The code z of each input, float32 ``[n, code]``.

        `labels` are the class of each, for a model that is told it (``condition="class"``).

        Raises:
            InputError: the run has no codes of such inputs, `x` is one without a batch axis, or
                the model is told classes and there are none, or others.
        """
        return in_memory.codes(self, x, labels)

    def decode(self, z: A) -> A:
        """The input that each code stands for, as inputs are stored.

        Raises:
            InputError: the codes are of another size, or `z` is one without a batch axis.
        """
        return in_memory.decoded(self, z)

    def reconstruct(self, x: A, labels: object | None = None) -> A:
        """``decode(encode(x))``, as inputs are stored, with the axes and the type of x.

        Raises:
            InputError: as `encode`.
        """
        return in_memory.reconstructions(self, x, labels)

    def score(self, x: A, labels: object | None = None, *, score: str | None = None) -> A:
        """How unlike the training inputs each input is: by the model's own score, or by `score`.

        Raises:
            InputError: as `encode`, or the model has no score of that name (`scoring.SCORES`).
        """
        return in_memory.scores(self, x, labels, score, self.data_to_fit)

    def sample(
        self,
        n: int = 16,
        *,
        prior: str | None = None,
        class_name: str | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> Any:  # noqa: ANN401
        """`n` new inputs as they are stored, by the run's own seed unless given; words as a table.

        Codes come from the prior that was chosen on validation data, or from the one that is
        named: "own", or one of `zoo.FITTED_PRIORS`, which is fitted and kept if the run lacks it.
        See `models.sampling.sample` for `temperature` and `class_name`.

        Raises:
            InputError: the run draws no samples, there is no such prior or class, or `n` or
                `temperature` is out of range.
        """
        refuse_number(n, temperature)  # before anything is fitted
        found = self.priors.asked_for(prior, self.data_to_fit)
        return in_memory.samples(
            self, n, prior=found, seed=seed, temperature=temperature, class_name=class_name
        )

    def data_to_fit(self, data_dir: str | Path | None = None) -> Dataset:
        """What it was trained on, and nothing else.

        Raises:
            AelabError: the data are nowhere to be found, or are others by now.
        """
        data = self.own_data(data_dir=data_dir)
        self.refuse_other(data)
        return data

    def own_data(self, data: object = None, data_dir: str | Path | None = None) -> Dataset:
        """What it was trained on: `data` as `train` was given them, or those that are at hand."""
        settings = self.settings
        if isinstance(data, Dataset):
            found = narrowed(data, settings.data)
        elif data is not None and not isinstance(data, str | Path):
            found = load_array(data, settings.data)
        elif data is None and self.given is not None:
            found = self.given
        else:
            named = settings.data if data is None else replace(settings.data, name=str(data))
            named = settled(named, rows_of(settings.model))  # where nothing was said of rows
            found = load_settings(named, data_dir, seed=settings.seed)
        return self.prepared(found)

    def evaluate(
        self,
        split: str | None = None,
        metrics: Sequence[str] | None = None,
        *,
        data: Data | None = None,
        data_dir: str | Path | None = None,
    ) -> dict[str, Any]:
        """Evaluate anew, on the split of the last evaluation unless one is named, and record it.

        Raises:
            InputError: there is no such split or group of metrics, or the data are not its own.
        """
        from aelab.runs.measure import evaluate_run

        own = self.own_data(data, data_dir)
        return evaluate_run(self, own, split or self.metrics["split"], metrics)

    def report(
        self,
        out: str | Path | None = None,
        *,
        classes: Sequence[str] = (),
        data: Data | None = None,
        data_dir: str | Path | None = None,
    ) -> Path:
        """Write its page, ``report.html`` in its folder unless `out` names another; where it is.

        Raises:
            AelabError: there is no such class, or the data are not its own.
        """
        given = data is not None or self.given is not None or self.settings.data.name == IN_MEMORY
        own = self.own_data(data, data_dir) if given else None
        return report(self.folder, out=out, classes=classes, data=own, data_dir=data_dir).path

    def reconstructions(
        self,
        split: str | None = None,
        *,
        data: Data | None = None,
        data_dir: str | Path | None = None,
    ) -> Image:
        """A picture of its data's inputs beside their reconstructions, a row a class.

        Raises:
            AelabError: its inputs are no images, or the data are not its own or nowhere.
        """
        from aelab.runs.measure import reconstructions

        own = self.own_data(data, data_dir)
        return reconstructions(self, own, split or self.metrics["split"])

    def _repr_html_(self) -> str:
        """The run in a notebook: its figures and its pictures."""
        return html.run(self)


@with_help(DataOptions, TrainOptions, DataSettings, Recipe)
def train(
    model: str,
    data: Data | None = None,
    *,
    network: str | None = None,
    prior: str | None = None,
    start: str | Path | Run | None = None,
    **options: Any,  # noqa: ANN401
) -> TrainedRun:
    """Train a model, evaluate it and leave it in a folder of its own.

    `model` is a name of the zoo or ``mypackage.mymodule:MyModel``. Without `data`, it is trained
    on those of its row in the studies, as on the command line. `network`, `prior`, and the run
    `start` that training goes on from, are as there; so is each keyword: those below, and the
    hyperparameters, which ``aelab train MODEL --help`` lists. Unless `out` names a folder, the
    run's is a temporary one that lives as long as the run object.

    Of a data set that is given as an object, its name and no more is recorded.

    >>> run = train("vae", "digits", latent_dim=4, hidden=[20], epochs=1, seed=3)
    >>> run.metrics["code_size"], run.settings.seed
    (4, 3)

    Raises:
        AelabError: there is no such model, keyword or data, a value is of another type or out of
            range, or the model is not for such data.
    """
    hints = {"model": str, "network": str | None, "prior": str | None}
    for name, value in (("model", model), ("network", network), ("prior", prior)):
        check_value(f"aelab.train: {name}", name, value, hints)
    begun = start if isinstance(start, Run) or start is None else load(start)
    own = None if begun is None else begun.settings
    where = None if data is None else str(data) if isinstance(data, str | Path) else ""
    blueprint, options_class = training_options(model, own, network, prior, where)
    given = data
    if data is None and isinstance(begun, TrainedRun):
        given = begun.given
    if isinstance(data, str | Path):
        options["data"], given = str(data), None
    asked = filled(options_class, options, "aelab.train")
    settings = asked.data
    if given is None:
        dataset = load_asked(blueprint, asked)
    else:
        # What the defaults say of other data is not meant for these.
        named = [one.name for one in fields(DataSettings) if option_name(one) in options]
        dataset, settings = load_object(given, {name: getattr(settings, name) for name in named})
        given = dataset
    if own is None:
        options_class = fitted_options(blueprint, dataset, where) or options_class
        asked = filled(options_class, options, "aelab.train")
    asked = replace(asked, data=settings)
    return train_asked(
        blueprint, asked, dataset, out=asked.run.out, start=begun, given=given is not None
    )


def train_asked(
    blueprint: Blueprint,
    asked: Any,  # noqa: ANN401 - of the class that training_options makes
    data: Dataset,
    *,
    out: Path | None,
    start: Run | None = None,
    given: bool = False,
    plain: bool = False,
) -> TrainedRun:
    """Train what is asked for, into `out` or a temporary folder; AelabErrors as of `train`.

    `given` says that the data are an object of the caller's; `plain` is `TrainingScreen`'s.
    """
    from aelab.evaluate.leaks import leak_notes
    from aelab.runs.screen import TrainingScreen
    from aelab.runs.train import train_run

    settings, options = training(blueprint, asked)
    split = options.split or usual_split(settings.data.splits)
    folder = out or Path(tempfile.mkdtemp(prefix="aelab-"))
    try:
        with TrainingScreen(plain=plain) as screen:
            for note in (*data.notes, *leak_notes(settings.data, data, split)):
                screen.say(f"{data.name}: {note}")
            run = train_run(
                settings,
                data,
                folder,
                split=split,
                start=start,
                on_progress=lambda progress: screen.tell(blueprint.name, progress),
            )
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    trained = TrainedRun(run.folder, run.config, run.found_format, data if given else None)
    if out is None:
        weakref.finalize(trained, shutil.rmtree, folder, ignore_errors=True)
    return trained


def load(folder: str | Path) -> TrainedRun:
    """The run in a folder, its model bit for bit as it was trained; AelabError if it is none."""
    run = Run.open(folder)
    return TrainedRun(run.folder, run.config, run.found_format)


@with_help(DataOptions, CompareOptions)
def compare(study: str | Path = "default", **options: Any) -> "Result":  # noqa: ANN401
    """Train the rows of a study, and write its table and its page.

    The result shows itself in a notebook; `result.errors` tells which rows failed. With ``jobs=2``
    or more, a script needs ``if __name__ == "__main__":``, as for all processes in Python.

    Raises:
        AelabError: there is no such study or keyword, a value is of another type or out of range,
            or the data cannot be had.
    """
    asked = filled(CompareOptions, {"study": str(study), **options}, "aelab.compare")
    result = compare_asked(asked)
    write_page(result, asked)
    return result


def compare_asked(options: CompareOptions, *, plain: bool = False) -> "Result":
    """Train the rows of the study that is asked for, and write its table.

    Raises:
        AelabError: as `compare`.
    """
    from aelab.runs.screen import TrainingScreen
    from aelab.studies.compare import compare

    study = options.chosen
    with TrainingScreen(plain=plain) as screen:
        seeds = f"{len(study.seeds)} seed{'s' if len(study.seeds) > 1 else ''}"
        screen.say(f"{study.name}: {len(study.rows)} rows × {seeds}")
        return compare(
            study,
            out=options.out,
            data_dir=options.data_dir,
            asked=options.asked,
            on_progress=lambda job, progress: screen.tell(job.label, progress),
        )


def write_page(result: "Result", options: CompareOptions) -> "Report | None":
    """Write the page of a study, unless there is nothing to show or none is wanted."""
    if options.no_report or not result.runs:
        return None
    return report(result.folder, data_dir=options.data_dir)


def report(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    classes: Sequence[str] = (),
    data: Dataset | None = None,
    data_dir: str | Path | None = None,
) -> "Report":
    """Write the page of the run or study in a folder; see `report.page.write_report`.

    Raises:
        AelabError: there is neither, or it is damaged.
    """
    from aelab.report.page import write_report

    return write_report(folder, out=out, classes=classes, data=data, data_dir=data_dir)
