"""What a network computes, as a list of steps that a page can take by itself.

A function of one input is traced by `torch.fx` to PyTorch's own operations (ATen), whatever
modules it is made of. What follows from weights alone is computed here; the rest become steps,
each of which engine.js has a few lines for.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from aelab.files import InputError
from aelab.report.packed import packed

Constants = dict[fx.Node, Tensor]


@dataclass(frozen=True)
class Step:
    """One operation: of which nodes, and with what numbers.

    >>> Step("permute", (), ([1, 0],)).name
    'permute'
    """

    name: str
    inputs: tuple[fx.Node, ...]
    numbers: tuple[Any, ...] = ()


class Evaluation(fx.Interpreter):
    """Runs a traced function with some of its nodes given.

    >>> traced = make_fx(lambda x: 2 * x + 1)(torch.zeros(1))
    >>> Evaluation(traced, {}).run(torch.ones(1))
    tensor([3.])
    """

    def __init__(self, traced: fx.GraphModule, given: Constants) -> None:
        super().__init__(traced)
        self.given = given
        self.seen: dict[fx.Node, Any] = {}
        """What the nodes gave, but for those that are changed in place later."""

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - what the operation gives
        """What is given, or else what it computes."""
        self.seen[n] = found = self.given[n] if n in self.given else super().run_node(n)
        return found


@dataclass(frozen=True, eq=False)
class Program:
    """A traced function of one input, with its constants.

    >>> program = traced(lambda x: torch.relu(2 * x), torch.zeros(1, 3))
    >>> program.unknown, [step.name for step in program.steps.values()]
    ([], ['mul', 'relu'])
    """

    module: fx.GraphModule
    constants: Constants
    """What follows from weights alone, as far as a step takes it."""

    steps: dict[fx.Node, Step]
    output: fx.Node
    shapes: dict[fx.Node, list[int]]
    unknown: list[str]
    """Operations that a page has no step for."""

    def evaluated(self, x: Tensor, given: Constants | None = None) -> Tensor:
        """What it gives for x, with other constants where there are any."""
        y: Tensor = Evaluation(self.module, {**self.constants, **(given or {})}).run(x)
        return y

    def as_json(self, steps_of: dict[fx.Node, float], given: Constants) -> dict[str, Any]:
        """As engine.js runs it; constants with a step are whole multiples of it."""
        constants = {**self.constants, **given}
        number = {node: i for i, node in enumerate([self.x, *constants, *self.steps])}
        return {
            "constants": [
                packed(once(values), steps_of.get(node)) for node, values in constants.items()
            ],
            "steps": [
                [step.name, self.shapes[node], [number[n] for n in step.inputs], *step.numbers]
                for node, step in self.steps.items()
            ],
            "output": number[self.output],
        }

    @property
    def x(self) -> fx.Node:
        """Its input."""
        first: fx.Node = next(iter(self.module.graph.nodes))
        return first


def once(values: Tensor) -> Tensor:
    """One matrix of many that are the same."""
    return values[:1] if values.dim() == 3 and values.stride(0) == 0 else values


def traced(function: Callable[[Tensor], Tensor], x: Tensor) -> Program:
    """Trace a function at an input.

    Raises:
        InputError: it does what cannot be traced.
    """
    with torch.no_grad():
        try:
            module = make_fx(lambda x: function(x))(x)
        except Exception as error:  # whatever a model of one's own does
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(f"what it computes cannot be traced ({told})") from error
        evaluation = Evaluation(module, {})
        evaluation.run(x)
    nodes = list(module.graph.nodes)
    (output,) = (n.args[0] for n in nodes if n.op == "output")
    if not isinstance(output, fx.Node):
        raise InputError("what it computes is no single tensor")
    folded = {n for n in nodes if n.op == "get_attr"}
    for n in nodes:
        if n.op == "call_function" and n.all_input_nodes and set(n.all_input_nodes) <= folded:
            folded.add(n)
    steps: dict[fx.Node, Step] = {}
    constants: Constants = {}
    unknown: list[str] = []
    for node in needed(output, folded, steps, unknown):
        constants[node] = evaluation.seen[node].detach()
    shapes = {n: list(evaluation.seen[n].shape) for n in steps}
    order = {n: i for i, n in enumerate(nodes)}
    steps = {n: steps[n] for n in sorted(steps, key=order.__getitem__)}
    constants = {n: constants[n] for n in sorted(constants, key=order.__getitem__)}
    return Program(module, constants, steps, output, shapes, sorted(set(unknown)))


def needed(
    output: fx.Node, folded: set[fx.Node], steps: dict[fx.Node, Step], unknown: list[str]
) -> set[fx.Node]:
    """The constants that the output needs; what it computes of them is added to `steps`."""
    constants: set[fx.Node] = set()
    waiting = [output]
    while waiting:
        node = waiting.pop()
        if node in steps or node.op == "placeholder":
            continue
        if node in folded:
            constants.add(node)
            continue
        step = step_of(node)
        if step is None:
            unknown.append(name_of(node))
            continue
        steps[node] = step
        waiting += step.inputs
    return constants


def name_of(node: fx.Node) -> str:
    """What PyTorch calls an operation."""
    return str(node.target).removeprefix("aten.").partition(".")[0]


def step_of(node: fx.Node) -> Step | None:
    """The step that a node is, if there is one."""
    name = name_of(node)
    of: tuple[Any, ...] = node.args
    if node.target is operator.getitem:
        return step_of_part(of[0], of[1])
    if name.endswith("_") and len(of[0].users) == 1:  # nothing else sees that it was in place
        name = name.removesuffix("_")
    if name in VIEWS:
        return Step("reshape", (of[0],))
    if name in POINTWISE:
        return Step(name, (of[0],), tuple(of[1:]))
    find = STEPS.get(name)
    return None if find is None or node.kwargs.get("alpha", 1) != 1 else find(*of)


VIEWS = {
    "view", "_unsafe_view", "unsqueeze", "squeeze", "clone", "detach", "alias", "_to_copy",
    "_reshape_alias",
}  # fmt: skip
POINTWISE = {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "exp"}


def step_of_part(whole: Any, part: int) -> Step | None:  # noqa: ANN401 - an argument of a node
    """One of several things that a node gives."""
    name, of = name_of(whole), whole.args
    if name in ("split", "split_with_sizes"):
        size = of[1]
        start = part * size if isinstance(size, int) else sum(size[:part])
        stop = start + (size if isinstance(size, int) else size[part])
        return Step("slice", (of[0],), (of[2] if len(of) > 2 else 0, start, stop))
    if name == "max_pool2d_with_indices" and part == 0 and len(of) <= 3:
        return Step("max_pool", (of[0],), (of[1], of[2] if len(of) > 2 else of[1]))
    if name == "topk" and len(of) == 3:
        return Step("topk", (of[0],), (of[1], part))
    if name == "_embedding_bag_forward_only" and part == 0 and len(of) >= 7:
        return Step("bag", (of[0], of[1], of[2], of[6]))
    return None


def permuted(x: fx.Node, *dims: Any) -> Step:  # noqa: ANN401 - what a node was called with
    """Dimensions in another order."""
    return Step("permute", (x,), tuple(dims))


def sliced(x: fx.Node, dim: int = 0, start: int = 0, end: int = 0, step: int = 1) -> Step | None:
    """From one index to another."""
    return Step("slice", (x,), (dim, start or 0, end)) if step == 1 else None


def convolution(
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Step | None:
    """One over two dimensions."""
    if len(stride) != 2 or groups != 1 or set(dilation) != {1}:
        return None
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return Step("transposed" if transposed else "convolution", inputs, (stride, padding))


def binary(name: str) -> Callable[..., Step]:
    """An operation of two, of which either may be a number."""

    def step(a: Any, b: Any) -> Step:  # noqa: ANN401
        nodes = tuple(x for x in (a, b) if isinstance(x, fx.Node))
        return Step(name, nodes, tuple(x for x in (a, b) if not isinstance(x, fx.Node)))

    return step


STEPS: dict[str, Callable[..., Step | None]] = {
    "t": lambda x: permuted(x, [1, 0]),
    "transpose": lambda x, a, b: Step("transpose", (x,), (a, b)),
    "permute": permuted,
    "expand": lambda x, size: Step("add", (x,), (0,)),
    "addmm": lambda b, x, w: Step("linear", (x, w, b)),
    "mm": lambda x, w: Step("linear", (x, w)),
    "bmm": lambda a, b: Step("bmm", (a, b)),
    "convolution": convolution,
    "glu": lambda x, dim=-1: Step("glu", (x,)) if dim == -1 else None,
    "add": binary("add"),
    "mul": binary("mul"),
    "sub": lambda a, b: Step("sub", (a, b)) if isinstance(b, fx.Node) else None,
    "slice": sliced,
    "cat": lambda xs, dim=0: Step("cat", tuple(xs), (dim,)),
    "upsample_nearest2d": lambda x, *_: Step("upsample", (x,)),
    "col2im": lambda x, size, kernel, dilation, padding, stride: (
        Step("col2im", (x,), (kernel, padding, stride)) if set(dilation) == {1} else None
    ),
    "zeros_like": lambda x: Step("zeros", (x,)),
    "scatter": lambda x, dim, index, values: (
        Step("scatter", (x, index, values)) if dim == 1 else None
    ),
}
"""By ATen's name: the step of a node with these arguments."""

MATRICES = {"addmm": 1, "mm": 0}
"""Operations whose last argument is a matrix, and where the rows stand that it is multiplied by."""


def products(program: Program) -> dict[fx.Node, fx.Node]:
    """The constant matrices of a program, and the node that each is multiplied by."""
    return {
        step.inputs[1]: step.inputs[0]
        for step in program.steps.values()
        if step.name == "linear" and step.inputs[1] in program.constants
    }


def size_of(program: Program) -> int:
    """Numbers in all its constants."""
    return sum(math.prod(values.shape) for values in program.constants.values())
