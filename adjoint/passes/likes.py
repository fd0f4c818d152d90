"""Ops that fit one tensor to the shape of another, where the shapes are known.

Rules of derivatives say `sum_to_like`, `expand_like`, `zeros_like`, so that one graph serves every shape.
With the types known there is nothing to do, or a sum and a view that no longer ask for the other tensor,
which may then be freed, or need not be computed.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.ops.channels import along_channels, channel_share
from adjoint.ops.contraction import matmul, matmul_left, matmul_right
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.device import to_device_of
from adjoint.ops.index import crop, getitem, pad_to_like
from adjoint.ops.linear import (
    broadcast,
    broadcast_to,
    cast,
    expand_as,
    expand_like,
    same_type,
    sum_to_like,
)  # fmt: skip
from adjoint.ops.ranges import full, full_like
from adjoint.ops.reduction import mean, reduction_attrs, sum_, unmean, unsum
from adjoint.ops.shape import (
    cat_part,
    expand_as_3d,
    flatten,
    reshape,
    reshape_like,
    transpose,
    unsqueeze,
)  # fmt: skip
from adjoint.passes.facts import dtype_of, shape_of
from adjoint.passes.rewrite import BITWISE, Family, rewrite

__all__ = ['LIKES']

_VECTOR, _MATRIX = 1, 2


def summed_to(a: Node, shape: Sequence[int]) -> Node | None:
    """Return ``a`` summed to a shape that broadcasts to its own, or ``None`` where its own is not known."""
    own = shape_of(a)
    if own is None:
        return None
    new = len(own) - len(shape)
    stretched = [i for i in range(new, len(own)) if shape[i - new] == 1 and own[i] != 1]
    if not new and not stretched:
        return a
    total = Node([a], sum_, reduction_attrs([*range(new), *stretched], keepdim=bool(stretched)))
    return reshape(total, *shape) if new and stretched else total


@rewrite(
    sum_to_like,
    exactness=BITWISE,
    examples=[
        'sum_to_like(x, y)',
        'sum_to_like(x, row)',
        'sum_to_like(x, column)',
        'sum_to_like(z, x)',
        'sum_to_like(x, i)',
    ],
)
def sum_to_known(y: Node) -> Node | None:
    """``sum_to_like(a, like)`` is the sum over the axes that ``like`` lacks or has with size 1."""
    a, like = y.inputs
    shape, dtype = shape_of(like), dtype_of(like)
    if dtype is None or dtype_of(a) is None:
        return None
    if not (dtype.is_floating_point or dtype.is_complex):
        return zeros_like(like)
    if same_type(a, like):
        return a
    total = None if shape is None else summed_to(a, shape)
    return None if total is None else cast(total, dtype)


@rewrite(
    expand_like,
    exactness=BITWISE,
    examples=[
        'expand_like(x, y)',
        'expand_like(row, x)',
        'expand_like(x, z)',
    ],
)
def expand_to_known(y: Node) -> Node | None:
    """``expand_like(a, like)`` is ``a`` in the dtype and shape of ``like``."""
    a, like = y.inputs
    dtype = dtype_of(like)
    if same_type(a, like):
        return a
    if dtype is None or dtype_of(a) is None:
        return None
    return expanded(cast(a, dtype), like)


def expanded(a: Node, like: Node) -> Node | None:
    """Return ``a`` broadcast to the known shape of ``like``."""
    if a.type is not None and like.type is not None and a.type.same_sizes(like.type):
        return a
    shape = shape_of(like)
    return None if shape is None else broadcast_to(a, shape)


@rewrite(expand_as, exactness=BITWISE, examples=['expand_as(x, y)', 'expand_as(row, x)'])
def expand_as_known(y: Node) -> Node | None:
    """``expand_as(a, b)`` is ``a`` broadcast to the shape of ``b``."""
    a, like = y.inputs
    return expanded(a, like)


@rewrite(expand_as_3d, exactness=BITWISE, examples=['expand_as_3d(x[:2], batch[..., :4])'])
def expand_as_known_3d(y: Node) -> Node | None:
    """``expand_as_3d(a, b)`` is ``a`` with a new axis at 1, broadcast to the shape of ``b``."""
    a, like = y.inputs
    return expanded(unsqueeze(a, 1), like)


@rewrite(broadcast, exactness=BITWISE, examples=['broadcast(row, (4,), (3, 4))'])
def broadcast_of_known(y: Node) -> Node | None:
    """``broadcast(a, input_shape, target_shape)`` is a view where ``a`` has that shape."""
    (a,) = y.inputs
    fits = shape_of(a) is not None and shape_of(a) == y.attrs['input_shape']
    return broadcast_to(a, y.attrs['target_shape']) if fits else None


@rewrite(
    reshape_like,
    exactness=BITWISE,
    examples=['reshape_like(x, y)', 'reshape_like(reshape(x, -1), y)'],
)
def reshape_to_known(y: Node) -> Node | None:
    """``reshape_like(a, like)`` is ``a`` in the shape of ``like``."""
    a, like = y.inputs
    if a.type is not None and like.type is not None and a.type.same_sizes(like.type):
        return a
    shape = shape_of(like)
    return None if shape is None else reshape(a, shape)


def unreduced_to(a: Node, y: Node, shape: Sequence[int]) -> Node:
    """Return a reduced value with its axes of size 1 back, broadcast to a shape."""
    dim = y.attrs['dim']
    axes = set(range(len(shape)) if dim is None else (d % max(len(shape), 1) for d in _tuple(dim)))
    if not y.attrs['keepdim'] and shape:
        kept = [1 if i in axes else size for i, size in enumerate(shape)]
        # Axes of size 1 in front need no place of their own.
        first = next((i for i in range(len(shape)) if i not in axes), len(shape))
        a = a if len(kept) - first == len(shape_of(a) or ()) else reshape(a, kept)
    return a if shape_of(a) == tuple(shape) else broadcast_to(a, shape)


def _tuple(dim: int | tuple[int, ...]) -> tuple[int, ...]:
    return (dim,) if isinstance(dim, int) else dim


def count_of(y: Node, shape: Sequence[int]) -> int:
    """Return how many entries of a shape each value of a reduction is made from, less the correction."""
    dim = y.attrs['dim']
    axes = range(len(shape)) if dim is None else _tuple(dim)
    count = math.prod(shape[axis] for axis in axes) if shape else 1
    return max(count - y.attrs.get('correction', 0), 0)


@rewrite(
    unsum,
    exactness=BITWISE,
    examples=[
        'Node([row, x], unsum, reduction_attrs(0, keepdim=False))',
        'Node([s, x], unsum, reduction_attrs(None, keepdim=False))',
    ],
)
def unsum_to_known(y: Node) -> Node | None:
    """The adjoint of a sum is a view."""
    a, like = y.inputs
    shape = shape_of(like)
    return None if shape is None or shape_of(a) is None else unreduced_to(a, y, shape)


@rewrite(
    unmean,
    exactness=BITWISE,
    examples=[
        'Node([row, x], unmean, reduction_attrs(0, keepdim=False))',
        'Node([s, x], unmean, {**reduction_attrs(None, keepdim=False), "correction": 1})',
    ],
)
def unmean_to_known(y: Node) -> Node | None:
    """The adjoint of a mean is a quotient and a view."""
    a, like = y.inputs
    shape = shape_of(like)
    if shape is None or shape_of(a) is None:
        return None
    return unreduced_to(a / count_of(y, shape), y, shape)


@rewrite(
    mean,
    exactness=BITWISE,
    examples=['Node([x], mean, {**reduction_attrs(1, keepdim=True), "correction": 1})'],
)
def corrected_mean(y: Node) -> Node | None:
    """A mean with a correction is a sum over a number."""
    (a,) = y.inputs
    shape = shape_of(a)
    if shape is None or 'correction' not in y.attrs:
        return None
    attrs = {'dim': y.attrs['dim'], 'keepdim': y.attrs['keepdim']}
    return Node([a], sum_, attrs) / count_of(y, shape)


@rewrite(
    zeros_like,
    ones_like,
    full_like,
    exactness=BITWISE,
    examples=['zeros_like(x)', 'ones_like(z)', 'full_like(x, 2.5)'],
)
def filled_like(y: Node) -> Node | None:
    """Zeros, ones or a number in the shape of a tensor do not need the tensor."""
    known = y.type
    shape, dtype = shape_of(y), dtype_of(y)
    if known is None or shape is None or dtype is None or known.device is None:
        return None
    value = y.attrs['fill_value'] if y.op is full_like else int(y.op is ones_like)
    number: Any = value if y.op is full_like else torch.tensor(value, dtype=dtype).item()
    return full(shape, number, dtype=dtype, device=known.device)


@rewrite(
    cat_part,
    exactness=BITWISE,
    examples=['Node([cat([x, y], 1), x, y], cat_part, {"dim": 1, "position": 1})'],
)
def part_at_known(y: Node) -> Node | None:
    """The part of a concatenation is a slice."""
    a, *parts = y.inputs
    dim: int = y.attrs['dim']
    position: int = y.attrs['position']
    shapes = [shape_of(p) for p in parts]
    dtype, own = dtype_of(parts[position]), shape_of(a)
    if own is None or dtype is None or dtype_of(a) is None or None in shapes:
        return None
    sizes = [s[dim] for s in shapes if s is not None]
    start = sum(sizes[:position])
    index = [slice(None)] * (dim % len(own)) + [slice(start, start + sizes[position])]
    return cast(getitem(a, tuple(index)), dtype)


@rewrite(
    crop,
    pad_to_like,
    exactness=BITWISE,
    examples=['crop(x, y)', 'pad_to_like(x, y)', 'crop(x, y[:2, :1])'],
)
def cropped_to_known(y: Node) -> Node | None:
    """A corner of a known shape is a slice; one of the same shape is the tensor."""
    a, like = y.inputs
    if a.type is not None and like.type is not None and a.type.same_sizes(like.type):
        return a
    shape = shape_of(like)
    if y.op is pad_to_like or shape is None:
        return None
    return getitem(a, tuple(slice(0, size) for size in shape))


@rewrite(to_device_of, exactness=BITWISE, examples=['to_device_of(x, y)'])
def on_known_device(y: Node) -> Node | None:
    """A tensor on the device of another on the same device is itself."""
    a, like = y.inputs
    here = None if a.type is None else a.type.device
    there = None if like.type is None else like.type.device
    return a if here is not None and here == there else None


@rewrite(
    along_channels,
    channel_share,
    exactness=BITWISE,
    examples=[
        'along_channels(row, image)',
        'Node([row, image], channel_share, {"correction": 1})',
    ],
)
def along_known_channels(y: Node) -> Node | None:
    """One entry a channel, expanded to a known shape, is a view."""
    a, like = y.inputs
    shape = shape_of(like)
    if shape is None or shape_of(a) is None:
        return None
    if y.op is channel_share:
        a = a / (math.prod(shape[:1] + shape[2:]) - y.attrs['correction'])
    return broadcast_to(reshape(a, 1, -1, *(1 for _ in shape[2:])), shape)


@rewrite(
    matmul_left,
    exactness=BITWISE,
    examples=[
        'matmul_left(c, w, x)',
        'matmul_left(sum(c, 0), w, x[0])',
        'matmul_left(sum(c, 1), w[:, 0], x)',
        'matmul_left(sum(batch) + batch[:, :, :2] @ w[:2], w, x[:1])',
    ],
)
def left_of_known_matmul(y: Node) -> Node | None:
    """The derivative of a product by its left operand is a product."""
    c, b, like = y.inputs
    shape = shape_of(like)
    if shape is None or shape_of(b) is None or shape_of(c) is None:
        return None
    own = shape
    if len(shape_of(b) or ()) == _VECTOR:
        b, c = unsqueeze(b, -1), unsqueeze(c, -1)
    if len(shape) == _VECTOR:
        own, c = (1, *shape), unsqueeze(c, -2)
    total = summed_to(matmul(c, transpose(b, -2, -1)), own)
    return total if total is None or own == shape else reshape(total, shape)


@rewrite(
    matmul_right,
    exactness=BITWISE,
    examples=[
        'matmul_right(c, x, w)',
        'matmul_right(sum(c, 0), x[0], w)',
        'matmul_right(sum(c, 1), x, w[:, 0])',
        'matmul_right(batch @ w, batch, w)',
    ],
)
def right_of_known_matmul(y: Node) -> Node | None:
    """The derivative of a product by its right operand is a product, over all batches at once."""
    c, a, like = y.inputs
    shape = shape_of(like)
    if shape is None or shape_of(a) is None or shape_of(c) is None:
        return None
    own = shape
    if len(shape) == _VECTOR:
        own, c = (*shape, 1), unsqueeze(c, -1)
    if len(shape_of(a) or ()) == _VECTOR:
        a, c = unsqueeze(a, 0), unsqueeze(c, -2)
    outer, inner = shape_of(c), shape_of(a)
    if outer is None or inner is None:
        return None
    if len(own) == _MATRIX and len(inner) > _MATRIX and outer[:-1] == inner[:-1]:
        a, c = flatten(a, 0, -2), flatten(c, 0, -2)
    total = summed_to(matmul(transpose(a, -2, -1), c), own)
    return total if total is None or own == shape else reshape(total, shape)


LIKES = Family(
    'likes',
    'Ops that fit a tensor to the shape of another vanish where the shapes are known.',
    (
        sum_to_known, expand_to_known, expand_as_known, expand_as_known_3d, broadcast_of_known,
        reshape_to_known, unsum_to_known, unmean_to_known, corrected_mean, filled_like, part_at_known,
        cropped_to_known, on_known_device, along_known_channels, left_of_known_matmul,
        right_of_known_matmul,
    ),
)  # fmt: skip
