"""The verb `aelab anomalies`."""

import sys
from functools import cache
from typing import TYPE_CHECKING

from aelab.cli.opening import opened_inputs, opened_run, parse
from aelab.files import AelabError, write_picture

if TYPE_CHECKING:
    from aelab.api import TrainedRun
    from aelab.apps.truth import Truth
    from aelab.cli.options import AnomaliesOptions
    from aelab.data.dataset import Dataset
    from aelab.data.inputs import Inputs


def anomalies(arguments: list[str]) -> int:
    """Score inputs by how unlike the training data they are, and mark the anomalies."""
    from aelab.cli.options import AnomaliesOptions

    options = parse(AnomaliesOptions, "anomalies", arguments, anomalies.__doc__)
    from aelab.apps.anomalies import error_maps, find_anomalies
    from aelab.cli.screen import counting
    from aelab.evaluate.scoring import SCORES

    run = opened_run(options)
    inputs = opened_inputs(run, options.data, options, label=options.label, tested=True)

    @cache  # asked for twice: for the threshold, and for rivals
    def own_data() -> "Dataset":
        return run.own_data(data_dir=options.data_dir)

    with counting("anomalies", len(inputs)) as on_done:
        found = find_anomalies(
            run,
            inputs,
            own_data,
            options.out,
            false_alarm_rate=options.false_alarm_rate,
            score=options.score,
            explain=options.explain,
            anomaly_classes=classes_asked(run, inputs, options),
            top=options.top,
            on_done=on_done,
        )
    print(
        f"{found.anomalies:,} of {len(inputs):,} score above {found.threshold:.6g}: {options.out}\n"
        f"The score: {SCORES[found.score].told}"
    )
    if found.limit:
        print(f"False alarms: {found.limit.told}")
    for note in found.notes:
        print(f"aelab: {note}", file=sys.stderr)
    if found.truth is not None:
        print_truth(run, found.score, found.truth)
    if options.explain:
        where = found.maps or "columns of the table"
        print(f"Shares are of the score{SCORES[found.score].part}: {where}")
        print("\n".join(found.reasons), end="\n" if found.reasons else "")
    if found.highest and inputs.split.spec.kind == "images":
        picture = error_maps(run, inputs, found.highest)
        print(write_picture(options.out.with_suffix(".png"), picture))
    return 0


def classes_asked(
    run: "TrainedRun", inputs: "Inputs", options: "AnomaliesOptions"
) -> tuple[str, ...] | None:
    """The classes of anomalies that are asked for; None leaves it to the labels, if any."""
    if options.anomaly_classes or options.label is None:
        return options.anomaly_classes or None
    from aelab.apps.truth import anomaly_classes

    # Who names a label wants to know how well the scores agree with it.
    if found := anomaly_classes(inputs, run.settings.data.classes):
        return found
    raise AelabError(
        f"which classes of {options.label} are anomalies? name them with --anomaly-classes; there "
        f"are {', '.join(inputs.classes)}"
    )


def print_truth(run: "TrainedRun", score: str, truth: "Truth") -> None:
    """How well the scores agree with labels, beside the rivals."""
    from rich.console import Console
    from rich.table import Table

    print(truth.told)
    if truth.seen:
        what = f"{truth.seen:,} of {truth.anomalies + truth.normal:,} inputs are training inputs"
        print(f"aelab: {what}: these figures look better than they are", file=sys.stderr)
    if truth.no_rivals:
        print(f"aelab: {truth.no_rivals}", file=sys.stderr)
        return
    table = Table()
    table.add_column("detector")
    table.add_column("AUROC", justify="right")
    table.add_row(f"{run.settings.model}, {score}", f"{truth.auroc:.4f}")
    for name, auroc in truth.rivals.items():
        table.add_row(name, f"{auroc:.4f}")
    Console(highlight=False).print(table)
