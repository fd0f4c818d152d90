"""Cases of indexing, gathering and scattering."""

from collections.abc import Sequence
from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops.index import Slot, ungetitem, ungetitems
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, i, sized, spread, spread_complex, t

X = spread(3, 4)
Y = spread(2, 3, 2, seed=1)
C = spread_complex(3, 2)

_MASK = torch.tensor([True, False, True])

# Without tensors in them.
PLAIN: list[Any] = [
    0,
    -1,
    slice(None, None, 2),
    slice(1, 3),
    Ellipsis,
    None,
    (slice(1), 2),
    (None, slice(None), 1),
    (Ellipsis, 0),
    (0, Ellipsis, None),
    (slice(0, 0),),
    (-2, -3),
    (),
]

# With tensors: duplicates, two that broadcast, mixed with slices, None and ..., and masks.
WITH_TENSORS: list[Any] = [
    i([0, 0, 2]),
    i(1),
    i([[0, 2], [2, 2]]),
    (i([0, 0, 1]), i([1, 1, 3])),
    (i([[0], [2]]), i([1, 3])),
    (slice(None, 2), i([3, 3, 0])),
    (i([0, 2]), slice(None), None),
    (Ellipsis, i([0, 0, -1])),
    (i([1, 1]), 2),
    _MASK,
    (_MASK, slice(1, 3)),
    (_MASK, i([0, 1])),
    X > 0.2,
    i([]),
    [0, 0, 1],
]


def _of_two(y: torch.Tensor) -> list[Sample]:
    """Index tensors that are apart, whose axis comes first."""
    return [
        sized(y, (i([0, 1, 1]), slice(None), i([1, 1, 0]))),
        sized(y, (slice(None), i([0, 0]))),
        sized(y, (0, slice(None), i([1, 1]))),
    ]


def _indexed(x: torch.Tensor, index: Any) -> torch.Tensor:
    return x[index]


GETITEM = {
    'getitem': Case(
        ad.getitem,
        [
            *(sized(X, index) for index in [*PLAIN, *WITH_TENSORS]),
            *_of_two(Y),
            sized(t(0.4), ()),
            sized(t(0.4), None),
            sized(X.mT, (1, slice(1, 3))),
            sized(spread(1, 2).expand(3, 2), i([0, 0])),
            sized(C, i([1, 1])),
            sized(C, (slice(1), 0)),
        ],
        _indexed,
        refusals=[
            (sample(X, 'a'), ad.TensorTypeError, 'an index is made of ints, slices'),
            (sample(X, 1.5), ad.TensorTypeError, 'an index is made of ints, slices'),
            (sample(X, slice(i(0), 2)), ad.TensorTypeError, 'the bounds of a slice are ints'),
            (sample(X, 5), ad.ShapeError, 'out of bounds'),
            (sample(X, (0, 0, 0)), ad.ShapeError, 'too many indices'),
        ],
    ),
    'getitem/operator': Case(lambda a: a[1:, 0] * a[0, 1], [sized(X)], lambda a: a[1:, 0] * a[0, 1]),
}


def _filled(index: Sequence[Any], tensors: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tensors[p.position] if isinstance(p, Slot) else p for p in index)


def _ungetitem(ct: Node, like: Node, index: tuple[Any, ...], tensors: Sequence[Node] = ()) -> Node:
    return Node([ct, like, *tensors], ungetitem, {'index': index})


