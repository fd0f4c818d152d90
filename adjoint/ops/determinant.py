"""Determinants, exact also where the matrix is singular, and the exponential of a matrix."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.kink import pole
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.linalg import inverse
from adjoint.ops.linear import conj, expand_like, imag, real, sum_to_like
from adjoint.ops.matrix import mH, mT
from adjoint.ops.reduction import sum_
from adjoint.ops.several import items, packed, slots
from adjoint.ops.shape import unsqueeze

__all__ = ['Cofactor', 'Det', 'MatrixExp', 'Slogdet', 'cofactor', 'det', 'matrix_exp', 'slogdet']

_linalg: Any = torch.linalg  # it has no types

# From here on the cofactors are not written out.
_LARGE = 4


def _as_scalars(ct: Node) -> Node:
    """Return one number for each matrix in a shape that broadcasts with matrices."""
    return unsqueeze(unsqueeze(ct, -1), -1)


class Det(Op):
    """The determinant of square matrices; 1 for a matrix without entries.

    Notes
    -----
    The derivatives are made of cofactors, so that they are right for singular matrices too.
    """

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return _linalg.det(a)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [_as_scalars(output_grad) * conj(cofactor(node.inputs[0]))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else sum_(cofactor(node.inputs[0]) * t, (-2, -1))


# Write D(a; t1, ..., tk) for the derivative of det at a along t1, ..., tk, which is linear in each t and
# symmetric in them. The cofactors C(a; t1, ..., tk) are its derivative by one more t. As D is symmetric,
# the derivatives of C, forward and reverse, are C with one more t, or with another.


class Cofactor(Op):
    """The cofactors of square matrices: the derivatives of the determinant by the entries of ``a``.

    With ``tangents``, the derivative of the cofactors along them, one after the other.

    Notes
    -----
    Right for singular matrices too: from the singular values, without dividing by them. From three axes
    of derivative of the determinant on, by Leverrier's method, which loses digits for large matrices.
    """

    axes = ()

    def __call__(self, a: Operand, *tangents: Operand) -> Node:
        return Node([as_node(x, self.name) for x in (a, *tangents)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, *tangents = input_values
        size = a.shape[-1]
        if len(tangents) >= max(size, 1):
            return torch.zeros_like(a)
        if size < _LARGE:
            return _small_cofactors(a, tangents)
        # torch would differentiate the parts, which have no derivative where the whole has one.
        with torch.no_grad():
            return _by_svd(a, *tangents) if len(tangents) <= 1 else _by_leverrier(a, tangents)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, *tangents = node.inputs
        ct = conj(output_grad)
        to_tangents = [conj(cofactor(a, *tangents[:i], *tangents[i + 1 :], ct)) for i in range(len(tangents))]
        return [conj(cofactor(a, *tangents, ct)), *to_tangents]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        a, *tangents = node.inputs
        t_a, *t_tangents = input_tangents
        terms = [] if t_a is None else [cofactor(a, *tangents, t_a)]
        terms += [
            cofactor(a, *tangents[:i], t, *tangents[i + 1 :])
            for i, t in enumerate(t_tangents)
            if t is not None
        ]
        return functools.reduce(operator.add, terms) if terms else None


def _small_cofactors(a: torch.Tensor, tangents: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the cofactors of matrices with up to three rows, written out."""
    size = a.shape[-1]
    if size <= 1:
        return torch.ones_like(a)
    if size == 2:  # noqa: PLR2004 rows
        (b,) = tangents or [a]
        first, second = b.unbind(-2)
        rows = [
            torch.stack([second[..., 1], -second[..., 0]], -1),
            torch.stack([-first[..., 1], first[..., 0]], -1),
        ]
        return torch.stack(rows, -2)
    b, c = (tangents[0], a) if len(tangents) == 1 else (tangents or [a, a])
    p, q = b.unbind(-2), c.unbind(-2)
    rows = [_linalg.cross(p[i - 2], q[i - 1]) + _linalg.cross(q[i - 2], p[i - 1]) for i in range(3)]
    whole = torch.stack(rows, -2)
    return whole if tangents else whole / 2


def _by_svd(a: torch.Tensor, *tangents: torch.Tensor) -> torch.Tensor:
    """Return the cofactors, or their derivative along one tangent.

    Cofactors are multiplicative, those of a unitary ``u`` are ``det(u) * conj(u)``, and those of a
    diagonal matrix are products of its other entries.
    """
    u, s, vh = _linalg.svd(a)
    phase = (_linalg.det(u) * _linalg.det(vh))[..., None, None]
    if not tangents:
        middle = _products_of_others(s).to(a.dtype)[..., None, :]
        return phase * ((u.conj() * middle) @ vh.conj())
    (t,) = tangents
    inner = u.mH @ t @ vh.mH
    others = _products_of_all_but_two(s).to(a.dtype)
    on_diagonal = (others @ inner.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)).squeeze(-1)
    middle = torch.diag_embed(on_diagonal) - others * inner.mT
    return phase * (u.conj() @ middle @ vh.conj())


def _products_of_others(s: torch.Tensor) -> torch.Tensor:
    """Return, for each entry of a vector, the product of all others."""
    ones = torch.ones_like(s[..., :1])
    before = torch.cat([ones, s[..., :-1]], -1).cumprod(-1)
    after = torch.cat([s[..., 1:], ones], -1).flip(-1).cumprod(-1).flip(-1)
    return before * after


