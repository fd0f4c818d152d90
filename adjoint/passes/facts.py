"""What rewrites ask of a node."""

import torch

from adjoint.core.node import Node
from adjoint.ops.elementwise import Binary

__all__ = ['constant_of', 'dtype_of', 'is_floating', 'is_real', 'shape_of']


def shape_of(x: Node) -> tuple[int, ...] | None:
    """Return the sizes, where all of them are known as numbers."""
    if x.type is None or x.type.shape is None:
        return None
    sizes = tuple(s for s in x.type.shape if isinstance(s, int))
    return sizes if len(sizes) == len(x.type.shape) else None


def dtype_of(x: Node) -> torch.dtype | None:
    """Return the dtype, where it is known."""
    return None if x.type is None else x.type.dtype


def is_real(x: Node) -> bool:
    """Whether the value is known not to be complex."""
    return x.type is not None and x.type.is_real


def is_floating(x: Node) -> bool:
    """Whether the value is known to be of real floating numbers."""
    dtype = dtype_of(x)
    return dtype is not None and dtype.is_floating_point


def constant_of(y: Node, side: str = 'right') -> bool | float | complex | None:
    """Return the Python number that is an operand of a binary op on this side, or ``None``."""
    if isinstance(y.op, Binary) and 'constant' in y.attrs and y.attrs.get('side', 'right') == side:
        return y.attrs['constant']
    return None
