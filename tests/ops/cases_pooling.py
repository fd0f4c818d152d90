"""Cases: pooling: means and maxima over windows."""

from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint.ops import max_pooling as m
from adjoint.ops import pooling as p
from adjoint.ops.several import item
from adjoint.verify.samples import sample
from tests.ops.case import Case, i, spread, spread_complex, t

X = spread(1, 2, 4, 5)
LINE = spread(2, 1, 5, seed=1)
BLOCK = spread(1, 1, 3, 2, 3, seed=2)


def _avg(x: torch.Tensor, axes: int, *options: Any) -> torch.Tensor:
    if axes == 1:
        # The kernel of one axis has no divisor of its own.
        return F.avg_pool1d(x, *options)
    return [F.avg_pool2d, F.avg_pool3d][axes - 2](x, *options)


def _avg_back(ct: torch.Tensor, like: torch.Tensor, axes: int, *options: Any) -> torch.Tensor:
    x = torch.zeros_like(like).requires_grad_()
    return torch.autograd.grad(_avg(x, axes, *options), x, ct)[0]


def _build_avg_back(ct: Any, like: Any, axes: int, *options: Any) -> ad.Node:
    return ad.Node([ct, like], p.avg_pool_backward, p.avg_pool(like, axes, *options).attrs)


def _adaptive(x: torch.Tensor, axes: int, size: Any) -> torch.Tensor:
    return [F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d][axes - 1](x, size)


def _adaptive_back(ct: torch.Tensor, like: torch.Tensor, axes: int, size: Any) -> torch.Tensor:
    x = torch.zeros_like(like).requires_grad_()
    return torch.autograd.grad(_adaptive(x, axes, size), x, ct)[0]


def _build_adaptive_back(ct: Any, like: Any, axes: int, size: Any) -> ad.Node:
    return ad.Node([ct, like], p.adaptive_avg_pool_backward, {'axes': axes, 'output_size': size})


