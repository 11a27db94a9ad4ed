"""Every option of the command line, at a value that is not its default, reaches what it names."""

import inspect
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from PIL import Image

import aelab.api
import aelab.api.trained
import aelab.apps.anomalies
import aelab.apps.encode
import aelab.apps.generate
import aelab.apps.impute
import aelab.apps.links
import aelab.apps.restore
import aelab.cli.verbs
import aelab.data.inputs
import aelab.exports.hub
import aelab.exports.model_file
import aelab.models.zoo
import aelab.report.page
import aelab.runs.cluster
import aelab.runs.listing
import aelab.runs.measure
import aelab.runs.train
import aelab.runs.verify
import aelab.studies.compare
from aelab.apps.anomalies import Found
from aelab.apps.impute import Imputed
from aelab.cli import export_options, options
from aelab.cli.verbs import VERBS, main, parse
from aelab.data import graphs
from aelab.data.input_sets import InputDataset
from aelab.exports.model_file import Exported
from aelab.files import InputError
from aelab.models.zoo import NETWORKS, PRIORS, ZOO, Blueprint, prior_named, resolve
from aelab.report.page import Report
from aelab.runs.priors import Priors
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.runs.verify import Verified
from aelab.settings import DataSettings, Recipe, RunSettings
from aelab.studies import asked
from aelab.studies.asked import GENERAL, option_name, train_options
from aelab.studies.compare import Result
from aelab.studies.study import default_settings, load_study, parse_study

CALLED: dict[str, tuple[Any, str]] = {
    "load_settings": (aelab.api.trained, "load_settings"),
    "load_asked": (asked, "load_settings"),
    "import_class": (aelab.models.zoo, "import_class"),
    "open_inputs": (aelab.data.inputs, "open_inputs"),
    "open_run": (Run, "open"),
    "train_run": (aelab.runs.train, "train_run"),
    "evaluate": (aelab.runs.measure, "evaluate_run"),
    "reconstructions": (aelab.runs.measure, "reconstructions"),
    "reconstruct": (aelab.apps.restore, "reconstruct"),
    "denoise": (aelab.apps.restore, "denoise"),
    "encode": (aelab.apps.encode, "encode"),
    "impute": (aelab.apps.impute, "impute"),
    "find_anomalies": (aelab.apps.anomalies, "find_anomalies"),
    "asked_for": (Priors, "asked_for"),
    "write_samples": (aelab.apps.generate, "write_samples"),
    "interpolation": (aelab.apps.generate, "interpolation"),
    "write_picture": (aelab.cli.verbs, "write_picture"),
    "top_missing_links": (aelab.apps.links, "top_missing_links"),
    "score_pairs": (aelab.apps.links, "score_pairs"),
    "write_embeddings": (aelab.apps.links, "write_embeddings"),
    "write_links": (aelab.apps.links, "write_links"),
    "export_model": (aelab.exports.model_file, "export_model"),
    "cluster": (aelab.runs.cluster, "cluster"),
    "compare": (aelab.studies.compare, "compare"),
    "listed": (aelab.runs.listing, "listed"),
    "verified": (aelab.runs.verify, "verified"),
    "push": (aelab.exports.hub, "push"),
    "write_report": (aelab.report.page, "write_report"),
}
"""What the verbs call, and where they find it."""

OPTIONS = (options, export_options, asked)
"""Where the classes of options are."""

COMMANDS: dict[str, dict[str, str]] = {
    "train": {"model": "vae"},
    "evaluate": {"run": "a-run"},
    "encode": {"run": "a-run", "data": "photos.npy", "out": "--out codes.csv"},
    "impute": {"run": "a-run", "data": "gaps.csv", "out": "--out filled.csv"},
    "reconstruct": {"run": "a-run", "data": "photos.npy", "out": "--out restored"},
    "reconstruct its own": {"run": "a-run"},
    "denoise": {"run": "a-run", "data": "photos.npy", "out": "--out restored"},
    "sample": {"run": "a-run"},
    "interpolate": {"run": "a-run", "first": "photos.npy:0", "last": "photos.npy:1"},
    "anomalies": {"run": "a-run", "data": "photos.npy", "out": "--out scores.csv"},
    "links": {"run": "a-graph"},
    "export": {"run": "a-run", "out": "a.onnx"},
    "compare": {},
    "report": {"folder": "a-run"},
    "explore": {"folder": "a-run", "open": "--no-open"},
    "runs": {},
    "verify": {"run": "a-run"},
    "push": {"run": "a-run", "name": "me/vae"},
}
"""Commands with no more than what they need, by option; the first word is the verb."""

