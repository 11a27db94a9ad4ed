"""Every figure of the protocol: what it is called, its unit, and which way is better.

`docs/protocol.md` explains each, with its source and what must not be concluded from it.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

Figures = dict[str, float | None]


@dataclass(frozen=True)
class MetricGroup:
    """What is measured together, and asked for by name.

    >>> GROUPS['samples'].heading, GROUPS['samples'].slow
    ('Samples', True)
    """

    heading: str
    """Of its table, in a study's results."""

    path: str | None = None
    """``module:function`` that measures it, of a `Subject`. None where it is measured while the
    split's examples go by (`evaluate.reconstruction`), or of a graph (`evaluate.links`)."""

    slow: bool = False
    """It takes minutes, and is measured only where it is asked for."""


GROUPS: dict[str, MetricGroup] = {
    "reconstruction": MetricGroup("Reconstruction"),
    "robustness": MetricGroup("Robustness"),
    "code": MetricGroup("The code", "aelab.evaluate.audits:measure_code"),
    "bound": MetricGroup("Likelihood: the bound"),
    "importance": MetricGroup(
        "Likelihood: importance-weighted", "aelab.evaluate.importance:measure", slow=True
    ),
    "samples": MetricGroup("Samples", "aelab.evaluate.samples:measure", slow=True),
    "priors": MetricGroup(
        "Samples from other priors", "aelab.evaluate.samples:measure_priors", slow=True
    ),
    "anomalies": MetricGroup("Anomalies", "aelab.evaluate.anomaly:measure"),
    "links": MetricGroup("Links"),
}
"""In the order of the tables."""

QUICK_GROUPS = tuple(name for name, group in GROUPS.items() if not group.slow and name != "links")
SLOW_GROUPS = tuple(name for name, group in GROUPS.items() if group.slow)

if TYPE_CHECKING:
    Group = str
    SlowGroup = str
else:  # their choices, on the command line and in files, are the table's
    Group, SlowGroup = Literal[tuple(GROUPS)], Literal[SLOW_GROUPS]


@dataclass(frozen=True)
class Metric:
    """How a figure is presented.

    >>> METRICS['mse'].title, METRICS['mse'].better
    ('MSE', 'less')
    """

    title: str
    short_unit: str
    """Below the title, in a table."""

    digits: int
    unit: str
    """In full."""

    group: str
    """One of GROUPS, or none."""
    better: Literal["less", "more", ""] = ""
    """Empty where neither is better by itself."""


LIKELIHOODS: dict[str, tuple[str, str]] = {
    "gaussian": ("Gauss", "Gaussian"),
    "bernoulli": ("Bern.", "Bernoulli"),
    "continuous_bernoulli": ("CB", "continuous Bernoulli"),
    "mixed": ("mixed", "mixed"),
}
"""What the likelihoods of each name are called, in a column's title and in full."""


def by_likelihood(title: str, what: str, better: Literal["less", ""]) -> dict[str, Metric]:
    """One column a likelihood: figures under different ones are not compared."""
    group = "importance" if what.startswith("importance") else "bound"
    return {
        f"{what}_{name}": Metric(
            f"{title} {short}", "nats", 1, f"nats, {full} likelihood", group, better
        )
        for name, (short, full) in LIKELIHOODS.items()
    }


