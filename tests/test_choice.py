"""Which prior samples are drawn from; samples by name, class and place; what is refused."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet  # type: ignore[import-untyped]
from torch import Tensor, distributions

import aelab
from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.evaluate.choice import validation_distances, validation_likelihoods
from aelab.evaluate.samples import sample_figures
from aelab.files import InputError, read_tensors, write_tensors
from aelab.machine import seeded
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.priors.normal import Normal
from aelab.models.sampling import CHUNK, fit_prior, sample
from aelab.models.sparse import SparseAutoencoder
from aelab.models.zoo import build
from aelab.runs.measure import choose_prior
from aelab.runs.priors import Choice
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings

RECIPE = Recipe(epochs=1, batch_size=32, learning_rate=1e-2)
PARTS = ["fitted-mixture", "fitted-flow", "two-stage"]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelab.models.priors.fitted.STEPS", 20)
    monkeypatch.setattr("aelab.models.priors.fitted.SCORED", 10)


@pytest.fixture(scope="module")
def trained(blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vae's run, a pca's, and a table's."""
    folder = tmp_path_factory.mktemp("runs")
    vae = RunSettings("vae", {"latent_dim": 3, "hidden": (8,)}, recipe=RECIPE)
    train_run(vae, blobs, folder / "vae")
    train_run(RunSettings("pca", {"latent_dim": 3}, recipe=RECIPE), blobs, folder / "pca")
    rows = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    table = (rows * torch.tensor([1.0, 10.0, 0.1]) + torch.tensor([0.0, 500.0, 3.0])).numpy()
    lines = ["a,b,c", *(",".join(map(str, row)) for row in table.tolist())]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    words = f"train vae --data {folder}/table.csv --latent-dim 3 --epochs 20 --batch-size 32"
    assert main([*words.split(), "--out", f"{folder}/table"]) == 0
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy that the test may write in."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main([str(word) for word in words]))
    assert ended.value.code == 2
    found = capsys.readouterr()
    assert found.out == ""
    (line,) = found.err.strip().splitlines()
    return line


# Samples


@pytest.mark.parametrize("name", ["vae", "pca"])
def test_a_sample_does_not_depend_on_how_many_there_are(blobs: InputDataset, name: str) -> None:
    with seeded(0):
        model = build(name, blobs.spec, latent_dim=3)
    model.initialise(blobs.split("train"))
    prior = FittedMixture(3)
    fit_prior(prior, model, blobs.split("train"))
    for given in {"prior": prior}, {"prior": prior, "class_name": "b"}, {}:
        if not given and model.prior is None:
            continue
        prior.class_names = ("a", "b", "c")
        many = sample(model, CHUNK + 3, seed=1, **given)
        for n in (1, 7, CHUNK, CHUNK + 1):
            torch.testing.assert_close(sample(model, n, seed=1, **given), many[:n])
        assert not torch.equal(many[:3], many[CHUNK:])