OWN_CLASS = "aelab.models.pca:PCA"
OWN_PRIOR = "aelab.models.priors.normal:Normal"


@dataclass(frozen=True)
class Case:
    """An option of a command, what is given for it, and where that must arrive."""

    command: str
    option: str
    words: str
    arrives: str
    """Name in CALLED, parameter, and attributes of that."""

    value: object

    def __str__(self) -> str:
        return f"{self.command} {self.option} {self.arrives}"


def of_data(words: str, name: str, value: object) -> Case:
    """An option of `train` that is one of the data's settings."""
    option = words.split()[0][2:].replace("-", "_")
    return Case("train", option, words, f"load_asked.settings.{name}", value)


def of_folder(command: str, folder: str = "b-run") -> list[Case]:
    """The options that all verbs have that open a run."""
    return [
        Case(command, "run", folder, "open_run.folder", Path(folder)),
        Case(command, "model", f"--model {OWN_CLASS}", "import_class.path", OWN_CLASS),
    ]


def of_inputs(command: str) -> list[Case]:
    """The options that all verbs have that open inputs for a run."""
    elsewhere = "--data-dir elsewhere"
    return [
        *of_folder(command),
        Case(command, "data", "others.npy", "open_inputs.path", "others.npy"),
        Case(command, "strict", "--strict", "open_inputs.strict", True),
        Case(command, "decimal", "--decimal ,", "open_inputs.said.decimal", ","),
        Case(command, "data_dir", elsewhere, "open_inputs.data_dir", Path("elsewhere")),
    ]


def of_data_dir(command: str, *called: str) -> list[Case]:
    """The folder of the data, which every call must be told that reads them."""
    words, value = "--data-dir elsewhere", Path("elsewhere")
    return [Case(command, "data_dir", words, f"{name}.data_dir", value) for name in called]


