"""`aelab compare adbench`, which is no study of rows on one data set, but of many tables."""

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from aelab.cli.screen import print_table
from aelab.files import InputError
from aelab.studies.adbench import JOBS, NAME, SEEDS, benchmark
from aelab.studies.asked import CompareOptions
from aelab.studies.benchmarks import Benchmark, answers, as_rich, write_benchmark

NOT_HERE = ("time_budget", "metrics", "split")
"""Options of other studies."""


def compare_adbench(options: CompareOptions) -> Benchmark:
    """Fit every detector to every table, write what came out, and print its main table.

    Raises:
        AelabError: the tables cannot be had or used, or an option is not for them.
    """
    if given := [name for name in NOT_HERE if getattr(options, name)]:
        raise InputError(
            f"{NAME} takes no --{given[0].replace('_', '-')}: its tables are split, and its "
            f"detectors measured, as published"
        )
    if options.cluster is not None:
        raise InputError(f"{NAME} takes no --cluster: its fits take seconds each; use --jobs")
    folder = options.out / (f"{NAME}-quick" if options.quick else NAME)
    tables, outcomes, errors = benchmark(
        folder,
        data=Path(options.data) if options.data is not None else None,
        data_dir=options.data_dir,
        seeds=options.seeds or (SEEDS[:1] if options.quick else SEEDS),
        jobs=options.jobs or JOBS,
        quick=options.quick,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    found = Benchmark(tables, outcomes, errors, options.quick)
    write_benchmark(found, folder, page=not options.no_report)
    console = Console(highlight=False)
    for lead, text in answers(found):
        console.print(Text.assemble((lead, "bold"), " ", text))
    console.print()
    print_table(lambda left_out: as_rich(found), console)
    print(f"All figures: {folder}/results.md and .json")
    for label, error in errors.items():
        print(f"aelab: {label} failed: {error}", file=sys.stderr)
    if not options.no_report:
        print(f"The page: {folder}/report.html")
    return found
