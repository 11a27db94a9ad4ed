"""Whether a run's figures follow from its weights and its data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.evaluate.columns import GROUPS
from aelab.evaluate.finite import recorded
from aelab.files import JOINT, InputError
from aelab.models.contract import Autoencoder
from aelab.runs import kept_scores
from aelab.runs.measure import figures_of
from aelab.runs.store import Run

NO_FIGURES = ("split", "inputs", "groups")
"""Of metrics.json, that are what was measured and no figures."""


@dataclass(frozen=True)
class Other:
    """A figure that comes out otherwise than it is recorded.

    >>> Other("mse", 0.02, 0.03).told
    'mse: recorded 0.02, now 0.03 (relative difference 0.33)'
    """

    name: str
    recorded: object
    now: object

    @property
    def told(self) -> str:
        """Both values, and how far they are apart."""
        line = f"{self.name}: recorded {self.recorded}, now {self.now}"
        if not (is_number(self.recorded) and is_number(self.now)):
            return line
        before, after = float(str(self.recorded)), float(str(self.now))
        apart = abs(after - before) / max(abs(after), abs(before))
        return f"{line} (relative difference {apart:.2g})"


@dataclass(frozen=True)
class Verified:
    """What came out of a run's weights and data, held against what is recorded.

    >>> Verified(3, (), ()).holds
    True
    """

    figures: int
    """That were held against each other."""

    others: tuple[Other, ...]
    left_out: tuple[str, ...]
    """Slow groups of metrics that were not measured again."""

    @property
    def holds(self) -> bool:
        """Whether every figure came out the same, to the last bit."""
        return not self.others


def verified(run: Run, data: Dataset, *, slow: bool = False) -> Verified:
    """Measure a run again, on the same split and in the same groups; nothing is written.

    Its priors and its kept scores are read too, and must be of its weights.

    >>> from aelab.api import train
    >>> trained = train("pca", "digits", latent_dim=2)
    >>> verified(trained, trained.own_data()).holds
    True

    Raises:
        InputError: the data are not the run's, or one of its files is damaged or missing.
    """
    refuse_parts(run)
    metrics = run.metrics
    split, groups = metrics["split"], metrics["groups"]
    if unknown := set(groups) - set(GROUPS):
        raise InputError(f"{run.folder}: metrics.json has unknown groups: {', '.join(unknown)}")
    left_out = [name for name in groups if GROUPS[name].slow and not slow]
    measured = [name for name in groups if name not in left_out]
    data = as_measured(data, split, metrics.get("inputs"))
    now = dict(flat(recorded(figures_of(run, data, split, measured))))
    before = {name: value for name, value in flat(metrics) if name not in NO_FIGURES}
    # A figure of a group that was measured then and is slow now has nothing to be held against.
    names = [n for n in now if n in before or not left_out] + [
        n for n in before if n not in now and not left_out
    ]
    others = [Other(n, before.get(n), now.get(n)) for n in names if before.get(n) != now.get(n)]
    return Verified(len(names), tuple(others), tuple(left_out))


def refuse_parts(run: Run) -> None:
    """Raise InputError if a file of the run is damaged or of another run."""
    _ = run.model, run.notes
    if not (isinstance(run.model, Autoencoder) and run.model.code_size):
        return
    for path in sorted((run.folder / "priors").glob("*.safetensors")):
        run.priors.named(path.stem)
    _ = run.prior
    kept_scores.read(run)


def as_measured(data: Dataset, split: str, inputs: object) -> Dataset:
    """The data with as many inputs of the split as were measured: the first."""
    if not isinstance(data, InputDataset) or not isinstance(inputs, int):
        return data
    of = data.split(split)
    shortened = replace(of, index=of.index[:inputs])
    return data if len(of) == inputs else replace(data, splits={**data.splits, split: shortened})


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Every value that is no table, with its path."""
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}{JOINT}")
        else:
            yield path, value


def is_number(value: object) -> bool:
    """Whether a relative difference can be told of it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value != 0
