"""How a model of images is scored: reconstruction, robustness, the bound's two terms, its cost."""

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

from aelab.data.batch import Batch
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate.columns import Figures
from aelab.evaluate.kept import Tensors, kept
from aelab.evaluate.metrics import mean_of_known, psnr, restored_errors, squared_errors
from aelab.machine import seeded, set_global, threads
from aelab.models.contract import NUMBER_BITS, Autoencoder, Code, InputBatch
from aelab.models.layers import NoiseKind, corrupt
from aelab.models.losses import PerExample, squared_error
from aelab.models.pca import EXACT_SIZE, principal_components
from aelab.models.variational import LatentVariableModel

CHUNK = 100
"""Examples evaluated at a time: what fits a processor's cache is done in half the time. The noise
of an example depends on it."""

SEED = 0
"""Of the evaluation's own noise: every model is given the same."""

NOISE = 0.2
"""Standard deviation of the noise that pictures show, as a share of the pixels' range."""

CORRUPTIONS: dict[str, tuple[NoiseKind, float]] = {
    "noisy_mse_0.1": ("gaussian", 0.1),
    "noisy_mse_0.2": ("gaussian", 0.2),
    "noisy_mse_0.4": ("gaussian", 0.4),
    "masked_mse": ("masking", 0.25),
}
"""What inputs are corrupted by, metric by metric."""

WORST = 16
"""Images of a split that are named as the worst reconstructed."""

SSIM_WINDOW = 11
"""Height and width of the window of structural similarity; smaller images have none."""

Codes = Float[Tensor, "images code"]


def evaluate_inputs(
    model: Autoencoder, data: InputDataset, split: str, groups: Collection[str]
) -> tuple[dict[str, Any], Codes]:
    """The figures of the groups reconstruction, robustness and bound, and facts of code and cost.

    All are means over the split of a figure of each example; `docs/protocol.md` explains them.
    Those that do not apply are None. Also the latent numbers of the split's codes.
    """
    images = data.split(split)
    figures, codes = figures_of_each(model, images, groups)
    result: dict[str, Any] = {
        name: mean_of_known(values, data.spec.columns).item() for name, values in figures.items()
    }
    if "reconstruction" in groups:
        # Of a code that says more by which numbers are 0, or by a class, as many as its bits fill.
        numbers = model.code_size
        if model.spec.classes or not model.side_channel[0]:
            numbers = min(numbers, math.ceil(model.code_bits / NUMBER_BITS))
        result |= relative_to_pca(result.get("mse"), data, split, numbers)
        # Of no error at all it is infinite, and without a largest value there is none.
        measurable = model.spec.bounded and result["mse"] > 0
        result["psnr"] = psnr(result["mse"]) if measurable else None
        of_each = figures.get("mse", figures.get("words_wrong"))
        assert of_each is not None
        if data.spec.columns is not None and data.spec.columns.mask:
            of_each = of_each.nan_to_num(nan=0.0)  # a row without a known value has no error
        result["by_class"] = mean_by_class(of_each, images, data.classes)
        result["worst"] = worst(of_each)
    if "bound" in groups and isinstance(model, LatentVariableModel):
        name = model.likelihood.name
        result[f"negative_elbo_{name}"] = result[f"reconstruction_{name}"] + result["kl"]
    facts = {
        "code_size": model.code_size,
        "side_channel_size": model.side_channel[0],
        "side_channel_bits": model.side_channel[1],
        "code_bits": model.code_bits,
        "multiply_adds": multiply_adds(model, images),
    }
    return {**result, **facts}, codes


def figures_of_each(
    model: Autoencoder, images: InputSplit, groups: Collection[str]
) -> tuple[dict[str, Float[Tensor, " images"]], Codes]:
    """Each figure of each example of a split; and the latent numbers of its codes."""
    latent = model.code_size - model.side_channel[0]
    found: dict[str, list[PerExample]] = {}
    codes = []
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(images)):
            z = model.encode(x)
            codes.append(z[:, :latent].cpu())
            for name, values in figures_of_chunk(model, x, z, number, groups).items():
                found.setdefault(name, []).append(values.cpu().double())
    return {name: torch.cat(values) for name, values in found.items()}, torch.cat(codes)


