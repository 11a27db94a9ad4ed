"""Training a run: what may go into a folder, how long, from where; then training itself."""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from aelab.data.dataset import Dataset
from aelab.data.specs import InputSpec, told_kind
from aelab.evaluate.columns import QUICK_GROUPS
from aelab.files import InputError, remove_temporaries, told_memory, write_json
from aelab.machine import device_named, seeded
from aelab.models.blueprint import Blueprint
from aelab.models.contract import Autoencoder, Model
from aelab.models.zoo import blueprint_of
from aelab.runs import kept_scores
from aelab.runs.lock import LOCK, locked
from aelab.runs.measure import choose_prior, draw_run, evaluate_run
from aelab.runs.record import describe, describe_origin, same_work
from aelab.runs.resumable import OnProgress, Training
from aelab.runs.store import FAILED, Run
from aelab.settings import RunSettings
from aelab.training.loop import TrainingDivergedError, fit
from aelab.training.precision import with_device
from aelab.training.processes import ALONE, DONE, Processes

MEASURED_SHARE = 0.05
"""Of a budget of seconds, spent on measuring how fast a model trains."""

LESS_MEMORY = (
    "the same command goes on from the last checkpoint where there is more; a smaller --batch-size "
    "or model, with a new folder for --out, needs less"
)


def train_run(
    settings: RunSettings,
    data: Dataset,
    folder: str | Path,
    *,
    split: str = "test",
    groups: Collection[str] = QUICK_GROUPS,
    start: Run | None = None,
    keep_scores: bool = True,
    checkpoint_seconds: float | None = None,
    on_progress: OnProgress | None = None,
    processes: Processes = ALONE,
) -> Run:
    """Train a model into a run folder, or go on where a stopped training of it was.

    A folder that holds this very run, finished, is left as it is, but for an evaluation on
    another split, or in other groups of metrics, than it had. Training begins at the weights of the
    run `start`, if one is given: of the same model, with inputs of the same shape. Unless it is to
    `keep_scores`, what anomalies are told by is computed when it is first asked for. A checkpoint
    is saved every `checkpoint_seconds`, 30 unless given; it changes nothing else. Of several
    `processes` this is the first, and the others `follow`; they are let go before the evaluation.

    Raises:
        AelabError: settings that the model does not take, a folder that is another run's or
            none or that another process is training in, a loss that is not finite.
    """
    folder = Path(folder)
    data.split(split)
    settings = replace(settings, recipe=with_device(settings.recipe))
    refuse_device(settings.recipe.device)
    blueprint = blueprint_of(settings)
    refuse_kind(blueprint, data)
    origin = None
    if start is not None:
        refuse_start(start, settings, data)
        settings = replace(settings, start=start.weights_sha256)
        origin = describe_origin(start.folder, start.settings)
    settings = with_epochs(settings, blueprint, data, folder, processes)
    config = describe(settings, data, origin)
    model = new_model(settings, blueprint, data)
    if ":" in settings.model or ":" in (settings.network or ""):
        refuse_other_shapes(settings, model, data)
    if start is not None:
        take_weights(model, start)
    claim(folder, config)
    trained = folder / "model.safetensors"
    # A trained folder may be of an earlier format, and stays so.
    run = Run.open(folder) if trained.is_file() else Run(folder, json.loads(json.dumps(config)))
    if run.is_finished(split, groups):
        processes.let_go()
        return run
    with locked(folder) as held, told_memory(LESS_MEMORY):
        claim(folder, config)  # by now another process may have trained something there
        remove_temporaries(folder)
        if not trained.is_file():
            write_json(folder / "config.json", config)
            training = Training(
                run,
                model,
                data,
                checkpoint_seconds=checkpoint_seconds,
                refuse_lost=held.refuse_lost,
                processes=processes,
            )
            with told_failure(folder):
                training.go(on_progress)
        processes.let_go()
        if not (folder / "priors" / "choice.json").is_file():
            choose_prior(run, data)
        if keep_scores and not kept_scores.place(run).is_file():
            kept_scores.keep_all(run, data)
        if not run.is_finished(split, groups):
            missing = set(groups) - set(run.evaluated(split).get("groups", ()))
            evaluate_run(run, data, split, missing or groups)
            draw_run(run, data, split)
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return run


