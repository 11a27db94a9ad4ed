"""What detectors come to over many tables: means, ranks, and a figure a table, in three files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table as RichTable

from aelab.files import write_json, write_text
from aelab.studies import html
from aelab.studies.adbench import PUBLISHED, Outcome, TableFacts, published
from aelab.studies.cells import CLOSE, Cell, number
from aelab.studies.detectors import DETECTORS
from aelab.studies.ranks import Ranking, ranking
from aelab.studies.results import NO_FIGURE, Spread
from aelab.studies.tables import Column, markdown_table

PROTOCOLS = {True: "as published", False: "without resampling"}
"""Whether small tables are resampled, in words."""

ALL, LARGE = "all", "1,000 rows or more"
"""Sets of tables that means are taken over."""

PERCENT = 100.0


@dataclass(frozen=True)
class Benchmark:
    """Outcomes of detectors on tables.

    >>> pair = [Outcome("", "t", "pca", seed, False, auroc, 0.5, 1.0, 0.0)
    ...     for seed, auroc in enumerate([0.8, 0.9])]
    >>> found = Benchmark([TableFacts("t", 2_000, 5, 10, small=False)], pair, {})
    >>> round(found.auroc("pca", "t", resampled=True).mean, 1)
    85.0
    """

    tables: Sequence[TableFacts]
    outcomes: Sequence[Outcome]
    errors: Mapping[str, str]
    """Of the fits that failed, by their labels."""

    quick: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that any fit was made with."""
        return tuple(sorted({outcome.seed for outcome in self.outcomes}))

    @property
    def detectors(self) -> list[str]:
        """Those that have outcomes, in the order of DETECTORS."""
        present = {outcome.detector for outcome in self.outcomes}
        return [name for name in DETECTORS if name in present]

    @cached_property
    def by_fit(self) -> Mapping[tuple[str, str, bool], list[Outcome]]:
        """The outcomes seed by seed, by detector, table, and whether it was resampled."""
        found: dict[tuple[str, str, bool], list[Outcome]] = {}
        for one in self.outcomes:
            found.setdefault((one.detector, one.table, one.resampled), []).append(one)
        return found

    def of(self, detector: str, table: str, *, resampled: bool) -> list[Outcome]:
        """The outcomes of a detector on a table, seed by seed; a large one is never resampled."""
        same = self.by_fit.get((detector, table, False), [])
        return self.by_fit.get((detector, table, True), same) if resampled else same

    def auroc(self, detector: str, table: str, *, resampled: bool) -> Spread:
        """The AUROC in % over the seeds."""
        found = self.of(detector, table, resampled=resampled)
        return Spread.of([PERCENT * one.auroc for one in found]) if found else NO_FIGURE

    def shared(self, *, resampled: bool) -> list[TableFacts]:
        """The tables that every detector has been through with every seed: means are over them."""
        return [
            table
            for table in self.tables
            if all(
                len(self.of(name, table.name, resampled=resampled)) == len(self.seeds)
                for name in self.detectors
            )
        ]

    def tables_of(self, which: str, *, resampled: bool) -> list[str]:
        """The names of a set of tables."""
        return [
            table.name
            for table in self.shared(resampled=resampled)
            if which == ALL or not table.small
        ]

    def mean(self, detector: str, which: str, *, resampled: bool) -> float | None:
        """The mean AUROC in % over a set of tables."""
        names = self.tables_of(which, resampled=resampled)
        found = [self.auroc(detector, name, resampled=resampled).mean for name in names]
        return mean_of(found)

    def ranking(self, *, resampled: bool) -> Ranking | None:
        """The detectors' ranks over all tables; None where there is none."""
        names = self.tables_of(ALL, resampled=resampled)
        if not names:
            return None
        return ranking(
            {
                detector: [
                    self.auroc(detector, name, resampled=resampled).mean or 0.0 for name in names
                ]
                for detector in self.detectors
            }
        )

    def seconds(self, detector: str) -> float | None:
        """The mean time of a fit and its scores."""
        found = [one.seconds for one in self.outcomes if one.detector == detector]
        return fmean(found) if found else None

    def seen(self, table: str) -> float | None:
        """Share of the normal test rows of a resampled table that are training rows, too."""
        found = [one.seen for one in self.outcomes if one.table == table and one.resampled]
        return PERCENT * fmean(found) if found else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean, where there are values and none is lacking."""
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers and len(numbers) == len(values) else None


def published_mean(detector: str | None, names: Sequence[str]) -> float | None:
    """The mean of a published detector's figures over those of these tables that have any."""
    known = published()
    return mean_of([known[name][detector] for name in names if detector and name in known])