CASES = [
    *of_data_dir("train", "load_asked"),
    of_data("--data blobs", "name", "blobs"),
    of_data("--splits original", "splits", "original"),
    Case("train", "pixel_scale", "--pixel-scale 0.5", "load_asked.settings.scale", 0.5),
    of_data("--size 48x64", "size", "48x64"),
    of_data("--grayscale", "grayscale", True),
    of_data("--range 0 4095", "range", (0.0, 4095.0)),
    of_data("--signal", "signal", True),
    of_data("--volume", "volume", True),
    of_data("--window 512", "window", 512),
    of_data("--strict", "strict", True),
    of_data("--impute", "impute", True),
    of_data("--missing mask", "missing", "mask"),
    of_data("--label kind", "label", "kind"),
    of_data("--group-by kind", "group_by", "kind"),
    of_data("--split-by day", "split_by", "day"),
    of_data("--condition class", "condition", "class"),
    of_data("--columns a b", "columns", ("a", "b")),
    of_data("--leave-out a b", "leave_out", ("a", "b")),
    of_data("--header", "header", True),
    of_data("--no-header", "no_header", True),
    of_data("--decimal ,", "decimal", ","),
    of_data("--missing-values ? none", "missing_values", ("?", "none")),
    of_data("--binarise", "binarise", True),
    of_data("--features nodes.csv", "features", "nodes.csv"),
    of_data("--bipartite", "bipartite", True),
    of_data("--plain-edges", "plain_edges", True),
    of_data("--rows inputs", "rows", "inputs"),
    of_data("--classes small large", "classes", ("small", "large")),
    Case("train", "split", "--split train", "train_run.split", "train"),
    Case("train", "splits", "--splits original", "train_run.split", "validation"),
    Case("train", "seed", "--seed 7", "train_run.settings.seed", 7),
    Case("train", "seed", "--seed 7", "load_asked.seed", 7),
    Case("train", "start", "--from a-run", "train_run.start.folder", Path("a-run")),
    Case("train", "out", "--out there", "train_run.folder", Path("there")),
    Case(
        "train",
        "checkpoint_seconds",
        "--checkpoint-seconds 9",
        "train_run.checkpoint_seconds",
        9.0,
    ),
    Case("train", "network", "--network graph", "train_run.settings.network", "graph"),
    Case("train", "prior", f"--prior {OWN_PRIOR}", "train_run.settings.prior", OWN_PRIOR),
    *of_folder("evaluate"),
    *of_data_dir("evaluate", "load_settings"),
    Case("evaluate", "split", "--split train", "evaluate.split", "train"),
    Case("evaluate", "metrics", "--metrics samples bound", "evaluate.groups", ("samples", "bound")),
    *of_inputs("encode"),
    *of_folder("impute"),
    *of_data_dir("impute", "load_settings"),
    Case("impute", "data", "others.csv", "impute.path", Path("others.csv")),
    Case("impute", "decimal", "--decimal ,", "impute.said.decimal", ","),
    Case("impute", "out", "--out there.csv", "impute.out", Path("there.csv")),
    Case("encode", "out", "--out there.npy", "encode.path", Path("there.npy")),
    *of_inputs("reconstruct"),
    Case("reconstruct", "side_by_side", "--side-by-side", "reconstruct.side_by_side", True),
    Case("reconstruct", "out", "--out there", "reconstruct.folder", Path("there")),
    *of_folder("reconstruct its own"),
    *of_data_dir("reconstruct its own", "load_settings"),
    Case("reconstruct its own", "split", "--split train", "reconstructions.split", "train"),
    Case("reconstruct its own", "out", "--out there.png", "write_picture.path", Path("there.png")),
    *of_inputs("denoise"),
    Case("denoise", "side_by_side", "--side-by-side", "denoise.side_by_side", True),
    Case("denoise", "noise_level", "--noise-level 0.3", "denoise.noise_level", 0.3),
    Case("denoise", "out", "--out there", "denoise.folder", Path("there")),
    *of_folder("sample"),
    *of_data_dir("sample", "load_settings"),
    Case("sample", "prior", "--prior two-stage", "asked_for.name", "two-stage"),
    Case("sample", "class_name", "--class cats", "write_samples.class_name", "cats"),
    Case("sample", "n", "-n 5", "write_samples.n", 5),
    Case("sample", "seed", "--seed 7", "write_samples.seed", 7),
    Case("sample", "temperature", "--temperature 0.5", "write_samples.temperature", 0.5),
    Case("sample", "out", "--out there.npy", "write_samples.path", Path("there.npy")),
    *of_folder("interpolate"),
    *of_data_dir("interpolate", "interpolation"),
    Case("interpolate", "first", "photos.npy:2", "interpolation.first", "photos.npy:2"),
    Case("interpolate", "last", "photos.npy:2", "interpolation.last", "photos.npy:2"),
    Case("interpolate", "steps", "--steps 4", "interpolation.steps", 4),
    Case("interpolate", "out", "--out there.png", "write_picture.path", Path("there.png")),
    *of_inputs("anomalies"),
    *of_data_dir("anomalies", "load_settings"),
    Case(
        "anomalies",
        "false_alarm_rate",
        "--false-alarm-rate 0.2",
        "find_anomalies.false_alarm_rate",
        0.2,
    ),
    Case("anomalies", "top", "--top 3", "find_anomalies.top", 3),
    Case("anomalies", "score", "--score distance", "find_anomalies.score", "distance"),
    Case("anomalies", "explain", "--explain", "find_anomalies.explain", True),
    Case(
        "anomalies",
        "anomaly_classes",
        "--anomaly-classes a b",
        "find_anomalies.anomaly_classes",
        ("a", "b"),
    ),
    Case("anomalies", "out", "--out there.csv", "find_anomalies.path", Path("there.csv")),
    *of_folder("links", "b-graph"),
    *of_data_dir("links", "load_settings"),
    Case("links", "top", "--top 3", "top_missing_links.n", 3),
    Case("links", "pairs", "--pairs pairs.csv", "score_pairs.pairs_by_id", [("2", "5")]),
    Case("links", "embeddings", "--embeddings z.csv", "write_embeddings.path", Path("z.csv")),
    Case("links", "out", "--out there.csv", "write_links.path", Path("there.csv")),
    *of_folder("export"),
    *of_data_dir("export", "load_settings"),
    Case("export", "out", "there.pt2", "export_model.path", Path("there.pt2")),
    Case("export", "part", "--part score", "export_model.part", "score"),
    Case("export", "score", "--score distance", "export_model.score", "distance"),
    Case(
        "export", "false_alarm_rate", "--false-alarm-rate 0.2", "export_model.false_alarm_rate", 0.2
    ),
    Case("export", "without_data", "--without-data", "export_model.without_data", True),
    *of_data_dir("compare", "compare", "write_report"),
    Case("compare", "study", "links", "compare.study.name", "links"),
    Case("compare", "data", "--data cifar10", "compare.study.name", "default-cifar10"),
    Case("compare", "data", "--data cifar10", "compare.asked.data", "cifar10"),
    Case("compare", "seeds", "--seeds 3 5", "compare.study.seeds", (3, 5)),
    Case("compare", "model", f"--model {OWN_CLASS}", "import_class.path", OWN_CLASS),
    Case("compare", "jobs", "--jobs 2", "compare.study.jobs", 2),
    Case("compare", "cluster", "--cluster tcp://head:8786", "cluster.address", "tcp://head:8786"),
    Case("compare", "quick", "--quick", "compare.study.quick", True),
    Case("compare", "time_budget", "--time-budget 2m", "compare.study.name", "default-120s"),
    Case(
        "compare",
        "metrics",
        "--metrics importance",
        "compare.study.groups",
        (*load_study("default").groups, "importance"),
    ),
    Case("compare", "split", "--split validation", "compare.study.split", "validation"),
    Case("compare", "device", "--device cuda", "compare.study.name", "default-cuda"),
    Case("compare", "device", "--device cuda", "compare.asked.device", "cuda"),
    Case("compare", "out", "--out there", "compare.out", Path("there")),
    *of_data_dir("explore", "write_report"),
    Case("explore", "folder", "b-run", "write_report.folder", Path("b-run")),
    *of_data_dir("report", "write_report"),
    Case("report", "folder", "b-run", "write_report.folder", Path("b-run")),
    Case("report", "classes", "--classes small large", "write_report.classes", ("small", "large")),
    Case("report", "model", f"--model {OWN_CLASS}", "import_class.path", OWN_CLASS),
    Case("report", "out", "--out there", "write_report.out", Path("there")),
    Case("runs", "folder", "b-run", "listed.folder", Path("b-run")),
    *of_folder("verify"),
    *of_data_dir("verify", "load_settings"),
    *of_folder("push"),
    Case("push", "name", "you/vae", "push.name", "you/vae"),
    Case("push", "private", "--private", "push.private", True),
    Case("push", "license", "--license mit", "push.license", "mit"),
    Case("verify", "slow", "--slow", "verified.slow", True),
]