@contextmanager
def told_failure(folder: Path) -> Iterator[None]:
    """Leave in ``failed.json`` why a training cannot go on, for the list of runs."""
    path = folder / FAILED
    path.unlink(missing_ok=True)
    try:
        yield
    except TrainingDivergedError as error:
        write_json(path, {"error": str(error)})
        raise


def follow(settings: RunSettings, data: Dataset, processes: Processes) -> None:
    """Take the share of a process that is not the first, which trains with the same settings.

    Nothing is written. The first process may train a while to see how fast it is before it trains.
    """
    blueprint, recipe = blueprint_of(settings), with_device(settings.recipe)
    refuse_device(recipe.device)
    training = data.to(recipe.device).split("train")
    while (epochs := processes.told(DONE)) != DONE:
        model = new_model(settings, blueprint, data)
        of_these = replace(recipe, epochs=epochs)
        for _ in fit(model, training, of_these, seed=settings.seed, processes=processes):
            pass


@torch.no_grad()
def refuse_other_shapes(settings: RunSettings, model: Model, data: Dataset) -> None:
    """Raise InputError if a class of one's own gives codes or outputs of other shapes than it says.

    What it raises itself is its author's to see.
    """
    if not isinstance(model, Autoencoder):
        return
    name = settings.network if ":" in (settings.network or "") else settings.model
    x = data.split("train").batch(torch.arange(2))
    with seeded(settings.seed):
        z = model.eval().encode(x)
        if z.shape != (2, model.code_size):
            raise InputError(
                f"{name}: codes of 2 inputs have the shape {tuple(z.shape)}, and code_size says "
                f"(2, {model.code_size})"
            )
        if (found := model.decode(z).shape) != x.shape:
            raise InputError(
                f"{name}: decode gives the shape {tuple(found)} for 2 codes, and 2 inputs have "
                f"{tuple(x.shape)}; end it with .reshape(-1, *self.spec.shape)"
            )
    model.train()


def new_model(settings: RunSettings, blueprint: Blueprint, data: Dataset) -> Model:
    """The model as it is before training.

    Raises:
        InputError: it cannot be built for these data with these hyperparameters.
    """
    hyperparameters = blueprint.complete(settings.hyperparameters)
    try:
        with seeded(settings.seed, "initialisation"):
            model: Model = blueprint.build(data.spec, **hyperparameters)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model {settings.model}: {reason}") from error
    return model


def with_epochs(
    settings: RunSettings, blueprint: Blueprint, data: Dataset, folder: Path, processes: Processes
) -> RunSettings:
    """The settings with a budget of seconds turned into epochs; those of a run that is there.

    The speed is that of a few steps of a model that is thrown away, after some to warm up.
    """
    recipe = settings.recipe
    if recipe.seconds is None:
        return settings
    if (folder / "config.json").is_file() and does(folder, describe(settings, data)):
        return Run.open(folder).settings
    training = data.to(recipe.device).split("train")
    measured: list[tuple[int, float]] = []
    steps_per_epoch = 1
    endless = replace(recipe, epochs=processes.told(1e6))
    model = new_model(settings, blueprint, data)
    here = data.split("train")
    with closing(
        fit(model, training, endless, seed=settings.seed, first=here, processes=processes)
    ) as states:
        for state in states:
            measured.append((state.step, state.seconds))
            steps_per_epoch = state.steps_per_epoch
            if measured[-1][1] - measured[0][1] >= MEASURED_SHARE * recipe.seconds:
                break
    if not measured:  # nothing to train
        return replace(settings, recipe=replace(recipe, epochs=0.0))
    (first, start), (last, end) = measured[0], measured[-1]
    steps = max(1, round(recipe.seconds * (last - first) / (end - start)))
    return replace(settings, recipe=replace(recipe, epochs=steps / steps_per_epoch))


