from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from sklearn.preprocessing import StandardScaler

import aelab.cli
import aelab.settings
from aelab.data.graphs import GraphDataset
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import open_inputs
from aelab.data.loading import load, settled
from aelab.data.preparation import restore
from aelab.data.specs import InputSpec
from aelab.data.table_rows import table_files
from aelab.files import InputError
from aelab.models.zoo import build, rows_of
from aelab.runs.store import Run
from aelab.settings import DataSettings


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)
    return folder


Columns = dict[str, Any]


def frame(rows: int = 40) -> Columns:
    random = np.random.default_rng(0)
    return {
        "age": random.integers(18, 90, rows),
        "income": random.normal(3e4, 1e4, rows),
        "city": [f"town {row}" for row in range(rows)],
        "member": random.random(rows) < 0.5,
        "time": 1.7e9 + np.arange(rows) / 7,
        "kind": np.arange(rows) % 3,
    }


NUMBERS = ["age", "income", "member", "time"]


def written(path: Path, columns: Columns, rows: slice = slice(None)) -> Path:
    table = pyarrow.table({name: pyarrow.array(c[rows]) for name, c in columns.items()})
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        options = pyarrow.csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        pyarrow.csv.write_csv(table, path, options)
    return path


def opened(path: Path, **settings: Any) -> InputDataset:
    data = load(str(path), rows="inputs", **settings)
    assert isinstance(data, InputDataset)
    return data


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_columns_are_standardised_on_the_training_rows(tmp_path: Path, suffix: str) -> None:
    table = frame()
    data = opened(written(tmp_path / f"t.{suffix}", table), label="kind")
    train = data.split("train")
    rows = train.index.numpy()
    numbers = np.stack([table[name].astype(float) for name in NUMBERS], 1)
    scaler = StandardScaler().fit(numbers[rows])
    place = NUMBERS.index("member")
    scaler.mean_[place], scaler.scale_[place] = 0, 1  # false and true are 0 and 1
    for split in data.splits.values():
        expected = scaler.transform(numbers[split.index.numpy()])
        assert np.allclose(split.batch(torch.arange(len(split))), expected, atol=1e-5)
    assert data.spec.columns is not None
    assert data.spec.columns.names == tuple(NUMBERS)
    assert (data.spec.shape, data.spec.bounded, data.spec.peak) == ((4,), False, 1)
    assert data.classes == ("0", "1", "2")
    assert train.labels.tolist() == table["kind"].tolist()
    assert data.notes[1] == "columns left out: city (another word in each row)"
    assert data.notes[2] == "columns of words: member (false, true); one value a word"
    x = train.batch(torch.arange(len(train)))
    assert np.allclose(restore(x, data.spec), numbers[rows], rtol=1e-6, atol=1e-6)


def test_missing_values_are_refused_by_name_or_imputed(tmp_path: Path) -> None:
    table = frame()
    table["age"] = [None if row in (4, 17) else int(age) for row, age in enumerate(table["age"])]
    table["income"][9] = np.nan
    path = written(tmp_path / "t.csv", table)
    with pytest.raises(
        InputError,
        match=r"missing values: age \(row 5 and 1 more\), income \(row 10\); .* --impute",
    ):
        opened(path)
    data = opened(path, impute=True)
    rows = data.split("train").index.tolist()
    for row in (4, 17):
        if row in rows:
            x = data.split("train").batch(torch.tensor([rows.index(row)]))
            assert x[0, 0] == 0
    assert data.spec.columns is not None
    mean = np.mean([table["age"][row] for row in rows if table["age"][row] is not None])
    assert data.spec.columns.mean[0] == pytest.approx(mean)
    inputs = open_inputs(path, data.spec)
    assert inputs.batch(torch.tensor([17]))[0, 0] == 0
    with pytest.raises(InputError, match="missing values: age"):
        open_inputs(path, opened(written(tmp_path / "u.csv", frame())).spec)


def test_inputs_are_found_by_the_names_of_their_columns(tmp_path: Path) -> None:
    table = frame()
    spec = opened(written(tmp_path / "t.csv", table), label="kind").spec
    turned = {"more": np.ones(40), **dict(reversed(table.items()))}
    inputs = open_inputs(written(tmp_path / "u.parquet", turned), spec)
    same = open_inputs(tmp_path / "t.csv", spec)
    assert torch.allclose(inputs.batch(torch.arange(40)), same.batch(torch.arange(40)))
    assert inputs.names[39] == "39"
    renamed = {"incom" if name == "income" else name: c for name, c in table.items()}
    without = written(tmp_path / "v.csv", renamed)
    with pytest.raises(InputError, match="has no column 'income'; did you mean 'incom'"):
        open_inputs(without, spec)
    words = written(tmp_path / "w.csv", {**table, "age": ["old"] * 40})
    with pytest.raises(InputError, match=r"age \('old' in row 1, and in training numbers\)"):
        open_inputs(words, spec)


