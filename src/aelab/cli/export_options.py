"""The options of `aelab export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from aelab.cli.options import FolderOptions
from aelab.studies.asked import DataOptions


@dataclass(frozen=True, kw_only=True)
class ExportOptions(FolderOptions, DataOptions):
    """A trained run, what of it is written, and where.

    >>> import tyro
    >>> tyro.cli(ExportOptions, args=["runs/vae", "vae.onnx", "--part", "encoder"]).part
    'encoder'
    """

    out: Positional[Path]
    """File to write: .onnx, or .pt2 for torch.export."""

    part: Literal["whole", "encoder", "decoder", "score"] = "whole"
    """whole gives reconstructions of inputs, encoder their codes, decoder what codes stand for, and
    score how unlike the training inputs an input is, and whether it is an anomaly."""

    score: str | None = None
    """The score of --part score, as of aelab anomalies; the model's own unless given."""

    false_alarm_rate: float | None = None
    """Share of the validation inputs that may score above the threshold of --part score; 0.05
    unless given, or 0 of fewer than 20."""

    data: str | None = None
    """Where the data are now that the run was trained on, if they are elsewhere: the file is
    compared with the run on its validation inputs."""

    without_data: bool = False
    """Compare on inputs that are made up over the range of the training inputs: for where the data
    are not at hand."""
