"""ATen: shapes, views, copies and creation."""

from typing import Any

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import index, linear, registry, shape

__all__ = ['BUILDERS', 'WRITE_BACK']
_R = registry()


def _key(dim: int, part: Any) -> tuple[Any, ...]:
    return (*[slice(None)] * dim, part) if dim >= 0 else (Ellipsis, part, *[slice(None)] * (-dim - 1))


def _slice(self: Node, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Node:
    return index.getitem(self, _key(dim, slice(start, end, step)))


def _write(base: Node, new: Node, key: Any) -> Node:
    mask = Node([_R['ones_like'](new), base], index.ungetitem, {'index': key})
    put = Node([new, base], index.ungetitem, {'index': key})
    return _R['where'](mask, put, base)


def _creation(like: str) -> Any:
    def build(
        self: Node,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = None,
        memory_format: Any = None,
    ) -> Node:
        made = _R[like](self)
        return made if dtype is None else linear.cast(made, dtype)

    return build


BUILDERS: Builders = {
    'aten.clone.default': lambda self, memory_format=None: linear.alias(self),
    'aten.contiguous.default': lambda self, memory_format=None: linear.alias(self),
    'aten.alias.default': linear.alias,
    'aten.lift_fresh_copy.default': linear.alias,
    'aten.lift_fresh.default': linear.alias,
    'aten.view.default': lambda self, size: shape.reshape(self, tuple(size)),
    'aten.reshape.default': lambda self, shape_: shape.reshape(self, tuple(shape_)),
    'aten._unsafe_view.default': lambda self, size: shape.reshape(self, tuple(size)),
    'aten.expand.default': lambda self, size, implicit=False: linear.broadcast_to(self, tuple(size)),
    'aten.permute.default': lambda self, dims: shape.permute(self, tuple(dims)),
    'aten.transpose.int': lambda self, a, b: shape.transpose(self, a, b),
    'aten.t.default': lambda self: shape.transpose(self, 0, 1) if self.ndim > 1 else linear.alias(self),
    'aten.numpy_T.default': lambda self: shape.permute(self, tuple(range(self.ndim))[::-1]),
    'aten.squeeze.dim': lambda self, dim: shape.squeeze(self, dim),
    'aten.squeeze.dims': lambda self, dim: shape.squeeze(self, tuple(dim)),
    'aten.squeeze.default': lambda self: shape.squeeze(self),
    'aten.unsqueeze.default': shape.unsqueeze,
    'aten.select.int': lambda self, dim, at: index.getitem(self, _key(dim, at)),
    'aten.slice.Tensor': _slice,
    'aten.cat.default': lambda tensors, dim=0: shape.cat(tensors, dim),
    'aten.stack.default': lambda tensors, dim=0: shape.stack(tensors, dim),
    'aten.zeros_like.default': _creation('zeros_like'),
    'aten.ones_like.default': _creation('ones_like'),
    'aten.full_like.default': lambda self, value, **_: _R['zeros_like'](self) + value,
}

WRITE_BACK: Builders = {
    'aten.select.int': lambda base, new, dim, at: _write(base, new, _key(dim, at)),
    'aten.slice.Tensor': lambda base, new, dim=0, start=None, end=None, step=1: _write(
        base, new, _key(dim, slice(start, end, step))
    ),
    'aten.view.default': lambda base, new, size: shape.reshape_like(new, base),
    'aten.unsqueeze.default': lambda base, new, dim: shape.reshape_like(new, base),
    'aten.squeeze.dim': lambda base, new, dim: shape.reshape_like(new, base),
    'aten.t.default': lambda base, new: shape.transpose(new, 0, 1) if new.ndim > 1 else new,
    'aten.transpose.int': lambda base, new, a, b: shape.transpose(new, a, b),
    'aten.alias.default': lambda base, new: new,
}