def test_sparse_samples_are_sparse(blobs: InputDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("sparse", blobs.spec, latent_dim=12, active=2)
    prior = FittedMixture(12)
    fit_prior(prior, model, blobs.split("train"))
    with seeded(0):
        assert prior.sample_codes(50).count_nonzero(1).max() > 2
    given: list[Tensor] = []
    decode = SparseAutoencoder.decode
    monkeypatch.setattr(
        SparseAutoencoder, "decode", lambda self, z: given.append(z) or decode(self, z)
    )
    sample(model, 50, prior=prior)
    (codes,) = given
    assert 1 <= codes.count_nonzero(1).max() <= 2


def test_samples_of_a_class_are_of_that_class(runs: Path, blobs: InputDataset) -> None:
    run = aelab.load(runs / "pca")
    assert run.priors.chosen.class_names == blobs.classes
    train = blobs.split("train")
    labels = train.classes_of(torch.arange(len(train)))
    numbers = [(labels == label).nonzero()[:, 0] for label in range(3)]
    x_hat = [run.autoencoder(train.batch(i)).detach().clamp(0, 1) for i in numbers]
    brightness = [images.mean() for images in x_hat]
    found = [run.sample(200, class_name=name).float().mean() / 255 for name in blobs.classes]
    for of_class, drawn in zip(brightness, found, strict=True):
        assert drawn.item() == pytest.approx(of_class.item(), rel=0.25)
    assert found[0] < found[1] < found[2]


# The choice


def test_images_choose_by_distance(runs: Path, blobs: InputDataset) -> None:
    run = aelab.Run.open(runs / "vae")
    choice = run.priors.choice
    assert choice.by == "frechet"
    model = run.autoencoder
    candidates = {"own": model.prior, "fitted-mixture": run.priors.named("fitted-mixture")}
    assert choice.figures == pytest.approx(validation_distances(model, candidates, blobs, 0))
    assert choice.prior == min(choice.figures, key=choice.figures.__getitem__)
    for own, other, best in ((1.0, 2.0, "own"), (2.0, 1.0, "fitted-mixture")):
        run.priors.choose("frechet", {"own": own, "fitted-mixture": other})
        assert run.priors.choice.prior == best
        assert isinstance(run.prior, Normal) == (best == "own")
        run.priors.choose("log_prob", {"own": own, "fitted-mixture": other})
        assert run.priors.choice.prior != best


def test_rows_choose_by_likelihood(runs: Path) -> None:
    run = aelab.load(runs / "table")
    choice, model = run.priors.choice, run.autoencoder
    assert choice.by == "log_prob"
    assert choice.prior == max(choice.figures, key=choice.figures.__getitem__)
    data = run.own_data()
    candidates = {"own": model.prior, "far": Shifted(3)}
    figures = validation_likelihoods(model, candidates, data, 0)
    assert figures["own"] == pytest.approx(choice.figures["own"])
    assert figures["own"] > figures["far"] + 10


class Shifted(Normal):
    """N(7, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return distributions.Normal(7.0, 1.0).log_prob(z).sum(1)


class Never(Normal):
    """A prior that no code has."""

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.full((len(z),), -torch.inf)


def test_a_prior_that_gives_no_number_is_not_chosen(runs: Path, blobs: InputDataset) -> None:
    run = aelab.Run.open(runs / "vae")
    broken = FittedMixture(3)
    broken.mean *= torch.nan
    candidates = {"own": run.autoencoder.prior, "fitted-mixture": broken}
    for by, found in (
        ("frechet", validation_distances(run.autoencoder, candidates, blobs, 0)),
        ("log_prob", validation_likelihoods(run.autoencoder, candidates, blobs, 0)),
    ):
        run.priors.choose(by, found)
        assert run.priors.choice.prior == "own"
    run.priors.choose(
        "log_prob", validation_likelihoods(run.autoencoder, {"own": Never(3)}, blobs, 0)
    )
    assert run.priors.choice.figures["own"] < -1e6


def test_without_its_own_there_is_no_choice(runs: Path, blobs: InputDataset) -> None:
    run = aelab.Run.open(runs / "pca")
    choose_prior(run, blobs)
    assert not (runs / "pca" / "priors" / "choice.json").exists()
    assert run.priors.choice == Choice("fitted-mixture")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"prior": 1, "by": "", "figures": {}}',
     '{"prior": "own", "by": "luck", "figures": {}}',
     '{"prior": "own", "by": "frechet", "figures": {"own": "low"}}',
     '{"prior": "none-such", "by": "", "figures": {}}'],
)  # fmt: skip
def test_a_damaged_choice_is_told(
    runs: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "vae" / "priors" / "choice.json").write_text(content)
    before = files_in(runs)
    line = refused(capsys, "sample", runs / "vae", "--out", runs / "new" / "x.png")
    assert "choice.json" in line or "no prior 'none-such'" in line
    assert files_in(runs) == before


# By name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("vae --prior none-such", "has no prior 'none-such': there are own, fitted-mixture"),
        ("pca --prior own", "has no prior 'own': there are fitted-mixture"),
        ("vae --prior vamp", "has no prior 'vamp'"),
        ("pca --class huge", "there is no class 'huge'; there are small, middle, large"),
        ("vae --prior own --class small", "which knows no classes"),
        ("table --prior fitted-mixture --class small", "which knows no classes"),
        ("pca --temperature -1", "temperature must be a number from 0 up"),
        ("pca -n 0", "must be 1 or more"),
        ("table --out x.png", "are written as .npy, .csv, .parquet, .pq or .tsv"),
        ("pca --out x.csv", "are written as"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    runs: Path,
    words: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(runs)
    before = files_in(runs)
    assert told in refused(capsys, "sample", *words.split())
    assert files_in(runs) == before


@pytest.mark.parametrize("damage", ["cut", "other size", "other prior", "names"])
def test_a_damaged_prior_is_told(
    runs: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs / "pca" / "priors" / "fitted-mixture.safetensors"
    tensors = read_tensors(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif damage == "other size":
        write_tensors(path, FittedMixture(4).tensors())
    elif damage == "other prior":
        write_tensors(path, {"weights": torch.ones(1)})
    else:
        write_tensors(path, tensors, {"classes": '["one"]'})
    before = files_in(runs)
    line = refused(capsys, "sample", runs / "pca")
    assert str(path) in line
    assert "damaged" in line
    assert files_in(runs) == before


@pytest.mark.parametrize("name", PARTS)
def test_a_missing_prior_is_fitted_and_kept(runs: Path, blobs: InputDataset, name: str) -> None:
    run = aelab.Run.open(runs / "vae")
    path = run.priors.path(name)
    path.unlink(missing_ok=True)
    assert not run.priors.has(name)
    with pytest.raises(aelab.files.MissingFileError, match=f"--prior {name}"):
        run.priors.named(name)
    prior = run.priors.asked_for(name, lambda: blobs)
    assert prior.class_names == blobs.classes
    content = path.read_bytes()
    first = sample(run.autoencoder, 5, prior=prior)

    def never() -> InputDataset:
        raise AssertionError

    again = run.priors.asked_for(name, never)
    assert torch.equal(sample(run.autoencoder, 5, prior=again), first)
    assert path.read_bytes() == content
    path.unlink()
    run.priors.asked_for(name, lambda: blobs)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", PARTS)
def test_a_code_of_no_numbers_has_no_fitted_prior(
    blobs: InputDataset, tmp_path: Path, name: str
) -> None:
    run = train_run(RunSettings("mean", recipe=RECIPE), blobs, tmp_path / "run")
    assert sample(run.autoencoder, 2, prior=run.prior).shape[0] == 2
    with pytest.raises(InputError, match="codes have no numbers"):
        run.priors.asked_for(name, lambda: blobs)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy"])
def test_samples_of_a_table_are_in_its_units(runs: Path, suffix: str) -> None:
    out = runs / f"new.{suffix}"
    assert main(["sample", f"{runs}/table", "-n", "700", "--out", str(out)]) == 0
    if suffix == "csv":
        with out.open() as file:
            head, *rows = csv.reader(file)
        assert head == ["a", "b", "c"]
        values = np.array(rows, dtype=float)
    elif suffix == "parquet":
        found = parquet.read_table(out)
        assert found.column_names == ["a", "b", "c"]
        values = np.stack([found[name].to_numpy() for name in "abc"], 1)
    else:
        values = np.load(out)
    assert values.shape == (700, 3)
    for column, mean, std in zip(values.T, (0.0, 500.0, 3.0), (1.0, 10.0, 0.1), strict=True):
        assert column.mean() == pytest.approx(mean, abs=std)
        assert column.std() < 3 * std


def test_a_table_of_no_columns_names_its_own(runs: Path, tmp_path: Path) -> None:
    rows = torch.rand(80, 4, generator=torch.Generator().manual_seed(0)).numpy()
    np.save(tmp_path / "rows.npy", rows)
    words = f"train pca --data {tmp_path}/rows.npy --latent-dim 2 --out {tmp_path}/run"
    assert main(words.split()) == 0
    assert main(["sample", f"{tmp_path}/run", "-n", "3"]) == 0
    first, *lines = (tmp_path / "run" / "samples.csv").read_text().splitlines()
    assert first.replace('"', "") == "x0,x1,x2,x3"
    assert len(lines) == 3


# Figures


def test_copies_reconstruct_as_well_as_images(slice_of_fashion: InputDataset) -> None:
    test = slice_of_fashion.split("test")
    few = replace(test, index=test.index[:100])
    data = replace(slice_of_fashion, splits={**slice_of_fashion.splits, "test": few})
    copy, prior = build("copy", data.spec), FittedMixture(784)
    fit_prior(prior, copy, data.split("train"))
    figures = sample_figures(copy, prior, data, "test", fitted=prior)
    assert figures["frechet_reconstructions"] == pytest.approx(0, abs=1e-6)
    assert figures["frechet_own"] is None
    assert figures["frechet_fitted"] == figures["frechet"] > 1e-3


@pytest.mark.parametrize("chosen", ["own", "fitted"])
def test_the_figure_is_that_of_the_prior_chosen(blobs: InputDataset, chosen: str) -> None:
    with seeded(0):
        model = build("vae", blobs.spec, latent_dim=3)
    fitted = FittedMixture(3)
    fit_prior(fitted, model, blobs.split("train"))
    given = {"own": model.prior, "fitted": fitted}[chosen]
    figures = sample_figures(model, given, blobs, "test", fitted=fitted)
    assert figures["frechet"] == figures[f"frechet_{chosen}"]
    assert figures["frechet_own"] != figures["frechet_fitted"]
    alone = sample_figures(model, fitted, blobs, "test")
    assert alone["frechet"] == figures["frechet_fitted"]
    assert alone["frechet_fitted"] is None
