"""The contract under the name that it had in version 0.1, for classes that were written for that.

New code imports it from `aelab.models.contract`.
"""

from aelab.models.contract import Autoencoder, LinkModel

__all__ = ["Autoencoder", "LinkModel"]
