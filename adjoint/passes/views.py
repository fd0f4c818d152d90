"""Views and casts that do nothing, undo each other, or are one."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node
from adjoint.ops.arithmetic import add
from adjoint.ops.creation import zeros_like
from adjoint.ops.device import to_device
from adjoint.ops.index import ungetitem
from adjoint.ops.linear import broadcast_to, cast, conj, imag, real
from adjoint.ops.reduction import sum_
from adjoint.ops.shape import flatten, flip, permute, reshape, squeeze, stack, transpose, unsqueeze
from adjoint.passes.facts import dtype_of, is_real, shape_of
from adjoint.passes.rewrite import BITWISE, ROUNDING, Family, except_where, rewrite

__all__ = ['VIEWS']

# Along an axis of so many entries a sum is looked through.
_FEW = 16
_RESHAPING = (reshape, flatten, squeeze, unsqueeze)


@rewrite(conj, real, exactness=BITWISE, examples=['Node([x], conj)', 'Node([x], real)'])
def part_of_real(y: Node) -> Node | None:
    """The conjugate and the real part of a real tensor are itself."""
    (a,) = y.inputs
    return a if is_real(a) else None


@rewrite(conj, exactness=BITWISE, examples=['Node([Node([z], conj)], conj)'])
def double_conj(y: Node) -> Node | None:
    """``conj(conj(a))`` is ``a``."""
    (a,) = y.inputs
    return a.inputs[0] if a.op is conj else None


@rewrite(imag, exactness=BITWISE, examples=['imag(x)'])
def imag_of_real(y: Node) -> Node | None:
    """The imaginary part of a real tensor is zero."""
    (a,) = y.inputs
    return zeros_like(a) if is_real(a) else None


@rewrite(cast, exactness=BITWISE, examples=['Node([x], cast, {"dtype": torch.float64})'])
def cast_to_own(y: Node) -> Node | None:
    """A cast to the dtype that a tensor has is the tensor."""
    (a,) = y.inputs
    return a if dtype_of(a) == y.attrs['dtype'] else None


_FLOATS = {torch.bfloat16, torch.float16, torch.float32, torch.float64}

# Every number of the first is a number of the others.
_HOLDS = {
    torch.bool: {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64} | _FLOATS,
    torch.uint8: {torch.int16, torch.int32, torch.int64} | _FLOATS,
    torch.int8: {torch.int16, torch.int32, torch.int64} | _FLOATS,
    torch.int16: {torch.int32, torch.int64, torch.float32, torch.float64},
    torch.int32: {torch.int64, torch.float64},
    torch.bfloat16: {torch.float32, torch.float64},
    torch.float16: {torch.float32, torch.float64},
    torch.float32: {torch.float64},
}


@rewrite(
    cast,
    exactness=BITWISE,
    examples=[
        'cast(cast(x32, torch.float64), torch.float32)',
        'cast(cast(mask, torch.float32), torch.float64)',
    ],
)
def cast_of_cast(y: Node) -> Node | None:
    """A cast that loses nothing, followed by another, is the other alone."""
    (a,) = y.inputs
    if a.op is not cast:
        return None
    (x,) = a.inputs
    first, between, last = dtype_of(x), a.attrs['dtype'], y.attrs['dtype']
    # A float becomes an integer that cannot hold it in no defined way.
    defined = last.is_floating_point or last.is_complex or not between.is_floating_point
    return cast(x, last) if defined and first in _HOLDS and between in _HOLDS[first] else None


@rewrite(to_device, exactness=BITWISE, examples=['Node([x], to_device, {"device": torch.device("cpu")})'])
def to_own_device(y: Node) -> Node | None:
    """A move to the device that a tensor is on is the tensor."""
    (a,) = y.inputs
    return a if a.type is not None and a.type.device == y.attrs['device'] else None


@rewrite(
    *_RESHAPING,
    broadcast_to,
    exactness=BITWISE,
    examples=[
        'reshape(x, 3, 4)',
        'flatten(row)',
        'squeeze(x)',
        'broadcast_to(x, 3, -1)',
    ],
)
def to_own_shape(y: Node) -> Node | None:
    """A reshape or broadcast to the shape that a tensor has is the tensor."""
    (a,) = y.inputs
    if a.type is None or y.type is None:
        return None
    return a if a.type.same_sizes(y.type) else None


@rewrite(
    *_RESHAPING,
    exactness=BITWISE,
    examples=[
        'reshape(flatten(x), 2, 6)',
        'squeeze(unsqueeze(x, 1), 1)',
        'reshape(reshape(x, 2, 6), 4, 3)',
    ],
)
def reshape_of_reshape(y: Node) -> Node | None:
    """A reshape of a reshape is one reshape."""
    (a,) = y.inputs
    shape = shape_of(y)
    return reshape(a.inputs[0], shape) if a.op in _RESHAPING and shape is not None else None


@rewrite(broadcast_to, exactness=BITWISE, examples=['broadcast_to(broadcast_to(row, 3, 4), 2, 3, 4)'])
def broadcast_of_broadcast(y: Node) -> Node | None:
    """A broadcast of a broadcast is one broadcast."""
    (a,) = y.inputs
    shape = shape_of(y)
    return broadcast_to(a.inputs[0], shape) if a.op is broadcast_to and shape is not None else None


def order_of(y: Node) -> tuple[int, ...] | None:
    """Return which axis of its operand each axis of a transpose or permute is; ``None`` for another op."""
    shape = None if y.type is None else y.type.shape
    if shape is None:
        return None
    count = len(shape)
    if y.op is permute:
        return tuple(d % count for d in y.attrs['dims'])
    if y.op is not transpose or not count:
        return None
    order = list(range(count))
    i, j = y.attrs['dim0'] % count, y.attrs['dim1'] % count
    order[i], order[j] = j, i
    return tuple(order)


@rewrite(
    transpose,
    permute,
    exactness=BITWISE,
    examples=['transpose(x, 1, -1)', 'permute(batch, 0, 1, -1)'],
)
def order_kept(y: Node) -> Node | None:
    """A transpose that moves no axis is the tensor."""
    order = order_of(y)
    return y.inputs[0] if order is not None and order == tuple(sorted(order)) else None


@rewrite(
    transpose,
    exactness=BITWISE,
    examples=[
        'transpose(transpose(A, 0, 1), 1, 0)',
        'transpose(transpose(A, -1, -2), -2, -1)',
    ],
)
def transposed_back(y: Node) -> Node | None:
    """A transpose of the same transpose is the tensor."""
    (a,) = y.inputs
    if a.op is not transpose:
        return None
    outer, inner = ({n.attrs['dim0'], n.attrs['dim1']} for n in (y, a))
    return a.inputs[0] if outer == inner else None


@rewrite(
    transpose,
    permute,
    exactness=BITWISE,
    examples=[
        'permute(permute(batch, 1, 2, 0), 2, 0, 1)',
        'transpose(permute(batch, 1, 2, 0), 0, 1)',
    ],
)
def transpose_of_transpose(y: Node) -> Node | None:
    """A transpose of a transpose is one, or none."""
    (a,) = y.inputs
    outer, inner = order_of(y), order_of(a)
    return None if outer is None or inner is None else permuted(a.inputs[0], [inner[i] for i in outer])


def permuted(a: Node, order: Sequence[int]) -> Node:
    """Return ``a`` with its axes in an order: itself, a transpose, or a permute."""
    moved = [i for i, axis in enumerate(order) if i != axis]
    if not moved:
        return a
    if len(moved) == 2:  # noqa: PLR2004 two axes exchanged
        return transpose(a, *moved)
    return permute(a, tuple(order))


@rewrite(flip, exactness=BITWISE, examples=['flip(flip(x, 0), 0)'])
def flipped_back(y: Node) -> Node | None:
    """A flip of the same flip is the tensor."""
    (a,) = y.inputs
    return a.inputs[0] if a.op is flip and a.attrs['dims'] == y.attrs['dims'] else None


@rewrite(sum_, exactness=ROUNDING, examples=['sum(s)'])
def sum_of_scalar(y: Node) -> Node | None:
    """The sum of a tensor without axes is the tensor, also where that is -0, of which torch makes 0."""
    (a,) = y.inputs
    is_scalar = shape_of(a) == () and dtype_of(a) == dtype_of(y) and dtype_of(a) is not None
    return a if is_scalar else None


@rewrite(
    add,
    exactness=except_where('an entry is -0.0, which then stays'),
    examples=[
        'Node([row, x[:2]], ungetitem, {"index": (1,)}) + Node([y[0], x[:2]], ungetitem, {"index": (0,)})',
    ],
)
def entries_stacked(y: Node) -> Node | None:
    """The sum of tensors with one entry each along the first axis, all of them, is a stack of the entries."""
    shape, entries, terms = shape_of(y), dict[int, Node](), [y]
    if not shape or shape[0] > _FEW:
        return None
    while terms:
        term = terms.pop()
        if term.op is add and len(term.inputs) == 2:  # noqa: PLR2004 no number
            terms += term.inputs
            continue
        place = _only_place(term)
        fits = term.op is ungetitem and shape_of(term) == shape and shape_of(term.inputs[0]) == shape[1:]
        if place is None or place in entries or not fits:
            return None
        entries[place] = term.inputs[0]
    if len(entries) < shape[0] or len({dtype_of(a) for a in entries.values()}) > 1:
        return None
    return stack([entries[i] for i in range(shape[0])])


def _only_place(y: Node) -> int | None:
    """Return the number that a node is indexed by, not from the end."""
    index: object = y.attrs.get('index')
    match index:
        case (int() as place,) if type(place) is int and place >= 0:
            return place
        case _:
            return None


VIEWS = Family(
    'views',
    'Views and casts that do nothing, undo each other, or are one.',
    (
        part_of_real, double_conj, imag_of_real, cast_to_own, cast_of_cast, to_own_device, to_own_shape,
        transposed_back, order_kept, transpose_of_transpose, reshape_of_reshape, broadcast_of_broadcast,
        flipped_back, sum_of_scalar, entries_stacked,
    ),
)  # fmt: skip
