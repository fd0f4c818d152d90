"""ATen: reductions and running reductions."""

from typing import Any

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import linear, reduction

__all__ = ['BUILDERS']


def _along(op: Any) -> Any:
    def build(self: Node, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Node:
        return op(self if dtype is None else linear.cast(self, dtype), dim, keepdim)

    return build


BUILDERS: Builders = {
    'aten.sum': _along(reduction.sum_),
    'aten.mean': _along(reduction.mean),
    'aten.amax.default': _along(reduction.amax),
    'aten.amin.default': _along(reduction.amin),
    'aten.logsumexp.default': _along(reduction.logsumexp),
    'aten.argmax.default': lambda self, dim=None, keepdim=False: reduction.argmax(self, dim, keepdim),
    'aten.argmin.default': lambda self, dim=None, keepdim=False: reduction.argmin(self, dim, keepdim),
    'aten.cumsum.default': lambda self, dim, dtype=None: reduction.cumsum(self, dim),
}
