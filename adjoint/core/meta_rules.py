"""What common ops of ATen give on the meta device: each rule says it by shapes and dtypes alone.

A rule returns ``None`` for what it does not cover, and for what torch refuses: torch is asked then.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any, cast

import torch
from torch._ops import OpOverload

__all__ = ['rule_of']

_aten = torch.ops.aten

# Ops entry by entry that torch does not say are.
_UNTAGGED = frozenset({_aten.hardswish.default, _aten.polar.default})


def rule_of(func: OpOverload) -> Callable[..., Any] | None:
    """Return the rule of an op, if it has one."""
    return _entrywise(func) if func not in _RULES and _is_entrywise(func) else _RULES.get(func)


def _is_entrywise(func: OpOverload) -> bool:
    """Return whether an op works entry by entry."""
    return torch.Tag.pointwise in func.tags or func in _UNTAGGED


def _new(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device='meta')


def _is_inexact(x: torch.Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def _entrywise(func: OpOverload) -> Callable[..., torch.Tensor | None]:
    """Return the rule of an op on entries that broadcast: what it gives of no entries has its dtype."""

    def rule(*args: Any, **kwargs: Any) -> torch.Tensor | None:
        given = [x for x in args if isinstance(x, torch.Tensor)]
        if not given or any(map(_is_tensor, kwargs.values())):
            return None
        empty = [torch.ones((0,) * x.ndim, dtype=x.dtype) if _is_tensor(x) else x for x in args]
        value = func(*empty, **kwargs)
        # Shapes are told by a view, which torch makes without rules in Python.
        if not isinstance(value, torch.Tensor):
            return None
        (first, *_) = cast('list[torch.Tensor]', torch.broadcast_tensors(*given))
        if func.overloadpacket.__name__.endswith('_'):  # in place
            return given[0] if first.shape == given[0].shape else None
        return _new(first.shape, value.dtype)

    return rule


def _is_tensor(x: object) -> bool:
    return isinstance(x, torch.Tensor)


def _has_axis(x: torch.Tensor, dim: int) -> bool:
    """Return whether an axis is there; a scalar passes for a vector."""
    return -max(x.ndim, 1) <= dim < max(x.ndim, 1)


def _like(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return _new(x.shape, x.dtype)


def _triangle(x: torch.Tensor, *_: int) -> torch.Tensor | None:
    return None if x.ndim <= 1 else _like(x)


def _made_like(x: torch.Tensor, *_: Any, dtype: torch.dtype | None = None, **given: Any) -> Any:
    return _new(x.shape, dtype or x.dtype) if all(v is None or v is False for v in given.values()) else None


def _reduced(
    x: torch.Tensor, dim: int | Sequence[int] | None, keepdim: bool, dtype: torch.dtype
) -> torch.Tensor | None:
    """Return the result of a reduction; of no axes, or ``None``, all are reduced."""
    dims = [dim] if isinstance(dim, int) else dim or range(x.ndim)
    if not all(_has_axis(x, d) for d in dims):
        return None
    gone = {d % max(x.ndim, 1) for d in dims}
    if len(gone) < len(dims):
        return None
    shape = [1 if i in gone else size for i, size in enumerate(x.shape) if keepdim or i not in gone]
    return _new(shape, dtype)


def _sum(
    x: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> torch.Tensor | None:
    return _reduced(x, dim, keepdim, dtype or (x.dtype if _is_inexact(x) else torch.int64))


def _mean(x: torch.Tensor, dim: Any = None, keepdim: bool = False, **given: Any) -> torch.Tensor | None:
    return _reduced(x, dim, keepdim, x.dtype) if not given and _is_inexact(x) else None


def _extreme(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor | None:
    return _reduced(x, dim, keepdim, x.dtype) if x.numel() and not x.is_complex() else None


def _holds(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor | None:
    """Give the rule of ``any`` and ``all``."""
    return None if x.dtype == torch.uint8 else _reduced(x, dim, keepdim, torch.bool)


def _cumulative(x: torch.Tensor, dim: int, **kwargs: Any) -> torch.Tensor | None:
    return _like(x) if _is_inexact(x) and not kwargs and _has_axis(x, dim) else None


def _norm(
    x: torch.Tensor, _: object = 2, dim: Any = None, keepdim: bool = False, **given: Any
) -> torch.Tensor | None:
    return _reduced(x, dim, keepdim, x.dtype) if not given and x.is_floating_point() and x.numel() else None


def _flip(x: torch.Tensor, dims: Sequence[int]) -> torch.Tensor | None:
    fits = all(_has_axis(x, d) for d in dims)
    return _like(x) if fits and len({d % max(x.ndim, 1) for d in dims}) == len(dims) else None


def _gather(x: torch.Tensor, dim: int, index: torch.Tensor) -> torch.Tensor | None:
    return _new(index.shape, x.dtype) if _points_into(x, dim, index) else None


def _scatter(
    x: torch.Tensor, dim: int, index: torch.Tensor, source: Any, *_: object, **__: object
) -> torch.Tensor | None:
    if not _points_into(x, dim, index):
        return None
    if isinstance(source, torch.Tensor) and (
        x.dtype != source.dtype
        or source.ndim != index.ndim
        or any(i > s for i, s in zip(index.shape, source.shape, strict=True))
    ):
        return None
    return _like(x)


def _points_into(x: torch.Tensor, dim: int, index: torch.Tensor) -> bool:
    """Return whether an index has an entry along an axis for some places along the others."""
    if index.dtype != torch.int64 or index.ndim != x.ndim or not x.ndim or not _has_axis(x, dim):
        return False
    sizes = zip(index.shape, x.shape, strict=True)
    return all(i <= n or axis == dim % x.ndim for axis, (i, n) in enumerate(sizes))


def _index_add(
    x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, **_: object
) -> torch.Tensor | None:
    if x.dtype != source.dtype or index.ndim != 1 or index.dtype not in {torch.int32, torch.int64}:
        return None
    fits = x.ndim and _has_axis(x, dim) and x.ndim == source.ndim
    if not fits or source.shape[dim] != index.shape[0]:
        return None
    return _like(x) if x.select(dim, 0).shape == source.select(dim, 0).shape else None


def _index(x: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    *before, index = indices
    if (
        index is None
        or index.dtype != torch.int64
        or len(indices) > x.ndim
        or any(i is not None for i in before)
    ):
        return None
    return _new((*x.shape[: len(before)], *index.shape, *x.shape[len(indices) :]), x.dtype)


def _log_sigmoid(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    return (_like(x), _new((0,), x.dtype)) if x.is_floating_point() else None


def _softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> torch.Tensor | None:
    return _like(x) if x.is_floating_point() and not half_to_float and _has_axis(x, dim) else None


def _safe_softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor | None:
    return _softmax(x, dim, half_to_float=False) if dtype is None else None


def _layer_norm(x: torch.Tensor, shape: Sequence[int], *rest: Any) -> tuple[torch.Tensor, ...] | None:
    front = x.ndim - len(shape)
    given = [y for y in rest if isinstance(y, torch.Tensor)]
    if not shape or front < 0 or x.dtype not in {torch.float32, torch.float64}:
        return None
    if any(list(s) != list(shape) for s in (x.shape[front:], *(y.shape for y in given))):
        return None
    if any(y.dtype != x.dtype for y in given):
        return None
    small = (*x.shape[:front], *(1,) * len(shape))
    return _like(x), _new(small, x.dtype), _new(small, x.dtype)


def _layer_norm_backward(ct: torch.Tensor, x: torch.Tensor, *rest: Any) -> tuple[Any, ...] | None:
    of_x, *others = rest[-1]
    fits = ct.shape == x.shape and ct.dtype == x.dtype and x.is_floating_point()
    return (_like(x), None, None) if fits and of_x and not any(others) else None


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    """Give the rule of products of matrices, and of batches of as many."""
    if a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2] or a.dtype != b.dtype:
        return None
    return _new((*a.shape[:-1], b.shape[-1]), a.dtype)


def _mv(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    made = _product(a, b.unsqueeze(-1))
    return None if made is None else made.squeeze(-1)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    fits = a.ndim == b.ndim == 1 and a.shape == b.shape and a.dtype == b.dtype
    return _new((), a.dtype) if fits else None


def _cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> torch.Tensor | None:
    first = tensors[0]
    if not -first.ndim <= dim < first.ndim:
        return None
    dim %= first.ndim
    others = {(*x.shape[:dim], *x.shape[dim + 1 :]) for x in tensors}
    if len(others) > 1 or any(x.ndim != first.ndim for x in tensors):
        return None
    shape = (*first.shape[:dim], sum(x.shape[dim] for x in tensors), *first.shape[dim + 1 :])
    return _new(shape, reduce(torch.promote_types, (x.dtype for x in tensors)))


def _roll(x: torch.Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> torch.Tensor | None:
    fits = len(shifts) == max(len(dims), 1) and all(-x.ndim <= dim < x.ndim for dim in dims)
    return _like(x) if fits else None


def _stack(tensors: Sequence[torch.Tensor], dim: int = 0) -> torch.Tensor | None:
    fits = all(x.shape == tensors[0].shape for x in tensors)
    return _cat([x.unsqueeze(dim) for x in tensors], dim) if fits else None


def _embedding(table: torch.Tensor, index: torch.Tensor, *_: object) -> torch.Tensor | None:
    fits = table.ndim == 1 + 1 and index.dtype == torch.int64
    return _new((*index.shape, table.shape[1]), table.dtype) if fits else None


def _by_examples(func: OpOverload, ndim: int) -> Callable[..., Any]:
    """Return the rule of an op on a batch: it is computed of no examples."""

    def rule(x: torch.Tensor, *args: Any) -> Any:
        operands = [y for y in args if isinstance(y, torch.Tensor)]
        if x.ndim < ndim or any(y.dtype != x.dtype for y in operands):
            return None
        others = [torch.empty(y.shape, dtype=y.dtype) if isinstance(y, torch.Tensor) else y for y in args]
        value = func(torch.empty((0, *x.shape[1:]), dtype=x.dtype), *others)
        if isinstance(value, torch.Tensor):
            return _new((x.shape[0], *value.shape[1:]), value.dtype)
        return tuple(_new((x.shape[0], *part.shape[1:]), part.dtype) for part in value)

    return rule


def _convolution_backward(ct: torch.Tensor, *args: Any) -> tuple[torch.Tensor | None, ...] | None:
    *operands, _ = args[:3]
    wanted = args[-1]
    if wanted[2] or any(x.ndim != ct.ndim for x in operands):
        return None
    return *(_like(x) if is_wanted else None for x, is_wanted in zip(operands, wanted, strict=False)), None


def _arange(*numbers: object, **kwargs: Any) -> torch.Tensor | None:
    start, end, step = (0, *numbers, 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(step, int)) or not step:
        return None
    count = len(range(start, end, step))
    dtype = kwargs.get('dtype') or torch.int64
    # Which is refused where the end lies on the other side of the start.
    return _new((count,), dtype) if count or start == end else None


def _eye(*sizes: int, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return _new((sizes[0], sizes[-1]), dtype or torch.get_default_dtype())


def _glu(x: torch.Tensor, dim: int = -1) -> torch.Tensor | None:
    if not -x.ndim <= dim < x.ndim or x.shape[dim] % 2 or not x.is_floating_point():
        return None
    return _like(x.narrow(dim, 0, x.shape[dim] // 2))


_RULES: Mapping[OpOverload, Callable[..., Any]] = MappingProxyType(
    {
        _aten._log_softmax.default: _softmax,  # noqa: SLF001 an op of ATen
        _aten._safe_softmax.default: _safe_softmax,  # noqa: SLF001
        _aten._softmax.default: _softmax,  # noqa: SLF001
        _aten.amax.default: _extreme,
        _aten.amin.default: _extreme,
        _aten.all.default: _holds,
        _aten.all.dim: _holds,
        _aten.all.dims: _holds,
        _aten.any.default: _holds,
        _aten.any.dim: _holds,
        _aten.any.dims: _holds,
        _aten.arange.default: _arange,
        _aten.arange.start: _arange,
        _aten.arange.start_step: _arange,
        _aten.bmm.default: _product,
        _aten.cat.default: _cat,
        _aten.convolution.default: _by_examples(_aten.convolution.default, 3),
        _aten.convolution_backward.default: _convolution_backward,
        _aten.cumprod.default: _cumulative,
        _aten.cumsum.default: _cumulative,
        _aten.dot.default: _dot,
        _aten.embedding.default: _embedding,
        _aten.eye.default: _eye,
        _aten.eye.m: _eye,
        _aten.flip.default: _flip,
        _aten.full_like.default: _made_like,
        _aten.gather.default: _gather,
        _aten.glu.default: _glu,
        _aten.index.Tensor: _index,
        _aten.index_add.default: _index_add,
        _aten.linalg_vector_norm.default: _norm,
        _aten.log_sigmoid_forward.default: _log_sigmoid,
        _aten.logsumexp.default: _mean,
        _aten.max_pool2d_with_indices.default: _by_examples(_aten.max_pool2d_with_indices.default, 4),
        _aten.mean.default: _mean,
        _aten.mean.dim: _mean,
        _aten.mm.default: _product,
        _aten.mv.default: _mv,
        _aten.native_layer_norm.default: _layer_norm,
        _aten.native_layer_norm_backward.default: _layer_norm_backward,
        _aten.ones_like.default: _made_like,
        _aten.roll.default: _roll,
        _aten.scatter.src: _scatter,
        _aten.scatter.value: _scatter,
        _aten.scatter_add.default: _scatter,
        _aten.stack.default: _stack,
        _aten.sum.default: _sum,
        _aten.sum.dim_IntList: _sum,
        _aten.tril.default: _triangle,
        _aten.triu.default: _triangle,
        _aten.zeros_like.default: _made_like,
    }
)