def refuse_kind(blueprint: Blueprint, data: Dataset) -> None:
    """Raise InputError if a model meets data of a kind that it is not for."""
    if data.spec.kind in blueprint.takes:
        return
    over = f" over the network {blueprint.network_name}" if blueprint.network_name else ""
    *others, last = map(told_kind, blueprint.takes)
    kinds = f"{', '.join(others)} and {last}" if others else last
    raise InputError(
        f"{blueprint.name}{over} is a model of {kinds}, and {data.name} is "
        f"{told_kind(data.spec.kind)}; see --data"
    )


def refuse_start(start: Run, settings: RunSettings, data: Dataset) -> None:
    """Raise InputError unless training can go on from `start` with these settings and data."""
    if start.settings.model != settings.model:
        raise InputError(f"{start.folder} is a {start.settings.model}, not a {settings.model}")
    if not list(start.model.parameters()):
        raise InputError(f"{start.folder}: a {settings.model} has no weights to train on from")
    if isinstance(start.spec, InputSpec) and described(start.spec) != described(data.spec):
        raise InputError(
            f"{start.folder} takes {described(start.spec)}; {data.name} has {described(data.spec)}"
        )


def described(spec: InputSpec) -> str:
    """Shape and range of the inputs of a model."""
    values = f"from 0 to {spec.peak:.4g}" if spec.bounded else "standardised"
    return f"inputs of shape {'×'.join(map(str, spec.shape))}, {values}"


def take_weights(model: Model, start: Run) -> None:
    """Give the model the weights of `start`.

    Raises:
        InputError: they are of other shapes.
    """
    try:
        model.load_state_dict(start.model.state_dict())
    except RuntimeError as error:
        asked, given = (dict(of.named_parameters()) for of in (model, start.model))
        other = [n for n in asked if n not in given or asked[n].shape != given[n].shape]
        raise InputError(
            f"{start.folder} has weights of other shapes ({', '.join(other[:3])}): use its "
            f"hyperparameters, and inputs of the same shape"
        ) from error


def refuse_device(device: str) -> None:
    """Raise InputError if there is no such device here."""
    try:
        torch.zeros(1, device=device_named(device)).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {device!r} cannot be used ({reason}); try --device cpu, or auto"
        ) from error


def claim(folder: Path, config: Mapping[str, Any]) -> None:
    """Make sure that `folder` is this run's to write in.

    Raises:
        InputError: it holds another run, or something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder; name another with --out")
    if not folder.exists() or all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds other files; name a new folder with --out")
    if not does(folder, config):
        raise InputError(
            f"{folder} holds a run with other settings or data; name another folder with "
            f"--out, or remove this one"
        )


def does(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether the run in `folder` is the one that `config` asks for.

    Raises:
        InputError: its config cannot be read.
    """
    try:
        return same_work(Run.open(folder).config, config)
    except InputError as error:
        raise InputError(
            f"{folder / 'config.json'} is damaged or of another version; name another folder with "
            f"--out, or move this one away"
        ) from error


def make_way(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Set aside an older run in a study's own folder, if its settings or data were others.

    The line that says so, for the user; nothing if there was no need.

    Raises:
        InputError: the folder cannot be renamed.
    """
    if not (folder / "config.json").is_file():
        return None
    try:
        if does(folder, config):
            return None
        why = "other settings or data"
    except InputError:
        why = "a config.json that is damaged or of another version"
    try:
        with locked(folder):  # not under the hands of another process
            aside = folder.rename(free_name_beside(folder))
            (aside / LOCK).unlink()
    except OSError as error:
        raise InputError(f"cannot rename {folder}: {error.strerror or error}") from error
    return f"{folder} held a run with {why}; it is kept as {aside.name}"


def free_name_beside(folder: Path) -> Path:
    """``seed-0.set-aside`` for seed-0; with a number from 2 on where that is taken."""
    first = folder.with_name(f"{folder.name}.set-aside")
    names = (first.with_name(f"{first.name}-{number}") for number in count(2))
    return next(path for path in chain([first], names) if not path.exists())
