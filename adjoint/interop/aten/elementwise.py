"""ATen: what works entry by entry."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import (
    arithmetic,
    bessel,
    blend,
    complex_parts,
    exponential,
    gamma,
    linear,
    logic,
    registry,
    remainder,
    select,
    special,
    step,
)

__all__ = ['BUILDERS']


def _add(self: Any, other: Any, alpha: Any = 1) -> Node:
    return blend.combined(arithmetic.add, self, other, alpha=alpha)


def _sub(self: Any, other: Any, alpha: Any = 1) -> Node:
    return blend.combined(arithmetic.sub, self, other, alpha=alpha)


def _rsub(self: Any, other: Any, alpha: Any = 1) -> Node:
    return blend.combined(arithmetic.sub, other, self, alpha=alpha)


_QUOTIENTS: Mapping[str | None, Callable[[Any, Any], Node]] = MappingProxyType(
    {None: arithmetic.div, 'floor': step.floor_divide, 'trunc': step.trunc_divide}
)


def _div(self: Any, other: Any, rounding_mode: str | None = None) -> Node:
    return _QUOTIENTS[rounding_mode](self, other)


def _clamp_tensor(self: Node, min: Node | None = None, max: Node | None = None) -> Node:
    if min is not None and max is not None:
        return blend.clamp_tensor(self, min, max)
    if min is not None:
        return select.clamp_min_tensor(self, min)
    # Torch refuses a call without bounds.
    return self if max is None else select.clamp_max_tensor(self, max)


def _clamp_min(self: Node, min: Any) -> Node:
    return select.clamp(self, min, None)


def _clamp_max(self: Node, max: Any) -> Node:
    return select.clamp(self, None, max)


def _lerp(self: Node, end: Node, weight: Any) -> Node:
    return blend.lerp(self, end, weight)


def _addcmul(self: Node, tensor1: Node, tensor2: Node, value: Any = 1) -> Node:
    return blend.addcmul(self, tensor1, tensor2, value)


def _addcdiv(self: Node, tensor1: Node, tensor2: Node, value: Any = 1) -> Node:
    return blend.addcdiv(self, tensor1, tensor2, value)


def _frexp(self: Node) -> tuple[Node, Node]:
    return remainder.frexp_mantissa(self), logic.frexp_exponent(self)


def _heaviside(self: Node, values: Node) -> Node:
    return select.where(step.eq(self, 0), values, linear.cast(step.gt(self, 0), _dtype(self)))


def _float_power(self: Any, exponent: Any) -> Node:
    parts = [
        _dtype(x).is_complex if isinstance(x, Node) else isinstance(x, complex) for x in (self, exponent)
    ]
    dtype = torch.complex128 if any(parts) else torch.float64
    base, power = (linear.cast(x, dtype) if isinstance(x, Node) else x for x in (self, exponent))
    return arithmetic.pow_(base, power)


def _dtype(x: Node) -> torch.dtype:
    return x.dtype


def _same(self: Node) -> Node:
    return self


def _isclose(
    self: Node, other: Node, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Node:
    near = step.le(arithmetic.abs_(self - other), atol + rtol * arithmetic.abs_(other))
    close = logic.logical_or(step.eq(self, other), logic.logical_and(logic.isfinite(other), near))
    if not equal_nan:
        return close
    return logic.logical_or(close, logic.logical_and(logic.isnan(self), logic.isnan(other)))


def _sigmoid_backward(grad_output: Node, output: Node) -> Node:
    return grad_output * linear.conj(output * (1 - output))


def _tanh_backward(grad_output: Node, output: Node) -> Node:
    return grad_output * linear.conj(1 - output * output)


def _logit_backward(grad_output: Node, self: Node, eps: float | None = None) -> Node:
    slope = grad_output / (self * (1 - self))
    low, other = (0.0, float('nan')) if eps is None else (eps, 0.0)
    inside = logic.logical_and(step.ge(self, low), step.le(self, 1 - low))
    return select.where(inside, slope, other)


def _renamed(op: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """Take the arguments of a schema by names that are not those of the op."""

    def build(*args: Any, **kwargs: Any) -> Any:
        return op(*args, *(kwargs.pop(name) for name in names[len(args) :] if name in kwargs), **kwargs)

    return build


_UNARY = (
    'abs', 'acos', 'acosh', 'angle', 'asin', 'asinh', 'atan', 'atanh', 'bitwise_not', 'ceil', 'cos', 'cosh',
    'deg2rad', 'digamma', 'erf', 'erfc', 'erfinv', 'exp', 'exp2', 'expm1', 'floor', 'frac', 'i0', 'imag',
    'isfinite', 'isinf', 'isnan', 'isneginf', 'isposinf', 'isreal', 'lgamma', 'log', 'log10', 'log1p',
    'log2', 'logical_not', 'neg', 'rad2deg', 'real', 'reciprocal', 'rsqrt', 'sgn', 'sigmoid', 'sign',
    'signbit', 'sin', 'sinc', 'sinh', 'sqrt', 'square', 'tan', 'tanh', 'trunc', 'view_as_complex',
    'view_as_real',
)  # fmt: skip

_BINARY = (
    'atan2', 'bitwise_and', 'bitwise_left_shift', 'bitwise_or', 'bitwise_right_shift', 'bitwise_xor',
    'copysign', 'eq', 'equal', 'floor_divide', 'fmax', 'fmin', 'fmod', 'gcd', 'ge', 'gt', 'hypot',
    'igamma', 'igammac', 'lcm', 'ldexp', 'le', 'logaddexp', 'logaddexp2', 'logical_and', 'logical_or',
    'logical_xor', 'lt', 'maximum', 'minimum', 'mul', 'ne', 'nextafter', 'remainder', 'xlogy',
)  # fmt: skip

# Of the module torch.special; some have an overload without its name as well.
_SPECIAL: Mapping[str, Callable[..., Node]] = MappingProxyType({
    'bessel_j0': bessel.bessel_j0, 'bessel_j1': bessel.bessel_j1, 'bessel_y0': bessel.bessel_y0,
    'bessel_y1': bessel.bessel_y1, 'digamma': gamma.digamma, 'entr': special.entr,
    'erfcx': special.erfcx, 'erfinv': special.erfinv, 'exp2': exponential.exp2,
    'gammaln': gamma.lgamma, 'i0': bessel.i0, 'i0e': bessel.i0e, 'i1': bessel.i1, 'i1e': bessel.i1e,
    'log_ndtr': special.log_ndtr, 'modified_bessel_i0': bessel.i0, 'modified_bessel_i1': bessel.i1,
    'modified_bessel_k0': bessel.modified_bessel_k0, 'modified_bessel_k1': bessel.modified_bessel_k1,
    'ndtr': special.ndtr, 'ndtri': special.ndtri, 'psi': gamma.digamma,
    'scaled_modified_bessel_k0': bessel.scaled_modified_bessel_k0,
    'scaled_modified_bessel_k1': bessel.scaled_modified_bessel_k1, 'sinc': special.sinc,
    'spherical_bessel_j0': bessel.spherical_bessel_j0,
})  # fmt: skip

_R = registry()

BUILDERS: Builders = {
    **{f'aten.{name}': _renamed(_R[name], 'self') for name in _UNARY},
    **{f'aten.{name}': _renamed(_R[name], 'self', 'other') for name in _BINARY},
    **{f'aten.special_{name}': _renamed(op, 'self') for name, op in _SPECIAL.items()},
    'aten.add': _add,
    'aten.sub': _sub,
    'aten.rsub': _rsub,
    'aten.div': _div,
    'aten.pow': _renamed(arithmetic.pow_, 'self', 'exponent'),
    'aten.float_power': _float_power,
    'aten.round': _renamed(step.round_, 'self'),
    'aten.where.self': _renamed(select.where, 'condition', 'self', 'other'),
    'aten.where.ScalarOther': _renamed(select.where, 'condition', 'self', 'other'),
    'aten.where.ScalarSelf': _renamed(select.where, 'condition', 'self', 'other'),
    'aten.where.Scalar': _renamed(select.where, 'condition', 'self', 'other'),
    'aten.clamp.default': _renamed(select.clamp, 'self'),
    'aten.clamp.Tensor': _clamp_tensor,
    'aten.clamp_min.default': _clamp_min,
    'aten.clamp_min.Tensor': _renamed(select.clamp_min_tensor, 'self', 'min'),
    'aten.clamp_max.default': _clamp_max,
    'aten.clamp_max.Tensor': _renamed(select.clamp_max_tensor, 'self', 'max'),
    'aten._conj': _renamed(linear.conj, 'self'),
    'aten.conj': _renamed(linear.conj, 'self'),
    'aten._conj_physical': _renamed(linear.conj, 'self'),
    'aten.conj_physical': _renamed(linear.conj, 'self'),
    'aten._neg_view': _renamed(arithmetic.neg, 'self'),
    'aten.resolve_conj': _same,
    'aten.resolve_neg': _same,
    'aten.positive': _same,
    'aten.complex': _renamed(complex_parts.complex_, 'real', 'imag'),
    'aten.polar': _renamed(complex_parts.polar, 'abs', 'angle'),
    'aten.polygamma': _renamed(gamma.polygamma, 'n', 'self'),
    'aten.special_polygamma': _renamed(gamma.polygamma, 'n', 'self'),
    'aten.mvlgamma': _renamed(gamma.mvlgamma, 'self'),
    'aten.special_multigammaln': _renamed(gamma.mvlgamma, 'self'),
    'aten.special_zeta': _renamed(gamma.zeta, 'self', 'other'),
    'aten.special_xlog1py': _renamed(special.xlog1py, 'self', 'other'),
    'aten.special_gammainc': _renamed(gamma.igamma, 'self', 'other'),
    'aten.special_gammaincc': _renamed(gamma.igammac, 'self', 'other'),
    'aten.logit': _renamed(special.logit, 'self'),
    'aten.special_logit': _renamed(special.logit, 'self'),
    'aten.lerp': _lerp,
    'aten.addcmul': _addcmul,
    'aten.addcdiv': _addcdiv,
    'aten.nan_to_num': _renamed(remainder.nan_to_num, 'self'),
    'aten.frexp': _frexp,
    'aten.heaviside': _heaviside,
    'aten.isclose': _isclose,
    'aten.__lshift__': _renamed(logic.bitwise_left_shift, 'self', 'other'),
    'aten.__rshift__': _renamed(logic.bitwise_right_shift, 'self', 'other'),
    'aten.sigmoid_backward': _sigmoid_backward,
    'aten.tanh_backward': _tanh_backward,
    'aten.logit_backward': _logit_backward,
}
