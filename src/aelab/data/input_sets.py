"""Data sets of inputs in one tensor: a batch is an index, a cast and a product."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from aelab.data.batch import Batch
from aelab.data.dataset import NamedSplits
from aelab.data.preparation import prepare
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.machine import room_for_data

NO_CLASSES = ("all",)
"""Of inputs without classes: the one that all are in."""

WHERE_CLASSES = (
    "classes are folders of images, the labels of an array, or the column that --label names"
)


@dataclass(frozen=True, eq=False)
class InputSplit:
    """One split of a data set; ``batch(i)`` gives its inputs ``x``.

    The splits of a data set may share one tensor of stored values, which may be a file's
    (memory-mapped); `index` says which are this split's.

    >>> values = torch.tensor([[0, 255], [51, 102], [255, 0]], dtype=torch.uint8)
    >>> split = InputSplit(values, torch.tensor([0, 1, 0]), torch.tensor([0, 2]), InputSpec((2,)))
    >>> len(split), split.batch(torch.tensor([1])).x, split.classes
    (2, tensor([[1., 0.]]), tensor([0, 0]))
    >>> split.inputs
    tensor([[  0, 255],
            [255,   0]], dtype=torch.uint8)
    """

    values: Shaped[Tensor, "images *shape"]
    """Of all splits, as they are stored: bytes, 16-bit numbers or floats."""

    labels: Int64[Tensor, " images"]
    index: Int64[Tensor, " n"]
    spec: InputSpec

    device: str | None = None
    """Where inputs are given; unless named, where their stored values are."""

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, i: Int64[Tensor, " batch"]) -> Batch:
        """Give the prepared inputs of the examples `i` of this split, float32, with their labels.

        Binarised ones are drawn from the global generator, by a probability that stays one where
        a value lies beyond the range of the training values.
        """
        stored, columns = self.stored(i), self.spec.columns
        there = self.device or stored.device
        if columns is None:
            stored = stored.to(there)  # as bytes; tables are prepared in double precision here
        x = prepare(stored, self.spec).to(there)
        return Batch(
            x.clamp(0, 1).bernoulli() if self.spec.binarise else x,
            present=(~stored.isnan()).to(there) if columns and columns.mask else None,
            labels=self.classes_of(i).to(there),
        )

    def stored(self, i: Int64[Tensor, " batch"]) -> Shaped[Tensor, "batch *shape"]:
        """Give the stored values of the examples `i` of this split."""
        # Whole rows at once, where [] goes by values.
        return self.values.index_select(0, self.places(i))

    def places(self, i: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
        """Where the examples `i` of this split are among all stored ones."""
        return self.index.index_select(0, i.to(self.index.device))

    def intensities(self, i: Int64[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        """Give the images `i` of this split on a scale of [0, 1], whatever the spec."""
        return prepare(self.stored(i), self.spec) / self.spec.peak

    @property
    def inputs(self) -> Shaped[Tensor, "n *shape"]:
        """The stored values of every example of this split, as `TrainedRun.encode` takes them."""
        return self.values.index_select(0, self.index)

    @property
    def classes(self) -> Int64[Tensor, " n"]:
        """The class number of every example of this split."""
        return self.labels[self.index]

    def classes_of(self, i: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
        """Give the class numbers of the examples `i` of this split."""
        return self.labels[self.places(i)]

    def where(self, chosen: Bool[Tensor, " n"]) -> "InputSplit":
        """Keep the examples that are chosen, in their order."""
        return replace(self, index=self.index[chosen])


@dataclass(frozen=True, eq=False)
class InputDataset(NamedSplits[InputSplit]):
    """A data set of images, or of a table's rows, with its splits.

    They are `train` and `validation` and maybe `test`.

    >>> values, labels = torch.zeros(3, 2, dtype=torch.uint8), torch.tensor([0, 1, 0])
    >>> train = InputSplit(values, labels, torch.arange(3), InputSpec((2,)))
    >>> InputDataset('mine', {'train': train}, ('cats', 'dogs'), sha256='').spec.kind
    'rows'
    """

    classes: tuple[str, ...]
    sha256: str
    """Of the stored content, before any preparation."""

    notes: tuple[str, ...] = ()
    """What was found and done on reading, one sentence each, for the user."""

    anomalies: Mapping[str, InputSplit] = field(default_factory=dict)
    """What `only` left out of each split."""

    most_codes: int | None = None
    """Of training inputs, that a prior is fitted to, at most; the usual number unless given."""

    @property
    def spec(self) -> InputSpec:
        """Shape and preparation of an input."""
        return self.splits["train"].spec

    def to(self, device: str) -> "InputDataset":
        """Move the data set: its tensors on `device`, those that splits share once.

        Where there is no room for the stored values, they stay, and inputs go there batch by batch.
        """
        every = [*self.splits.values(), *self.anomalies.values()]
        values = {place_of(images.values): images.values for images in every}
        if sum(of.nbytes for of in values.values()) > room_for_data(device):
            return self.each(lambda images: replace(images, device=device))
        moved = {key: of.to(device) for key, of in values.items()}
        return self.each(
            lambda images: replace(
                images,
                values=moved[place_of(images.values)],
                labels=images.labels.to(device),
                index=images.index.to(device),
                device=None,
            )
        )

    def each(self, change: Callable[[InputSplit], InputSplit]) -> "InputDataset":
        """The same data with every split changed, and the anomalies of each."""
        splits, anomalies = (
            {name: change(images) for name, images in part.items()}
            for part in (self.splits, self.anomalies)
        )
        return replace(self, splits=splits, anomalies=anomalies)

    def only(self, names: Sequence[str]) -> "InputDataset":
        """Keep the inputs of these classes in the splits, and the others as anomalies.

        Those of the training split are of no use there: where validation or the test has none,
        they are shared out to it.

        Raises:
            InputError: there is no such class, a split has no input of them, or there is none of
                another.
        """
        if self.classes == NO_CLASSES and names:
            raise InputError(
                f"{self.name} has no classes to choose {names[0]!r} from: {WHERE_CLASSES}"
            )
        self.refuse_unknown(names)
        normal = torch.tensor([name in names for name in self.classes])
        chosen = {split: normal[images.classes] for split, images in self.splits.items()}
        if empty := [split for split, of in chosen.items() if not of.any()]:
            raise InputError(
                f"{self.name}: the split {empty[0]} has no input of the classes {', '.join(names)}"
            )
        if all(of.all() for of in chosen.values()):
            if self.anomalies:  # the others were set aside before
                return self
            raise InputError(
                f"{self.name} has inputs of the classes {', '.join(names)} only, and no anomaly: "
                f"leave classes out"
            )
        anomalies = {name: images.where(~chosen[name]) for name, images in self.splits.items()}
        return replace(
            self,
            splits={name: images.where(chosen[name]) for name, images in self.splits.items()},
            anomalies=shared_out(anomalies),
        )

    def refuse_unknown(self, names: Sequence[str]) -> None:
        """Raise InputError if there is no class of one of these names."""
        if unknown := [name for name in names if name not in self.classes]:
            raise InputError(
                f"{self.name} has no class {unknown[0]!r}; it has {', '.join(self.classes)}"
            )

    def measured_on(self, n: int) -> "InputDataset":
        """The same data with the first `n` inputs of each split but the training one.

        Of that, the codes of five times as many are enough for a prior.
        """

        def first(splits: Mapping[str, InputSplit]) -> dict[str, InputSplit]:
            return {
                name: split if name == "train" else replace(split, index=split.index[:n])
                for name, split in splits.items()
            }

        splits, anomalies = first(self.splits), first(self.anomalies)
        return replace(self, splits=splits, anomalies=anomalies, most_codes=5 * n)

    def with_classes(self, label: str | None = None) -> "InputDataset":
        """The same data, whose models are told the class of each input.

        `label` is the column of a table that has it.

        Raises:
            InputError: there are not two classes to tell apart.
        """
        if len(self.classes) < 2:
            raise InputError(
                f"{self.name} has no classes to tell a model of: leave condition out; "
                f"{WHERE_CLASSES}"
            )
        columns = self.spec.columns and replace(self.spec.columns, label=label)
        return self.as_spec(replace(self.spec, classes=self.classes, columns=columns))

    def binarised(self) -> "InputDataset":
        """The same data, each value of an input 1 with its probability, and else 0.

        Raises:
            InputError: the inputs are no probabilities.
        """
        if not self.spec.in_unit_interval:
            raise InputError(f"{self.name} has inputs beyond [0, 1]: they cannot be binarised")
        return self.as_spec(replace(self.spec, binarise=True))

    def as_spec(self, spec: InputSpec) -> "InputDataset":
        """The same stored values, prepared as `spec` says."""

        def prepared(images: InputSplit) -> InputSplit:
            values = images.values.reshape(len(images.values), *spec.shape)
            return replace(images, values=values, spec=spec)

        return self.each(prepared)


def place_of(values: Tensor) -> tuple[int, torch.Size]:
    """Where a tensor is in memory: what of it is the same is moved once."""
    return values.data_ptr(), values.shape


def shared_out(anomalies: Mapping[str, InputSplit]) -> dict[str, InputSplit]:
    """The anomalies of each split, the training split's given to those that have none.

    Only splits that share their stored values can be given any: they were drawn from one file.
    """
    found = dict(anomalies)
    spare = found["train"]
    lacking = [
        name
        for name in ("test", "validation")
        if name in found and not len(found[name]) and found[name].values is spare.values
    ]
    for place, name in enumerate(lacking):
        found[name] = replace(found[name], index=spare.index[place :: len(lacking)])
    if lacking:
        found["train"] = replace(spare, index=spare.index[:0])
    return found
