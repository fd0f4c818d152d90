"""Cases of embedding, in rows and in bags."""

from typing import Any

import torch
import torch.nn.functional as F

from adjoint import Node
from adjoint.ops import embedding as ops
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, Convention, i, sized, spread, t

TABLE, NARROW = spread(5, 3), spread(3, 4, seed=1).mT
INDICES, OFFSETS = i([4, 0, 2, 2, 1]), i([0, 2, 2])
FACTORS = spread(5, seed=7)


def _unembedding(
    a: Node, indices: Node, like: Node, padding_idx: int = -1, scale_grad_by_freq: bool = False
) -> Node:
    attrs = {'padding_idx': padding_idx, 'scale_grad_by_freq': scale_grad_by_freq}
    return Node([a, indices, like], ops.unembedding, attrs)


def _unembedded(
    a: torch.Tensor,
    indices: torch.Tensor,
    like: torch.Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
) -> torch.Tensor:
    counts = torch.bincount(indices.flatten())[indices]
    rows = a / counts.unsqueeze(-1) if scale_grad_by_freq else a
    rows = torch.where((indices != padding_idx).unsqueeze(-1), rows, 0.0)
    return torch.zeros_like(like).index_add(0, indices.flatten(), rows.reshape(-1, like.shape[1]))


def _bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    mode: int = 0,
    per_sample_weights: torch.Tensor | None = None,
    scale_grad_by_freq: bool = False,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> torch.Tensor:
    return F.embedding_bag(
        indices,
        weight,
        offsets,
        mode=('sum', 'mean', 'max')[mode],
        scale_grad_by_freq=scale_grad_by_freq,
        per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset,
        padding_idx=None if padding_idx < 0 else padding_idx,
    )


def _bags(*, weighted: bool = True) -> list[Sample]:
    bags = [
        sized(TABLE, INDICES, OFFSETS),
        sized(TABLE, INDICES, OFFSETS, 1),
        sized(TABLE, INDICES, OFFSETS, 2),
        sized(TABLE, INDICES, i([0, 1, 5]), 1, include_last_offset=True, padding_idx=2),
        sized(NARROW, i([3, 0, 0]), i([0, 2]), 2, padding_idx=3),
    ]
    return [*bags, sized(TABLE, INDICES, OFFSETS, 0, FACTORS)] if weighted else bags


def _index(weight: Node, indices: Node, offsets: Node, kind: str, **attrs: Any) -> Node:
    return Node([weight, indices, offsets], ops.bag_index, {'kind': kind, **attrs})


def _indexed(
    _: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor, kind: str, **attrs: Any
) -> torch.Tensor:
    bags = torch.searchsorted(offsets, torch.arange(len(indices)), right=True) - 1
    if kind == 'bag':
        return bags
    counted = indices != attrs['padding_idx']
    return torch.stack([(counted & (bags == b)).sum() for b in bags])


PLAIN = {'include_last_offset': False, 'padding_idx': -1}


def padded(by_row: list[list[float]], *rest: Any) -> Convention:
    """A table whose rows 0 and 1 are used, one and two times."""
    return sample(t([[1.0], [2.0]]), i([0, 1, 1]), *rest, smooth=False), (t(by_row),)


CASES: dict[str, Case] = {
    'embedding': Case(
        ops.embedding,
        [
            sized(TABLE, INDICES),
            sized(NARROW, i([[0, 3], [3, 3]])),
            sized(TABLE, i(1)),
            sized(TABLE, i([])),
            sized(TABLE, i([1, 4]), 2),
        ],
        lambda weight, indices, padding_idx=-1, scale=False: weight[indices],
        conventions=[
            padded([[1.0], [2.0]]),
            padded([[1.0], [0.0]], 1),
            padded([[1.0], [1.0]], -1, True),
        ],
    ),
    'unembedding': Case(
        _unembedding,
        [
            sized(spread(5, 3, seed=2), INDICES, TABLE),
            sized(spread(2, 2, 3, seed=2), i([[1, 1], [0, 3]]), NARROW, 1),
            sized(spread(5, 3, seed=2), INDICES, TABLE, -1, True),
        ],
        _unembedded,
    ),
    'frequency': Case(
        ops.frequency,
        [sample(INDICES), sample(i([[1, 1], [0, 1]]))],
        lambda x: torch.bincount(x.flatten())[x],
    ),
    'embedding_bag': Case(
        ops.embedding_bag,
        _bags(),
        _bag,
        conventions=[
            (
                # The first of two largest entries; an empty bag.
                sample(t([[1.0], [1.0]]), i([1, 0]), i([0, 2]), 2, smooth=False),
                (t([[0.0], [1.0]]),),
            ),
        ],
    ),
    'bag_index': Case(
        _index,
        [
            sized(TABLE, INDICES, OFFSETS, 'bag', **PLAIN),
            sized(TABLE, INDICES, OFFSETS, 'size', **PLAIN | {'padding_idx': 2}),
        ],
        _indexed,
    ),
}
