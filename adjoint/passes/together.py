"""Values that one kernel computes together."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.ops.arithmetic import add
from adjoint.ops.attention import attention, attention_pullback, attention_with_logsumexp, fits_kernel
from adjoint.ops.index import ungetitem, ungetitems
from adjoint.ops.max_pooling import max_pool_positions, max_pool_with_positions, pool_take
from adjoint.ops.several import item, items
from adjoint.passes.facts import dtype_of, is_real, shape_of
from adjoint.passes.places import are_shared, places_of
from adjoint.passes.rewrite import BITWISE, Family, rewrite

__all__ = ['TOGETHER']


@rewrite(
    pool_take,
    max_pool_positions,
    exactness=BITWISE,
    examples=[
        'pool_take(image, max_pool_positions(image, 2, 2, 1), 2)',
        'pool_take(image, max_pool_positions(image, 2, (3, 2), (2, 1), (1, 0), 1, True), 2)',
        'pool_take(batch, max_pool_positions(batch, 1, 2), 1)',
    ],
)
def maximum_with_position(y: Node) -> Node | None:
    """The maxima of windows and their positions are found at once."""
    positions = y.inputs[1] if y.op is pool_take else y
    x = y.inputs[0]
    if positions.op is item and positions.inputs[0].op is max_pool_with_positions:
        return item(positions.inputs[0], 0) if positions.inputs[0].inputs[0] is x else None
    if positions.op is not max_pool_positions or positions.inputs[0] is not x or not is_real(x):
        return None
    return item(Node([x], max_pool_with_positions, positions.attrs), 0 if y.op is pool_take else 1)


def _fits(given: Sequence[Node]) -> bool | None:
    """Return whether there is a kernel for an attention; ``None`` where types leave it open."""
    shapes: list[tuple[int, ...]] = []
    dtypes: list[torch.dtype] = []
    for x in given:
        shape, dtype = shape_of(x), dtype_of(x)
        if shape is None or dtype is None:
            return None
        shapes.append(shape)
        dtypes.append(dtype)
    devices = {x.type.device for x in given if x.type is not None}
    return all(d is None or d.type == 'cpu' for d in devices) and fits_kernel(shapes, dtypes)


@rewrite(
    attention,
    exactness=BITWISE,
    examples=['attention(heads, heads, heads)', 'attention(heads, heads, heads, bias, scale=0.5)'],
)
def attention_and_logsumexp(y: Node) -> Node | None:
    """Attention has the logarithms of its sums of exponentials too, for its derivative."""
    if y.attrs['enable_gqa'] or not _fits(y.inputs):
        return None
    return item(Node(y.inputs, attention_with_logsumexp, _attrs(y)), 0)


def _attrs(y: Node) -> dict[str, object]:
    return {name: y.attrs[name] for name in ('is_causal', 'scale')}


def _given(whole: Node) -> list[Node]:
    """Return the queries, keys, values and mask that a pullback is of."""
    mask = whole.inputs[4:5] if len(whole.inputs) % 2 else ()
    return [*whole.inputs[:3], *mask]


@rewrite(
    item,
    exactness=BITWISE,
    examples=[
        'attention.gradient(attention(heads, heads, heads), heads)[0]',
        'attention.gradient(attention(heads, heads, heads, bias, False, 0.5), heads)[1]',
        'attention.gradient(attention(heads, heads, heads, None, True), heads)[1]',
        'attention.gradient(attention(batch, batch, batch), batch)[2]',
    ],
)
def pullback_of_attention(y: Node) -> Node | None:
    """The derivative of attention takes what its value is made with; without a kernel it is written out."""
    (whole,) = y.inputs
    if whole.op is not attention_pullback or len(whole.inputs) > 5:  # noqa: PLR2004 with a mask
        return None
    given, position = _given(whole), int(y.attrs['position'])
    if any(x.type is not None and x.type.device is not None and x.type.device.type == 'cuda' for x in given):
        return None  # torch chooses a kernel there
    fits = _fits(given)
    if fits is None:
        return None
    if not fits:
        return attention_pullback.written(whole)[position]
    found = items(Node(given, attention_with_logsumexp, whole.attrs))
    return item(Node([*whole.inputs, *found], attention_pullback, whole.attrs), position)


# A sum of many parts is made term by term: each would look at all of those before it.
_MOST_PARTS = 8


@rewrite(
    add,
    exactness=BITWISE,
    examples=[
        'getitem.gradient(batch[0], x)[0] + getitem.gradient(batch[1], y)[0]',
        'getitem.gradient(x[..., 0], column[:, 0])[0] + getitem.gradient(x[:, 2:], c)[0]',
        'getitem.gradient(A[0], row)[0] + getitem.gradient(A[1], row)[0] + getitem.gradient(A[2:], B[2:])[0]',
    ],
)
def parts_put_back(y: Node) -> Node | None:
    """The cotangents of parts of a tensor that have no entry in common are put back into one tensor."""
    if len(y.inputs) != 2:  # noqa: PLR2004 no number
        return None
    found = [_put_back(x) for x in y.inputs]
    like = y.inputs[0].inputs[-1] if found[0] else None
    shape = None if like is None else shape_of(like)
    if like is None or shape is None or not found[1] or y.inputs[1].inputs[-1] is not like:
        return None
    parts = [each for some in found for each in some]
    dtypes = {dtype_of(a) for _, a in parts}
    if len(parts) > _MOST_PARTS or len(dtypes) > 1 or None in dtypes:
        return None
    here, there = ([places_of(index, shape) for index, _ in some] for some in found)
    if any(are_shared(p, q) for p, q in product(here, there)):
        return None
    return Node([*(a for _, a in parts), like], ungetitems, {'indices': tuple(index for index, _ in parts)})


def _put_back(x: Node) -> list[tuple[tuple[Any, ...], Node]]:
    """Return the indices at which a tensor of zeros has something, with what it has there."""
    if x.op is ungetitem and len(x.inputs) == 2:  # noqa: PLR2004 no index tensors
        return [(x.attrs['index'], x.inputs[0])]
    return [*zip(x.attrs['indices'], x.inputs, strict=False)] if x.op is ungetitems else []


TOGETHER = Family(
    'together',
    'Values that one kernel gives are computed by one.',
    (
        maximum_with_position, attention_and_logsumexp, pullback_of_attention, parts_put_back,
    ),
)  # fmt: skip
