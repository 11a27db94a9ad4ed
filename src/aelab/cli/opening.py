"""What verbs do before they work: parse options; open a run, its data, inputs, a class."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from aelab.api import TrainedRun
    from aelab.cli.options import FolderOptions, InputOptions, ReconstructOptions, TextOptions
    from aelab.data.dataset import Dataset
    from aelab.data.dialect import Said
    from aelab.data.inputs import Inputs

LEFT_OUT_SHOWN = 10
"""Inputs that are left out and told by name."""


T = TypeVar("T")


@dataclass(frozen=True)
class NoOptions:
    """A verb that takes none.

    >>> parse(NoOptions, "models", [], doc=None)
    NoOptions()
    """


def parse(options: type[T], verb: str, arguments: Sequence[str], doc: str | None) -> T:
    """Options from the command line; tyro itself tells of mistakes, and exits with 2."""
    import tyro

    return tyro.cli(
        options,
        prog=f"aelab {verb}",
        description=doc,
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def opened_run(options: "FolderOptions") -> "TrainedRun":
    """The run in a folder; a class of the user's own is imported if the user names it."""
    if options.model is not None:
        import_own_class(options.model)
    return run_in(options.run)


def run_in(folder: Path) -> "TrainedRun":
    """The run in a folder."""
    from aelab.api import load

    return load(folder)


def opened(options: "FolderOptions", data_dir: Path | None) -> "tuple[TrainedRun, Dataset]":
    """A run and the data that it was trained on."""
    run = opened_run(options)
    return run, run.own_data(data_dir=data_dir)


def applied(
    verb: str,
    options: "InputOptions | ReconstructOptions",
    where: str,
    out: Path,
    apply: Callable[..., None],
) -> int:
    """Open a run and inputs, do with them what a verb does, and tell how many there were."""
    from aelab.cli.screen import counting

    run = opened_run(options)
    inputs = opened_inputs(run, where, options)
    with counting(verb, len(inputs)) as on_done:
        apply(run, inputs, on_done=on_done)
    print(f"{counted(len(inputs), 'input')}: {out}")
    return 0


def counted(n: int, what: str) -> str:
    """How many there are of what.

    >>> counted(1, "input"), counted(1200, "input")
    ('1 input', '1,200 inputs')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def opened_inputs(
    run: "TrainedRun",
    where: str,
    options: "InputOptions | ReconstructOptions",
    *,
    label: str | None = None,
    tested: bool = False,
) -> "Inputs":
    """Inputs for a run; what of them is left out is told.

    `label` is the column with the class of a table's rows. What is `tested` has classes if it can:
    the run's own label, where a table has it; of a folder for finding defects, the test images
    alone.
    """
    from aelab.data.inputs import open_inputs, tested_alone

    spec = run.autoencoder.spec
    said = said_by(run, options)
    inputs = open_inputs(
        where,
        spec,
        strict=options.strict,
        data_dir=options.data_dir,
        said=said,
        label=label or (run.settings.data.label if tested else None),
        label_may_lack=label is None,
    )
    inputs = tested_alone(inputs) if tested else inputs
    for note in inputs.notes:
        print(f"{where}: {note}", file=sys.stderr)
    for name, why in inputs.skipped[:LEFT_OUT_SHOWN]:
        print(f"left out: {name} {why}", file=sys.stderr)
    if (more := len(inputs.skipped) - LEFT_OUT_SHOWN) > 0:
        print(f"left out: {more:,} more", file=sys.stderr)
    return inputs


def said_by(run: "TrainedRun", options: "TextOptions") -> "Said":
    """What is said of text tables: by the user, or when the run was trained."""
    from aelab.data.table_rows import said_of

    before = said_of(run.settings.data)
    return replace(before, decimal=options.decimal, usual=before.decimal)


def import_own_class(model: str) -> None:
    """Import the class that the user names, so that runs of it can be opened."""
    from aelab.models.zoo import import_class

    import_from_here(model)
    if ":" in model:
        import_class("class", model, (object,))


def import_from_here(*names: str | None) -> None:
    """Let classes of the user's be found in the working folder, after all that is installed."""
    if any(":" in (name or "") for name in names):
        sys.path.append(str(Path.cwd()))
