"""The settings of a run: what is recorded with it and what the command line offers.

Nothing here imports torch, so that a command line can be built, and its help shown, at once.
The string below each field is that field's help.
"""

import math
import random
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tyro.conf import FlagCreatePairsOff, arg

from aelab.files import InputError, not_finite

T = TypeVar("T")


VERSION = "0.2.0"
"""Of aelab: `pyproject.toml` reads it here, and so does whatever tells it."""

IN_MEMORY = "an array in memory"
"""What data are called that have no name and no file."""


@dataclass(frozen=True)
class DataSettings:
    """Which data a model is trained on, and how they are prepared.

    >>> DataSettings('photos/', size='48x64').height_and_width
    (48, 64)
    """

    name: Annotated[str, arg(name="data")] = "fashion-mnist"
    """Name of the data set, or a path: a folder of images or sounds (.wav), an array (.npy, .npz),
    a table (.csv, .tsv, .txt, .data, .parquet, .xlsx), a graph (a list of edges or an adjacency
    matrix in one of these, or .edges, .edgelist, .mtx), or a folder of arrays or tables named
    train, validation and test. Text may be packed with .gz."""

    splits: Literal["standard", "original"] = "standard"
    """How it is split. standard: 5,000 of the official training images for validation (stratified,
    by a fixed seed), the others for training, the official test images for the test. original:
    all training images, validated on 8,000 of the official test images, as in the original study.
    Data by path: by their folders or files train, validation and test if they have them;
    otherwise 80 %, 10 % and 10 %, stratified, by a fixed seed."""

    group_by: str | None = None
    """What belongs together is in one split only, as all rows of one patient: the column of a
    table that names the group, which is no input; of a folder of images, the word folder (the
    first one on the way to an image) or a regular expression found in its path, whose first
    group, or else all of it, names the group: '(patient\\d+)'."""

    split_by: str | None = None
    """Column of a table to split by in order, as in time: the last tenth is the test, the tenth
    before it validation. It is no input."""

    scale: Annotated[float, arg(name="pixel-scale")] = 1 / 255
    """What a stored pixel value is multiplied by, where 255 is the largest there can be."""

    features: str | None = None
    """Of a graph in a file: the path of a table of node features."""

    bipartite: bool = False
    """Of a graph in a file: the two ends of an edge are nodes of two kinds, as users and items, so
    that 1 in one column and 1 in the other are two nodes, and only links between the kinds are
    asked about. Follows from columns called user and item, author and paper and the like."""

    plain_edges: bool = False
    """Of a graph in a file: take two columns as names of nodes and nothing else, whatever they
    look like: no weights, no kinds that follow from names, no adjacency matrix."""

    classes: tuple[str, ...] | None = None
    """Names of the only classes that are trained and validated on, and whose images count as
    normal; none means all. The images of the others are the anomalies to be found."""
    rows: Literal["edges", "inputs"] | None = None
    """What the rows of a CSV, TSV or Parquet file are: edges of a graph, or inputs. Follows from
    the model on the command line and in studies; otherwise, edges unless given. An array is a
    graph's adjacency matrix where they are edges, and otherwise inputs."""

    size: str | None = None
    """Resize images to this height and width, as 64 or 48x64. Unless given, images of another
    size than most are left out."""

    grayscale: bool = False
    """Turn images grey."""

    range: tuple[float, float] | None = None
    """Stored values that become x = 0 and the largest x, for an array or a folder of images or
    sounds. Unless given, the type's own or the range of the training examples; what was taken is
    told."""

    signal: bool = False
    """An array holds signals of one dimension: [n, length] or [n, channels, length]."""

    volume: bool = False
    """An array [n, depth, height, width] holds volumes; TIFF files of several pages, too."""

    window: int | None = None
    """Cut sounds into windows of so many samples."""

    strict: bool = False
    """Refuse the data if a file of a folder, or a column of a table, would be left out."""

    impute: bool = False
    """Take a missing value of a table to be the mean of the training rows, or none of a column's
    words; otherwise it is refused."""

    missing: Literal["mask"] | None = None
    """mask: show a model which values of a table are missing, and train it on the others."""

    label: str | None = None
    """Column of a table with the class of each row; it is no input."""

    columns: tuple[str, ...] | None = None
    """The columns of a table that are inputs, the only ones; unless given, all that hold
    numbers, or a few words again and again."""

    leave_out: tuple[str, ...] = ()
    """Columns of a table that are no inputs."""

    header: Annotated[bool, FlagCreatePairsOff] = False
    """The first line of a text table has the columns' names; unless this or --no-header is given,
    that is found out."""

    no_header: Annotated[bool, FlagCreatePairsOff] = False
    """The first line of a text table is a row."""

    decimal: Literal[".", ","] | None = None
    """The decimal mark of a text table; found out unless given."""

    missing_values: tuple[str, ...] = ()
    """Cells of a text table that stand for a missing value, beside the empty one, ?, NA, N/A, n/a,
    NaN, nan, None, none, null, NULL and -."""

    binarise: bool = False
    """Each pixel is 1 with the probability of its intensity and else 0, drawn anew at every
    step, as the literature's likelihoods have it (Salakhutdinov & Murray 2008)."""

    condition: Literal["class"] | None = None
    """Tell a variational model the class of each input, in training and afterwards: its latent
    numbers say what the class does not, and samples of one class are asked for by its name
    (a conditional VAE: Sohn et al. 2015)."""

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise InputError(f"scale must be a number above 0, not {self.scale}")
        if self.binarise and self.scale != 1 / 255:
            raise InputError(
                f"binarise takes intensities for probabilities: leave scale at 1/255, for it "
                f"cannot be {self.scale:g}"
            )
        if self.impute and self.missing is not None:
            raise InputError("missing values are imputed or masked: leave impute or missing out")
        if self.header and self.no_header:
            raise InputError("the first line has names or it has none: header, or no_header")
        if self.condition and self.classes is not None:
            raise InputError(
                "condition tells a model the class of each input, and classes sets some aside as "
                "anomalies, which it could be told nothing of: leave one out"
            )
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise InputError(
                f"range must be two finite numbers, the lower first, not "
                f"{self.range[0]:g} and {self.range[1]:g}"
            )
        if self.window is not None and self.window < 1:
            raise InputError(f"window must be 1 sample or more, not {self.window}")
        _ = self.height_and_width

    @property
    def height_and_width(self) -> tuple[int, int] | None:
        """What `size` says; an InputError if it is no size."""
        if self.size is None:
            return None
        found = re.fullmatch(r"([1-9]\d{0,4})(?:[x×]([1-9]\d{0,4}))?", self.size)
        if found is None:
            raise InputError(f"size must be as 64 or 48x64 (height x width), not {self.size!r}")
        return int(found[1]), int(found[2] or found[1])


