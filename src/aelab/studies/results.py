"""A study's results: what results.json holds, and the tables and the page show."""

from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from statistics import mean, stdev
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from aelab.evaluate.audits import Finding
from aelab.evaluate.columns import FACTS, worded
from aelab.evaluate.finite import emptied
from aelab.files import InputError
from aelab.settings import check_value
from aelab.studies.study import Asked


@dataclass(frozen=True)
class Spread:
    """A figure over seeds.

    >>> Spread.of([1.0, 2.0, 3.0])
    Spread(mean=2.0, std=1.0, values=(1.0, 2.0, 3.0))
    """

    mean: float | None
    std: float | None
    """The sample standard deviation; none of a single seed."""

    values: tuple[float | None, ...]
    """Seed by seed."""

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Spread":
        """That of these values, where there are any."""
        numbers = [value for value in values if value is not None]
        return cls(
            mean(numbers) if numbers else None,
            stdev(numbers) if len(numbers) > 1 else None,
            tuple(values),
        )


NO_FIGURE = Spread(None, None, ())

OPTIONAL = (
    *("side_channel_size", "side_channel_bits", "code_bits"),
    *("multiply_adds", "by_class", "parts", "counted"),
)
"""Fields of a row that results.json leaves out where there is nothing to say."""


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row's figures over its seeds, and what evaluation says beside them of the first.

    >>> row = ResultRow(name="pca", model="pca", code_size=2, parameters=8, input_size=3, budget="",
    ...     seeds=(0,), train_seconds=1, metrics={"mse": Spread.of([0.5])}, audits={}, published={})
    >>> row.mean("mse"), row.overcomplete
    (0.5, False)
    """

    name: str = field(metadata={"json": "row"})

    model: str
    code_size: int
    side_channel_size: int | None = None
    side_channel_bits: float | None = None
    code_bits: float | None = None
    """Of the whole code; not known of links, and where an earlier version evaluated."""

    parameters: int
    multiply_adds: int | None = None
    by_class: dict[str, float | None] | None = None
    audits: dict[str, Finding]
    input_size: int | None
    """Numbers of an input; none of a graph, whose nodes have codes and not the whole."""

    budget: str
    seeds: tuple[int, ...]
    train_seconds: float
    images_per_second: float | None = None
    epochs: float | None = None
    peak_memory_bytes: float | None = None
    metrics: dict[str, Spread]
    published: dict[str, float]
    parts: tuple[str, ...] | None = None
    """The rows that this is the mean of."""

    counted: str | None = None
    """What an error is counted by, column or value; pixels, and links of graphs, unless said."""

    others: dict[str, Any] = field(default_factory=dict)
    """The other FACTS; in JSON they stand beside the fields."""

    def spread(self, metric: str) -> Spread:
        """The figure, which may be none."""
        return self.metrics.get(metric, NO_FIGURE)

    def mean(self, metric: str) -> float | None:
        """The mean figure over the seeds, if there is one."""
        return self.spread(metric).mean

    def under(self, metric: str | None, name: str) -> "ResultRow":
        """The row with the figures of `metric`, if one is named, called `name`."""
        if metric is None:
            return self
        return replace(self, metrics={**self.metrics, name: self.spread(metric)})

    def by_seed(self, metric: str) -> dict[int, float]:
        """The figures that there are, by seed."""
        pairs = zip(self.seeds, self.spread(metric).values, strict=False)
        return {seed: value for seed, value in pairs if value is not None}

    @property
    def overcomplete(self) -> bool:
        """Whether the code is no smaller than the input, and could be a copy of it."""
        return self.input_size is not None and self.code_size >= self.input_size

    def to_json(self) -> dict[str, Any]:
        """The row as results.json has it."""
        content = {"row": self.name, **asdict(self), **self.others}
        first = ("row", "model", *FACTS)
        return {
            key: content[key]
            for key in sorted(content.keys() - {"name", "others"}, key=[*first, *content].index)
            if content[key] is not None or key not in OPTIONAL
        }

    @classmethod
    def from_json(cls, content: object, where: str) -> "ResultRow":
        """The row in its JSON; what is no field of it is one of the others."""
        others = {"name" if key == "row" else key: of for key, of in table(content, where).items()}
        own = {of.name: others.pop(of.name) for of in fields(cls) if of.name in others}
        made: ResultRow = read_fields(cls, {**own, "others": others}, where)
        return made


@dataclass(frozen=True)
class Verdict:
    """The answer to a question about the rows of a budget; of earlier versions in words alone.

    >>> read(Verdict, {"question": "Which is best?", "budget": "60s", "answer": "vae"}, "1").answer
    'vae'
    """

    question: str
    budget: str
    answer: str
    """In words."""

    metric: str | None = None
    best: str | None = None
    """The row; none where no best can be named."""

    seeds: int | None = None
    """How many the best row has."""

    close: tuple[str, ...] = ()
    """The rows that the seeds do not tell apart from the best."""

    quick: str | None = None
    """The row that is nearly as good after a tenth of the training, if there is one."""

    code_size: int | None = None
    """Of the rows that were compared, if it is one."""

    left_out: tuple[str, ...] = ()
    """The rows that were not compared, for the size of their codes."""

    def to_json(self) -> dict[str, Any]:
        """The verdict as results.json has it: without what there is not."""
        words = ("question", "budget", "answer")
        return {key: value for key, value in asdict(self).items() if value or key in words}


@dataclass(frozen=True)
class ClaimVerdict:
    """Whether a claim holds.

    >>> from aelab.studies.study import Claim
    >>> from aelab.studies.verdicts import verdict
    >>> verdict(Claim("A VAE wins", "mse", better="vae", than=("pca",)), [])
    ClaimVerdict(claim='A VAE wins', holds='was not tested', found='no vae')
    """

    claim: str
    holds: str
    """In words, after `It`."""

    found: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a study gave.

    >>> results = Results(study="mine", title="", quick=False, data="digits", split="test",
    ...     units={}, rows=())
    >>> Results.from_json(results.to_json()) == results
    True
    """

    study: str
    asked: Asked | None = None
    """Of `aelab compare`, if that trained it."""

    title: str
    quick: bool
    data: str
    split: str
    units: dict[str, str]
    rows: tuple[ResultRow, ...]
    verdicts: tuple[Verdict, ...] = ()
    claims: tuple[ClaimVerdict, ...] = ()
    audits: dict[str, dict[str, Finding]] = field(default_factory=dict)
    """Of the data, by data set."""

    errors: dict[str, str] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The study's title, or its name."""
        return self.title or self.study

    @property
    def seeds(self) -> list[int]:
        """Those that any row has."""
        return sorted({seed for row in self.rows for seed in row.seeds})

    @property
    def counted(self) -> str | None:
        """What errors are counted by, where that is the same in all rows."""
        found = {row.counted for row in self.rows}
        return found.pop() if len(found) == 1 else None

    @property
    def error_label(self) -> str:
        """What the squared error is called on an axis."""
        return worded("MSE (squared error a pixel, pixels in [0, 1])", self.counted)

    def to_json(self) -> dict[str, Any]:
        """The content of results.json."""
        content: dict[str, Any] = emptied(asdict(self))  # with lists for tuples
        rows = emptied([row.to_json() for row in self.rows])
        verdicts = emptied([verdict.to_json() for verdict in self.verdicts])
        return {**content, "rows": rows, "verdicts": verdicts}

    @classmethod
    def from_json(cls, content: object) -> "Results":
        """The results in the content of a results.json.

        Raises:
            InputError: it lacks something, or has it of another type.
        """
        made: Results = read_fields(cls, content, "")
        return made


