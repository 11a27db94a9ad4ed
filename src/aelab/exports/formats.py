"""Files that other runtimes read: ONNX, and programs of ``torch.export``.

Each is made of a part that is followed with tensors, and run again from its bytes alone, by
onnxruntime and by PyTorch, to see that it computes the same.
"""

import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from aelab.exports.parts import Part
from aelab.files import InputError

Arrays = Mapping[str, NDArray[Any]]
Compute = Callable[[Arrays], list[NDArray[Any]]]
"""Outputs in their order, of inputs by their names."""

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

EXAMPLES = 3
"""Inputs that a part is followed with; of one or two, their number would be taken for fixed."""

TALKATIVE = (
    "torch.onnx._internal.exporter._registration",
    "onnxscript.optimizer._constant_folding",
    "onnx_ir.passes.common.initializer_deduplication",
)
"""Loggers that warn of what changes nothing: torchvision is not installed, a node is not folded."""

FACTS = "aelab.json"
"""Where a program of torch.export has what ONNX calls metadata_props."""

OURS = "aelab."
"""What the names of our facts begin with in ONNX, whose metadata other programs write to, too."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    >>> FORMATS[".pt2"].told
    'torch.export'
    """

    told: str
    written: Callable[[Part, Mapping[str, Tensor], Mapping[str, str]], bytes]
    """Its bytes, of a part, some inputs and facts."""

    opened: Callable[[bytes], Compute]
    """What runs it."""

    packages: tuple[str, ...] = ()
    """That it takes, of ``aelab[onnx]``."""


def refuse_without(packages: tuple[str, ...]) -> None:
    """Raise InputError if a package is not installed."""
    for name in packages:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f'a file for ONNX takes the package {name}: pip install "aelab[onnx]"'
            ) from error


def followed(part: Part, inputs: Mapping[str, Tensor]) -> torch.export.ExportedProgram:
    """A part as operations on tensors, for a batch of any size."""
    some = {name: given[torch.arange(EXAMPLES) % len(given)] for name, given in inputs.items()}
    batch = torch.export.Dim("batch")
    constant = deepcopy(part).requires_grad_(False)
    with torch.no_grad(), quiet():
        program = torch.export.export(
            constant,
            tuple(some.values()),
            dynamic_shapes=tuple({0: batch} for _ in some),
            strict=False,
        )
    for node in program.graph.nodes:  # where the code lies on this machine is nobody's business
        node.meta.pop("stack_trace", None)
    return program


def onnx_bytes(part: Part, inputs: Mapping[str, Tensor], facts: Mapping[str, str]) -> bytes:
    """An ONNX model."""
    program = followed(part, inputs)
    with quiet():
        made = torch.onnx.export(
            program,
            (),
            input_names=[port.name for port in part.takes],
            output_names=[port.name for port in part.gives],
            dynamo=True,
            verbose=False,
        )
    assert made is not None
    for value in (*made.model.graph.inputs, *made.model.graph.outputs):
        assert value.shape is not None
        value.shape[0] = "batch"
    made.model.producer_name = "aelab"
    made.model.metadata_props.update({f"{OURS}{name}": value for name, value in facts.items()})
    for node in made.model.graph.all_nodes():
        node.metadata_props.clear()  # the calls that it comes from, with their files
    content: bytes = made.model_proto.SerializeToString()
    return content


def onnx_opened(content: bytes) -> Compute:
    """The model in onnxruntime, on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: list(session.run(None, dict(inputs)))


def program_bytes(part: Part, inputs: Mapping[str, Tensor], facts: Mapping[str, str]) -> bytes:
    """A program of torch.export."""
    program, file = followed(part, inputs), io.BytesIO()
    program.example_inputs = None  # they are inputs of the user's own
    with quiet():
        torch.export.save(program, file, extra_files={FACTS: json.dumps(facts, indent=2)})
    return file.getvalue()


def program_opened(content: bytes) -> Compute:
    """The program that was just written; no other is ever opened here."""
    with quiet():
        module = torch.export.load(io.BytesIO(content)).module()

    def compute(inputs: Arrays) -> list[NDArray[Any]]:
        found = module(*map(torch.from_numpy, inputs.values()))
        return [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]

    return compute


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what exporters say of themselves."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec", FutureWarning)
            # The largest double, which nan_to_num puts for an infinity, becomes an infinity.
            warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


FORMATS: dict[str, Format] = {
    ".onnx": Format("ONNX", onnx_bytes, onnx_opened, ONNX_PACKAGES),
    ".pt2": Format("torch.export", program_bytes, program_opened),
}
"""By the suffix of the file."""
