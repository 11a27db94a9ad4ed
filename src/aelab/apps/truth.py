"""Which inputs are anomalies, as far as their labels tell, and how well a score agrees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from aelab.data.dataset import Dataset
from aelab.data.folders import GOOD
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import Inputs
from aelab.evaluate.anomaly import rival_aurocs
from aelab.evaluate.audits import digests
from aelab.evaluate.links import auc, average_precision
from aelab.evaluate.rivals import RIVALS
from aelab.evaluate.scoring import latent_size
from aelab.files import AelabError, InputError
from aelab.runs.store import Run

YES = {"0": "1", "False": "True", "false": "true"}
"""Labels of normal inputs, and those of anomalies where there are just these two."""


@dataclass(frozen=True)
class Truth:
    """How well scores agree with labels.

    >>> Truth(("bent",), 0.9, 0.5, found=3, missed=1, false_alarms=2, passed=18).anomalies
    4
    """

    classes: tuple[str, ...]
    """Those of the anomalies."""

    auroc: float
    """How often an anomaly scores above a normal input."""

    average_precision: float
    """The mean, over the anomalies, of the share of anomalies down to their score."""

    found: int
    """Anomalies above the threshold."""

    missed: int
    false_alarms: int
    """Normal inputs above the threshold."""

    passed: int
    rivals: Mapping[str, float] = field(default_factory=dict)
    """The AUROC of detectors that are no autoencoders, by name (`evaluate.rivals.RIVALS`)."""

    no_rivals: str = ""
    """Why there are none."""

    seen: int = 0
    """Inputs that the model was trained on, to the byte, as far as its training data are there."""

    @property
    def anomalies(self) -> int:
        """How many inputs are."""
        return self.found + self.missed

    @property
    def normal(self) -> int:
        """How many are not."""
        return self.false_alarms + self.passed

    @property
    def told(self) -> str:
        """In words."""
        return (
            f"{self.found:,} of {self.anomalies:,} anomalies ({', '.join(self.classes)}) are "
            f"found, and {self.false_alarms:,} of {self.normal:,} normal inputs are false alarms "
            f"({100 * self.false_alarms / self.normal:.3g} %); AUROC {self.auroc:.4f}, average "
            f"precision {self.average_precision:.4f}"
        )


def anomaly_classes(inputs: Inputs, trained_on: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of anomalies where that goes without saying; nothing where it does not.

    The model was trained on other classes alone; or one class is called good, as in folders for
    finding defects; or the labels are 0 and 1.
    """
    classes = inputs.classes
    if trained_on:
        return tuple(name for name in classes if name not in trained_on)
    if GOOD in classes:
        return tuple(name for name in classes if name != GOOD)
    if len(classes) == 2 and YES.get(classes[0]) == classes[1]:
        return classes[1:]
    return ()


def are_anomalies(inputs: Inputs, classes: Sequence[str]) -> Bool[Tensor, " n"]:
    """Which inputs are of these classes.

    Raises:
        InputError: inputs have no labels, or none is of one of the classes, or all or no inputs
            are anomalies.
    """
    if inputs.labels is None:
        raise InputError(
            "the inputs have no labels to tell anomalies by: --label names a column of a table; "
            "folders are classes, and so is y of an .npz archive"
        )
    if unknown := [name for name in classes if name not in inputs.classes]:
        raise InputError(
            f"no input is of the class {unknown[0]!r}; there are {', '.join(inputs.classes)}"
        )
    odd = torch.tensor([name in classes for name in inputs.classes])[inputs.labels.cpu()]
    if odd.all() or not odd.any():
        which = "an anomaly" if odd.all() else "normal"
        raise InputError(
            f"by their labels ({', '.join(inputs.classes)}), each of the {len(inputs):,} inputs is "
            f"{which}: there is nothing to tell apart; name others with --anomaly-classes, or "
            f"leave the labels out"
        )
    return odd


def decided(
    inputs: Inputs, trained_on: Sequence[str] | None, asked: Sequence[str] | None
) -> tuple[tuple[str, ...], Bool[Tensor, " n"] | None, str]:
    """The classes of anomalies, which inputs are of them, and what is to be said of that.

    What is `asked` for must be there; what follows from the labels alone may be nothing.

    Raises:
        InputError: as `are_anomalies`, of the classes that are asked for.
    """
    if asked is not None:
        return tuple(asked), are_anomalies(inputs, asked), ""
    if inputs.labels is None:
        return (), None, ""
    classes = anomaly_classes(inputs, trained_on)
    if not classes:
        some = ", ".join(inputs.classes[:3])
        return (), None, f"of the classes ({some} …), --anomaly-classes says which are anomalies"
    try:
        return classes, are_anomalies(inputs, classes), ""
    except InputError as error:
        return (), None, str(error)


def agreement(
    run: Run,
    inputs: Inputs,
    classes: tuple[str, ...],
    odd: Bool[Tensor, " n"],
    scores: Float64[Tensor, " n"],
    threshold: float,
    data: Callable[[], Dataset],
) -> Truth:
    """How well scores agree with labels, and rivals that are fitted to the run's own data."""
    above = scores > threshold
    rivals: dict[str, float] = {}
    seen, why = 0, ""
    try:
        own = data()
        run.refuse_other(own)
        rivals, seen = rivals_of(run, inputs, odd, own)
    except AelabError as error:
        why = f"rivals are fitted to the training data, which cannot be had: {error}"
    return Truth(
        classes=classes,
        auroc=auc(scores[odd], scores[~odd]),
        average_precision=average_precision(scores[odd], scores[~odd]),
        found=int((above & odd).sum()),
        missed=int((~above & odd).sum()),
        false_alarms=int((above & ~odd).sum()),
        passed=int((~above & ~odd).sum()),
        rivals=rivals,
        no_rivals=why,
        seen=seen,
    )


def rivals_of(
    run: Run, inputs: Inputs, odd: Bool[Tensor, " n"], data: Dataset
) -> tuple[dict[str, float], int]:
    """The AUROC of each rival on these inputs, and how many of these are training inputs."""
    assert isinstance(data, InputDataset)
    train = data.split("train")
    found = rival_aurocs(
        tuple(RIVALS),
        train,
        inputs.split.where(~odd),
        inputs.split.where(odd),
        latent_size(run.autoencoder),
    )
    seen = int(np.isin(digests(inputs.split), digests(train)).sum())
    return {name: value.item() for name, value in found.items()}, seen
