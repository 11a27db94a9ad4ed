"""The command line's options: dataclasses whose field docstrings are the help.

Those of `aelab train` and `aelab compare`, which Python takes too, are in `studies.asked`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from aelab.evaluate.columns import QUICK_GROUPS, Group
from aelab.settings import seconds_of
from aelab.studies.asked import DataOptions, Split


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """A trained run.

    >>> tyro.cli(FolderOptions, args=["runs/vae", "--model", "mine:Mine"]).model
    'mine:Mine'
    """

    run: Positional[Path]
    """The run's folder, or hf://owner/name of one on the Hugging Face Hub."""

    model: str | None = None
    """The run's class, mypackage.mymodule:MyModel, where it is one of your own: a run's folder
    does not by itself decide what code is imported."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(FolderOptions, DataOptions):
    """A trained run and what to evaluate it on.

    >>> tyro.cli(EvaluateOptions, args=["runs/vae", "--metrics", "code", "bound"]).metrics
    ('code', 'bound')
    """

    split: Split | None = None
    """Which images; those of the last evaluation unless given."""

    metrics: tuple[Group, ...] = QUICK_GROUPS
    """Groups of metrics; importance and samples take minutes."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How the numbers of a text table are written.

    >>> tyro.cli(TextOptions, args=["--decimal", ","]).decimal
    ','
    """

    decimal: Literal[".", ","] | None = None
    """The decimal mark of a text table; found out unless given, and as in the run's own table
    where a number could have either."""


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions(FolderOptions, DataOptions, TextOptions):
    """A trained run, what it restores, and where that goes.

    >>> tyro.cli(ReconstructOptions, args=["runs/vae", "photos/", "--side-by-side"]).side_by_side
    True
    """

    data: Positional[str | None] = None
    """Inputs to restore: an image file, a folder of them, an array, or a split of a data set, as
    fashion-mnist:test. Without, a picture is drawn of images of the run's own data."""

    split: Split | None = None
    """Which images of the run's own data; those of the last evaluation unless given."""

    strict: bool = False
    """Refuse inputs of which a file would be left out."""

    side_by_side: bool = False
    """Put each image's original on its left."""

    out: Path | None = None
    """New folder for the restored inputs; or the PNG file of the picture, RUN/reconstructions.png
    unless given."""


@dataclass(frozen=True, kw_only=True)
class InputOptions(FolderOptions, DataOptions, TextOptions):
    """A trained run and inputs for it.

    >>> tyro.cli(InputOptions, args=["runs/vae", "digits:test"]).data
    'digits:test'
    """

    data: Positional[str]
    """The inputs: an image file, a folder of them, an array, or a split of a data set, as
    fashion-mnist:test."""

    strict: bool = False
    """Refuse inputs of which a file would be left out."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(InputOptions):
    """The same, and where the codes go.

    >>> tyro.cli(EncodeOptions, args=["runs/vae", "digits:test", "--out", "z.csv"]).out.name
    'z.csv'
    """

    out: Path
    """File to write: .csv or .parquet, or .npy with the names beside it."""


@dataclass(frozen=True, kw_only=True)
class ImputeOptions(FolderOptions, DataOptions, TextOptions):
    """Whose missing values are filled in by which run, and where the table goes.

    >>> tyro.cli(ImputeOptions, args=["runs/vae", "gaps.csv", "--out", "filled.csv"]).data.name
    'gaps.csv'
    """

    data: Positional[Path]
    """A table with the columns that the run was trained on."""

    out: Path
    """File to write: .csv, .tsv or .parquet."""


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions(InputOptions):
    """The same, and where what is restored goes.

    >>> tyro.cli(DenoiseOptions, args=["runs/vae", "photos/", "--out", "clean"]).out.name
    'clean'
    """

    side_by_side: bool = False
    """Put each image's original on its left."""

    noise_level: float | None = None
    """How noisy the inputs are, for noise-conditional alone: standard deviation of the noise as a
    share of the values' range, of a table in standard deviations of a column."""

    out: Path
    """New folder to write to."""


@dataclass(frozen=True, kw_only=True)
class AnomaliesOptions(InputOptions):
    """The same, what counts as an anomaly, and where the scores go.

    >>> AnomaliesOptions(run=Path("vae"), data="photos/", out=Path("scores.csv"), top=-1)
    Traceback (most recent call last):
    ValueError: top must be 0 or more, not -1
    """

    false_alarm_rate: float = 0.05
    """Share of the validation inputs that may score above the threshold; 0 is the highest of their
    scores."""

    score: str | None = None
    """What tells anomalies: reconstruction (its error), bound (of variational models), distance
    (of the code to the nearest of training inputs) or noise-levels (of noise-conditional). Unless
    given, noise-levels or bound where the model has one, and else reconstruction."""

    explain: bool = False
    """Write what the score is made of, too: the share of each column of a table, or an array of
    maps beside the scores, of pixels or moments."""

    label: str | None = None
    """The column of a table that has each row's class, to hold the scores against; unless given,
    the run's own label, where the table has it. Folders of images and y of an .npz archive are
    classes without being named."""

    anomaly_classes: tuple[str, ...] = ()
    """The classes that are anomalies. Unless given, those that the run was not trained on
    (--classes); else all but good; else 1 of 0 and 1."""

    top: int = 10
    """How many of the highest scores are drawn, with maps of their errors, or explained; 0 draws
    nothing."""

    out: Path
    """File to write: .csv or .parquet; the picture goes beside it, as .png."""

    def __post_init__(self) -> None:
        if self.top < 0:
            raise ValueError(f"top must be 0 or more, not {self.top}")


