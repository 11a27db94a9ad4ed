"""The benchmark of anomaly detectors: its protocol, what it keeps, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from aelab.cli import main
from aelab.data import adbench as tables
from aelab.data.adbench import Table, read_table, split_halves, table_paths
from aelab.evaluate.noise_levels import mean_errors, noise_level_errors, noise_level_score
from aelab.files import InputError, MissingFileError
from aelab.machine import seeded
from aelab.models.noise_conditional import NoiseConditionalAutoencoder
from aelab.models.zoo import build
from aelab.studies import adbench, detectors
from aelab.studies.adbench import Outcome, benchmark, keep, kept_outcomes, published
from aelab.studies.benchmarks import ALL, LARGE, Benchmark, to_json
from aelab.studies.detectors import DETECTORS, scores, split_of

FEW = {"pca": DETECTORS["pca"], "neighbours": DETECTORS["neighbours"]}


def rows_of(n: int, columns: int = 3, anomalies: int = 5, seed: int = 0) -> Table:
    """Normal rows from N(0, 1), of very different scales, and a few far away, mixed in."""
    random = np.random.default_rng(seed)
    anomaly = np.zeros(n, dtype=bool)
    anomaly[random.choice(n, anomalies, replace=False)] = True
    x = random.normal(size=(n, columns))
    x[anomaly] += 8
    return Table(f"{n}_rows", x * 10.0 ** np.arange(columns), anomaly)


def write(path: Path, table: Table) -> Path:
    np.savez(path, X=table.x, y=table.anomaly.astype(int))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tables, a small one and one that the protocol leaves as it is."""
    where = tmp_path / "tables"
    where.mkdir()
    write(where / "2_small.npz", rows_of(60))
    write(where / "10_large.npz", rows_of(1_000))
    return where


# The protocol, against NumPy and scikit-learn alone.


def test_a_table_of_usual_size_is_split_in_its_own_order() -> None:
    table = rows_of(1_001, anomalies=10)
    halves = split_halves(table, seed=3, resampled=True)
    normal = [row for row in range(1_001) if not table.anomaly[row]]
    test = [row for row in range(1_001) if row not in normal[:495]]
    assert np.array_equal(halves.train, table.x[normal[:495]])
    assert np.array_equal(halves.test, table.x[test])
    assert np.array_equal(halves.anomaly, table.anomaly[test])
    assert halves.anomaly.sum() == 10
    assert halves.seen == 0


def test_a_small_table_is_resampled_before_it_is_split() -> None:
    table = rows_of(60)
    drawn = np.random.default_rng(7).choice(np.arange(60), 1_000, replace=True)
    normal = drawn[~table.anomaly[drawn]]
    train, held_out = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    halves = split_halves(table, seed=7, resampled=True)
    assert len(halves.train) + len(halves.test) == 1_000
    assert np.array_equal(halves.train, table.x[train])
    assert sorted(map(tuple, halves.test[~halves.anomaly])) == sorted(map(tuple, table.x[held_out]))
    expected = np.mean([row in set(train) for row in held_out])
    assert halves.seen == pytest.approx(expected)
    assert expected > 0.99  # 55 rows, each drawn eight times for either half
    plain = split_halves(table, seed=7, resampled=False)
    assert (len(plain.train), len(plain.test), plain.seen) == (27, 33, 0)


def test_a_large_table_is_cut_by_chance() -> None:
    table = Table("large", np.arange(60_000.0)[:, None], np.arange(60_000) % 100 == 0)
    first, other = (split_halves(table, seed, resampled=True) for seed in (0, 1))
    for halves in (first, other):
        assert len(halves.train) + len(halves.test) == 50_000
        assert len(np.unique(np.concatenate([halves.train, halves.test]))) == 50_000
        assert halves.anomaly.mean() == pytest.approx(0.02, abs=0.002)
    assert not np.array_equal(first.train, other.train)
    again = split_halves(table, 0, resampled=True)
    assert np.array_equal(first.train, again.train)


