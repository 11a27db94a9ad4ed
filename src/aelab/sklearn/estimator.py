"""What both estimators are: a run that `fit` trains, and rows of arrays for its inputs."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from aelab.api import TrainedRun, load, train
from aelab.data.axes import fitting_axes
from aelab.data.preparation import DTYPES
from aelab.data.specs import InputSpec
from aelab.files import InputError, atomic_folder, read_json, write_json
from aelab.settings import check_value
from aelab.sklearn.kept import kept, own_folder, packed, unpacked, write_files
from aelab.sklearn.parameters import keywords, parameters_of, plain, seed_of

FEWEST = 3
"""Rows to fit to: one each to train on, to validate on and for the test."""

BLOCK = 256
"""Rows that a model is given at a time."""

Work = Callable[[NDArray[Any]], NDArray[Any]]

FILE = "estimator.json"
"""In the folder of a saved estimator, what its run says nothing of."""

GROUPS = ("hyperparameters", "options")
"""Parameters that hold others, which searches reach as ``hyperparameters__NAME``."""


class RunEstimator(BaseEstimator):  # type: ignore[misc]
    """A model of aelab's that is fitted to the rows of an array or a data frame.

    >>> from aelab.sklearn import AutoencoderTransformer
    >>> AutoencoderTransformer("vae", latent_dim=8).set_params(hyperparameters__hidden=(64,))
    AutoencoderTransformer(hyperparameters={'hidden': (64,)}, latent_dim=8, model='vae')
    """

    run_: TrainedRun

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
    ) -> None:
        self.model = model
        self.latent_dim = latent_dim
        self.network = network
        self.prior = prior
        self.hyperparameters = hyperparameters
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.options = options
        self.input_shape = input_shape
        self.random_state = random_state

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ANN401
        """Train the model on rows X, a tenth of which validate it; y is ignored.

        Raises:
            ValueError: X cannot be trained on, or a parameter is not one of the model's.
        """
        rows = validate_data(self, X, ensure_min_samples=FEWEST)
        asked = keywords(self.get_params(deep=False))
        with own_folder() as folder:
            train(
                self.model,
                shaped(rows, self.input_shape),
                network=self.network,
                prior=self.prior,
                seed=seed_of(self.random_state),
                out=folder,
                quiet=True,
                **asked,
            )
            self.run_ = kept(folder)
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, and if `deep`, those within `hyperparameters` and `options` too."""
        found: dict[str, Any] = super().get_params(deep)
        for group in GROUPS if deep else ():
            within = found[group] if isinstance(found[group], Mapping) else {}
            found |= {f"{group}__{name}": value for name, value in within.items()}
        return found

    def set_params(self, **parameters: Any) -> Self:  # noqa: ANN401
        """Set parameters, and ``hyperparameters__NAME`` and ``options__NAME`` within them."""
        own: dict[str, Any] = {}
        within: dict[str, dict[str, Any]] = {}
        for name, value in parameters.items():
            group, between, inner = name.partition("__")
            if between and group in GROUPS:
                within.setdefault(group, {})[inner] = value
            else:
                own[name] = value
        super().set_params(**own)
        for group, values in within.items():  # a new dict: another estimator may have the old one
            setattr(self, group, {**(getattr(self, group) or {}), **values})
        return self

    def save(self, folder: str | Path) -> Path:
        """Write the run into a new folder, which `from_run` and `aelab.load` open; its path.

        Raises:
            AelabError: there is something, or it cannot be written.
        """
        check_is_fitted(self)
        with atomic_folder(folder) as place:
            write_files(packed(self.run_), place)
            write_json(place / FILE, self.told())
        return Path(folder)

    @classmethod
    def from_run(cls, folder: str | Path, **parameters: Any) -> Self:  # noqa: ANN401
        """The fitted estimator of a run: one that was saved, or any whose inputs are numbers.

        Its parameters are the run's settings; `parameters` stand before them and before what was
        saved.

        Raises:
            AelabError: there is no run, it is damaged, or its inputs are no rows of numbers.
        """
        run = load(folder)
        spec = run.autoencoder.spec
        refuse_others(run, spec)
        path = run.folder / FILE
        saved = read_saved(path) if path.is_file() else {}
        trained = parameters_of(run.settings, spec)
        own = {n: v for n, v in saved.get("parameters", {}).items() if n not in trained}
        try:
            found = cls(**{**trained, **own, **parameters})
        except TypeError as error:
            raise InputError(f"{run.folder}: no {cls.__name__} is made of it ({error})") from error
        found.run_ = run
        found.n_features_in_ = spec.size
        if (names := saved.get("features", table_names(spec))) is not None:
            if len(names) != spec.size:
                raise InputError(f"{path}: {len(names)} features; the run takes {spec.size}")
            found.feature_names_in_ = np.asarray(names, dtype=object)
        found.take(saved)
        return found

    def told(self) -> dict[str, Any]:
        """What is saved beside the run."""
        names = getattr(self, "feature_names_in_", None)
        trained = parameters_of(self.run_.settings, self.run_.autoencoder.spec)
        own = {n: v for n, v in self.get_params(deep=False).items() if n not in trained}
        return {"features": None if names is None else names.tolist(), "parameters": plain(own)}

    def take(self, saved: Mapping[str, Any]) -> None:
        """Take what was saved beside the run; nothing, if it is any run."""

    def stored(self, X: Any) -> NDArray[Any]:  # noqa: ANN401
        """Rows as the run's inputs are stored, with their axes and of their type.

        Raises:
            ValueError: they are no such rows.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False)
        spec = self.run_.autoencoder.spec
        return shaped(of_type(rows, spec), self.input_shape)

    def each(self, work: Work, X: Any) -> NDArray[Any]:  # noqa: ANN401
        """What `work` makes of the rows, in blocks of one size, filled up with a row.

        A product of matrices rounds by its size: so a row gives the same whatever is beside it.
        """
        given = self.stored(X)
        short = -len(given) % BLOCK
        filled = np.concatenate([given, np.repeat(given[:1], short, axis=0)])
        blocks = [work(filled[i : i + BLOCK]) for i in range(0, len(filled), BLOCK)]
        return np.concatenate(blocks)[: len(given)]

    def rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """Inputs as the run gives them, ``[n, channels, *positions]``, as rows like those of X."""
        shape = self.run_.autoencoder.spec.shape
        if fitting_axes(self.input_shape or shape, shape) == "channels last":
            values = np.moveaxis(values, 1, -1)
        return values.reshape(len(values), -1)

    def __getstate__(self) -> dict[str, Any]:
        """The run as the bytes of its files."""
        state: dict[str, Any] = dict(super().__getstate__())
        if "run_" in state:
            state["run_"] = packed(state["run_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The run in a temporary folder."""
        if "run_" in state:
            state = {**state, "run_": unpacked(state["run_"])}
        super().__setstate__(state)


