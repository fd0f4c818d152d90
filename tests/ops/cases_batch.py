"""Cases of what rules of batches are written with."""

import torch

from adjoint.ops import batch as ops
from adjoint.verify.samples import sample
from tests.ops.case import Case, i, sized, spread, spread_complex, t

X = spread(2, 3)


def _spread(a: torch.Tensor, like: torch.Tensor, dim: int = 0) -> torch.Tensor:
    sizes = [-1] * a.ndim
    sizes.insert(dim, like.shape[dim])
    return a.unsqueeze(dim).expand(sizes)


def _split(a: torch.Tensor, like: torch.Tensor, dim: int = 0) -> torch.Tensor:
    return a.unflatten(dim, like.shape[dim : dim + 2])


CASES: dict[str, Case] = {
    'spread': Case(
        ops.spread,
        [
            sample(X, spread(4, 1)),
            sample(t(0.4), spread(2)),
            sample(X, spread(2, 5), 1),
            sample(X, spread(0)),
            sample(spread_complex(2), i([1, 2, 3])),
        ],
        _spread,
    ),
    'align': Case(
        lambda a, other: ops.align(a, [other], [True]),
        [
            sample(X, spread(2, 4, 3)),
            sample(X, spread(2, 3)),
            sample(spread(2), spread(2, 3, 4)),
            sample(spread(0), spread(0, 2)),
            sample(spread_complex(2), spread(2, 3)),
        ],
        lambda a, other: a.reshape(a.shape[:1] + (1,) * (other.ndim - a.ndim) + a.shape[1:]),
    ),
    'align/to what is the same for all': Case(
        lambda a, other: ops.align(a, [other], [False]),
        [sample(spread(2), spread(3)), sample(spread(2), t(0.4)), sample(X, spread(4, 3))],
        lambda a, other: a.reshape(a.shape[:1] + (1,) * (other.ndim + 1 - a.ndim) + a.shape[1:]),
    ),
    'align/to a wider dtype': Case(
        lambda a, other: ops.align(a, [other], [True]),
        [sample(i([1, 2]), spread(2, 3)), sample(spread(2).float(), spread(2, 3))],
        lambda a, other: (a if a.is_floating_point() else a.double()).reshape(-1, 1),
    ),
    'split_like': Case(
        ops.split_like,
        [
            sized(spread(6, 2), spread(2, 3)),
            sized(spread(2, 6), spread(5, 3, 2), 1),
            sized(spread(0, 2), spread(0, 3)),
            sized(spread_complex(4), i([[1, 2], [3, 4]])),
        ],
        _split,
    ),
    'example': Case(
        ops.example,
        [sample(X), sample(spread(0, 3)), sample(spread(2)), sample(i([[1, 2]]))],
        lambda a: torch.zeros(a.shape[1:], dtype=a.dtype),
    ),
    'numbers': Case(
        ops.numbers,
        [sample(X), sample(spread(0, 3)), sample(i([4, 2]))],
        lambda a: torch.arange(a.shape[0]),
    ),
}
