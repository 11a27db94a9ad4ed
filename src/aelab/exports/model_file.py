"""A part of a trained run as a file that needs no aelab: made, compared with the run, written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import torch

from aelab.data.batch import Batch
from aelab.data.dataset import Dataset
from aelab.data.specs import GraphSpec, InputSpec
from aelab.evaluate.false_alarms import Threshold, threshold, usual_threshold
from aelab.evaluate.scoring import SCORES, noise_of, score_named
from aelab.exports.checking import TOLERANCE, Examples, made_up, of_validation, refuse_different
from aelab.exports.formats import FORMATS, Format, refuse_without
from aelab.exports.parts import Decoder, Encoder, Part, PartName, Port, Score, Whole
from aelab.files import InputError, atomic_path
from aelab.machine import threads
from aelab.models.variational import LatentVariableModel
from aelab.runs.kept_scores import kept_scores, own_data
from aelab.runs.store import Run

PARTS: tuple[PartName, ...] = get_args(PartName)

UNCOMPARED = (
    "a file is compared with its run on the run's validation inputs (say where they are with "
    "--data or --data-dir, or compare on made-up inputs with --without-data), which cannot be had"
)


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    >>> Exported(Path("m.onnx"), "encoder", (), (), "359 validation inputs").limit is None
    True
    """

    path: Path
    part: PartName
    takes: tuple[Port, ...]
    gives: tuple[Port, ...]

    checked: str
    """What it was compared with its run on."""

    limit: Threshold | None = None
    """Of a score: above it an input is an anomaly."""

    score: str | None = None
    """Its name."""


def export_model(
    run: Run,
    path: str | Path,
    data: Callable[[], Dataset],
    *,
    part: PartName = "whole",
    score: str | None = None,
    false_alarm_rate: float | None = None,
    without_data: bool = False,
) -> Exported:
    """Write a part of a run to a file: ONNX, or a program of torch.export, by the suffix.

    What it computes is compared with the run on up to 1,000 of its validation inputs, which `data`
    gives, or `without_data` on inputs that are made up; if any output differs by more than 1e-5 of
    the range of its values, nothing is written.

    Raises:
        InputError: there is no such suffix, part or score; the run's model cannot be expressed or
            is not computed alike; the data are nowhere to be found; a package is missing; or the
            path cannot be written.
    """
    path = Path(path)
    kind = format_of(path)
    spec = refuse_what_cannot(run, part, score, false_alarm_rate)
    refuse_without(kind.packages)
    examples = (
        made_up(spec) if without_data else of_validation(own_data(run, data, otherwise=UNCOMPARED))
    )
    example = examples.split.batch(torch.arange(1))
    module, limit = part_named(run, part, score, false_alarm_rate, data, example)
    name = module.name if isinstance(module, Score) else None
    facts = facts_of(run, module, part, examples.told, limit)
    with threads(run.settings.recipe.threads), atomic_path(path) as temporary:
        content = made(run, module, kind, examples, facts)
        refuse_different(run, module, kind.opened(content), examples, str(path))
        temporary.write_bytes(content)
    return Exported(path, part, module.takes, module.gives, examples.told, limit, name)


def format_of(path: Path) -> Format:
    """The format of a file that is to be written."""
    if path.suffix.lower() not in FORMATS:
        known = " or ".join(f"{suffix} ({one.told})" for suffix, one in FORMATS.items())
        raise InputError(f"{path}: models are exported as {known}")
    return FORMATS[path.suffix.lower()]


def refuse_what_cannot(
    run: Run, part: str, score: str | None, false_alarm_rate: float | None
) -> InputSpec:
    """What the run's inputs are; InputError if no file can do what is asked."""
    if part not in PARTS:
        raise InputError(f"there is no part {part!r}; there are {', '.join(PARTS)}")
    if part != "score" and (score is not None or false_alarm_rate is not None):
        given = "score" if score is not None else "false-alarm-rate"
        raise InputError(f"--{given} belongs to the part score: ask for --part score")
    spec, model = run.spec, run.settings.model
    if isinstance(spec, GraphSpec):
        raise InputError(
            f"{run.folder}: {model} has codes of the nodes of its own graph and takes no inputs: "
            f"it cannot be exported; aelab links --embeddings writes the codes"
        )
    if spec.binarise and part != "decoder":
        raise InputError(
            f"{run.folder}: its inputs are drawn anew each time (--binarise), which a file cannot "
            f"do: only --part decoder can be exported"
        )
    if part in ("encoder", "decoder") and not run.autoencoder.code_size:
        raise InputError(f"{run.folder}: the code of {model} has no numbers: it has no {part}")
    return spec


