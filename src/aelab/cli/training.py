"""The verb `aelab train`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aelab.cli.failures import EXIT_USAGE, warn
from aelab.cli.opening import import_from_here, parse, run_in
from aelab.cli.several import joined

if TYPE_CHECKING:
    from aelab.training.processes import Processes


def train(arguments: list[str]) -> int:
    """Train a model, evaluate it and leave it in a folder of its own."""
    from aelab.models.zoo import ZOO

    if not arguments or arguments[0].startswith("-"):
        names = ", ".join(ZOO)
        usage = (
            f"usage: aelab train MODEL [options]\n\nMODEL: {names}, or mypackage.mymodule:MyModel"
        )
        print(usage, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments and arguments[0] in ("-h", "--help") else EXIT_USAGE
    with joined() as processes:
        train_in(processes, arguments)
    return 0


def train_in(processes: "Processes", arguments: list[str]) -> None:
    """Train by the first of the processes, whom the others follow."""
    from aelab.cli.named import named
    from aelab.studies.asked import (
        fitted_options,
        load_asked,
        settings_of_earlier,
        training,
        training_options,
    )

    model = arguments[0]
    chosen = named(arguments[1:])
    import_from_here(model, chosen.network, chosen.prior)
    start = run_in(chosen.start) if chosen.start else None
    out = chosen.out or usual_folder(model, chosen.seed)
    own = settings_of_earlier(model, out) if start is None else start.settings
    blueprint, options_class = training_options(
        model, own, chosen.network, chosen.prior, chosen.data
    )
    asked = parse(options_class, f"train {model}", arguments[1:], train.__doc__)
    from aelab.api import train_asked
    from aelab.cli.screen import print_run
    from aelab.machine import keep_freed_memory
    from aelab.runs.advice import advice
    from aelab.runs.train import follow
    from aelab.settings import VERSION

    keep_freed_memory()
    out = asked.run.out or usual_folder(model, asked.run.seed)
    data = load_asked(blueprint, asked)
    if own is None and (fitted := fitted_options(blueprint, data, chosen.data)) is not None:
        asked = parse(fitted, f"train {model}", arguments[1:], train.__doc__)
    settings, _ = training(blueprint, asked)
    processes.agree(f"{VERSION} {settings} {data.sha256}")
    if processes.rank:
        follow(settings, data, processes)
        return
    run = train_asked(blueprint, asked, data, out=out, start=start, plain=True, processes=processes)
    print_run(run)
    warn([*run.notes, *advice(run)])


def usual_folder(model: str, seed: int | str) -> Path:
    """Where a run goes unless ``--out`` says otherwise."""
    return Path("runs") / model.replace(":", ".") / f"seed-{seed}"
