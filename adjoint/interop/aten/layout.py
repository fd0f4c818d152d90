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
from adjoint.ops.linear import broadcast_to, expand_as
from adjoint.ops.ranges import arange, full
from adjoint.ops.scatter import index_put
from adjoint.ops.shape import (
    cat,
    flatten,
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

__all__ = ['BUILDERS', 'along', 'positions_from', 'ranges_of', 'size_of', 'total']


Device = torch.device | str | None

# Where a tensor lies and how says nothing of its value; such options are taken and left.
Options = Any


# -- indices ----------------------------------------------------------------------------------


def along(dim: int, part: Any) -> tuple[Any, ...]:
    """Return the index that has a part at one axis and takes all of the others."""
    rest = slice(None)
    return (*[rest] * dim, part) if dim >= 0 else (..., part, *[rest] * (-dim - 1))


def _select(self: Node, dim: int, index: int) -> Node:
    return getitem(self, along(dim, index))


def _slice(self: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Node:
    return getitem(self, along(dim, slice(start, end, step)))


def total(sizes: Sequence[int]) -> int:
    """Return a sum of which some terms may be names."""
    if any(isinstance(s, Extent) for s in sizes):
        return Extent(' + '.join(f'({s})' for s in sizes))  # pyright: ignore[reportReturnType] a size by name
    return sum(sizes)


def ranges_of(sizes: Sequence[int]) -> list[slice]:
    """Return slices of given sizes, one after the other."""
    ends = [total(sizes[:i]) for i in range(len(sizes) + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def size_of(a: Node, dim: int, wanted_by: str) -> int:
    """Return the size of an axis that says how many tensors there are."""
    size = None if a.type is None or a.type.shape is None else a.type.shape[dim]
    if not isinstance(size, int):
        msg = f'{wanted_by} makes as many tensors as an axis has entries, which is not known: {a.type}'
        raise NotImplementedError(msg)
    return size


def _split(self: Node, split_size: int, dim: int = 0) -> list[Node]:
    size = size_of(self, dim, 'split')
    starts = range(0, max(size, 1), split_size) if split_size else [0]
    return [getitem(self, along(dim, slice(s, min(s + split_size, size)))) for s in starts]


def _split_with_sizes(self: Node, split_sizes: Sequence[int], dim: int = 0) -> list[Node]:
    return [getitem(self, along(dim, part)) for part in ranges_of(split_sizes)]


def _tensor_split(self: Node, sections: int, dim: int = 0) -> list[Node]:
    size = size_of(self, dim, 'tensor_split')
    longer = size % sections
    return _split_with_sizes(self, [size // sections + (i < longer) for i in range(sections)], dim)


def _tensor_split_at(self: Node, indices: Sequence[int], dim: int = 0) -> list[Node]:
    bounds = [None, *indices, None]
    return [getitem(self, along(dim, slice(start, end))) for start, end in pairwise(bounds)]


def _unbind(self: Node, dim: int = 0) -> list[Node]:
    return [_select(self, dim, i) for i in range(size_of(self, dim, 'unbind'))]


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


def _view_as(self: Node, other: Node) -> Node:
    return reshape_like(self, other)


def _expand_as(self: Node, other: Node) -> Node:
    return expand_as(self, other)


def _narrow(self: Node, dim: int, start: int, length: int) -> Node:
    return getitem(self, along(dim, slice(start, total([start, length]))))


def positions_from(start: Node, length: int) -> Node:
    """Return the positions of a part whose start is a value, which may count from the end."""
    return start + arange(0, length)


def _narrow_at(self: Node, dim: int, start: Node, length: int) -> Node:
    return getitem(self, along(dim, positions_from(start, length)))


def _chunk(self: Node, chunks: int, dim: int = 0) -> list[Node]:
    size = size_of(self, dim, 'chunk')
    return _split(self, -(-size // chunks), dim) if size else [self] * chunks


def _reversed_axes(self: Node) -> Node:
    return permute(self, range(_rank(self) - 1, -1, -1))


def _last_two(self: Node) -> Node:
    return transpose(self, -2, -1)


def _moved(count: int, source: Sequence[int], destination: Sequence[int]) -> list[int]:
    """Return the order of axes in which some stand at given places, and the rest as they did."""
    # A number has one axis to name, and none to move.
    to = {d % max(count, 1): s % max(count, 1) for s, d in zip(source, destination, strict=True)}
    rest = (axis for axis in range(count) if axis not in to.values())
    return [to[place] if place in to else next(rest) for place in range(count)]


def _movedim(self: Node, source: Sequence[int], destination: Sequence[int]) -> Node:
    return permute(self, _moved(_rank(self), source, destination))


def _movedim_int(self: Node, source: int, destination: int) -> Node:
    return _movedim(self, [source], [destination])


def _rank(a: Node) -> int:
    if a.type is None or a.type.shape is None:
        msg = f'the number of axes has to be known here: {a.type}'
        raise NotImplementedError(msg)
    return len(a.type.shape)


def _cat(tensors: Sequence[Node], dim: int = 0) -> Node:
    shapes = [None if a.type is None else a.type.shape for a in tensors]
    if any(shape is not None and len(shape) > 1 for shape in shapes):
        # torch lets empty vectors stand beside tensors of any shape.
        tensors = [a for a, shape in zip(tensors, shapes, strict=True) if shape != (0,)]
    return cat(tensors, dim)


def _unfold_backward(grad_in: Node, input_sizes: Sequence[int], dim: int, size: int, step: int) -> Node:
    return unfold_backward(grad_in, full(input_sizes, 0.0), dim, size, step)


def _select_scatter(self: Node, src: Node, dim: int, index: int) -> Node:
    return index_put(self, along(dim, index), src)


def _slice_scatter(
    self: Node, src: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Node:
    return index_put(self, along(dim, slice(start, end, step)), src)


def _reshape_alias(self: Node, size: Sequence[int], _: Options) -> Node:
    return reshape(self, size)


BUILDERS: Builders = {
    'aten.alias': _same,
    'aten.as_strided': as_strided,
    'aten.as_strided_scatter': as_strided_scatter,
    'aten.block_diag': block_diag,
    'aten.cat': _cat,
    'aten.chunk': _chunk,
    'aten.clone.default': _same,
    'aten.concat.default': _cat,
    'aten.concatenate.default': _cat,
    'aten.contiguous': _same,
    'aten.diag_embed': diag_embed,
    'aten.diagonal.default': diagonal,
    'aten.diagonal_scatter': diagonal_scatter,
    'aten.expand.default': _expand,
    'aten.expand_as': _expand_as,
    'aten.flatten.using_ints': flatten,
    'aten.flip': flip,
    'aten.lift': _same,
    'aten.lift_fresh': _same,
    'aten.lift_fresh_copy': _same,
    'aten.mT': _last_two,
    'aten.moveaxis.int': _movedim_int,
    'aten.moveaxis.intlist': _movedim,
    'aten.movedim.int': _movedim_int,
    'aten.movedim.intlist': _movedim,
    'aten.narrow.default': _narrow,
    'aten.narrow.Tensor': _narrow_at,
    'aten.numpy_T': _reversed_axes,
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
    'aten.split.sizes': _split_with_sizes,
    'aten.squeeze': squeeze,
    'aten.stack': stack,
    'aten.swapaxes': transpose,
    'aten.swapdims': transpose,
    'aten.t': _t,
    'aten.tensor_split.indices': _tensor_split_at,
    'aten.tensor_split.sections': _tensor_split,
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
    'aten.view_as': _view_as,
    'aten._reshape_alias': _reshape_alias,
    'aten._unsafe_view': reshape,
}
