"""A study on other data than its own: the same rows and recipes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aelab.data.loading import LOADERS, settled
from aelab.models.zoo import rows_of
from aelab.studies.study import Row, Study, class_by_class


def on_data(study: Study, data: str) -> Study:
    """The study with each row on the data set or path `data`, under a name of its own.

    What others published for a row was had on its own data, and is left out.

    >>> from aelab.studies.study import load_study
    >>> study = on_data(load_study("default"), "cifar10")
    >>> study.name, {row.settings.data.name for row in study.rows}
    ('default-cifar10', {'cifar10'})
    """
    rows = tuple(row_on(row, data) for row in study.rows)
    if rows == study.rows:
        return study
    told = data if data in LOADERS else Path(data).resolve().stem
    return replace(
        study,
        name=f"{study.name}-{told}",
        title=f"{study.title or study.name} (on {told} instead)",
        rows=rows,
        elsewhere=True,
    )


def row_on(row: Row, data: str) -> Row:
    """A row on other data; nodes' features and published figures are those of its own."""
    own = row.settings.data
    if own.name == data:
        return row
    other = settled(replace(own, name=data, features=None, rows=None), rows_of(row.settings.model))
    return replace(row, settings=replace(row.settings, data=other), published={})


def on_classes(study: Study, classes: Sequence[str]) -> Study:
    """The study with its rows of one class each, if it has any, made anew for these classes."""
    wholes = {row.part_of: row for row in reversed(study.rows) if row.part_of}
    rows: list[Row] = []
    for row in study.rows:
        if not row.part_of:
            rows.append(row)
        elif (first := wholes.pop(row.part_of, None)) is not None:
            settings = replace(first.settings, data=replace(first.settings.data, classes=None))
            rows += class_by_class(Row(first.part_of, settings), classes)
    return replace(study, rows=tuple(rows))
