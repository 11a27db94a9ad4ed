r"""Splits that do not leak: whole groups, orders, and what is told of inputs in two splits."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load
from aelab.data.splits import ALL, By, Part, divide, draw_groups, one_class
from aelab.evaluate import leaks
from aelab.evaluate.leaks import leak_notes
from aelab.files import InputError
from aelab.settings import DataSettings


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)


def visits(rows: int = 200) -> dict[str, Any]:
    """Visits of patients, each with a number that only she has."""
    random = np.random.default_rng(0)
    patients = random.integers(0, 30, rows)
    return {
        "patient": [f"p{patient:02}" for patient in patients],
        "number": patients,
        "day": [date(2026, 1, 1) + timedelta(days=int(d)) for d in random.permutation(rows)],
        "pulse": random.normal(70, 10, rows) + patients,
        "weight": random.normal(70, 10, rows),
    }


def written(path: Path, columns: dict[str, Any], rows: slice = slice(None)) -> Path:
    table = pyarrow.table({name: pyarrow.array(list(c)[rows]) for name, c in columns.items()})
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.csv.write_csv(table, path)
    return path


def opened(path: Path, **settings: Any) -> InputDataset:
    data = load(str(path), **settings)
    assert isinstance(data, InputDataset)
    return data


def of_splits(data: InputDataset, of_each: Any) -> dict[str, list[Any]]:
    """What the rows of each split have, where all are of one table."""
    return {
        name: [list(of_each)[i] for i in split.index.tolist()]
        for name, split in data.splits.items()
    }


# Groups of rows


@pytest.mark.parametrize("column", ["patient", "number"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_group_is_in_one_split_only(column: str, suffix: str, tmp_path: Path) -> None:
    table = visits()
    path = written(tmp_path / f"t.{suffix}", table)
    data = opened(path, rows="inputs", group_by=column)
    found = {name: set(of) for name, of in of_splits(data, table[column]).items()}
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]
    assert set.union(*found.values()) == set(table[column])
    for name in ("validation", "test"):
        assert 10 <= len(data.split(name)) <= 30  # about a tenth of 200
    assert data.spec.columns is not None
    assert column not in data.spec.columns.names
    assert {"pulse", "weight"} <= set(data.spec.columns.names)
    counts = ", ".join(f"{len(found[name])} {name}" for name in ("train", "validation", "test"))
    assert f"groups by column {column}: {counts}, validation and test drawn whole" in data.notes[0]
    assert f"column {column} decides the splits, and is no input" in data.notes
    again = opened(path, rows="inputs", group_by=column, seed=3)
    for name in data.splits:
        assert again.split(name).index.equal(data.split(name).index)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_blanks_around_a_name_make_no_other_group(suffix: str, tmp_path: Path) -> None:
    table = visits()
    right = opened(written(tmp_path / f"t.{suffix}", table), rows="inputs", group_by="patient")
    blank = [f"{' ' * (i % 3)}{name}{' ' * (i % 2)}" for i, name in enumerate(table["patient"])]
    path = written(tmp_path / f"u.{suffix}", {**table, "patient": blank})
    data = opened(path, rows="inputs", group_by="patient", label="patient")
    assert data.notes[0].rpartition("groups")[2] == right.notes[0].rpartition("groups")[2]
    assert any("patient holds 30 different values" in note for note in data.notes)


def test_without_groups_the_same_table_leaks(tmp_path: Path) -> None:
    """What the option is for."""
    table = visits()
    data = opened(written(tmp_path / "t.csv", table), rows="inputs")
    found = of_splits(data, table["patient"])
    assert set(found["test"]) & set(found["train"])


@given(
    sizes=st.lists(st.integers(1, 50), min_size=3, max_size=40),
    missing=st.sampled_from([["validation"], ["validation", "test"]]),
)
def test_groups_are_drawn_whole_and_about_a_tenth_each(
    sizes: list[int], missing: list[str]
) -> None:
    taken = draw_groups(np.array(sizes), missing)
    assert sorted(np.concatenate(list(taken.values())).tolist()) == list(range(len(sizes)))
    for split in missing:
        assert len(taken[split])
        total = sum(sizes[group] for group in taken[split])
        assert total <= max(sum(sizes) / 5, min(sizes[group] for group in taken[split]))
    assert len(taken["train"])


def test_one_large_group_is_trained_on() -> None:
    groups = np.array(["large"] * 90 + ["a"] * 5 + ["b"] * 5)
    by = By("column g", {ALL: groups})
    splits, _ = divide({ALL: Part(torch.zeros(100, 2), one_class(100))}, "mine", by)
    assert {name: len(index) for name, (_, index) in splits.items()} == {
        "train": 90,
        "validation": 5,
        "test": 5,
    }


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    table = visits(20) | {"patient": ["a", "b"] * 10}
    with pytest.raises(
        InputError, match=r"has only 2 groups by column patient; .* at least 3: one"
    ):
        opened(written(tmp_path / "t.csv", table), rows="inputs", group_by="patient")


def test_own_splits_may_not_share_a_group(tmp_path: Path) -> None:
    table = visits(60) | {"patient": [f"p{row // 10}" for row in range(60)]}
    written(tmp_path / "train.csv", table, slice(0, 40))
    written(tmp_path / "test.csv", table, slice(40, 60))
    data = opened(tmp_path, rows="inputs", group_by="patient")
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [30, 10, 20]
    assert "3 train, 1 validation, 2 test, validation drawn whole" in data.notes[0]
    written(tmp_path / "test.csv", table, slice(35, 60))
    with pytest.raises(InputError, match=r"the group 'p3' is in (train|validation) and in test"):
        opened(tmp_path, rows="inputs", group_by="patient")


@pytest.mark.parametrize("option", ["group_by", "split_by"])
@pytest.mark.parametrize("column", ["patient", "pulse"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_missing_value_is_refused_with_its_row(
    option: str, column: str, suffix: str, tmp_path: Path
) -> None:
    table = visits(30)
    table[column] = list(table[column])
    table[column][6] = None
    path = written(tmp_path / f"t.{suffix}", table)
    with pytest.raises(InputError, match=rf"row 7 has no value in the column '{column}'"):
        opened(path, rows="inputs", **{option: column})


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    table = visits(30)
    table["pulse"][6] = np.nan
    with pytest.raises(InputError, match="row 7 has no value in the column 'pulse'"):
        opened(written(tmp_path / "t.parquet", table), rows="inputs", split_by="pulse")


# In order


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_last_in_order_are_the_test(suffix: str, tmp_path: Path) -> None:
    table = visits()
    path = written(tmp_path / f"t.{suffix}", table)
    data = opened(path, rows="inputs", split_by="day", label="number")
    days = of_splits(data, table["day"])
    assert [len(of) for of in days.values()] == [160, 20, 20]
    assert max(days["train"]) < min(days["validation"])
    assert max(days["validation"]) < min(days["test"])
    told = (
        f"in the order of column day: train up to {max(days['train'])}, validation from "
        f"{min(days['validation'])} to {max(days['validation'])}, test from {min(days['test'])}"
    )
    assert told in data.notes[0]
    assert "column day decides the splits, and is no input" in data.notes
    assert data.spec.columns is not None
    assert data.spec.columns.names == ("patient", "pulse", "weight")
    for split in data.splits.values():
        assert split.index.equal(split.index.sort().values)


def test_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    table = visits(30) | {"step": [int(step) for step in np.random.default_rng(1).permutation(30)]}
    data = opened(written(tmp_path / "t.csv", table), rows="inputs", split_by="step")
    assert sorted(of_splits(data, table["step"])["test"]) == [27, 28, 29]


def test_equal_places_on_both_sides_of_a_border_are_told(tmp_path: Path) -> None:
    table = visits(30) | {"year": [2020] * 15 + [2021] * 15}
    data = opened(written(tmp_path / "t.csv", table), rows="inputs", split_by="year")
    assert "equal ones stand on both sides of a border" in data.notes[0]
    assert of_splits(data, range(30))["test"] == [27, 28, 29]


def test_text_is_in_the_order_of_text_and_dates_must_be(tmp_path: Path) -> None:
    table = visits(30) | {"version": [f"v{row:02}" for row in range(30)]}
    data = opened(written(tmp_path / "t.csv", table), rows="inputs", split_by="version")
    assert "in the order of column version, as text: train up to v23" in data.notes[0]
    table |= {"day": [f"{1 + row % 28:02}.{1 + row // 28:02}.2026" for row in range(30)]}
    with pytest.raises(InputError, match=r"column day has '01\.01\.2026' in row 1: text"):
        opened(written(tmp_path / "u.csv", table), rows="inputs", split_by="day")


def test_an_order_cuts_only_what_is_missing(tmp_path: Path) -> None:
    table = visits(60) | {"step": np.arange(60)}
    written(tmp_path / "train.csv", table, slice(0, 40))
    written(tmp_path / "test.csv", table, slice(40, 60))
    data = opened(tmp_path, rows="inputs", split_by="step")
    assert data.split("validation").index.tolist() == [36, 37, 38, 39]
    assert len(data.split("test")) == 20
    written(tmp_path / "val.csv", table, slice(40, 50))
    with pytest.raises(InputError, match="has splits of its own: leave split-by out"):
        opened(tmp_path, rows="inputs", split_by="step")


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", visits())
    for option in ("group_by", "split_by"):
        with pytest.raises(InputError, match="has no column 'patients'; did you mean 'patient'"):
            opened(path, rows="inputs", **{option: "patients"})


# Groups of images


def save(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def noise(seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 256, (6, 5)).astype(np.uint8)


@pytest.fixture
def wards(tmp_path: Path) -> Path:
    """Three images of each of ten patients, in two folders."""
    for patient in range(10):
        for shot in range(3):
            name = f"{'north' if patient % 2 else 'south'}/patient{patient}_{shot}.png"
            save(tmp_path / "wards" / name, noise(10 * patient + shot))
    return tmp_path / "wards"


def patients_of(data: InputDataset, root: Path) -> dict[str, set[str]]:
    names = sorted(path.name for path in root.rglob("*.png"))
    by_image = {
        np.asarray(Image.open(next(root.rglob(name)))).tobytes(): name.partition("_")[0]
        for name in names
    }
    return {
        split: {by_image[images.values[i].numpy().tobytes()] for i in images.index}
        for split, images in data.splits.items()
    }


@pytest.mark.parametrize("pattern", [r"(patient\d+)", r"patient\d+", r"([^/]*)_"])
def test_images_of_one_patient_are_in_one_split(pattern: str, wards: Path) -> None:
    data = opened(wards, group_by=pattern)
    found = patients_of(data, wards)
    assert sum(map(len, found.values())) == 10
    assert len(set.union(*found.values())) == 10
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }
    assert f"groups by pattern {pattern}: 8 train, 1 validation, 1 test" in data.notes[0]
    assert data.classes == ("north", "south")


def test_folders_are_groups(wards: Path) -> None:
    with pytest.raises(InputError, match="has only 2 groups by folder"):
        opened(wards, group_by="folder")
    for shot in range(3):
        save(wards / "east" / f"{shot}.png", noise(1000 + shot))
    data = opened(wards, group_by="folder")
    assert all(len(set(split.classes.tolist())) == 1 for split in data.splits.values())
    save(wards / "loose.png", noise(2000))
    with pytest.raises(InputError, match=r"wards: loose.png is in no folder"):
        opened(wards, group_by="folder")


def test_own_folders_of_images_may_not_share_a_group(wards: Path) -> None:
    (wards / "south").rename(wards / "train")
    (wards / "north").rename(wards / "test")
    data = opened(wards, group_by=r"(patient\d+)")
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [12, 3, 15]
    save(wards / "test" / "patient2_9.png", noise(3000))
    with pytest.raises(InputError, match=r"'patient2' is in (train|validation) and in test"):
        opened(wards, group_by=r"(patient\d+)")


def test_patterns_that_cannot_be(wards: Path) -> None:
    with pytest.raises(
        InputError, match=r"group-by '\(patient' is no regular expression \(missing"
    ):
        opened(wards, group_by="(patient")
    for pattern in (r"(patient1)", r"x*", r"(zebra)?patient"):
        with pytest.raises(InputError, match="has no group by"):
            opened(wards, group_by=pattern)


def test_data_without_groups_or_columns_say_so(wards: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((20, 4, 4), np.uint8))
    for data in (str(tmp_path / "x.npy"), "digits", "karate", np.zeros((20, 4), np.float32)):
        with pytest.raises(InputError, match="group-by is for tables of inputs and folders of"):
            load(data, group_by="folder")
    with pytest.raises(InputError, match="split-by is for tables of inputs, which"):
        load(str(wards), split_by="day")
    edges = written(tmp_path / "edges.csv", {"a": ["x", "y", "z"], "b": ["y", "z", "x"]})
    with pytest.raises(InputError, match="group-by is for tables of inputs"):
        load(str(edges), rows="edges", group_by="a")


def test_the_command_line_takes_both(outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(outside / "t.csv", visits())
    told = ["train", "pca", "--latent-dim", "1", "--data", str(path)]
    assert main([*told, "--group-by", "patient", "--out", "a"]) == 0
    assert "groups by column patient: " in capsys.readouterr().err
    assert main([*told, "--split-by", "day", "--out", "b"]) == 0
    assert "in the order of column day: " in capsys.readouterr().err
    assert main(["evaluate", "b", "--split", "validation"]) == 0
    capsys.readouterr()
    assert main([*told, "--split-by", "day", "--group-by", "patient", "--out", "c"]) == 2
    said = capsys.readouterr().err
    assert "leave one out" in said
    assert said.count("\n") == 1


# Inputs in two splits


def note_on(data: InputDataset, split: str = "test") -> str:
    return " ".join(leak_notes(DataSettings(data.name, rows="inputs"), data, split))


def test_rows_that_are_trained_on_too_are_counted(tmp_path: Path) -> None:
    """Against a comparison of every pair of rows."""
    random = np.random.default_rng(0)
    table = {name: random.integers(0, 4, 200).astype(float) for name in "abc"}
    data = opened(written(tmp_path / "t.csv", table), rows="inputs")
    rows = np.stack([table[name] for name in "abc"], 1)
    train = rows[data.split("train").index.numpy()]
    for split in ("validation", "test"):
        held = rows[data.split(split).index.numpy()]
        twice = int((held[:, None] == train[None]).all(2).any(1).sum())
        assert 0 < twice < len(held)
        assert note_on(data, split).startswith(
            f"{split} rows that are training rows too: {twice} of {len(held)} to the byte; figures"
        )
    assert "--group-by" in note_on(data)
    assert note_on(data, "train") == ""


def test_images_are_compared_for_near_ones_too(wards: Path) -> None:
    assert note_on(opened(wards)) == ""
    image = noise(0)
    for place, shift in (("train", 0), ("test", 0), ("test", 1), ("test", 60)):
        save(wards / "own" / place / f"{shift}.png", np.clip(image, 0, 100) + np.uint8(shift))
    for i in range(3):
        save(wards / "own" / "validation" / f"{i}.png", noise(100 + i))
    told = note_on(opened(wards / "own"))
    assert told.startswith(
        "test images that are training images too: 1 of 3 to the byte, and 1 more nearly (MSE below"
    )


def test_slow_comparisons_are_left_out(wards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> int:
        raise AssertionError

    monkeypatch.setattr(leaks, "near_duplicates", never)
    monkeypatch.setattr(leaks, "QUICK_TRAINING", 5)
    assert note_on(opened(wards)) == ""


def test_what_cannot_be_grouped_is_not_told_to_be(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((20, 4, 4), np.uint8))
    told = note_on(opened(tmp_path / "x.npy"))
    assert told.startswith("test images that are training images too: 2 of 2 to the byte; ")
    assert told.endswith("figures on them look better than they are: leave one of them out")
    assert note_on(opened(Path("digits"))) == ""  # as published


def test_a_run_tells_of_them(outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And of none where whole groups are in one split."""
    table = {name: np.repeat(np.random.default_rng(0).random(40), 5) for name in "ab"}
    path = written(outside / "t.csv", table | {"origin": np.repeat(np.arange(40), 5)})
    told = ["train", "pca", "--latent-dim", "1", "--data", str(path)]
    assert main([*told, "--out", "a"]) == 0
    said = capsys.readouterr().err
    assert "t.csv: test rows that are training rows too: 20 of 20 to the byte; " in said
    assert "--group-by" in said
    assert main([*told, "--group-by", "origin", "--out", "b"]) == 0
    assert "training rows too" not in capsys.readouterr().err
