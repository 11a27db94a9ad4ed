"""``aelab explore``: a run's page, opened where it can be played with."""

import sys
import webbrowser
from typing import TYPE_CHECKING

from aelab.cli.opening import parse

if TYPE_CHECKING:
    from aelab.report.page import Report


def explore(arguments: list[str]) -> int:
    """Write the page of a run and open it: its decoder answers to a pointer and to sliders."""
    from aelab.cli.options import ExploreOptions

    options = parse(ExploreOptions, "explore", arguments, explore.__doc__)
    from aelab import api

    page = api.report(options.folder, data_dir=options.data_dir)
    print_page(page)
    if options.open and not webbrowser.open(page.path.absolute().as_uri()):
        print("aelab: no browser could be opened here; open the page yourself", file=sys.stderr)
    return 0


def print_page(written: "Report") -> None:
    """Say where a page is and what it lacks."""
    for line in written.left_out:
        print(f"aelab: left out: {line}", file=sys.stderr)
    print(f"The page: {written.path}")