METRICS: dict[str, Metric] = {
    "mse": Metric(
        "MSE", "pixel", 4, "squared error a pixel, pixels in [0, 1]", "reconstruction", "less"
    ),
    "pca_mse": Metric(
        "PCA's", "MSE", 4, "the MSE of PCA with the same code size", "reconstruction"
    ),
    "pca_share": Metric(
        "share", "of PCA's", 2, "the MSE as a share of PCA's", "reconstruction", "less"
    ),
    "words_wrong": Metric(
        "words",
        "wrong",
        3,
        "share of a row's words, false and true among them, that are restored wrongly",
        "reconstruction",
        "less",
    ),
    "pca_words_wrong": Metric(
        "PCA's", "words", 3, "the same of PCA with the same code size", "reconstruction"
    ),
    "psnr": Metric(
        "PSNR", "dB", 1, "decibels, of the mean squared error", "reconstruction", "more"
    ),
    "ssim": Metric("SSIM", "to 1", 3, "structural similarity, up to 1", "reconstruction", "more"),
    "noisy_mse_0.1": Metric(
        "noise 0.1", "MSE", 4, "MSE from inputs with noise of 0.1", "robustness", "less"
    ),
    "noisy_mse_0.2": Metric(
        "noise 0.2", "MSE", 4, "MSE from inputs with noise of 0.2", "robustness", "less"
    ),
    "noisy_mse_0.4": Metric(
        "noise 0.4", "MSE", 4, "MSE from inputs with noise of 0.4", "robustness", "less"
    ),
    "masked_mse": Metric(
        "masked",
        "MSE",
        4,
        "MSE from inputs with a quarter of the pixels at 0",
        "robustness",
        "less",
    ),
    "active_fraction": Metric(
        "non-zero", "share", 2, "share of a code's latent numbers that are not 0", "code"
    ),
    "active_units": Metric(
        "active", "units", 1, "latent numbers whose posterior mean has variance above 0.01", "code"
    ),
    "probe": Metric(
        "probe", "accuracy", 3, "test accuracy of logistic regression on the codes", "code", "more"
    ),
    "pca_probe": Metric("PCA's", "probe", 3, "the same on as many principal components", "code"),
    "pixel_probe": Metric("pixels'", "probe", 3, "the same on the pixels", "code"),
    "knn": Metric(
        "5-NN", "accuracy", 3, "test accuracy of the 5 nearest neighbours' vote", "code", "more"
    ),
    "pca_knn": Metric("PCA's", "5-NN", 3, "the same on as many principal components", "code"),
    "pixel_knn": Metric("pixels'", "5-NN", 3, "the same on the pixels", "code"),
    **by_likelihood("rec.", "reconstruction", ""),
    "kl": Metric("KL", "nats", 1, "nats", "bound"),
    **by_likelihood("-ELBO", "negative_elbo", "less"),
    **by_likelihood("-log p", "importance_bound", "less"),
    "frechet": Metric(
        "samples",
        "Fréchet",
        2,
        "squared Fréchet distance of samples, from the prior chosen on validation images",
        "samples",
        "less",
    ),
    "frechet_own": Metric(
        "own prior", "Fréchet", 2, "the same from the prior it was trained with", "samples", "less"
    ),
    "frechet_fitted": Metric(
        "fitted", "Fréchet", 2, "the same from the mixture fitted to its codes", "samples", "less"
    ),
    "frechet_reconstructions": Metric(
        "restored", "Fréchet", 2, "the same of its reconstructions", "samples", "less"
    ),
    "frechet_flow": Metric(
        "flow", "Fréchet", 2, "the same from the flow fitted to its codes", "priors", "less"
    ),
    "frechet_two_stage": Metric(
        "two-stage",
        "Fréchet",
        2,
        "the same from a second variational autoencoder fitted to its codes",
        "priors",
        "less",
    ),
    "frechet_floor": Metric(
        "Fréchet", "floor", 2, "the same, training images against test images", "samples"
    ),
    "precision": Metric(
        "precision", "share", 2, "samples among the test images", "samples", "more"
    ),
    "recall": Metric("recall", "share", 2, "test images among the samples", "samples", "more"),
    "nearest": Metric(
        "nearest", "distance", 2, "median distance to the nearest training image", "samples"
    ),
    "nearest_test": Metric("nearest", "of test", 2, "the same of the test images", "samples"),
    "anomaly_auroc": Metric(
        "anomaly",
        "AUROC",
        4,
        "area under the ROC curve, classes left out of training against those trained on",
        "anomalies",
        "more",
    ),
    "neighbours_auroc": Metric(
        "5-NN", "AUROC", 4, "the same of the mean distance to 5 neighbours", "anomalies"
    ),
    "lof_auroc": Metric("LOF", "AUROC", 4, "the same of the local outlier factor", "anomalies"),
    "forest_auroc": Metric("forest", "AUROC", 4, "the same of an isolation forest", "anomalies"),
    "ocsvm_auroc": Metric("OC-SVM", "AUROC", 4, "the same of a one-class SVM", "anomalies"),
    "pca_auroc": Metric(
        "PCA's", "AUROC", 4, "the same of PCA's error with the same code size", "anomalies"
    ),
    "auc": Metric("AUC", "links", 4, "area under the ROC curve, 0 to 1", "links", "more"),
    "ap": Metric("AP", "links", 4, "average precision, 0 to 1", "links", "more"),
    "original_figure": Metric(
        "original's",
        "ours",
        4,
        "squared error a pixel in the inputs' scale; of a batch, with KL",
        "reconstruction",
    ),
}
"""Every metric, in the order of the tables."""

FACTS = (
    "split",
    "inputs",
    "mean_mse",
    "mean_words_wrong",
    "groups",
    "code_size",
    "side_channel_size",
    "side_channel_bits",
    "code_bits",
    "parameters",
    "multiply_adds",
    "importance_samples",
    "importance_images",
    "importance_error",
    "feature_accuracy",
    "feature_hash",
    "by_class",
    "worst",
    "audits",
    "nodes",
    "edges",
    "training_edges",
    "scored_edges",
    "scored_negatives",
    "not_finite",
)
"""What evaluation says that is no column of figures."""


UNITS = {"column": "in units of its variance", "value": "values in [0, 1]"}
"""Of the squared error, by what is counted in place of pixels."""


def worded(text: str, counted: str | None) -> str:
    """Words on pixels, for inputs of which something else is `counted`.

    >>> worded("squared error a pixel, pixels in [0, 1]", "column")
    'squared error a column, in units of its variance'
    """
    if counted is None:
        return text
    text = text.replace("pixels in [0, 1]", UNITS[counted]).replace("pixel", counted)
    return text.replace("image", "row" if counted == "column" else "input")


def metric_named(name: str, counted: str | None = None) -> Metric:
    """How a figure is presented, also one that is no metric of ours; `counted` as of `worded`."""
    metric = METRICS.get(name, Metric(name, "", 4, "", ""))
    title, short, unit = (
        worded(text, counted) for text in (metric.title, metric.short_unit, metric.unit)
    )
    return replace(metric, title=title, short_unit=short, unit=unit)
