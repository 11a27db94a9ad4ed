"""The command line as a stranger uses it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.models.zoo import ZOO
from aelab.settings import Recipe

OWN_CLASS = "aelab.models.pca:PCA"

FAST = ["--data", "tiny", "--epochs", "1", "--batch-size", "100"]


MEAN = '''
import torch
from aelab.models.contract import Autoencoder


class Mean(Autoencoder):
    """Every image is its mean.

    Args:
        gain: Multiplies it.
    """

    code_size = 1

    def __init__(self, spec, *, gain: float = 1.0):
        super().__init__(spec)
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def encode(self, x):
        return self.gain * x.flatten(1).mean(1, keepdim=True)

    def decode(self, z):
        return z[:, :, None, None].expand(-1, *self.spec.shape)
'''


def ends_with(code: int, *arguments: str) -> None:
    try:
        ended = main(list(arguments))
    except SystemExit as exit_:  # tyro's own
        ended = exit_.code
    assert ended == code


def test_train_evaluate_reconstruct_sample(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(0, "train", "vae", *FAST, "--hidden", "20", "--latent-dim", "4", "--out", "my run")
    assert "The run: my run" in capsys.readouterr().out
    config = json.loads(Path("my run/config.json").read_text())
    assert config["hyperparameters"]["hidden"] == [20]
    ends_with(0, "evaluate", "my run", "--split", "validation")
    assert json.loads(Path("my run/metrics.json").read_text())["split"] == "validation"
    assert "MSE" in capsys.readouterr().out
    ends_with(0, "reconstruct", "my run", "--out", "r.png")
    ends_with(
        0, "sample", "my run", "-n", "9", "--seed", "3", "--out", "sub/s.png", "--prior", "own"
    )
    assert "Codes drawn from the prior N(0, 1)" in capsys.readouterr().out
    with Image.open("sub/s.png") as grid:
        assert grid.width == grid.height
    with Image.open("r.png") as grid:
        assert grid.height > 10 * 28


def test_binarised_pixels_are_recorded_with_the_run(tiny: InputDataset, outside: Path) -> None:
    ends_with(0, "train", "vae", *FAST, "--binarise", "--likelihood", "bernoulli", "--out", "run")
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"]["binarise"] is config["input"]["binarise"] is True
    metrics = Path("run/metrics.json").read_bytes()
    ends_with(0, "evaluate", "run")
    assert Path("run/metrics.json").read_bytes() == metrics
    ends_with(2, "train", "vae", *FAST, "--binarise", "--pixel-scale", "1", "--out", "raw")


def test_on_other_data_train_takes_no_recipe_of_the_default_study(
    tiny: InputDataset, outside: Path
) -> None:
    from aelab.studies.study import load_study

    ends_with(0, "train", "vanilla", "--data", "tiny", "--epochs", "0.5")
    row = load_study("default").row("vanilla")
    assert row is not None
    config = json.loads(Path("runs/vanilla/seed-0/config.json").read_text())
    assert config["recipe"]["epochs"] == 0.5
    assert config["recipe"]["learning_rate"] == Recipe().learning_rate
    assert config["recipe"]["learning_rate"] != row.settings.recipe.learning_rate
    assert config["recipe"]["batch_size"] == len(tiny.split("train")) // 16
    assert config["hyperparameters"]["latent_dim"] == 32


def test_a_class_of_ones_own_works_like_a_name(
    blobs: InputDataset,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("means.py").write_text(MEAN)
    np.save("mine.npy", blobs.split("train").values[:, 0])
    monkeypatch.setattr(sys, "path", sys.path.copy())  # the working folder is not in it
    train = "train means:Mean --gain 0.5 --data mine.npy --epochs 1 --out run"
    ends_with(0, *train.split())
    assert json.loads(Path("run/config.json").read_text())["hyperparameters"] == {"gain": 0.5}
    del sys.modules["means"]  # as in a process that has not imported it
    ends_with(2, "sample", "run", "--out", "s.png")
    assert "--model means:Mean" in capsys.readouterr().err
    assert not Path("s.png").exists()
    ends_with(0, "sample", "run", "--out", "s.png", "--model", "means:Mean")
    assert Path("s.png").exists()


def test_a_study_imports_the_classes_that_the_command_line_names(
    blobs: InputDataset,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("means_of_study.py").write_text(MEAN)
    np.save("mine.npy", blobs.split("train").values[:, 0])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    Path("mine.toml").write_text(
        'title = "Mine"\n[data]\nname = "mine.npy"\n[recipe]\nepochs = 1\n'
        '[rows.mine]\nmodel = "means_of_study:Mean"\n'
    )
    compare = ["compare", "mine.toml", "--no-report"]
    ends_with(2, *compare)
    said = capsys.readouterr().err
    assert "row mine names the class means_of_study:Mean" in said
    assert "--model means_of_study:Mean" in said
    assert "means_of_study" not in sys.modules
    assert not Path("runs").exists()
    ends_with(0, *compare, "--model", "means_of_study:Mean")
    assert "means_of_study:Mean" in Path("runs/mine/results.json").read_text()


def test_a_network_is_chosen_and_recorded(outside: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 10), dtype=np.uint8)
    np.save("mine.npy", images)
    own = "--channels 4 --hidden 8 --kernels 3 --latent-dim 5 --epochs 2"
    ends_with(0, *f"train vanilla --data mine.npy --network graph {own} --out run".split())
    config = json.loads(Path("run/config.json").read_text())
    assert (config["network"], config["prior"]) == ("graph", None)
    assert config["hyperparameters"]["kernels"] == 3
    assert config["hyperparameters"]["latent_dim"] == 5
    assert "decoder_hidden" not in config["hyperparameters"]  # which the dense network has
    # Training goes on with the network of the run that it starts from.
    train = ["train", "vanilla", "--data", "mine.npy"]
    ends_with(0, *train, "--from", "run", "--out", "second")
    assert json.loads(Path("second/config.json").read_text())["network"] == "graph"
    ends_with(2, *train, "--network", "dense", "--out", "run")  # another run


def test_the_original_splits_have_no_test(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(0, "train", "vanilla", *FAST, "--splits", "original", "--out", "run")
    assert json.loads(Path("run/metrics.json").read_text())["split"] == "validation"
    ends_with(2, "compare", "original", "--split", "test")
    assert "row vanilla: fashion-mnist has no split 'test'" in capsys.readouterr().err


def test_compare_prints_the_table_and_its_files(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text(
        '[data]\nname = "tiny"\n[recipe]\nepochs = 1\nbatch_size = 100\n'
        "[rows.vanilla]\n[rows.broken]\nmodel = 'vae'\nhyperparameters = { beta = -1.0 }\n"
    )
    ends_with(1, "compare", "mine.toml", "--quick", "--seeds", "0", "1", "--jobs", "1")
    captured = capsys.readouterr()
    assert "Quick: a tenth of the training" in captured.out
    assert "runs/mine-quick/results.md" in captured.out
    assert "The page: runs/mine-quick/report.html" in captured.out
    assert "row broken failed: model vae: beta must be 0 or more" in captured.err
    assert json.loads(Path("runs/mine-quick/results.json").read_text())["quick"] is True


def test_links_of_a_graph(outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = [(f"n{i}", f"n{(i + 1) % 30}") for i in range(30)] + [("n0", "n0"), ("n1", "n0")]
    Path("ring.csv").write_text("source,target\n" + "".join(f"{a},{b}\n" for a, b in ring))
    ends_with(0, "train", "gae", "--data", "ring.csv", "--epochs", "5", "--out", "run")
    captured = capsys.readouterr()
    assert "joined a node to itself" in captured.err
    assert 0 <= json.loads(Path("run/metrics.json").read_text())["auc"] <= 1
    with Image.open("run/curves.png") as curves:
        assert curves.width > 400
    ends_with(0, "links", "run", "--top", "7", "--embeddings", "codes.csv")
    listed = Path("run/links.csv").read_text().splitlines()
    assert listed[0] == "source,target,score"
    assert len(listed) == 8
    assert len(Path("codes.csv").read_text().splitlines()) == 31
    found = {frozenset(line.split(",")[:2]) for line in listed[1:]}
    assert not found & {frozenset(edge) for edge in ring}
    Path("pairs.csv").write_text("n0,n1\nn3,n9\n")
    ends_with(0, "links", "run", "--pairs", "pairs.csv", "--out", "scored.csv")
    assert Path("scored.csv").read_text().splitlines()[1].startswith("n0,n1,")
    Path("pairs.csv").write_text("n0,n99\n")
    ends_with(2, "links", "run", "--pairs", "pairs.csv")
    assert "has no node 'n99'" in capsys.readouterr().err
    ends_with(2, "sample", "run")
    assert "draws no samples" in capsys.readouterr().err
    Path("ring.csv").write_text(Path("ring.csv").read_text() + "n3,n9\n")
    ends_with(2, "links", "run")
    assert "was trained on other data" in capsys.readouterr().err


def test_a_model_meets_data_of_the_other_kind(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(2, "train", "vgae", "--data", "tiny")
    assert "vgae is a model of the links of a graph, and tiny is images" in capsys.readouterr().err
    ends_with(2, "train", "vae", "--data", "karate")
    said = (
        "vae over the network dense is a model of images, signals and rows of numbers, and karate"
    )
    assert f"{said} is the links of a graph; see --data" in capsys.readouterr().err
    ends_with(0, "train", "vanilla", *FAST, "--out", "run")
    ends_with(2, "links", "run")
    assert "predicts no links" in capsys.readouterr().err


def test_models_lists_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, "models")
    listed = capsys.readouterr().out
    assert all(name in listed for name in ZOO)
    assert "1,568" in listed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "there is no verb 'trian'"),
        (["train", "vanila"], "did you mean 'vanilla'"),
        (["train", "nowhere:Model"], "cannot be imported"),
        (["train", "vanilla", "--latent-dim", "0", "--out", "new"], "latent_dim must be 1 or more"),
        (["train", "vanilla", "--data", "mnits"], "no data set 'mnits'"),
        (["evaluate", "nothing here"], "nothing here is no run"),
        (["sample", "nothing here"], "is no run"),
        (["reconstruct", "nothing here"], "is no run"),
        (["compare", "nothing"], "there is no study 'nothing'"),
        (["train", "convolutional", "--channels"], "channels must name at least one stage"),
        (["train", "vanilla", "--device", "meta"], "device 'meta' cannot be used"),
        (["train", ":Foo"], "cannot be imported"),
        (["train", "vanilla", "--network", "graphs"], "no network 'graphs': did you mean 'graph'?"),
        (["train", "vanilla", "--network", "nonsense"], "There are dense, convolutional, graph;"),
        (["train", "vanilla", "--network", "nowhere:Net"], "cannot be imported"),
        (["train", "vanilla", "--network", OWN_CLASS], "is no subclass of aelab.models.networks"),
        (["train", "pca", "--network", "dense"], "pca is no composition: it takes no network"),
        (["train", "vae", "--prior", "norml"], "no prior 'norml': did you mean 'normal'?"),
        (["train", "vae", "--prior", "fitted-mixture"], "no model is trained with it"),
        (["train", "pca", "--prior", "normal"], "pca is trained without a prior"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    outside: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    ends_with(2, *arguments)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["train", "vanilla", "--epochs", "many"],
        ["train", "vanilla", "--epochs", "-1"],
        ["train", "vanilla", "--no-such-flag"],
        ["compare", "--jobs", "0"],
        ["compare", "--seeds", "1", "1"],
        ["sample"],
        ["sample", "run", "-n", "0"],
    ],
)
def test_unusable_options_end_with_code_2(arguments: list[str], outside: Path) -> None:
    ends_with(2, *arguments)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "verb", ["", "models", "train", "evaluate", "reconstruct", "sample", "compare"]
)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, *[verb][: len(verb)], "--help")
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize("model", ZOO)
def test_every_option_of_every_model_has_help(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # one column of panels
    ends_with(0, "train", model, "--help")
    text = re.sub(r"[^\x20-\x7e]+", " ", capsys.readouterr().out.replace("\n", " "))
    text = re.sub(r"(--[a-z-]+), --no-[a-z-]+", r"\1", text)  # both forms of a switch
    assert ">>>" not in text  # an example is for readers of the code
    options = re.split(r" (?=--[a-z])", text.split("show this help message and exit")[1])[1:]
    assert len(options) > 15
    for option in options:
        told = option.split("(default")[0].split()
        assert len(told) > 3, option


def test_help_of_a_verb_imports_no_torch() -> None:
    code = """
import sys
from contextlib import suppress
from aelab.cli.verbs import VERBS, main
for verb in VERBS.keys() - {"train"}:  # a model's own options are those of its class
    with suppress(SystemExit):
        main([verb, "--help"])
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from aelab.cli import main; main(['--help']);"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_import_is_silent_and_cheap() -> None:
    code = "import sys, aelab, aelab.data, aelab.models; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
