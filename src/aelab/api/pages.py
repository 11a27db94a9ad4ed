"""The page of a run or a study, in one line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aelab.data.dataset import Dataset
from aelab.exports import hub

if TYPE_CHECKING:
    from aelab.report.page import Report as Report


def report(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    classes: Sequence[str] = (),
    data: Dataset | None = None,
    data_dir: str | Path | None = None,
    at_once: int = 1,
) -> "Report":
    """Write the page of the run or study in a folder; see `report.page.write_report`.

    Raises:
        AelabError: there is neither, or it is damaged.
    """
    from aelab.report.page import write_report

    name = hub.address(folder)
    folder = folder if name is None else hub.fetched(name)
    return write_report(
        folder, out=out, classes=classes, data=data, data_dir=data_dir, at_once=at_once
    )
