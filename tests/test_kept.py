"""What follows from the data alone: computed once, and never taken from a file that is damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aelab.data.input_sets import InputDataset
from aelab.evaluate.kept import Tensors, kept, place
from aelab.files import write_tensors

Counted = tuple[list[int], Callable[[InputDataset, int], Tensors]]


@pytest.fixture
def counted() -> Counted:
    asked: list[int] = []

    @kept
    def means(data: InputDataset, n: int) -> Tensors:
        asked.append(n)
        return {"mean": data.split("train").values.float().mean() + n}

    return asked, means


def test_it_is_computed_once(counted: Counted, blobs: InputDataset) -> None:
    asked, means = counted
    data = replace(blobs, sha256="once")
    first, again, other = means(data, 3), means(data, 3), means(data, 4)
    assert torch.equal(first["mean"], again["mean"])
    assert other["mean"] == first["mean"] + 1
    assert asked == [3, 4]


def test_other_data_another_split_or_another_preparation_is_another(blobs: InputDataset) -> None:
    first = place(blobs, "means", 3)
    train = blobs.split("train")
    fewer = {**blobs.splits, "train": replace(train, index=train.index[1:])}
    scaled = {
        name: replace(of, spec=replace(of.spec, scale=0.5)) for name, of in blobs.splits.items()
    }
    others = [
        place(blobs, "means", 4),
        place(blobs, "other", 3),
        place(replace(blobs, sha256="other"), "means", 3),
        place(replace(blobs, splits=fewer), "means", 3),
        place(replace(blobs, splits=scaled), "means", 3),
    ]
    assert len({first, *others}) == 6
    assert place(blobs, "means", 3) == first


@pytest.mark.parametrize("damage", ["cut", "other numbers", "no safetensors"])
def test_a_damaged_file_is_made_anew(counted: Counted, blobs: InputDataset, damage: str) -> None:
    asked, means = counted
    data = replace(blobs, sha256=damage)
    first = means(data, 3)
    path: Path = place(data, "means", 3)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    elif damage == "other numbers":
        write_tensors(path, {"mean": torch.tensor(7.0)}, {"sha256": "0" * 64})
    else:
        path.write_text("text")
    assert torch.equal(means(data, 3)["mean"], first["mean"])
    assert torch.equal(means(data, 3)["mean"], first["mean"])
    assert asked == [3, 3]


def test_of_data_without_a_hash_nothing_is_kept(counted: Counted, blobs: InputDataset) -> None:
    asked, means = counted
    means(replace(blobs, sha256=""), 3)
    means(replace(blobs, sha256=""), 3)
    assert asked == [3, 3]
