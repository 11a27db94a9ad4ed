"""Runs go to the Hub and come back, and a stranger's repository can do no harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import aelab
from aelab.api import TrainedRun
from aelab.cli.verbs import main
from aelab.exports import hub as hub_module
from aelab.files import AelabError
from hub_server import Hub, serving

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("pushed") / "run"
    return aelab.train("vae", "digits", latent_dim=3, hidden=(8,), epochs=1, out=folder, quiet=True)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
        monkeypatch.setattr(hub_module, "user_cache", lambda *parts: tmp_path.joinpath(*parts))
        yield server


def test_a_run_comes_back_as_it_went(run: TrainedRun, hub: Hub) -> None:
    assert main(["push", str(run.folder), "me/vae", "--license", "mit"]) == 0
    held = hub.repositories["me/vae"]
    assert {Path(name).suffix for name in held} == {".safetensors", ".json", ".jsonl", ".md"}
    assert sum("/commit/" in call for call in hub.calls) == 1
    again = aelab.load("hf://me/vae")
    assert again.metrics == run.metrics
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor)
    assert torch.equal(again.sample(2, seed=1), run.sample(2, seed=1))
    asked = len(hub.calls)
    aelab.load("hf://me/vae")
    assert len(hub.calls) == asked + 1  # which commit it is; nothing is fetched twice


def test_the_card_has_the_run_s_figures_beside_pca_s(run: TrainedRun, hub: Hub) -> None:
    hub_module.push(run, "me/vae", license="mit")
    card = hub.repositories["me/vae"]["README.md"].decode()
    _, front, text = card.split("---\n", 2)
    assert "library_name: aelab\n" in front
    assert 'license: "mit"\n' in front
    [row] = [line for line in text.splitlines() if line.startswith("| MSE ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [f"{run.metrics['mse']:.4f}", f"{run.metrics['pca_mse']:.4f}"]


@pytest.mark.parametrize(
    "verb", ["evaluate", "sample", pytest.param("report", marks=pytest.mark.slow)]
)
def test_verbs_take_an_address(run: TrainedRun, hub: Hub, outside: Path, verb: str) -> None:
    hub_module.push(run, "me/vae")
    assert main([verb, "hf://me/vae"]) == 0


@pytest.mark.parametrize("there", [True, False])
def test_a_commit_that_fails_leaves_the_hub_as_it_was(
    run: TrainedRun, hub: Hub, there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"me/vae": {"README.md": b"mine"}} if there else {}
    hub.repositories |= {name: dict(files) for name, files in before.items()}
    hub.refuses = "POST /api/models/me/vae/commit"
    assert main(["push", str(run.folder), "me/vae"]) == 2
    assert hub.repositories == before
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "the commit failed" in told
    assert ("is as it was" if there else "is removed") in told


def test_a_repository_that_cannot_be_removed_is_told(run: TrainedRun, hub: Hub) -> None:
    hub.refuses = "POST /api/models/me/vae/commit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.HfApi.delete_repo", refuse)
        with pytest.raises(AelabError, match=r"is empty, and it could not be removed.*by hand"):
            hub_module.push(run, "me/vae")


def refuse(*args: object, **options: object) -> None:
    raise OSError("not yours")


def test_what_cannot_be_pushed_asks_the_hub_for_nothing(
    run: TrainedRun, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vae", "../vae", "a/b/c", "a/..", "a b/c"):
        with pytest.raises(AelabError, match="owner/name"):
            hub_module.push(run, name)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(AelabError, match="no token of the Hub"):
        hub_module.push(run, "me/vae")
    assert not hub.calls


def test_of_a_stranger_s_repository_nothing_else_is_taken(
    run: TrainedRun, hub: Hub, tmp_path: Path
) -> None:
    hub_module.push(run, "me/vae")
    evil = {
        "model.pkl": b"\x80", "model.bin": b"\x80", "evil.py": b"1/0", "../../out.json": b"1",
        "priors/../../../out.safetensors": b"1", "/out.json": b"1", "config.json.py": b"1/0",
    }  # fmt: skip
    hub.repositories["me/vae"] |= evil
    aelab.load("hf://me/vae")
    resolved = [call for call in hub.calls if "/resolve/" in call]
    assert resolved
    assert not any(name in call for call in resolved for name in evil)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {path.name for path in run.folder.rglob("*") if path.suffix != ".png"} - {
        "priors"
    }


def test_what_is_no_run_or_too_large_is_not_fetched(run: TrainedRun, hub: Hub) -> None:
    with pytest.raises(AelabError, match="cannot fetch hf://me/nothing"):
        aelab.load("hf://me/nothing")
    hub.repositories["me/text"] = {"README.md": b""}
    with pytest.raises(AelabError, match=r"holds no run: it has no config\.json"):
        aelab.load("hf://me/text")
    hub_module.push(run, "me/vae")
    hub.lies = {"model.safetensors": 2**40}
    with pytest.raises(AelabError, match="is larger than"):
        aelab.load("hf://me/vae")
    assert not any("/resolve/" in call for call in hub.calls)
