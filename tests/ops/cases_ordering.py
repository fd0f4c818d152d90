"""Cases: sorting and positions by rank."""

import math
from collections.abc import Callable
from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops import ordering
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, Convention, i, sized, spread, t

X = spread(3, 4)
_nan = math.nan


def _values(rank: Callable[..., Any]) -> Callable[..., Node]:
    return lambda *args, **kwargs: rank(*args, **kwargs).values


def tie(x: list[Any], gradient: list[Any], *rest: Any, **kwargs: Any) -> Convention:
    return sample(t(x), *rest, smooth=False, **kwargs), (t(gradient),)


def ranked(
    op: Callable[..., Node],
    rank: Callable[..., Any],
    function: Callable[..., Any],
    samples: list[Sample],
    *conventions: Convention,
) -> dict[str, Case]:
    """The positions, and the entries there."""
    name: str = op.name  # pyright: ignore[reportFunctionMemberAccess] an op
    keep = {} if 'sort' in name or 'topk' in name or 'cum' in name else {'keepdim': True}
    return {
        name: Case(op, samples, lambda *args, **kwargs: function(*args, **kwargs, **keep).indices),
        f'{name}/values': Case(
            _values(rank),
            samples,
            lambda *args, **kwargs: function(*args, **kwargs).values,
            conventions=conventions,
            refusals=[(sample('x', *samples[0].args[1:]), ad.TensorTypeError, 'takes nodes')],
        ),
    }


_ALONG = [sample(X), sample(X, 0), sample(X.mT, 1), sample(t(0.4)), sample(X[:1].expand(2, 4), 1)]

RANKS = {
    **ranked(
        ordering.argsort,
        ordering.sort,
        lambda a, dim=-1, descending=False, stable=False: torch.sort(
            a, dim=dim, descending=descending, stable=stable
        ),
        [*_ALONG, sample(X, 0, True), sample(X, 1, stable=True), sample(spread(0, 2), 1)],
        tie([[1.0, 3.0, 1.0]], [[1.0, 1.0, 1.0]], stable=True),
    ),
    **ranked(
        ordering.topk_index,
        ordering.topk,
        torch.topk,
        [
            sized(X, 2),
            sized(X, 2, 0),
            sized(X.mT, 1, -1, False),
            sized(t(0.4), 1),
            sized(X, k=3, sorted=True),
        ],
        (sample(t([2.0, 5.0, 3.0, 4.0]), 2), (t([0.0, 1.0, 0.0, 1.0]),)),
    ),
    **ranked(
        ordering.kthvalue_index,
        ordering.kthvalue,
        torch.kthvalue,
        [sized(X, 2), sized(X, 1, 0), sized(X.mT, 3), sized(t(0.4), 1)],
    ),
    **ranked(
        ordering.median_index,
        lambda a, dim=-1: ordering.median(a, dim),
        lambda a, dim=-1, keepdim=False: torch.median(a, dim, keepdim=keepdim),
        _ALONG[:4],
        tie([1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 1.0, 0.0], 0),
    ),
    **ranked(
        ordering.nanmedian_index,
        lambda a, dim=-1: ordering.nanmedian(a, dim),
        lambda a, dim=-1, keepdim=False: torch.nanmedian(a, dim, keepdim=keepdim),
        _ALONG[:4],
        tie([1.0, _nan, 2.0, 3.0], [0.0, 0.0, 1.0, 0.0], 0),
    ),
    **ranked(
        ordering.mode_index,
        ordering.mode,
        torch.mode,
        _ALONG[:4],
        tie([3.0, 2.0, 1.0], [0.0, 0.0, 1.0], 0),
    ),
    **ranked(
        ordering.cummax_index,
        ordering.cummax,
        torch.cummax,
        [sample(X, 1), sample(X.mT, 0), sample(t(0.4), 0)],
        tie([1.0, 2.0, 2.0, 1.0], [1.0, 1.0, 2.0, 0.0], 0),
    ),
    **ranked(
        ordering.cummin_index,
        ordering.cummin,
        torch.cummin,
        [sample(X, 1), sample(X.mT, 0), sample(t(0.4), 0)],
        tie([1.0, 2.0, 1.0, 2.0], [2.0, 0.0, 2.0, 0.0], 0),
    ),
}

WHOLE = {
    'median': Case(
        ordering.median,
        [sample(X), sample(spread(5)), sample(X.mT), sample(t(0.4))],
        torch.median,
        conventions=[
            tie([2.0, 2.0, 1.0, 5.0], [0.5, 0.5, 0.0, 0.0]),
            tie([2.0, _nan, 1.0], [0.0, 1.0, 0.0]),
            tie([4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 1.0]),
        ],
    ),
    'nanmedian': Case(
        ordering.nanmedian,
        [sample(X), sample(spread(5)), sample(t(0.4))],
        torch.nanmedian,
        conventions=[tie([2.0, _nan, 2.0, 5.0, 1.0], [0.5, 0.0, 0.5, 0.0, 0.0])],
    ),
}

_SORTED = t([-1.0, 0.0, 1.0, 1.0, 2.0])


POSITIONS = {
    'searchsorted': Case(
        ordering.searchsorted,
        [
            sample(_SORTED, X),
            sample(_SORTED, t([1.0, 5.0]), right=True, smooth=False),
            sample(_SORTED.flip(0), X, sorter=i([4, 3, 2, 1, 0]), out_int32=True),
            sample(_SORTED, t(0.4)),
        ],
        torch.searchsorted,
    ),
    'nonzero': Case(
        ordering.nonzero, [sample(X > 0), sample(X), sample(t(0.4)), sample(spread(0, 2))], torch.nonzero
    ),
    'histc': Case(
        ordering.histc,
        [sample(X, 5, -2.0, 2.0, smooth=False)],
        lambda a, bins, low, high: torch.histc(a, bins, low, high),
    ),
    'bincount': Case(
        ordering.bincount, [sample(i([0, 2, 2])), sample(i([0, 1]), minlength=5)], torch.bincount
    ),
}

CASES: dict[str, Case] = RANKS | WHOLE | POSITIONS
