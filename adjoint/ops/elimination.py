"""Elimination and reflections: LU, and products of Householder reflections."""

from typing import Any

import torch

from adjoint.core.kink import pole, tie
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.contraction import matmul
from adjoint.ops.diagonal import diag_embed
from adjoint.ops.elementwise import Step
from adjoint.ops.linalg import solve_triangular
from adjoint.ops.matrix import (
    cut_matrix,
    eye_like,
    eye_of_rows,
    fit_matrix,
    known_square,
    leading_square,
    mH,
    mT,
)  # fmt: skip
from adjoint.ops.several import items, slots
from adjoint.ops.shape import tril, triu

__all__ = [
    'LU', 'PivotMatrix', 'householder_product', 'lu', 'lu_factor', 'lu_solve', 'lu_unpack', 'ormqr',
    'pivot_matrix',
]  # fmt: skip

_linalg: Any = torch.linalg  # it has no types


class PivotMatrix(Step):
    """The permutation matrix ``p`` of the pivots of a factorisation ``lu``: ``p @ l @ u`` is the matrix."""

    axes = ()

    def __call__(self, lu: Operand, pivots: Operand) -> Node:
        return Node([as_node(lu, self.name), as_node(pivots, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        lu, pivots = input_values
        return torch.lu_unpack(lu, pivots, unpack_data=False)[0]


def _pivots(node: Node, a: torch.Tensor) -> torch.Tensor:
    return node.op.compute(node, [a])[0].diagonal(dim1=-2, dim2=-1)


class LU(Op):
    """The factors ``l`` and ``u`` of square or rectangular matrices in one, the pivots, and what failed.

    ``l`` is below the diagonal, with ones on it; ``u`` is the rest; the rows of ``l @ u`` are exchanged as
    the pivots tell. The last output is 0, or the place of a pivot that is zero.

    Notes
    -----
    The derivative exists where the leading minors are not zero and no two candidates for a pivot tie;
    otherwise it is infinite or nan.
    """

    axes = ()
    name = 'lu_factor'
    outputs = 3
    kinks = (
        pole('a leading minor is 0', 'the derivative is infinite or nan', lambda y, a: _pivots(y, a) == 0),
        tie(
            'several entries are the largest of a column',
            'the derivatives are those of the exchange that is made',
            lambda y, a: torch.tril(y.op.compute(y, [a])[0], -1).abs() == 1,
        ),
    )

    def __call__(self, a: Operand, pivot: bool = True) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([as_node(a, self.name)], self, {'pivot': pivot}))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return tuple(_linalg.lu_factor_ex(a, pivot=node.attrs['pivot']))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        packed, pivots, _ = items(node)
        (ct, _, _) = slots(output_grad)
        if ct is None:
            return [None]
        if known_square(a):
            square, to_square, rest, to_rest = packed, ct, None, None
        else:
            square, to_square = leading_square(packed), leading_square(ct)
            # The rest of u of a wide matrix, or of l of a tall one, with zeros in place of the square.
            rest, to_rest = packed - fit_matrix(square, a), ct - fit_matrix(to_square, a)
        lower, upper = tril(square, -1), triu(square)
        on_lower = matmul(mH(lower + eye_like(square)), tril(to_square, -1))
        on_upper = matmul(triu(to_square), mH(upper))
        if rest is not None and to_rest is not None:
            # Zero in the square where the rest is not of that factor.
            on_lower -= fit_matrix(matmul(to_rest, mH(rest)), square)
            on_upper -= fit_matrix(matmul(mH(rest), to_rest), square)
        inner = tril(on_lower, -1) + triu(on_upper)
        if rest is not None and to_rest is not None:
            # Both factors as squares, with an identity in the place of what the matrix does not have.
            lower, columns = fit_matrix(lower, eye_of_rows(a)), eye_of_rows(mT(a))
            upper = fit_matrix(upper, columns) + columns - fit_matrix(eye_like(square), columns)
            inner = fit_matrix(inner, a) + to_rest
        inner = solve_triangular(mH(upper), inner, upper=False, left=False)
        inner = solve_triangular(mH(lower), inner, upper=True, unitriangular=True)
        return [matmul(pivot_matrix(packed, pivots), inner)]


pivot_matrix = PivotMatrix()
lu_factor = LU()


def lu_unpack(packed: Operand, pivots: Operand) -> tuple[Node, Node, Node]:
    """Return the permutation matrix, ``l`` and ``u`` from what ``lu_factor`` returns."""
    packed = as_node(packed, 'lu_unpack')
    # As many columns, and as many rows, as there are of both.
    lower = tril(cut_matrix(packed, eye_of_rows(packed)), -1)
    upper = triu(cut_matrix(packed, eye_of_rows(mT(packed))))
    return pivot_matrix(packed, pivots), lower + eye_like(lower), upper


def lu(a: Operand, pivot: bool = True) -> tuple[Node, Node, Node]:
    """Return ``p``, ``l`` and ``u`` with ``p @ l @ u = a``: a permutation and two triangular matrices."""
    packed, pivots, _ = lu_factor(a, pivot)
    return lu_unpack(packed, pivots)


def lu_solve(packed: Operand, pivots: Operand, b: Operand, left: bool = True, adjoint: bool = False) -> Node:
    """Return the solution ``x`` of ``a @ x = b`` from what ``lu_factor`` returns for ``a``.

    Parameters
    ----------
    packed, pivots : Node or torch.Tensor
        The factors and pivots of square matrices.
    b : Node or torch.Tensor
        Matrices.
    left : bool
        Whether ``a`` stands to the left of ``x``.
    adjoint : bool
        Whether ``a.mH`` stands in its place.
    """
    packed, b = as_node(packed, 'lu_solve'), as_node(b, 'lu_solve')
    if not left:
        return mH(lu_solve(packed, pivots, mH(b), left=True, adjoint=not adjoint))
    p = pivot_matrix(packed, pivots)
    if adjoint:
        x = solve_triangular(mH(packed), b, upper=False)
        return matmul(p, solve_triangular(mH(packed), x, upper=True, unitriangular=True))
    x = solve_triangular(packed, matmul(mT(p), b), upper=False, unitriangular=True)
    return solve_triangular(packed, x, upper=True)


def _reflections(a: Node, tau: Node) -> tuple[Node, Node]:
    """Return ``v`` and ``t`` with ``I - v @ t @ v.mH`` the product of the reflections.

    The column of ``a`` below the diagonal, with a one on it, is a vector ``v_i``, and the reflection is
    ``I - tau_i * v_i @ v_i.mH``. Then ``t`` is ``(I + d @ u)^-1 @ d``, with ``d`` the diagonal matrix of
    the ``tau_i`` and ``u`` the part of ``v.mH @ v`` above the diagonal.
    """
    v = tril(a, -1) + eye_like(a)
    inner = matmul(mH(v), v)
    # Columns of `a` beyond the number of factors do not take part.
    d = fit_matrix(diag_embed(tau), inner)
    return v, solve_triangular(matmul(d, triu(inner, 1)), d, upper=True, unitriangular=True)


def householder_product(a: Operand, tau: Operand) -> Node:
    """Return the first columns of a product of Householder reflections.

    Parameters
    ----------
    a : Node or torch.Tensor
        Matrices with at least as many rows as columns, whose columns below the diagonal are the vectors.
    tau : Node or torch.Tensor
        The factors, at most as many as columns.
    """
    a, tau = as_node(a, 'householder_product'), as_node(tau, 'householder_product')
    v, t = _reflections(a, tau)
    return eye_like(a) - matmul(v, matmul(t, mH(leading_square(v))))


def ormqr(a: Operand, tau: Operand, other: Operand, left: bool = True, transpose: bool = False) -> Node:
    """Return ``q @ other``, for the whole product ``q`` of Householder reflections.

    Parameters
    ----------
    a, tau : Node or torch.Tensor
        As for ``householder_product``.
    other : Node or torch.Tensor
        Matrices.
    left : bool
        Whether ``q`` stands to the left.
    transpose : bool
        Whether ``q.mH`` stands in its place.
    """
    a, tau, other = as_node(a, 'ormqr'), as_node(tau, 'ormqr'), as_node(other, 'ormqr')
    v, t = _reflections(a, tau)
    t = mH(t) if transpose else t
    if left:
        return other - matmul(v, matmul(t, matmul(mH(v), other)))
    return other - matmul(matmul(matmul(other, v), t), mH(v))
