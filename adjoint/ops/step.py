"""Locally constant ops: comparisons, rounding, signs."""

import operator
from typing import Any

import torch

from adjoint.core.kink import jump
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Binary, Step, Unary

__all__ = [
    'Ceil', 'Equal', 'Floor', 'FloorDivide', 'GreaterThan', 'GreaterThanOrEqual', 'IsGreater',
    'IsGreaterOrEqual', 'IsLess', 'IsLessOrEqual', 'IsNotEqual', 'Preference', 'Round', 'Sign', 'Trunc',
    'TruncDivide', 'ceil', 'eq', 'floor', 'floor_divide', 'ge', 'greater', 'greater_equal', 'gt', 'le',
    'lt', 'ne', 'preference', 'round_', 'sign', 'trunc', 'trunc_divide',
]  # fmt: skip


def at_equal(a: Any, b: Any) -> Any:
    """Return where two operands, one of them perhaps a number, are equal."""
    return a == b


def _is_half(x: torch.Tensor, decimals: int) -> torch.Tensor:
    scaled = x * 10.0**decimals
    return (scaled - scaled.floor()) == 0.5  # noqa: PLR2004 a half


class Comparison(Step, Binary):
    """Base of the comparisons: a boolean, entry by entry."""

    takes_numbers = True
    kinks = (jump('a == b', 'the derivative is 0', lambda _, a, b: at_equal(a, b)),)


class IsGreater(Comparison):
    """Whether ``a > b``."""

    name = 'gt'
    sign = '>'
    kernel = operator.gt


class IsGreaterOrEqual(Comparison):
    """Whether ``a >= b``."""

    name = 'ge'
    sign = '>='
    kernel = operator.ge


class IsLess(Comparison):
    """Whether ``a < b``."""

    name = 'lt'
    sign = '<'
    kernel = operator.lt


class IsLessOrEqual(Comparison):
    """Whether ``a <= b``."""

    name = 'le'
    sign = '<='
    kernel = operator.le


class Equal(Comparison):
    """Whether ``a`` equals ``b``; as a function only, since ``==`` on nodes compares identity."""

    name = 'eq'
    kernel = operator.eq


class IsNotEqual(Comparison):
    """Whether ``a`` differs from ``b``; as a function only, since ``!=`` on nodes compares identity."""

    name = 'ne'
    kernel = operator.ne


def _dtype_for(a: torch.Tensor, b: torch.Tensor) -> torch.dtype:
    promoted = torch.result_type(a, b)
    return promoted if promoted.is_floating_point else torch.get_default_dtype()


def _greater(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a > b).to(_dtype_for(a, b))


def _greater_equal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a >= b).to(_dtype_for(a, b))


def _preference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    dtype = _dtype_for(a, b)
    return ((a > b).to(dtype) + (a >= b).to(dtype)) / 2


class GreaterThan(Step, Binary):
    """``a > b`` as 0 or 1 in the promoted floating dtype of the operands."""

    name = 'greater'
    kernel = _greater
    kinks = (jump('a == b', 'the derivative is 0', lambda _, a, b: at_equal(a, b)),)


class GreaterThanOrEqual(Step, Binary):
    """``a >= b`` as 0 or 1 in the promoted floating dtype of the operands."""

    name = 'greater_equal'
    kernel = _greater_equal
    kinks = (jump('a == b', 'the derivative is 0', lambda _, a, b: at_equal(a, b)),)


class Preference(Step, Binary):
    """1 where ``a > b``, 1/2 where they are equal, else 0: the share of ``a`` in ``maximum(a, b)``."""

    kernel = _preference
    kinks = (jump('a == b', 'the derivative is 0', lambda _, a, b: at_equal(a, b)),)


class Floor(Step, Unary):
    """The largest integer not above ``x``."""

    formula = 'floor(x)'
    kernel = torch.floor
    kinks = (jump('x whole', 'the derivative is 0', lambda _, x: x == x.round()),)


class Ceil(Step, Unary):
    """The smallest integer not below ``x``."""

    formula = 'ceiling(x)'
    kernel = torch.ceil
    kinks = (jump('x whole', 'the derivative is 0', lambda _, x: x == x.round()),)


class Round(Step, Unary):
    """The nearest integer, or number with so many ``decimals``; halves go to the even one."""

    kinks = (
        jump(
            'x half between two results',
            'the derivative is 0',
            lambda y, x: _is_half(x, y.attrs.get('decimals', 0)),
        ),
    )

    def __call__(self, x: Operand, decimals: int = 0) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        decimals : int
            How many stay; -1 rounds to tens.
        """
        return Node([as_node(x, self.name)], self, {'decimals': decimals} if decimals else None)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.round(input_values[0], decimals=node.attrs.get('decimals', 0))


class Trunc(Step, Unary):
    """``x`` without its fraction, towards zero."""

    kernel = torch.trunc
    kinks = (jump('x whole, not 0', 'the derivative is 0', lambda _, x: (x == x.round()) & (x != 0)),)


class Sign(Step, Unary):
    """The sign of a real ``x``: -1, 0 or 1; see ``sgn`` for complex operands."""

    formula = 'sign(x)'
    kernel = torch.sign
    kinks = (jump('x == 0', 'the derivative is 0', lambda _, x: x == 0),)


def _floor_divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode='floor')


def _trunc_divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode='trunc')


class FloorDivide(Step, Binary):
    """``a / b`` rounded down, of integers too."""

    kernel = _floor_divide
    kinks = (jump('a a multiple of b', 'the derivative is 0', lambda _, a, b: torch.remainder(a, b) == 0),)


class TruncDivide(Step, Binary):
    """``a / b`` without its fraction, of integers too."""

    kernel = _trunc_divide
    kinks = (jump('a a multiple of b', 'the derivative is 0', lambda _, a, b: torch.fmod(a, b) == 0),)


gt = IsGreater()
ge = IsGreaterOrEqual()
lt = IsLess()
le = IsLessOrEqual()
eq = Equal()
ne = IsNotEqual()
greater = GreaterThan()
greater_equal = GreaterThanOrEqual()
preference = Preference()
floor = Floor()
ceil = Ceil()
round_ = Round()
trunc = Trunc()
floor_divide = FloorDivide()
trunc_divide = TruncDivide()
sign = Sign()
