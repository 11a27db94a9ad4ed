"""Detectors that are no autoencoders: what an anomaly score has to beat. All are scikit-learn's."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from aelab.files import InputError
from aelab.machine import permutation_at

NEIGHBOURS, LOCAL_NEIGHBOURS = 5, 20
"""Of the mean distance; of the local outlier factor, scikit-learn's own number."""

FEWEST_ROWS = 2
"""A detector can be fitted to: one row has no neighbour and no spread."""

MOST_VALUES = 2**26
"""Of the rows that a detector is fitted to: half a gigabyte."""

CHUNK, CHUNK_VALUES, LEAST_CHUNK = 1024, 2**22, 16
"""Rows scored at a time, and values in them, at most; but no fewer rows than the last."""

Rows = Float64[np.ndarray, "rows columns"]
Scores = Float64[np.ndarray, " rows"]


class Rival(ABC):
    """A detector of anomalies among rows of numbers, fitted to rows that are mostly normal.

    A score is higher, the less a row is like the training rows, and follows from that row alone,
    whatever is scored beside it. Of more than `most_rows` training rows, so many are drawn by the
    seed, and fewer of very long ones: the cost is bounded. Rows are taken as they are: standardise
    unlike columns.

    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> near, far = Neighbours().fit(rows).scores(np.array([[0.0, 0, 0], [9.0, 0, 0]]))
    >>> bool(near < far)
    True
    """

    most_rows: ClassVar[int]
    """Training rows that it is fitted to, at most."""

    def __init__(self, seed: int = 0, code_size: int = 32) -> None:
        """`code_size` is that of the model beside which it stands; only PCA asks."""
        self.seed = seed
        self.code_size = code_size

    def fit(self, rows: NDArray[np.floating]) -> Self:
        """Fit it to ``[n, columns]`` training rows; it itself.

        Raises:
            InputError: there are fewer than FEWEST_ROWS.
        """
        if len(rows) < FEWEST_ROWS:
            raise InputError(
                f"detectors of anomalies take {FEWEST_ROWS} training rows or more, not {len(rows)}"
            )
        most = min(self.most_rows, max(FEWEST_ROWS, MOST_VALUES // rows.shape[1]))
        drawn = permutation_at(len(rows), self.seed, "rivals")[:most].numpy()
        self.learn(rows[np.sort(drawn)].astype(np.float64))
        return self

    def scores(self, rows: NDArray[np.floating]) -> Scores:
        """The score of each row."""
        # A product of matrices sums in an order that depends on their shapes, and its last digits
        # decide between neighbours at equal distances: so every chunk is filled up to one size.
        parts = [self.rate(part) for part in in_chunks(rows)]
        return np.concatenate([np.empty(0), *parts])[: len(rows)]

    @abstractmethod
    def learn(self, rows: Rows) -> None:
        """Fit it to rows that were drawn."""

    @abstractmethod
    def rate(self, rows: Rows) -> Scores:
        """Score a chunk of rows."""


def in_chunks(rows: NDArray[np.floating]) -> Iterator[Rows]:
    """Rows in double precision, some at a time; the last ones with zeros below them."""
    columns = rows.shape[1]
    size = CHUNK
    while size > LEAST_CHUNK and size * columns > CHUNK_VALUES:
        size //= 2  # a power of two is a whole number of a processor's vectors
    for start in range(0, len(rows), size):
        part = rows[start : start + size].astype(np.float64)
        yield np.concatenate([part, np.zeros((size - len(part), columns))])


class Neighbours(Rival):
    """The mean distance to the 5 nearest training rows, or to all where there are fewer.

    >>> Neighbours().fit(np.array([[0.0], [2.0]])).scores(np.array([[1.0], [5.0]]))
    array([1., 4.])
    """

    most_rows = 20_000

    def learn(self, rows: Rows) -> None:
        """Keep the rows."""
        self.nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows))).fit(rows)

    def rate(self, rows: Rows) -> Scores:
        """The mean of the distances."""
        mean: Scores = self.nearest.kneighbors(rows)[0].mean(1)
        return mean