def test_own_files_are_splits(tmp_path: Path) -> None:
    table = frame(30)
    written(tmp_path / "train.csv", table, slice(20))
    written(tmp_path / "val.csv", table, slice(20, 25))
    del table["city"]
    written(tmp_path / "test.parquet", table, slice(25, 30))
    data = opened(tmp_path, label="kind")
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 20, "validation": 5, "test": 5}
    assert data.spec.columns is not None
    assert data.spec.columns.mean[0] == pytest.approx(table["age"][:20].mean())
    assert data.split("test").labels.tolist() == [1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    "values",
    [
        np.full(40, 7),
        np.full(40, 0.1) + np.arange(40) % 3 * 1e-17,
        (np.float32(0.1) + np.arange(40) % 3 * np.float32(1e-8)).astype(float),
    ],
    ids=["one value", "rounding", "single precision"],
)
def test_a_column_that_does_not_vary_is_left_out_by_name(tmp_path: Path, values: Any) -> None:
    data = opened(written(tmp_path / "t.csv", {**frame(), "age": values}))
    assert data.spec.columns is not None
    assert data.spec.columns.names == ("income", "member", "time", "kind")
    assert "age (it does not vary)" in data.notes[1]
    # New rows have any value there, and it is not looked at.
    new = open_inputs(written(tmp_path / "u.csv", {**frame(), "age": np.full(40, 1e9)}), data.spec)
    assert new.batch(torch.arange(40)).abs().max() < 10


def test_times_of_a_minute_are_no_constant(tmp_path: Path) -> None:
    data = opened(written(tmp_path / "t.csv", frame()))
    assert data.spec.columns is not None
    assert "time" in data.spec.columns.names