def _by_torch(
    ct: torch.Tensor, like: torch.Tensor, index: tuple[Any, ...], tensors: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """What torch adds at an index, by its derivative of indexing."""
    x = like.detach().requires_grad_()
    return torch.autograd.grad(x[_filled(index, tensors)], x, ct)[0]


def _ungetitems(like: Node, indices: tuple[tuple[Any, ...], ...], *parts: Node) -> Node:
    return Node([*parts, like], ungetitems, {'indices': indices})


def _each_by_torch(
    like: torch.Tensor, indices: tuple[tuple[Any, ...], ...], *parts: torch.Tensor
) -> torch.Tensor:
    return sum((_by_torch(ct, like, i) for i, ct in zip(indices, parts, strict=True)), 0 * like)


UNGETITEM = {
    'ungetitems': Case(
        _ungetitems,
        [
            sized(X, ((0,), (slice(1, 3),)), spread(4), spread(2, 4, seed=3)),
            sized(X.mT, ((Ellipsis, 0), (slice(1, 2), 2), (0, 1)), spread(4), spread(1), t(0.3)),
            sized(Y, ((slice(None), slice(0, 2)), (0, 2)), spread(2, 2, 2, seed=4), spread(2, seed=5)),
        ],
        _each_by_torch,
    ),
    'ungetitem': Case(
        _ungetitem,
        [
            sized(spread(4), X, (1,)),
            sized(spread(2, 2), X, (slice(1, None), slice(None, None, 2))),
            sized(spread(1, 3), X, (None, Ellipsis, -1)),
            sized(spread(3, 4, seed=2), X, (Slot(0),), [i([0, 0, 2])]),
            sized(spread(3), X, (Slot(0), Slot(1)), [i([0, 0, 1]), i([1, 1, 3])]),
            sized(spread(2, 3), X, (slice(None, 2), Slot(0)), [i([3, 3, 0])]),
            sized(spread(2, 4), X, (Slot(0),), [_MASK]),
            sized(spread(2, 2), C.real, (Slot(0),), [i([1, 1])]),
            sized(spread_complex(2, 2), C, (Slot(0),), [i([1, 1])]),
            sized(t(0.7), X.mT, (0, 1)),
        ],
        _by_torch,
    ),
}

_TO = i([[0, 0, 1], [2, 0, 1]])
_AT = i([[1, 1], [0, 3], [2, 2]])

ALONG = {
    'gather': Case(
        ad.gather,
        [
            sized(X, 1, _AT),
            sized(X, 0, i([[0, 2, 2, 1]])),
            sized(X, -1, _AT),
            sized(spread(4, 3).mT, 1, _AT),
            sized(C, 0, i([[0, 0], [2, 2]])),
            sized(t(0.4), 0, i(0)),
            sized(X, dim=1, index=_AT[:0]),
        ],
        lambda a, dim, index: torch.gather(a, dim, index),
        refusals=[
            (sample(X, 2, _AT), ad.ShapeError, r'(?i)dimension out of range'),
            (sample('x', 1, _AT), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'scatter_add': Case(
        ad.scatter_add,
        [
            sized(X, 0, _TO, spread(2, 3)),
            sized(X, 1, _AT, spread(3, 2, seed=3)),
            sized(X, -1, _AT, spread(2, 3, seed=3).mT),
            sized(C, 0, i([[0, 0], [0, 2]]), spread_complex(2, 2, seed=4)),
        ],
        lambda a, dim, index, source: a.scatter_add(dim, index, source),
        refusals=[(sample(X, 0, _TO, 'x'), ad.TensorTypeError, 'takes nodes')],
    ),
    'index_select': Case(
        ad.index_select,
        [
            sized(X, 0, i([2, 0, 0])),
            sized(X, 1, i([3])),
            sized(Y, -1, i([1, 1])),
            sized(X.mT, 0, i([1, 1])),
            sized(C, 0, i([2, 2])),
            sized(X, 0, i([])),
        ],
        torch.index_select,
        refusals=[(sample(X, 2, i([0])), ad.ShapeError, r'(?i)out of range')],
    ),
    'index_add': Case(
        ad.index_add,
        [
            sized(X, 0, i([2, 0, 0]), spread(3, 4, seed=2)),
            sized(X, 1, i([3, 3]), spread(3, 2)),
            sized(Y, -1, i([1]), spread(2, 3, 1)),
            sized(C, 0, i([2, 2]), spread_complex(2, 2, seed=4)),
        ],
        torch.index_add,
        refusals=[(sample(X, 0, i([0]), spread(2, 3)), ad.ShapeError, 'index_add')],
    ),
}

CASES = GETITEM | UNGETITEM | ALONG
