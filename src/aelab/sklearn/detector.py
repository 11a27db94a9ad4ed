"""Rows unlike those of training, as a detector of outliers of scikit-learn's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin

from aelab.files import InputError
from aelab.sklearn.estimator import RunEstimator

if TYPE_CHECKING:
    from aelab.api.trained import Threshold

ROUNDING = 1e-5
"""Share of the threshold that a score may differ by in single precision: the validation row whose
score it is must stay below."""

MOST_OUTLIERS = 0.5
"""Of the rows that a threshold follows from."""


class AutoencoderDetector(OutlierMixin, RunEstimator):  # type: ignore[misc]
    """Scores of rows: low for those unlike the rows that it was fitted to.

    The threshold follows from the scores of the rows that validation held out, a tenth, as
    ``aelab anomalies`` takes it; ``threshold_.told`` says how surely it keeps to the rate of false
    alarms.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(300, 5))
    >>> detector = AutoencoderDetector("vanilla", latent_dim=2, epochs=1).fit(X)
    >>> detector.predict([[0.0] * 5, [9.0] * 5])
    array([ 1, -1])
    >>> detector.threshold_.told
    '1 of 30 validation inputs score higher: 3.33 % (0.0844 to 17.2 %, with 95 % confidence)'

    Args:
        model: As of `AutoencoderTransformer`, as are all below it but the last three.
        latent_dim: Numbers in the code.
        network: What features and outputs are made with.
        prior: What a variational model is trained with.
        hyperparameters: Of model, network and prior.
        epochs: Passes over the training rows.
        batch_size: Rows a step.
        learning_rate: Adam's step size, at its peak.
        options: Whatever else `aelab.train` takes.
        input_shape: Axes of an input, where it is no row.
        random_state: The seed, if it is a whole number.
        anomaly_score: A name of ``evaluate.scoring.SCORES``; the model's own unless given.
        false_alarm_rate: Share of the validation rows that may score above the threshold: 5 %
            unless given, or where fewer than 20 rows validate, none.
        contamination: Share of the rows of X that are outliers, up to one half: then the threshold
            follows from the scores of all rows of X, and not from validation's.
    """

    threshold_: "Threshold | None"
    """The threshold, and how surely it keeps to the rate; None where `contamination` is given."""

    offset_: float
    """What `score_samples` falls below for outliers."""

    def __init__(
        self,
        model: str = "multilayer",
        *,
        latent_dim: int | None = None,
        network: str | None = None,
        prior: str | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        epochs: float | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        options: Mapping[str, Any] | None = None,
        input_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,  # noqa: ANN401 - whatever scikit-learn takes
        anomaly_score: str | None = None,
        false_alarm_rate: float | None = None,
        contamination: float | None = None,
    ) -> None:
        super().__init__(
            model,
            latent_dim=latent_dim,
            network=network,
            prior=prior,
            hyperparameters=hyperparameters,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            options=options,
            input_shape=input_shape,
            random_state=random_state,
        )
        self.anomaly_score = anomaly_score
        self.false_alarm_rate = false_alarm_rate
        self.contamination = contamination

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ANN401
        """Train the model on rows X, and find the threshold; y is ignored.

        Raises:
            ValueError: as of `AutoencoderTransformer`, or the model has no such score, or a rate
                is no share or more than so few rows can tell.
        """
        self.refuse_shares()
        super().fit(X)
        if self.contamination is None:
            self.take_validation()
        else:
            self.threshold_ = None
            self.offset_ = float(np.percentile(self.score_samples(X), 100 * self.contamination))
        return self

    def refuse_shares(self) -> None:
        """Raise InputError unless there is one share that a threshold follows from, or none."""
        share = self.contamination
        if share is not None and self.false_alarm_rate is not None:
            raise InputError("contamination and false_alarm_rate are two thresholds: leave one out")
        if share is not None and not 0 < share <= MOST_OUTLIERS:
            raise InputError(f"contamination must be above 0 and at most 0.5, not {share}")

    def take_validation(self) -> None:
        """Find the threshold by the scores of the rows that validation held out."""
        self.threshold_ = self.run_.threshold(self.false_alarm_rate, score=self.anomaly_score)
        limit = self.threshold_.score
        self.offset_ = -(limit + ROUNDING * abs(limit))

    def told(self) -> dict[str, Any]:
        """The threshold, too, where it follows from rows that are gone."""
        return {**super().told(), "offset": None if self.threshold_ else self.offset_}

    def take(self, saved: Mapping[str, Any]) -> None:
        """Take the threshold, or find it by the validation scores that the run keeps.

        Raises:
            InputError: it would follow from rows that are gone.
        """
        self.refuse_shares()
        if self.contamination is None:
            self.take_validation()
            return
        then = saved.get("parameters", {})
        asked = (self.contamination, self.anomaly_score)
        offset = saved.get("offset")
        if offset is None or asked != (then.get("contamination"), then.get("anomaly_score")):
            raise InputError(
                f"{self.run_.folder}: contamination is a share of rows that are not in the run: "
                f"give false_alarm_rate"
            )
        self.threshold_, self.offset_ = None, offset

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401
        """Minus the anomaly score of each row: the lower, the less it is like those of training."""
        return -self.each(lambda rows: self.run_.score(rows, score=self.anomaly_score), X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401
        """`score_samples` less ``offset_``: below 0 for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: ANN401
        """-1 for each outlier, and 1 for each row that is none."""
        return np.where(self.decision_function(X) < 0, -1, 1)
