"""Which arithmetic a recipe comes to on this machine."""

from dataclasses import replace

from aelab.data.specs import InputSpec
from aelab.machine import processor_has_bfloat16
from aelab.settings import Recipe

LEAST_BFLOAT16 = 256
"""Numbers of an input, at least, for bfloat16 to be faster: below, casts outweigh products."""


def with_precision(recipe: Recipe, spec: object) -> Recipe:
    """The recipe with ``auto`` replaced by what it is for inputs of this InputSpec.

    For data of another kind, a graph's, it is float32.
    """
    if recipe.precision != "auto":
        return recipe
    native = recipe.device != "cpu" or processor_has_bfloat16()
    large = isinstance(spec, InputSpec) and spec.size >= LEAST_BFLOAT16
    return replace(recipe, precision="bfloat16" if native and large else "float32")