def part_named(
    run: Run,
    part: PartName,
    score: str | None,
    false_alarm_rate: float | None,
    data: Callable[[], Dataset],
    example: Batch,
) -> tuple[Part, Threshold | None]:
    """The part of that name; of a score, with its threshold."""
    model = run.autoencoder
    if part != "score":
        return {"whole": Whole(model), "encoder": Encoder(model), "decoder": Decoder(model)}[
            part
        ], None
    name = score_named(score, model)
    kept = kept_scores(run, name, data)
    limit = (
        usual_threshold(kept.validation)
        if false_alarm_rate is None
        else threshold(kept.validation, false_alarm_rate)
    )
    fitted = dict(kept.fitted)
    if name == "bound":  # nothing can be drawn in a file
        assert isinstance(model, LatentVariableModel)
        with torch.inference_mode():
            fitted["noise"] = noise_of(model.posterior(example))
    return Score(model, name, fitted, limit.score), limit


def made(
    run: Run, module: Part, kind: Format, examples: Examples, facts: Mapping[str, str]
) -> bytes:
    """The bytes of the file.

    Raises:
        InputError: the exporter cannot express the model.
    """
    inputs = examples.inputs
    if isinstance(module, Decoder):
        inputs["code"] = torch.zeros(1, module.model.code_size)
    try:
        return kind.written(module, {port.name: inputs[port.name] for port in module.takes}, facts)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # whatever PyTorch's exporters raise of a class of one's own
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise InputError(
            f"{run.folder}: {run.settings.model} cannot be expressed in a file of {kind.told} "
            f"({reason})"
        ) from error


def facts_of(
    run: Run, module: Part, part: PartName, checked: str, limit: Threshold | None
) -> dict[str, str]:
    """What a file says of itself: texts, and JSON where they are lists."""
    settings, spec = run.settings, module.model.spec
    facts = {
        "part": part,
        "model": settings.model,
        "network": settings.network or "",
        "seed": str(settings.seed),
        "data": settings.data.name,
        "code_size": str(module.model.code_size),
        "inputs": json.dumps([asdict(port) for port in module.takes]),
        "outputs": json.dumps([asdict(port) for port in module.gives]),
        "kind": spec.kind,
        "stored_values": stored_values(spec),
        "weights_sha256": run.weights_sha256,
        "aelab_version": version("aelab"),
        "torch_version": torch.__version__,
        "checked": f"to {TOLERANCE:g} of the range of values on {checked}",
    }
    if spec.columns is not None:
        columns = [
            {"name": block.name, "kind": block.kind, "words": block.words}
            for block in spec.columns.blocks
        ]
        facts["columns"] = json.dumps(columns, ensure_ascii=False)
    if spec.classes:
        facts["classes"] = json.dumps(spec.classes, ensure_ascii=False)
    if spec.rate is not None:
        facts["samples_per_second"] = str(spec.rate)
    if limit is not None and isinstance(module, Score):
        facts["score"] = module.name
        facts["score_told"] = SCORES[module.name].told
        facts["threshold"] = repr(limit.score)
        facts["threshold_told"] = f"inputs that score higher are anomalies; {limit.told}"
    return facts


def stored_values(spec: InputSpec) -> str:
    """What the values are that come in and out."""
    if spec.columns is None:
        what = f"as they are stored, {spec.low:g} to {spec.high:g} in training; channels first"
        return "as they are stored; channels first" if spec.low == spec.high else what
    gaps = "NaN where one is missing" if spec.columns.may_lack else "none may be missing"
    words = "; a word as its place in words of columns, from 0 on" if spec.columns.mixed else ""
    return f"in the units of the columns{words}; {gaps}"
