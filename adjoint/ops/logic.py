"""Bits, truth values, and tests of single entries: nothing flows."""

import torch

from adjoint.core.node import Node
from adjoint.ops.elementwise import Binary, Step, Unary

__all__ = [
    'BitwiseAnd', 'BitwiseLeftShift', 'BitwiseNot', 'BitwiseOr', 'BitwiseRightShift', 'BitwiseXor',
    'FrexpExponent', 'Gcd', 'IsFinite', 'IsInf', 'IsNan', 'IsNegInf', 'IsPosInf', 'IsReal', 'Lcm',
    'LogicalAnd', 'LogicalNot', 'LogicalOr', 'LogicalXor', 'SameTensor', 'Signbit', 'bitwise_and',
    'bitwise_left_shift', 'bitwise_not', 'bitwise_or', 'bitwise_right_shift', 'bitwise_xor', 'equal',
    'frexp_exponent', 'gcd', 'isfinite', 'isinf', 'isnan', 'isneginf', 'isposinf', 'isreal', 'lcm',
    'logical_and', 'logical_not', 'logical_or', 'logical_xor', 'signbit',
]  # fmt: skip


class IsNan(Step, Unary):
    """Whether ``x`` is nan; of a complex number, whether either part is."""

    name = 'isnan'
    kernel = torch.isnan


class IsInf(Step, Unary):
    """Whether ``x`` is infinite, of either sign; of a complex number, whether either part is."""

    name = 'isinf'
    kernel = torch.isinf


class IsFinite(Step, Unary):
    """Whether ``x`` is neither infinite nor nan."""

    name = 'isfinite'
    kernel = torch.isfinite


class IsPosInf(Step, Unary):
    """Whether ``x`` is positive infinity."""

    name = 'isposinf'
    kernel = torch.isposinf


class IsNegInf(Step, Unary):
    """Whether ``x`` is negative infinity."""

    name = 'isneginf'
    kernel = torch.isneginf


class IsReal(Step, Unary):
    """Whether the imaginary part of ``x`` is zero."""

    name = 'isreal'
    kernel = torch.isreal


class Signbit(Step, Unary):
    """Whether the sign of ``x`` is a minus; -0.0 has one."""

    kernel = torch.signbit


class LogicalNot(Step, Unary):
    """Whether ``x`` is zero."""

    kernel = torch.logical_not


class LogicalAnd(Step, Binary):
    """Whether neither ``a`` nor ``b`` is zero."""

    kernel = torch.logical_and


class LogicalOr(Step, Binary):
    """Whether ``a`` or ``b`` is not zero."""

    kernel = torch.logical_or


class LogicalXor(Step, Binary):
    """Whether one of ``a`` and ``b`` is zero, and the other is not."""

    kernel = torch.logical_xor


class BitwiseNot(Step, Unary):
    """Every bit of an integer or boolean ``x`` turned over."""

    kernel = torch.bitwise_not


class BitwiseAnd(Step, Binary):
    """The bits that ``a`` and ``b`` have in common."""

    kernel = torch.bitwise_and


class BitwiseOr(Step, Binary):
    """The bits that ``a`` or ``b`` has."""

    kernel = torch.bitwise_or


class BitwiseXor(Step, Binary):
    """The bits in which ``a`` and ``b`` differ."""

    kernel = torch.bitwise_xor


class BitwiseLeftShift(Step, Binary):
    """``a`` with its bits moved left by ``b`` places: ``a * 2**b``, for integers."""

    kernel = torch.bitwise_left_shift


class BitwiseRightShift(Step, Binary):
    """``a`` with its bits moved right by ``b`` places: the sign stays."""

    kernel = torch.bitwise_right_shift


class Gcd(Step, Binary):
    """The greatest common divisor of two integers; that of 0 and 0 is 0."""

    kernel = torch.gcd


class Lcm(Step, Binary):
    """The least common multiple of two integers; with 0 it is 0."""

    kernel = torch.lcm


def _same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.shape != b.shape:
        return torch.zeros((), dtype=torch.bool, device=a.device)
    return (a == b).all()


class SameTensor(Step, Binary):
    """Whether ``a`` and ``b`` have one shape and equal entries, as a single boolean; nan equals nothing."""

    name = 'equal'
    kernel = _same


class FrexpExponent(Step, Unary):
    """The exponent of ``x`` as an int32: the ``e`` of ``x == m * 2**e`` with ``|m|`` in [0.5, 1)."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.frexp(input_values[0])[1]


isnan = IsNan()
isinf = IsInf()
isfinite = IsFinite()
isposinf = IsPosInf()
isneginf = IsNegInf()
isreal = IsReal()
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
equal = SameTensor()
frexp_exponent = FrexpExponent()
