"""Tables and pictures as pieces of HTML, for notebooks: a run and a study show themselves."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path


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
