"""Studies: files checked by row and key, finished rows kept, failing rows told."""

import csv
import json
import multiprocessing
import pickle
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate import features
from aelab.files import AelabError, InputError, MissingFileError
from aelab.models.zoo import blueprint_of, resolve
from aelab.runs.aside import aside
from aelab.runs.jobs import run_all
from aelab.runs.kept_scores import kept_scores
from aelab.runs.resumable import Note
from aelab.settings import thaw
from aelab.studies.compare import compare
from aelab.studies.results import Results
from aelab.studies.study import load_study, packaged_studies, parse_study
from aelab.studies.tables import as_markdown
from tiny_jobs import STEPS, double, double_then_wait, endless, slow, vanish, wait_or_die

TINY = """
[data]
name = "tiny"

[recipe]
epochs = 1
batch_size = 100

[rows.vanilla]
hyperparameters = { latent_dim = 8 }

[rows.pca]
hyperparameters = { latent_dim = 8 }
recipe = { epochs = 0 }

[rows.wide]
model = "vanilla"
hyperparameters = { latent_dim = 800 }
recipe = { epochs = 0 }
published = { mse = 0.1 }

[rows.conv-vae-switches]
hyperparameters = { channels = [4, 4, 4] }
recipe = { epochs = 0.1 }
"""

ONE_ROW = '[data]\nname = "tiny"\n[rows.pca]\nrecipe = { epochs = 0 }\n'


@pytest.mark.parametrize("name", packaged_studies())
def test_packaged_studies_are_valid(name: str) -> None:
    study = load_study(name)
    assert study.rows
    for row in study.rows:
        blueprint_of(row.settings).complete(row.settings.hyperparameters)


def test_default_study_is_like_for_like() -> None:
    """A code of 32 numbers in every row; of the sparse one, 32 of them are not 0."""
    rows = {row.settings.model: row.settings for row in load_study("default").rows}
    assert list(rows) == [
        *("mean", "pca", "vanilla", "multilayer", "convolutional", "sparse", "denoising"),
        *("vae", "conv-vae", "graph-vae"),
    ]
    spec = InputSpec((1, 28, 28))
    for name, settings in rows.items():
        model = resolve(name, settings.network).build(spec, **thaw(settings.hyperparameters))
        size = model.active if name == "sparse" else model.code_size
        assert size == (0 if name == "mean" else 32), name
        assert (model.code_bits > 32 * 32) == (name == "sparse")


def test_original_study_keeps_the_originals_recipe() -> None:
    study = load_study("original")
    vanilla, vae = study.row("vanilla"), study.row("vae")
    assert vanilla is not None
    assert vae is not None
    assert (vanilla.settings.recipe.batch_size, vanilla.settings.recipe.epochs) == (1, 1)
    assert vae.settings.hyperparameters["beta"] == 1 / 125
    assert sum(name.name.endswith("-raw") for name in study.rows) == 5
    assert {row.settings.data.splits for row in study.rows} == {"original"}


def test_a_quick_study_learns_features_first_and_keeps_what_is_asked_for(
    tiny: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "user_cache", lambda *parts: tmp_path.joinpath("cache", *parts))
    monkeypatch.setattr(features, "IMAGES_SEEN", 1_000)
    told: list[tuple[str, object]] = []
    study = parse_study("s", 'metrics = ["samples"]\n' + TINY).shortened()
    for out in ("first", "second"):
        told.clear()
        found = compare(
            study,
            out=tmp_path / out,
            jobs=1,
            on_progress=lambda job, progress: told.append((job.row, progress)),
        )
        label, note = told[0]
        said = isinstance(note, Note) and note.text.startswith("learning the features")
        assert (label, said) == ("vanilla", out == "first")
    run = found.runs["pca"][0]
    kept = run.folder / "anomaly_scores.safetensors"
    assert not kept.exists()
    assert len(kept_scores(run, "distance", lambda: tiny).validation) == 150
    assert kept.exists()


