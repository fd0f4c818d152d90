"""Factorisations of matrices: Cholesky, QR, SVD, eigenvalues."""

import math
from typing import Any

import torch

from adjoint.core.errors import NonDifferentiableError
from adjoint.core.kink import kink, pole
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.contraction import matmul
from adjoint.ops.diagonal import diag_embed
from adjoint.ops.elementwise import Step
from adjoint.ops.linalg import solve_matrix, solve_triangular
from adjoint.ops.linear import imag, real, sum_to_like
from adjoint.ops.matrix import (
    cut_matrix,
    diagonal_of,
    eye_like,
    fit_matrix,
    is_tall,
    known_square,
    known_tall,
    leading_square,
    mH,
    mT,
)  # fmt: skip
from adjoint.ops.select import where
from adjoint.ops.several import items, slots
from adjoint.ops.shape import tril, triu, unsqueeze
from adjoint.ops.step import eq

__all__ = [
    'QR',
    'SVD',
    'Cholesky',
    'CholeskyInfo',
    'Eig',
    'Eigh',
    'cholesky',
    'cholesky_info',
    'cholesky_inverse',
    'cholesky_solve',
    'eig',
    'eigh',
    'qr',
    'svd',
]  # fmt: skip

_linalg: Any = torch.linalg  # it has no types


def _plus(a: Node | None, b: Node) -> Node:
    return b if a is None else a + b


