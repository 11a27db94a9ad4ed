"""``aelab choose``: which model for one's own data."""

import sys
from dataclasses import fields, make_dataclass
from typing import Any

from aelab.cli.opening import parse

USAGE = "usage: aelab choose DATA --for GOAL [--budget 10m] [--latent-dim N] [options]"


def choose(arguments: list[str]) -> int:
    """Find out which model fits your data and your purpose best, and train it."""
    if not arguments or arguments[0].startswith("-"):
        asks = bool(arguments) and arguments[0] in ("-h", "--help")
        if not asks:
            print(f"{USAGE}\n\nDATA: a name or a path, as of aelab train --data", file=sys.stderr)
            return 2
        arguments = ["DATA", *arguments]
    asked: Any = parse(options(), "choose DATA", ["--data", *arguments], choose.__doc__)
    from rich.console import Console

    from aelab.api import report
    from aelab.cli.screen import print_table
    from aelab.machine import keep_freed_memory
    from aelab.studies.choice_table import as_rich, command_of
    from aelab.studies.choose import chosen_by, usual_folder
    from aelab.studies.search import Purpose

    keep_freed_memory()
    search, told = asked.search, asked.data
    folder = search.out or usual_folder(told.name, search.goal)
    wanted = Purpose(search.goal, search.seconds, search.latent_dim, search.seed)
    given = {one.name: getattr(told, one.name) for one in fields(told) if one.name != "name"}
    choice, data = chosen_by(told.name, given, wanted, folder, search.data_dir, plain=True)
    console = Console(highlight=False)
    console.print(choice.answer, style="bold")
    console.print()
    print_table(lambda left_out: as_rich(choice), console)
    print(f"The run: {choice.run_folder}")
    print(f"The same again: {command_of(choice, data)}")
    page = report(folder, data_dir=search.data_dir)
    for line in page.left_out:
        print(f"aelab: left out: {line}", file=sys.stderr)
    print(f"The page: {page.path}")
    return 0


def options() -> type[Any]:
    """The options of the verb, and those of data."""
    from aelab.cli.options import ChooseOptions
    from aelab.settings import DataSettings
    from aelab.studies.asked import told

    return make_dataclass(
        "Choose", [("search", told(ChooseOptions)), ("data", told(DataSettings))], frozen=True
    )