def test_a_row_adds_to_the_studys_own_settings() -> None:
    study = parse_study("s", TINY)
    pca = study.row("pca")
    assert pca is not None
    assert (pca.settings.recipe.epochs, pca.settings.recipe.batch_size) == (0, 100)
    quick = study.shortened().row("vanilla")
    assert quick is not None
    assert quick.settings.recipe.epochs == pytest.approx(0.1)
    assert quick.settings.recipe.threads == 1
    assert study.shortened().jobs == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a study needs rows"),
        ("rows = 3", "study: rows must be a table, not 3"),
        ("[rows.a", "not TOML"),
        (f"seeds = [{'1' * 5000}]", "not TOML: Exceeds the limit"),
        (f"seeds = {'[' * 5000}", "not TOML: maximum recursion depth"),
        ('[rows.a]\nmodel = "vanila"', "row a: model: there is no model 'vanila'"),
        ("[rows.a]", "row a: model: there is no model 'a'"),
        ("[rows.vae]\nrecepi = {}", "row vae: recepi is unknown; did you mean recipe"),
        ("[rows.vae]\nrecipe = { epoch = 3 }", "row vae: recipe: epoch is unknown; did you mean"),
        ("[rows.vae]\nrecipe = { epochs = 'x' }", "row vae: recipe: epochs must be float, not 'x'"),
        ("[rows.vae]\nrecipe = { epochs = -1 }", "row vae: recipe: epochs must be 0 or more"),
        ("[rows.vae]\nrecipe = { schedule = 'cos' }", "schedule must be 'constant' or 'one-cycle'"),
        ("[rows.vae]\ndata = { splits = 'mine' }", "row vae: data: splits must be 'standard' or"),
        ("[rows.vae]\npublished = { mse = 'low' }", "row vae: published must be"),
        ('[rows."../up"]\nmodel = "vae"', "a row's name is a folder's name"),
        ("spilt = 'test'\n[rows.vae]", "study: spilt is unknown; did you mean split"),
        ("split = 'best'\n[rows.vae]", "study: split must be 'train' or 'validation' or 'test'"),
        ("[rows.vae]\ndata = { scale = -1 }", "row vae: data: scale must be a number above 0"),
        ("metrics = ['speed']\n[rows.vae]", "study: metrics must be a list of 'reconstruction'"),
        (
            "[rows.vae]\n[claims.c]\nclaim='x'\nmetric='mse'\nbetter='a'\nthan=['vae']",
            "the claim 'x' names no row of the study: 'a'",
        ),
        ("[rows.vae]\n[questions.q]\nquestion='x'\nmetric='kl'", "'kl' is no metric in which one"),
    ],
)  # fmt: skip
def test_mistakes_in_a_study_are_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_study("mine", text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rows.vae]\nhyperparameters = { latent = 3 }", "row vae: model vae: latent is unknown"),
        ("[rows.vae]\n[rows.vgae]", "row vgae: vgae is a model of the links of a graph, and tiny"),
        (
            "[rows.x]\nmodel = 'no.such:Model'",
            "row x names the class no.such:Model; if you trust it, import no.such first",
        ),
    ],
)
def test_rows_that_cannot_be_are_told_before_any_training(
    tiny: InputDataset, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        compare(parse_study("mine", '[data]\nname = "tiny"\n' + text), out=tmp_path)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"among .*default.*; did you mean default\?"):
        load_study("defualt")
    (tmp_path / "mine.toml").touch()
    with pytest.raises(MissingFileError, match=r"did you mean .*mine\.toml\?"):
        load_study(str(tmp_path / "mien.toml"))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bad\.toml"):
        load_study(str(tmp_path / "bad.toml"))


