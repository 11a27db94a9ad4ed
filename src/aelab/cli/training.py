"""The verb `aelab train`."""

import sys
from pathlib import Path

from aelab.cli.failures import EXIT_USAGE, warn
from aelab.cli.opening import import_from_here, parse, run_in


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
    from aelab.cli.named import named
    from aelab.studies.asked import (
        fitted_options,
        load_asked,
        settings_of_earlier,
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

    keep_freed_memory()
    out = asked.run.out or usual_folder(model, asked.run.seed)
    data = load_asked(blueprint, asked)
    if own is None and (fitted := fitted_options(blueprint, data, chosen.data)) is not None:
        asked = parse(fitted, f"train {model}", arguments[1:], train.__doc__)
    run = train_asked(blueprint, asked, data, out=out, start=start, plain=True)
    print_run(run)
    warn([*run.notes, *advice(run)])
    return 0


def usual_folder(model: str, seed: int | str) -> Path:
    """Where a run goes unless ``--out`` says otherwise."""
    return Path("runs") / model.replace(":", ".") / f"seed-{seed}"
