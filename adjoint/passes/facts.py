"""What rewrites ask of a node."""

import torch

from adjoint.core.node import Node
from adjoint.ops.arithmetic import add, mul, neg, pow_, square, sub
from adjoint.ops.elementwise import Binary

__all__ = [
    'axis_of', 'broadcast_sizes', 'constant_of', 'dtype_of', 'is_floating', 'is_real', 'one_plus', 'shape_of',
    'squared',
]  # fmt: skip


def shape_of(x: Node) -> tuple[int, ...] | None:
    """Return the sizes, where all of them are known as numbers."""
    if x.type is None or x.type.shape is None:
        return None
    sizes = tuple(s for s in x.type.shape if isinstance(s, int))
    return sizes if len(sizes) == len(x.type.shape) else None


def broadcast_sizes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that shapes broadcast to."""
    return tuple(map(int, torch.broadcast_shapes(*shapes)))  # pyright: ignore[reportUnknownArgumentType] a size


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


def one_plus(y: Node) -> Node | None:
    """Return ``x`` of ``1 + x``, and ``-x`` of ``1 - x``."""
    if y.op is add and y.attrs.get('constant') == 1:
        return y.inputs[0]
    return neg(y.inputs[0]) if y.op is sub and constant_of(y, 'left') == 1 else None


def axis_of(y: Node) -> int | None:
    """Return the axis of a reduction along one, whose value broadcasts with its operand."""
    rank = len(shape_of(y.inputs[0]) or ())
    dim: int | tuple[int, ...] | None = y.attrs['dim']
    axes = tuple(range(rank)) if dim is None else (dim,) if isinstance(dim, int) else dim
    return axes[0] if len(axes) == 1 and (y.attrs['keepdim'] or rank == 1) else None


def squared(y: Node) -> Node | None:
    """Return ``x`` of ``x * x``, ``x**2`` and ``square(x)``."""
    if y.op is square or (y.op is pow_ and constant_of(y) == 2):  # noqa: PLR2004 the square
        return y.inputs[0]
    is_product = y.op is mul and len(y.inputs) == 2 and y.inputs[0] is y.inputs[1]  # noqa: PLR2004 operands
    return y.inputs[0] if is_product else None