def test_a_study_gives_one_table(tiny: InputDataset, tmp_path: Path) -> None:
    result = compare(parse_study("mine", TINY), out=tmp_path, seeds=(0, 1))
    assert result.errors == {}
    results = json.loads((tmp_path / "mine" / "results.json").read_text())
    assert results["split"] == "test"
    assert results["units"]["mse"] == "squared error a pixel, pixels in [0, 1]"
    assert [row["row"] for row in results["rows"]] == [
        "vanilla",
        "pca",
        "wide",
        "conv-vae-switches",
    ]
    vanilla, pca, wide, switches = results["rows"]
    singles = [
        json.loads((tmp_path / "mine" / "vanilla" / f"seed-{s}" / "metrics.json").read_text())[
            "mse"
        ]
        for s in (0, 1)
    ]
    assert vanilla["metrics"]["mse"] == {
        "mean": mean(singles),
        "std": stdev(singles),
        "values": singles,
    }
    assert vanilla["seeds"] == [0, 1]
    assert pca["metrics"]["mse"]["mean"] == pytest.approx(
        pca["metrics"]["pca_mse"]["mean"], rel=1e-4
    )
    assert pca["metrics"]["mse"]["std"] == pytest.approx(0, abs=1e-6)
    assert wide["metrics"]["pca_mse"] == {"mean": None, "std": None, "values": [None, None]}
    assert wide["published"] == {"mse": 0.1}
    assert switches["code_size"] == 32 + 4 * (13 * 13 + 5 * 5)
    assert switches["side_channel_bits"] == 1552
    with (tmp_path / "mine" / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert float(lines[0]["mse_mean"]) == vanilla["metrics"]["mse"]["mean"]
    assert lines[2]["pca_mse_mean"] == ""
    markdown = (tmp_path / "mine" / "results.md").read_text()
    assert markdown == as_markdown(Results.from_json(results))
    assert "800*" in markdown
    assert "32 + 1,552 bits*" in markdown
    assert "–" in markdown
    assert "2 seeds" in markdown
    assert "**overcomplete: 808 numbers for 784; could copy**" in markdown
    assert "of 150 test images, 0 are training images to the byte" in markdown
    pictures = [path for runs in result.runs.values() for run in runs for path in run.pictures]
    assert len(pictures) == 16
    assert all(path.is_file() for path in pictures)


def test_budgets_train_every_row_once_by_each() -> None:
    study = parse_study(
        "s",
        TINY
        + """
        [budgets]
        few = { epochs = 2 }
        short = { seconds = 0.5 }
        [questions.best]
        question = "Which?"
        metric = "mse"
        """,
    )
    assert len(study.rows) == 8
    vanilla = study.row("vanilla-short")
    assert vanilla is not None
    assert (vanilla.budget, vanilla.settings.recipe.seconds) == ("short", 0.5)
    assert vanilla.settings.recipe.batch_size == 100
    few = study.row("conv-vae-switches-few")
    assert few is not None
    assert few.settings.recipe.epochs == 2


def test_a_time_budget_spares_what_is_not_trained() -> None:
    study = parse_study("s", TINY).within(60)
    assert study.name == "s-60s"
    assert {row.settings.recipe.seconds for row in study.rows} == {60, None}
    pca = study.row("pca")
    assert pca is not None
    assert pca.settings.recipe.seconds is None


def test_questions_and_claims_are_answered(tiny: InputDataset, tmp_path: Path) -> None:
    text = """
    metrics = ["reconstruction"]
    seeds = [0, 1]
    [data]
    name = "tiny"
    [recipe]
    epochs = 0
    [rows.pca]
    hyperparameters = { latent_dim = 8 }
    [rows.four]
    model = "pca"
    hyperparameters = { latent_dim = 4 }
    [rows.mean]
    [questions.q]
    question = "Which is best?"
    metric = "mse"
    [claims.c]
    claim = "Eight beat four"
    better = "pca"
    than = ["four", "mean"]
    metric = "mse"
    """
    compare(parse_study("asked", text), out=tmp_path)
    results = json.loads((tmp_path / "asked" / "results.json").read_text())
    assert results["claims"][0]["holds"] == "holds"
    assert results["verdicts"][0]["answer"] == "no best is named: the rows' codes differ in size"
    assert "noisy_mse_0.2" not in results["rows"][0]["metrics"]
    markdown = (tmp_path / "asked/results.md").read_text()
    assert markdown.startswith("# asked\n\n**Which is best?** no best is named: ")
    assert "**Claim: Eight beat four.** It holds: " in markdown


def test_one_seed_has_no_deviation(tiny: InputDataset, tmp_path: Path) -> None:
    result = compare(parse_study("mine", ONE_ROW), out=tmp_path)
    assert result.results.rows[0].spread("mse").std is None


def test_finished_rows_are_kept_and_edited_ones_trained_again(
    tiny: InputDataset, tmp_path: Path
) -> None:
    text = f"metrics = ['reconstruction']\n{TINY.partition('[rows.wide]')[0]}"
    compare(parse_study("mine", text), out=tmp_path)
    weights = {
        row: tmp_path / "mine" / row / "seed-0" / "model.safetensors" for row in ("vanilla", "pca")
    }
    before = {row: path.stat().st_mtime_ns for row, path in weights.items()}
    edited = text.replace("latent_dim = 8 }", "latent_dim = 9 }", 1)
    result = compare(parse_study("mine", edited), out=tmp_path).results
    assert weights["pca"].stat().st_mtime_ns == before["pca"]
    assert weights["vanilla"].stat().st_mtime_ns > before["vanilla"]
    assert result.rows[0].code_size == 9
    evaluated = compare(replace(parse_study("mine", edited), split="validation"), out=tmp_path)
    assert weights["pca"].stat().st_mtime_ns == before["pca"]
    assert evaluated.results.split == "validation"
    assert evaluated.results.rows[0].mean("mse") != result.rows[0].mean("mse")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_older_than_a_setting_is_kept(tiny: InputDataset, tmp_path: Path) -> None:
    compare(parse_study("mine", ONE_ROW), out=tmp_path)
    folder = tmp_path / "mine" / "pca" / "seed-0"
    config = json.loads((folder / "config.json").read_text())
    for table, field in (("recipe", "patience"), ("data", "label"), ("input", "columns")):
        del config[table][field]
    (folder / "config.json").write_text(json.dumps(config))
    before = folder.stat().st_ino, contents(folder)
    told: list[object] = []
    compare(parse_study("mine", ONE_ROW), out=tmp_path, on_progress=lambda job, x: told.append(x))
    assert (folder.stat().st_ino, contents(folder)) == before
    assert [path.name for path in folder.parent.iterdir()] == ["seed-0"]
    assert not [what for what in told if isinstance(what, Note)]


def test_a_run_that_gives_way_is_set_aside_and_told(tiny: InputDataset, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "pca" / "seed-0"
    kept = []
    told: list[str] = []
    for size in (8, 9, 10):
        text = f"{ONE_ROW}hyperparameters = {{ latent_dim = {size} }}\n"
        compare(
            parse_study("mine", text),
            out=tmp_path,
            on_progress=lambda job, what: (
                told.append(what.text) if isinstance(what, Note) else None
            ),
        )
        kept.append(contents(folder))
    assert contents(folder.with_name("seed-0.set-aside")) == kept[0]
    assert contents(folder.with_name("seed-0.set-aside-2")) == kept[1]
    assert [
        json.loads(files["config.json"])["hyperparameters"]["latent_dim"] for files in kept
    ] == [8, 9, 10]
    assert told == [
        f"{folder} held a run with other settings or data; it is kept as seed-0.set-aside{number}"
        for number in ("", "-2")
    ]


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_the_user_sees_what_is_set_aside(
    outside: Path, capsys: pytest.CaptureFixture[str], jobs: str
) -> None:
    """With two jobs it is a worker process that says so."""
    np.save("a.npy", np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8))
    text = ONE_ROW.replace("tiny", "a.npy")
    Path("mine.toml").write_text(f"{text}hyperparameters = {{ latent_dim = 2 }}\n[rows.mean]\n")
    asked = ["compare", "mine.toml", "--no-report", "--jobs"]
    assert main([*asked, "1"]) == 0
    config = Path("runs/mine/pca/seed-0/config.json")
    config.write_text("{")
    weights = config.with_name("model.safetensors").read_bytes()
    capsys.readouterr()
    assert main([*asked, jobs]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "set-aside" in line]
    assert said == [
        "pca: runs/mine/pca/seed-0 held a run with a config.json that is damaged or of another "
        "version; it is kept as seed-0.set-aside"
    ]
    aside = Path("runs/mine/pca/seed-0.set-aside")
    assert (aside / "config.json").read_text() == "{"
    assert (aside / "model.safetensors").read_bytes() == weights


def test_after_a_study_broken_off_the_data_are_read_again(
    tiny: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(job: object, told: object) -> None:
        raise KeyboardInterrupt

    study = parse_study("mine", '[data]\nname = "tiny"\n[rows.mean]\n')
    with pytest.raises(KeyboardInterrupt):
        compare(study, out=tmp_path, on_progress=broken_off)
    train = tiny.split("train")
    dark = replace(train, values=torch.zeros_like(train.values))
    monkeypatch.setattr("tiny_data.DATASET", replace(tiny, splits={**tiny.splits, "train": dark}))
    result = compare(study, out=tmp_path / "again")
    assert not result.runs["mean"][0].model.decode(torch.zeros(1, 0)).any()


def test_a_failing_row_is_told_and_the_others_go_on(tiny: InputDataset, tmp_path: Path) -> None:
    text = ONE_ROW + '[rows.bad]\nmodel = "vae"\nhyperparameters = { latent_dim = 0 }\n'
    text += '[rows.diverges]\nmodel = "vanilla"\nhyperparameters = { output = "linear" }\n'
    text += "recipe = { learning_rate = 1e38, epochs = 1, schedule = 'constant' }\n[rows.mean]\n"
    told = []
    result = compare(
        parse_study("mine", text), out=tmp_path, on_progress=lambda job, what: told.append(what)
    )
    assert "latent_dim must be 1 or more, not 0" in result.errors["bad"]
    assert "lower --learning-rate" in result.errors["diverges"]
    assert [row.name for row in result.results.rows] == ["pca", "mean"]
    assert any("latent_dim must" in what for what in told if isinstance(what, str))


@pytest.mark.parametrize("at_once", [1, 2])
def test_jobs_go_on_past_failures(at_once: int) -> None:
    told = []
    outcomes = dict(run_all(double, range(6), at_once, lambda job, what: told.append((job, what))))
    assert {job: outcomes[job] for job in (0, 1, 2, 5)} == {0: 0, 1: 2, 2: 4, 5: 10}
    assert outcomes[3] == "three is wrong"
    assert "RuntimeError: a bug" in str(outcomes[4])
    assert sorted(told) == [(job, f"at {job}") for job in range(6)]


def test_a_call_aside_gives_its_result_or_its_error() -> None:
    with aside(double, 2, print) as result:
        assert result() == 4
    with aside(double, 3, print) as result, pytest.raises(InputError, match="three is wrong"):
        result()
    with (
        aside(wait_or_die, 0, print) as result,
        pytest.raises(AelabError, match="ended from outside, perhaps for want of memory"),
    ):
        result()


def test_a_call_aside_ends_with_its_block() -> None:
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), aside(endless, 0, print):
        raise KeyboardInterrupt
    assert time.monotonic() - begun < 0.01 * STEPS
    assert not multiprocessing.active_children()


def test_processes_need_no_guard_in_a_script(outside: Path) -> None:
    Path("two.toml").write_text(
        'metrics = ["reconstruction"]\n[data]\nname = "digits"\n[rows.pca]\n[rows.mean]\n'
    )
    Path("script.py").write_text(
        'import aelab\nresult = aelab.compare("two.toml", jobs=2, out="runs")\n'
        'print(*sorted(result.runs), result.errors, (result.folder / "report.html").is_file())\n'
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert done.stdout == "mean pca {} True\n", done.stderr


def test_large_jobs_run_alone() -> None:
    told: list[tuple[int, str]] = []
    sizes = {0: 1, 1: 1, 2: 2, 3: 3, 4: 1}
    outcomes = run_all(
        slow, range(5), 2, lambda job, what: told.append((job, what)), size=lambda job: sizes[job]
    )
    assert dict(outcomes) == {job: job for job in range(5)}
    now: set[int] = set()
    for job, what in told:
        now = now | {job} if what == "begins" else now - {job}
        assert sum(sizes[other] for other in now) <= 2 or len(now) == 1


def test_a_process_that_is_gone_is_told() -> None:
    outcomes = dict(run_all(vanish, range(4), 2, lambda job, what: None))
    assert set(outcomes) == set(range(4))
    assert "ended from outside" in str(outcomes[0])


class Elsewhere(Executor):
    """A place that can be reached by bytes alone, begins nothing by itself, and loses a job."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.sent.append(pickle.dumps((fn, args, kwargs)))
        future: Future[Any] = Future()
        if len(self.sent) == 3:
            future.set_exception(CancelledError("the machine is gone"))
        else:
            made, given, named = pickle.loads(self.sent[-1])
            future.set_result(pickle.loads(pickle.dumps(made(*given, **named))))
        return future


def test_an_executor_may_be_anywhere() -> None:
    told = []
    place = Elsewhere()
    outcomes = dict(
        run_all(double, range(6), 1, lambda job, what: told.append((job, what)), executor=place)
    )
    assert len(place.sent) == 6
    assert {job: outcomes[job] for job in (0, 1, 5)} == {0: 0, 1: 2, 5: 10}
    assert outcomes[2] == "CancelledError: the machine is gone"
    assert outcomes[3] == "three is wrong"
    assert "RuntimeError: a bug" in str(outcomes[4])
    assert sorted(told) == [(job, f"at {job}") for job in range(6) if job != 2]


def test_an_executor_from_outside_stays_open_and_is_left_what_it_began() -> None:
    gate, begun = Event(), []

    def hold(job: int, tell: object) -> int:
        begun.append(job)
        assert job == 0 or gate.wait(60)
        return job

    with ThreadPoolExecutor(1) as pool:
        outcomes = run_all(hold, range(4), 1, executor=pool)
        assert next(outcomes) == (0, 0)
        with pytest.raises(KeyboardInterrupt):
            outcomes.throw(KeyboardInterrupt)
        gate.set()
        assert pool.submit(str, 3).result() == "3"
    assert set(begun) <= {0, 1}  # the others were taken back


def test_a_study_is_the_same_by_any_executor(tiny: InputDataset, tmp_path: Path) -> None:
    study = parse_study("mine", TINY.split("[rows.wide]")[0])
    told: list[str] = []
    place = Elsewhere()
    found = compare(
        study,
        out=tmp_path / "elsewhere",
        executor=place,
        on_progress=lambda job, what: told.append(f"{job.label}: {type(what).__name__}"),
    ).results
    assert len(place.sent) == 2
    here = compare(study, out=tmp_path / "here").results
    assert [row.metrics for row in found.rows] == [row.metrics for row in here.rows]
    assert {"vanilla: Progress", "vanilla: Run", "pca: Run"} <= set(told)


def test_processes_stop_when_the_caller_does() -> None:
    told = []
    outcomes = run_all(double_then_wait, range(3), 2, lambda job, what: told.append(what))
    next(outcomes)
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt)
    assert STEPS - 1 not in told  # no job went on to its end
