"""Codes of rows, as a transformer of scikit-learn's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from aelab.sklearn.estimator import RunEstimator
from aelab.sklearn.parameters import seed_of


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RunEstimator):  # type: ignore[misc]
    """Codes of rows, and rows of codes.

    `fit` is `aelab.train` on the same array, and gives the same bytes for the same seed: what is
    None here is what is the default there. The run is ``run_``.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> coder = AutoencoderTransformer("vae", latent_dim=2, epochs=1).fit(X)
    >>> coder.transform(X).shape, coder.inverse_transform(coder.transform(X)).shape
    ((40, 2), (40, 5))
    >>> coder.sample(3, random_state=1).shape
    (3, 5)

    Args:
        model: A name of the zoo, or ``mypackage.mymodule:MyModel``.
        latent_dim: Numbers in the code.
        network: What features and outputs are made with; the model's own unless given.
        prior: What a variational model is trained with; its own unless given.
        hyperparameters: Of model, network and prior, as ``{"hidden": (64,)}``. A search reaches
            each as ``hyperparameters__hidden``.
        epochs: Passes over the training rows.
        batch_size: Rows a step.
        learning_rate: Adam's step size, at its peak.
        options: Whatever else `aelab.train` takes of the recipe and of data in arrays, as
            ``{"schedule": "constant", "range": (0, 16)}``.
        input_shape: Axes of an input, where a row of X is the values of an image or a signal:
            (28, 28) for rows of 784.
        random_state: The seed, if it is a whole number.
    """

    def transform(self, X: Any) -> NDArray[Any]:  # noqa: ANN401
        """The code of each row."""
        codes = self.each(lambda rows: self.run_.encode(rows), X)
        return codes.astype(np.result_type(self.stored(X), np.float32))

    def inverse_transform(self, X: Any) -> NDArray[Any]:  # noqa: ANN401
        """The row that each code stands for."""
        check_is_fitted(self)
        codes = check_array(X)
        values = self.rows(self.run_.decode(codes))
        kind = np.result_type(codes, np.float32)
        return values.astype(kind) if values.dtype.kind == "f" else values

    def score(self, X: Any, y: object = None) -> float:  # noqa: ANN401
        """Minus the mean squared error of a reconstructed value, prepared as in training.

        In parts of the range of the training rows, or of each column's standard deviation.
        """
        rows = self.stored(X)
        return -float(self.run_.score(rows, score="reconstruction").mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[Any]:  # noqa: ANN401
        """New rows; the same ones each time, unless a `random_state` is given."""
        check_is_fitted(self)
        seed = None if random_state is None else seed_of(random_state)
        return self.rows(self.run_.sample(n_samples, seed=seed).numpy())

    @property
    def _n_features_out(self) -> int:
        return self.run_.autoencoder.code_size
