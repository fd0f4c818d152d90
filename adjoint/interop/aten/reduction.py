"""ATen: reductions and running reductions."""

from collections.abc import Callable
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops.cumulative import cumprod, logcumsumexp, prod
from adjoint.ops.linear import cast
from adjoint.ops.moments import nanmean, nansum, std, var
from adjoint.ops.ordering import cummax, cummin
from adjoint.ops.reduction import (
    Dims,
    all_,
    amax,
    amin,
    any_,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    mean,
    sum_,
)  # fmt: skip
from adjoint.ops.step import ne
from adjoint.ops.torch_names import max_, min_

__all__ = ['BUILDERS']

Dtype = torch.dtype | None


def _whole(reduce: Callable[[Node], Node]) -> Callable[..., Node]:
    def build(self: Node, *, dtype: Dtype = None) -> Node:
        return reduce(self if dtype is None else cast(self, dtype))

    return build


def _over(reduce: Callable[..., Node]) -> Callable[..., Node]:
    def build(self: Node, dim: Dims = None, keepdim: bool = False, *, dtype: Dtype = None) -> Node:
        return reduce(self if dtype is None else cast(self, dtype), dim, keepdim)

    return build


def _running(op: Callable[..., Node]) -> Callable[..., Node]:
    def build(self: Node, dim: int, *, dtype: Dtype = None) -> Node:
        return op(self if dtype is None else cast(self, dtype), dim)

    return build


def _along(extreme: Callable[..., Any]) -> Callable[..., Any]:
    def build(self: Node, dim: int, keepdim: bool = False) -> Any:
        return extreme(self, dim, keepdim)

    return build


def _aminmax(self: Node, *, dim: int | None = None, keepdim: bool = False) -> tuple[Node, Node]:
    return amin(self, dim, keepdim), amax(self, dim, keepdim)


def _moment(spread: Callable[..., Node], *, and_mean: bool) -> Callable[..., Any]:
    def build(
        self: Node, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
    ) -> Node | tuple[Node, Node]:
        value = spread(self, dim, keepdim, 1 if correction is None else correction)
        return (value, mean(self, dim, keepdim)) if and_mean else value

    return build


def _unbiased(spread: Callable[..., Node], *, and_mean: bool) -> Callable[..., Any]:
    moment = _moment(spread, and_mean=and_mean)

    def build(self: Node, dim: Dims, unbiased: bool = True, keepdim: bool = False) -> Any:
        return moment(self, dim, correction=int(unbiased), keepdim=keepdim)

    return build


def _whole_unbiased(spread: Callable[..., Node], *, and_mean: bool) -> Callable[..., Any]:
    moment = _moment(spread, and_mean=and_mean)

    def build(self: Node, unbiased: bool = True) -> Any:
        return moment(self, correction=int(unbiased))

    return build


def _count_nonzero(self: Node, dim: Dims = None) -> Node:
    return sum_(ne(self, 0), dim)


BUILDERS: Builders = {
    'aten.all': _over(all_),
    'aten.amax': _over(amax),
    'aten.amin': _over(amin),
    'aten.aminmax': _aminmax,
    'aten.any': _over(any_),
    'aten.argmax': argmax,
    'aten.argmin': argmin,
    'aten.count_nonzero': _count_nonzero,
    'aten.cummax.default': cummax,
    'aten.cummin.default': cummin,
    'aten.cumprod.default': _running(cumprod),
    'aten.cumsum.default': _running(cumsum),
    'aten.logcumsumexp.default': logcumsumexp,
    'aten.logsumexp.default': logsumexp,
    'aten.max.default': _whole(amax),
    'aten.max.dim': _along(max_),
    'aten.mean.default': _whole(mean),
    'aten.mean.dim': _over(mean),
    'aten.min.default': _whole(amin),
    'aten.min.dim': _along(min_),
    'aten.nanmean': _over(nanmean),
    'aten.nansum': _over(nansum),
    'aten.prod.default': _whole(prod),
    'aten.prod.dim_int': _over(prod),
    'aten.std.default': _whole_unbiased(std, and_mean=False),
    'aten.std.dim': _unbiased(std, and_mean=False),
    'aten.std.correction': _moment(std, and_mean=False),
    'aten.std_mean.default': _whole_unbiased(std, and_mean=True),
    'aten.std_mean.dim': _unbiased(std, and_mean=True),
    'aten.std_mean.correction': _moment(std, and_mean=True),
    'aten.sum.default': _whole(sum_),
    'aten.sum.dim_IntList': _over(sum_),
    'aten.var.default': _whole_unbiased(var, and_mean=False),
    'aten.var.dim': _unbiased(var, and_mean=False),
    'aten.var.correction': _moment(var, and_mean=False),
    'aten.var_mean.default': _whole_unbiased(var, and_mean=True),
    'aten.var_mean.dim': _unbiased(var, and_mean=True),
    'aten.var_mean.correction': _moment(var, and_mean=True),
    'aten._is_all_true': all_,
    'aten._is_any_true': any_,
}
