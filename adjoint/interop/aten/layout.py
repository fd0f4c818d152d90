"""ATen: shapes, views, copies and creation."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops.diagonal import diag_embed, diagonal, diagonal_scatter, trace
from adjoint.ops.index import getitem
from adjoint.ops.linear import (
    broadcast_to,
    conj,
    imag,
    real,
)  # fmt: skip
from adjoint.ops.ranges import full, full_like
from adjoint.ops.reduction import cumsum
from adjoint.ops.scatter import index_put, put
from adjoint.ops.shape import (
    cat,
    flip,
    permute,
    reshape,
    reshape_like,
    squeeze,
    stack,
    transpose,
    tril,
    triu,
    unsqueeze,
)  # fmt: skip
from adjoint.ops.tiling import block_diag, repeat, roll, rot90
from adjoint.ops.window import as_strided, as_strided_scatter, unfold, unfold_backward

__all__ = ['BUILDERS', 'WRITE_BACK']

Device = torch.device | str | None

# Where a tensor lies and how says nothing of its value; such options are taken and left.
Options = Any


# -- indices ----------------------------------------------------------------------------------


def _along(dim: int, part: Any) -> tuple[Any, ...]:
    """Return the index that has a part at one axis and takes all of the others."""
    rest = slice(None)
    return (*[rest] * dim, part) if dim >= 0 else (..., part, *[rest] * (-dim - 1))


def _select(self: Node, dim: int, index: int) -> Node:
    return getitem(self, _along(dim, index))


def _slice(self: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Node:
    return getitem(self, _along(dim, slice(start, end, step)))


def _sum(sizes: Sequence[int]) -> int:
    """Return a sum of which some terms may be names."""
    if any(isinstance(s, Extent) for s in sizes):
        return Extent(' + '.join(f'({s})' for s in sizes))  # pyright: ignore[reportReturnType] a size by name
    return sum(sizes)


def _ranges(sizes: Sequence[int]) -> list[slice]:
    ends = [_sum(sizes[:i]) for i in range(len(sizes) + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _size(a: Node, dim: int, wanted_by: str) -> int:
    size = None if a.type is None or a.type.shape is None else a.type.shape[dim]
    if not isinstance(size, int):
        msg = f'{wanted_by} makes as many tensors as an axis has entries, which is not known: {a.type}'
        raise NotImplementedError(msg)
    return size


def _split(self: Node, split_size: int, dim: int = 0) -> list[Node]:
    size = _size(self, dim, 'split')
    starts = range(0, max(size, 1), split_size) if split_size else [0]
    return [getitem(self, _along(dim, slice(s, min(s + split_size, size)))) for s in starts]


def _split_with_sizes(self: Node, split_sizes: Sequence[int], dim: int = 0) -> list[Node]:
    return [getitem(self, _along(dim, part)) for part in _ranges(split_sizes)]


def _unbind(self: Node, dim: int = 0) -> list[Node]:
    return [_select(self, dim, i) for i in range(_size(self, dim, 'unbind'))]


# -- shapes -----------------------------------------------------------------------------------


def _same(self: Node, *_: Options, **__: Options) -> Node:
    return self


def _expand(self: Node, size: Sequence[int], **_: Options) -> Node:
    return broadcast_to(self, size)


def _t(self: Node) -> Node:
    is_matrix = self.type is None or self.type.shape is None or len(self.type.shape) == 2  # noqa: PLR2004 a matrix
    return transpose(self, 0, 1) if is_matrix else self


def _view_dtype(self: Node, dtype: torch.dtype) -> Node:
    if self.type is None or self.type.dtype != dtype:
        msg = 'the bits of a tensor as another dtype have no derivative: use to(dtype) for its numbers'
        raise NotImplementedError(msg)
    return self


def _cat(tensors: Sequence[Node], dim: int = 0) -> Node:
    shapes = [None if a.type is None else a.type.shape for a in tensors]
    if any(shape is not None and len(shape) > 1 for shape in shapes):
        # torch lets empty vectors stand beside tensors of any shape.
        tensors = [a for a, shape in zip(tensors, shapes, strict=True) if shape != (0,)]
    return cat(tensors, dim)


def _unfold_backward(grad_in: Node, input_sizes: Sequence[int], dim: int, size: int, step: int) -> Node:
    return unfold_backward(grad_in, full(input_sizes, 0.0), dim, size, step)


def _select_scatter(self: Node, src: Node, dim: int, index: int) -> Node:
    return index_put(self, _along(dim, index), src)


def _slice_scatter(
    self: Node, src: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Node:
    return index_put(self, _along(dim, slice(start, end, step)), src)


def _reshape_alias(self: Node, size: Sequence[int], _: Options) -> Node:
    return reshape(self, size)


BUILDERS: Builders = {
    'aten.alias': _same,
    'aten.as_strided': as_strided,
    'aten.as_strided_scatter': as_strided_scatter,
    'aten.block_diag': block_diag,
    'aten.cat': _cat,
    'aten.clone.default': _same,
    'aten.contiguous': _same,
    'aten.diag_embed': diag_embed,
    'aten.diagonal.default': diagonal,
    'aten.diagonal_scatter': diagonal_scatter,
    'aten.expand.default': _expand,
    'aten.flip': flip,
    'aten.lift': _same,
    'aten.lift_fresh': _same,
    'aten.lift_fresh_copy': _same,
    'aten.permute.default': permute,
    'aten.repeat': repeat,
    'aten.reshape': reshape,
    'aten.roll': roll,
    'aten.rot90': rot90,
    'aten.select.int': _select,
    'aten.select_scatter': _select_scatter,
    'aten.slice.Tensor': _slice,
    'aten.slice_scatter': _slice_scatter,
    'aten.split.Tensor': _split,
    'aten.split_with_sizes': _split_with_sizes,
    'aten.squeeze': squeeze,
    'aten.stack': stack,
    'aten.t': _t,
    'aten.trace': trace,
    'aten.transpose.int': transpose,
    'aten.tril': tril,
    'aten.triu': triu,
    'aten.unbind.int': _unbind,
    'aten.unfold.default': unfold,
    'aten.unfold_backward': _unfold_backward,
    'aten.unsafe_split.Tensor': _split,
    'aten.unsafe_split_with_sizes': _split_with_sizes,
    'aten.unsqueeze.default': unsqueeze,
    'aten.view.default': reshape,
    'aten.view.dtype': _view_dtype,
    'aten._reshape_alias': _reshape_alias,
    'aten._unsafe_view': reshape,
}


# -- writes through views ---------------------------------------------------------------------


def _reshaped_back(base: Node, new: Node, *_: Options, **__: Options) -> Node:
    return reshape_like(new, base)


def _permuted_back(_: Node, new: Node, dims: Sequence[int]) -> Node:
    places = [d % len(dims) for d in dims]
    return permute(new, [places.index(i) for i in range(len(dims))])


def _split_back(base: Node, new: Node, split_size: int, dim: int = 0, *, position: int) -> Node:
    start = position * split_size
    return index_put(base, _along(dim, slice(start, start + split_size)), new)


def _split_with_sizes_back(
    base: Node, new: Node, split_sizes: Sequence[int], dim: int = 0, *, position: int
) -> Node:
    return index_put(base, _along(dim, _ranges(split_sizes)[position]), new)


def _unbound_back(base: Node, new: Node, dim: int = 0, *, position: int) -> Node:
    return _select_scatter(base, new, dim, position)


def _unfolded_back(base: Node, new: Node, dimension: int, size: int, step: int) -> Node:
    flat = reshape(base, (-1,))
    places = reshape_like(cumsum(full_like(flat, 1, dtype=torch.int64), 0) - 1, base)
    return put(base, unfold(places, dimension, size, step), new)


def _alias_back(_: Node, new: Node) -> Node:
    return new


def _t_back(_: Node, new: Node) -> Node:
    return _t(new)


def _transposed_back(_: Node, new: Node, dim0: int, dim1: int) -> Node:
    return transpose(new, dim0, dim1)


def _conj_back(_: Node, new: Node) -> Node:
    return conj(new)


def _neg_back(_: Node, new: Node) -> Node:
    return -new


def _real_back(base: Node, new: Node) -> Node:
    return new + imag(base) * 1j


def _imag_back(base: Node, new: Node) -> Node:
    return real(base) + new * 1j


def _view_as_real_back(_: Node, new: Node) -> Node:
    return getitem(new, (..., 0)) + getitem(new, (..., 1)) * 1j


def _view_as_complex_back(_: Node, new: Node) -> Node:
    return stack([real(new), imag(new)], -1)


WRITE_BACK: Builders = {
    'aten.alias.default': _alias_back,
    'aten.as_strided.default': as_strided_scatter,
    'aten.diagonal.default': diagonal_scatter,
    'aten.permute.default': _permuted_back,
    'aten.real.default': _real_back,
    'aten.imag.default': _imag_back,
    'aten.select.int': _select_scatter,
    'aten.slice.Tensor': _slice_scatter,
    'aten.split.Tensor': _split_back,
    'aten.split_with_sizes.default': _split_with_sizes_back,
    'aten.squeeze.default': _reshaped_back,
    'aten.squeeze.dim': _reshaped_back,
    'aten.squeeze.dims': _reshaped_back,
    'aten.t.default': _t_back,
    'aten.transpose.int': _transposed_back,
    'aten.unbind.int': _unbound_back,
    'aten.unfold.default': _unfolded_back,
    'aten.unsqueeze.default': _reshaped_back,
    'aten.view.default': _reshaped_back,
    'aten.view_as_complex.default': _view_as_complex_back,
    'aten.view_as_real.default': _view_as_real_back,
    'aten._conj.default': _conj_back,
    'aten._neg_view.default': _neg_back,
    'aten._reshape_alias.default': _reshaped_back,
    'aten._unsafe_view.default': _reshaped_back,
}