CHOOSE = ("goal", "budget", "latent_dim", "seed", "out", "data_dir")

ELSEWHERE = {
    ("compare", "no_report"),
    ("explore", "open"),
    ("anomalies", "label"),
    ("train", "track"),
    ("completion", "shell"),
    ("export", "data"),
    *(("choose", name) for name in CHOOSE),
}
"""Options with a test of their own."""

RECIPE: dict[str, tuple[str, object]] = {
    "epochs": ("--epochs 3.5", 3.5),
    "seconds": ("--seconds 4.5", 4.5),
    "batch_size": ("--batch-size 7", 7),
    "learning_rate": ("--learning-rate 0.25", 0.25),
    "schedule": ("--schedule constant", "constant"),
    "shuffle": ("--no-shuffle", False),
    "precision": ("--precision bfloat16", "bfloat16"),
    "channels_last": ("--channels-last", True),
    "clip_norm": ("--clip-norm 0.5", 0.5),
    "patience": ("--patience 3", 3),
    "keep": ("--keep last", "last"),
    "threads": ("--threads 3", 3),
    "device": ("--device cuda", "cuda"),
}
CASES += [
    Case("train", name, words, f"train_run.settings.recipe.{name}", value)
    for name, (words, value) in RECIPE.items()
]


Calls = dict[str, list[Mapping[str, Any]]]
"""The arguments of each call, by name in CALLED."""

