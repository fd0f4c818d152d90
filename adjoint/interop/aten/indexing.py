"""ATen: indexing, scattering, sorting."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Number
from adjoint.core.operand import as_node
from adjoint.interop.aten.table import Builders
from adjoint.ops.index import gather, getitem, index_add, index_select, scatter_add
from adjoint.ops.linear import cast, expand_as
from adjoint.ops.ordering import (
    Ranked,
    argsort,
    bincount,
    histc,
    kthvalue,
    median,
    mode,
    nanmedian,
    nonzero,
    searchsorted,
    sort,
    topk,
)  # fmt: skip
from adjoint.ops.ranges import full_like
from adjoint.ops.scatter import (
    index_copy,
    index_fill,
    index_put,
    masked_fill,
    masked_scatter,
    masked_select,
    put,
    scatter,
    take,
)  # fmt: skip
from adjoint.ops.scatter_reduce import index_reduce, scatter_reduce, segment_reduce
from adjoint.ops.select import where

__all__ = ['BUILDERS']

Index = Sequence[Node | None]


def _parts(indices: Index) -> tuple[Any, ...]:
    return tuple(slice(None) if index is None else index for index in indices)


def _index(self: Node, indices: Index) -> Node:
    return getitem(self, _parts(indices))


def _index_put(
    self: Node, indices: Index, values: Node, accumulate: bool = False, *_: Any, **__: Any
) -> Node:
    return index_put(self, _parts(indices), values, accumulate)


def _within(mask: Node, indices: Index) -> tuple[Any, ...]:
    """Return positions that exist: those that the mask leaves out may not."""
    return _parts([None if index is None else where(mask, index, 0) for index in indices])


def _masked_index(self: Node, mask: Node, indices: Index, fill: Number) -> Node:
    return masked_fill(getitem(self, _within(mask, indices)), where(mask, False, True), fill)


def _masked_index_put(self: Node, mask: Node, indices: Index, values: Node) -> Node:
    kept = masked_fill(values, where(mask, False, True), 0)
    return index_put(self, _within(mask, indices), kept, accumulate=True)


def _of_dtype(value: Node, like: Node) -> Node:
    known = None if like.type is None else like.type.dtype
    return value if known is None else cast(value, known)


def _masked_fill(self: Node, mask: Node, value: Node) -> Node:
    return masked_fill(self, mask, _of_dtype(value, self))


def _index_fill(self: Node, dim: int, index: Node, value: Node) -> Node:
    # A choice, and not a copy: an entry that the index names twice counts once.
    mask = index_fill(full_like(self, False, dtype=torch.bool), dim, index, True)
    return where(mask, _of_dtype(value, self), self)


def _index_add(self: Node, dim: int, index: Node, source: Node, *, alpha: Number = 1) -> Node:
    return index_add(self, dim, index, source if alpha == 1 else source * alpha)


_BY_NAME = {'add': 'sum', 'multiply': 'prod'}


def _scatter(self: Node, dim: int, index: Node, src: Node, *, reduce: str) -> Node:
    return scatter_reduce(self, dim, index, src, _BY_NAME[reduce])


def _scatter_value(self: Node, dim: int, index: Node, value: Number, *, reduce: str) -> Node:
    number = expand_as(_of_dtype(as_node(value, 'scatter'), self), index)
    return scatter_reduce(self, dim, index, number, _BY_NAME[reduce])


def _segment_reduce(
    data: Node,
    reduce: str,
    *,
    lengths: Node | None = None,
    offsets: Node | None = None,
    axis: int = 0,
    initial: float | None = None,
    **_: Any,
) -> Node:
    return segment_reduce(data, reduce, lengths=lengths, offsets=offsets, axis=axis, initial=initial)


def _stable_sort(self: Node, *, stable: bool | None, dim: int = -1, descending: bool = False) -> Ranked:
    return sort(self, dim, descending, stable=bool(stable))


def _stable_argsort(self: Node, *, stable: bool, dim: int = -1, descending: bool = False) -> Node:
    return argsort(self, dim, descending, stable=stable)


def _searchsorted(
    sorted_sequence: Node,
    self: Node | Number,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Node | None = None,
) -> Node:
    return searchsorted(
        sorted_sequence, self, out_int32=out_int32, right=right or side == 'right', sorter=sorter
    )


def _bucketize(
    self: Node | Number, boundaries: Node, *, out_int32: bool = False, right: bool = False
) -> Node:
    return searchsorted(boundaries, self, out_int32=out_int32, right=right)


def _where(condition: Node, self: Node | Number, other: Node | Number) -> Node:
    return where(condition, self, other)


def _along(rank: Callable[..., Any]) -> Callable[..., Any]:
    def build(self: Node, dim: int, keepdim: bool = False) -> Any:
        return rank(self, dim, keepdim)

    return build


def _gather(self: Node, dim: int, index: Node, **_: Any) -> Node:
    return gather(self, dim, index)


BUILDERS: Builders = {
    'aten.argsort.default': argsort,
    'aten.argsort.stable': _stable_argsort,
    'aten.bincount': bincount,
    'aten.bucketize': _bucketize,
    'aten.gather': _gather,
    'aten.histc': histc,
    'aten.index.Tensor': _index,
    'aten.index_add': _index_add,
    'aten.index_copy': index_copy,
    'aten.index_fill.int_Scalar': index_fill,
    'aten.index_fill.int_Tensor': _index_fill,
    'aten.index_put': _index_put,
    'aten.index_reduce': index_reduce,
    'aten.index_select.default': index_select,
    'aten._index_put_impl': _index_put,
    'aten.kthvalue.default': kthvalue,
    'aten.masked_fill.Scalar': masked_fill,
    'aten.masked_fill.Tensor': _masked_fill,
    'aten.masked_scatter': masked_scatter,
    'aten.masked_select': masked_select,
    'aten.median.default': median,
    'aten.median.dim': _along(median),
    'aten.mode.default': mode,
    'aten.nanmedian.default': nanmedian,
    'aten.nanmedian.dim': _along(nanmedian),
    'aten.nonzero': nonzero,
    'aten.put': put,
    'aten.scatter.reduce': _scatter,
    'aten.scatter.src': scatter,
    'aten.scatter.value': scatter,
    'aten.scatter.value_reduce': _scatter_value,
    'aten.scatter_add.default': scatter_add,
    'aten.scatter_reduce.two': scatter_reduce,
    'aten.searchsorted': _searchsorted,
    'aten.segment_reduce': _segment_reduce,
    'aten.sort.default': sort,
    'aten.sort.stable': _stable_sort,
    'aten.take': take,
    'aten.topk.default': topk,
    'aten.where.Scalar': _where,
    'aten.where.ScalarOther': _where,
    'aten.where.ScalarSelf': _where,
    'aten.where.self': _where,
    'aten._unsafe_index.Tensor': _index,
    'aten._unsafe_index_put': _index_put,
    'aten._unsafe_masked_index': _masked_index,
    'aten._unsafe_masked_index_put_accumulate': _masked_index_put,
}