def main_columns(found: Benchmark) -> list[Column]:
    """A row a detector: its means, its rank, and the published one of its kind."""
    rows = found.detectors
    columns = [Column("detector", "", [Cell(name) for name in rows])]
    for resampled, told in PROTOCOLS.items():
        for which in (ALL, LARGE) if resampled else (ALL,):
            count = len(found.tables_of(which, resampled=resampled))
            means = [found.mean(name, which, resampled=resampled) for name in rows]
            title = f"AUROC {told}" if which == ALL else f"AUROC, {which}"
            columns.append(Column(title, f"%, {count} tables", percents(means)))
        ranks = found.ranking(resampled=resampled)
        if ranks is not None:
            cells = [
                Cell(f"{ranks.ranks[n]:.2f}{CLOSE * (n in ranks.close)}", ranks.ranks[n])
                for n in rows
            ]
            columns.append(Column("mean rank", told, cells))
    for which in (ALL, LARGE):
        names = found.tables_of(which, resampled=True)
        figures = [published_mean(DETECTORS[name].published, names) for name in rows]
        columns.append(Column("published", "%" if which == ALL else which, percents(figures)))
    columns.append(Column("a fit", "s", [number(found.seconds(name), ".1f") for name in rows]))
    return columns


def percents(values: Sequence[float | None]) -> list[Cell]:
    """Cells of figures in %."""
    return [number(value, ".1f") for value in values]


def published_columns(found: Benchmark) -> list[Column]:
    """All published detectors with their means over the same tables, the best first."""
    sets = [found.tables_of(which, resampled=True) for which in (ALL, LARGE)]
    names = list(next(iter(published().values())))
    means = {name: [published_mean(name, tables) for tables in sets] for name in names}
    names.sort(key=lambda name: -(means[name][0] or 0.0))
    return [
        Column("published detector", "", [Cell(name) for name in names]),
        *(
            Column("AUROC", f"%, {which}", percents([means[name][k] for name in names]))
            for k, which in enumerate((ALL, LARGE))
        ),
    ]


def table_columns(found: Benchmark, *, resampled: bool) -> list[Column]:
    """A row a table: the AUROC of each detector, mean over the seeds."""
    tables = found.tables
    columns = [
        Column("table", "", [Cell(table.name) for table in tables]),
        Column("rows", "", [number(table.rows, ",") for table in tables]),
        Column("columns", "", [number(table.columns, ",") for table in tables]),
        Column("anomalies", "", [number(table.anomalies, ",") for table in tables]),
    ]
    if resampled:
        seen = [number(found.seen(table.name), ".0f") for table in tables]
        columns.append(Column("normal test rows trained on", "%", seen))
    for name in found.detectors:
        spreads = [found.auroc(name, table.name, resampled=resampled) for table in tables]
        columns.append(Column(name, "%", percents([spread.mean for spread in spreads])))
    return columns


def answers(found: Benchmark) -> Iterator[tuple[str, str]]:
    """What came out, a lead and a sentence for each protocol."""
    for resampled, told in PROTOCOLS.items():
        ranks = found.ranking(resampled=resampled)
        if ranks is None:
            continue
        best = next(iter(ranks.ranks))
        others = [name for name in ranks.close if name != best]
        apart = f"not told apart from it: {', '.join(others)}" if others else "ahead of all others"
        yield (
            f"Finds anomalies best, tables {told}:",
            f"{best}, mean rank {ranks.ranks[best]:.2f} of {len(ranks.ranks)} detectors over "
            f"{ranks.data_sets} tables, mean AUROC "
            f"{found.mean(best, ALL, resampled=resampled):.1f} %; {apart} (critical difference "
            f"{ranks.critical_difference:.2f}).",
        )