class Cholesky(Op):
    """The lower triangular ``y`` with ``y @ y.mH = a``, for Hermitian positive definite matrices ``a``.

    Notes
    -----
    The lower triangle of ``a`` is read. The cotangent is Hermitian: that of the whole matrix, taken as
    Hermitian. A matrix that is not positive definite is an error, or with ``check=False`` what is left of
    the factorisation.
    """

    axes = ()
    kinks = (
        pole(
            'a singular', 'the derivative is infinite or nan', lambda _, a: _linalg.eigvalsh(a)[..., :1] <= 0
        ),
    )

    def __call__(self, a: Operand, check: bool = True) -> Node:
        return Node([as_node(a, self.name)], self, {'check': check})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return _linalg.cholesky(a) if node.attrs['check'] else _linalg.cholesky_ex(a)[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        y = node
        lower = tril(matmul(mH(y), output_grad))
        middle = (lower + mH(tril(lower, -1))) * 0.5
        half = solve_triangular(mH(y), middle, upper=True)
        return [solve_triangular(y, half, upper=False, left=False)]


class CholeskyInfo(Step):
    """0 for positive definite matrices, else the order of the first leading minor that is not positive."""

    axes = ()

    def __call__(self, a: Operand) -> Node:
        return Node([as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return _linalg.cholesky_ex(a)[1]


class QR(Op):
    """``q`` with orthonormal columns and upper triangular ``r``, with ``q @ r = a``: the reduced form.

    Notes
    -----
    Columns of ``q`` are determined up to a factor of absolute value 1; along a curve of matrices they keep
    the diagonal of ``r`` real, as in torch. The first ``min(m, n)`` columns of ``a`` are independent;
    otherwise the derivative does not exist, and is infinite or nan. With ``complete``, ``q`` is square; for
    matrices with more rows than columns it then has no derivative.
    """

    axes = ()
    name = 'qr'
    outputs = 2
    kinks = (
        pole(
            'dependent columns',
            'the derivative is infinite or nan',
            lambda y, a: y.op.compute(y, [a])[1].diagonal(dim1=-2, dim2=-1) == 0,
        ),
    )

    def __call__(self, a: Operand, complete: bool = False) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([as_node(a, self.name)], self, {'complete': complete}))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return tuple(_linalg.qr(a, 'complete' if node.attrs['complete'] else 'reduced'))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        if node.attrs['complete'] and known_tall(a) is not False:
            msg = (
                f'the complete QR factorisation of matrices with more rows than columns has no derivative, '
                f'and this is not known to have no more: {a.type}. Use the reduced form, qr(a)\n{node.location}'  # noqa: E501
            )
            raise NonDifferentiableError(msg)
        q, r = items(node)
        to_q, to_r = slots(output_grad)
        # A wide matrix is [a1 a2] with a1 = q @ r1 square, and the rest of r is q.mH @ a2.
        may_be_wide = known_tall(a) is not True and not known_square(a)
        rest: Node | None = None
        to_r1 = to_r
        if may_be_wide and to_r is not None:
            to_r1 = fit_matrix(to_r, leading_square(r))
            to_r2 = to_r - fit_matrix(to_r1, to_r)
            a2 = a - fit_matrix(fit_matrix(a, q), a)
            rest = matmul(q, to_r2)
            to_q = _plus(to_q, matmul(a2, mH(to_r2)))
        r1 = leading_square(r) if may_be_wide else r
        inner: Node | None = None if to_r1 is None else matmul(to_r1, mH(r1))
        if to_q is not None:
            inner = -matmul(mH(q), to_q) if inner is None else inner - matmul(mH(q), to_q)
        if inner is None:
            return [None]
        inner = triu(inner)
        inner = inner + mH(inner) - real(inner) * eye_like(inner)
        flow = _plus(to_q, matmul(q, inner))
        flow = solve_triangular(mH(r1), flow, upper=False, left=False)
        if may_be_wide:
            flow = fit_matrix(flow, a)
        return [flow if rest is None else flow + rest]


def _gaps(s: Node, times: Node | None = None) -> Node:
    """Return the matrix of ``s[j] - s[i]``, infinite on the diagonal, where nothing is to be divided."""
    gaps = unsqueeze(s, -2) - unsqueeze(s, -1)
    # Multiplied before the infinity comes in, which has no tangent.
    gaps = gaps if times is None else gaps * times
    return where(eye_like(gaps), math.inf, gaps)


class Eigh(Op):
    """The eigenvalues, in ascending order, and the eigenvectors of Hermitian matrices.

    Notes
    -----
    The lower triangle is read, with ``lower=False`` the upper. The cotangent is that of the whole matrix,
    taken as Hermitian. The derivative of the eigenvectors does not exist where eigenvalues are equal, and
    is infinite or nan there; that of the eigenvalues alone does. Eigenvectors are determined up to a
    factor of absolute value 1; functions of them that depend on it have no derivative.
    """

    axes = ()
    outputs = 2
    kinks = (
        pole(
            'equal eigenvalues',
            'the derivatives of their eigenvectors are infinite or nan',
            lambda _, a: _linalg.eigvalsh(a).diff(dim=-1) == 0,
        ),
    )

    def __call__(self, a: Operand, lower: bool = True) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([as_node(a, self.name)], self, {'lower': lower}))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return tuple(_linalg.eigh(a, 'L' if node.attrs['lower'] else 'U'))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        values, vectors = items(node)
        to_values, to_vectors = slots(output_grad)
        if to_vectors is None:
            if to_values is None:
                return [None]
            return [matmul(vectors * unsqueeze(to_values, -2), mH(vectors))]
        inner = _skew(matmul(mH(vectors), to_vectors)) * 0.5 / _gaps(values)
        if to_values is not None:
            inner = inner + diag_embed(to_values)
        return [matmul(matmul(vectors, inner), mH(vectors))]


class Eig(Op):
    """The eigenvalues and the eigenvectors, of length 1, of square matrices; complex, in no order.

    Notes
    -----
    The derivatives do not exist where eigenvalues are equal, and are infinite or nan there. Eigenvectors
    are determined up to a factor of absolute value 1; functions of them that depend on it have no
    derivative.
    """

    axes = ()
    outputs = 2
    kinks = (
        pole(
            'equal eigenvalues',
            'the derivatives are infinite or nan',
            lambda _, a: (_linalg.eigvals(a).unsqueeze(-1) == _linalg.eigvals(a).unsqueeze(-2)).triu(1),
        ),
    )

    def __call__(self, a: Operand) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([as_node(a, self.name)], self))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return tuple(_linalg.eig(a))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        values, vectors = items(node)
        to_values, to_vectors = slots(output_grad)
        inner: Node | None = None
        if to_vectors is not None:
            inner = matmul(mH(vectors), to_vectors)
            along = unsqueeze(diagonal_of(inner), -2)
            inner = (inner - matmul(mH(vectors), vectors) * along) / mT(mH(_gaps(values)))
        if to_values is not None:
            inner = _plus(inner, diag_embed(to_values))
        if inner is None:
            return [None]
        return [sum_to_like(solve_matrix(mH(vectors), matmul(inner, mH(vectors))), a)]