def shaped(rows: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Rows as inputs of a shape.

    Raises:
        InputError: they have more or fewer values.
    """
    if shape is None:
        return rows
    if math.prod(shape) != rows.shape[1]:
        raise InputError(
            f"input_shape {tuple(shape)} is of {math.prod(shape)} values, and X has "
            f"{rows.shape[1]} features"
        )
    return rows.reshape(len(rows), *shape)


def of_type(rows: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Rows of the type that a run's inputs are stored in.

    Raises:
        InputError: the run takes whole numbers, and they are others.
    """
    if spec.dtype == "float32":  # which stands for all but small whole numbers
        return rows.astype(np.float64) if rows.dtype.name in DTYPES else rows
    if rows.dtype == spec.dtype:
        return rows
    whole: NDArray[Any] = np.clip(rows, 0, np.iinfo(spec.dtype).max).astype(spec.dtype)
    if (whole != rows).any():
        raise InputError(f"X holds other values than {spec.dtype}, which it was fitted to")
    return whole


def refuse_others(run: TrainedRun, spec: InputSpec) -> None:
    """Raise InputError if a run's inputs cannot be rows of numbers."""
    if spec.classes:
        raise InputError(f"{run.folder}: its model is told classes, and an estimator has none")
    if spec.columns is not None and (spec.columns.mixed or spec.columns.may_lack):
        raise InputError(
            f"{run.folder}: its table has words or missing values; an estimator takes numbers"
        )


def table_names(spec: InputSpec) -> list[str] | None:
    """The columns of the table that a run was trained on; None of an array."""
    if spec.columns is None or spec.columns.numbered:
        return None
    return list(spec.columns.names)


def read_saved(path: Path) -> dict[str, Any]:
    """What `save` wrote beside a run.

    Raises:
        InputError: it is damaged.
    """
    saved = read_json(path)
    hints = {
        "features": list[str] | None,
        "parameters": dict[str, Any],
        "offset": float | None,
    }
    if not isinstance(saved, dict):
        raise InputError(f"{path} is damaged; remove it, and the run alone is taken")
    for name, value in saved.items():
        check_value(f"{path}: {name}", name, value, hints)
    return saved
