"""What torch says of the shape of a result, against what our inference says."""

from typing import Any, cast

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.interop.sizes import Sizes
from adjoint.ops.shape import reshape

__all__ = ['misfit', 'refined']


def misfit(built: Any, value: torch.Tensor) -> str | None:
    """Return the type that torch gives a result, if it is not that of the node; what is not known fits."""
    if not isinstance(built, Node) or built.type is None:
        return None
    known, sizes = built.type, list[Any](value.shape)
    fits = known.shape is None or (
        len(known.shape) == len(sizes)
        and all(a == b for a, b in zip(known.shape, sizes, strict=True) if type(a) is type(b) is int)
    )
    if fits and known.dtype in {None, value.dtype}:
        return None
    return f'{str(value.dtype).removeprefix("torch.")}{sizes}'


def refined(built: Any, value: torch.Tensor, sizes: Sizes) -> Any:
    """Return a node whose type has the sizes that torch knows and our inference does not.

    A slice up to a size by name has that size only where it is not cut off, which torch assumes of the
    sizes, and a graph that is called checks.
    """
    if not isinstance(built, Node) or built.type is None or None not in (built.type.shape or ()):
        return built
    try:
        return reshape(built, [cast('int', sizes.extent(size)) for size in value.shape])
    except UnsupportedOpError:  # how many entries are selected, say, which only the run knows
        return built
