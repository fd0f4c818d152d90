"""Reductions, products and normalisations."""

from typing import Any

import torch

from adjoint.execute.facts import Fact
from adjoint.execute.kernels.table import Place, Same, Table, Written, number
from adjoint.ops.activation import LogSoftmax, Softmax
from adjoint.ops.contraction import MatMul, MatMulLeft, MatMulRight
from adjoint.ops.embedding import Embedding
from adjoint.ops.normalise import LayerNorm, LayerNormAcross
from adjoint.ops.reduction import (
    All_,
    Amax,
    Amin,
    Any_,
    Argmax,
    Argmin,
    Logsumexp,
    Mean,
    Sum,
    Unmean,
    Unsum,
)

__all__ = ['TABLE']

TABLE = Table()

_aten: Any = torch.ops.aten


@TABLE.takes(Sum, Mean)
def _reduction(place: Place) -> Written | None:
    (x,), attrs = place.given, place.node.attrs
    kernel = torch.sum if isinstance(place.node.op, Sum) else torch.mean
    dim, keepdim = attrs['dim'], attrs['keepdim']
    if 'correction' in attrs:
        if x is None:
            return None
        bound = {'kernel': torch.sum, 'dim': dim, 'keepdim': keepdim, 'c': _divisor(_count(x, attrs), x)}
        return Written('{kernel}({0}, {dim}, keepdim={keepdim}) / {c}', bound)
    if dim is None and not keepdim:
        return Written('{kernel}({0})', {'kernel': kernel})
    bound = {'kernel': kernel, 'dim': dim, 'keepdim': keepdim}
    return Written(
        '{kernel}({0}, {dim}, {keepdim})' if dim is not None else '{kernel}({0}, {dim}, keepdim={keepdim})',
        bound,
    )


def _axes(attrs: dict[str, Any], ndim: int) -> list[int]:
    dim = attrs['dim']
    if dim is None:
        return list(range(ndim))
    return sorted(d % max(ndim, 1) for d in ((dim,) if isinstance(dim, int) else dim))


def _count(x: Fact, attrs: dict[str, Any]) -> float:
    """Return how many entries each result is reduced from, less the correction."""
    count = 1
    for axis in _axes(attrs, len(x.shape)) if x.shape else ():
        count *= x.shape[axis]
    return max(count - attrs.get('correction', 0), 0)


def _divisor(count: float, x: Fact) -> object:
    return number(count, x) if x.dtype.is_floating_point or x.dtype.is_complex else count


def _restored(text: str, x: Fact, like: Fact, attrs: dict[str, Any]) -> str:
    """Return an expression with the reduced axes put back, expanded to the shape of ``like``."""
    if not attrs['keepdim'] and like.shape:
        axes = _axes(attrs, len(like.shape))
        # New axes in front come by themselves when it is expanded.
        if x.shape and axes != list(range(len(axes))):
            text += ''.join(f'.unsqueeze({axis})' for axis in axes)
    return text if x.shape == like.shape else text + '.expand({shape})'


@TABLE.takes(Unsum)
def _unsum(place: Place) -> Written | Same | None:
    x, like = place.given
    if x is None or like is None or place.own is None:
        return None
    text = _restored('{0}', x, like, place.node.attrs)
    return Same(0) if text == '{0}' else Written(text, {'shape': like.shape}, (0,))


@TABLE.takes(Unmean)
def _unmean(place: Place) -> Written | None:
    x, like = place.given
    if x is None or like is None or place.own is None:
        return None
    attrs = place.node.attrs
    bound = {'div': torch.div, 'c': _divisor(_count(like, attrs), x), 'shape': like.shape}
    return Written(_restored('{div}({0}, {c})', x, like, attrs), bound, (0,))


@TABLE.takes(Amax, Amin)
def _extremum(place: Place) -> Written:
    attrs = place.node.attrs
    kernel = torch.amax if isinstance(place.node.op, Amax) else torch.amin
    dim = () if attrs['dim'] is None else attrs['dim']
    return Written(
        '{kernel}({0}, {dim}, {keepdim})', {'kernel': kernel, 'dim': dim, 'keepdim': attrs['keepdim']}
    )


@TABLE.takes(Argmax, Argmin)
def _position(place: Place) -> Written | None:
    (x,), op, attrs = place.given, place.node.op, place.node.attrs
    if x is None or x.dtype == torch.bool or not isinstance(op, Argmax | Argmin):
        return None
    bound = {'kernel': op.kernel, 'dim': attrs['dim'], 'keepdim': attrs['keepdim']}
    return Written('{kernel}({0}, {dim}, {keepdim})', bound)


@TABLE.takes(Any_, All_)
def _truth(place: Place) -> Written:
    attrs = place.node.attrs
    kernel = torch.any if isinstance(place.node.op, Any_) else torch.all
    bound = {'kernel': kernel, 'dim': attrs['dim'], 'keepdim': attrs['keepdim']}
    return Written('{kernel}({0}, {dim}, keepdim={keepdim})', bound)


