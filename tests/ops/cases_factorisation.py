"""Cases: factorisations of matrices: Cholesky, QR, SVD, LU, eigenvalues."""

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops.elimination import lu_factor, pivot_matrix
from adjoint.ops.factorisation import cholesky, cholesky_info, eig, eigh, qr, svd
from adjoint.verify.samples import sample
from tests.ops.case import Case, i, spread, spread_complex, t

A = spread(3, 3) + 4 * torch.eye(3, dtype=torch.float64)
S = A @ A.mT
C = spread_complex(2, 2) + 3 * torch.eye(2, dtype=torch.float64)
H = C @ C.mH
TALL, WIDE = spread(3, 2, seed=4), spread(2, 3, seed=5)


def _symmetric(a: Node) -> Node:
    return (a + ad.transpose(ad.conj(a), -2, -1)) / 2


def _projections(x: torch.Tensor) -> torch.Tensor:
    """Return the sum of weighted projections on columns: signs and phases do not count."""
    return (x * _numbers(x.shape[-1])) @ x.mH


def _numbers(count: int) -> torch.Tensor:
    return torch.arange(1.0, 1.0 + count, dtype=torch.float64)


def _projections_of(x: Node, count: int) -> Node:
    return (x * _numbers(count)) @ ad.transpose(ad.conj(x), -2, -1)


def _lu_part(a: Node) -> Node:
    return lu_factor(a)[0]


CASES: dict[str, Case] = {
    'cholesky': Case(
        lambda a: cholesky(_symmetric(a)), [sample(S), sample(H)],
        lambda a: torch.linalg.cholesky((a + a.mH) / 2),
    ),
    'cholesky_info': Case(
        cholesky_info, [sample(S), sample(t([[1.0, 2.0], [2.0, 1.0]]))],
        lambda a: torch.linalg.cholesky_ex(a)[1],
    ),
    'qr': Case(
        lambda a: qr(a)[1], [sample(TALL), sample(A), sample(WIDE), sample(C)],
        lambda a: torch.linalg.qr(a)[1],
    ),
    'qr/directions': Case(
        lambda a: qr(a)[0], [sample(TALL), sample(A), sample(C)], lambda a: torch.linalg.qr(a)[0]
    ),
    'eigh': Case(
        lambda a: eigh(_symmetric(a))[0], [sample(S), sample(H)], lambda a: torch.linalg.eigvalsh((a + a.mH) / 2)  # noqa: E501
    ),
    'eigh/vectors': Case(
        lambda a: _projections_of(eigh(_symmetric(a))[1], 3), [sample(S)],
        lambda a: _projections(torch.linalg.eigh((a + a.mH) / 2)[1]),
    ),
    'eig': Case(
        lambda a: ad.sum(eig(a)[0] * eig(a)[0]), [sample(A), sample(C)],
        lambda a: torch.linalg.eigvals(a).square().sum(),
    ),
    'svd': Case(lambda a: svd(a)[1], [sample(TALL), sample(WIDE), sample(C)], torch.linalg.svdvals),
    'svd/vectors': Case(
        lambda a: _projections_of(svd(a)[0], 2), [sample(TALL)],
        lambda a: _projections(torch.linalg.svd(a, full_matrices=False)[0]),
    ),
    'lu_factor': Case(
        _lu_part, [sample(A), sample(TALL), sample(WIDE), sample(C)], lambda a: torch.linalg.lu_factor(a)[0]
    ),
    'pivot_matrix': Case(
        pivot_matrix, [sample(A, i([2, 2, 3]).int())],
        lambda lu, pivots: torch.lu_unpack(lu, pivots, unpack_data=False)[0],
    ),
}  # fmt: skip
