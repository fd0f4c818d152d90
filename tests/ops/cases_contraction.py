"""Cases of the matrix products, their adjoints, and the fused pairs."""

from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint import Node
from adjoint.ops.contraction import matmul_left, matmul_right
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, Refusal, spread, spread_complex, t

# Every pair of ranks up to batches of batches, with batches that broadcast in both ways.
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 2, 3), (2, 3, 2)),
    ((2, 1, 3), (1, 3, 2)),
    ((1, 2, 3), (2, 3, 1)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((3,), (2, 1, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
    ((0, 2, 0), (0, 2)),
]


def _product(a: tuple[int, ...], b: tuple[int, ...]) -> torch.Tensor:
    """A cotangent of the shape of the product."""
    shape = tuple(torch.matmul(torch.zeros(a), torch.zeros(b)).shape)
    return spread(*shape, seed=len(a))


MISFIT: Refusal = (sample(spread(2, 3), spread(4, 2)), ad.ShapeError, r'matmul(.|\n)*float64\[2, 3\]')

MATMUL = {
    'matmul': Case(
        ad.matmul,
        [
            *(sample(spread(*a, seed=1), spread(*b, seed=2)) for a, b in SHAPES),
            sample(spread(3, 2).mT, spread(2, 3, seed=3).mT),
            sample(spread(1, 3).expand(2, 3), spread(2, 3, 2)[:, :, ::2]),
            sample(spread_complex(2, 3), spread_complex(3, 2, seed=5)),
            sample(spread_complex(2, 1, 3), spread_complex(3, seed=5)),
            sample(spread_complex(3), spread_complex(2, 3, 2, seed=5)),
        ],
        torch.matmul,
        refusals=[
            MISFIT,
            (sample(t(1.0), spread(2)), ad.ShapeError, '(?i)at least 1D'),
            (sample(spread(2), spread(2).float()), ad.TensorTypeError, r'one dtype.*cast\('),
            (sample('x', spread(2)), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'matmul/repeated': Case(
        lambda a: ad.matmul(a, a),
        [sample(spread(2, 2)), sample(spread(3)), sample(spread_complex(2, 2))],
        lambda a: a @ a,
    ),
    'matmul/operator': Case(lambda a, b: a @ b, [sample(spread(2, 3), spread(3, 2, seed=2))], torch.matmul),
}


def _by_left(c: torch.Tensor, b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """The derivative of ``sum(c * (a @ b))`` by ``a``, by torch, without a conjugate."""
    a = a.detach().requires_grad_()
    return torch.autograd.grad(torch.matmul(a, b.conj()), a, c)[0]


def _by_right(c: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    b = b.detach().requires_grad_()
    return torch.autograd.grad(torch.matmul(a.conj(), b), b, c)[0]


_LEFT = [sample(_product(a, b), spread(*b, seed=2), spread(*a, seed=1)) for a, b in SHAPES]
_RIGHT = [sample(_product(a, b), spread(*a, seed=1), spread(*b, seed=2)) for a, b in SHAPES]
_LEFT_COMPLEX = [
    sample(spread_complex(2, 2), spread_complex(3, 2, seed=3), spread_complex(2, 3, seed=4)),
    sample(spread_complex(2, 1), spread_complex(3, seed=3), spread_complex(2, 1, 3, seed=4)),
]
_RIGHT_COMPLEX = [
    sample(spread_complex(2, 2), spread_complex(2, 3, seed=4), spread_complex(3, 2, seed=3)),
    sample(spread_complex(2, 1), spread_complex(2, 1, 3, seed=4), spread_complex(3, seed=3)),
]

ADJOINTS = {
    'matmul_left': Case(matmul_left, [*_LEFT, *_LEFT_COMPLEX], _by_left),
    'matmul_right': Case(matmul_right, [*_RIGHT, *_RIGHT_COMPLEX], _by_right),
}


def _layer_norm(a: torch.Tensor, b: torch.Tensor, normalized_shape: Any, eps: float = 1e-5) -> torch.Tensor:
    axes = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    y = a @ b
    return F.layer_norm(y, y.shape[y.ndim - axes :], eps=eps)


def _fused(*rest: Any, **kwargs: Any) -> list[Sample]:
    pairs = [((2, 3), (3, 4)), ((2, 2, 3), (3, 3)), ((3,), (3, 4)), ((2, 1, 3), (2, 3, 3))]
    return [sample(spread(*a, seed=1), spread(*b, seed=2), *rest, **kwargs) for a, b in pairs]


A, B = spread(2, 3), spread(3, 4, seed=1)

FUSED = {
    'matmul_layernorm': Case(
        ad.matmul_layernorm,
        [*_fused((4,)), *_fused(9, eps=0.1), sample(A, B, (2, 4))],
        _layer_norm,
        refusals=[
            (sample(A, A, 3), ad.ShapeError, 'matmul'),
            (sample('x', A, 3), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'matmul_softmax': Case(
        ad.matmul_softmax,
        [*_fused(), *_fused(dim=0), sample(A.mT.contiguous().mT, B, -2)],
        lambda a, b, dim=-1: torch.softmax(a @ b, dim),
        refusals=[
            (sample(A, A), ad.ShapeError, 'matmul'),
            (sample(A, 'x'), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
}


def _half(a: Node) -> Node:
    return ad.matmul(a, ad.constant(spread(3, 2, seed=6)))


CASES = (
    MATMUL
    | ADJOINTS
    | FUSED
    | {
        'matmul/constant': Case(_half, [sample(A)], lambda a: a @ spread(3, 2, seed=6)),
    }
)
