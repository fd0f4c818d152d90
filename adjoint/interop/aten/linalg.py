"""ATen: linear algebra, norms and distances."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import determinant, distance, elimination, factorisation, linalg
from adjoint.ops.creation import constant
from adjoint.ops.matrix import known_tall, mH, mT

__all__ = ['BUILDERS']


def _nothing(like: Node) -> Node:
    """Return the empty tensor that torch gives for what was not asked for."""
    dtype = None if like.type is None else like.type.dtype
    return constant(torch.empty(0, dtype=dtype))


def _solve_ex(A: Node, B: Node, *, left: bool = True, check_errors: bool = False) -> tuple[Node, ...]:
    return linalg.solve(A, B, left, check_errors), *elimination.lu_factor(A)


def _inv_ex(A: Node, *, check_errors: bool = False) -> tuple[Node, ...]:
    return linalg.inverse(A, check_errors), elimination.lu_factor(A)[2]


def _det(A: Node) -> tuple[Node, ...]:
    return determinant.det(A), *elimination.lu_factor(A)[:2]


def _slogdet(A: Node) -> tuple[Node, ...]:
    return *determinant.slogdet(A), *elimination.lu_factor(A)[:2]


def _cholesky(self: Node, upper: bool = False) -> Node:
    return mH(factorisation.cholesky(mH(self))) if upper else factorisation.cholesky(self)


def _cholesky_ex(self: Node, *, upper: bool = False, check_errors: bool = False) -> tuple[Node, ...]:
    lower = mH(self) if upper else self
    factor = factorisation.cholesky(lower, check_errors)
    return mH(factor) if upper else factor, factorisation.cholesky_info(lower)


def _cholesky_solve(self: Node, input2: Node, upper: bool = False) -> Node:
    return factorisation.cholesky_solve(self, input2, upper)


def _cholesky_inverse(self: Node, upper: bool = False) -> Node:
    return factorisation.cholesky_inverse(self, upper)


def _solve_triangular(
    self: Node, B: Node, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Node:
    return linalg.solve_triangular(self, B, upper, left, unitriangular)


def _triangular_solve(
    self: Node, A: Node, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Node, Node]:
    turned = mT(A) if transpose else A
    return linalg.solve_triangular(turned, self, upper != transpose, True, unitriangular), A


def _cross(self: Node, other: Node, *, dim: int = -1) -> Node:
    return linalg.cross(self, other, dim)


def _pinv(self: Node, *, atol: Node | None = None, rtol: Node | None = None, hermitian: bool = False) -> Node:
    return linalg.pinv(self, atol, rtol, hermitian)


def _matrix_exp(self: Node) -> Node:
    return determinant.matrix_exp(self)


def _eigh(A: Node, UPLO: str = 'L', compute_v: bool = True) -> tuple[Node, ...]:
    values, vectors = factorisation.eigh(A, UPLO.upper() == 'L')
    return values, vectors if compute_v else _nothing(A)


def _eig(self: Node) -> tuple[Node, ...]:
    return factorisation.eig(self)


def _eigvals(self: Node) -> Node:
    return factorisation.eig(self)[0]


def _svd(
    A: Node, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> tuple[Node, ...]:
    u, s, vh = factorisation.svd(A, full_matrices and compute_uv)
    return (u, s, vh) if compute_uv else (_nothing(A), s, _nothing(A))


def _qr(A: Node, mode: str = 'reduced') -> tuple[Node, ...]:
    q, r = factorisation.qr(A, mode == 'complete' and known_tall(A) is not False)
    return _nothing(A) if mode == 'r' else q, r


def _lu_factor_ex(A: Node, *, pivot: bool = True, check_errors: bool = False) -> tuple[Node, ...]:
    return elimination.lu_factor(A, pivot)


def _lu(A: Node, *, pivot: bool = True) -> tuple[Node, ...]:
    p, lower, upper = elimination.lu(A, pivot)
    return p if pivot else _nothing(A), lower, upper


def _lu_unpack(
    LU_data: Node, LU_pivots: Node, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Node, ...]:
    p, lower, upper = elimination.lu_unpack(LU_data, LU_pivots)
    empty = _nothing(LU_data)
    return p if unpack_pivots else empty, *((lower, upper) if unpack_data else (empty, empty))


def _lu_solve(LU: Node, pivots: Node, B: Node, *, left: bool = True, adjoint: bool = False) -> Node:
    return elimination.lu_solve(LU, pivots, B, left, adjoint)


def _householder_product(input: Node, tau: Node) -> Node:
    return elimination.householder_product(input, tau)


def _ormqr(self: Node, input2: Node, input3: Node, left: bool = True, transpose: bool = False) -> Node:
    return elimination.ormqr(self, input2, input3, left, transpose)


def _vector_norm(
    self: Node,
    ord: float = 2,
    dim: Sequence[int] | int | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Node:
    return distance.vector_norm(self, ord, dim, keepdim, dtype)


def _norm(
    self: Node,
    p: float | None = 2,
    dim: Sequence[int] | int | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Node:
    return distance.vector_norm(self, 2 if p is None else p, dim, keepdim, dtype)


def _dist(self: Node, other: Node, p: float = 2) -> Node:
    return distance.dist(self, other, p)


def _cdist(x1: Node, x2: Node, p: float, compute_mode: int | None) -> Node:
    return distance.cdist(x1, x2, p)


def _euclidean_dist(x1: Node, x2: Node) -> Node:
    return distance.cdist(x1, x2)


def _pdist(self: Node, p: float = 2) -> Node:
    return distance.pdist(self, p)


def _renorm(self: Node, p: float, dim: int, maxnorm: float) -> Node:
    return distance.renorm(self, p, dim, maxnorm)


BUILDERS: Builders = {
    'aten._linalg_solve_ex': _solve_ex,
    'aten.linalg_inv_ex': _inv_ex,
    'aten._linalg_det': _det,
    'aten._linalg_slogdet': _slogdet,
    'aten.cholesky': _cholesky,
    'aten.linalg_cholesky_ex': _cholesky_ex,
    'aten.cholesky_solve': _cholesky_solve,
    'aten._cholesky_solve_helper': _cholesky_solve,
    'aten.cholesky_inverse': _cholesky_inverse,
    'aten.linalg_solve_triangular': _solve_triangular,
    'aten.triangular_solve': _triangular_solve,
    'aten.linalg_cross': _cross,
    'aten.linalg_pinv.atol_rtol_tensor': _pinv,
    'aten.linalg_matrix_exp': _matrix_exp,
    'aten._linalg_eigh': _eigh,
    'aten.linalg_eig': _eig,
    'aten.linalg_eigvals': _eigvals,
    'aten._linalg_eigvals': _eigvals,
    'aten._linalg_svd': _svd,
    'aten.linalg_qr': _qr,
    'aten.linalg_lu_factor_ex': _lu_factor_ex,
    'aten.linalg_lu': _lu,
    'aten.lu_unpack': _lu_unpack,
    'aten.linalg_lu_solve': _lu_solve,
    'aten.linalg_householder_product': _householder_product,
    'aten.ormqr': _ormqr,
    'aten.linalg_vector_norm': _vector_norm,
    'aten.norm': _norm,
    'aten.dist': _dist,
    'aten._cdist_forward': _cdist,
    'aten._euclidean_dist': _euclidean_dist,
    'aten._pdist_forward': _pdist,
    'aten.renorm': _renorm,
}