def figures_of_chunk(
    model: Autoencoder, x: InputBatch, z: Code, number: int, groups: Collection[str]
) -> dict[str, PerExample]:
    """The figures of some inputs x, whose codes are z."""
    peak = model.spec.peak
    figures: dict[str, PerExample] = {}
    if "reconstruction" in groups:
        figures |= reconstruction_figures(model.decode(z), x, model.spec)
    for name, (kind, level) in (
        CORRUPTIONS.items() if "robustness" in groups and model.spec.bounded else ()
    ):
        set_global(SEED, name, number)
        figures[name] = squared_errors(model(corrupt(x, kind, level, peak)), x, peak)
    if "bound" in groups and isinstance(model, LatentVariableModel):
        set_global(SEED, "bound", number)
        figures[f"reconstruction_{model.likelihood.name}"], figures["kl"] = model.bound(x)
    return figures


def reconstruction_figures(
    x_hat: InputBatch, x: InputBatch, spec: InputSpec
) -> dict[str, PerExample]:
    """The figures of reconstructions of x."""
    figures = restored_errors(x_hat, x, spec)
    if x.dim() == 4 and min(x.shape[2:]) >= SSIM_WINDOW:
        figures["ssim"] = ssim(x_hat, x, spec.peak)
    return figures


def ssim(x_hat: InputBatch, x: InputBatch, peak: float) -> PerExample:
    """Structural similarity, Gaussian window of σ = 1.5 (Wang et al. 2004, section III.B).

    Images are mirrored at their edges, so that every place counts.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # takes seconds

    similarity = structural_similarity_index_measure(
        x_hat, x, kernel_size=SSIM_WINDOW, data_range=peak, reduction="none"
    )
    assert isinstance(similarity, Tensor)
    return similarity


def relative_to_pca(mse: float | None, data: InputDataset, split: str, code_size: int) -> Figures:
    """What PCA of that code size reaches, the share of it that `mse` is, and the mean's errors."""
    reference, mean = pca_errors(data, split, code_size), pca_errors(data, split, 0)
    pca = reference.get("mse")
    found = {
        "pca_mse": pca,
        "pca_share": mse / pca if mse is not None and pca else None,
        "mean_mse": mean.get("mse"),
    }
    if "words_wrong" in mean:
        found["pca_words_wrong"] = reference.get("words_wrong")
        found["mean_words_wrong"] = mean["words_wrong"]
    return found


def mean_by_class(
    values: Float[Tensor, " images"], images: InputSplit, classes: tuple[str, ...]
) -> dict[str, float]:
    """Mean over the examples of each class that the split has."""
    members = {name: values[images.classes == number] for number, name in enumerate(classes)}
    columns = images.spec.columns
    return {n: mean_of_known(of, columns).item() for n, of in members.items() if len(of)}


def worst(errors: Float[Tensor, " images"]) -> list[dict[str, float]]:
    """The images with the largest errors, by their place in the split."""
    found = errors.topk(min(WORST, len(errors)))
    return [
        {"index": index, "mse": error}
        for index, error in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def multiply_adds(model: Autoencoder, images: InputSplit) -> int:
    """Multiplications with an addition in ``decode(encode(x))`` of one image.

    Of matrix products, convolutions and gathered sums; what is done element by element is not
    counted.
    """
    x = Batch.of(next(chunks(images))).at(slice(1))
    with torch.no_grad():
        return operations(lambda: model(x)) // 2


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the products, convolutions and gathered sums in `work`."""
    counter = OperationCounter()
    with counter:
        work()
    return counter.total


class OperationCounter(TorchDispatchMode):
    """Counts operations by PyTorch's formulas.

    PyTorch's own counter imports its compiler, which takes a second of every process.

    >>> with OperationCounter() as counter:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 4)
    >>> counter.total
    48
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        bags = (torch.ops.aten._embedding_bag, torch.ops.aten._embedding_bag_forward_only)
        self.formulas = {**flop_registry, **dict.fromkeys(bags, shape_wrapper(bag_operations))}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """That the compiler is not told to pass over what counts, for it would be imported."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Count what there is a formula for; what is made of other operations is taken apart."""
        kwargs = kwargs or {}
        formula = self.formulas.get(func.overloadpacket)
        if formula is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if formula is not None:
            self.total += int(formula(*args, **kwargs, out_val=result))
        return result


