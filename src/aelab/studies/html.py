"""Tables and pictures as pieces of HTML, for notebooks: a run and a study show themselves."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from aelab.evaluate.columns import FACTS, metric_named
from aelab.runs.store import Run
from aelab.studies.summary import counted


def table(columns: Mapping[str, Sequence[str]]) -> str:
    """Head to cells as an HTML table; a head's second line is its unit.

    >>> table({"row": ["vae"], "code": ["32"]})
    '<table><tr><th>row</th><th>code</th></tr><tr><td>vae</td><td>32</td></tr></table>'
    """
    head = "".join(f"<th>{escape(title).replace(chr(10), '<br>')}</th>" for title in columns)
    rows = [
        "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        for cells in zip(*columns.values(), strict=True)
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def picture(path: Path, told: str) -> str:
    """A PNG file as an image that needs no file; a line that it is missing, where it is."""
    if not path.is_file():
        return f"<p>{escape(path.name)} is not there</p>"
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(told)}" src="data:image/png;base64,{content}">'


def run(shown: Run) -> str:
    """A run: its figures and its pictures."""
    model = escape(shown.settings.model)
    title = f"<h4>{model}, seed {shown.settings.seed}</h4>"
    if not (shown.folder / "metrics.json").is_file():
        return f"{title}<p>{escape(str(shown.folder))} is not finished</p>"
    figures = {
        metric_named(name, counted(shown.spec)): value
        for name, value in shown.metrics.items()
        if name not in FACTS and value is not None
    }
    columns = {
        "metric": [metric.title for metric in figures],
        "figure": [f"{value:,.{metric.digits}f}" for metric, value in figures.items()],
        "unit": [metric.unit for metric in figures],
    }
    notes = [f"<p>{escape(note)}</p>" for note in shown.notes]
    pictures = [picture(path, f"{model}: {path.stem}") for path in shown.pictures]
    return "".join([title, table(columns), *notes, *pictures])