def _products_of_all_but_two(s: torch.Tensor) -> torch.Tensor:
    """Return, for each pair of entries of a vector, the product of all others; zero on the diagonal."""
    ones = torch.ones_like(s[..., :1])
    before = torch.cat([ones, s[..., :-1]], -1).cumprod(-1)
    after = torch.cat([s[..., 1:], ones], -1).flip(-1).cumprod(-1).flip(-1)
    # Row i: ones up to i, then the running product of what follows i, without the last factor.
    rows = torch.where(
        torch.ones_like(after.unsqueeze(-1) * s.unsqueeze(-2)).triu(1) != 0, s.unsqueeze(-2), 1
    )
    between = torch.cat([torch.ones_like(rows[..., :1]), rows[..., :-1]], -1).cumprod(-1)
    upper = (before.unsqueeze(-1) * between * after.unsqueeze(-2)).triu(1)
    return upper + upper.mT


def _by_leverrier(a: torch.Tensor, tangents: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the coefficient of e1...ek of the cofactors of ``a + sum(e_i * t_i)``, where ``e_i ** 2 = 0``.

    Matrices of such polynomials are lists: at place ``p``, the coefficient of the product of the ``e_i``
    for which bit ``i`` of ``p`` is set.
    """
    size, count = a.shape[-1], 1 << len(tangents)
    eye = torch.eye(size, dtype=a.dtype, device=a.device)
    given = {0: a, **{1 << i: t for i, t in enumerate(tangents)}}
    adjugate = [eye.expand_as(a), *(torch.zeros_like(a) for _ in range(count - 1))]
    for step in range(1, size):
        product = [
            functools.reduce(
                operator.add, [m @ adjugate[p ^ bits] for bits, m in given.items() if bits & p == bits]
            )
            for p in range(count)
        ]
        adjugate = [x - x.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] / step * eye for x in product]
    sign = -1 if size % 2 == 0 else 1
    return sign * adjugate[-1].mT


def _is_singular(_: Node, a: torch.Tensor) -> torch.Tensor:
    logarithm: torch.Tensor = torch.slogdet(a)[1]
    return logarithm == float('-inf')


class Slogdet(Op):
    """The sign of the determinant, of absolute value 1 or 0, and the logarithm of its absolute value.

    Notes
    -----
    The sign of real matrices is locally constant. At a singular matrix the logarithm is ``-inf``, and has
    no derivative: the inverse in it is an error.
    """

    axes = ()
    outputs = 2
    kinks = (
        pole(
            'a singular',
            'the derivative is infinite or nan',
            _is_singular,
        ),
    )

    def __call__(self, a: Operand) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([as_node(a, self.name)], self))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (a,) = input_values
        return tuple(_linalg.slogdet(a))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        sign, _ = items(node)
        to_sign, to_log = slots(output_grad)
        inv = inverse(a, check=False)
        flow = None if to_log is None else _as_scalars(to_log) * mH(inv)
        if to_sign is not None and not (a.type is not None and a.type.is_real):
            turning = sum_to_like(_as_scalars(imag(to_sign * conj(sign)) * 1j) * mH(inv), a)
            flow = turning if flow is None else flow + turning
        return [flow]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        if t is None:
            return None
        (a,) = node.inputs
        sign, _ = items(node)
        relative = sum_(mT(inverse(a, check=False)) * t, (-2, -1))
        turned = None
        if not (a.type is not None and a.type.is_real):
            turned = expand_like(imag(relative) * 1j * sign, sign)
        return packed([turned, real(relative)])


# Write E(a; t1, ..., tk) for the derivative of exp at a along t1, ..., tk, which is linear in each t and
# symmetric in them. Its adjoint in one of them is E at the conjugate transposes, with the cotangent in
# that place.


class MatrixExp(Op):
    """The exponential of square matrices: the sum of ``a ** k / k!``, with products of matrices.

    With ``tangents``, its derivative along them, one after the other; from the exponential of a block
    matrix that is twice as large for each.
    """

    axes = ()

    def __call__(self, a: Operand, *tangents: Operand) -> Node:
        return Node([as_node(x, self.name) for x in (a, *tangents)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, *tangents = input_values
        size = a.shape[-1]
        whole = a
        for t in tangents:
            corner = t
            while corner.shape[-1] < whole.shape[-1]:
                corner = _blocks(corner, torch.zeros_like(corner))
            whole = _blocks(whole, corner)
        return _linalg.matrix_exp(whole)[..., :size, whole.shape[-1] - size :]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        turned = [mH(x) for x in node.inputs]
        return [
            Node([turned[0], *turned[1:], output_grad], self),
            *(Node([*turned[:i], *turned[i + 1 :], output_grad], self) for i in range(1, len(turned))),
        ]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        a, *tangents = node.inputs
        t_a, *t_tangents = input_tangents
        terms = [] if t_a is None else [matrix_exp(a, *tangents, t_a)]
        terms += [
            matrix_exp(a, *tangents[:i], t, *tangents[i + 1 :])
            for i, t in enumerate(t_tangents)
            if t is not None
        ]
        return functools.reduce(operator.add, terms) if terms else None


def _blocks(a: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """Return ``[[a, corner], [0, a]]``."""
    upper = torch.cat([a, corner], -1)
    return torch.cat([upper, torch.cat([torch.zeros_like(a), a], -1)], -2)


det = Det()
cofactor = Cofactor()
slogdet = Slogdet()
matrix_exp = MatrixExp()
