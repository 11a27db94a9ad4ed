"""What the figures of a group are measured of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.reconstruction import Codes
from aelab.models.contract import Autoencoder
from aelab.models.priors.contract import Prior


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained model, the data that it is held against, and what is known of it by then.

    >>> import torch
    >>> from aelab.data.loading import load
    >>> from aelab.models.zoo import resolve
    >>> digits = load("digits")
    >>> pca = resolve("pca").build(digits.spec, latent_dim=2)
    >>> len(Subject(pca, digits, "test", codes=torch.zeros(180, 2)).inputs)
    180
    """

    model: Autoencoder
    data: InputDataset
    split: str

    codes: Codes
    """The latent numbers of the split's inputs."""

    prior: Prior | None = None
    """What samples are drawn from; the model's own where it is None."""

    fitted: Mapping[str, Prior] = field(default_factory=dict)
    """The priors that were fitted to the model's codes, by name."""

    seed: int = 0

    @property
    def inputs(self) -> InputSplit:
        """Those of the split."""
        return self.data.split(self.split)
