"""What a study's runs come to: its results, row by row, and the answers that they give."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from aelab.data.specs import GraphSpec, InputSpec
from aelab.evaluate.audits import Finding
from aelab.evaluate.columns import FACTS, METRICS, SLOW_GROUPS, metric_named
from aelab.evaluate.finite import NOT_FINITE
from aelab.runs.store import Run
from aelab.studies.answers import in_words
from aelab.studies.results import ResultRow, Results, Spread, Verdict
from aelab.studies.study import Asked, Row, Study, usual_questions
from aelab.studies.verdicts import best_of, verdict

COSTS = ("train_seconds", "images_per_second", "epochs", "peak_memory_bytes")
"""What a training cost, beside the figures."""


def results_of(
    study: Study,
    runs: Mapping[str, Sequence[Run]],
    *,
    errors: Mapping[str, str],
    audits: Mapping[str, Mapping[str, Finding]],
    asked: Asked | None,
) -> Results:
    """The results of a study's runs, by row, as they lie in their folders now."""
    rows = [row_of(row, of_row) for row in study.rows if (of_row := runs.get(row.name))]
    rows += [mean_row(whole, parts) for whole, parts in wholes(study, runs).items()]
    return Results(
        study=study.name,
        asked=None if asked is None else asked_for(study, rows, asked),
        title=study.title,
        quick=study.quick,
        data=", ".join(sorted({row.settings.data.name for row in study.rows})),
        split=study.split,
        units=units(rows),
        rows=tuple(rows),
        verdicts=tuple(verdicts(study, rows)),
        claims=tuple(verdict(claim, rows) for claim in study.claims),
        audits={name: dict(findings) for name, findings in audits.items()},
        errors=dict(errors),
    )


def row_of(row: Row, runs: Sequence[Run]) -> ResultRow:
    """One row's figures over its seeds; InputError, where a run's evaluation makes no sense."""
    every = [run.metrics for run in runs]
    facts = [
        name for name in FACTS if name in every[0] and name not in ("split", "inputs", NOT_FINITE)
    ]
    spec = runs[0].spec
    content = {
        "row": row.name,
        "model": row.settings.model,
        "audits": {},
        **{name: every[0][name] for name in facts},
        "input_size": spec.size if isinstance(spec, InputSpec) else None,
        "counted": counted(spec),
        "budget": row.budget,
        "seeds": [run.settings.seed for run in runs],
        **costs(runs),
        "metrics": {},
        "published": row.published,
    }
    named = [name for name in every[0] if name not in FACTS]
    figures = {name: Spread.of([metrics.get(name) for metrics in every]) for name in named}
    where = str(runs[0].folder / "metrics.json")
    return replace(ResultRow.from_json(content, where), metrics=figures)


def counted(spec: InputSpec | GraphSpec) -> str | None:
    """What errors of such inputs are counted by, where that is no pixel.

    >>> counted(InputSpec((1, 28, 28))), counted(InputSpec((12,)))
    (None, 'value')
    """
    if isinstance(spec, GraphSpec) or spec.kind == "images":
        return None
    return "value" if spec.columns is None else "column"


def single_row(run: Run) -> ResultRow:
    """A run as a row of its own, under its model's name."""
    return row_of(Row(run.settings.model, run.settings), [run])


def mean_row(whole: str, parts: Mapping[str, Sequence[Run]]) -> ResultRow:
    """One row for a row in parts: the mean over them seed by seed, and its spread over seeds."""
    every = [run for runs in parts.values() for run in runs]
    by_seed = [{run.settings.seed: run.metrics for run in runs} for runs in parts.values()]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    first = row_of(Row(whole, every[0].settings), next(iter(parts.values())))

    def over_parts(name: str, seed: int) -> float | None:
        return mean_or_none([metrics[seed].get(name) for metrics in by_seed])

    return replace(
        first,
        name=f"{whole}, mean of {len(parts)}",
        parts=tuple(parts),
        seeds=tuple(seeds),
        by_class=None,
        audits={},
        others={name: value for name, value in first.others.items() if name != "worst"},
        metrics={
            name: Spread.of([over_parts(name, seed) for seed in seeds]) for name in first.metrics
        },
        **costs(every),
    )


def costs(runs: Sequence[Run]) -> dict[str, Any]:
    """Means over the runs of what training cost, each if all of them know."""
    every = [run.timings for run in runs]
    return {name: mean_or_none([timings.get(name) for timings in every]) for name in COSTS}


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean, if none is missing."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def wholes(study: Study, runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Sequence[Run]]]:
    """The runs of each row that is in parts, part by part; only where all were finished."""
    found: dict[str, dict[str, Sequence[Run]]] = {}
    for row in study.rows:
        if row.part_of:
            found.setdefault(row.part_of, {})[row.name] = runs.get(row.name, [])
    return {whole: parts for whole, parts in found.items() if all(parts.values())}


def units(rows: Sequence[ResultRow]) -> dict[str, str]:
    """The unit of each metric that there is."""
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    found = {row.counted for row in rows}
    one = found.pop() if len(found) == 1 else None
    known = {name: metric_named(name, one).unit for name in names if name in METRICS}
    return {**known, "train_seconds": "seconds of training, without evaluation"}


def asked_for(study: Study, rows: Sequence[ResultRow], asked: Asked) -> Asked:
    """What was asked, and the slow metrics that earlier commands asked for: runs keep them."""
    shown = {metric_named(name).group for row in rows for name in row.metrics}
    own = {name for row in study.rows for name in (*study.groups, *row.groups)}
    earlier = [name for name in SLOW_GROUPS if name in shown - own]
    return replace(asked, metrics=(*asked.metrics, *earlier))


def verdicts(study: Study, rows: Sequence[ResultRow]) -> Iterator[Verdict]:
    """The answers to the study's questions, budget by budget; of rows in parts, the means.

    A study that asks and claims nothing is asked the usual questions.
    """
    rows = [row for row in rows if row.parts] or rows
    for question in study.questions or (() if study.claims else usual_questions()):
        for budget in dict.fromkeys(row.budget for row in rows):
            of_budget = [shortened(row) for row in rows if row.budget == budget]
            if (told := best_of(question, of_budget, budget)) is not None:
                yield replace(told, answer=in_words(told, of_budget))


def shortened(row: ResultRow) -> ResultRow:
    """A row under its name without the budget, where that is said already."""
    return replace(row, name=row.name.removesuffix(f"-{row.budget}"))
