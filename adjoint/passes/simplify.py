"""Arithmetic that changes nothing: factors of one, double signs, equal branches, numbers spread over a shape.

``x * 0``, ``x - x`` and ``x / x`` are not among them: they are nan where ``x`` is infinite or nan.
"""

import math

import torch

from adjoint.core.node import Node
from adjoint.ops.arithmetic import abs_, add, div, mul, neg, pow_, sub
from adjoint.ops.contraction import matmul
from adjoint.ops.linear import broadcast_to
from adjoint.ops.ranges import eye, full
from adjoint.ops.select import maximum, minimum, where
from adjoint.ops.shape import reshape
from adjoint.passes.facts import constant_of, dtype_of, is_real, shape_of
from adjoint.passes.rewrite import BITWISE, Family, except_where, rewrite

__all__ = ['SIMPLIFY']


def _alike(y: Node, x: Node) -> bool:
    """Whether two real values are known to be of one dtype and shape."""
    shape = None if y.type is None else y.type.shape
    own = None if x.type is None else x.type.shape
    return is_real(y) and dtype_of(y) == dtype_of(x) and shape is not None and shape == own


def _is(number: object, wanted: float) -> bool:
    """Whether an operand is this number, with its sign; a boolean is none."""
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        return False
    return number == wanted and math.copysign(1, number) == math.copysign(1, wanted)


@rewrite(mul, exactness=BITWISE, examples=['x * 1', '1.0 * x32', 'i * 1'])
def times_one(y: Node) -> Node | None:
    """``x * 1`` is ``x``, for real ``x``."""
    (x, *_) = y.inputs
    number = y.attrs.get('constant')
    return x if _is(number, 1) and _alike(y, x) else None


@rewrite(mul, exactness=BITWISE, examples=['x * -1', '-1.0 * x32'])
def times_minus_one(y: Node) -> Node | None:
    """``x * -1`` is ``-x``, for real ``x``."""
    (x, *_) = y.inputs
    return neg(x) if _is(y.attrs.get('constant'), -1) and _alike(y, x) else None


@rewrite(div, pow_, exactness=BITWISE, examples=['x / 1', 'x32 / 1.0', 'x ** 1', 'x32 ** 1.0'])
def over_one(y: Node) -> Node | None:
    """``x / 1`` and ``x ** 1`` are ``x``, for real ``x``."""
    (x, *_) = y.inputs
    return x if _is(constant_of(y), 1) and _alike(y, x) else None


@rewrite(sub, add, exactness=BITWISE, examples=['x - 0', 'x32 - 0.0', 'x + -0.0'])
def minus_zero(y: Node) -> Node | None:
    """``x - 0`` and ``x + -0.0`` are ``x``."""
    (x, *_) = y.inputs
    number = constant_of(y)
    is_nothing = _is(number, 0) if y.op is sub else _is(number, -0.0) or _is(y.attrs.get('constant'), -0.0)
    return x if is_nothing and _alike(y, x) else None


@rewrite(add, exactness=except_where('an entry is -0.0, which becomes 0.0'), examples=['x + 0', '0.0 + x'])
def plus_zero(y: Node) -> Node | None:
    """``x + 0`` is ``x``, but for the sign of a zero."""
    (x, *_) = y.inputs
    return x if _is(y.attrs.get('constant'), 0) and _alike(y, x) else None


@rewrite(neg, exactness=BITWISE, examples=['-(-x)', '-(-x32)'])
def double_minus(y: Node) -> Node | None:
    """``-(-x)`` is ``x``, for real ``x``: torch negates a complex number by a product."""
    (x,) = y.inputs
    return x.inputs[0] if x.op is neg and is_real(y) else None


@rewrite(add, sub, exactness=BITWISE, examples=['x + -y', 'x - -y', 'x - -row'])
def signs_joined(y: Node) -> Node | None:
    """``a + -b`` is ``a - b``, and ``a - -b`` is ``a + b``, for real operands."""
    if len(y.inputs) == 1 or not is_real(y):
        return None
    a, b = y.inputs
    if b.op is not neg:
        return None
    return a - b.inputs[0] if y.op is add else a + b.inputs[0]


@rewrite(neg, exactness=BITWISE, examples=['-(x * 3.0)', '-(x / 3.0)', '-(3.0 / x)'])
def minus_of_multiple(y: Node) -> Node | None:
    """``-(x * c)``, ``-(x / c)`` and ``-(c / x)`` are ``x * -c``, ``x / -c`` and ``-c / x``."""
    (a,) = y.inputs
    number = a.attrs.get('constant')
    fits = a.op in {mul, div} and isinstance(number, float) and is_real(y)
    return Node(a.inputs, a.op, {**a.attrs, 'constant': -number}) if fits and number is not None else None


@rewrite(mul, div, exactness=BITWISE, examples=['-x * -y', '-x / -y', '-x * -row'])
def signs_cancelled(y: Node) -> Node | None:
    """``-a * -b`` is ``a * b``, and ``-a / -b`` is ``a / b``, for real operands."""
    if len(y.inputs) == 1 or not is_real(y):
        return None
    a, b = y.inputs
    return Node([a.inputs[0], b.inputs[0]], y.op) if a.op is neg and b.op is neg else None


