"""Estimators for scikit-learn: a run of aelab behind ``fit``, ``transform`` and ``predict``.

They hold no training of their own: `fit` is `aelab.train`, and gives the same bytes for the same
seed. A fitted estimator has its run as ``run_``.
"""

from aelab.sklearn.detector import AutoencoderDetector
from aelab.sklearn.transformer import AutoencoderTransformer

__all__ = ["AutoencoderDetector", "AutoencoderTransformer"]
