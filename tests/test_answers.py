"""The sentences that a study's verdicts come to."""

from dataclasses import replace

import pytest

from aelab.studies.answers import answers, answers_of_one
from aelab.studies.results import ClaimVerdict, ResultRow, Results, Spread, Verdict
from aelab.studies.study import load_study, parse_study
from aelab.studies.summary import verdicts


def row(name: str, seconds: float, *errors: float, **metrics: float) -> ResultRow:
    """Its error by seed, and other figures that are the same with each."""
    others = {key: [value] * len(errors) for key, value in metrics.items()}
    return ResultRow(
        name=name,
        model=name,
        code_size=32,
        parameters=1,
        audits={},
        input_size=784,
        budget="",
        seeds=tuple(range(len(errors))),
        train_seconds=seconds,
        metrics={key: Spread.of(of) for key, of in {"mse": errors, **others}.items()},
        published={},
    )


def told(*rows: ResultRow, study: str = "default", claims: bool = False) -> dict[str, str]:
    """What is said of the rows, by what it is about."""
    results = Results(
        study=study,
        title="",
        quick=False,
        data="d",
        split="test",
        units={},
        rows=rows,
        verdicts=tuple(verdicts(load_study(study), rows)),
        claims=(ClaimVerdict("It is so", "holds", "by far"),) if claims else (),
    )
    assert Results.from_json(results.to_json()) == results
    return {line.lead: line.text for line in answers(results)}


PCA = row("pca", 0.9, 0.015, probe=0.81, pixel_probe=0.84, frechet=70.0)
VAE = row("conv-vae", 58.2, 0.0072, pca_mse=0.0151, probe=0.83, pca_probe=0.813, frechet=19.0)
QUICK = row("multilayer", 4.96, 0.0081, pca_mse=0.0151)


def test_the_default_study_answers_in_sentences() -> None:
    drawn = {"frechet_floor": 0.8, "frechet_reconstructions": 6.31}
    vae = replace(VAE, metrics=VAE.metrics | {key: Spread.of([of]) for key, of in drawn.items()})
    sparse = replace(row("sparse", 1.0, 0.001), code_size=64, code_bits=1084.66)
    assert told(PCA, vae, QUICK, sparse, claims=True) == {
        "Reconstructs best:": "conv-vae, squared error 0.0072 a pixel (PCA with 32 numbers: "
        "0.0150), 58 s of training; multilayer is nearly as good (0.0081) after 5.0 s.",
        "Samples best:": "conv-vae, Fréchet distance 19.0 from real images (PCA with 32 numbers: "
        "70.0; its reconstructions: 6.31; other real images: 0.80), 58 s of training.",
        "Tells the classes apart best:": "conv-vae, accuracy 0.830 of a linear classifier on its "
        "codes (PCA with 32 numbers: 0.810), 58 s of training; pca is nearly as good (0.810) "
        "after 0.9 s.",
        "Nearly as good:": "an error at most a quarter larger, after at most a tenth of the "
        "training time.",
        "How sure:": "only one seed was run, and rows with close figures may change places. Add "
        "--seeds 0 1 2 to see which differences hold.",
        "Compared:": "codes of 32 numbers; left out, for their codes are larger or smaller: "
        "sparse (64 in 1,085 bits).",
        "Claim: It is so.": "It holds: by far.",
    }


def test_several_seeds_say_how_sure_it_is() -> None:
    first, close = row("a", 1.0, 0.1, 0.2, 0.3), row("b", 1.0, 0.11, 0.19, 0.31)
    far = row("c", 1.0, 0.5, 0.61, 0.7)
    said = told(first, far)
    assert said["Reconstructs best:"] == (
        "a, squared error 0.2000 ± 0.1000 a pixel, 1.0 s of training; 3 seeds tell it apart from "
        "every other row."
    )
    assert said["How sure:"].startswith("paired t-tests over the seeds")
    assert said["In a tenth of the time:"].startswith("nothing is nearly as good")
    said = told(first, close, far)
    assert said["Reconstructs best:"].endswith("; 3 seeds do not tell a apart from b.")


def test_pca_is_not_held_against_itself() -> None:
    best = replace(
        PCA, train_seconds=0.09, metrics={k: Spread.of([0.015]) for k in ("mse", "pca_mse")}
    )
    said = told(best, row("a", 1.0, 0.02))["Reconstructs best:"]
    assert said == "pca, squared error 0.0150 a pixel, less than 0.1 s of training."


def test_where_no_best_is_named_it_says_why_once() -> None:
    wide = replace(VAE, code_size=64)
    assert told(PCA, wide) == {
        "Reconstructs best, Samples best, Tells the classes apart best:": "no best is named: the "
        "rows' codes differ in size."
    }
    assert told(QUICK)["Reconstructs best:"] == "no best is named: only multilayer has this figure."


def test_a_study_that_asks_nothing_is_asked_the_usual_unless_it_claims() -> None:
    text = "[rows.pca]\n[rows.vae]\n"
    claim = "[claims.c]\nclaim='c'\nmetric='mse'\nbetter='pca'\nthan=['vae']\n"
    rows = [PCA, QUICK]
    assert [of.question for of in verdicts(parse_study("s", text), rows)][:1] == [
        "Reconstructs best"
    ]
    assert list(verdicts(parse_study("s", text + claim), rows)) == []


def test_each_budget_has_its_answer() -> None:
    rows = [
        replace(row(f"{name}-{budget}", 1.0, error), budget=budget)
        for budget, errors in (("few", (0.1, 0.2)), ("many", (0.2, 0.1)))
        for name, error in zip("ab", errors, strict=True)
    ]
    results = [(of.budget, of.best) for of in verdicts(load_study("default"), rows)]
    assert results == [("few", "a"), ("many", "b")]


def test_verdicts_of_earlier_versions_are_words() -> None:
    old = Verdict("Which?", "60 s", "b (MSE 1), then a (MSE 2)")
    assert old.to_json() == {"question": "Which?", "budget": "60 s", "answer": old.answer}


def test_a_single_run_tells_what_it_reached() -> None:
    said = {line.lead: line.text for line in answers_of_one(VAE)}
    assert said["Reconstruction:"] == "squared error 0.0072 a pixel (PCA with 32 numbers: 0.0151)."
    assert said.keys() == {"Reconstruction:", "Samples:", "The code:"}


@pytest.mark.parametrize(
    ("counted", "words"), [("column", "a column"), ("value", "a value"), (None, "a pixel")]
)
def test_an_error_is_told_by_what_it_is_counted_by(counted: str | None, words: str) -> None:
    row = replace(VAE, counted=counted)
    said = {line.lead: line.text for line in answers_of_one(row)}
    assert said["Reconstruction:"].startswith(f"squared error 0.0072 {words} (PCA")
    assert ("pixel" in str(said)) == (counted is None)
    assert ("image" in str(said)) == (counted is None)
    assert ResultRow.from_json(row.to_json(), "") == row
