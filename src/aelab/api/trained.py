"""A trained run, and what its model makes of arrays and tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from aelab.api.pages import report
from aelab.apps import in_memory
from aelab.apps.in_memory import A
from aelab.data.dataset import Dataset
from aelab.data.loading import load_array, load_settings, narrowed, settled
from aelab.exports import hub
from aelab.models.sampling import refuse_number
from aelab.models.zoo import rows_of
from aelab.runs.store import Run
from aelab.settings import IN_MEMORY
from aelab.studies import html

if TYPE_CHECKING:
    from aelab.evaluate.false_alarms import Threshold as Threshold
    from aelab.exports.model_file import Exported as Exported
    from aelab.exports.parts import PartName as PartName
    from aelab.report.page import Report as Report


Data = str | Path | NDArray[Any] | Tensor | Dataset
"""A name, a path, an array or a tensor of stored values, or a data set that is loaded."""


@dataclass(frozen=True, repr=False)
class TrainedRun(Run):
    """A run folder, and what its model makes of arrays and tensors.

    Inputs are given, and come back, as values are stored in one's own files, with the axes of an
    ``.npy`` file, and prepared as the run's own were. For prepared tensors there is `model`.

    >>> import numpy as np
    >>> from aelab.api import train
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

    def threshold(self, rate: float | None = None, *, score: str | None = None) -> "Threshold":
        """The score above which an input is an anomaly; its `told` says how sure that is.

        At most a share `rate` of the validation inputs scores higher: 5 % unless given, or none of
        fewer than 20.

        Raises:
            InputError: the model has no such score, or `rate` is no share, or more than so few
                inputs can tell.
        """
        from aelab.evaluate.false_alarms import threshold, usual_threshold
        from aelab.evaluate.scoring import score_named
        from aelab.runs.kept_scores import kept_scores

        name = score_named(score, self.autoencoder)
        scores = kept_scores(self, name, self.data_to_fit).validation
        return usual_threshold(scores) if rate is None else threshold(scores, rate)

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

    def export(
        self,
        path: str | Path,
        part: "PartName" = "whole",
        *,
        score: str | None = None,
        rate: float | None = None,
        data: Data | None = None,
        data_dir: str | Path | None = None,
        without_data: bool = False,
    ) -> "Exported":
        """Write a part to a file that needs no aelab: ``.onnx``, or ``.pt2`` of torch.export.

        A part is "whole", "encoder", "decoder" or "score", which takes `score` and `rate` as
        `threshold` does. It is compared with the run on its own validation inputs; `without_data`,
        on made-up ones.

        Raises:
            InputError: such a file cannot hold what is asked, or would compute something else.
        """
        from aelab.exports.model_file import export_model

        return export_model(
            self,
            path,
            lambda: self.own_data(data, data_dir),
            part=part,
            score=score,
            false_alarm_rate=rate,
            without_data=without_data,
        )

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

    def push(self, name: str, *, private: bool = False, license: str | None = None) -> str:
        """Put the run into the repository ``owner/name`` of the Hugging Face Hub; its address.

        Raises:
            AelabError: as `exports.hub.push`.
        """
        return hub.push(self, name, private=private, license=license)

    def _repr_html_(self) -> str:
        """The run in a notebook: its figures and its pictures."""
        return html.run(self)


def load(folder: str | Path) -> TrainedRun:
    """The run in a folder, its model bit for bit as it was trained; AelabError if it is none.

    ``hf://owner/name`` is fetched from the Hugging Face Hub.
    """
    name = hub.address(folder)
    run = Run.open(folder if name is None else hub.fetched(name))
    return TrainedRun(run.folder, run.config, run.found_format)
