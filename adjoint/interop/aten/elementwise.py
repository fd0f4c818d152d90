"""ATen: what works entry by entry."""

from collections.abc import Callable
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import arithmetic, exponential, linear, registry, select, step, trigonometric

__all__ = ['BUILDERS']


def _scaled(op: Callable[[Any, Any], Node]) -> Callable[..., Node]:
    def combined(self: Any, other: Any, alpha: Any = 1) -> Node:
        return op(
            self,
            other
            if alpha == 1
            else arithmetic.mul(other, alpha)
            if isinstance(other, Node)
            else other * alpha,
        )

    return combined


def _rsub(self: Any, other: Any, alpha: Any = 1) -> Node:
    return arithmetic.sub(other, self if alpha == 1 else self * alpha)


def _clamp(self: Any, min: Any = None, max: Any = None) -> Node:
    return select.clamp(self, min, max)


_SAME = (
    'abs',
    'acos',
    'acosh',
    'asin',
    'asinh',
    'atan',
    'atan2',
    'atanh',
    'ceil',
    'cos',
    'cosh',
    'erf',
    'erfc',
    'exp',
    'expm1',
    'floor',
    'log',
    'log10',
    'log1p',
    'log2',
    'maximum',
    'minimum',
    'mul',
    'neg',
    'pow',
    'reciprocal',
    'rsqrt',
    'sgn',
    'sign',
    'sin',
    'sinh',
    'sqrt',
    'square',
    'tan',
    'tanh',
    'trunc',
    'eq',
    'ne',
    'lt',
    'le',
    'gt',
    'ge',
    'sigmoid',
    'where',
    'hypot',
    'imag',
    'real',
)
_R = registry()

BUILDERS: Builders = {
    **{f'aten.{name}': _R[name] for name in _SAME},
    'aten.add': _scaled(arithmetic.add),
    'aten.sub': _scaled(arithmetic.sub),
    'aten.rsub': _rsub,
    'aten.div.Tensor': arithmetic.div,
    'aten.div.Scalar': arithmetic.div,
    'aten.clamp.default': _clamp,
    'aten._conj.default': linear.conj,
}