Answer = Callable[[Mapping[str, Any]], Any]
"""What a call is answered with, from its arguments."""

DONE = {"open_run", "open_inputs", "import_class"}
"""Calls that are done; all others are answered at once."""


@dataclass(frozen=True)
class Workplace:
    """A folder with runs and inputs to work on, and what is answered instead of working."""

    folder: Path
    instead: Mapping[str, Answer]

    def calls(self, command: str, **given: str) -> Calls:
        """What a command calls; `given` replaces words of COMMANDS by option, or adds to them."""
        words = {"verb": command.split()[0], **COMMANDS[command], **given}
        with spied(self.instead) as calls, pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            assert main(" ".join(words.values()).split()) == 0
        return calls


@contextmanager
def spied(instead: Mapping[str, Answer]) -> Iterator[Calls]:
    """Record the calls of all in CALLED; those of `instead` are not done but answered by it."""
    calls: Calls = {name: [] for name in CALLED}
    with pytest.MonkeyPatch.context() as patch:
        for name, (owner, attribute) in CALLED.items():
            spy(patch, owner, attribute, calls[name], instead.get(name))
        yield calls


def spy(
    patch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    calls: list[Mapping[str, Any]],
    instead: Answer | None,
) -> None:
    """Let the calls of a function, or of a method, be recorded with their arguments by name."""
    original = getattr(owner, name)
    signature = inspect.signature(original)

    def recorded(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        calls.append(bound.arguments)
        return original(*args, **kwargs) if instead is None else instead(bound.arguments)

    patch.setattr(owner, name, staticmethod(recorded) if inspect.ismethod(original) else recorded)


@pytest.fixture(scope="module")
def workplace(blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("workplace")
    settings = RunSettings("vae", {}, DataSettings("blobs"), Recipe(epochs=0))
    run = train_run(settings, blobs, folder / "a-run", groups=("reconstruction",))
    karate = graphs.load("karate")
    train_run(
        RunSettings("gae", {}, DataSettings("karate"), Recipe(epochs=0)), karate, folder / "a-graph"
    )
    for name in ("run", "graph"):
        shutil.copytree(folder / f"a-{name}", folder / f"b-{name}")
    for name in ("photos", "others"):
        np.save(folder / f"{name}.npy", np.zeros((3, *blobs.spec.shape), np.uint8))
    (folder / "pairs.csv").write_text("2,5\n")
    study = parse_study("done", "[rows.vae]")
    instead: dict[str, Answer] = {
        "load_settings": lambda to: karate if to["settings"].name == "karate" else blobs,
        "load_asked": lambda to: karate if to["settings"].name == "karate" else blobs,
        "train_run": lambda to: run,
        "asked_for": lambda to: to["data"]() and run.prior,
        "find_anomalies": lambda to: to["data"]() and Found(0.5, 0, ()),
        "impute": lambda to: Imputed(0, None, None),
        "interpolation": lambda to: Image.new("L", (1, 1)),
        "write_picture": lambda to: to["path"],
        "score_pairs": lambda to: [],
        "top_missing_links": lambda to: [],
        "export_model": lambda to: to["data"]() and Exported(to["path"], "whole", (), (), "none"),
        "cluster": lambda to: nullcontext(),
        "compare": lambda to: Result(study, run.folder, {"vae": [run]}, {}, {}),
        "listed": lambda to: [],
        "verified": lambda to: Verified(0, (), ()),
        "write_report": lambda to: Report(Path("report.html"), ()),
    }
    nothing = CALLED.keys() - instead.keys() - DONE
    return Workplace(folder, instead | dict.fromkeys(nothing, lambda to: None))


def arrived(calls: Calls, place: str) -> list[Any]:
    """What came to a parameter, or to an attribute of it, call by call."""
    called, parameter, *attributes = place.split(".")
    found = [call[parameter] for call in calls[called]]
    for attribute in attributes:
        found = [getattr(value, attribute) for value in found if value is not None]
    return found


@pytest.fixture(scope="module")
def usual(workplace: Workplace) -> Callable[[str], Calls]:
    """What a command calls without any more options; found once for each."""
    return cache(workplace.calls)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_option_arrives(case: Case, workplace: Workplace, usual: Callable[[str], Calls]) -> None:
    found = arrived(workplace.calls(case.command, **{case.option: case.words}), case.arrives)
    assert case.value in found
    assert case.value not in arrived(usual(case.command), case.arrives)


def test_every_option_has_a_case() -> None:
    verbs = {
        one.__name__.removesuffix("Options").lower(): one
        for one in [o for of in OPTIONS for o in vars(of).values()]
        if isinstance(one, type)
        and is_dataclass(one)
        and one.__module__ in [of.__name__ for of in OPTIONS]
        and one.__name__.endswith("Options")
        and not one.__subclasses__()
    }
    assert verbs.keys() == VERBS.keys() - {"models"}  # which has none
    there = {(verb, option.name) for verb, one in verbs.items() for option in fields(one)}
    there |= {("train", option_name(option)) for of in GENERAL for option in fields(of)}
    there |= {("train", "network"), ("train", "prior")}
    assert there == {(case.command.split()[0], case.option) for case in CASES} | ELSEWHERE


def test_no_report_draws_none(workplace: Workplace, usual: Callable[[str], Calls]) -> None:
    assert usual("compare")["write_report"]
    assert not workplace.calls("compare", no_report="--no-report")["write_report"]


COMPOSITIONS = [
    (model, network)
    for model in ZOO
    for network in (NETWORKS if resolve(model).network_name else [None])
]
"""Every model of the zoo, with every network if it takes one."""


@pytest.mark.parametrize(("model", "network"), COMPOSITIONS)
def test_every_hyperparameter_arrives(
    model: str, network: str | None, workplace: Workplace
) -> None:
    blueprint = resolve(model, network)
    usual = default_settings(blueprint).hyperparameters
    kinds = {name: one.type for name, one in blueprint.hyperparameters.items()}
    given = {name: another(usual[name], kind) for name, kind in kinds.items()}
    words = [word for name, value in given.items() for word in as_words(name, value)]
    chosen = f"--network {network}" if network else ""
    calls = workplace.calls("train", model=model, own=" ".join(words), network=chosen)
    assert arrived(calls, "train_run.settings.model") == [model]
    assert arrived(calls, "train_run.settings.network") == [network]
    assert arrived(calls, "train_run.settings.hyperparameters") == [given]


@pytest.mark.parametrize(("model", "network"), COMPOSITIONS)
def test_every_switch_has_both_its_forms(model: str, network: str | None) -> None:
    """Whatever its default is."""
    blueprint = resolve(model, network)
    general = [(option_name(one), one.type) for of in GENERAL for one in fields(of)]
    own = [(name, one.type) for name, one in blueprint.hyperparameters.items()]
    switches = [name for name, kind in [*general, *own] if kind is bool]
    assert {"channels_last", "shuffle", "grayscale", "binarise"} <= set(switches)
    for value in (True, False):
        words = [word for name in switches for word in as_words(name, value)]
        asked = parse(train_options(blueprint), f"train {model}", words, None)
        found = {**vars(asked), **vars(asked.run), **vars(asked.data), **vars(asked.recipe)}
        assert [found[name] for name in switches] == [value] * len(switches)


def keywords(of: type) -> set[str]:
    """What a class takes by its name."""
    parameters = inspect.signature(of).parameters.values()
    wanted = [inspect.Parameter.KEYWORD_ONLY]
    if is_dataclass(of):
        wanted.append(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {one.name for one in parameters if one.kind in wanted}


def names_of(blueprint: Blueprint, prior: type) -> list[str]:
    """The names of all options of `aelab train`, if the model had that prior."""
    classes = {**blueprint.parts, "prior": prior}
    own = [name for of in classes.values() for name in keywords(of) - classes.keys()]
    general = [option_name(option) for of in GENERAL for option in fields(of)]
    return [*general, "network", "prior", *own]


@pytest.mark.parametrize(("model", "network"), COMPOSITIONS)
def test_no_two_options_have_one_name(model: str, network: str | None) -> None:
    blueprint = resolve(model, network)
    for prior in PRIORS:
        names = names_of(blueprint, prior_named(prior))
        assert len(names) == len(set(names)) > 30
        assert blueprint.hyperparameters.keys() <= set(names)


CLASHING = """
from aelab.models.autoencoder import DeterministicAutoencoder
from aelab.models.baselines import Copy


class WithRecipe(Copy):
    def __init__(self, spec, *, epochs: int = 3):
        super().__init__(spec)


class WithNetwork(DeterministicAutoencoder):
    def __init__(self, spec, network, *, latent_dim: int = 3, activation: str = "relu"):
        super().__init__(spec, network, latent_dim=latent_dim)
"""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("WithRecipe", "epochs is an option of aelab train already; rename the hyperparameter"),
        ("WithNetwork", "activation is a hyperparameter of its network and of its model; rename"),
    ],
)
def test_a_hyperparameter_of_ones_own_that_has_another_options_name_is_told(
    outside: Path, capsys: pytest.CaptureFixture[str], model: str, said: str
) -> None:
    Path("clashing_models.py").write_text(CLASHING)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(outside))
        patch.delitem(sys.modules, "clashing_models", raising=False)
        assert main(["train", f"clashing_models:{model}", "--data", "digits"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def another(value: Any, hint: Any) -> Any:
    """A value of the same type that is not this one."""
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return next(kind for kind in kinds if kind != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(number + 1 for number in value) or (7,)
    if value is None:  # an option that is not set: the first of its types but None
        first = get_args(kinds[0])[0] if get_origin(kinds[0]) is Literal else kinds[0]()
        return first or another(first, kinds[0])
    return value + 1 if isinstance(value, int) else value / 2 + 0.25


def as_words(name: str, value: Any) -> list[str]:
    """An option as one types it."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    return [f"--{option}", *map(str, value if isinstance(value, tuple) else (value,))]


def test_a_studys_recipe_is_that_of_its_own_data() -> None:
    blueprint = resolve("vae")
    row = load_study("default").row("vae")
    assert row is not None
    for data in (None, "fashion-mnist"):
        assert default_settings(blueprint, data).recipe == row.settings.recipe
    other = default_settings(blueprint, "digits")
    assert other.recipe == Recipe()
    assert other.hyperparameters == blueprint.defaults
    links = default_settings(resolve("gae"), "my-edges.csv").recipe
    assert links == default_settings(resolve("gae")).recipe != Recipe()


def test_a_row_may_have_metrics_of_its_own() -> None:
    text = '[rows.vae]\nmetrics = ["samples", "priors"]\n[rows.pca]\n'
    study = parse_study("s", text)
    assert [row.groups for row in study.rows] == [("samples", "priors"), ()]
    with pytest.raises(InputError, match="row vae: metrics"):
        parse_study("s", '[rows.vae]\nmetrics = ["sampels"]\n')