@dataclass(frozen=True, kw_only=True)
class SampleOptions(FolderOptions, DataOptions):
    """Which samples, and where they go.

    >>> tyro.cli(SampleOptions, args=["runs/vae", "-n", "9"]).n
    9
    """

    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 64
    """How many."""

    prior: str | None = None
    """What codes are drawn from: own (what the model was trained with), fitted-mixture, fitted-flow
    or two-stage, which are fitted and kept if the run lacks them; unless given, the one that did
    better on validation data."""

    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Samples of one class, by its name; where the data have classes."""

    seed: int | None = None
    """Which; the run's own seed unless given."""

    temperature: float = 1.0
    """Scales the deviation of what codes are drawn from: below 1, samples are more alike."""

    out: Path | None = None
    """Of images, a PNG file of one picture, an .npy file, or a new folder; of the rows of a table
    .csv, .tsv, .parquet or .npy; of signals .npy. RUN/samples.png, .csv or .npy unless given."""


@dataclass(frozen=True, kw_only=True)
class InterpolateOptions(FolderOptions, DataOptions):
    """From where to where, and where the picture goes.

    >>> tyro.cli(InterpolateOptions, args=["runs/vae", "a.png", "digits:test:0"]).last
    'digits:test:0'
    """

    first: Positional[str]
    """An image file, or DATA:number: one of a folder, an array or a data set's split, from 0 on,
    as fashion-mnist:test:0."""

    last: Positional[str]
    """The same."""

    steps: int = 9
    """Codes on the way, both ends included."""

    out: Path | None = None
    """PNG file to write; RUN/interpolation.png unless given."""


@dataclass(frozen=True, kw_only=True)
class LinksOptions(FolderOptions, DataOptions):
    """Which links of which run, and where they go.

    >>> tyro.cli(LinksOptions, args=["runs/gae", "--top", "5"]).top
    5
    """

    top: int = 100
    """How many of the likeliest links that the graph lacks."""

    pairs: Path | None = None
    """Edge list whose pairs are scored, instead of the missing links."""

    embeddings: Path | None = None
    """File that the nodes' codes are written to, too: .csv, or .npy with the ids beside it."""

    out: Path | None = None
    """CSV file to write; RUN/links.csv unless given."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions(DataOptions):
    """What is shown, and where the page goes.

    >>> tyro.cli(ReportOptions, args=["runs/vae", "--classes", "0", "1"]).classes
    ('0', '1')
    """

    folder: Positional[Path]
    """The folder of a run or of a study."""

    classes: tuple[str, ...] = ()
    """The classes shown in reconstructions; all unless some are named."""

    model: str | None = None
    """The class, mypackage.mymodule:MyModel, of runs whose model is one of your own."""

    out: Path | None = None
    """Folder for report.html and its figures; the run's or study's own unless given."""


@dataclass(frozen=True, kw_only=True)
class ExploreOptions(DataOptions):
    """Which run, and whether its page is opened.

    >>> tyro.cli(ExploreOptions, args=["runs/vae", "--no-open"]).open
    False
    """

    folder: Positional[Path]
    """The folder of a run or of a study."""

    open: bool = True
    """Open the page in the browser."""


@dataclass(frozen=True, kw_only=True)
class RunsOptions:
    """Where to look.

    >>> tyro.cli(RunsOptions, args=["elsewhere"]).folder.name
    'elsewhere'
    """

    folder: Positional[Path] = Path("runs")
    """The folder that runs, studies and choices are in, at whatever depth."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(FolderOptions, DataOptions):
    """A trained run, and what of it is measured again.

    >>> tyro.cli(VerifyOptions, args=["runs/vae", "--slow"]).slow
    True
    """

    slow: bool = False
    """Measure the slow groups of metrics, too."""


@dataclass(frozen=True, kw_only=True)
class ChooseOptions(DataOptions):
    """What a model is chosen for, and within what.

    >>> tyro.cli(ChooseOptions, args=["--for", "codes", "--budget", "2m"]).seconds
    120.0
    """

    goal: Annotated[
        Literal["reconstruction", "denoising", "anomalies", "samples", "codes"],
        tyro.conf.arg(name="for"),
    ]
    """reconstruction and denoising: the error of what is restored. anomalies: the area under the
    ROC curve, of the classes that --classes leaves out; without, the share of added noise that a
    model leaves in inputs. samples: their Fréchet distance to real images. codes: how well
    logistic regression tells the classes from them."""

    budget: str = "10m"
    """How long it may take in all: 90s, 10m, 1h."""

    latent_dim: int | None = None
    """Numbers in the code of every candidate. Unless given, half of an input's, at most 32."""

    seed: int = 0
    """Governs initialisation, order and noise."""

    out: Path | None = None
    """Folder for all that is tried; runs/choose-DATA-for-GOAL unless given."""

    def __post_init__(self) -> None:
        seconds_of(self.budget)

    @property
    def seconds(self) -> float:
        """The budget."""
        return seconds_of(self.budget)


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """For which shell. The script's first lines say where it goes.

    >>> tyro.cli(CompletionOptions, args=["fish"]).shell
    'fish'
    """

    shell: Positional[Literal["bash", "zsh", "fish"]]


@dataclass(frozen=True, kw_only=True)
class PushOptions(FolderOptions):
    """Which run, and to which repository of the Hugging Face Hub.

    >>> tyro.cli(PushOptions, args=["runs/vae", "me/vae", "--license", "mit"]).license
    'mit'
    """

    name: Positional[str]
    """owner/name. It is made if it is not there."""

    private: bool = False
    """Let nobody else see a repository that is made."""

    license: str | None = None
    """Of the weights, as the model card names it: mit, cc-by-4.0; none unless given."""
