"""Bits, truth values, and tests of single entries: nothing flows."""

import operator

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Step, Unary
from adjoint.ops.step import Comparison

__all__ = [
    'BitwiseAnd', 'BitwiseLeftShift', 'BitwiseNot', 'BitwiseOr', 'BitwiseRightShift', 'BitwiseXor',
    'DivFloor', 'DivTrunc', 'FrexpExponent', 'Gcd', 'Heaviside', 'Isfinite', 'Isinf', 'Isnan', 'Isneginf',
    'Isposinf', 'Lcm', 'LogicalAnd', 'LogicalNot', 'LogicalOr', 'LogicalXor', 'RoundTo', 'Signbit',
    'bitwise_and', 'bitwise_left_shift', 'bitwise_not', 'bitwise_or', 'bitwise_right_shift', 'bitwise_xor',
    'div_floor', 'div_trunc', 'frexp_exponent', 'gcd', 'heaviside', 'isfinite', 'isinf', 'isnan',
    'isneginf', 'isposinf', 'lcm', 'logical_and', 'logical_not', 'logical_or', 'logical_xor', 'round_to',
    'signbit',
]  # fmt: skip


class Isnan(Step, Unary):
    """Whether ``x`` is nan."""

    kernel = torch.isnan


class Isinf(Step, Unary):
    """Whether ``x`` is infinite."""

    kernel = torch.isinf


class Isfinite(Step, Unary):
    """Whether ``x`` is neither infinite nor nan."""

    kernel = torch.isfinite


class Isposinf(Step, Unary):
    """Whether ``x`` is plus infinity."""

    kernel = torch.isposinf


class Isneginf(Step, Unary):
    """Whether ``x`` is minus infinity."""

    kernel = torch.isneginf


class Signbit(Step, Unary):
    """Whether the sign of ``x`` is negative; that of -0.0 is."""

    kernel = torch.signbit


class LogicalNot(Step, Unary):
    """Whether ``x`` is zero."""

    kernel = torch.logical_not


class LogicalAnd(Comparison):
    """Whether neither ``a`` nor ``b`` is zero."""

    takes_numbers = False
    kernel = torch.logical_and


class LogicalOr(Comparison):
    """Whether ``a`` or ``b`` is not zero."""

    takes_numbers = False
    kernel = torch.logical_or


class LogicalXor(Comparison):
    """Whether one of ``a`` and ``b`` is zero and the other is not."""

    takes_numbers = False
    kernel = torch.logical_xor


class BitwiseNot(Step, Unary):
    """The bits of an integer inverted; of a boolean, its negation."""

    kernel = torch.bitwise_not


class BitwiseAnd(Comparison):
    """The bits that are set in both ``a`` and ``b``."""

    kernel = operator.and_


class BitwiseOr(Comparison):
    """The bits that are set in ``a`` or ``b``."""

    kernel = operator.or_


class BitwiseXor(Comparison):
    """The bits that are set in one of ``a`` and ``b``."""

    kernel = operator.xor


class BitwiseLeftShift(Comparison):
    """The bits of ``a`` moved up by ``b`` places."""

    kernel = operator.lshift


class BitwiseRightShift(Comparison):
    """The bits of ``a`` moved down by ``b`` places."""

    kernel = operator.rshift


class Gcd(Comparison):
    """The greatest common divisor of integers."""

    takes_numbers = False
    kernel = torch.gcd


class Lcm(Comparison):
    """The least common multiple of integers."""

    takes_numbers = False
    kernel = torch.lcm


class Heaviside(Comparison):
    """0 where ``a`` is negative, 1 where it is positive, and ``b`` where it is 0.

    Notes
    -----
    Nothing flows, to ``b`` neither, as in torch.
    """

    takes_numbers = False
    kernel = torch.heaviside


def _div_floor(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode='floor')


def _div_trunc(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode='trunc')


class DivFloor(Comparison):
    """``a / b`` rounded down."""

    kernel = _div_floor


class DivTrunc(Comparison):
    """``a / b`` rounded towards zero."""

    kernel = _div_trunc


def _exponent(x: torch.Tensor) -> torch.Tensor:
    return torch.frexp(x).exponent


class FrexpExponent(Step, Unary):
    """The exponent of 2 in ``x``, such that ``x / 2 ** exponent`` has a size in ``[1/2, 1)``; int32."""

    kernel = _exponent


class RoundTo(Step, Unary):
    """``x`` rounded to ``decimals`` places; halves go to the even one."""

    def __call__(self, x: Operand, decimals: int) -> Node:
        """Build the node."""
        return Node([as_node(x, self.name)], self, {'decimals': decimals})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.round(x, decimals=node.attrs['decimals'])


isnan = Isnan()
isinf = Isinf()
isfinite = Isfinite()
isposinf = Isposinf()
isneginf = Isneginf()
signbit = Signbit()
logical_not = LogicalNot()
logical_and = LogicalAnd()
logical_or = LogicalOr()
logical_xor = LogicalXor()
bitwise_not = BitwiseNot()
bitwise_and = BitwiseAnd()
bitwise_or = BitwiseOr()
bitwise_xor = BitwiseXor()
bitwise_left_shift = BitwiseLeftShift()
bitwise_right_shift = BitwiseRightShift()
gcd = Gcd()
lcm = Lcm()
heaviside = Heaviside()
div_floor = DivFloor()
div_trunc = DivTrunc()
frexp_exponent = FrexpExponent()
round_to = RoundTo()
