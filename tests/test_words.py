"""Tables with words and gaps: what becomes of their columns, likelihoods, errors, and ways back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pytest
import torch
from scipy.stats import chi2
from sklearn.decomposition import PCA
from sklearn.preprocessing import OneHotEncoder
from torch.distributions import Bernoulli, Categorical, Normal

import aelab
import aelab.cli
from aelab.data.batch import Batch
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import of_memory, open_inputs
from aelab.data.loading import load
from aelab.data.preparation import restore
from aelab.data.specs import BOOLEAN, Columns, InputSpec
from aelab.data.words import in_words
from aelab.evaluate.metrics import restored_errors
from aelab.evaluate.reconstruction import pca_errors
from aelab.files import InputError
from aelab.models.losses import squared_error
from aelab.models.mixed import Mixed, Output
from aelab.models.networks.missing import MissingValues
from aelab.models.zoo import build
from aelab.runs.record import parse_spec

ROWS = 200
CITIES = ("Bern", "Lima", "Oslo")


def people(rows: int = ROWS, seed: int = 0) -> dict[str, list[Any]]:
    """People whose age follows from their town, and whose income and marriage from their age."""
    random = np.random.default_rng(seed)
    city = random.integers(0, len(CITIES), rows)
    age = 25 + 15 * city + random.normal(0, 2, rows)
    return {
        "person_id": random.permutation(np.arange(1000, 1000 + rows)).tolist(),
        "name": [f"P{i}" for i in range(rows)],
        "city": [CITIES[i] for i in city],
        "age": age.tolist(),
        "income": (1000 * age + random.normal(0, 3000, rows)).tolist(),
        "married": (age > 38).tolist(),
        "joined": [f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in range(rows)],
        "job": [f"job {i}" for i in random.integers(0, 150, rows)],
    }


def opened(table: dict[str, list[Any]], **settings: Any) -> InputDataset:
    data = load(pyarrow.table(table), **settings)
    assert isinstance(data, InputDataset)
    return data


def columns_of(data: InputDataset) -> Columns:
    assert data.spec.columns is not None
    return data.spec.columns


# What becomes of columns


def test_each_column_is_told_and_taken_for_what_it_is() -> None:
    data = opened(people())
    assert columns_of(data).names == ("city", "age", "income", "married")
    assert columns_of(data).words == (CITIES, (), (), BOOLEAN)
    assert data.spec.shape == (3 + 1 + 1 + 1,)
    left_out = data.notes[1]
    assert "person_id (it has another value in each row)" in left_out
    assert "name (another word in each row)" in left_out
    assert "joined (dates)" in left_out
    assert data.notes[2] == (
        "columns of words: city (Bern, Lima, Oslo), married (false, true); one value a word"
    )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([f"job {i % 101}" for i in range(ROWS * 2)], "101 different words in 400 rows"),
        ([f"job {i % 30}" for i in range(50)], "30 different words in 50 rows"),
        (["x" * 201, "y"] * 20, "long text"),
        (["1.5", "2", "3", "unknown"] * 10, "'unknown' in row 4"),
        (["03/11/2024", "4/11/2024"] * 20, "dates"),
        (["same"] * 40, "it does not vary"),
        ([None] * 40, "empty"),
    ],
)
def test_words_that_are_no_inputs_are_left_out_with_the_reason(values: list[Any], why: str) -> None:
    table = {"a": list(range(len(values))), "b": [i**2 for i in range(len(values))], "w": values}
    data = opened({**table, "w": pyarrow.array(values, pyarrow.string())})
    assert columns_of(data).names == ("a", "b")
    assert data.notes[1] == f"columns left out: w ({why})"


def test_numbers_that_were_written_as_words_are_words() -> None:
    codes = pyarrow.array([1, 2, 3] * 20).dictionary_encode()
    data = opened({"code": codes, "zip": ["01", "02"] * 30, "a": list(range(60))})
    assert columns_of(data).words == (("1", "2", "3"), ("01", "02"), ())


def test_words_that_are_asked_for_may_be_many_but_no_thousands() -> None:
    words = [f"w{i % 150}" for i in range(3000)]
    data = opened({"w": words}, columns=("w",))
    assert data.spec.size == 150
    with pytest.raises(InputError, match=r"w \(1,001 different words; 1,000 are the most\)"):
        opened({"w": [f"w{i}" for i in range(1001)]}, columns=("w",))


@pytest.mark.parametrize("spelling", [["True", "False"], ["TRUE", " false"], [True, False]])
def test_false_and_true_are_one_value_however_they_are_spelt(spelling: list[Any]) -> None:
    data = opened({"a": list(range(40)), "yes": spelling * 20})
    values = data.split("train").values[:4, 1].tolist()
    assert columns_of(data).words[1] == BOOLEAN
    assert values == [1, 0, 1, 0]


def test_words_are_one_hot_by_the_training_rows() -> None:
    table = people()
    data = opened(table)
    train = data.split("train")
    city = np.array(table["city"])[:, None]
    encoder = OneHotEncoder(sparse_output=False).fit(city[train.index.numpy()])
    for split in data.splits.values():
        x = split.batch(torch.arange(len(split)))
        expected = encoder.transform(city[split.index.numpy()])
        np.testing.assert_array_equal(x[:, :3].numpy(), expected)
        age = np.array(table["age"])
        trained = age[train.index.numpy()]
        scaled = (age[split.index.numpy()] - trained.mean()) / trained.std()
        np.testing.assert_allclose(x[:, 3].numpy(), scaled, rtol=1e-4, atol=1e-5)


def test_a_word_that_only_held_out_rows_have_is_missing_there_and_told() -> None:
    table = people()
    test = opened(table).split("test").index.tolist()
    table["city"][test[0]] = "Rome"
    data = opened(table)
    assert columns_of(data).words[0] == CITIES
    assert data.notes[3] == (
        "column city: words that no training row has (Rome) are taken for missing: 1 of test"
    )
    x = data.split("test").batch(torch.tensor([0]))
    assert x[0, :3].tolist() == [0, 0, 0]
    wrong = restored_errors(x.x, x.x, data.spec)["words_wrong"]
    assert wrong.tolist() == [0.5]  # the town can't be right, and the marriage is


def test_a_spec_with_words_comes_back_from_its_record() -> None:
    spec = opened(people(), missing="mask").spec
    assert parse_spec({"input": json.loads(json.dumps(asdict(spec)))}) == spec


def test_files_of_a_folder_agree_on_their_words(tmp_path: Path) -> None:
    for name, city in {"train": ["Oslo", "Bern"], "test": ["Oslo", "Rome"]}.items():
        table = pyarrow.table({"a": list(range(20)), "city": city * 10})
        pyarrow.csv.write_csv(table, tmp_path / f"{name}.csv")
    data = load(str(tmp_path))
    assert isinstance(data, InputDataset)
    assert columns_of(data).words[1] == ("Bern", "Oslo")
    x = data.split("test").batch(torch.tensor([0, 1]))
    assert x[:, 1:].tolist() == [[0, 1], [0, 0]]
    assert "(Rome) are taken for missing: 10 of test" in str(data.notes)


# New rows for a run


def test_new_rows_are_read_by_the_words_of_the_training_rows() -> None:
    spec = opened(people()).spec
    new = {**people(5, seed=1), "city": ["Oslo"] * 4 + ["Lima"], "married": [True] * 5}
    x = of_memory(pyarrow.table(new), spec).batch(torch.arange(5))
    assert x[:, :3].argmax(1).tolist() == [2, 2, 2, 2, 1]
    assert x[:, 5].tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"city": ["Oslo", "Rome"]}, r"the column city has 'Rome' in row 2, which no training row"),
        ({"age": ["old", "30"]}, r"age \('old' in row 1, and in training numbers\)"),
        ({"city": [None, "Oslo"]}, r"missing values: city \(row 1\)"),
        ({"married": [1.5, 2]}, r"the column married has '1.5' in row 1"),
    ],
)
def test_new_rows_of_another_kind_are_refused(changed: dict[str, Any], told: str) -> None:
    table = {**people(2, seed=1), **changed}
    with pytest.raises(InputError, match=told):
        of_memory(pyarrow.table(table), opened(people()).spec)


def test_words_that_are_numbers_elsewhere_are_words_all_the_same(tmp_path: Path) -> None:
    data = opened({"a": list(range(40)), "kind": ["1", "2", "two", "b"] * 10})
    (tmp_path / "new.csv").write_text("a,kind\n1,2\n2,1\n")
    x = open_inputs(tmp_path / "new.csv", data.spec).batch(torch.arange(2))
    assert x[:, 1:].argmax(1).tolist() == [1, 0]


# Likelihoods and errors

MIXED = Columns(
    ("cm", "eyes", "member", "kg"),
    (0.0,) * 4,
    (1.0,) * 4,
    words=((), ("blue", "brown", "green"), BOOLEAN, ()),
    mask=True,
)
SPEC = InputSpec((6,), 1.0, dtype="float32", columns=MIXED)
X = torch.tensor([[0.3, 0, 1, 0, 1, -1.0], [1.3, 1, 0, 0, 0, 0.5]])
Y = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))


def test_the_mixed_likelihood_is_the_sum_of_its_kinds() -> None:
    model = build("vae", SPEC, latent_dim=2, likelihood="gaussian-fixed", variance=0.25)
    terms = model.likelihood.terms(Y, X)
    numbers = -Normal(Y[:, [0, 5]], 0.5).log_prob(X[:, [0, 5]]).sum(1)
    booleans = -Bernoulli(logits=Y[:, 4]).log_prob(X[:, 4])
    words = -Categorical(logits=Y[:, 1:4]).log_prob(torch.tensor([1, 0]))
    torch.testing.assert_close(terms, {"booleans": booleans, "numbers": numbers, "words": words})
    torch.testing.assert_close(model.likelihood.negative_log(Y, X), numbers + booleans + words)
    mean = model.likelihood.mean(Y)
    torch.testing.assert_close(mean[:, 1:4], Y[:, 1:4].softmax(1))
    torch.testing.assert_close(mean[:, 4], Y[:, 4].sigmoid())
    torch.testing.assert_close(mean[:, [0, 5]], Y[:, [0, 5]])


def test_a_deterministic_models_error_is_of_its_kinds() -> None:
    errors = Output(SPEC).errors(Y, X)
    assert sorted(errors) == ["booleans", "squared_error", "words"]
    expected = (Y - X)[:, [0, 5]].square().sum(1)
    torch.testing.assert_close(errors["squared_error"], expected)
    words = -Categorical(logits=Y[:, 1:4]).log_prob(torch.tensor([1, 0]))
    torch.testing.assert_close(errors["words"], words)


def test_what_is_missing_says_nothing() -> None:
    present = torch.tensor([[True] * 6, [False, False, False, False, True, True]])
    known = Batch(torch.where(present, X, torch.tensor(0.0)), present=present)
    other = Batch(torch.where(present, X, torch.tensor([7.0, 0, 0, 0, 1, 7])), present=present)
    likelihood = build("vae", SPEC, latent_dim=2).likelihood
    assert isinstance(likelihood, Mixed)
    torch.testing.assert_close(likelihood.terms(Y, known), likelihood.terms(Y, other))
    terms = likelihood.terms(Y, known)
    assert terms["words"][1] == 0
    torch.testing.assert_close(terms["numbers"][1], -Normal(Y[1, 5], 1).log_prob(X[1, 5]))
    assert squared_error(Y, known)[1] == pytest.approx(
        (Y - X)[1, 4:].square().sum().item(), rel=1e-5
    )


def test_errors_are_of_each_kind_by_itself() -> None:
    x_hat = torch.tensor([[0.0, 0.1, 0.8, 0.1, 0.4, 0.0], [1.3, 0.4, 0.5, 0.1, 0.3, 0.5]])
    found = restored_errors(x_hat, X, SPEC)
    torch.testing.assert_close(found["mse"], torch.tensor([(0.09 + 1) / 2, 0.0]).double())
    assert found["words_wrong"].tolist() == [0.5, 0.5]
    present = torch.tensor([[False] * 6, [True] * 6])
    masked = restored_errors(x_hat, Batch(X, present=present), SPEC)
    assert masked["mse"].isnan().tolist() == [True, False]


def test_pca_is_that_of_the_one_hot_columns() -> None:
    data = opened(people())
    train, test = (
        split.batch(torch.arange(len(split))).numpy()
        for split in (data.split("train"), data.split("test"))
    )
    pca = PCA(2).fit(train)
    restored = pca.inverse_transform(pca.transform(test))
    errors = pca_errors(data, "test", 2)
    assert errors["mse"] == pytest.approx(np.square(restored - test)[:, 3:5].mean(), rel=1e-4)
    town = restored[:, :3].argmax(1) != test[:, :3].argmax(1)
    married = (restored[:, 5] > 0.5) != (test[:, 5] > 0.5)
    assert errors["words_wrong"] == pytest.approx((town + 1.0 * married).mean() / 2)


# Ways back


def test_stored_values_are_the_tables_own_again() -> None:
    table = people()
    data = opened(table)
    split = data.split("test")
    x = split.batch(torch.arange(len(split)))
    back = in_words(restore(x.x, data.spec), columns_of(data))
    rows = split.index.tolist()
    assert back["city"].tolist() == [table["city"][row] for row in rows]
    assert back["married"].tolist() == [table["married"][row] for row in rows]
    np.testing.assert_allclose(back["income"], [table["income"][row] for row in rows], rtol=1e-5)


def test_words_are_drawn_by_their_probabilities() -> None:
    shares = torch.tensor([0.2, 0.5, 0.3])
    stored = torch.cat([shares, torch.tensor([0.7])]).expand(5000, 4)
    columns = Columns(("w", "b"), (0.0, 0.0), (1.0, 1.0), words=(("x", "y", "z"), BOOLEAN))
    drawn = in_words(stored, columns, torch.Generator().manual_seed(0))
    counts = np.array([(drawn["w"] == word).sum() for word in ("x", "y", "z")])
    expected = 5000 * shares.numpy()
    assert (np.square(counts - expected) / expected).sum() < chi2.ppf(0.999, 2)
    assert drawn["b"].mean() == pytest.approx(0.7, abs=0.03)


# Masks


def test_a_masked_value_is_the_mean_until_the_model_has_learnt_better() -> None:
    torch.manual_seed(0)
    model = build("vae", SPEC, latent_dim=2)
    present = torch.tensor([[True] * 6, [True, True, True, True, True, False]])
    shown = Batch(torch.where(present, X, torch.tensor(0.0)), present=present)
    model.eval()
    assert torch.equal(model.encode(shown), model.encode(shown.x))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sum(model.loss(shown).values()).backward()
    optimizer.step()
    differs = (model.encode(shown) != model.encode(shown.x)).any(1)
    assert differs.tolist() == [False, True]


def test_in_training_a_fifth_of_the_columns_is_hidden_each_with_all_its_values() -> None:
    torch.manual_seed(0)
    rows = MissingValues(MIXED)
    torch.nn.init.eye_(rows.of_missing.weight)  # so that what is missing is seen
    x = torch.tensor([[5.0, 0, 1, 0, 1, 5]]).expand(20_000, 6)
    seen = rows(x)
    hidden = seen != x
    words = hidden[:, 1:4]  # of the second word it is 1 in place of 1
    assert (words[:, 0] == words[:, 2]).all()
    torch.testing.assert_close(seen[hidden[:, 0], 0].unique(), torch.tensor([1.0]))
    torch.testing.assert_close(seen[hidden[:, 4], 4].unique(), torch.tensor([1.5]))
    assert hidden[:, [0, 1, 4, 5]].float().mean(0).tolist() == pytest.approx([0.2] * 4, abs=0.02)
    assert torch.equal(rows.eval()(x), x)


def test_the_importance_bound_knows_what_is_missing() -> None:
    torch.manual_seed(0)
    model = build("vae", SPEC, latent_dim=2, iwae_samples=4).eval()
    present = torch.tensor([[True] * 6, [True, True, True, True, True, False]])
    one, other = (
        Batch(torch.where(present, X, torch.tensor(value)), present=present) for value in (0.0, 0.0)
    )
    torch.manual_seed(1)
    masked = model.importance_bound(one, 4)
    torch.manual_seed(1)
    whole = model.importance_bound(other.x, 4)
    torch.testing.assert_close(masked[0], whole[0])
    assert masked[1] != whole[1]


def test_impute_and_mask_exclude_each_other() -> None:
    with pytest.raises(InputError, match="imputed or masked"):
        opened(people(), impute=True, missing="mask")


# From the command line, and from Python


def test_a_table_with_words_and_gaps_from_end_to_end(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = people()
    table["city"][3] = None
    table["age"][5] = None
    pyarrow.csv.write_csv(pyarrow.table(table), outside / "t.csv")
    told = ["train", "vae", "--data", "t.csv", "--missing", "mask", "--epochs", "3"]
    assert aelab.cli.main([*told, "--hidden", "16", "--out", "run"]) == 0
    said = capsys.readouterr()
    assert "columns of words: city" in said.err
    assert "that are restored wrongly" in " ".join(said.out.split())
    metrics = json.loads((outside / "run" / "metrics.json").read_text())
    assert metrics["negative_elbo_mixed"] == pytest.approx(
        metrics["reconstruction_mixed"] + metrics["kl"]
    )
    assert 0 <= metrics["words_wrong"] <= 1
    assert metrics["pca_words_wrong"] <= metrics["mean_words_wrong"]
    assert aelab.cli.main(["reconstruct", "run", "t.csv", "--out", "rec"]) == 0
    rec = pyarrow.csv.read_csv(outside / "rec" / "t.csv")
    assert rec.column_names == ["city", "age", "income", "married"]
    assert set(rec["city"].to_pylist()) <= set(CITIES)
    assert rec["married"].type == pyarrow.bool_()
    assert aelab.cli.main(["sample", "run", "-n", "20", "--out", "s.csv"]) == 0
    drawn = pyarrow.csv.read_csv(outside / "s.csv")
    assert drawn.num_rows == 20
    assert set(drawn["city"].to_pylist()) <= set(CITIES)
    run = aelab.load("run")
    restored = run.reconstruct(pyarrow.table(people(4, seed=2)))
    assert restored.column_names == rec.column_names
    assert run.sample(3).num_rows == 3
    with pytest.raises(InputError, match="the run takes words too: give a data frame"):
        run.encode(np.zeros((2, 6), np.float32))


def test_every_column_of_words_has_its_part_in_the_error() -> None:
    columns = Columns(("a", "b"), (0.0,) * 2, (1.0,) * 2, words=(("x", "y"), ("p", "q", "r")))
    spec = InputSpec((5,), 1.0, dtype="float32", columns=columns)
    x = torch.tensor([[1.0, 0, 0, 0, 1]])
    y = torch.tensor([[0.3, -0.4, 1.0, 0.2, -0.7]])
    of_each = [
        -Categorical(logits=y[:, of]).log_prob(torch.tensor([word]))
        for of, word in ((slice(0, 2), 0), (slice(2, 5), 2))
    ]
    torch.testing.assert_close(Output(spec).errors(y, x), {"words": of_each[0] + of_each[1]})
