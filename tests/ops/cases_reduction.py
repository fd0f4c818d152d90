"""Cases of the reductions, the maps back, and what normalises along axes."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint import Node
from adjoint.ops.moments import deviation, nanmean, nansum
from adjoint.ops.normalise import layernorm_across
from adjoint.ops.reduction import (
    all_,
    any_,
    same,
    unmean,
    unsum,
)  # fmt: skip
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, Convention, Refusal, spread, spread_complex, t

_inf, _nan = math.inf, math.nan

NO_STRING: Refusal = (sample('x'), ad.TensorTypeError, 'takes nodes')
BAD_DIM: Refusal = (sample(spread(2, 3), 2), ad.ShapeError, r'(?i)dimension out of range')


def reductions(x: torch.Tensor) -> list[Sample]:
    """Every way to say which of three axes are reduced."""
    return [
        sample(x),
        sample(x, keepdim=True),
        sample(x, 1),
        sample(x, -1, keepdim=True),
        sample(x, (0, 2)),
        sample(x, (-1, 0), keepdim=True),
        sample(x, [1]),
        sample(x, ()),
        sample(x[0, 0, 0]),
        sample(x[0, 0, 0], 0),
        sample(x[0, 0, 0], -1, keepdim=True),
        sample(x[0].mT, 0),
        sample(x[:1, 0].expand(2, 3), 1),
    ]


def _dims(dim: Any) -> Any:
    return None if dim is None or dim == () else tuple(dim) if isinstance(dim, list) else dim


def over(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A reduction of torch with ours ways to say which axes."""

    def reference(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor:
        axes = _dims(dim)
        return function(x, tuple(range(x.ndim)) if axes is None else axes, keepdim=keepdim)

    return reference


def _mean(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor:
    return torch.mean(x, _dims(dim), keepdim=keepdim)


X = spread(2, 2, 3)
U = spread(2, 2, 3, seed=1)
C = spread_complex(2, 2, 3)


def ties(x: list[list[float]], gradient: list[list[float]], *rest: Any) -> Convention:
    return sample(t(x), *rest, smooth=False), (t(gradient),)


def moments(op: Callable[..., Node], function: Callable[..., torch.Tensor], *corrections: int) -> Case:
    """A variance or standard deviation, of which the empty one is nan."""
    samples = [
        sample(X, d, k, correction=c)
        for c in corrections
        for d, k in [(None, False), (1, True), ((0, 2), False)]
    ]
    samples += [sample(X), sample(X[0].mT, -1), sample(C, 1)]
    return Case(
        op,
        samples,
        lambda x, dim=None, keepdim=False, correction=1: function(
            x, dim, keepdim=keepdim, correction=correction
        ),
        conventions=[ties([[2.0, 2.0, 2.0]], [[0.0, 0.0, 0.0]], 1)],
    )


SUMS = {
    'sum': Case(
        ad.sum,
        [*reductions(X), *reductions(C)[:4], sample(spread(0, 3), 0), sample(spread(0, 3))],
        over(torch.sum),
        refusals=[NO_STRING, BAD_DIM],
        conventions=[(sample(X, 0), (torch.ones(2, 2, 3),))],
    ),
    'mean': Case(
        ad.mean,
        [*reductions(X), *reductions(C)[:4], sample(spread(0, 3), 1)],
        _mean,
        refusals=[NO_STRING, BAD_DIM],
        conventions=[(sample(spread(2, 4)), (torch.full((2, 4), 0.125),))],
    ),
    'mean/var': moments(ad.var, torch.var, 0, 1),
    'mean/std': moments(ad.std, torch.std, 1, 0),
    'cumsum': Case(
        ad.cumsum,
        [
            sample(X, 1),
            sample(X, -1, reverse=True),
            sample(C, 0),
            sample(X[0].mT, 0),
            sample(t(0.4), 0),
            sample(spread(0, 2), 1),
            sample(X[:, :1, 0].expand(2, 3), 1, True),
        ],
        lambda x, dim, reverse=False: x.flip(dim).cumsum(dim).flip(dim) if reverse else x.cumsum(dim),
        refusals=[(sample(X, 3), ad.ShapeError, r'(?i)dimension out of range')],
    ),
    'amax': Case(
        ad.amax,
        reductions(X),
        over(torch.amax),
        refusals=[NO_STRING, BAD_DIM],
        conventions=[
            ties([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]], [[0.5, 0.5, 0.0], [1 / 3] * 3], 1),
            ties([[1.0, 2.0], [2.0, 2.0]], [[0.0, 1 / 3], [1 / 3, 1 / 3]]),
        ],
    ),
    'amin': Case(
        ad.amin,
        reductions(X),
        over(torch.amin),
        refusals=[NO_STRING, BAD_DIM],
        conventions=[
            ties([[1.0, 1.0, 5.0], [2.0, 2.0, 2.0]], [[0.5, 0.5, 0.0], [1 / 3] * 3], 1),
            ties([[1.0, 2.0], [2.0, 1.0]], [[0.5, 0.0], [0.0, 0.5]], (0, 1)),
        ],
    ),
    'logsumexp': Case(
        ad.logsumexp,
        reductions(X),
        over(torch.logsumexp),
        refusals=[NO_STRING, BAD_DIM],
        conventions=[
            ties([[0.0, 0.0], [900.0, -900.0]], [[0.5, 0.5], [1.0, 0.0]], 1),
            ties([[-_inf, -_inf], [-_inf, 0.0]], [[_nan, _nan], [0.0, 1.0]], 1),
        ],
    ),
    'logsumexp/large': Case(ad.logsumexp, [sample(X + 800.0, 1)], over(torch.logsumexp)),
    'logsumexp/complex': Case(ad.logsumexp, [sample(spread_complex(2, 3), 1)], over(torch.logsumexp)),
    'argmax': Case(
        ad.argmax,
        [sample(X), sample(X, 1), sample(X, -1, keepdim=True)],
        torch.argmax,
        refusals=[NO_STRING],
    ),
    'argmin': Case(
        ad.argmin,
        [sample(X), sample(X, 1), sample(X, -1, keepdim=True)],
        torch.argmin,
        refusals=[NO_STRING],
    ),
    'gather/max': Case(
        lambda x, dim=None, keepdim=False: ad.max(x, dim, keepdim).values,
        [sample(X, 1), sample(X, -1, True)],
        lambda x, dim, keepdim=False: torch.max(x, dim, keepdim=keepdim).values,
    ),
    'gather/min': Case(
        lambda x, dim=None, keepdim=False: ad.min(x, dim, keepdim).values,
        [sample(X, 1), sample(X, -1, True)],
        lambda x, dim, keepdim=False: torch.min(x, dim, keepdim=keepdim).values,
    ),
}


_HOLED = t([[1.0, _nan, 3.0], [0.5, -1.0, 0.0]])

TRUTHS = {
    'any': Case(any_, [sample(X > 0.5, 1), sample(X), sample(X, (0, 2), True)], over(torch.any)),
    'all': Case(all_, [sample(X > -1.0, 1), sample(X), sample(X, (0, 2), True)], over(torch.all)),
    'same': Case(
        same,
        [sample(X, X + 1), sample(X, spread(3)), sample(C, C + 1)],
        lambda a, b: (a == b) | (a.isnan() & b.isnan()),
    ),
    'sum/nansum': Case(
        nansum,
        [sample(X), sample(X, 1, True)],
        lambda x, dim=None, keepdim=False: torch.nansum(x, dim, keepdim),
        conventions=[(sample(_HOLED, 1), (t([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),))],
    ),
    'mean/nanmean': Case(
        nanmean,
        [sample(X), sample(X, 1, True)],
        lambda x, dim=None, keepdim=False: torch.nanmean(x, dim, keepdim),
        conventions=[(sample(t([[1.0, _nan]]), 1), (t([[1.0, 0.0]]),))],
    ),
    'deviation': Case(
        deviation,
        [sample(spread(2, 3, low=0.2)), sample(t(0.4)), sample(spread(3, 2, low=0.3).mT)],
        torch.sqrt,
        conventions=[(sample(t([0.0, 4.0, -1.0]), smooth=False), (t([0.0, 0.25, _nan]),))],
    ),
}


def back(op: ad.Op) -> Callable[..., Node]:
    def build(a: Node, like: Node, dim: Any = None, keepdim: bool = False) -> Node:
        return Node([a, like], op, {'dim': dim, 'keepdim': keepdim})

    return build


def restored(value: torch.Tensor, like: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor:
    del keepdim  # the size of what came tells
    shape = like.sum(_dims(dim), keepdim=True).shape
    return value.reshape(shape) + torch.zeros_like(like)


def shared(value: torch.Tensor, like: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor:
    count = like.numel() // max(value.numel(), 1)
    return restored(value, like, dim, keepdim) / count


_BACK = [
    sample(t(0.7), X),
    sample(spread(2, 3), X, 1),
    sample(spread(2, 1, 3), X, 1, True),
    sample(spread(2), X, (0, 2)),
    sample(spread(3), X, (-3, 1)),
    sample(spread(1, 2, 1), X, (2, 0), keepdim=True),
    sample(t(0.7), t(0.3), 0),
    sample(spread_complex(2, 3), C, 1),
]

BACK = {
    'unsum': Case(back(unsum), _BACK, restored),
    'unmean': Case(back(unmean), _BACK, shared),
}


def along(op: Callable[..., Node], reference: Callable[..., torch.Tensor]) -> Case:
    samples = [
        sample(X),
        sample(X, 1),
        sample(X, dim=-3),
        sample(X[0].mT, 0),
        sample(t(0.3), 0),
        sample(X[:1, 0].expand(2, 3), 0),
        sample(spread(0, 3)),
        sample(X + 800.0, 2),
        sample(spread(1)),
    ]
    return Case(op, samples, reference, refusals=[NO_STRING, BAD_DIM])


def last(shape: Any) -> tuple[int, ...]:
    """The last axes, one for each size."""
    return tuple(range(-(1 if isinstance(shape, int) else len(shape)), 0))


def _layer_norm(x: torch.Tensor, normalized_shape: Any, eps: float = 1e-5) -> torch.Tensor:
    axes = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    return F.layer_norm(x, x.shape[x.ndim - axes :], eps=eps)


def norm_across(y: Any, t: Any, shape: Any, eps: float = 1e-5) -> ad.Node:
    """The derivative of a layer norm without its root, of any two tensors."""
    return ad.Node([y, t], layernorm_across, ad.layernorm(y, shape, eps).attrs)


def _norm_across(y: torch.Tensor, t: torch.Tensor, shape: Any, eps: float = 1e-5) -> torch.Tensor:
    dim = last(shape)
    return t - t.mean(dim, keepdim=True) - y * (y * t).mean(dim, keepdim=True) + 0 * eps


NORMALISED = {
    'softmax': along(ad.softmax, lambda x, dim=-1: torch.softmax(x, dim)),
    'log_softmax': along(ad.log_softmax, lambda x, dim=-1: torch.log_softmax(x, dim)),
    'layernorm_across': Case(
        norm_across,
        [
            sample(X, U, (3,)),
            sample(X, U, (2, 3), eps=0.1),
            sample(spread(4, 2).mT, spread(4, 2, seed=1).mT, (4,)),
            sample(spread(1, 3).expand(2, 3), spread(1, 3, seed=1).expand(2, 3), 3),
            sample(spread(4), spread(4, seed=1), 4),
            sample(spread(0, 3), spread(0, 3), 3),
        ],
        _norm_across,
    ),
    'layernorm': Case(
        ad.layernorm,
        [
            sample(X, (3,)),
            sample(X, 3),
            sample(X, (2, 3)),
            sample(X, (2, 2, 3), eps=0.1),
            sample(X, (7,)),
            sample(X, [5, 9]),
            sample(spread(4, 2).mT, (4,)),
            sample(spread(4), 4, 0.01),
            sample(spread(1, 3).expand(2, 3), 3),
            sample(spread(0, 3), 3),
        ],
        _layer_norm,
        conventions=[(sample(t([[2.0, 2.0]]), 2), (t([[0.0, 0.0]]),))],
        refusals=[
            (sample(X[0, 0], (2, 3)), ad.ShapeError, r'layernorm over 2 axes of an operand of shape'),
            (sample('x', 3), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
}

CASES = SUMS | TRUTHS | BACK | NORMALISED