def test_columns_are_standardised_on_the_training_rows() -> None:
    halves = split_halves(rows_of(400), seed=0, resampled=False)
    scaler = StandardScaler().fit(halves.train)
    nearest = NearestNeighbors(n_neighbors=5).fit(scaler.transform(halves.train))
    expected = nearest.kneighbors(scaler.transform(halves.test))[0].mean(1)
    assert scores("neighbours", halves, seed=0) == pytest.approx(expected)


# The score.


class Moves(NoiseConditionalAutoencoder):
    """By hand: moves an input by its noise level in its first number."""

    def __init__(self) -> None:
        super().__init__(
            split_of(np.zeros((1, 2))).spec,
            build("noise-conditional", split_of(np.zeros((1, 2))).spec, latent_dim=1).network,
            latent_dim=1,
            lowest_noise=1.0,
            highest_noise=32.0,
        )

    def reconstructed(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        moved = x.clone()
        moved[:, 0] += sigma * x[:, 1]
        return moved


def test_the_score_sums_errors_relative_to_those_of_training_rows() -> None:
    """Levels 2, 4, 8 and 16; errors (sigma x_2)² / 2, whose mean over training rows is known."""
    model, x = Moves(), torch.tensor([[0.0, 1.0], [5.0, 3.0]])
    errors = noise_level_errors(model, x)
    assert errors.tolist() == [
        pytest.approx([2.0, 8.0, 32.0, 128.0]),
        pytest.approx([18.0, 72.0, 288.0, 1152.0]),
    ]
    fitted = mean_errors(model, split_of(np.array([[0.0, 1.0], [0.0, 3.0], [1.0, -1.0]])))
    assert fitted["mean"].tolist() == pytest.approx([11 / 3 * s for s in (2, 8, 32, 128)])
    assert noise_level_score(model, x, fitted).tolist() == pytest.approx([12 / 11, 108 / 11])


@pytest.mark.parametrize("name", ["noise-conditional", "autoencoder", "vae"])
def test_a_score_follows_from_its_row_alone(name: str) -> None:
    halves = split_halves(rows_of(300), seed=0, resampled=False)
    whole = scores(name, halves, seed=0, steps=20)
    few = tables.Halves(halves.train, halves.test[5:9], halves.anomaly[5:9], halves.seen)
    assert scores(name, few, seed=0, steps=20) == pytest.approx(whole[5:9], rel=1e-4)
    with seeded(5):  # whatever was drawn before
        assert np.array_equal(scores(name, halves, seed=0, steps=20), whole)
    assert not np.allclose(scores(name, halves, seed=1, steps=20), whole)


# Keeping what is done.


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two quick detectors only."""
    for module in (adbench, detectors):
        monkeypatch.setattr(module, "DETECTORS", FEW)


@pytest.mark.usefixtures("few")
def test_what_is_done_is_kept_and_not_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fit = adbench.scores

    def counted(name: str, *arguments: object) -> object:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(name)
        return fit(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(adbench, "scores", counted)
    run = {"data": folder, "seeds": (0, 1), "jobs": 1}
    with pytest.raises(KeyboardInterrupt):
        benchmark(tmp_path / "out", **run)  # type: ignore[arg-type]
    kept = list(kept_outcomes(tmp_path / "out" / "outcomes.jsonl"))
    assert len(kept) == 5
    monkeypatch.setattr(adbench, "scores", fit)
    lines: list[str] = []
    _, outcomes, errors = benchmark(tmp_path / "out", **run, tell=lines.append)  # type: ignore[arg-type]
    assert lines[0] == "2 tables, 5 of 12 fits are done"  # 2 (2 + 1) detectors and protocols, twice
    assert len(lines) == 8
    assert len(outcomes) == 12
    assert not errors
    assert {outcome.key for outcome in kept} < {outcome.key for outcome in outcomes}
    # Nothing is left to do, until a table is another one.
    benchmark(tmp_path / "out", **run, tell=lines.append)  # type: ignore[arg-type]
    assert lines[8:] == ["2 tables, 12 of 12 fits are done"]
    write(folder / "10_large.npz", rows_of(1_000, seed=1))
    benchmark(tmp_path / "out", **run, tell=lines.append)  # type: ignore[arg-type]
    assert lines[9] == "2 tables, 8 of 12 fits are done"


OUTCOME = Outcome("key", "t", "pca", 0, False, 0.9, 0.5, 1.0, 0.0)


def test_a_line_that_was_broken_off_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    keep(path, OUTCOME)
    path.write_text(path.read_text() + '{"key": "half')
    assert list(kept_outcomes(path)) == [OUTCOME]
    keep(path, OUTCOME)
    assert list(kept_outcomes(path)) == [OUTCOME, OUTCOME]
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(InputError, match="line 1 is damaged"):
        list(kept_outcomes(path))


# What comes of it.


def outcomes_of(figures: dict[tuple[str, str, bool], list[float]]) -> list[Outcome]:
    return [
        Outcome("", table, name, seed, resampled, auroc, 0.5, 1.0, 0.25 if resampled else 0.0)
        for (name, table, resampled), of_seeds in figures.items()
        for seed, auroc in enumerate(of_seeds)
    ]


def test_means_are_over_the_tables_that_all_detectors_have_been_through() -> None:
    facts = [
        adbench.TableFacts("s", 60, 3, 5, small=True),
        adbench.TableFacts("l", 1_000, 3, 5, small=False),
        adbench.TableFacts("unfinished", 2_000, 3, 5, small=False),
    ]
    found = Benchmark(
        facts,
        outcomes_of(
            {
                ("pca", "s", True): [0.8, 0.9],
                ("pca", "s", False): [0.6, 0.5],
                ("pca", "l", False): [0.7, 0.7],
                ("pca", "unfinished", False): [0.1],
                ("neighbours", "s", True): [1.0, 1.0],
                ("neighbours", "s", False): [0.4, 0.5],
                ("neighbours", "l", False): [0.6, 0.7],
            }
        ),
        {},
    )
    assert found.mean("pca", ALL, resampled=True) == pytest.approx((85 + 70) / 2)
    assert found.mean("pca", ALL, resampled=False) == pytest.approx((55 + 70) / 2)
    assert found.mean("pca", LARGE, resampled=True) == pytest.approx(70)
    assert found.mean("neighbours", ALL, resampled=True) == pytest.approx((100 + 65) / 2)
    ranks = found.ranking(resampled=False)
    assert ranks is not None
    assert ranks.ranks == {"pca": 1.0, "neighbours": 2.0}
    assert ranks.data_sets == 2
    assert found.seen("s") == 25
    assert found.seen("l") is None
    told = to_json(found)["protocols"]["as published"]
    assert told["auroc"]["pca"]["unfinished"]["values"] == (10.0,)


def test_published_figures_are_those_of_the_paper() -> None:
    assert len(published()) == 43
    assert published()["4_breastw"]["DTE-C"] == 92.78
    counterparts = {of.published for of in DETECTORS.values()} - {None}
    assert counterparts <= published()["1_ALOI"].keys()


def test_every_checksum_is_of_a_table_by_its_number() -> None:
    known = tables.checksums()
    assert len(known) == 30
    assert all(len(digest) == 64 for digest in known.values())
    assert list(known) == sorted(known, key=tables.number_of)


@pytest.mark.usefixtures("few")
def test_the_command_writes_its_results_and_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "adbench", "--data", str(folder), "--seeds", "0", "--jobs", "1"]
    command += ["--out", str(tmp_path / "runs")]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "Finds anomalies best, tables as published:" in shown.out
    assert "6/6 10_large, neighbours, seed 0: AUROC 100.0 %" in shown.err
    out = tmp_path / "runs" / "adbench"
    results = json.loads((out / "results.json").read_text())
    assert [table["name"] for table in results["tables"]] == ["2_small", "10_large"]
    assert results["protocols"]["without resampling"]["means"]["all"]["neighbours"] > 95
    assert "2_small" in (out / "report.html").read_text()
    assert "| 2_small | 60 | 3 | 5 |" in (out / "results.md").read_text()
    assert main(command) == 0
    assert "6 of 6 fits are done" in capsys.readouterr().err


# Finding and reading tables.


def test_tables_are_found_in_the_folder_of_data(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(tmp_path / "adbench")
    names = ["2_small", "10_large"]  # by their numbers
    assert [path.stem for path in table_paths(data_dir=tmp_path)] == names
    monkeypatch.setenv("AELAB_DATA", str(tmp_path))
    assert [path.stem for path in table_paths()] == names


def test_tables_are_downloaded_one_by_one_and_verified(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (folder / "2_small.npz").read_bytes()
    digest = tables.hashlib.sha256(good).hexdigest()
    monkeypatch.delenv("AELAB_DATA", raising=False)
    monkeypatch.setattr(tables, "checksums", lambda: {"2_small": digest})
    monkeypatch.setattr(tables, "user_cache", lambda *parts: tmp_path.joinpath("cache", *parts))
    sent: list[str] = []

    def fetch(url: str, path: Path) -> None:
        sent.append(url)
        path.write_bytes(good if "jsdelivr" in url else b"something else")

    monkeypatch.setattr("aelab.data.downloads.fetch", fetch)
    for _ in range(2):  # the second time, it is there
        (found,) = table_paths()
        assert found.read_bytes() == good
    assert [url.rpartition("/")[2] for url in sent] == ["2_small.npz"] * 2  # the second mirror's
    found.unlink()
    monkeypatch.setattr("aelab.data.downloads.fetch", lambda url, path: path.write_bytes(b""))
    with pytest.raises(MissingFileError, match=r"cannot be downloaded: .*SHA-256"):
        table_paths()
    assert not list((tmp_path / "cache" / "adbench").iterdir())


X, Y = np.zeros((9, 2)), np.arange(9) == 4


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": X}, "has no array y"),
        ({"a": X}, "has no array X and no array y"),
        ({"X": X, "y": 0 * Y}, "has no anomaly"),
        ({"X": X, "y": Y | ~Y}, "has 0 normal rows"),
        ({"X": X, "y": 2 * Y}, "y must be 0 or 1 for each of the 9 rows.*the values 0, 2"),
        ({"X": X, "y": Y[:5]}, "y must be 0 or 1 for each of the 9 rows"),
        ({"X": X[0], "y": Y}, r"X must be numbers \[rows, columns\]"),
        ({"X": X + np.nan, "y": Y}, "missing or infinite"),
        ({"X": np.full((9, 2), None), "y": Y}, "is damaged or no .npz file of numbers"),
    ],
)
def test_what_is_no_table_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray], said: str
) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        read_table(tmp_path / "mine.npz")
    assert main(["compare", "adbench", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "adbench").exists()


def test_a_damaged_file_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "2_small.npz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"2_small\.npz is damaged or no \.npz file"):
        read_table(path)
    path.write_bytes(content)
    monkeypatch.setattr(tables, "MOST_BYTES", 100)
    with pytest.raises(InputError, match=r"unpacks to .* bytes; at most 100 are read"):
        read_table(path)


def test_a_folder_without_tables_and_options_of_other_studies_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for given, said in [
        (["--data", str(tmp_path / "empty")], "has no .npz file"),
        (["--data", str(tmp_path / "nowhere")], "is no folder"),
        (["--data", str(folder), "--time-budget", "60s"], "adbench takes no --time-budget"),
        (["--data", str(folder), "--split", "test"], "adbench takes no --split"),
    ]:
        assert main(["compare", "adbench", *given, "--out", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert not (tmp_path / "out").exists()
