"""ATen: what works entry by entry."""

from collections.abc import Callable
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import (
    arithmetic,
    complex_parts,
    linear,
    logic,
    registry,
    select,
    special,
    step,
)  # fmt: skip

__all__ = ['BUILDERS']

_OPS = registry()


def _scaled(op: Callable[[Any, Any], Node]) -> Callable[..., Node]:
    """Return the builder of ``a + alpha * b`` or ``a - alpha * b``."""

    def combined(self: Any, other: Any, alpha: Any = 1) -> Node:
        return op(self, other if _is_one(alpha) else other * alpha)

    return combined


def _is_one(value: Any) -> bool:
    return not isinstance(value, Node) and value == 1


def _rsub(self: Any, other: Any, alpha: Any = 1) -> Node:
    return arithmetic.sub(other, self if _is_one(alpha) else self * alpha)


def _div(self: Any, other: Any, *, rounding_mode: str | None = None) -> Node:
    if rounding_mode is None:
        return arithmetic.div(self, other)
    return (logic.div_floor if rounding_mode == 'floor' else logic.div_trunc)(self, other)


def _round(self: Any, *, decimals: int = 0) -> Node:
    return logic.round_to(self, decimals) if decimals else step.round_(self)


def _clamp(self: Node, min: Any = None, max: Any = None) -> Node:
    """Limit to numbers or tensors; where the bounds cross, the upper one holds."""
    if not isinstance(min, Node) and not isinstance(max, Node):
        dtype = torch.result_type(torch.empty((), dtype=self.dtype), min if max is None else max)
        return select.clamp(linear.cast(self, dtype), min, max)
    y = self
    if min is not None:
        y = select.where(step.lt(y, min), min, y)
    return y if max is None else select.where(step.gt(y, max), max, y)


def _clamp_max(self: Node, max: Any) -> Node:
    return _clamp(self, None, max)


def _addcmul(self: Node, tensor1: Node, tensor2: Node, *, value: Any = 1) -> Node:
    product = tensor1 * tensor2
    return self + (product if _is_one(value) else product * value)


def _addcdiv(self: Node, tensor1: Node, tensor2: Node, *, value: Any = 1) -> Node:
    ratio = tensor1 / tensor2
    return self + (ratio if _is_one(value) else ratio * value)


def _lerp(self: Node, end: Node, weight: Any) -> Node:
    return self + weight * (end - self)


def _ldexp(self: Node, other: Any) -> Node:
    return self * arithmetic.pow_(2.0, other)


def _frexp(self: Node) -> tuple[Node, Node]:
    exponent = logic.frexp_exponent(self)
    return self * special.exp2(linear.cast(-exponent, self.dtype)), exponent


def _polygamma(n: int, self: Node) -> Node:
    return special.polygamma(n, self)


def _degrees(self: Node) -> Node:
    return self * (180 / torch.pi)


def _radians(self: Node) -> Node:
    return self * (torch.pi / 180)


# Ops of ours under the names of ATen, with the same parameters.
_SAME = (
    'abs', 'acos', 'acosh', 'angle', 'asin', 'asinh', 'atan', 'atan2', 'atanh', 'bitwise_and', 'bitwise_left_shift',
    'bitwise_not', 'bitwise_or', 'bitwise_right_shift', 'bitwise_xor', 'ceil', 'complex', 'copysign', 'cos', 'cosh',
    'digamma', 'eq', 'erf', 'erfc', 'erfinv', 'exp', 'exp2', 'expm1', 'floor', 'fmax', 'fmin', 'fmod', 'frac', 'gcd',
    'ge', 'gt', 'heaviside', 'hypot', 'i0', 'isfinite', 'isinf', 'isnan', 'isneginf', 'isposinf', 'lcm', 'le', 'lgamma',
    'log', 'log10', 'log1p', 'log2', 'logaddexp', 'logaddexp2', 'logical_and', 'logical_not', 'logical_or',
    'logical_xor', 'logit', 'lt', 'maximum', 'minimum', 'mul', 'nan_to_num', 'ne', 'neg', 'pow', 'reciprocal',
    'remainder', 'rsqrt', 'sgn', 'sigmoid', 'sign', 'signbit', 'sin', 'sinc', 'sinh', 'sqrt', 'square', 'tan', 'tanh',
    'trunc', 'view_as_complex', 'view_as_real', 'xlogy',
)  # fmt: skip

_SPECIAL = (
    'entr', 'erfcx', 'i0e', 'i1', 'i1e', 'log_ndtr', 'ndtr', 'ndtri', 'xlog1py', 'zeta',
)  # fmt: skip

BUILDERS: Builders = {
    **{f'aten.{name}': _OPS[name] for name in _SAME},
    **{f'aten.special_{name}': _OPS[name] for name in _SPECIAL},
    'aten._conj': linear.conj,
    'aten._conj_physical': linear.conj,
    'aten.add': _scaled(arithmetic.add),
    'aten.addcdiv': _addcdiv,
    'aten.addcmul': _addcmul,
    'aten.clamp': _clamp,
    'aten.clamp_max': _clamp_max,
    'aten.clamp_min': _clamp,
    'aten.conj': linear.conj,
    'aten.deg2rad': _radians,
    'aten.div': _div,
    'aten.frexp': _frexp,
    'aten.imag': linear.imag,
    'aten.ldexp': _ldexp,
    'aten.lerp': _lerp,
    'aten.mvlgamma': special.mvlgamma,
    'aten.polar': complex_parts.polar,
    'aten.polygamma': _polygamma,
    'aten.rad2deg': _degrees,
    'aten.real': linear.real,
    'aten.resolve_conj': linear.alias,
    'aten.resolve_neg': linear.alias,
    'aten.round': _round,
    'aten.rsub': _rsub,
    'aten.sub': _scaled(arithmetic.sub),
    'aten.where.self': select.where,
    'aten.where.ScalarOther': select.where,
    'aten.where.ScalarSelf': select.where,
    'aten.where.Scalar': select.where,
}