class SVD(Op):
    """``u``, the singular values in descending order, and ``vh``, with ``u @ diag(s) @ vh = a``.

    Notes
    -----
    With ``full_matrices``, nothing flows to the columns of ``u`` and the rows of ``vh`` beyond the number
    of singular values, which are not determined. The derivative of ``u`` and ``vh`` does not exist where
    singular values are equal, or zero, and is infinite or nan there; that of the singular values alone is
    right where they are equal, and at zero it is one of those of the absolute value, as in torch. ``u``
    and ``vh`` are determined up to factors of absolute value 1; functions of them that depend on these
    have no derivative.
    """

    axes = ()
    name = 'svd'
    outputs = 3
    kinks = (
        pole(
            'equal singular values',
            'the derivatives of their vectors are infinite or nan',
            lambda _, a: _linalg.svdvals(a).diff(dim=-1) == 0,
        ),
        kink(
            'a singular value is 0',
            'its derivative is one of those of an absolute value; those of its vectors are infinite or nan',
            lambda _, a: _linalg.svdvals(a) == 0,
        ),
    )

    def __call__(self, a: Operand, full_matrices: bool = False) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([as_node(a, self.name)], self, {'full_matrices': full_matrices}))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return tuple(_linalg.svd(a, full_matrices=node.attrs['full_matrices']))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        u, s, vh = items(node)
        to_u, to_s, to_vh = slots(output_grad)
        if node.attrs['full_matrices']:
            u, vh = cut_matrix(u, a), cut_matrix(vh, a)
            to_u = None if to_u is None else cut_matrix(to_u, a)
            to_vh = None if to_vh is None else cut_matrix(to_vh, a)
        if to_u is None and to_vh is None:
            return [None if to_s is None else matmul(u * unsqueeze(to_s, -2), vh)]
        rows, columns = unsqueeze(s, -1), unsqueeze(s, -2)
        gaps = _gaps(s, rows + columns)
        inner: Node | None = None
        if to_u is not None:
            on_u = _skew(matmul(mH(u), to_u))
            inner = on_u / gaps * columns
            if not (a.type is not None and a.type.is_real):
                turning = imag(diagonal_of(on_u)) * 0.5
                # Of a singular value of 0 nothing turns; the pullback stays linear in the cotangent.
                rate = turning / where(eq(s, 0.0), 1.0, s) * 1j
                inner = sum_to_like(inner + diag_embed(rate), inner)
        if to_vh is not None:
            inner = _plus(inner, rows * (_skew(matmul(vh, mH(to_vh))) / gaps))
        assert inner is not None  # noqa: S101 one of the two is there
        if to_s is not None:
            inner = inner + diag_embed(to_s)
        flow = matmul(matmul(u, inner), vh)
        if to_u is not None:
            outside = _outside(u, to_u, s)
            flow = flow if outside is None else flow + matmul(outside, vh)
        if to_vh is not None:
            outside = _outside(mH(vh), mH(to_vh), s)
            flow = flow if outside is None else flow + matmul(u, mH(outside))
        return [flow]


def _skew(a: Node) -> Node:
    return a - mH(a)


def _outside(u: Node, ct: Node, s: Node) -> Node | None:
    """Return the part of ``ct`` orthogonal to the columns of ``u``, over ``s``; none for a square ``u``."""
    tall = known_tall(u)
    if tall is False:
        return None
    # The projection of a square `u` is zero, and so may be a singular value.
    safe = s if tall else where(is_tall(u), s, 1.0)
    return (ct - matmul(u, matmul(mH(u), ct))) / unsqueeze(safe, -2)


cholesky = Cholesky()
cholesky_info = CholeskyInfo()
qr = QR()
eigh = Eigh()
eig = Eig()
svd = SVD()


def cholesky_solve(b: Operand, factor: Operand, upper: bool = False) -> Node:
    """Return the ``x`` with ``a @ x = b``, from the Cholesky factor of ``a``.

    Parameters
    ----------
    b : Node or torch.Tensor
        Matrices.
    factor : Node or torch.Tensor
        The factor, of which one triangle is read.
    upper : bool
        Whether it is the upper triangle ``r`` with ``a = r.mH @ r``, and not ``a = l @ l.mH``.
    """
    factor = as_node(factor, 'cholesky_solve')
    first, second = (mH(factor), factor) if upper else (factor, mH(factor))
    return solve_triangular(second, solve_triangular(first, b, upper=False), upper=True)


def cholesky_inverse(factor: Operand, upper: bool = False) -> Node:
    """Return the inverse of ``a`` from its Cholesky factor, with the parameters of ``cholesky_solve``."""
    factor = as_node(factor, 'cholesky_inverse')
    half: Any = solve_triangular(factor, eye_like(factor), upper=upper)
    return matmul(half, mH(half)) if upper else matmul(mH(half), half)