def usual_split(splits: str) -> Literal["validation", "test"]:
    """What a run is evaluated on unless asked otherwise: the original splits have no test split."""
    return "validation" if splits == "original" else "test"


def seconds_of(text: str) -> float:
    """A time as people write it.

    >>> seconds_of("60s"), seconds_of("2m"), seconds_of("0.5h")
    (60.0, 120.0, 1800.0)

    Raises:
        InputError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", text.strip())
    if found is None or float(found[1]) <= 0:
        raise InputError(f"a time is written 60s, 2m or 1h, not {text!r}")
    return float(found[1]) * {"h": 3600, "m": 60, "min": 60}.get(found[2], 1)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    >>> Recipe(epochs=2, batch_size=128).schedule
    'one-cycle'
    """

    epochs: float = 10.0
    """Passes over the training data; may be a fraction."""

    seconds: float | None = None
    """Train for about so many seconds instead: the epochs follow from the speed of a few steps
    on this machine, measured before training, and are recorded with the run."""

    batch_size: int = 64
    """Images a step."""

    learning_rate: float = 2e-3
    """Adam's step size; the peak, with a one-cycle schedule."""

    schedule: Literal["constant", "one-cycle"] = "one-cycle"
    """constant, or one-cycle: up from 1/25 of the peak over the first 30 % of the steps, then
    down to nothing, both along a cosine (Smith & Topin 2018, arXiv 1708.07120)."""

    shuffle: bool = True
    """A new order of the training images each epoch; otherwise file order."""

    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the forward pass in training; bfloat16 is automatic mixed precision, and auto
    is that where it is faster (the processor computes in it, and inputs have 256 numbers or more)
    and float32 elsewhere. The run records which. Evaluation is always in float32."""

    channels_last: bool = False
    """Memory layout with channels innermost: faster for convolutions, same values."""

    clip_norm: float | None = None
    """Gradients are scaled down to this norm where they exceed it."""

    patience: int | None = None
    """Stop after this many epochs without a better validation error."""

    keep: Literal["best", "last"] = "best"
    """Which epoch's weights the run keeps: the best on validation, or the last."""

    threads: int = 1
    """Processor threads. Small dense models are fastest with one."""

    device: str = "cpu"
    """Where the model is trained: cpu, cuda, mps, or auto, which is a GPU where there is one. The
    run records which, and is opened and evaluated on the processor, wherever it was trained."""

    def __post_init__(self) -> None:
        if not 0 <= self.epochs < float("inf"):
            raise ValueError(f"epochs must be 0 or more, not {self.epochs}")
        for name in (
            "batch_size", "learning_rate", "threads", "seconds", "clip_norm", "patience",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, not {value}")

    def shortened(self, share: float) -> "Recipe":
        """The same with a share of the training.

        >>> Recipe(epochs=5).shortened(0.1).epochs
        0.5
        """
        seconds = None if self.seconds is None else share * self.seconds
        return replace(self, epochs=share * self.epochs, seconds=seconds)


@dataclass(frozen=True)
class RunSettings:
    """All that a trained model follows from, besides the data themselves.

    >>> RunSettings('vae', {'latent_dim': 8}, recipe=Recipe(epochs=2)).data.name
    'fashion-mnist'
    """

    model: str
    """A name of the zoo, or ``module:Class``."""

    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    """Of the model, its network and its prior, under one roof."""

    data: DataSettings = field(default_factory=DataSettings)
    recipe: Recipe = field(default_factory=Recipe)

    seed: int = 0
    """Governs initialisation, order, noise and samples."""

    start: str | None = None
    """SHA-256 of the weights that training starts from (those of another run), instead of random
    ones."""

    network: str | None = None
    """A name of the zoo, or ``module:Class``; the model's own unless given."""

    prior: str | None = None
    """What the model is trained with, where it is trained with a prior; the same."""


def checked(settings: type[T], values: Mapping[str, Any], where: str) -> T:
    """A settings dataclass made from a file's table, each value held against its field's type."""
    hints = get_type_hints(settings)
    values = thaw(values)
    for key, value in values.items():
        check_value(f"{where}: {key}", key, value, hints)
    needed = (one.name for one in fields(settings) if has_no_default(one))  # type: ignore[arg-type]
    if missing := [name for name in needed if name not in values]:
        raise InputError(f"{where}: {' and '.join(missing)} missing")
    try:
        return settings(**values)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def has_no_default(of: "Field[Any]") -> bool:
    """Whether a dataclass cannot be made without this field."""
    return of.default is MISSING and of.default_factory is MISSING


def thaw(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's and TOML's lists as the tuples that constructors take."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def check_value(where: str, key: str, value: object, hints: Mapping[str, Any]) -> None:
    """Hold one value against the type that `hints` gives its key.

    Raises:
        InputError: there is no such key, or the value is of another type.
    """
    if key not in hints:
        close = get_close_matches(key, hints, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(hints) or 'none'}"
        raise InputError(f"{where} is unknown; {hint}")
    if not fits(value, hints[key]):
        raise InputError(f"{where} must be {type_name(hints[key])}, not {value!r}")
    for path, number in not_finite(value, where):
        raise InputError(f"{path} must be finite, not {number}")


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    """Whether a value is of a type, and so is every item in it; an int is a float, too.

    >>> fits((1, 2.5), tuple[float, ...]), fits((1, "2"), tuple[float, ...] | None)
    (True, False)
    """
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    drawn = random.getstate()  # beartype draws which item of a list it looks at
    found = is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))
    random.setstate(drawn)
    if not found:
        return False
    for of in (hint, *get_args(hint)):  # of a union, the one that has items
        if get_origin(of) in (tuple, list) and isinstance(value, tuple | list):
            return all(fits(item, get_args(of)[0]) for item in value)
        if get_origin(of) is dict and isinstance(value, dict):
            return all(fits(item, get_args(of)[1]) for item in value.values())
    return True


def type_name(hint: Any) -> str:  # noqa: ANN401
    """A type as a user would say it.

    >>> type_name(Literal["a", "b"]), type_name(int | None), type_name(tuple[int, ...])
    ("'a' or 'b'", 'int or none', 'a list of int')
    """
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, arguments))
    if get_origin(hint) is dict:
        return "a table"
    if get_origin(hint) is tuple:
        return f"a list of {type_name(arguments[0])}"
    if arguments:
        return " or ".join(map(type_name, arguments))
    return "none" if hint is type(None) else str(hint.__name__)
