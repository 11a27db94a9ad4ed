"""Missing values filled in by a model, and how well."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.impute import KNNImputer

import aelab
from aelab.apps.filled import with_cells
from aelab.apps.impute import filled, impute, rounds_for
from aelab.cli import main
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.machine import generator_at
from aelab.models.zoo import build


def plane(rows: int = 300) -> NDArray[np.float64]:
    """Points of a plane in five columns: any three follow from the other two."""
    random = np.random.default_rng(0)
    return random.normal(size=(rows, 2)) @ random.normal(size=(2, 5)) * [1, 10, 100, 1, 1] + 5


def write(path: Path, values: NDArray[np.float64], gaps: NDArray[np.bool_] | None = None) -> Path:
    lines = ["name,a,b,c,d,e"]
    for row, of_row in enumerate(values.tolist()):
        cells = [
            "" if gaps is not None and gaps[row, place] else repr(value)
            for place, value in enumerate(of_row)
        ]
        lines.append(",".join([f"row {row % 7}", *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> aelab.TrainedRun:
    folder = tmp_path_factory.mktemp("plane")
    table = write(folder / "t.csv", plane())
    return aelab.train("pca", str(table), latent_dim=2, leave_out=("name",), out=folder / "run")


def test_what_follows_from_the_known_values_is_found(run: aelab.TrainedRun, tmp_path: Path) -> None:
    values = plane()
    gaps = np.zeros(values.shape, dtype=bool)
    gaps[::3, 0] = gaps[1::5, 3] = True
    found = impute(
        run, write(tmp_path / "gaps.csv", values, gaps), run.own_data(), tmp_path / "full.csv"
    )
    table = pyarrow.csv.read_csv(tmp_path / "full.csv")
    assert table.column_names == ["name", "a", "b", "c", "d", "e"]
    assert table["name"].to_pylist()[:2] == ["row 0", "row 1"]
    full = np.stack([table[name].to_numpy() for name in "abcde"], 1)
    assert found.filled == gaps.sum()
    np.testing.assert_array_equal(full[~gaps], values[~gaps])
    spread = values.std(0)
    errors = ((full - values) / spread)[gaps]
    assert np.square(errors).mean() < 0.05  # the mean of the column leaves 1
    assert found.numbers is not None
    assert found.words is None
    assert found.numbers.model < 0.1 * found.numbers.mean


def test_the_rivals_are_the_mean_and_scikit_learns_neighbours(
    run: aelab.TrainedRun, tmp_path: Path
) -> None:
    data = run.own_data()
    assert isinstance(data, InputDataset)
    path = write(tmp_path / "t.csv", plane(20))
    found = impute(run, path, data, tmp_path / "out.parquet")
    assert found.filled == 0
    generator = generator_at(0, "hidden")
    of_split = {name: data.split(name) for name in ("train", "validation")}
    train, x = (of.batch(torch.arange(len(of))).x.numpy() for of in of_split.values())
    hidden = torch.rand(x.shape, generator=generator).numpy() < 0.1
    nearest = KNNImputer(n_neighbors=5).fit(train).transform(np.where(hidden, np.nan, x))
    numbers = found.numbers
    assert numbers is not None
    assert numbers.count == hidden.sum()
    assert numbers.neighbours == pytest.approx(np.square(nearest - x)[hidden].mean(), rel=1e-4)
    assert numbers.mean == pytest.approx(np.square(x)[hidden].mean(), rel=1e-4)
    assert 0 < numbers.neighbours < numbers.mean


def towns(folder: Path, *, gaps: bool) -> Path:
    """Rows of which each column follows from any other."""
    random = np.random.default_rng(0)
    town = random.integers(0, 3, 600)
    lines = ["town,height,coast"]
    for row, place in enumerate(town.tolist()):
        cells = [("Bern", "Lima", "Oslo")[place], f"{10 * place + random.normal():.3f}"]
        cells.append(str(place > 0).lower())
        if gaps and row % 4 == 0:
            cells[row // 4 % 3] = ""
        lines.append(",".join(cells))
    path = folder / f"towns{'-gaps' if gaps else ''}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("missing", "suffix"), [("mask", "csv"), (None, "parquet")])
def test_words_are_filled_in_with_words(tmp_path: Path, missing: str | None, suffix: str) -> None:
    gaps, whole = (towns(tmp_path, gaps=of) for of in (True, False))
    run = aelab.train(
        "multilayer", str(gaps), missing=missing, impute=missing is None, latent_dim=2, epochs=25,
        learning_rate=5e-3, hidden=(32,), out=tmp_path / "run",
    )  # fmt: skip
    out = tmp_path / f"full.{suffix}"
    found = impute(run, gaps, run.own_data(), out)
    read = pyarrow.csv.read_csv if suffix == "csv" else pyarrow.parquet.read_table
    full, truth = read(out), pyarrow.csv.read_csv(whole)
    assert found.filled == 150
    assert full["coast"].type == pyarrow.bool_()
    for name in ("town", "coast"):
        pairs = list(zip(full[name].to_pylist(), truth[name].to_pylist(), strict=True))
        wrong = sum(one != other for one, other in pairs)
        assert wrong <= (8 if missing else 30)  # of 50; by chance 33, or 17
    assert found.words is not None
    assert found.numbers is not None
    assert found.words.neighbours < found.words.mean
    if missing:
        assert found.words.model < found.words.mean
    assert "of the variance of their columns" in found.told
    assert "most frequent word" in found.told


def test_known_values_stay_and_rounds_do_not_depend_on_what_was_missing() -> None:
    model = build("pca", InputSpec((3,), dtype="float32"), latent_dim=1)
    x = torch.tensor([[1.0, 2.0, 3.0]])
    missing = torch.tensor([[False, True, False]])
    first, second = (
        filled(model, torch.where(missing, torch.tensor(junk), x), missing, 5)
        for junk in (0.0, 99.0)
    )
    assert torch.equal(first, second)
    assert first[0, [0, 2]].tolist() == [1, 3]


def test_rows_are_restored_as_often_as_their_columns_bear(
    run: aelab.TrainedRun, tmp_path: Path
) -> None:
    assert rounds_for(run, run.own_data()) == 20  # a plane
    unrelated = np.random.default_rng(0).normal(size=(300, 5))
    table = write(tmp_path / "t.csv", unrelated)
    other = aelab.train("pca", str(table), latent_dim=4, leave_out=("name",), out=tmp_path / "run")
    assert rounds_for(other, other.own_data()) < 20


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_whole_numbers_are_filled_in_with_whole_numbers(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(0)
    age = random.integers(20, 60, 90)
    height = age / 10 + random.normal(size=90)
    ages = [None if row % 9 == 0 else int(of) for row, of in enumerate(age)]
    table = pyarrow.table({"age": pyarrow.array(ages, pyarrow.int64()), "height": height})
    path, out = tmp_path / f"t.{suffix}", tmp_path / f"full.{suffix}"
    write = pyarrow.csv.write_csv if suffix == "csv" else pyarrow.parquet.write_table
    write(table, path)
    run = aelab.train("pca", str(path), latent_dim=1, impute=True, out=tmp_path / "run")
    impute(run, path, run.own_data(), out)
    read = pyarrow.csv.read_csv if suffix == "csv" else pyarrow.parquet.read_table
    full = read(out)
    assert full["age"].type == pyarrow.int64()
    assert full["age"].null_count == 0


@pytest.mark.parametrize(
    ("data", "options", "why"),
    [
        ("digits", {}, "was trained on no table: it fills in nothing"),
        ("t.csv", {"out": "full.txt"}, "tables are written as .csv"),
        ("u.csv", {}, "has no column"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(
    run: aelab.TrainedRun, tmp_path: Path, data: str, options: dict[str, Any], why: str
) -> None:
    of = run if data != "digits" else aelab.train("pca", "digits", latent_dim=2)
    path = write(tmp_path / "t.csv", plane(9))
    if data == "u.csv":
        path.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(InputError, match=why):
        impute(of, path, of.own_data(), tmp_path / options.get("out", "full.csv"))
    assert not list(tmp_path.glob("full*"))


def test_the_command_says_what_it_did(
    run: aelab.TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gaps = np.eye(9, 5, dtype=bool)
    path = write(tmp_path / "gaps.csv", plane(9), gaps)
    out = tmp_path / "full.tsv"
    assert main(["impute", str(run.folder), str(path), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "5 values filled in" in told
    assert "nearest neighbours" in told
    assert "\t\t" not in out.read_text()


def test_a_single_row_is_filled_in_and_the_input_is_not_written_over(
    run: aelab.TrainedRun, tmp_path: Path
) -> None:
    path = write(tmp_path / "one.csv", plane(1), np.array([[False, True, False, False, False]]))
    found = impute(run, path, run.own_data(), tmp_path / "full.csv")
    assert found.filled == 1
    with pytest.raises(InputError, match="is the table itself"):
        impute(run, path, run.own_data(), path)


# Everything else stays as it was written


def with_gap(path: Path, gap: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    """A table as people write them, with a gap in the first row's column a."""
    rows = [
        f'{i};000{37 + i};03.0{1 + i % 9}.2024;{gap if i == 0 else f"{i},50"};"{i},25";'
        f' {i * i % 7},0 ;+{i}e0;00{i};"Zoë; {i}"'
        for i in range(9)
    ]
    text = end.join(["# from the clinic", "", ";no;date;a;b;c;d;e;word", *rows, "", ""])
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("gap", ["", " NA ", '"NA"'])
@pytest.mark.parametrize(("encoding", "end"), [("utf-8", "\n"), ("cp1252", "\r\n")])
def test_a_filled_text_table_is_the_same_but_for_its_gaps(
    run: aelab.TrainedRun, tmp_path: Path, gap: str, encoding: str, end: str
) -> None:
    path, out = with_gap(tmp_path / "t.csv", gap, encoding, end), tmp_path / "full.csv"
    assert impute(run, path, run.own_data(), out).filled == 1
    before, after = path.read_bytes().split(b";"), out.read_bytes().split(b";")
    assert [i for i, cell in enumerate(before) if after[i] != cell] == [11]
    assert len(before) == len(after)
    assert before[11].decode() == gap
    assert float(after[11].decode().replace(",", ".")) == pytest.approx(5, abs=50)
    assert b"." not in after[11]


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_a_filled_table_of_another_kind_has_every_column_in_its_order(
    run: aelab.TrainedRun, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"full{suffix}"
    impute(run, with_gap(tmp_path / "t.csv", ""), run.own_data(), out)
    if suffix == ".tsv":
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
        assert rows[0] == ["", "no", "date", "a", "b", "c", "d", "e", "word"]
        known = ["1", "00038", "03.02.2024", "1,50", "1,25", " 1,0 ", "+1e0", "001", "Zoë; 1"]
        assert rows[2] == known
        assert float(rows[1][3].replace(",", ".")) == pytest.approx(5, abs=50)
    else:
        table = pyarrow.parquet.read_table(out)
        assert table.column_names == ["column 1", "no", "date", "a", "b", "c", "d", "e", "word"]
        assert table["column 1"].to_pylist() == list(range(9))


def test_an_index_that_pandas_wrote_is_kept(run: aelab.TrainedRun, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(plane(9), columns=list("abcde"), index=[f"p{i}" for i in range(9)])
    frame.iloc[2, 1] = np.nan
    frame.to_parquet(tmp_path / "t.parquet")
    impute(run, tmp_path / "t.parquet", run.own_data(), tmp_path / "full.parquet")
    full = pandas.read_parquet(tmp_path / "full.parquet")
    assert full.index.tolist() == frame.index.tolist()
    assert full.notna().all().all()
    np.testing.assert_array_equal(full.values[frame.notna().values], frame.values[frame.notna()])


@given(
    cells=st.lists(
        st.one_of(
            st.text(alphabet='ab1 ,;"', max_size=4).map(
                lambda text: '"' + text.replace('"', '""') + '"'
            ),
            st.text(alphabet="ab1 ;", max_size=4),
        ),
        min_size=2,
        max_size=5,
    ),
    data=st.data(),
)
def test_one_cell_is_changed_and_no_other(cells: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(cells) - 1))
    line = ",".join(cells)
    changed = with_cells(line + "\r\n", {place: "1.5"}, ",")
    assert changed == ",".join([*cells[:place], "1.5", *cells[place + 1 :]]) + "\r\n"
    assert next(csv.reader([changed.rstrip()]))[place] == "1.5"
