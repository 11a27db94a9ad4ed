"""What an input is: its kind, its shape, and how stored values are prepared for a model.

Nothing here imports torch, so that a command line can be built, and its help shown, at once.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

Dtype = Literal["uint8", "uint16", "float32"]

Kind = Literal["images", "signals", "rows", "links"]
"""What data are: images; signals on a line, a grid or a graph; rows of numbers, as of a table; or
the links of one graph."""


@dataclass(frozen=True)
class SignalGraph:
    """The graph that a signal lives on: nodes at positions, joined by undirected edges.

    >>> triangle = SignalGraph(((0, 1), (1, 2), (2, 0)), ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    >>> InputSpec((1, 3), graph=triangle).kind
    'signals'
    """

    edges: tuple[tuple[int, int], ...]
    """Pairs of nodes, each pair once."""

    positions: tuple[tuple[float, ...], ...]
    """Coordinates of each node."""


BOOLEAN = ("false", "true")
"""The words of a column that holds nothing else: one value is made of them."""


@dataclass(frozen=True)
class Block:
    """The values of an input that one column gives.

    >>> Block("colour", ("blue", "red"), start=3).stop, Block("married", BOOLEAN, start=5).stop
    (5, 6)
    """

    name: str
    words: tuple[str, ...]
    """One value each, in this order; none of numbers."""

    start: int

    @property
    def kind(self) -> Literal["number", "boolean", "words"]:
        """What the column holds."""
        if not self.words:
            return "number"
        return "boolean" if self.words == BOOLEAN else "words"

    @property
    def stop(self) -> int:
        """Where the next column's values begin."""
        return self.start + (len(self.words) if self.kind == "words" else 1)

    @property
    def values(self) -> slice:
        """Where they stand."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Columns:
    """Columns that are inputs, each standardised by itself: ``x = (stored - mean) / std``.

    They are a table's, or those of an array of features, whose names are their numbers. A column
    of words gives a value for each of them, 1 for the word of a row and 0 for the others
    (one-hot); a column of false and true gives one, 0 or 1.

    >>> columns = Columns(('height', 'weight'), mean=(170.0, 70.0), std=(10.0, 12.0))
    >>> InputSpec((2,), 1.0, dtype='float32', columns=columns).bounded
    False
    >>> mixed = Columns(('cm', 'eyes'), (170.0, 0.0), (10.0, 1.0), words=((), ('blue', 'brown')))
    >>> [block.values for block in mixed.blocks], mixed.size
    ([slice(0, 1, None), slice(1, 3, None)], 3)
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the training rows, missing values left aside; 0 of words."""

    std: tuple[float, ...]
    """Of the training rows; 1 for a column that does not vary, and of words."""

    impute: bool = False
    """A missing value is taken to be the mean, or none of the words; otherwise it is refused."""

    label: str | None = None
    """The column with the class of each row, where a model is told it."""

    numbered: bool = False
    """They are an array's: known by their places, and not by names."""

    words: tuple[tuple[str, ...], ...] = ()
    """Of each column the words that its training rows hold, none of a column of numbers; nothing at
    all where every column is of numbers."""

    mask: bool = False
    """A model is shown which values are missing, and trained on the others."""

    decimal: Literal[".", ","] | None = None
    """The decimal mark of the text that they were read from, if a number had one."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The values that each column gives, in the order of the columns."""
        found: list[Block] = []
        for name, words in zip(self.names, self.words or ((),) * len(self.names), strict=True):
            found.append(Block(name, words, found[-1].stop if found else 0))
        return tuple(found)

    @property
    def size(self) -> int:
        """How many values an input has."""
        return self.blocks[-1].stop

    @property
    def mixed(self) -> bool:
        """Whether any column holds words, or false and true."""
        return any(self.words)

    @property
    def may_lack(self) -> bool:
        """Whether a value may be missing."""
        return self.impute or self.mask


def plain_columns(size: int) -> Columns:
    """Columns of numbers that have no names of their own: x0, x1 and so on."""
    return Columns(tuple(f"x{i}" for i in range(size)), (0.0,) * size, (1.0,) * size)


@dataclass(frozen=True)
class InputSpec:
    """Shape and preparation of an input: ``x = scale * (stored - low)``, of shape `shape`.

    Models are built from it, and it is recorded with a run, so that later inputs are prepared
    as the training inputs were. Rows may be standardised by `columns` instead.

    >>> InputSpec((1, 28, 28)).kind, InputSpec((12,)).kind, InputSpec((1, 28, 28)).peak
    ('images', 'rows', 1.0)
    """

    shape: tuple[int, ...]
    """Channels, height, width of an image; channels, length of a signal; channels, nodes of one on
    a graph; channels, depth, height, width of a volume; features."""

    scale: float = 1 / 255
    """What a stored value, less `low`, is multiplied by; 1/255 gives x of bytes in [0, 1]."""

    graph: SignalGraph | None = None
    """Of a signal on a graph; an image's is its pixel grid, and need not be given."""

    low: float = 0.0
    """The stored value that gives x = 0."""

    high: float = 255.0
    """The stored value that gives the largest x."""

    dtype: Dtype = "uint8"
    """Type of a stored value."""

    resized: bool = False
    """Whether images of another size are brought to this one, or refused."""

    grayscale: bool = False
    """Whether images in colour are turned grey, or refused."""

    columns: Columns | None = None
    """Of the rows of a table, or of an array of features that have units of their own."""

    rate: int | None = None
    """Of sounds: samples a second."""

    windowed: bool = False
    """Whether longer sounds are cut into inputs, or refused."""

    binarise: bool = False
    """Each value is 1 with probability x and else 0, drawn anew each time."""

    classes: tuple[str, ...] = ()
    """Names of the classes of which a model is told each input's, beside x; mostly none."""

    @property
    def size(self) -> int:
        """Number of values of one input."""
        return math.prod(self.shape)

    @property
    def kind(self) -> Kind:
        """What the inputs are, by their shape and graph."""
        if len(self.shape) == 1:
            return "rows"
        return "images" if len(self.shape) == 3 else "signals"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image.

        Raises:
            ValueError: the inputs are no images.
        """
        if self.kind != "images":
            raise ValueError(f"it takes images, and the inputs have the shape {self.shape}")
        channels, height, width = self.shape
        return channels, height, width

    @property
    def bounded(self) -> bool:
        """Whether x lies in [0, peak]; standardised values have no bounds."""
        return self.columns is None

    @property
    def peak(self) -> float:
        """The largest value an input can take; of standardised ones 1, a standard deviation."""
        return self.scale * (self.high - self.low) if self.bounded else 1.0

    @property
    def in_unit_interval(self) -> bool:
        """Whether x lies in [0, 1]."""
        return self.bounded and self.peak <= 1 + 1e-9


@dataclass(frozen=True)
class GraphSpec:
    """Size of the one graph that a link model is built for.

    >>> GraphSpec(nodes=34, features=34).kind
    'links'
    """

    kind: ClassVar[Kind] = "links"

    nodes: int
    """Number of nodes."""

    features: int
    """Numbers that describe a node; as many as nodes, where a node is described by itself."""


def told_kind(kind: Kind) -> str:
    """A kind of data in words."""
    return {"links": "the links of a graph", "rows": "rows of numbers"}.get(kind, kind)