def test_a_table_without_a_head(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("".join(f"{i},{i * i}\n" for i in range(12)))
    data = opened(tmp_path / "t.csv")
    assert data.spec.columns is not None
    assert data.spec.columns.names == ("1", "2")
    assert sum(map(len, data.splits.values())) == 12


@pytest.mark.parametrize(
    ("change", "settings", "told"),
    [
        ({}, {"strict": True}, r"columns that are no inputs: city \(another"),
        ({}, {"label": "knd"}, "has no column 'knd'; did you mean 'kind'"),
        ({"age": np.inf}, {}, r"infinite values: age \(row 1 and 39 more\)"),
        ({"age": np.nan}, {"impute": True}, "no value in any training row: age"),
        ({"kind": None}, {"label": "kind"}, r"row 1 has no class \(column 'kind'\)"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, change: dict[str, Any], settings: dict[str, Any], told: str
) -> None:
    path = written(
        tmp_path / "t.parquet", {**frame(), **{n: np.full(40, v) for n, v in change.items()}}
    )
    with pytest.raises(InputError, match=told):
        opened(path, **settings)


def test_text_that_is_not_in_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pyarrow.table({**frame(), "qqqq": ["xxxx", "yyyy"] * 20})
    for word in (b"qqqq", b"yyyy"):  # a column's name, and a value
        pyarrow.parquet.write_table(table, path, store_schema=False, compression="none")
        path.write_bytes(path.read_bytes().replace(word, word[:3] + b"\xcb"))
        with pytest.raises(InputError, match=r"t\.parquet is damaged or not Parquet"):
            opened(path)


def test_a_label_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    bytes_ = pyarrow.array([b"caf\xe9", b"tea"] * 20, pyarrow.binary())
    table = pyarrow.table({**frame(), "drink": bytes_})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="'drink' holds bytes that are no text in UTF-8"):
        opened(tmp_path / "t.parquet", label="drink")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(InputError, match="cannot be read as a table"):
        opened(tmp_path / "ragged.csv")
    (tmp_path / "words.csv").write_text("a,b\nx,y\nz,w\n")
    with pytest.raises(InputError, match=r"no inputs: a \(another word in each row\), b"):
        opened(tmp_path / "words.csv")
    (tmp_path / "head.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"holds no rows|no inputs"):
        opened(tmp_path / "head.csv")
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    with pytest.raises(InputError, match="two columns have the same name"):
        opened(tmp_path / "twice.csv")
    (tmp_path / "folder").mkdir()
    written(tmp_path / "folder" / "val.csv", frame())
    with pytest.raises(InputError, match="but none called train"):
        table_files(tmp_path / "folder")


# What a table's rows are, and which models take them


def test_the_model_says_what_rows_are(tmp_path: Path) -> None:
    path = str(written(tmp_path / "t.csv", frame()))
    assert settled(DataSettings(path), rows_of("vae")).rows == "inputs"
    assert settled(DataSettings(path), rows_of("vgae")).rows == "edges"
    assert settled(DataSettings("digits"), rows_of("vae")).rows is None
    (tmp_path / "e.csv").write_text("".join(f"{i},{(i * 7 + 1) % 30}\n" for i in range(30)))
    assert isinstance(load(str(tmp_path / "e.csv")), InputDataset)
    assert isinstance(load(str(tmp_path / "e.csv"), rows="edges"), GraphDataset)


@pytest.mark.parametrize("model", ["vanilla", "multilayer", "sparse", "vae", "pca"])
def test_dense_models_take_rows(model: str) -> None:
    x = torch.randn(5, 30)
    spec = opened_spec()
    built = build(model, spec, latent_dim=20)
    assert built.decode(built.encode(x)).shape == x.shape
    assert (built(x * 100) < 0).any() or model == "pca"  # no sigmoid


def opened_spec() -> InputSpec:
    columns = aelab.data.specs.Columns(tuple(map(str, range(30))), (0.0,) * 30, (1.0,) * 30)
    return InputSpec((30,), 1.0, dtype="float32", columns=columns)


@pytest.mark.parametrize("model", ["convolutional", "denoising", "conv-vae", "conv-vae-switches"])
def test_convolutions_do_not(model: str) -> None:
    said = rf"{model} .*is for images( and signals)?, and these data are rows"
    with pytest.raises(ValueError, match=said):
        build(model, opened_spec())


def test_likelihoods_of_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="the likelihood bernoulli is of inputs in"):
        build("vae", opened_spec(), likelihood="bernoulli")


def test_a_run_on_a_table_from_the_command_line(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = frame(60)
    table |= {"income": table["age"] * 3 + 1, "time": np.zeros(60)}
    written(outside / "t.csv", table)
    told = ["train", "pca", "--data", "t.csv", "--label", "kind", "--latent-dim", "2"]
    assert aelab.cli.main([*told, "--out", "run"]) == 0
    said = capsys.readouterr()
    assert "columns left out: city" in said.err
    assert "MSE, column" in said.out
    assert "pixel" not in said.out
    run = Run.open(outside / "run")
    inputs = open_inputs(outside / "t.csv", run.spec)  # type: ignore[arg-type]
    x = inputs.batch(torch.arange(len(inputs)))
    assert torch.allclose(run.model(x), x, atol=1e-4)  # age and income are one, time is none
    assert run.metrics["mse"] < 1e-9
    of_pixels = ("psnr", "ssim", "noisy_mse_0.2", "masked_mse")
    assert all(run.metrics.get(name) is None for name in of_pixels)
    assert aelab.cli.main(["sample", "run", "--out", "samples.png"]) == 2
    assert "samples of rows of numbers are written as .npy, .csv" in capsys.readouterr().err
    assert aelab.cli.main(["sample", "run", "-n", "5"]) == 0
    assert Path("run/samples.csv").read_text().count("\n") == 6
    assert aelab.cli.main(["evaluate", "run", "--split", "validation"]) == 0
    written(outside / "one.csv", table, slice(1))
    capsys.readouterr()
    assert aelab.cli.main(["encode", "run", "one.csv", "--out", "z.csv"]) == 0
    assert capsys.readouterr().out == "1 input: z.csv\n"
    assert aelab.cli.main(["train", "pca", "--data", "t.csv", "--classes", "0"]) == 2
    told = "t.csv has no classes to choose '0' from: classes are folders of images, the labels of"
    assert f"{told} an array, or the column that --label names" in capsys.readouterr().err


@pytest.mark.parametrize(
    "told", [b"\xad{", b"[1]", b'{"index_columns": 3}', b'{"index_columns": [3]}']
)
def test_what_a_parquet_file_says_of_pandas_need_not_be_true(tmp_path: Path, told: bytes) -> None:
    columns = np.random.default_rng(0).normal(size=(2, 40))
    table = pyarrow.table({"a": columns[0], "b": columns[1]})
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({"pandas": told}), tmp_path / "t.parquet"
    )
    data = load(str(tmp_path / "t.parquet"))
    assert isinstance(data, InputDataset)
    assert data.spec.size == 2
