"""Cases: writing at positions, and reducing there."""

from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops import scatter as ops
from adjoint.ops.index import crop, pad_to_like
from adjoint.ops.scatter_reduce import (
    index_along,
    index_reduce,
    scatter_reduce,
    segment_ids,
    segment_reduce,
    segment_room,
)  # fmt: skip
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, i, sized, spread, spread_complex, t

X = spread(3, 4)
C = spread_complex(3, 2)
MASK = X > 0.2
_ROW = torch.tensor([True, False, True, True])
# Places of a matrix, none of them twice along axis 1, and twice along axis 0.
_ONCE = i([[1, 0], [0, 3], [2, 1]])
_TWICE = i([[0, 0, 1, 2], [0, 2, 1, 2]])


def _put(a: torch.Tensor, index: Any, values: torch.Tensor, accumulate: bool = False) -> torch.Tensor:
    index = tuple(index) if isinstance(index, list) else index
    result = a.clone()
    if not accumulate:
        result[index] = values.to(a.dtype)
        return result
    places = torch.arange(a.numel()).reshape(a.shape)[index]
    flat = result.reshape(-1).index_add(0, places.reshape(-1), values.expand(places.shape).reshape(-1))
    return flat.reshape(a.shape)


FILLS = {
    'masked_fill': Case(
        ops.masked_fill,
        [
            sample(X, MASK, 0.5),
            sample(X, _ROW, -1),
            sized(spread(1, 4), MASK, 2.0),
            sample(X.mT, MASK.mT, 0.5),
            sample(C, C.real > 0, 1.5),
            sample(t(0.4), torch.tensor(True), 2.0),
            sample(X, MASK, t(0.7)),
        ],
        lambda a, mask, value: a.masked_fill(mask, value),
        conventions=[(sample(t([1.0, 2.0]), torch.tensor([True, False]), -float('inf')), (t([0.0, 1.0]),))],
        refusals=[(sample(X, torch.tensor([True, False]), 0.5), ad.ShapeError, 'masked_fill')],
    ),
    'index_fill': Case(
        ops.index_fill,
        [sample(X, 1, i([0, 2, 0]), 0.5), sample(X.mT, 0, i([1]), 2), sample(C, -1, i([1]), 1.5)],
        torch.index_fill,
    ),
    'scatter_value': Case(
        ops.scatter_value,
        [sample(X, 1, _ONCE, 0.5), sample(X, 0, _TWICE, 2), sample(C, 0, i([[1, 1]]), 0.5)],
        lambda a, dim, index, value: torch.scatter(a, dim, index, value),
    ),
}

