"""ATen: shapes, views, copies and creation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoint.core.extent import Extent
from adjoint.core.node import Node, Number
from adjoint.interop.aten.table import Builders
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.diagonal import diag_embed, diagonal, diagonal_scatter, trace
from adjoint.ops.extent import size_value
from adjoint.ops.index import getitem
from adjoint.ops.linear import (
    broadcast_to,
    cast,
    conj,
    expand_like,
    imag,
    real,
    to_device,
)  # fmt: skip
from adjoint.ops.ranges import arange, eye, full, full_like, linspace, logspace, triangle_indices
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
from adjoint.ops.tiling import block_diag, repeat, repeated_index, roll, rot90
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
    return [slice(start, end) for start, end in zip(ends, ends[1:], strict=False)]


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


def _expand(self: Node, size: Sequence[int], *, implicit: bool = False) -> Node:
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


# -- copies -----------------------------------------------------------------------------------


def _to_copy(self: Node, *, dtype: torch.dtype | None = None, device: Device = None, **_: Options) -> Node:
    made = self if dtype is None else cast(self, dtype)
    return made if device is None else to_device(made, device)


def _copy(self: Node, src: Node, non_blocking: bool = False) -> Node:
    return expand_like(src, self)


# -- creation ---------------------------------------------------------------------------------


def _number(value: Any) -> Any:
    """Return a number of the program: a size that is calculated with comes as a node."""
    return value.attrs['size'] if isinstance(value, Node) and value.op is size_value else value


def _full(
    size: Sequence[int],
    fill_value: Number | Node,
    *,
    dtype: torch.dtype | None = None,
    device: Device = None,
    **_: Options,
) -> Node:
    if isinstance(fill_value, Node):
        return broadcast_to(_to_copy(fill_value, dtype=dtype, device=device), size)
    return full(size, fill_value, dtype=dtype, device=device)


def _filled(value: Number) -> Callable[..., Node]:
    def make(
        size: Sequence[int],
        *_: Options,
        dtype: torch.dtype | None = None,
        device: Device = None,
        **__: Options,
    ) -> Node:
        return full(size, value, dtype=dtype or torch.get_default_dtype(), device=device)

    return make


def _full_like(
    self: Node,
    fill_value: Number | Node,
    *,
    dtype: torch.dtype | None = None,
    device: Device = None,
    **_: Options,
) -> Node:
    if isinstance(fill_value, Node):
        made = expand_like(fill_value, self if dtype is None else cast(self, dtype))
    else:
        made = full_like(self, fill_value, dtype=dtype)
    return made if device is None else to_device(made, device)


def _like(value: Number) -> Callable[..., Node]:
    short = zeros_like if value == 0 else ones_like

    def make(self: Node, *, dtype: torch.dtype | None = None, device: Device = None, **_: Options) -> Node:
        made = short(self) if dtype is None else full_like(self, value, dtype=dtype)
        return made if device is None else to_device(made, device)

    return make


def _new_full(
    self: Node,
    size: Sequence[int],
    fill_value: Number | Node,
    *,
    dtype: torch.dtype | None = None,
    device: Device = None,
    **_: Options,
) -> Node:
    known = self.type
    dtype = dtype or (None if known is None else known.dtype)
    if dtype is None:
        msg = f'a new tensor of the dtype of one whose dtype is not known: {known}'
        raise NotImplementedError(msg)
    return _full(size, fill_value, dtype=dtype, device=device or (None if known is None else known.device))


def _new(value: Number) -> Callable[..., Node]:
    def make(self: Node, size: Sequence[int], *_: Options, **options: Options) -> Node:
        return _new_full(self, size, value, **options)

    return make


def _arange(
    start: Number,
    end: Number,
    step: Number = 1,
    *,
    dtype: torch.dtype | None = None,
    device: Device = None,
    **_: Options,
) -> Node:
    return arange(_number(start), _number(end), _number(step), dtype=dtype, device=device)


def _arange_to(end: Number, **options: Options) -> Node:
    return _arange(0, end, **options)


def _linspace(
    start: Number,
    end: Number,
    steps: int,
    *,
    dtype: torch.dtype | None = None,
    device: Device = None,
    **_: Options,
) -> Node:
    return linspace(_number(start), _number(end), steps, dtype=dtype, device=device)


def _logspace(
    start: Number,
    end: Number,
    steps: int,
    base: float = 10.0,
    *,
    dtype: torch.dtype | None = None,
    device: Device = None,
    **_: Options,
) -> Node:
    return logspace(_number(start), _number(end), steps, base, dtype=dtype, device=device)


def _eye(n: int, *, dtype: torch.dtype | None = None, device: Device = None, **_: Options) -> Node:
    return eye(n, dtype=dtype, device=device)


def _eye_m(n: int, m: int, *, dtype: torch.dtype | None = None, device: Device = None, **_: Options) -> Node:
    return eye(n, m, dtype=dtype, device=device)


def _scalar_tensor(
    s: Number | Node, *, dtype: torch.dtype | None = None, device: Device = None, **_: Options
) -> Node:
    if not isinstance(s, Node) and dtype is None:
        dtype = torch.scalar_tensor(s).dtype  # floating also of integers
    return _full((), s, dtype=dtype, device=device)


def _triangle(*, upper: bool) -> Callable[..., Node]:
    def make(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: torch.dtype | None = None,
        device: Device = None,
        **_: Options,
    ) -> Node:
        return triangle_indices(row, col, offset, upper=upper, dtype=dtype or torch.int64, device=device)

    return make


def _repeat_interleave(repeats: Node, *, output_size: int | None = None) -> Node:
    return repeated_index(repeats, output_size=output_size)


BUILDERS: Builders = {
    'aten.alias': _same,
    'aten.arange.default': _arange_to,
    'aten.arange.start': _arange,
    'aten.arange.start_step': _arange,
    'aten.as_strided': as_strided,
    'aten.as_strided_scatter': as_strided_scatter,
    'aten.block_diag': block_diag,
    'aten.cat': _cat,
    'aten.clone.default': _same,
    'aten.contiguous': _same,
    'aten.copy': _copy,
    'aten.diag_embed': diag_embed,
    'aten.diagonal.default': diagonal,
    'aten.diagonal_scatter': diagonal_scatter,
    'aten.empty.memory_format': _filled(0),
    'aten.empty_like.default': _like(0),
    'aten.empty_permuted': _filled(0),
    'aten.empty_strided': _filled(0),
    'aten.expand.default': _expand,
    'aten.eye.default': _eye,
    'aten.eye.m': _eye_m,
    'aten.fill.Scalar': full_like,
    'aten.fill.Tensor': _full_like,
    'aten.flip': flip,
    'aten.full.default': _full,
    'aten.full_like.default': _full_like,
    'aten.lift': _same,
    'aten.lift_fresh': _same,
    'aten.lift_fresh_copy': _same,
    'aten.linspace.default': _linspace,
    'aten.logspace.default': _logspace,
    'aten.new_empty': _new(0),
    'aten.new_empty_strided': _new(0),
    'aten.new_full': _new_full,
    'aten.new_ones': _new(1),
    'aten.new_zeros': _new(0),
    'aten.ones.default': _filled(1),
    'aten.ones_like.default': _like(1),
    'aten.permute.default': permute,
    'aten.repeat': repeat,
    'aten.repeat_interleave.Tensor': _repeat_interleave,
    'aten.reshape': reshape,
    'aten.roll': roll,
    'aten.rot90': rot90,
    'aten.scalar_tensor': _scalar_tensor,
    'aten.select.int': _select,
    'aten.select_scatter': _select_scatter,
    'aten.slice.Tensor': _slice,
    'aten.slice_scatter': _slice_scatter,
    'aten.split.Tensor': _split,
    'aten.split_with_sizes': _split_with_sizes,
    'aten.squeeze': squeeze,
    'aten.stack': stack,
    'aten.t': _t,
    'aten._to_copy': _to_copy,
    'aten.trace': trace,
    'aten.transpose.int': transpose,
    'aten.tril': tril,
    'aten.tril_indices': _triangle(upper=False),
    'aten.triu': triu,
    'aten.triu_indices': _triangle(upper=True),
    'aten.unbind.int': _unbind,
    'aten.unfold.default': unfold,
    'aten.unfold_backward': _unfold_backward,
    'aten.unsafe_split.Tensor': _split,
    'aten.unsafe_split_with_sizes': _split_with_sizes,
    'aten.unsqueeze.default': unsqueeze,
    'aten.view.default': reshape,
    'aten.view.dtype': _view_dtype,
    'aten._reshape_alias': lambda self, size, stride: reshape(self, size),
    'aten._unsafe_view': reshape,
    'aten.zero': zeros_like,
    'aten.zeros.default': _filled(0),
    'aten.zeros_like.default': _like(0),
}


# -- writes through views ---------------------------------------------------------------------


def _reshaped_back(base: Node, new: Node, *_: Options, **__: Options) -> Node:
    return reshape_like(new, base)


def _permuted_back(base: Node, new: Node, dims: Sequence[int]) -> Node:
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


WRITE_BACK: Builders = {
    'aten.alias.default': lambda base, new: new,
    'aten.as_strided.default': as_strided_scatter,
    'aten.diagonal.default': diagonal_scatter,
    'aten.permute.default': _permuted_back,
    'aten.real.default': lambda base, new: new + imag(base) * 1j,
    'aten.imag.default': lambda base, new: real(base) + new * 1j,
    'aten.select.int': _select_scatter,
    'aten.slice.Tensor': _slice_scatter,
    'aten.split.Tensor': _split_back,
    'aten.split_with_sizes.default': _split_with_sizes_back,
    'aten.squeeze.default': _reshaped_back,
    'aten.squeeze.dim': _reshaped_back,
    'aten.squeeze.dims': _reshaped_back,
    'aten.t.default': lambda base, new: _t(new),
    'aten.transpose.int': lambda base, new, dim0, dim1: transpose(new, dim0, dim1),
    'aten.unbind.int': _unbound_back,
    'aten.unfold.default': _unfolded_back,
    'aten.unsqueeze.default': _reshaped_back,
    'aten.view.default': _reshaped_back,
    'aten.view_as_complex.default': lambda base, new: stack([real(new), imag(new)], -1),
    'aten.view_as_real.default': lambda base, new: getitem(new, (..., 0)) + getitem(new, (..., 1)) * 1j,
    'aten._conj.default': lambda base, new: conj(new),
    'aten._neg_view.default': lambda base, new: -new,
    'aten._reshape_alias.default': _reshaped_back,
    'aten._unsafe_view.default': _reshaped_back,
}
