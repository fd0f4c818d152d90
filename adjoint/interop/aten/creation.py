"""ATen: copies and creation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Number
from adjoint.interop.aten.table import Builders
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.device import to_device
from adjoint.ops.extent import size_value
from adjoint.ops.linear import broadcast_to, cast, expand_like
from adjoint.ops.ranges import arange, eye, full, full_like, linspace, logspace, triangle_indices
from adjoint.ops.tiling import repeated_index

__all__ = ['BUILDERS']

Device = torch.device | str | None

# Where a tensor lies and how says nothing of its value; such options are taken and left.
Options = Any


def _to_copy(self: Node, *, dtype: torch.dtype | None = None, device: Device = None, **_: Options) -> Node:
    made = self if dtype is None else cast(self, dtype)
    return made if device is None else to_device(made, device)


def _copy(self: Node, src: Node, *_: Options, **__: Options) -> Node:
    return expand_like(src, self)


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
    'aten.arange.default': _arange_to,
    'aten.arange.start': _arange,
    'aten.arange.start_step': _arange,
    'aten.copy': _copy,
    'aten.empty.memory_format': _filled(0),
    'aten.empty_like.default': _like(0),
    'aten.empty_permuted': _filled(0),
    'aten.empty_strided': _filled(0),
    'aten.eye.default': _eye,
    'aten.eye.m': _eye_m,
    'aten.fill.Scalar': full_like,
    'aten.fill.Tensor': _full_like,
    'aten.full.default': _full,
    'aten.full_like.default': _full_like,
    'aten.linspace.default': _linspace,
    'aten.logspace.default': _logspace,
    'aten.new_empty': _new(0),
    'aten.new_empty_strided': _new(0),
    'aten.new_full': _new_full,
    'aten.new_ones': _new(1),
    'aten.new_zeros': _new(0),
    'aten.ones.default': _filled(1),
    'aten.ones_like.default': _like(1),
    'aten.repeat_interleave.Tensor': _repeat_interleave,
    'aten.scalar_tensor': _scalar_tensor,
    'aten._to_copy': _to_copy,
    'aten.tril_indices': _triangle(upper=False),
    'aten.triu_indices': _triangle(upper=True),
    'aten.zero': zeros_like,
    'aten.zeros.default': _filled(0),
    'aten.zeros_like.default': _like(0),
}