class LocalOutliers(Rival):
    """The local outlier factor (Breunig et al. 2000): how sparse it is beside the neighbours.

    The density at the 20 nearest training rows over that at the row, which is about 1 in the
    midst of them. Novelties are scored, each against the training rows alone. Quadratic in these.

    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> LocalOutliers().fit(rows).scores(np.array([[0.0, 0, 0], [9.0, 0, 0]])).round()
    array([1., 5.])
    """

    most_rows = 5_000

    def learn(self, rows: Rows) -> None:
        """The density around each of the rows."""
        neighbours = min(LOCAL_NEIGHBOURS, len(rows) - 1)
        self.densities = LocalOutlierFactor(n_neighbors=neighbours, novelty=True).fit(rows)

    def rate(self, rows: Rows) -> Scores:
        """The factor."""
        factor: Scores = -self.densities.score_samples(rows)
        return factor


class Forest(Rival):
    """An isolation forest (Liu et al. 2008) of 100 trees: how few random cuts set a row apart.

    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> Forest(seed=1).fit(rows).scores(np.full((1, 3), 9.0)) > 0.6
    array([ True])
    """

    most_rows = 20_000

    def learn(self, rows: Rows) -> None:
        """Grow the trees, each on 256 rows at most."""
        self.trees = IsolationForest(random_state=self.seed).fit(rows)

    def rate(self, rows: Rows) -> Scores:
        """2 to the power of minus the mean depth, as a share of that of random rows."""
        score: Scores = -self.trees.score_samples(rows)
        return score


class OneClass(Rival):
    """A one-class support vector machine (Schölkopf et al. 2001) with scikit-learn's defaults.

    ``-sum_i a_i exp(-g |x - x_i|^2)`` over support vectors x_i, g = 1 / (columns × variance) and
    ν = 1/2. Quadratic in the training rows.

    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> near, far = OneClass().fit(rows).scores(np.array([[0.0, 0, 0], [9.0, 0, 0]]))
    >>> bool(near < far)
    True
    """

    most_rows = 2_000

    def learn(self, rows: Rows) -> None:
        """Find the support vectors."""
        variance = float(rows.var())
        self.gamma = 1 / (rows.shape[1] * variance) if variance > 0 else 1.0
        machine = OneClassSVM(gamma=self.gamma).fit(rows)
        self.vectors, self.weights = machine.support_vectors_, machine.dual_coef_[0]

    def rate(self, rows: Rows) -> Scores:
        """The sum; as one product of matrices, where the machine goes value by value."""
        score: Scores = -rbf_kernel(rows, self.vectors, gamma=self.gamma) @ self.weights
        return score


class Components(Rival):
    """The squared error of PCA's reconstruction, from as many components as the model's code.

    One fewer than the columns at most: of all of them nothing is lost, whatever the row.

    >>> rows = np.array([[-1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    >>> Components(code_size=1).fit(rows).scores(np.array([[5.0, 0.0], [0.0, 2.0]])).round(3)
    array([0., 4.])
    """

    most_rows = 20_000

    def learn(self, rows: Rows) -> None:
        """Find the components."""
        most = min(len(rows), rows.shape[1] - 1)
        components = max(0, min(self.code_size, most))
        with np.errstate(invalid="ignore"):  # the share explained of rows that are all the same
            found = PCA(components, random_state=self.seed).fit(rows)
        self.mean, self.axes = found.mean_, found.components_

    def rate(self, rows: Rows) -> Scores:
        """The squared error, summed over the columns."""
        centred = rows - self.mean
        error: Scores = np.square(centred - centred @ self.axes.T @ self.axes).sum(1)
        return error


RIVALS: dict[str, type[Rival]] = {
    "neighbours": Neighbours,
    "lof": LocalOutliers,
    "isolation-forest": Forest,
    "ocsvm": OneClass,
    "pca": Components,
}
"""By name: ``RIVALS["lof"](seed=0, code_size=8).fit(rows).scores(others)``."""