PUTS = {
    'scatter': Case(
        ops.scatter,
        [
            sized(X, 1, _ONCE, spread(3, 2, seed=2)),
            sized(X.mT, 0, _ONCE.mT, spread(2, 3, seed=2)),
            sized(C, 0, i([[1, 2]]), spread_complex(1, 2, seed=3)),
            sized(X, 1, _ONCE[:2], spread(3, 4, seed=2)),
            sized(t(0.4), 0, i(0), t(0.7)),
            sized(X, 1, _ONCE, 0.5),
        ],
        lambda a, dim, index, source: torch.scatter(a, dim, index, source),
        conventions=[
            (
                sample(t([1.0, 2.0]), 0, i([0, 0]), t([5.0, 5.0]), smooth=False),
                (t([0.0, 1.0]), t([1.0, 1.0])),
            )
        ],
    ),
    'index_put': Case(
        ops.index_put,
        [
            sized(X, (i([0, 2]), i([1, 1])), spread(2, seed=2)),
            sized(X, [i([0, 2])], t(0.4)),
            sized(X, (i([0, 0, 2]),), spread(3, 4, seed=2), accumulate=True),
            sized(X, (i([0, 0]), i([1, -3])), t(0.7), accumulate=True),
            sized(X, (slice(None), i([3, 0])), spread(2, seed=2)),
            sized(X, MASK, t(0.7)),
            sized(X, _ROW[:3], spread(2, 4, seed=2), True),
            sized(X, (0, slice(1, None, 2)), spread(2, seed=2)),
            sized(X.mT, (..., 1), spread(4, seed=2)),
            sized(C, (i([0, 1]),), spread(2, 2, seed=2)),
            sized(C, (i([0, 0]),), spread_complex(2, seed=2), accumulate=True),
            sized(t(0.4), (), t(0.7)),
        ],
        _put,
        conventions=[
            (
                sample(t([1.0, 2.0]), (i([0, 0]),), t([5.0, 5.0]), smooth=False),
                (t([0.0, 1.0]), t([1.0, 1.0])),
            )
        ],
        refusals=[
            (sample(X, 'a', t(0.4)), ad.TensorTypeError, 'an index is made of'),
            (sample(X, (0,), spread(3)), ad.ShapeError, 'index_put'),
        ],
    ),
    'index_copy': Case(
        ops.index_copy,
        [
            sized(X, 0, i([2, 0]), spread(2, 4, seed=2)),
            sized(X.mT, 1, i([1]), spread(4, 1, seed=2)),
            sized(C, 0, i([2]), spread_complex(1, 2, seed=2)),
            sized(spread(3), 0, i(1), t(0.7)),
        ],
        torch.index_copy,
    ),
    'take': Case(
        ops.take,
        [sample(X, i([0, 5, 5])), sample(X.mT, i([[1, -1]])), sample(C, i(3)), sample(t(0.4), i([0, 0]))],
        torch.take,
    ),
    'put': Case(
        ops.put,
        [
            sized(X, i([0, 5]), spread(2, seed=2)),
            sized(X, i([5, 5]), spread(2, seed=2), accumulate=True),
            sized(X.mT, i([[1, -1]]), spread(2, seed=2)),
            sized(C, i([1]), spread_complex(1, 1, seed=2)),
        ],
        torch.put,
    ),
    'crop': Case(
        crop,
        [sized(X, spread(2, 3)), sized(C, X[:1, :1]), sized(X, X + 1)],
        lambda a, b: a[: b.shape[0], : b.shape[1]],
    ),
    'pad_to_like': Case(
        pad_to_like,
        [sized(spread(2, 3), X), sized(C, spread(4, 4)), sized(X, X + 1)],
        lambda a, b: torch.constant_pad_nd(a, [0, b.shape[1] - a.shape[1], 0, b.shape[0] - a.shape[0]]),
    ),
}


def _masked_put(ct: Node, like: Node, mask: Node) -> Node:
    return Node([ct, like, mask], ops.masked_put)


def _masked_part(a: Node, like: Node, mask: Node) -> Node:
    return Node([a, like, mask], ops.masked_part)