@rewrite(abs_, exactness=BITWISE, examples=['abs(-x)', 'abs(abs(x))'])
def abs_of_signed(y: Node) -> Node | None:
    """``abs(-x)`` and ``abs(abs(x))`` are ``abs(x)``, for real ``x``."""
    (x,) = y.inputs
    return abs_(x.inputs[0]) if x.op in {neg, abs_} and is_real(x.inputs[0]) else None


@rewrite(maximum, minimum, exactness=BITWISE, examples=['maximum(x, x)', 'minimum(x, x)'])
def larger_of_equal(y: Node) -> Node | None:
    """The larger and the smaller of a tensor and itself are the tensor."""
    if len(y.inputs) == 1:
        return None
    a, b = y.inputs
    return a if a is b else None


@rewrite(where, exactness=BITWISE, examples=['where(mask, x, x)', 'where(mask, row, row)'])
def equal_branches(y: Node) -> Node | None:
    """``where(condition, a, a)`` is ``a``, broadcast."""
    if len(y.inputs) != 3 or y.inputs[-1] is not y.inputs[-2]:  # noqa: PLR2004 the condition and two tensors
        return None
    a, shape = y.inputs[-1], shape_of(y)
    if shape is None or shape_of(a) is None:
        return None
    return a if shape == shape_of(a) else broadcast_to(a, shape)


# -- numbers spread over a shape -----------------------------------------------------------------


@rewrite(
    broadcast_to,
    reshape,
    exactness=BITWISE,
    examples=['broadcast_to(full((4,), 2.5, dtype=torch.float64), 3, 4)', 'reshape(full((4,), 2), 2, 2)'],
)
def filled_in_shape(y: Node) -> Node | None:
    """A tensor of one number in another shape is made in that shape."""
    (a,) = y.inputs
    shape = shape_of(y)
    return None if a.op is not full or shape is None else Node([], full, {**a.attrs, 'size': shape})


@rewrite(
    add,
    sub,
    mul,
    div,
    exactness=BITWISE,
    examples=[
        'x * full((4,), 2.5, dtype=torch.float64)',
        'full((), 1.0, dtype=torch.float64) / x',
        'x32 + full((3, 4), 0.1, dtype=torch.float32)',
    ],
)
def filled_as_number(y: Node) -> Node | None:
    """A tensor of one number that is broadcast to the other operand is the number."""
    if len(y.inputs) == 1 or not is_real(y):
        return None
    a, b = y.inputs
    if (a.op is full) == (b.op is full):
        return None
    number, other, side = (a, b, 'left') if a.op is full else (b, a, 'right')
    fits = dtype_of(number) == dtype_of(other) == dtype_of(y) and shape_of(other) == shape_of(y)
    if not fits or shape_of(y) is None:
        return None
    rounded = torch.tensor(number.attrs['fill_value'], dtype=dtype_of(number)).item()
    if y.op is div and side == 'left' and abs(rounded) != 1:
        return None  # torch computes it as the number times a reciprocal, which rounds twice
    return Node([other], y.op, {'constant': rounded, 'side': side})


@rewrite(
    add,
    sub,
    mul,
    div,
    exactness=BITWISE,
    examples=['broadcast_to(row, 3, 4) * x', 'x - broadcast_to(s, 3, 4)', 'x / broadcast_to(column, 3, 4)'],
)
def broadcast_left_out(y: Node) -> Node | None:
    """An operand need not be broadcast before an op that broadcasts."""
    if len(y.inputs) == 1 or not is_real(y):
        return None
    shape = shape_of(y)
    for i, operand in enumerate(y.inputs):
        if operand.op is not broadcast_to:
            continue
        (small,), other = operand.inputs, y.inputs[1 - i]
        if shape is not None and shape_of(other) == shape and dtype_of(small) == dtype_of(other) is not None:
            operands = [small, other] if i == 0 else [other, small]
            return Node(operands, y.op)
    return None


@rewrite(
    matmul,
    exactness=except_where('an entry is infinite or nan, or is -0.0, which becomes 0.0'),
    examples=['x @ eye(4, dtype=torch.float64)', 'eye(4, dtype=torch.float64) @ A'],
)
def times_identity(y: Node) -> Node | None:
    """``x @ eye(n)`` and ``eye(n) @ x`` are ``x``, for real ``x``."""
    for x, other in (y.inputs, y.inputs[::-1]):
        if other.op is eye and other.attrs['n'] == other.attrs['m'] and _alike(y, x):
            return x
    return None


SIMPLIFY = Family(
    'simplify',
    'Arithmetic that changes nothing is left out.',
    (
        times_one, times_minus_one, over_one, minus_zero, plus_zero, double_minus, signs_joined,
        minus_of_multiple, signs_cancelled, abs_of_signed, larger_of_equal, equal_branches,
        filled_in_shape, filled_as_number, broadcast_left_out, times_identity,
    ),
)  # fmt: skip
