"""ATen: writes through views."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.layout import BUILDERS, along, positions_from, ranges_of, size_of, total
from adjoint.interop.aten.table import Builders
from adjoint.ops.diagonal import diagonal_scatter
from adjoint.ops.index import getitem
from adjoint.ops.linear import conj, imag, real
from adjoint.ops.ranges import full_like
from adjoint.ops.reduction import cumsum
from adjoint.ops.scatter import index_put, put
from adjoint.ops.shape import permute, reshape, reshape_like, stack, transpose
from adjoint.ops.window import as_strided_scatter

__all__ = ['WRITE_BACK', 'put_back']


def put_back(base: Node, new: Node, view: Callable[[Node], Node]) -> Node:
    """Return a base with its entries that a view shows replaced: for any view that only picks and moves.

    Parameters
    ----------
    base : Node
        What is viewed.
    new : Node
        The new value of the view.
    view : callable
        Makes the view of a node of the shape of the base; it is shown the positions of the entries.
    """
    flat = reshape(base, (-1,))
    places = cumsum(full_like(flat, 1, dtype=torch.int64), 0) - 1
    return put(base, view(reshape_like(places, base)), new)


def _by_place(name: str) -> Callable[..., Node]:
    """Return the way back of the view of that name."""

    def back(base: Node, new: Node, *args: Any, position: int | None = None, **options: Any) -> Node:
        def view(places: Node) -> Node:
            made = BUILDERS[name](places, *args, **options)
            return made if position is None else made[position]

        return put_back(base, new, view)

    return back


def _undone(name: str) -> Callable[..., Node]:
    """Return the way back of the view of that name, which is its own inverse."""

    def back(_: Node, new: Node, *args: Any) -> Node:
        return BUILDERS[name](new, *args)

    return back


def _reshaped(base: Node, new: Node, *_: Any, **__: Any) -> Node:
    return reshape_like(new, base)


def _permuted(_: Node, new: Node, dims: Sequence[int]) -> Node:
    places = [d % len(dims) for d in dims]
    return permute(new, [places.index(i) for i in range(len(dims))])


def _selected(base: Node, new: Node, dim: int, index: int) -> Node:
    return index_put(base, along(dim, index), new)


def _sliced(
    base: Node, new: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Node:
    return index_put(base, along(dim, slice(start, end, step)), new)


def _narrowed(base: Node, new: Node, dim: int, start: int, length: int) -> Node:
    return _sliced(base, new, dim, start, total([start, length]))


def _narrowed_at(base: Node, new: Node, dim: int, start: Node, length: int) -> Node:
    return index_put(base, along(dim, positions_from(start, length)), new)


def _split(base: Node, new: Node, split_size: int, dim: int = 0, *, position: int) -> Node:
    start = position * split_size
    return _sliced(base, new, dim, start, start + split_size)


def _split_with_sizes(
    base: Node, new: Node, split_sizes: Sequence[int], dim: int = 0, *, position: int
) -> Node:
    return index_put(base, along(dim, ranges_of(split_sizes)[position]), new)


def _chunked(base: Node, new: Node, chunks: int, dim: int = 0, *, position: int) -> Node:
    return _split(base, new, -(-size_of(base, dim, 'chunk') // chunks), dim, position=position)


def _unbound(base: Node, new: Node, dim: int = 0, *, position: int) -> Node:
    return _selected(base, new, dim, position)


def _alias(_: Node, new: Node) -> Node:
    return new


def _kept(_: Node, new: Node, *__: Any, **___: Any) -> Node:
    """What is a view only where it has nothing to change: ``to`` of the dtype that a tensor has."""
    return new


def _transposed(_: Node, new: Node, dim0: int, dim1: int) -> Node:
    return transpose(new, dim0, dim1)


def _conjugated(_: Node, new: Node) -> Node:
    return conj(new)


def _negated(_: Node, new: Node) -> Node:
    return -new


def _real(base: Node, new: Node) -> Node:
    return new + imag(base) * 1j


def _imag(base: Node, new: Node) -> Node:
    return real(base) + new * 1j


def _view_as_real(_: Node, new: Node) -> Node:
    return getitem(new, (..., 0)) + getitem(new, (..., 1)) * 1j


def _view_as_complex(_: Node, new: Node) -> Node:
    return stack([real(new), imag(new)], -1)


WRITE_BACK: Builders = {
    'aten.alias.default': _alias,
    'aten.as_strided.default': as_strided_scatter,
    'aten.chunk.default': _chunked,
    'aten.contiguous.default': _kept,
    'aten.diagonal.default': diagonal_scatter,
    'aten.expand.default': _by_place('aten.expand.default'),
    'aten.expand_as.default': _reshaped,
    'aten.flatten.using_ints': _reshaped,
    'aten.imag.default': _imag,
    'aten.mT.default': _undone('aten.mT'),
    'aten.moveaxis.int': _by_place('aten.moveaxis.int'),
    'aten.moveaxis.intlist': _by_place('aten.moveaxis.intlist'),
    'aten.movedim.int': _by_place('aten.movedim.int'),
    'aten.movedim.intlist': _by_place('aten.movedim.intlist'),
    'aten.narrow.default': _narrowed,
    'aten.narrow.Tensor': _narrowed_at,
    'aten.numpy_T.default': _undone('aten.numpy_T'),
    'aten.permute.default': _permuted,
    'aten.real.default': _real,
    'aten.reshape.default': _reshaped,
    'aten.select.int': _selected,
    'aten.slice.Tensor': _sliced,
    'aten.split.Tensor': _split,
    'aten.split.sizes': _split_with_sizes,
    'aten.split_with_sizes.default': _split_with_sizes,
    'aten.squeeze.default': _reshaped,
    'aten.squeeze.dim': _reshaped,
    'aten.squeeze.dims': _reshaped,
    'aten.swapaxes.default': _transposed,
    'aten.swapdims.default': _transposed,
    'aten.t.default': _undone('aten.t'),
    'aten.tensor_split.indices': _by_place('aten.tensor_split.indices'),
    'aten.tensor_split.sections': _by_place('aten.tensor_split.sections'),
    'aten.to.device': _kept,
    'aten.to.dtype': _kept,
    'aten.to.dtype_layout': _kept,
    'aten.to.other': _kept,
    'aten.transpose.int': _transposed,
    'aten.unbind.int': _unbound,
    'aten.unflatten.int': _reshaped,
    'aten.unfold.default': _by_place('aten.unfold.default'),
    'aten.unsqueeze.default': _reshaped,
    'aten.view.default': _reshaped,
    'aten.view_as.default': _reshaped,
    'aten.view_as_complex.default': _view_as_complex,
    'aten.view_as_real.default': _view_as_real,
    'aten._conj.default': _conjugated,
    'aten._neg_view.default': _negated,
    'aten._reshape_alias.default': _reshaped,
    'aten._unsafe_view.default': _reshaped,
}
