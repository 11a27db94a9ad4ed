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


@dataclass(frozen=True, eq=False)
class Kinds:
    """Which inputs are anomalies and which are normal, by their labels.

    >>> odd = torch.tensor([True, False])
    >>> Kinds(("bent",), odd, ~odd).others
    0
    """

    classes: tuple[str, ...]
    """Those of the anomalies."""

    odd: Bool[Tensor, " n"]
    normal: Bool[Tensor, " n"]

    @property
    def others(self) -> int:
        """How many are neither: of classes that were not trained on, and are not asked for."""
        return int((~(self.odd | self.normal)).sum())


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


def kinds_of(
    inputs: Inputs, classes: Sequence[str], trained_on: Sequence[str] | None = None
) -> Kinds:
    """Which inputs are of these classes, and which are of those that were trained on, or of any.

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
    labels = inputs.labels.cpu()
    odd = torch.tensor([name in classes for name in inputs.classes])[labels]
    usual = torch.tensor([trained_on is None or name in trained_on for name in inputs.classes])
    normal = usual[labels] & ~odd
    if not (odd.any() and normal.any()):
        lacking = "normal" if odd.any() else "an anomaly"
        raise InputError(
            f"by their labels ({', '.join(inputs.classes)}), none of the {len(inputs):,} inputs is "
            f"{lacking}: there is nothing to tell apart; name others with --anomaly-classes, or "
            f"leave the labels out"
        )
    return Kinds(tuple(classes), odd, normal)


def decided(
    inputs: Inputs, trained_on: Sequence[str] | None, asked: Sequence[str] | None
) -> tuple[Kinds | None, str]:
    """Which inputs are anomalies, as far as that is known, and what is to be said of it.

    What is `asked` for must be there; what follows from the labels alone may be nothing.

    Raises:
        InputError: as `kinds_of`, of the classes that are asked for.
    """
    if asked is not None:
        kinds = kinds_of(inputs, asked, trained_on)
        left = (
            f"{kinds.others:,} inputs of other classes, not trained on, count neither as normal "
            f"nor as anomalies"
        )
        return kinds, left if kinds.others else ""
    if inputs.labels is None:
        return None, ""
    classes = anomaly_classes(inputs, trained_on)
    if not classes:
        some = ", ".join(inputs.classes[:3])
        return None, (
            f"no figures of how well anomalies are found: name the classes that are anomalies "
            f"({some} …) with --anomaly-classes"
        )
    try:
        return kinds_of(inputs, classes, trained_on), ""
    except InputError as error:
        return None, str(error)


def agreement(
    run: Run,
    inputs: Inputs,
    kinds: Kinds,
    scores: Float64[Tensor, " n"],
    threshold: float,
    data: Callable[[], Dataset],
) -> Truth:
    """How well scores agree with labels, and rivals that are fitted to the run's own data."""
    above = scores > threshold
    odd, normal = kinds.odd, kinds.normal
    rivals: dict[str, float] = {}
    seen, why = 0, ""
    try:
        own = data()
        run.refuse_other(own)
        rivals, seen = rivals_of(run, inputs, kinds, own)
    except AelabError as error:
        why = f"rivals are fitted to the training data, which cannot be had: {error}"
    return Truth(
        classes=kinds.classes,
        auroc=auc(scores[odd], scores[normal]),
        average_precision=average_precision(scores[odd], scores[normal]),
        found=int((above & odd).sum()),
        missed=int((~above & odd).sum()),
        false_alarms=int((above & normal).sum()),
        passed=int((~above & normal).sum()),
        rivals=rivals,
        no_rivals=why,
        seen=seen,
    )


def rivals_of(
    run: Run, inputs: Inputs, kinds: Kinds, data: Dataset
) -> tuple[dict[str, float], int]:
    """The AUROC of each rival on these inputs, and how many of these are training inputs."""
    assert isinstance(data, InputDataset)
    train = data.split("train")
    odd, normal = (inputs.split.where(of) for of in (kinds.odd, kinds.normal))
    found = rival_aurocs(tuple(RIVALS), train, normal, odd, latent_size(run.autoencoder))
    known = digests(train)
    seen = sum(int(np.isin(digests(images), known).sum()) for images in (odd, normal))
    return {name: value.item() for name, value in found.items()}, seen