def _max(x: torch.Tensor, axes: int, *options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    f = [F.max_pool1d_with_indices, F.max_pool2d_with_indices, F.max_pool3d_with_indices][axes - 1]
    return f(x, *options)


def _adaptive_max(x: torch.Tensor, axes: int, size: Any) -> tuple[torch.Tensor, torch.Tensor]:
    f = [
        F.adaptive_max_pool1d_with_indices,
        F.adaptive_max_pool2d_with_indices,
        F.adaptive_max_pool3d_with_indices,
    ][axes - 1]
    return f(x, size)


def _fractional(
    x: torch.Tensor, samples: torch.Tensor, axes: int, window: Any, size: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    f = [F.fractional_max_pool2d_with_indices, F.fractional_max_pool3d_with_indices][axes - 2]
    return f(x, window, size, _random_samples=samples)


MEANS: dict[str, Case] = {
    'avg_pool': Case(
        p.avg_pool,
        [
            sample(X, 2, 2),
            sample(X, 2, (3, 2), (2, 1), (1, 0), True, False),
            sample(X[0], 2, 2, None, 1, False, True, 3),
            sample(LINE, 1, 2, 2, 1),
            sample(LINE.mT.contiguous().mT[0], 1, 2, 3, 0, True),
            sample(BLOCK, 3, (2, 1, 2), 1),
        ],
        _avg,
        refusals=[(sample(X, 2, 9), ad.ShapeError, 'too small')],
    ),
    'avg_pool_backward': Case(
        _build_avg_back,
        [
            sample(spread(1, 2, 2, 2), X, 2, 2),
            sample(spread(1, 2, 3, 4), X, 2, (3, 2), (2, 1), (1, 0), True, False),
            sample(spread(2, 1, 3), LINE, 1, 2, 2, 1),
            sample(spread(1, 1, 2, 2, 2), BLOCK, 3, (2, 1, 2), 1),
        ],
        _avg_back,
    ),
    'adaptive_avg_pool': Case(
        p.adaptive_avg_pool,
        [
            sample(X, 2, 3),
            sample(X[0], 2, (1, None)),
            sample(LINE, 1, 2),
            sample(BLOCK, 3, (2, 1, 2)),
            sample(X.mT, 2, 1),
            sample(spread(0, 1, 3, 3), 2, 2),
        ],
        _adaptive,
    ),
    'adaptive_avg_pool_backward': Case(
        _build_adaptive_back,
        [
            sample(spread(1, 2, 3, 3), X, 2, 3),
            sample(spread(2, 1, 2), LINE, 1, 2),
            sample(spread(1, 1, 2, 1, 2), BLOCK, 3, (2, 1, 2)),
        ],
        _adaptive_back,
    ),
}


def with_positions(x: Any, *options: Any) -> ad.Node:
    """Maxima and positions as one node."""
    return ad.Node([x], m.max_pool_with_positions, m.max_pool_positions(x, *options).attrs)


# Two maxima in a window; the first of them is taken.
TIED = t([[[1.0, 3.0, 3.0, 2.0]]])

MAXIMA: dict[str, Case] = {
    'max_pool_positions': Case(
        m.max_pool_positions,
        [sample(X, 2, 2), sample(LINE, 1, 2, 1, 1, 2), sample(BLOCK, 3, (2, 1, 2), 1)],
        lambda *args: _max(*args)[1],
        refusals=[(sample(X, 2, 9), ad.ShapeError, 'too small')],
    ),
    'max_pool_positions/max_pool': Case(
        lambda *args: m.max_pool(*args)[0],
        [
            sample(X, 2, 2),
            sample(X[0].mT, 2, (3, 2), (2, 1), (1, 0), 1, True),
            sample(LINE, 1, 2, 1, 1, 2),
            sample(BLOCK, 3, (2, 1, 2), 1),
        ],
        lambda *args: _max(*args)[0],
        conventions=[
            (sample(TIED, 1, 2, smooth=False), (t([[[0.0, 1.0, 1.0, 0.0]]]),)),
            (sample(TIED, 1, 3, 1, smooth=False), (t([[[0.0, 2.0, 0.0, 0.0]]]),)),
        ],
    ),
    'max_pool_with_positions': Case(
        lambda x, *options: item(with_positions(x, *options), 0),
        [
            sample(X, 2, 2),
            sample(X[0].mT, 2, (3, 2), (2, 1), (1, 0), 1, True),
            sample(LINE, 1, 2, 1, 1, 2),
            sample(BLOCK, 3, (2, 1, 2), 1),
        ],
        lambda *args: _max(*args)[0],
        conventions=[(sample(TIED, 1, 2, smooth=False), (t([[[0.0, 1.0, 1.0, 0.0]]]),))],
    ),
    'max_pool_with_positions/positions': Case(
        lambda x, *options: item(with_positions(x, *options), 1),
        [sample(X, 2, 2), sample(LINE, 1, 2, 1, 1, 2)],
        lambda *args: _max(*args)[1],
    ),
    'adaptive_max_pool_positions': Case(
        m.adaptive_max_pool_positions,
        [sample(X, 2, 3), sample(LINE, 1, 2), sample(BLOCK, 3, (2, 1, None))],
        lambda *args: _adaptive_max(*args)[1],
    ),
    'adaptive_max_pool_positions/adaptive_max_pool': Case(
        lambda *args: m.adaptive_max_pool(*args)[0],
        [sample(X, 2, (None, 3)), sample(LINE, 1, 2), sample(BLOCK, 3, (2, 1, 2))],
        lambda *args: _adaptive_max(*args)[0],
    ),
    'fractional_max_pool_positions': Case(
        m.fractional_max_pool_positions,
        [sample(X, spread(1, 2, 2, low=0.1, high=0.9), 2, 2, (2, 3))],
        lambda *args: _fractional(*args)[1],
    ),
    'fractional_max_pool_positions/fractional_max_pool': Case(
        lambda *args: m.fractional_max_pool(*args)[0],
        [
            sample(X, spread(1, 2, 2, low=0.1, high=0.9), 2, 2, (2, 3)),
            sample(BLOCK, spread(1, 1, 3, low=0.1, high=0.9), 3, (2, 1, 2), (1, 1, 1)),
        ],
        lambda *args: _fractional(*args)[0],
    ),
    'pool_take': Case(
        m.pool_take,
        [
            sample(X[:, :1], i([[[[0, 3], [19, 3]]]]), 2),
            sample(LINE, i([[[1, 1]], [[4, 0]]]), 1),
            sample(spread_complex(1, 2, 2), i([[[3]]]), 2),
        ],
        lambda x, at, axes: x.flatten(-axes).gather(-1, at.flatten(-axes)).reshape(at.shape),
    ),
    'pool_put': Case(
        m.pool_put,
        [
            sample(spread(1, 1, 2, 2), i([[[[0, 3], [19, 3]]]]), X[:, :1], 2),
            sample(spread(2, 1, 2), i([[[1, 1]], [[4, 0]]]), LINE, 1),
            sample(spread_complex(1, 1, 1), i([[[3]]]), spread_complex(1, 2, 2), 2),
        ],
        lambda ct, at, like, axes: (
            torch.zeros_like(like)
            .flatten(-axes)
            .scatter_add(-1, at.flatten(-axes), ct.flatten(-axes))
            .reshape(like.shape)
        ),
    ),
    'max_unpool': Case(
        m.max_unpool,
        [
            sample(spread(1, 1, 2, 2), i([[[[1, 3], [8, 6]]]]), (3, 3)),
            sample(spread(2, 2), i([[4, 0], [1, 2]]), (5,)),
            sample(spread(1, 1, 1, 2, 1), i([[[[[3], [5]]]]]), (1, 3, 2)),
        ],
        lambda x, at, size: (
            torch.zeros((*x.shape[: -len(size)], torch.Size(size).numel()), dtype=x.dtype)
            .scatter(-1, at.flatten(-len(size)), x.flatten(-len(size)))
            .unflatten(-1, size)
        ),
    ),
}

CASES = MEANS | MAXIMA