def caption(found: Benchmark) -> str:
    """What the figures are of."""
    seeds = len(found.seeds)
    text = (
        f"AUROC in %, {seeds} seed{'s' * (seeds != 1)}. As published: tables of fewer than 1,000 "
        f"rows are resampled to 1,000, so that they are tested on rows that were trained on. "
        f"≈ not told apart from the best by Friedman's and Nemenyi's tests (5 %). Published: the "
        f"detector of the same kind, on the same tables ({PUBLISHED})."
    )
    shared = [len(found.shared(resampled=resampled)) for resampled in PROTOCOLS]
    if lacking := len(found.tables) - min(shared):
        text += f" On {lacking} tables, not all fits are done; the means are over the others."
    return text + (" Quick: a tenth of the training, for a look." if found.quick else "")


def to_json(found: Benchmark) -> dict[str, Any]:
    """What results.json holds."""
    by_protocol = {}
    for resampled, told in PROTOCOLS.items():
        ranks = found.ranking(resampled=resampled)
        by_protocol[told] = {
            "means": {
                which: {n: found.mean(n, which, resampled=resampled) for n in found.detectors}
                for which in (ALL, LARGE)
            },
            "ranks": ranks and {**asdict(ranks), "close": ranks.close},
            "auroc": {
                name: {
                    table.name: asdict(found.auroc(name, table.name, resampled=resampled))
                    for table in found.tables
                }
                for name in found.detectors
            },
        }
    return {
        "study": "adbench",
        "quick": found.quick,
        "seeds": found.seeds,
        "tables": [
            {**asdict(table), "seen_percent": found.seen(table.name)} for table in found.tables
        ],
        "protocols": by_protocol,
        "published": {"source": PUBLISHED, "auroc": published()},
        "detectors": {name: DETECTORS[name].told for name in found.detectors},
        "seconds": {name: found.seconds(name) for name in found.detectors},
        "errors": dict(found.errors),
    }


def as_markdown(found: Benchmark) -> str:
    """All of it as Markdown."""
    parts = ["# adbench", *(f"**{lead}** {text}" for lead, text in answers(found))]
    parts += [caption(found), markdown_table(main_columns(found))]
    parts.append("\n".join(f"- {name}: {DETECTORS[name].told}" for name in found.detectors))
    for resampled, told in PROTOCOLS.items():
        parts += [f"## Tables {told}", markdown_table(table_columns(found, resampled=resampled))]
    return "\n\n".join([*parts, "## Published", markdown_table(published_columns(found))]) + "\n"


def as_page(found: Benchmark) -> str:
    """The same as one HTML page that needs no other file."""
    style = (files("aelab") / "report" / "page.css").read_text("utf-8")
    told = [f"<p><b>{escape(lead)}</b> {escape(text)}</p>" for lead, text in answers(found)]
    sections = {
        "": main_columns(found),
        **{
            f"Tables {told}": table_columns(found, resampled=how) for how, told in PROTOCOLS.items()
        },
        "Published": published_columns(found),
    }
    scores = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(DETECTORS[name].told)}</dd>"
        for name in found.detectors
    )
    body = [*told, f"<p>{escape(caption(found))}</p>", f'<dl class="facts">{scores}</dl>']
    for heading, columns in sections.items():
        body += [f"<h2>{escape(heading)}</h2>"] if heading else []
        shown = html.table({column.head: column.texts for column in columns})
        body.append(f'<div class="scroll">{shown}</div>')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>adbench</title>'
        f"<style>{style}</style></head><body><main><h1>adbench</h1>{''.join(body)}</main></body>"
        f"</html>\n"
    )


def as_rich(found: Benchmark) -> RichTable:
    """The main table for the screen."""
    table = RichTable(title="adbench", caption=caption(found))
    columns = main_columns(found)
    for place, column in enumerate(columns):
        table.add_column(column.head, justify="right" if place else "left")
    for texts in zip(*(column.texts for column in columns), strict=True):
        table.add_row(*texts)
    return table


def write_benchmark(found: Benchmark, folder: Path, *, page: bool = True) -> None:
    """Write results.json and results.md, and report.html if a `page` is wanted."""
    write_json(folder / "results.json", to_json(found))
    write_text(folder / "results.md", as_markdown(found))
    if page:
        write_text(folder / "report.html", as_page(found))
