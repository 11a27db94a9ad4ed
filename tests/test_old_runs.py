"""Runs that version 0.1.0 made go on to be used: what they gave then is in data/version-0.1.

The first functions are all that this file calls of aelab; everything below goes through them.
"""

import hashlib
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import aelab
from aelab.cli.verbs import main
from aelab.files import read_tensors, write_tensors
from aelab.machine import seeded
from aelab.models.sampling import sample
from aelab.report.measured import run_command
from aelab.runs.upgrade import upgraded_weights

KEPT = Path(__file__).parent / "data" / "version-0.1"
NAMES = sorted(folder.name for folder in (KEPT / "trained").iterdir())
LINKS = [name for name in NAMES if name in ("gae", "vgae")]
INPUTS = [name for name in NAMES if name not in LINKS]
EXPECTED = dict(np.load(KEPT / "expected.npz"))
STUDY = "studies/tiny-study"


def opened(folder: Path) -> Any:
    return aelab.Run.open(folder)


def data_of(run: Any) -> Any:
    return aelab.load_data(
        run.settings.data.name,
        seed=run.settings.seed,
        features=run.settings.data.features,
        rows=run.settings.data.rows,
        label=run.settings.data.label,
        impute=run.settings.data.impute,
    )


def sampled(run: Any) -> torch.Tensor:
    return sample(run.model, 4, seed=0, prior=run.prior)


def prepared(run: Any) -> torch.Tensor:
    """The first two inputs in the file that the run was trained on."""
    return aelab.open_inputs(run.settings.data.name, run.model.spec).batch(torch.arange(2))


def train_again(folder: Path) -> Any:
    """Ask for the run in `folder` as it was asked for before."""
    run = opened(folder)
    return aelab.train_run(run.settings, data_of(run), folder)