def read(hint: Any, value: object, where: str) -> Any:  # noqa: ANN401 - what the hint says
    """A value of JSON as the type that a field has; InputError, where it is of another."""
    inner = get_args(hint)
    if NoneType in inner:
        return None if value is None else read(inner[0], value, where)
    if hasattr(hint, "from_json"):
        return hint.from_json(value, where)
    if is_dataclass(hint):
        return read_fields(hint, value, where)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(read(inner[0], item, f"{where}: {n}") for n, item in enumerate(value, 1))
    if get_origin(hint) is dict and isinstance(value, dict):
        return {key: read(inner[1], item, f"{where}: {key}") for key, item in value.items()}
    check_value(where, "", value, {"": hint})
    return value


def read_fields(kind: Any, content: object, where: str) -> Any:  # noqa: ANN401 - one of `kind`
    """A dataclass from its JSON, field by field; InputError, where one is missing or unknown."""
    content, of = table(content, where), where or "the file"
    for own in fields(kind):
        if own.default is MISSING and own.default_factory is MISSING and own.name not in content:
            raise InputError(f"{of} has no {own.metadata.get('json', own.name)}")
    hints = get_type_hints(kind)
    for key in content.keys() - hints.keys():
        raise InputError(f"{of} has an unknown {key!r}")
    paths = {key: f"{where}: {key}" if where else key for key in content}
    return kind(**{key: read(hints[key], value, paths[key]) for key, value in content.items()})


def table(content: object, where: str) -> dict[str, Any]:
    """The content, made sure to be a table of JSON."""
    if not isinstance(content, dict):
        raise InputError(f"{where or 'the file'} is no table")
    return content
