"""Inputs of several kinds side by side, as a table's: numbers, false and true, and words."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.batch import Batch
from aelab.data.specs import Columns, InputSpec
from aelab.models.layers import OutputActivation, output_activation
from aelab.models.losses import (
    Likelihood,
    PerExample,
    binary_cross_entropy,
    cross_entropy,
    squared_error,
)

Rows = Float[Tensor, "batch values"]


class Kinds:
    """Which values of an input are numbers, which false or true, and which a column's words.

    >>> columns = Columns(("cm", "eyes"), (0.0, 0.0), (1.0, 1.0), words=((), ("blue", "brown")))
    >>> kinds = Kinds(columns)
    >>> kinds.numbers.tolist(), kinds.words
    ([0], [slice(1, 3, None)])
    """

    def __init__(self, columns: Columns) -> None:
        of = {kind: [b for b in columns.blocks if b.kind == kind] for kind in ("number", "boolean")}
        self.numbers = torch.tensor([block.start for block in of["number"]], dtype=torch.long)
        self.booleans = torch.tensor([block.start for block in of["boolean"]], dtype=torch.long)
        self.words = [block.values for block in columns.blocks if block.kind == "words"]


def at(x: Rows, places: Tensor) -> Batch:
    """Some values of each input, and which of them are known."""
    batch = Batch.of(x)
    places = places.to(batch.device)
    present = None if batch.present is None else batch.present[:, places]
    return Batch(batch.x[:, places], present=present)


class Output(nn.Module):
    """What a deterministic model makes of its network's output: x_hat, and how wrong it is.

    A squared error, where all values are numbers. Of a table with words, these and what is false or
    true are probabilities, and their error is the cross-entropy in nats.

    Args:
        spec: Shape and preparation of the input.
        activation: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for
            others. Of numbers only.

    >>> Output(InputSpec((2,))).errors(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]))
    {'squared_error': tensor([0.])}
    """

    def __init__(self, spec: InputSpec, activation: OutputActivation | None = None) -> None:
        super().__init__()
        self.activation = output_activation(activation, spec)
        mixed = spec.columns is not None and spec.columns.mixed
        self.kinds = Kinds(spec.columns) if spec.columns is not None and mixed else None

    @property
    def squashed(self) -> bool:
        """Whether x_hat is a sigmoid of the output."""
        return isinstance(self.activation, nn.Sigmoid)

    def forward(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """x_hat."""
        x_hat: Tensor = self.activation(y)
        return x_hat if self.kinds is None else probabilities(self.kinds, y, x_hat)

    def errors(
        self, y: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
    ) -> dict[str, PerExample]:
        """The error of each example, by kind."""
        if self.kinds is None:
            return {"squared_error": squared_error(self(y), x)}
        numbers = self.kinds.numbers.to(y.device)
        of_numbers = squared_error(self.activation(y[:, numbers]), at(x, numbers))
        found = {"squared_error": of_numbers} if len(numbers) else {}
        return found | word_errors(self.kinds, y, x)


class Mixed(Likelihood):
    """Of a table's row: numbers by one likelihood, false and true by coins, words by their share.

    ``-log p(x | z) = -log p(numbers | z) - sum_b log Bernoulli(x_b; sigmoid(y_b)) - sum_c log
    softmax(y_c)[x_c]``, b over columns of false and true, c over columns of words, y the decoder's
    output (heterogeneous likelihoods: Nazabal et al. 2020, arXiv 1807.03653, section 3.1). What is
    missing says nothing.

    Args:
        columns: Which values are of which kind.
        numbers: The likelihood of numbers.
    """

    name = "mixed"
    squashed = False

    def __init__(self, columns: Columns, numbers: Likelihood) -> None:
        super().__init__()
        self.kinds, self.numbers = Kinds(columns), numbers

    def mean(self, output: Rows) -> Rows:
        """Means of the numbers, and the probabilities of the words."""
        return probabilities(self.kinds, output, self.numbers.mean(output))

    def terms(self, output: Rows, x: Rows) -> dict[str, PerExample]:
        """Those of numbers, of false and true and of words, as far as there are any."""
        numbers = self.kinds.numbers.to(output.device)
        found = word_errors(self.kinds, output, x)
        if len(numbers):
            of_numbers = self.numbers.negative_log(output[:, numbers], at(x, numbers))
            found = {"numbers": of_numbers, **found}
        return found

    def negative_log(self, output: Rows, x: Rows) -> PerExample:
        """The sum of them."""
        return torch.stack(list(self.terms(output, x).values())).sum(0)

    def initialise(self, variance: float) -> None:
        """Numbers are standardised: their variance is 1."""
        self.numbers.initialise(1.0)


def probabilities(kinds: Kinds, y: Rows, numbers: Rows) -> Rows:
    """`numbers`, with probabilities of y in place of what is false or true and of words."""
    found = numbers.clone()
    booleans = kinds.booleans.to(y.device)
    found[:, booleans] = y[:, booleans].sigmoid().to(found)
    for words in kinds.words:
        found[:, words] = y[:, words].softmax(1).to(found)
    return found


def word_errors(kinds: Kinds, y: Rows, x: Rows) -> dict[str, PerExample]:
    """Cross-entropies in nats of what is false or true, and of words, as far as there are any."""
    found = {}
    if len(kinds.booleans):
        booleans = kinds.booleans.to(y.device)
        found["booleans"] = binary_cross_entropy(y[:, booleans], at(x, booleans))
    if kinds.words:
        of_each = [cross_entropy(y[:, words], Tensor(x)[:, words]) for words in kinds.words]
        found["words"] = torch.stack(of_each).sum(0)
    return found