def command(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def commands() -> dict[str, str]:
    """From the README of the data: what each run was trained by, after ``aelab train``."""
    block = (KEPT / "README.md").read_text().split("```")[1]
    given, made = block.strip().split("\n\n")
    found = {}
    for line in made.splitlines():
        for variable in given.splitlines():
            name, _, value = variable.partition("=")
            line = line.replace(f"${name}", value.strip('"'))
        name, rest = line.split(maxsplit=1)
        found[name] = f"{name} {rest}" if rest.startswith("--") else rest
    return found


def command_again(tree: Path, name: str, *options: object, folder: str | None = None) -> None:
    """Run the command of a run that is kept, where it was run."""
    words = commands()[name].replace("/DATA/", f"{tree}/data/").split()
    words = [word.replace("trained/", f"{tree}/trained/") for word in words]
    command("train", *words, *options, "--out", tree / (folder or f"trained/{name}"))


def copied(folder: Path) -> Path:
    """A copy of all that is kept, where the recorded paths of data lead to the copy's."""
    tree = folder.resolve() / "old"
    shutil.copytree(KEPT, tree)
    for path in tree.rglob("*"):
        if path.suffix in (".json", ".csv", ".md", ".toml"):
            path.write_bytes(path.read_bytes().replace(b"/DATA/", f"{tree}/data/".encode()))
    return tree


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that is only read."""
    return copied(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy that the test may write in."""
    return copied(tmp_path)


def assert_as_before(found: torch.Tensor, name: str) -> None:
    torch.testing.assert_close(found, torch.from_numpy(EXPECTED[name]), rtol=1e-5, atol=1e-6)


def assert_gives_what_it_gave(run: Any, name: str) -> None:
    x = prepared(run)
    assert_as_before(x, Path(run.settings.data.name).stem)
    with torch.inference_mode():
        z = run.model.encode(x)
        assert_as_before(z, f"{name}/z")
        assert_as_before(run.model.decode(z), f"{name}/x_hat")


def assert_is_drawn_from_its_prior(run: Any) -> None:
    """Samples are decoded codes, and codes have the mean and the deviation of the prior of then."""
    drawn = sampled(run)
    assert drawn.isfinite().all()
    assert torch.equal(drawn, sampled(run))
    assert drawn.shape[1:] == run.model.spec.shape
    size = run.model.code_size
    path = run.folder / "prior.safetensors"
    mean, covariance, low, high = torch.zeros(size), torch.eye(size), -torch.inf, torch.inf
    if path.is_file():
        kept = read_tensors(path)
        centre = kept["weights"] @ kept["means"]
        apart = kept["means"] - centre
        inner = kept["factors"] @ kept["factors"].mT + apart[:, :, None] * apart[:, None]
        within = (kept["weights"][:, None, None] * inner).sum(0)
        mean = kept["mean"] + centre @ kept["basis"]
        covariance = kept["basis"].T @ within @ kept["basis"]
        low, high = kept["low"], kept["high"]
    if not size:
        return
    latent = size - run.model.side_channel[0]
    with seeded(0):
        z = run.prior.sample_codes(4000)
    deviation = covariance.diagonal().sqrt()
    assert (z >= low).all()
    assert (z <= high).all()
    # Codes are clipped to the range, which moves their moments by a little.
    assert ((z.mean(0) - mean).abs() <= 0.3 * deviation + 1e-4)[:latent].all()
    assert ((z.std(0) - deviation).abs() <= 0.35 * deviation + 1e-4)[:latent].all()


def weights(tree: Path) -> dict[Path, tuple[int, bytes]]:
    """When each file of weights was written, and what it holds."""
    files = sorted(tree.rglob("model.safetensors"))
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def processor() -> str:
    """Whatever decides how this processor computes, as one number; see the README of the data."""
    told = ("vendor_id", "cpu family", "model", "stepping", "flags", "cache size")
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    lines = [line for line in first.splitlines() if line.startswith(told)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("name", INPUTS)
def test_codes_and_reconstructions_are_what_they_were(kept: Path, name: str) -> None:
    run = opened(kept / "trained" / name)
    assert_gives_what_it_gave(run, name)
    assert_is_drawn_from_its_prior(run)


@pytest.mark.parametrize("name", LINKS)
def test_codes_of_nodes_and_scores_of_links_are_what_they_were(kept: Path, name: str) -> None:
    run = opened(kept / "trained" / name)
    test = data_of(run).split("test")
    with torch.inference_mode():
        z = run.model.encode(test.graph)
        assert_as_before(z, f"{name}/z")
        assert_as_before(run.model.decode(z, test.positives), f"{name}/scores")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_measured_can_be_read(kept: Path, name: str) -> None:
    run = opened(kept / "trained" / name)
    assert run.metrics == json.loads((run.folder / "metrics.json").read_text())
    assert run.timings == json.loads((run.folder / "timings.json").read_text())
    assert run.metrics["split"] == "test"


@pytest.mark.parametrize(
    "name", ["vanilla", "sparse", "conv-vae-switches", "graph-vae", "vae-table", "gae", "pca"]
)
def test_evaluating_anew_finds_the_same_figures(old: Path, name: str) -> None:
    folder = old / "trained" / name
    before = opened(folder).metrics
    command("evaluate", folder)
    after = opened(folder).metrics
    assert after.keys() >= before.keys()
    # A sparse code is held against a PCA of as many bits now, then of as many numbers.
    others = ("pca_mse", "pca_share") if name == "sparse" else ()
    for metric, figure in before.items():
        if isinstance(figure, int | float) and metric not in others:
            assert after[metric] == pytest.approx(figure, rel=1e-4, abs=1e-6), metric


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_run_is_not_trained_again(old: Path, name: str) -> None:
    folder = old / "trained" / name
    before = {path: path.read_bytes() for path in folder.iterdir()}
    times = weights(folder)
    assert train_again(folder).is_finished("test")
    assert weights(folder) == times
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_run_is_not_trained_again_by_its_own_command(old: Path, name: str) -> None:
    folder = old / "trained" / name
    before = {path: path.read_bytes() for path in folder.iterdir()}
    times = weights(folder)
    command_again(old, name)
    assert weights(folder) == times
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# Version 0.1 did not record which folder a run was begun at.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "vae-from-another"])
def test_the_command_that_a_report_gives_finds_the_run(old: Path, name: str) -> None:
    folder = old / "trained" / name
    before, words = weights(folder), shlex.split(run_command(opened(folder)))
    assert words[:2] == ["aelab", "train"]
    command(*words[1:], "--out", folder)
    assert weights(folder) == before


@pytest.mark.parametrize("name", NAMES)
def test_an_old_run_tells_its_network_and_its_prior(kept: Path, name: str) -> None:
    run = opened(kept / "trained" / name)
    assert run.settings.network == run.blueprint.network_name
    assert run.settings.prior == run.blueprint.prior_name


def test_a_finished_study_is_not_trained_again(old: Path) -> None:
    before, rows = weights(old), json.loads((old / STUDY / "results.json").read_text())["rows"]
    command("compare", old / "tiny-study.toml", "--out", old / "studies", "--no-report")
    assert len(weights(old / STUDY)) == 4
    assert weights(old) == before
    results = json.loads((old / STUDY / "results.json").read_text())
    assert results["errors"] == {}
    assert [row["row"] for row in results["rows"]] == ["pca", "vanilla"]
    for row, found in zip(rows, results["rows"], strict=True):
        assert found["seeds"] == row["seeds"] == [0, 1]
        assert found["metrics"]["mse"] == row["metrics"]["mse"]
        assert found["train_seconds"] == row["train_seconds"]


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        ("trained/gae", ["gae"]),
        pytest.param("trained/vae", ["vae"], marks=pytest.mark.slow),
        pytest.param(STUDY, ["pca", "vanilla"], marks=pytest.mark.slow),
    ],
)
def test_a_report_is_written(kept: Path, tmp_path: Path, folder: str, named: list[str]) -> None:
    command("report", kept / folder, "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") >= 3
    for row in named:
        assert row in page


