"""Cases: overlapping and strided views, and diagonals."""

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops.diagonal import diag_embed, diagonal, diagonal_scatter, trace
from adjoint.ops.window import as_strided, as_strided_scatter, unfold, unfold_backward, unstrided
from adjoint.verify.samples import sample
from tests.ops.case import Case, sized, spread, spread_complex, t

X = spread(3, 4)
Y = spread(2, 3, 3, seed=1)
C = spread_complex(3, 3)


def _unstrided(a: Node, like: Node, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Node:
    return Node([a, like], unstrided, {'size': size, 'stride': stride, 'storage_offset': offset})


def _added(
    a: torch.Tensor, like: torch.Tensor, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0
) -> torch.Tensor:
    """What torch adds up, by its derivative of the strided view."""
    x = torch.zeros(like.shape, dtype=a.dtype, requires_grad=True)
    return torch.autograd.grad(x.as_strided(size, stride, offset), x, a)[0]


WINDOWS = {
    'unfold': Case(
        unfold,
        [
            sized(X, 1, 2, 1),
            sized(X, 1, 3, 2),
            sized(X, 0, 2, 3),
            sized(X.mT, -1, 2, 1),
            sized(C, 0, 2, 1),
            sized(t(0.4), 0, 1, 1),
            sized(spread(1, 3).expand(2, 3), 1, 2, 1),
        ],
        lambda a, dim, size, step: a.unfold(dim, size, step),
        refusals=[(sample(X, 1, 9, 1), ad.ShapeError, '(?i)size')],
    ),
    'unfold_backward': Case(
        unfold_backward,
        [
            sized(spread(3, 3, 2), X, 1, 2, 1),
            sized(spread(3, 1, 3), X, 1, 3, 2),
            sized(spread_complex(2, 3, 2), C, 0, 2, 1),
            sized(spread(1), t(0.3), 0, 1, 1),
        ],
        lambda a, like, dim, size, step: (
            torch.ops.aten.unfold_backward(a, like.shape, dim, size, step) if like.ndim else a.sum()
        ),
    ),
    'as_strided': Case(
        as_strided,
        [
            sized(X, (2, 2), (4, 1)),
            sized(X, (3, 3), (1, 1)),
            sized(X, (2, 2), (1, 3), 2),
            sized(X, (2, 3), (0, 1), 1),
            sized(C, (3,), (4,)),
            sized(X, (), (), 5),
            sized(spread(4, 3).mT, (2, 2), (1, 2)),
            sized(X[1:], (2, 2), (1, 2)),
        ],
        lambda a, *rest: a.contiguous().clone().as_strided(*rest),
    ),
    'unstrided': Case(
        _unstrided,
        [
            sized(spread(3, 3), X, (3, 3), (1, 1)),
            sized(spread(2, 2), X.mT, (2, 2), (1, 3), 2),
            sized(spread_complex(2, 3), C, (2, 3), (0, 1)),
        ],
        _added,
    ),
    'as_strided_scatter': Case(
        as_strided_scatter,
        [
            sized(X, spread(2, 2, seed=3), (2, 2), (4, 1)),
            sized(X.mT, spread(2, 2, seed=3), (2, 2), (1, 3), 2),
            sized(C, spread_complex(3, seed=3), (3,), (4,)),
        ],
        lambda a, *rest: torch.as_strided_scatter(a.contiguous(), *rest),
    ),
}

DIAGONALS = {
    'diagonal': Case(
        diagonal,
        [
            sample(X),
            sample(X, 1),
            sample(Y, -1, -1, 0),
            sample(Y, offset=0, dim1=1, dim2=2),
            sample(X.mT, 2),
            sample(C),
        ],
        torch.diagonal,
        refusals=[(sample(X, 0, 0, 2), ad.ShapeError, '(?i)out of range')],
    ),
    'diagonal/trace': Case(trace, [sample(X), sample(C)], torch.trace),
    'diagonal_scatter': Case(
        diagonal_scatter,
        [
            sample(X, spread(3, seed=4)),
            sized(Y, spread(3, 2, seed=4), 0, 0, 2),
            sized(X, spread(2, seed=4), -1),
            sample(C, spread_complex(3, seed=4)),
        ],
        torch.diagonal_scatter,
    ),
    'diag_embed': Case(
        diag_embed,
        [sample(X), sample(X, -1), sample(spread(2), 1, 1, 0), sample(C, 0, 0, -1), sample(X.mT)],
        torch.diag_embed,
    ),
}

CASES: dict[str, Case] = WINDOWS | DIAGONALS
