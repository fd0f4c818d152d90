"""Cases: running products, recurrences and logarithms of sums."""

import math
from collections.abc import Callable
from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops.cumulative import cumprod, logcumsumexp, prod, recurrence, shift
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, spread_complex, t

X = spread(2, 3)
C = spread_complex(3, 2)
_ZERO = t([[1.5, 0.0, 2.0], [0.0, -0.5, 0.0]])
_inf, _nan = math.inf, math.nan


def _shifted(a: torch.Tensor, dim: int, *, fill: complex = 0, reverse: bool = False) -> torch.Tensor:
    if a.ndim == 0 or a.shape[dim] == 0:
        return torch.full_like(a, fill)
    moved = a.roll(-1 if reverse else 1, dim)
    left = torch.zeros(a.shape[dim], dtype=torch.bool)
    left[-1 if reverse else 0] = True
    shape = [1] * a.ndim
    shape[dim] = -1
    return torch.where(left.reshape(shape), fill, moved)


def _recurred(a: torch.Tensor, b: torch.Tensor, dim: int, *, reverse: bool = False) -> torch.Tensor:
    if a.ndim == 0:
        return b
    order = range(a.shape[dim])
    found: dict[int, torch.Tensor] = {}
    y = torch.zeros_like(b.select(dim, 0))
    for i in reversed(order) if reverse else order:
        y = found[i] = a.select(dim, i) * y + b.select(dim, i)
    return torch.stack([found[i] for i in order], dim)


def _product(a: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> torch.Tensor:
    return torch.prod(a) if dim is None else torch.prod(a, dim, keepdim)


def _reversible(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def reference(a: torch.Tensor, dim: int, *, reverse: bool = False) -> torch.Tensor:
        return function(a.flip(dim), dim).flip(dim) if reverse else function(a, dim)

    return reference


def _mixed_second(a: Node) -> Node:
    """The derivative of a product by its first entry, which is one by the others."""
    (g,) = ad.gradients(prod(a), [a])
    return g[0]


_ZEROS: list[Any] = [
    (sample(t([2.0, 0.0, 3.0])), (t([0.0, 6.0, 0.0]),)),
    (sample(t([0.0, 0.0, 3.0])), (t([0.0, 0.0, 0.0]),)),
    (sample(t([[2.0, 0.0], [0.0, 3.0]]), 1), (t([[0.0, 2.0], [3.0, 0.0]]),)),
]

CASES: dict[str, Case] = {
    'shift': Case(
        shift,
        [
            sample(X, 1),
            sample(X, 0, fill=1.5),
            sample(X.mT, -1, reverse=True),
            sample(C, 0),
            sample(t(0.4), 0, fill=2.0),
            sample(spread(0, 2), 0),
        ],
        _shifted,
    ),
    'recurrence': Case(
        recurrence,
        [
            sample(X, spread(2, 3, seed=1), 1),
            sample(X, spread(2, 3, seed=1), 0, reverse=True),
            sample(spread(7, seed=2), spread(7, seed=3), 0),
            sample(C, spread_complex(3, 2, seed=5), 0, reverse=True),
            sample(t(0.4), t(0.7), 0),
        ],
        _recurred,
    ),
    'cumprod': Case(
        cumprod,
        [
            sample(X, 1),
            sample(X.mT, -1, reverse=True),
            sample(_ZERO, 1),
            sample(C, 0),
            sample(t(0.4), 0),
            sample(spread(0, 2), 0),
        ],
        _reversible(torch.cumprod),
        conventions=[
            (sample(t([2.0, 0.0, 3.0]), 0), (t([1.0, 8.0, 0.0]),)),
            (sample(t([0.0, 0.0, 3.0]), 0), (t([1.0, 0.0, 0.0]),)),
        ],
        refusals=[(sample(X, 2), ad.ShapeError, '(?i)out of range')],
    ),
    'prod': Case(
        prod,
        [
            sample(X),
            sample(X, 1),
            sample(X, -2, True),
            sample(_ZERO, 1),
            sample(C),
            sample(C.mT, 0),
            sample(t(0.4)),
            sample(t(0.4), 0),
            sample(spread(0, 2), 0),
        ],
        _product,
        conventions=_ZEROS,
        refusals=[(sample(X, 2), ad.ShapeError, '(?i)out of range')],
    ),
    'prod/twice': Case(
        _mixed_second,
        [],
        lambda a: torch.prod(a[1:]),
        conventions=[
            (sample(t([0.0, 0.0, 3.0])), (t([0.0, 3.0, 0.0]),)),
            (sample(t([0.0, 2.0, 0.0])), (t([0.0, 0.0, 2.0]),)),
            (sample(t([0.0, 0.0, 0.0])), (t([0.0, 0.0, 0.0]),)),
        ],
    ),
    'logcumsumexp': Case(
        logcumsumexp,
        [
            sample(X, 1),
            sample(X.mT, 0),
            sample(X + 800.0, 1),
            sample(C, 0),
            sample(t(0.4), 0),
            sample(spread(0, 2), 0),
        ],
        torch.logcumsumexp,
        conventions=[
            (sample(t([0.0, -900.0, 0.0]), 0), (t([2.5, 0.0, 0.5]),)),
            (sample(t([0.0, -_inf, 0.0]), 0), (t([2.5, 0.0, 0.5]),)),
            (sample(t([-_inf, 0.0]), 0), (t([_nan, 1.0]),)),
        ],
    ),
}
