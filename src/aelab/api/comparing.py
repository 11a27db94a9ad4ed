"""A study in one line, and its page."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aelab.api.pages import report
from aelab.studies.asked import CompareOptions, DataOptions
from aelab.studies.keywords import filled, with_help

if TYPE_CHECKING:
    from aelab.report.page import Report as Report
    from aelab.studies.compare import Result


@with_help(DataOptions, CompareOptions)
def compare(study: str | Path = "default", **options: Any) -> "Result":  # noqa: ANN401
    """Train the rows of a study, and write its table and its page.

    The result shows itself in a notebook; `result.errors` tells which rows failed. With
    ``cluster="local:2"`` a script needs ``if __name__ == "__main__":``, for Dask's processes run it
    anew.

    Raises:
        AelabError: there is no such study or keyword, a value is of another type or out of range,
            or the data cannot be had.
    """
    asked = filled(CompareOptions, {"study": str(study), **options}, "aelab.compare")
    result = compare_asked(asked)
    write_page(result, asked, at_once=result.study.jobs)
    return result


def compare_asked(options: CompareOptions, *, plain: bool = False) -> "Result":
    """Train the rows of the study that is asked for, and write its table.

    Raises:
        AelabError: as `compare`.
    """
    from aelab.runs.screen import TrainingScreen
    from aelab.studies.compare import compare

    study = options.chosen
    with TrainingScreen(plain=plain) as screen, executor_of(options, screen.say) as executor:
        seeds = f"{len(study.seeds)} seed{'s' if len(study.seeds) > 1 else ''}"
        rows = f"{len(study.rows)} row{'s' if len(study.rows) > 1 else ''}"
        screen.say(f"{study.name}: {rows} × {seeds}")
        return compare(
            study,
            out=options.out,
            data_dir=options.data_dir,
            asked=options.asked,
            executor=executor,
            on_progress=lambda job, progress: screen.tell(job.label, progress),
        )


def executor_of(
    options: CompareOptions, tell: Callable[[str], None]
) -> "AbstractContextManager[Executor | None]":
    """What does the rows, if that is no process of our own."""
    if options.cluster is None:
        return nullcontext()
    from aelab.runs.cluster import cluster

    return cluster(options.cluster, options.out, tell)


def write_page(result: "Result", options: CompareOptions, *, at_once: int) -> "Report | None":
    """Write the page of a study, unless there is nothing to show or none is wanted."""
    if options.no_report or not result.runs:
        return None
    return report(result.folder, data_dir=options.data_dir, at_once=at_once)
