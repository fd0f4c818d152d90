"""What builders ask of the types of their operands."""

from typing import Any

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node

__all__ = ['dtype_of', 'shape_of']


def shape_of(x: Node) -> tuple[Any, ...]:
    """Return the shape of an operand of an imported program, whose types are known."""
    known = x.type
    if known is None or known.shape is None:
        msg = f"'{x}' has no known number of axes, which this overload of ATen asks for\n{x.location}"
        raise UnsupportedOpError(msg)
    return known.shape


def dtype_of(x: Node) -> torch.dtype:
    """Return the dtype of an operand of an imported program, whose types are known."""
    if x.type is None or x.type.dtype is None:
        msg = f"'{x}' has no known dtype, which this overload of ATen asks for\n{x.location}"
        raise UnsupportedOpError(msg)
    return x.type.dtype
