"""``aelab runs`` and ``aelab verify``: what is there, and whether it is what it says."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING

from aelab.cli.opening import counted, opened_run, parse
from aelab.files import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from aelab.runs.listing import Listed


def runs(arguments: list[str]) -> int:
    """List the runs, studies and choices below a folder: state, size and age."""
    from aelab.cli.options import RunsOptions

    options = parse(RunsOptions, "runs", arguments, runs.__doc__)
    from rich.console import Console

    from aelab.runs import listing

    found = listing.listed(options.folder)
    if not sys.stdout.isatty():
        for one in found:
            written = datetime.fromtimestamp(one.written).astimezone().isoformat("T", "seconds")
            cells = (one.folder, one.kind, one.state, one.size, written, one.told)
            print("\t".join(one_line(str(cell)) for cell in cells))
        return 0
    Console().print(as_table(found))
    return 0


def as_table(found: "Sequence[Listed]") -> "Table":
    """The list for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=counted(len(found), "folder"))
    for title in ("folder", "what", "state", "size", "written", ""):
        table.add_column(title, justify="right" if title in ("size", "written") else "left")
    now = datetime.now().timestamp()
    for one in found:
        cells = (
            one.folder, one.kind, one.state, told_size(one.size), age(now - one.written), one.told
        )  # fmt: skip
        table.add_row(*(Text(one_line(str(cell))) for cell in cells))
    return table


def told_size(size: int) -> str:
    """Bytes, for people.

    >>> told_size(900), told_size(2_400_000)
    ('900 B', '2.4 MB')
    """
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def age(seconds: float) -> str:
    """How long ago, for people.

    >>> age(5), age(7200), age(300_000)
    ('now', '2 h ago', '3 days ago')
    """
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "now"


def verify(arguments: list[str]) -> int:
    """Measure a run again from its weights and data, and say whether its figures hold."""
    from aelab.cli.options import VerifyOptions

    options = parse(VerifyOptions, "verify", arguments, verify.__doc__)
    from aelab.runs import verify as verifying

    run = opened_run(options)
    result = verifying.verified(run, run.own_data(data_dir=options.data_dir), slow=options.slow)
    if result.left_out:
        print(f"Not measured again (--slow does): {', '.join(result.left_out)}")
    if result.holds:
        print(f"{run.folder}: {counted(result.figures, 'figure')} hold, to the last bit")
        return 0
    for other in result.others:
        print(one_line(other.told))
    print(f"{run.folder}: {len(result.others)} of {counted(result.figures, 'figure')} do not hold")
    return 1
