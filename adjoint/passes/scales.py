"""Factors that are broadcast to a large operand, as a partial derivative is to a batch of tangents.

Each of them costs a pass over the large operand. Multiplied with each other first, they cost one together.
"""

import math
from typing import NamedTuple

import torch

from adjoint.core.node import Node
from adjoint.ops.arithmetic import div, mul, neg
from adjoint.passes.facts import broadcast_sizes, dtype_of, shape_of
from adjoint.passes.rewrite import BITWISE, Family, except_where, rewrite

__all__ = ['SCALES', 'WIDE', 'Scaled', 'scaled']

# Dtypes in which a product of two factors of ordinary size neither overflows nor vanishes.
WIDE = frozenset({torch.float32, torch.float64})

# Below so many entries, a call of a kernel costs more than what it does.
_LARGE = 1 << 12
# How many times smaller a factor must be.
_WORTH = 4


class Scaled(NamedTuple):
    """``a * by`` or ``a / by``, in the shape of ``a``.

    Parameters
    ----------
    a : Node
        What is scaled.
    by : Node or float
        The factor or the divisor: a smaller tensor, or a number.
    divides : bool
        Which of them it is.
    """

    a: Node
    by: Node | float
    divides: bool


def scaled(y: Node) -> Scaled | None:
    """Return a product with a smaller factor, or a quotient with a smaller divisor, of known shape.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, row = (ad.Variable(n, s, torch.float64) for n, s in [('x', (6, 4)), ('row', (4,))])
    >>> found = scaled(row * x)
    >>> found.a, found.by
    (<Node x: float64[6, 4]>, <Node row: float64[4]>)
    """
    shape, dtype = shape_of(y), dtype_of(y)
    if y.op not in {mul, div} or shape is None or dtype not in WIDE:
        return None
    if any(dtype_of(x) != dtype for x in y.inputs):
        return None
    if len(y.inputs) == 1:
        number, is_divisor = y.attrs['constant'], y.attrs.get('side', 'right') == 'right'
        if not isinstance(number, (int, float)) or (y.op is div and not is_divisor):
            return None
        return Scaled(y.inputs[0], number, divides=y.op is div)
    a, by = y.inputs
    if y.op is mul and shape_of(a) != shape:
        a, by = by, a
    if shape_of(a) != shape or by.numel() * _WORTH > a.numel():
        return None
    return Scaled(a, by, divides=y.op is div)


@rewrite(
    mul,
    div,
    exactness=except_where('the product or quotient of the smaller factors overflows or underflows'),
    examples=[
        '(wide * x) * row', 'column * (wide / x)', '(wide * row) / s', '(wide / row) / column',
        '(wide * row) * 0.3', '(wide / x) * 3.0', '(wide * 0.3) / row', '(wide / 3.0) * row',
    ],
)  # fmt: skip
def scaled_twice(y: Node) -> Node | None:
    """``(x * a) * b`` is ``x * (a * b)`` for large ``x`` and smaller ``a`` and ``b``; quotients likewise."""
    outer = scaled(y)
    inner = None if outer is None else scaled(outer.a)
    if outer is None or inner is None or inner.a.numel() < _LARGE:
        return None
    first, second = inner.by, outer.by
    if not isinstance(first, Node) and not isinstance(second, Node):
        return None  # chains of numbers have a rewrite of their own
    shapes = [x.shape for x in (first, second) if isinstance(x, Node)]
    if math.prod(broadcast_sizes(*shapes)) * _WORTH > inner.a.numel():
        return None
    if inner.divides == outer.divides:
        both = first * second
    else:
        both = second / first if inner.divides else first / second
    assert isinstance(both, Node)  # noqa: S101 one of them is
    return inner.a / both if inner.divides and outer.divides else inner.a * both


@rewrite(
    neg,
    exactness=BITWISE,
    examples=['-(wide * x)', '-(row * wide)', '-(wide / column)'],
)
def minus_of_scaled(y: Node) -> Node | None:
    """``-(x * a)`` is ``x * -a`` for large ``x`` and smaller ``a``; quotients likewise."""
    found = scaled(y.inputs[0])
    if found is None or not isinstance(found.by, Node) or found.a.numel() < _LARGE:
        return None
    return Node([found.a, neg(found.by)], y.inputs[0].op)


@rewrite(
    mul,
    div,
    exactness=BITWISE,
    examples=['-wide * x', 'row * -wide', '-wide / column'],
)
def scaled_minus(y: Node) -> Node | None:
    """``-x * a`` is ``x * -a`` for large ``x`` and smaller ``a``; quotients likewise."""
    found = scaled(y)
    if found is None or not isinstance(found.by, Node) or found.a.op is not neg or y.numel() < _LARGE:
        return None
    return Node([found.a.inputs[0], neg(found.by)], y.op)


SCALES = Family(
    'scales',
    'Factors that are broadcast to a large operand are multiplied with each other first.',
    (scaled_twice, minus_of_scaled, scaled_minus),
)
