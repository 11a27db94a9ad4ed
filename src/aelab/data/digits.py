"""The digits of scikit-learn: 1,797 images of 8×8, values 0 to 16, in ten classes; always there.

(UCI Machine Learning Repository: Optical Recognition of Handwritten Digits, test set.)
"""

import hashlib
from pathlib import Path

import torch

from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.data.splits import ALL, Part, assemble, class_numbers, divide
from aelab.settings import DataSettings

HIGH = 16.0


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load the digits, split by a fixed seed; pixels ``[1797, 1, 8, 8]``, bytes of 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.images.astype("uint8")[:, None]
    classes, labels = class_numbers(digits.target)
    splits, drawn = divide({ALL: Part(torch.from_numpy(pixels), labels)}, settings.name)
    spec = InputSpec((1, 8, 8), settings.scale * (255 / HIGH), high=HIGH)
    sha256 = hashlib.sha256(pixels.tobytes() + digits.target.tobytes()).hexdigest()
    return assemble(settings.name, splits, spec, classes, sha256, [drawn])