def bag_operations(weight: Any, indices: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401
    """Operations of a weighted sum of rows: message passing is made of these."""
    return int(2 * indices[0] * weight[1])


def mean_over(images: InputSplit, figure: Callable[[Tensor], PerExample]) -> float:
    """Mean over a split of a figure of each example; its noise is the same for every model."""
    return means_over(images, lambda x: {"": figure(x)})[""]


def means_over(
    images: InputSplit, figures: Callable[[Tensor], dict[str, PerExample]]
) -> dict[str, float]:
    """The same of several figures, each over the examples that have it (NaN says they have not)."""
    found: dict[str, list[PerExample]] = {}
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(images)):
            set_global(SEED, "evaluate", number)
            for name, values in figures(x).items():
                found.setdefault(name, []).append(values.cpu().double())
    return {
        name: mean_of_known(torch.cat(values), images.spec.columns).item()
        for name, values in found.items()
    }


def chunks(images: InputSplit) -> Iterator[Tensor]:
    """The inputs of a split in order; binarised ones are drawn the same for every model."""
    for number, i in enumerate(torch.arange(len(images)).split(CHUNK)):
        with seeded(SEED, "inputs", number):
            x = images.batch(i)
        yield x


def restored(
    model: Autoencoder, images: InputSplit, i: Int64[Tensor, " shown"], number: int, *, noisy: bool
) -> list[InputBatch]:
    """Inputs `i` of a split and their reconstructions; between them, if `noisy`, what was restored.

    Its noise is the same for every model, by the picture's `number`.
    """
    with seeded(SEED, "picture", number), torch.inference_mode():
        x: Tensor = images.batch(i)
        if not noisy:
            return [x, model(x)]
        given = corrupt(x, "gaussian", NOISE, model.spec.peak)
        return [x, given, model(given)]


def reconstruction_errors(model: Autoencoder, images: InputSplit) -> Figures:
    """Errors of ``decode(encode(x))``: see `metrics.restored_errors`."""
    return {**means_over(images, lambda x: restored_errors(model(x), x, model.spec))}


def validation_loss(model: Autoencoder, images: InputSplit) -> float:
    """The model's own objective on a split: what the best epoch is chosen by."""
    total = 0.0
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(images)):
            set_global(SEED, "evaluate", number)
            total += sum(term.item() for term in model.loss(x).values()) * len(x)
    return total / len(images)


def pca_errors(data: InputDataset, split: str, code_size: int) -> dict[str, float]:
    """Errors on `split` of PCA fitted on the training split; none for an overcomplete code.

    Of a table with words, PCA is that of its one-hot values.
    """
    if code_size >= data.spec.size:
        return {}
    mean, basis = fitted_components(data, code_size)

    def errors(x: Tensor) -> dict[str, PerExample]:
        flat = x.flatten(1)
        x_hat = (flat - mean) @ basis.T @ basis + mean
        return restored_errors(x_hat.reshape(x.shape), x, data.spec)

    with threads(1):
        return means_over(data.split(split), errors)


def pca_mse(data: InputDataset, split: str, code_size: int) -> float | None:
    """The squared error alone."""
    return pca_errors(data, split, code_size).get("mse")


def fitted_components(
    data: InputDataset, n: int
) -> tuple[Float[Tensor, " size"], Float[Tensor, "n size"]]:
    """Mean and `n` principal components of the training split."""
    most = min(data.spec.size, len(data.split("train")))  # as many as training inputs can span
    found = all_components(data, most if data.spec.size <= EXACT_SIZE else min(n, most))
    return found["mean"], found["components"][:n]


@kept
def all_components(data: InputDataset, n: int) -> Tensors:
    """Mean and `n` components."""
    with threads(1), seeded(SEED, "components"):  # whoever asks first, the same bits
        mean, components = principal_components(data.split("train"), n)
    return {"mean": mean.cpu(), "components": components.cpu()}


def original_figure(model: Autoencoder, images: InputSplit, batch_size: int) -> float:
    """What the original study reported for a model.

    For autoencoders, the squared error a pixel, in the scale of its inputs. For variational
    ones, the squared error summed over a whole batch plus the KL divergence averaged over it.
    """
    if isinstance(model, LatentVariableModel):

        def batch_loss(x: Tensor) -> Tensor:
            posterior = model.posterior(x)
            z = posterior.sample()
            return batch_size * squared_error(model.decode(z), x) + model.divergence(posterior, z)

        return mean_over(images, batch_loss)
    return mean_over(images, lambda x: squared_errors(model(x), x))
