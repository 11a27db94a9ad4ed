"""How a link model is scored: held-out edges against as many pairs that no edge joins."""

import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.metrics import precision_recall_curve as sklearn_precision_recall_curve
from torch import Tensor

from aelab.data.graphs import GraphDataset
from aelab.files import InputError
from aelab.models.contract import LinkModel

Positives = Float[Tensor, " positives"]
Negatives = Float[Tensor, " negatives"]
Curve = list[tuple[float, float]]


def auc(positive_scores: Positives, negative_scores: Negatives) -> float:
    """Area under the ROC curve: how often a link scores above a non-link; ties count one half.

    >>> auc(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]))
    0.875
    """
    return _area(roc_auc_score, positive_scores, negative_scores)


def average_precision(positive_scores: Positives, negative_scores: Negatives) -> float:
    """Average precision: the mean, over links, of the precision down to their score.

    >>> round(average_precision(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0])), 4)
    0.8333
    """
    return _area(average_precision_score, positive_scores, negative_scores)


def roc(positive_scores: Positives, negative_scores: Negatives) -> Curve:
    """(false positive rate, true positive rate) at each threshold, from (0, 0) to (1, 1)."""
    if not _finite(positive_scores, negative_scores):
        return [(math.nan, math.nan)]
    false, true, _ = roc_curve(*_labelled(positive_scores, negative_scores))
    return list(zip(false.tolist(), true.tolist(), strict=True))


def precision_recall(positive_scores: Positives, negative_scores: Negatives) -> Curve:
    """(recall, precision) at each threshold, recall from 1 down to 0."""
    if not _finite(positive_scores, negative_scores):
        return [(math.nan, math.nan)]
    labelled = _labelled(positive_scores, negative_scores)
    precision, recall, _ = sklearn_precision_recall_curve(*labelled)
    return list(zip(recall.tolist(), precision.tolist(), strict=True))


def split_scores(model: LinkModel, data: GraphDataset, split: str) -> tuple[Positives, Negatives]:
    """Logits of a split's edges and of its negatives, from messages along training edges only.

    Raises:
        InputError: it is the training split, which has no fixed negatives.
    """
    part = data.split(split).to(next(model.parameters()).device)
    if not part.negatives.shape[1]:
        raise InputError(f"{data.name}: the split {split!r} has no negatives to score against")
    with torch.no_grad():
        z = model.encode(part.graph)
        return model.decode(z, part.positives).cpu(), model.decode(z, part.negatives).cpu()


def evaluate_links(model: LinkModel, data: GraphDataset, split: str = "test") -> dict[str, float]:
    """``auc`` and ``ap`` on a split, from 0 to 1, with the sizes they rest on."""
    links, non_links = split_scores(model, data, split)
    return {
        "auc": auc(links, non_links),
        "ap": average_precision(links, non_links),
        "nodes": data.spec.nodes,
        "edges": data.whole.positives.shape[1],
        "training_edges": data.split("train").positives.shape[1],
        "scored_edges": len(links),
        "scored_negatives": len(non_links),
        "code_size": model.code_size,
    }


def validation_auc(model: LinkModel, data: GraphDataset) -> float:
    """What an epoch is chosen by: the higher, the better."""
    return auc(*split_scores(model, data, "validation"))


def curves(model: LinkModel, data: GraphDataset, split: str = "test") -> Mapping[str, Curve]:
    """The two curves of a split, for figures: ``roc`` and ``precision_recall``."""
    scores = split_scores(model, data, split)
    return {"roc": roc(*scores), "precision_recall": precision_recall(*scores)}


def _area(
    score: Callable[..., float], positive_scores: Positives, negative_scores: Negatives
) -> float:
    """An area of scikit-learn's, which takes only finite scores; of others it is no number."""
    if not _finite(positive_scores, negative_scores):
        return math.nan
    return float(score(*_labelled(positive_scores, negative_scores)))


def _finite(positive_scores: Positives, negative_scores: Negatives) -> bool:
    return bool(positive_scores.isfinite().all() and negative_scores.isfinite().all())


def _labelled(
    positive_scores: Positives, negative_scores: Negatives
) -> tuple[ArrayLike, ArrayLike]:
    labels = np.repeat([1, 0], [len(positive_scores), len(negative_scores)])
    scores = torch.cat([positive_scores, negative_scores]).numpy()
    return cast("ArrayLike", labels), cast("ArrayLike", scores)