STOPPED = ("--epochs", 4, "--hidden", "--latent-dim", 2, "--seed", 2)
"""What was asked besides the command of conv-vae."""


@pytest.fixture(scope="module", params=["from Python", "by its command"])
def went_on(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """The run that was stopped after two epochs of four, trained to its end."""
    tree = copied(tmp_path_factory.mktemp("stopped"))
    folder = tree / "stopped"
    assert (folder / "checkpoint").is_dir()
    if request.param == "from Python":
        train_again(folder)
    else:
        command_again(tree, "conv-vae", *STOPPED, folder="stopped")
    return opened(folder)


def by_their_old_names(run: Any) -> dict[str, torch.Tensor]:
    """The weights of the run that went on, as version 0.1 would have named them."""
    found = read_tensors(run.folder / "model.safetensors")
    checkpoint = read_tensors(KEPT / "stopped" / "checkpoint" / "state.safetensors")
    old = {key.removeprefix("model/"): key for key in checkpoint if key.startswith("model/")}
    named = {name: upgraded_weights({name: checkpoint[old[name]]}, run.config, 2) for name in old}
    return {name: found[next(iter(now))] for name, now in named.items()}


def test_a_stopped_run_goes_on_to_what_it_would_have_been(went_on: Any) -> None:
    before = (KEPT / "stopped" / "history.jsonl").read_text()
    after = (went_on.folder / "history.jsonl").read_text()
    assert after.startswith(before)
    assert (len(before.splitlines()), len(after.splitlines())) == (2, 4)
    assert went_on.is_finished("test")
    assert not (went_on.folder / "checkpoint").exists()
    assert_gives_what_it_gave(went_on, "stopped")


def test_a_stopped_run_goes_on_to_the_same_bytes(went_on: Any, tmp_path: Path) -> None:
    made = json.loads((KEPT / "stopped.json").read_text())
    if (made["processor_sha256"], made["torch"]) != (processor(), torch.__version__):
        pytest.skip("the bytes are those of another processor or another PyTorch")
    write_tensors(tmp_path / "model.safetensors", by_their_old_names(went_on))
    content = (tmp_path / "model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == made["model_sha256"]


@pytest.mark.parametrize("name", ["vae", "vae-table", "conv-vae-switches", "vgae"])
def test_training_begins_at_an_old_run(kept: Path, tmp_path: Path, name: str) -> None:
    start = kept / "trained" / name
    before, out = opened(start), tmp_path / "next"
    command("train", before.settings.model, "--from", start, "--epochs", 0, "--out", out)
    begun = opened(out)
    digest = hashlib.sha256((start / "model.safetensors").read_bytes()).hexdigest()
    assert begun.settings.start == digest
    # What is younger than the old run has its default.
    complete = begun.blueprint.complete(before.settings.hyperparameters)
    assert begun.blueprint.complete(begun.settings.hyperparameters) == complete
    tensors = before.model.state_dict()
    for parameter, tensor in begun.model.state_dict().items():
        assert torch.equal(tensor, tensors[parameter]), parameter


def test_a_run_begun_at_another_knows_which(kept: Path) -> None:
    start = kept / "trained" / "vae" / "model.safetensors"
    run = opened(kept / "trained" / "vae-from-another")
    assert run.settings.start == hashlib.sha256(start.read_bytes()).hexdigest()
    assert run.settings.seed == 1