@TABLE.takes(Logsumexp)
def _logsumexp(place: Place) -> Written | None:
    (x,), attrs = place.given, place.node.attrs
    if x is None:
        return None
    dim = tuple(range(len(x.shape))) if attrs['dim'] is None else attrs['dim']
    bound = {'kernel': torch.logsumexp, 'dim': dim, 'keepdim': attrs['keepdim']}
    return Written('{kernel}({0}, {dim}, {keepdim})', bound)


@TABLE.takes(Softmax, LogSoftmax)
def _softmax(place: Place) -> Written:
    kernel = torch.softmax if isinstance(place.node.op, Softmax) else torch.log_softmax
    return Written('{kernel}({0}, {dim})', {'kernel': kernel, 'dim': place.node.attrs['dim']})


@TABLE.takes(LayerNorm)
def _layernorm(place: Place) -> Written | None:
    (x,), attrs = place.given, place.node.attrs
    axes = len(attrs['normalized_shape'])
    if x is None or axes > len(x.shape):
        return None
    shape = x.shape[len(x.shape) - axes :]
    # With a weight the kernel for a CPU takes two thirds of the time; a factor of one changes no bit.
    is_quick = x.device.type == 'cpu' and x.dtype in {torch.float32, torch.float64}
    weight = torch.ones(shape, dtype=x.dtype) if is_quick else None
    bound = {'kernel': torch.layer_norm, 'shape': shape, 'weight': weight, 'eps': attrs['eps']}
    return Written('{kernel}({0}, {shape}, {weight}, None, {eps})', bound)


@TABLE.takes(LayerNormAcross)
def _layernorm_across(place: Place) -> Written | None:
    x, axes = place.given[0], len(place.node.attrs['normalized_shape'])
    if x is None:
        return None
    front = len(x.shape) - axes
    zeros = torch.zeros((*x.shape[:front], *(1,) * axes), dtype=x.dtype, device=x.device)
    kernel = _aten.native_layer_norm_backward.default
    bound = {'kernel': kernel, 'shape': x.shape[front:], 'mean': zeros, 'root': zeros + 1}
    return Written('{kernel}({1}, {0}, {shape}, {mean}, {root}, None, None, [True, False, False])[0]', bound)


@TABLE.takes(Embedding)
def _embedding(_: Place) -> Written:
    return Written('{kernel}({0}, {1})', {'kernel': torch.embedding})


def _product(a: Fact | None, b: Fact | None) -> Any:
    """Return the kernel that matmul ends at, and whether it takes ``out``."""
    if a is not None and b is not None:
        if len(a.shape) == len(b.shape) == 2:  # noqa: PLR2004 matrices
            return torch.mm
        if len(a.shape) == len(b.shape) == 3 and a.shape[0] == b.shape[0]:  # noqa: PLR2004 batches
            return torch.bmm
    return torch.matmul


@TABLE.takes(MatMul)
def _matmul(place: Place) -> Written:
    kernel = _product(*place.given)
    into = '' if kernel is torch.matmul else '{kernel}({0}, {1}, out={out})'
    return Written('{kernel}({0}, {1})', {'kernel': kernel}, None, into)


@TABLE.takes(MatMulLeft)
def _matmul_left(place: Place) -> Written | None:
    c, b, like = place.given
    if c is None or b is None or like is None or min(len(b.shape), len(like.shape)) < 2:  # noqa: PLR2004
        return None
    text, found = '{kernel}({0}, {1}.mT)', _batches(c, b)
    return _fitted(text, {'kernel': _product(c, b)}, (*found, *c.shape[-2:-1], b.shape[-2]), like)


@TABLE.takes(MatMulRight)
def _matmul_right(place: Place) -> Written | None:
    c, a, like = place.given
    if c is None or a is None or like is None or min(len(a.shape), len(like.shape)) < 2:  # noqa: PLR2004
        return None
    if len(like.shape) == 2 and len(a.shape) > 2 and c.shape[:-1] == a.shape[:-1]:  # noqa: PLR2004
        text = '{kernel}({1}.flatten(0, -2).mT, {0}.flatten(0, -2))'
        return _fitted(text, {'kernel': torch.mm}, like.shape, like)
    text, found = '{kernel}({1}.mT, {0})', _batches(a, c)
    return _fitted(text, {'kernel': _product(a, c)}, (*found, *a.shape[-1:], *c.shape[-1:]), like)


def _batches(a: Fact, b: Fact) -> tuple[int, ...]:
    return tuple(map(int, torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])))  # pyright: ignore[reportUnknownArgumentType] a size


def _fitted(text: str, bound: dict[str, object], found: tuple[int, ...], like: Fact) -> Written:
    """Sum a product over the batches that an operand was broadcast along."""
    if found == like.shape:
        into = f'{text[:-1]}, out={{out}})' if bound['kernel'] is not torch.matmul else ''
        return Written(text, bound, (0, 1), into)
    return Written(f'{text}.sum_to_size({{shape}})', {**bound, 'shape': like.shape}, (0, 1))
