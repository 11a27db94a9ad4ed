"""Which device and which arithmetic a recipe comes to on this machine."""

from dataclasses import replace

from aelab.data.specs import InputSpec
from aelab.machine import device_named, has_bfloat16
from aelab.settings import Recipe

LEAST_BFLOAT16 = 256
"""Numbers of an input, at least, for bfloat16 to be faster: below, casts outweigh products."""


def with_device(recipe: Recipe) -> Recipe:
    """The recipe with the device that it means here."""
    return replace(recipe, device=device_named(recipe.device))


def with_precision(recipe: Recipe, spec: object) -> Recipe:
    """The recipe with each ``auto`` replaced by what it is for inputs of this InputSpec.

    For data of another kind, a graph's, the precision is float32.
    """
    recipe = with_device(recipe)
    if recipe.precision != "auto":
        return recipe
    native = has_bfloat16(recipe.device)
    large = isinstance(spec, InputSpec) and spec.size >= LEAST_BFLOAT16
    return replace(recipe, precision="bfloat16" if native and large else "float32")
