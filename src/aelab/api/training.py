"""Training in one line."""

import shutil
import tempfile
import weakref
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aelab.data.dataset import Dataset
from aelab.data.loading import load_object
from aelab.models.blueprint import Blueprint
from aelab.runs.store import Run
from aelab.settings import DataSettings, Recipe, check_value, usual_split
from aelab.studies.asked import (
    DataOptions,
    TrainOptions,
    fitted_options,
    load_asked,
    option_name,
    training,
    training_options,
)
from aelab.studies.keywords import filled, with_help
from aelab.training.processes import ALONE, Processes

if TYPE_CHECKING:
    from aelab.report.page import Report as Report

from aelab.api.trained import Data, TrainedRun, load


@with_help(DataOptions, TrainOptions, DataSettings, Recipe)
def train(
    model: str,
    data: Data | None = None,
    *,
    network: str | None = None,
    prior: str | None = None,
    start: str | Path | Run | None = None,
    quiet: bool = False,
    **options: Any,  # noqa: ANN401
) -> TrainedRun:
    """Train a model, evaluate it and leave it in a folder of its own.

    `model` is a name of the zoo or ``mypackage.mymodule:MyModel``. Without `data`, it is trained
    on those of its row in the studies, as on the command line. `network`, `prior`, and the run
    `start` that training goes on from, are as there; so is each keyword: those below, and the
    hyperparameters, which ``aelab train MODEL --help`` lists. Unless `out` names a folder, the
    run's is a temporary one that lives as long as the run object. With `quiet`, neither progress
    nor notes on the data are shown.

    Of a data set that is given as an object, its name and no more is recorded.

    >>> run = train("vae", "digits", latent_dim=4, hidden=[20], epochs=1, seed=3)
    >>> run.metrics["code_size"], run.settings.seed
    (4, 3)

    Raises:
        AelabError: there is no such model, keyword or data, a value is of another type or out of
            range, or the model is not for such data.
    """
    hints = {"model": str, "network": str | None, "prior": str | None}
    for name, value in (("model", model), ("network", network), ("prior", prior)):
        check_value(f"aelab.train: {name}", name, value, hints)
    begun = start if isinstance(start, Run) or start is None else load(start)
    own = None if begun is None else begun.settings
    where = None if data is None else str(data) if isinstance(data, str | Path) else ""
    blueprint, options_class = training_options(model, own, network, prior, where)
    given = data
    if data is None and isinstance(begun, TrainedRun):
        given = begun.given
    if isinstance(data, str | Path):
        options["data"], given = str(data), None
    asked = filled(options_class, options, "aelab.train")
    settings = asked.data
    if given is None:
        dataset = load_asked(blueprint, asked)
    else:
        # What the defaults say of other data is not meant for these.
        named = [one.name for one in fields(DataSettings) if option_name(one) in options]
        dataset, settings = load_object(given, {name: getattr(settings, name) for name in named})
        given = dataset
    if own is None:
        options_class = fitted_options(blueprint, dataset, where) or options_class
        asked = filled(options_class, options, "aelab.train")
    asked = replace(asked, data=settings)
    return train_asked(
        blueprint,
        asked,
        dataset,
        out=asked.run.out,
        start=begun,
        given=given is not None,
        quiet=quiet,
    )


def train_asked(
    blueprint: Blueprint,
    asked: Any,  # noqa: ANN401 - of the class that training_options makes
    data: Dataset,
    *,
    out: Path | None,
    start: Run | None = None,
    given: bool = False,
    plain: bool = False,
    quiet: bool = False,
    processes: Processes = ALONE,
) -> TrainedRun:
    """Train what is asked for, into `out` or a temporary folder; AelabErrors as of `train`.

    `given` says that the data are an object of the caller's; `plain` and `quiet` are
    `TrainingScreen`'s, and `processes` `train_run`'s.
    """
    from aelab.evaluate.leaks import leak_notes
    from aelab.exports.trackers import Trackers, refuse_absent
    from aelab.runs.resumable import Progress
    from aelab.runs.screen import TrainingScreen
    from aelab.runs.train import train_run

    refuse_absent(asked.run.track)
    settings, options = training(blueprint, asked)
    split = options.split or usual_split(settings.data.splits)
    folder = out or Path(tempfile.mkdtemp(prefix="aelab-"))
    try:
        with (
            TrainingScreen(plain=plain, quiet=quiet) as screen,
            Trackers(options.track, folder, screen.say) as trackers,
        ):

            def tell(progress: Progress) -> None:
                screen.tell(blueprint.name, progress)
                trackers.tell(progress)

            for note in (*data.notes, *leak_notes(settings.data, data, split)):
                screen.say(f"{data.name}: {note}")
            run = train_run(
                settings,
                data,
                folder,
                split=split,
                start=start,
                checkpoint_seconds=options.checkpoint_seconds,
                on_progress=tell,
                processes=processes,
            )
            trackers.finish(run)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    trained = TrainedRun(run.folder, run.config, run.found_format, data if given else None)
    if out is None:
        weakref.finalize(trained, shutil.rmtree, folder, ignore_errors=True)
    return trained
