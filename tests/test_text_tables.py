"""Text tables as they come: what is found out of them, and what is refused in a line."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import aelab
from aelab.cli import main
from aelab.data.dialect import Said, dialect_of
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load
from aelab.data.numbers import is_number
from aelab.data.text_tables import read_text_table
from aelab.files import InputError
from aelab.runs.record import same_work

NUMBERS = np.random.default_rng(0).normal(size=(60, 4)).round(6)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)


def text_of(
    rows: NDArray[Any] = NUMBERS,
    *,
    names: str = "",
    between: str = ",",
    decimal: str = ".",
    before: str = "",
    after: str = "",
) -> str:
    lines = [
        before + between.join(str(value).replace(".", decimal) for value in row) + after
        for row in rows.tolist()
    ]
    return "\n".join([*([names] if names else []), *lines]) + "\n"


def opened(path: Path, text: str, **settings: Any) -> InputDataset:
    path.write_text(text, encoding="utf-8")
    data = load(str(path), rows="inputs", **settings)
    assert isinstance(data, InputDataset)
    return data


def names_of(data: InputDataset) -> tuple[str, ...]:
    assert data.spec.columns is not None
    return data.spec.columns.names


def stored(data: InputDataset) -> NDArray[np.float64]:
    found: NDArray[np.float64] = data.split("train").values.numpy()
    return found


# What is found out


@pytest.mark.parametrize("between", [",", ";", "\t", "|", " ", "   "])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("header", [True, False])
def test_delimiter_decimal_mark_and_header_are_found(
    tmp_path: Path, between: str, decimal: str, header: bool
) -> None:
    if between == decimal:
        return
    names = between.join(["a", "b", "c", "d"]) if header else ""
    text = text_of(names=names, between=between, decimal=decimal)
    data = opened(tmp_path / "t.csv", text)
    assert names_of(data) == (("a", "b", "c", "d") if header else ("1", "2", "3", "4"))
    np.testing.assert_array_equal(stored(data), NUMBERS)
    assert ("decimal comma" in data.notes[-1]) == (decimal == ",")
    assert ("no names in the first line" in data.notes[-1]) == (not header)


def test_a_header_may_have_the_other_delimiter_in_a_name(tmp_path: Path) -> None:
    data = opened(tmp_path / "t.csv", text_of(names="Temp (C), avg;b;c;d", between=";"))
    assert names_of(data) == ("Temp (C), avg", "b", "c", "d")


def test_empty_columns_at_the_end_of_each_line_are_left_out_and_told(tmp_path: Path) -> None:
    data = opened(tmp_path / "t.csv", text_of(names="a;b;c;d;;", between=";", after=";;"))
    assert names_of(data) == ("a", "b", "c", "d")
    assert "2 empty columns without a name" in data.notes[1]


def test_runs_of_blanks_stand_between_columns(tmp_path: Path) -> None:
    text = text_of(between="   ", before="   ")
    data = opened(tmp_path / "t.txt", text)
    np.testing.assert_array_equal(stored(data), NUMBERS)


def test_numbers_in_the_first_line_may_be_names(tmp_path: Path) -> None:
    data = opened(tmp_path / "spectra.csv", text_of(names="400,410,420,430"))
    assert names_of(data) == ("400", "410", "420", "430")
    assert len(stored(data)) == 60
    rows = opened(tmp_path / "rows.csv", text_of(names="400,410,420,430"), no_header=True)
    assert len(stored(rows)) == 61


@pytest.mark.parametrize("first", ["3,1,2,4", "1,2,3,4"])
def test_rows_of_whole_numbers_have_no_names_above(tmp_path: Path, first: str) -> None:
    rows = np.sort(np.random.default_rng(1).integers(0, 1000, (60, 4)), axis=1)
    data = opened(tmp_path / "t.csv", text_of(rows, names=first))
    assert names_of(data) == ("1", "2", "3", "4")
    assert len(stored(data)) == 61
    named = opened(tmp_path / "u.csv", text_of(rows, names=first), header=True)
    assert names_of(named) == tuple(first.split(","))


def test_rows_with_words_have_no_names_above(tmp_path: Path) -> None:
    lines = [f"5.{i % 10},3.{i % 7},{'setosa' if i % 2 else 'virginica'}" for i in range(40)]
    data = opened(tmp_path / "iris.data", "\n".join(lines), label="3")
    assert names_of(data) == ("1", "2")
    assert data.classes == ("setosa", "virginica")


@pytest.mark.parametrize("corner", ["", "Unnamed: 0", "id", "Index"])
def test_a_column_that_counts_the_rows_is_left_out_and_named(tmp_path: Path, corner: str) -> None:
    lines = [f"{i},{line}" for i, line in enumerate(text_of().splitlines())]
    data = opened(tmp_path / "t.csv", "\n".join([f"{corner},0,1,2,3", *lines]))
    assert names_of(data) == ("0", "1", "2", "3")
    assert ("counts the rows" if corner else "counts up") in data.notes[1]
    if corner:
        assert names_of(
            opened(
                tmp_path / "t.csv", "\n".join([f"{corner},0,1,2,3", *lines]), columns=(corner, "1")
            )
        ) == (corner, "1")


def test_names_of_rows_may_have_no_name_above_them(tmp_path: Path) -> None:
    """As R writes them: the first line has one cell less."""
    lines = [f'"row {i}",{line}' for i, line in enumerate(text_of().splitlines())]
    data = opened(tmp_path / "t.csv", "\n".join(['"a","b","c","d"', *lines]))
    assert names_of(data) == ("a", "b", "c", "d")
    assert "names the rows" in data.notes[1]


def test_the_index_that_pandas_wrote_into_parquet_is_left_out(tmp_path: Path) -> None:
    table = pyarrow.table(
        {"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "__index_level_0__": np.arange(60)}
    )
    meta = {b"pandas": b'{"index_columns": ["__index_level_0__"], "columns": []}'}
    pyarrow.parquet.write_table(table.replace_schema_metadata(meta), tmp_path / "t.parquet")
    some = pyarrow.table({**table.to_pydict(), "__index_level_0__": 7 * np.arange(60)})
    pyarrow.parquet.write_table(some, tmp_path / "some.parquet")  # of some rows, and nothing said
    for name in ("t.parquet", "some.parquet"):
        data = load(str(tmp_path / name))
        assert isinstance(data, InputDataset)
        assert names_of(data) == ("a", "b")
        assert "__index_level_0__ (pandas' index)" in data.notes[1]


@pytest.mark.parametrize("gap", ["", "?", "NA", "n/a", "None", "null", "-"])
def test_gaps_are_missing_values(tmp_path: Path, gap: str) -> None:
    lines = text_of(names="a,b,c,d").splitlines()
    lines[5] = ",".join([gap, *lines[5].split(",")[1:]])
    with pytest.raises(InputError, match=r"missing values: a \(row 5\)"):
        opened(tmp_path / "t.csv", "\n".join(lines))
    data = opened(tmp_path / "t.csv", "\n".join(lines), impute=True)
    assert np.isnan(stored(data)[4, 0])
    assert np.isnan(stored(data)).sum() == 1


def test_other_marks_of_a_gap_are_said(tmp_path: Path) -> None:
    lines = text_of(names="a,b,c,d").splitlines()
    lines[5] = ",".join(["unknown", *lines[5].split(",")[1:]])
    text = "\n".join(lines)
    assert names_of(opened(tmp_path / "t.csv", text)) == ("b", "c", "d")
    data = opened(tmp_path / "t.csv", text, impute=True, missing_values=("unknown",))
    assert names_of(data) == ("a", "b", "c", "d")


def test_a_column_may_turn_from_whole_numbers_to_others_far_below(tmp_path: Path) -> None:
    rows = "\n".join(["a,b", *(f"{i % 7},{i % 5}" for i in range(300_000)), "1.5,0"])
    data = opened(tmp_path / "t.csv", rows)
    assert stored(data)[-1].tolist() == [1.5, 0]


def test_marks_between_thousands_are_no_decimals(tmp_path: Path) -> None:
    lines = [f'"{1000 + 37 * i:,}",{i}.5' for i in range(30)]
    data = opened(tmp_path / "t.csv", "\n".join(["salary,x", *lines]))
    assert stored(data)[:, 0].tolist() == [1000 + 37 * i for i in range(30)]
    lines = [f"{1 + i % 3}.{100 + i},5{i % 7};{i},25" for i in range(30)]
    data = opened(tmp_path / "u.csv", "\n".join(["salary;x", *lines]))
    assert stored(data)[0].tolist() == [1100.5, 0.25]


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8-sig", ""), ("windows-1252", "windows-1252"), ("utf-16", "utf-16")],
)
def test_other_encodings_are_read(tmp_path: Path, encoding: str, told: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text_of(names="größe;b;c;d", between=";", decimal=",").encode(encoding))
    data = load(str(path))
    assert isinstance(data, InputDataset)
    assert names_of(data)[0] == "größe"
    assert told in data.notes[-1]


def test_packed_tables_are_read(tmp_path: Path) -> None:
    for name, between in (("t.csv.gz", ","), ("t.txt.gz", "  "), ("t.tsv.gz", "\t")):
        with gzip.open(tmp_path / name, "wt") as file:
            file.write(text_of(between=between))
        data = load(str(tmp_path / name), rows="inputs")
        assert isinstance(data, InputDataset)
        np.testing.assert_array_equal(stored(data), NUMBERS)


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=5, max_size=20
    ),
    st.sampled_from([",", ";", "\t", "|", " "]),
)
def test_any_numbers_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]], between: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_text("a b c\n".replace(" ", between) + text_of(np.array(rows), between=between))
    table, dialect = read_text_table(path)
    assert dialect.header
    assert dialect.delimiter == between
    assert np.stack([c.to_numpy() for c in table.columns], 1).tolist() == np.array(rows).tolist()


# Which columns are inputs


def test_columns_are_chosen_and_left_out_by_name(tmp_path: Path) -> None:
    text = text_of(names="a,b,c,d")
    assert names_of(opened(tmp_path / "t.csv", text, columns=("c", "a"))) == ("c", "a")
    data = opened(tmp_path / "t.csv", text, leave_out=("b",))
    assert names_of(data) == ("a", "c", "d")
    assert "b (as asked)" in data.notes[1]
    for asked in ({"columns": ("c", "e")}, {"leave_out": ("e",)}):
        with pytest.raises(InputError, match="has no column 'e'"):
            opened(tmp_path / "t.csv", text, **asked)


def test_a_run_reads_new_tables_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path, new, out = tmp_path / "t.csv", tmp_path / "new.csv", tmp_path / "z.csv"
    path.write_text(text_of(names="a;b;c;d", between=";", decimal=","))
    run = str(tmp_path / "run")
    how = ["--latent-dim", "2", "--epochs", "1", "--leave-out", "b"]
    assert main(["train", "vae", "--data", str(path), *how, "--out", run]) == 0
    new.write_text(text_of(names="d,c,b,a"))
    assert main(["encode", run, str(new), "--out", str(out)]) == 0
    found = aelab.load(run).encode(NUMBERS[:, [3, 1, 0]])
    table, _ = read_text_table(out)
    np.testing.assert_allclose(table["z0"].to_numpy(), found[:, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            NUMBERS[:, 0],
            "price holds numbers with decimals: it is no input, and taken for no class",
        ),
        (np.arange(60) ** 2, "price holds 60 different values: it is no input, and taken for no"),
    ],
)
def test_a_target_that_is_no_class_is_kept_out(
    tmp_path: Path, values: NDArray[Any], told: str
) -> None:
    rows = [f"{line},{v}" for line, v in zip(text_of().splitlines(), values.tolist(), strict=True)]
    data = opened(tmp_path / "t.csv", "\n".join(["a,b,c,d,price", *rows]), label="price")
    assert names_of(data) == ("a", "b", "c", "d")
    assert len(data.classes) == 1
    assert any(told in note for note in data.notes)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_class_may_be_called_none(tmp_path: Path, suffix: str) -> None:
    pandas = pytest.importorskip("pandas")
    words = ["none", "NA", "mild ", " mild", "?"]
    frame = pandas.DataFrame(NUMBERS, columns=list("abcd"))
    frame["grade"] = [words[i % 5] for i in range(60)]
    path = tmp_path / f"t{suffix}"
    (frame.to_csv if suffix == ".csv" else frame.to_excel)(path, index=False)
    data = load(str(path), label="grade", rows="inputs")
    assert isinstance(data, InputDataset)
    assert data.classes == ("?", "NA", "mild", "none")
    with pytest.raises(InputError, match="row 5 has no class"):
        load(str(path), label="grade", rows="inputs", missing_values=("?",))


def test_a_gap_among_classes_that_are_numbers_is_a_gap(tmp_path: Path) -> None:
    rows = [f"{line},{'NA' if i == 7 else i % 3}" for i, line in enumerate(text_of().splitlines())]
    with pytest.raises(InputError, match="row 8 has no class"):
        opened(tmp_path / "t.csv", "\n".join(["a,b,c,d,y", *rows]), label="y")


def test_few_anomalies_go_to_validation_and_test(tmp_path: Path) -> None:
    rows = [f"{line},{int(i in (3, 17, 31, 44))}" for i, line in enumerate(text_of().splitlines())]
    data = opened(
        tmp_path / "t.csv", "\n".join(["a,b,c,d,Class", *rows]), label="Class", classes=("0",)
    )
    reached = [len(data.anomalies[name]) for name in ("validation", "test")]
    assert min(reached) >= 1
    every = torch.cat([part.index for part in data.anomalies.values()])
    assert sorted(every.tolist()) == [3, 17, 31, 44]
    assert all((split.classes == 0).all() for split in data.splits.values())


def test_a_gap_in_the_first_row_is_no_name(tmp_path: Path) -> None:
    data = opened(tmp_path / "t.csv", f"NA,1,2,3\n{text_of()}", impute=True)
    assert names_of(data) == ("1", "2", "3", "4")
    assert len(stored(data)) == 61


# What values must be


def test_values_too_large_to_be_squared_are_trained_on(tmp_path: Path) -> None:
    data = opened(tmp_path / "t.csv", text_of(NUMBERS * 1e200, names="a,b,c,d"))
    x = data.split("train").batch(torch.arange(40))
    assert x.std(0).tolist() == pytest.approx([1] * 4, abs=0.2)
    run = aelab.train("pca", str(tmp_path / "t.csv"), latent_dim=2)
    assert 0 < run.metrics["mse"] < 1


def test_a_value_beside_which_the_others_are_one_is_refused(tmp_path: Path) -> None:
    rows = NUMBERS.copy()
    rows[12, 2] = 1e30
    with pytest.raises(
        InputError, match=r"1e\+30 in row 13 of the column c is so far from .*--leave-out c"
    ):
        opened(tmp_path / "t.csv", text_of(rows, names="a,b,c,d"))
    data = opened(tmp_path / "t.csv", text_of(rows, names="a,b,c,d"), leave_out=("c",))
    assert names_of(data) == ("a", "b", "d")


def test_a_held_out_value_beyond_arithmetic_is_refused(tmp_path: Path) -> None:
    data = opened(tmp_path / "t.csv", text_of(NUMBERS, names="a,b,c,d"))
    for split in ("validation", "test"):
        row = int(data.split(split).index[0])
        rows = NUMBERS.copy()
        rows[row, 2] = 1e300
        told = rf"1e\+300 in row {row + 1} of the column c is beyond .*--leave-out c"
        with pytest.raises(InputError, match=told):
            opened(tmp_path / "t.csv", text_of(rows, names="a,b,c,d"))


# What is refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a;b\n" + "1,234;5\n" * 9, "1,234 may be one number with decimals or a thousand times"),
        ("a;b\n" + "1,5;2.5\n" * 9, "has numbers as 1,5 and as 2.5; say which .* --decimal"),
        ("", "has no rows"),
        ("# only\n\n# comments\n", "has no rows"),
        ("a,b\n1,2\n3\n4,5\n6,7\n8,9\n", "cannot be read as a table"),
        ("a\0b,c\n", "is no text: it holds zero bytes"),
    ],
)
def test_what_cannot_be_told_is_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        opened(tmp_path / "t.csv", text)
    assert "\n" not in str(caught.value)


def test_the_decimal_mark_that_is_said_decides(tmp_path: Path) -> None:
    text = "a;b\n" + "".join(f"{1 + i % 5},234;{i}\n" for i in range(30))
    assert stored(opened(tmp_path / "t.csv", text, decimal=","))[0, 0] == 1.234
    assert stored(opened(tmp_path / "t.csv", text, decimal="."))[0, 0] == 1234


THOUSANDS = ["1.892", "12.345", "1.234.567", "845", "-3.100"]


@pytest.mark.parametrize("between", [";", "\t"])
def test_a_number_with_two_points_has_them_between_thousands(tmp_path: Path, between: str) -> None:
    rows = [between.join([THOUSANDS[i % 5], THOUSANDS[(i + 2) % 4], str(i)]) for i in range(30)]
    data = opened(tmp_path / "t.csv", "\n".join([between.join("abc"), *rows]))
    expected = [1892, 12345, 1234567, 845, -3100]
    assert stored(data)[:5, 0].tolist() == expected
    assert stored(data)[1:3, 1].tolist() == [845, 1892]
    assert "points between thousands (1.234.567)" in data.notes[-1]


def test_points_before_three_digits_are_decimals_and_told(tmp_path: Path) -> None:
    rows = [f"1.{100 + i};{2 + i}.500" for i in range(30)]
    data = opened(tmp_path / "t.csv", "\n".join(["a;b", *rows]))
    assert stored(data)[0].tolist() == [1.1, 2.5]
    assert "1.100 and the like read with decimals (--decimal , reads them as" in data.notes[-1]
    said = opened(tmp_path / "t.csv", "\n".join(["a;b", *rows]), decimal=",")
    assert stored(said)[0].tolist() == [1100, 2500]


@pytest.mark.parametrize(
    ("between", "cell", "other"),
    [
        (",", "1.892", "2.500"),  # no cell could have a comma
        (";", "0.892", "2.500"),  # 0 is no thousand
        (";", "1.892", "2.5"),
    ],
)
def test_points_that_are_decimals_are_not_told(
    tmp_path: Path, between: str, cell: str, other: str
) -> None:
    rows = [f"{cell}{between}{i}{between}{other}" for i in range(30)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(rows))
    table, dialect = read_text_table(path)
    assert table["1"].to_pylist()[-1] == float(cell)
    assert "decimals" not in dialect.told
    assert "thousands" not in dialect.told


def test_an_address_that_looks_like_a_number_says_nothing_of_points(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("".join(f"1.{100 + i};192.168.100.{95 + i}\n" for i in range(30)))
    table, dialect = read_text_table(path)
    assert dialect.decimal == "."
    assert table["1"].to_pylist()[0] == 1.1


def test_a_zero_before_three_digits_is_no_thousand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n" + "".join(f"0,{100 + i};{i}\n" for i in range(30)))
    table, dialect = read_text_table(path)
    assert dialect.decimal == ","
    assert table["a"].to_pylist()[:2] == [0.1, 0.101]


# What a run reads as its own table was read


def semicolons(path: Path, cell: str, rows: int = 30) -> Path:
    lines = [f"{i % 4},{100 + i};{i % 7},5" for i in range(rows)]
    path.write_text("\n".join(["a;b", f"{cell};{cell}", *lines[1:]]) + "\n")
    return path


def test_a_run_reads_what_could_be_either_as_its_own_table(tmp_path: Path) -> None:
    run, out = str(tmp_path / "run"), tmp_path / "z.npy"
    path = semicolons(tmp_path / "t.csv", "1,5")
    assert main(["train", "pca", "--data", str(path), "--latent-dim", "1", "--out", run]) == 0
    new = tmp_path / "new.csv"
    new.write_text("a;b\n1,234;2,345\n3,456;4,567\n")
    assert main(["encode", run, str(new), "--out", str(out)]) == 0
    opened_run = aelab.load(run)
    right = opened_run.encode(np.array([[1.234, 2.345], [3.456, 4.567]]))
    np.testing.assert_allclose(np.load(out), right, rtol=1e-6)
    inputs = aelab.open_inputs(new, opened_run.spec)
    assert inputs.split.values.tolist() == [[1.234, 2.345], [3.456, 4.567]]
    new.write_text("a;b\n1.234;2.345\n3.456;4.567\n")  # thousands, in that country
    assert aelab.open_inputs(new, opened_run.spec).split.values.tolist()[0] == [1234, 2345]
    new.write_text("a,b\n1.234,2.345\n3.456,4.567\n")
    assert aelab.open_inputs(new, opened_run.spec).split.values.tolist()[0] == [1.234, 2.345]


def test_what_is_advised_of_inputs_for_a_run_can_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(tmp_path / "run"), tmp_path / "z.npy"
    path = tmp_path / "t.csv"
    path.write_text(text_of(np.arange(60).reshape(30, 2), names="a;b", between=";"))
    assert main(["train", "pca", "--data", str(path), "--latent-dim", "1", "--out", run]) == 0
    new = tmp_path / "new.csv"
    new.write_text("a;b\n1,234;2,345\n3,456;4,567\n")
    encode = ["encode", run, str(new), "--out", str(out)]
    capsys.readouterr()
    assert main(encode) == 2  # nothing in the run's own table tells
    assert "say which is the decimal mark with --decimal" in capsys.readouterr().err
    assert main([*encode, "--decimal", ","]) == 0
    new.write_text("a;b\n1,5;\n2;2,5\n")
    assert main(encode) == 2
    told = capsys.readouterr().err
    assert "missing values: b (row 1); fill them in, as `aelab impute` does" in told
    assert "--" not in told
    assert main(["impute", run, str(new), "--out", str(tmp_path / "full.csv")]) == 0
    assert main(["encode", run, str(tmp_path / "full.csv"), "--out", str(out)]) == 0


def test_a_run_of_before_marks_were_recorded_is_the_same_work(tmp_path: Path) -> None:
    path = semicolons(tmp_path / "t.csv", "1,5")
    run = aelab.train("pca", str(path), latent_dim=1, out=tmp_path / "run")
    config = {**run.config, "input": {**run.config["input"]}}
    assert config["input"]["columns"]["decimal"] == ","
    old = {key: of for key, of in config["input"]["columns"].items() if key != "decimal"}
    config["input"]["columns"] = old
    assert same_work(config, run.config)


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(text_of().encode())
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="is damaged or not compressed"):
        load(str(tmp_path / "t.csv.gz"))
    (tmp_path / "u.csv.gz").write_bytes(b"not packed at all")
    with pytest.raises(InputError, match="is damaged or not compressed"):
        load(str(tmp_path / "u.csv.gz"))


def test_header_and_no_header_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="header, or no_header"):
        opened(tmp_path / "t.csv", text_of(), header=True, no_header=True)


def test_what_is_said_needs_not_be_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("1;2\n3;4\n")
    assert not dialect_of(path).header
    assert dialect_of(path, Said(header=True)).names == ("1", "2")


@pytest.mark.parametrize("cell", ["1", "-1.5", "+.5", "1e5", "1.5E-3", "inf", "1,234.5"])
def test_numbers_are_known(cell: str) -> None:
    assert is_number(cell)


@pytest.mark.parametrize("cell", ["", "one", "1,5", "1.2.3", "12-05", "--1", "1e"])
def test_what_is_no_number_is_known(cell: str) -> None:
    assert not is_number(cell)


# Workbooks and data frames


def test_the_first_sheet_of_a_workbook_is_a_table(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["cm", "kg", "city", None])
    for row in NUMBERS.tolist():
        sheet.append([row[0], row[1], "Oslo", None])
    sheet["A5"] = "n/a"
    book.create_sheet("other").append([1, 2])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=r"missing values: cm \(row 4\)"):
        load(str(tmp_path / "t.xlsx"))
    data = load(str(tmp_path / "t.xlsx"), impute=True)
    assert isinstance(data, InputDataset)
    assert names_of(data) == ("cm", "kg")
    np.testing.assert_allclose(np.delete(stored(data), 3, 0), np.delete(NUMBERS[:, :2], 3, 0))
    assert "city (it does not vary)" in data.notes[1]
    (tmp_path / "u.xlsx").write_bytes((tmp_path / "t.xlsx").read_bytes()[:500])
    with pytest.raises(InputError, match="damaged or no workbook"):
        load(str(tmp_path / "u.xlsx"))
    sheet.delete_rows(2, len(NUMBERS))  # all but the names
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="its first sheet has no rows"):
        load(str(tmp_path / "t.xlsx"))


def test_data_frames_are_tables(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(NUMBERS, columns=list("abcd"))
    frame["kind"] = ["left", "right"] * 30
    path = tmp_path / "t.csv"
    frame.to_csv(path)  # with pandas' index
    options: dict[str, Any] = {"latent_dim": 2, "epochs": 2, "hidden": (8,), "label": "kind"}
    from_file = aelab.train("vae", str(path), **options)
    in_memory = aelab.train("vae", frame, **options)
    assert in_memory.metrics["mse"] == from_file.metrics["mse"]
    shuffled = frame[["d", "kind", "c", "b", "a"]]
    z = in_memory.encode(shuffled)
    np.testing.assert_array_equal(z, from_file.encode(NUMBERS))
    assert in_memory.reconstruct(shuffled).shape == (60, 4)
    with pytest.raises(InputError, match="has no column 'b'"):
        in_memory.encode(frame[["a", "c", "d"]])


@settings(max_examples=300)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='ab1,;.|-e"\t \n\r#%?', max_size=120).map(str.encode),
        st.lists(st.sampled_from(["1", "2.5", "x", "", "NA", "1,5", "-"]), max_size=40).map(
            lambda cells: "\n".join(
                ";".join(cells[i : i + 3]) for i in range(0, len(cells), 3)
            ).encode()
        ),
    )
)
def test_any_bytes_are_a_table_or_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    message = ""
    try:
        data = load(str(path), rows="inputs", impute=True)
        assert isinstance(data, InputDataset)
        assert data.split("train").batch(torch.tensor([0])).isfinite().all()
    except InputError as error:
        message = str(error)
    assert "\n" not in message


# What was read wrongly once


def test_words_with_blanks_are_not_divided_at_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("".join(f"Ann {i},Ann {i + 2}\n" for i in range(30)))
    table, dialect = read_text_table(path)
    assert dialect.delimiter == ","
    assert table.num_columns == 2


def test_semicolons_divide_where_a_column_has_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b;w\n" + "".join(f"p{i};p{i + 1};{i},5\n" for i in range(30)))
    table, dialect = read_text_table(path)
    assert (dialect.delimiter, dialect.decimal) == (";", ",")
    assert table["w"].to_pylist()[:2] == [0.5, 1.5]


@pytest.mark.parametrize("lines", [(21,), (21, 41)])
def test_an_open_quote_takes_no_rows(tmp_path: Path, lines: tuple[int, ...]) -> None:
    rows = [f"{chr(34) if i in lines else ''}{i} inch,{i},{i % 7}" for i in range(60)]
    with pytest.raises(InputError, match="the quote in line 23 is open at its end"):
        opened(tmp_path / "t.csv", "\n".join(["note,a,b", *rows]))


@pytest.mark.parametrize("extra", [1, 2, 4])
def test_a_header_that_is_shorter_than_its_rows_is_refused(tmp_path: Path, extra: int) -> None:
    text = text_of(np.hstack([NUMBERS, NUMBERS])[:, : 4 + extra], names="a,b,c,d")
    with pytest.raises(InputError, match=rf"has 4 cells and the rows below it have {4 + extra}"):
        opened(tmp_path / "t.csv", text)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", "frame"])
def test_marks_of_a_gap_are_numbers_where_their_column_is(tmp_path: Path, suffix: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(NUMBERS, columns=list("abcd"))
    frame.loc[3, "a"] = -999.0
    path = tmp_path / f"t{suffix}"
    if suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif suffix != "frame":
        (frame.to_csv if suffix == ".csv" else frame.to_parquet)(path, index=False)
    given = frame if suffix == "frame" else str(path)
    data = load(given, missing_values=("-999",), impute=True)
    assert isinstance(data, InputDataset)
    assert np.argwhere(np.isnan(stored(data))).tolist() == [[3, 0]]


def test_a_mark_of_a_gap_may_have_a_mark_between_thousands(tmp_path: Path) -> None:
    rows = NUMBERS.copy()
    rows[3, 0] = -9999
    data = opened(tmp_path / "t.csv", text_of(rows), missing_values=("-9,999",), impute=True)
    assert np.argwhere(np.isnan(stored(data))).tolist() == [[3, 0]]


def test_years_above_numbers_are_names_beside_a_word(tmp_path: Path) -> None:
    lines = [f"Land {i},{line}" for i, line in enumerate(text_of().splitlines())]
    data = opened(tmp_path / "t.csv", "\n".join(["country,2000,2010,2020,2030", *lines]))
    assert names_of(data) == ("2000", "2010", "2020", "2030")


@pytest.mark.parametrize(("comment", "between"), [("# a b c d", " "), ("#a\tb\tc\td", "\t")])
def test_names_may_stand_in_a_comment(tmp_path: Path, comment: str, between: str) -> None:
    """As NumPy writes them."""
    data = opened(tmp_path / "t.txt", f"{comment}\n{text_of(between=between)}")
    assert names_of(data) == ("a", "b", "c", "d")
    assert len(stored(data)) == 60


def test_a_very_long_cell_is_text_like_any(tmp_path: Path) -> None:
    rows = [
        f"{line},{'x' * 200_000 if i == 3 else 'y'}"
        for i, line in enumerate(text_of().splitlines())
    ]
    data = opened(tmp_path / "t.csv", "\n".join(["a,b,c,d,t", *rows]))
    assert names_of(data) == ("a", "b", "c", "d")


def test_blanks_around_a_gap_change_nothing(tmp_path: Path) -> None:
    lines = text_of(names="a,b,c,d").splitlines()
    lines[5] = ",".join(["NULL ", " ", *lines[5].split(",")[2:]])
    data = opened(tmp_path / "t.csv", "\n".join(lines), impute=True)
    assert np.argwhere(np.isnan(stored(data))).tolist() == [[4, 0], [4, 1]]


@pytest.mark.parametrize(
    "asked", [{"columns": ("a",)}, {"impute": True}, {"decimal": ","}, {"label": "y"}]
)
def test_settings_of_tables_are_refused_for_other_data(tmp_path: Path, asked: Any) -> None:
    np.save(tmp_path / "x.npy", NUMBERS)
    with pytest.raises(InputError, match=r"is for tables of inputs, which .* is not"):
        load(str(tmp_path / "x.npy"), **asked)


def test_a_column_cannot_be_taken_and_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="columns and leave-out both name 'b'"):
        opened(tmp_path / "t.csv", text_of(names="a,b,c,d"), columns=("a", "b"), leave_out=("b",))


def test_the_most_extreme_row_is_an_anomaly(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text_of(names="a,b,c,d"))
    run = aelab.train("vae", str(path), epochs=3, latent_dim=2, hidden=(8,))
    far = np.array([[5.0, 0, 0, 0], [1e4, 0, 0, 0], [1e30, 0, 0, 0]])
    scores = run.score(far)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) >= 0).all()
    assert scores[2] > 1e6