def _leading(a: torch.Tensor, like: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    chosen = a.masked_select(mask)
    rest = torch.zeros(like.numel() - chosen.numel(), dtype=a.dtype)
    return torch.cat([chosen, rest]).reshape(like.shape)


MASKED = {
    'masked_select': Case(
        ops.masked_select,
        [sized(X, MASK), sized(X, _ROW), sized(spread(4), MASK), sized(C, C.real > 0), sized(t(0.4), _ROW)],
        torch.masked_select,
    ),
    'masked_put': Case(
        _masked_put,
        [sized(spread(9), X, _ROW), sized(spread_complex(2), C, torch.tensor([[True], [False], [False]]))],
        lambda ct, like, mask: torch.zeros_like(like).masked_scatter(mask.expand(like.shape), ct),
    ),
    'masked_scatter': Case(
        ops.masked_scatter,
        [
            sized(X, MASK, spread(12, seed=2)),
            sized(X, _ROW, spread(3, 3, seed=2)),
            sized(spread(4), MASK, spread(12, seed=2)),
            sized(C, C.real > 0, spread_complex(7, seed=2)),
            sized(X, MASK & ~MASK, spread(0)),
        ],
        torch.masked_scatter,
    ),
    'masked_part': Case(
        _masked_part,
        [
            sized(X, spread(12), MASK),
            sized(X, spread(5, 2), _ROW),
            sized(C, spread_complex(7), C.real > 0),
        ],
        _leading,
    ),
}


def _reduced(reduce: str) -> list[Sample]:
    source = spread(2, 4, seed=2)
    return [
        sized(X, 0, _TWICE, source, reduce),
        sized(X, 0, _TWICE, source, reduce, include_self=False),
        sized(X.mT, 1, _TWICE.mT, source.mT, reduce, include_self=False),
    ]


_ONE_PLACE = i([0, 0, 0])

REDUCED = {
    'scatter_reduce': Case(
        scatter_reduce,
        [
            *(s for reduce in ('sum', 'prod', 'mean', 'amax', 'amin') for s in _reduced(reduce)),
            sized(X, 1, _ONCE[:2], spread(3, 4, seed=2) + 0.017, 'prod'),
            sized(X, 1, _ONCE[:2], spread(3, 4, seed=2) + 0.017, 'amax'),
            sized(t(0.4), 0, i(0), t(0.7), 'prod'),
        ],
        lambda a, dim, index, source, reduce, include_self=True: torch.scatter_reduce(
            a, dim, index, source, reduce, include_self=include_self
        ),
        conventions=[
            (
                sample(t([2.0, 1.0]), 0, _ONE_PLACE, t([2.0, 1.0, 2.0]), 'amax', smooth=False),
                (t([1 / 3, 1.0]), t([1 / 3, 0.0, 1 / 3])),
            ),
            (
                sample(
                    t([2.0, 1.0]), 0, _ONE_PLACE, t([2.0, 1.0, 2.0]), 'amax', include_self=False, smooth=False
                ),
                (t([0.0, 1.0]), t([0.5, 0.0, 0.5])),
            ),
            (
                sample(t([2.0, 1.0]), 0, _ONE_PLACE, t([3.0, 0.0, 5.0]), 'prod'),
                (t([0.0, 1.0]), t([0.0, 30.0, 0.0])),
            ),
            (
                sample(t([2.0, 1.0]), 0, _ONE_PLACE, t([0.0, 0.0, 5.0]), 'prod'),
                (t([0.0, 1.0]), t([0.0, 0.0, 0.0])),
            ),
        ],
        refusals=[(sample(X, 0, _TWICE, X, 'max'), ad.TensorTypeError, 'reduces by one of')],
    ),
    'scatter_reduce/index_reduce': Case(
        index_reduce,
        [
            sized(X, 0, i([2, 0, 2]), spread(3, 4, seed=2), 'mean'),
            sized(X, -1, i([2, 2]), spread(3, 2, seed=2), 'prod', include_self=False),
        ],
        # That of torch warns that it is in beta.
        lambda a, dim, index, source, reduce, include_self=True: torch.scatter_reduce(
            a,
            dim,
            (index if dim else index[:, None]).expand(source.shape),
            source,
            reduce,
            include_self=include_self,
        ),
    ),
    'scatter_reduce/segment_reduce': Case(
        lambda data, reduce, unsafe=False, **options: segment_reduce(data, reduce, **options),
        [
            sized(X, 'sum', lengths=i([1, 2])),
            sized(X, 'mean', lengths=i([1, 2])),
            sized(X, 'prod', offsets=i([0, 1, 3]), initial=2.0),
            sized(X, 'max', lengths=i([[1, 3], [2, 2], [4, 0]]), axis=1, initial=-0.5),
            sized(X, 'min', lengths=i([3])),
            sized(X, 'sum', lengths=i([1, 1]), unsafe=True),
        ],
        lambda data, reduce, **options: torch.segment_reduce(data, reduce, **options),
    ),
    'index_along': Case(
        index_along,
        [sized(i([2, 0, 2]), 0, X), sized(i([2, 0]), -1, C), sized(i(0), 0, t(0.4))],
        lambda index, dim, like: (
            index if like.ndim == 0 else (index if dim else index[:, None]).expand(like.shape)
        ),
    ),
    'segment_ids': Case(
        segment_ids,
        [
            sized(i([1, 0, 2]), X, 0),
            sized(i([0, 1, 3]), X, 0, are_offsets=True),
            sized(i([[1, 3], [2, 2], [4, 0]]), X, 1),
        ],
        lambda lengths, like, axis, are_offsets=False: (
            torch.stack([torch.repeat_interleave(torch.arange(len(n)), n) for n in lengths])
            if axis
            else torch.repeat_interleave(
                torch.arange(len(lengths) - are_offsets), lengths.diff() if are_offsets else lengths
            )[:, None].expand(like.shape)
        ),
    ),
    'segment_room': Case(
        segment_room,
        [sized(i([1, 2]), X, 0, 0.5), sized(i([0, 1, 3]), X, 0, 1.0, are_offsets=True)],
        lambda lengths, like, axis, value, are_offsets=False: torch.full((3, 4), value, dtype=like.dtype),
    ),
}

CASES: dict[str, Case] = FILLS | PUTS | MASKED | REDUCED
