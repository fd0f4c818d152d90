"""What the form of a node says of the sign of its value."""

import torch

from adjoint.core.node import Node
from adjoint.ops.activation import relu, sigmoid
from adjoint.ops.arithmetic import abs_, add, div, mul, pow_, rsqrt, sqrt, square
from adjoint.ops.creation import constant
from adjoint.ops.exponential import exp
from adjoint.ops.linear import alias, conj, expand_like, real
from adjoint.ops.reduction import mean, sum_, unmean, unsum
from adjoint.ops.select import clamp

__all__ = ['is_positive']

_UNKNOWN, _NOT_NEGATIVE, _POSITIVE = 0, 1, 2

# How many ops are looked at, one behind the other: enough for `rsqrt(mean((x - mean(x)) ** 2) + eps)`.
_DEPTH = 8

_SQUARES = frozenset({abs_, square, relu, exp, sigmoid})  # an exponential may underflow
_SUMS = frozenset({sum_, mean, unmean})  # of no entries 0
_COPIES = frozenset({alias, real, expand_like, unsum, sqrt, rsqrt})  # roots do not underflow
_ARITHMETIC = frozenset({add, mul, div})


def is_positive(node: Node) -> bool:
    """Whether a real value is above zero wherever it is a number, as ``sqrt(mean(x ** 2) + 1e-6)`` is."""
    return _sign(node, _DEPTH) == _POSITIVE


def _sign(node: Node, depth: int) -> int:
    op = node.op
    known = node.type
    if depth == 0 or (known is not None and known.dtype is not None and known.dtype.is_complex):
        return _UNKNOWN
    if op is constant:
        return _of_constant(node.constant)
    if op is clamp:
        return _of_number(node.attrs['min'])
    if op in _SQUARES or _is_square(node):
        return _NOT_NEGATIVE
    if op in _ARITHMETIC:
        return _of_arithmetic(node, depth)
    if op in _SUMS:
        return min(_sign(node.inputs[0], depth - 1), _NOT_NEGATIVE)
    return _sign(node.inputs[0], depth - 1) if op in _COPIES else _UNKNOWN


def _of_arithmetic(node: Node, depth: int) -> int:
    signs = [_sign(x, depth - 1) for x in node.inputs]
    if 'constant' in node.attrs:
        signs.append(_of_number(node.attrs['constant']))
    if node.op is add:
        return max(signs) if min(signs) else _UNKNOWN
    return min(*signs, _NOT_NEGATIVE)  # a product may underflow


def _of_constant(value: torch.Tensor) -> int:
    return _POSITIVE if bool((value > 0).all()) else _NOT_NEGATIVE if bool((value >= 0).all()) else _UNKNOWN


def _is_square(node: Node) -> bool:
    if node.op is pow_:
        exponent = node.attrs.get('constant') if node.attrs.get('side') == 'right' else None
        return isinstance(exponent, (int, float)) and exponent % 2 == 0
    if node.op is not mul or len(node.inputs) == 1:
        return False
    a, b = node.inputs
    return a is b or (b.op is conj and b.inputs[0] is a) or (a.op is conj and a.inputs[0] is b)


def _of_number(number: object) -> int:
    if not isinstance(number, (int, float)):
        return _UNKNOWN
    return _POSITIVE if number > 0 else _NOT_NEGATIVE if number == 0 else _UNKNOWN
