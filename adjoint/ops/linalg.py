"""Linear algebra: solving, inverses, cross products."""

from collections.abc import Sequence
from typing import Any, cast

import torch

from adjoint.core.kink import jump, pole
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.contraction import Multilinear, matmul
from adjoint.ops.linear import Linear, conj, sum_to_like
from adjoint.ops.matrix import mH, mT
from adjoint.ops.shape import reshape_like, tril, triu

__all__ = [
    'AsColumns', 'Cross', 'FromColumns', 'Inverse', 'Pinv', 'Solve', 'SolveTriangular', 'as_columns',
    'cross', 'from_columns', 'inverse', 'lstsq', 'pinv', 'solve', 'solve_matrix', 'solve_triangular',
]  # fmt: skip

_linalg: Any = torch.linalg  # it has no types


def _is_vector(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether torch takes the right-hand side ``b`` as vectors, beside matrices ``a``."""
    return b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])


class AsColumns(Linear):
    """``b`` as matrices of one column where it is vectors beside the matrices ``a``, else ``b`` itself.

    As ``torch.linalg.solve`` takes a right-hand side: with one axis, or of the shape of ``a`` without
    its last axis.
    """

    def __call__(self, b: Operand, a: Operand) -> Node:
        return Node([as_node(b, self.name), as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        b, a = input_values
        return b.unsqueeze(-1) if _is_vector(a, b) else b

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return reshape_like(ct, node.inputs[0]), None


class FromColumns(Linear):
    """``x`` without its last axis, of size 1, where ``b`` is vectors beside ``a``, else ``x`` itself."""

    def __call__(self, x: Operand, b: Operand, a: Operand) -> Node:
        return Node([as_node(x, self.name), as_node(b, self.name), as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, b, a = input_values
        return x.squeeze(-1) if _is_vector(a, b) else x

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return reshape_like(ct, node.inputs[0]), None, None


def _is_singular(a: torch.Tensor) -> torch.Tensor:
    return _linalg.det(a) == 0


class Solve(Op):
    """The matrices ``x`` with ``a @ x = b``; batches broadcast.

    Notes
    -----
    A singular ``a`` is an error, or with ``check=False`` gives infinities and nan.
    """

    axes = ()
    broadcasts = True
    name = 'solve_matrix'
    kinks = (pole('a singular', 'the derivative is infinite or nan', lambda _, a, b: _is_singular(a)),)

    def __call__(self, a: Operand, b: Operand, check: bool = True) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self, {'check': check})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        if node.attrs['check']:
            return _linalg.solve(a, _broadcast_batch(b, a))
        return _linalg.solve_ex(a, _broadcast_batch(b, a))[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, b = node.inputs
        to_b = Node([mH(a), output_grad], self, node.attrs)
        return [sum_to_like(-matmul(to_b, mH(node)), a), sum_to_like(to_b, b)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        a, _ = node.inputs
        t_a, t_b = input_tangents
        moved = None if t_a is None else matmul(t_a, node)
        if moved is None:
            return None if t_b is None else Node([a, t_b], self, node.attrs)
        return Node([a, -moved if t_b is None else t_b - moved], self, node.attrs)


def _broadcast_batch(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Expand the batch of ``b``, so that torch does not take it as vectors."""
    batch = cast('tuple[int, ...]', torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
    return b.expand(*batch, *b.shape[-2:])


class Inverse(Op):
    """The inverse of square matrices.

    Notes
    -----
    A singular matrix is an error, or with ``check=False`` gives infinities and nan.
    """

    axes = ()
    kinks = (pole('a singular', 'the derivative is infinite or nan', lambda _, a: _is_singular(a)),)

    def __call__(self, a: Operand, check: bool = True) -> Node:
        return Node([as_node(a, self.name)], self, {'check': check})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return _linalg.inv(a) if node.attrs['check'] else _linalg.inv_ex(a)[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [-matmul(mH(node), matmul(output_grad, mH(node)))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else -matmul(node, matmul(t, node))


class SolveTriangular(Op):
    """The matrices ``x`` with ``a @ x = b``, or ``x @ a = b``, of which one triangle of ``a`` is read.

    Notes
    -----
    Nothing flows to the triangle that is not read, nor to the diagonal with ``unitriangular``.
    """

    axes = ()
    broadcasts = True

    def __call__(
        self, a: Operand, b: Operand, upper: bool, left: bool = True, unitriangular: bool = False
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node or torch.Tensor
            Square matrices, of which the upper or the lower triangle is read.
        b : Node or torch.Tensor
            Matrices; the batches broadcast.
        upper : bool
            Whether it is the upper triangle.
        left : bool
            Whether ``a`` stands to the left of ``x``.
        unitriangular : bool
            Whether the diagonal is taken as ones.
        """
        attrs = {'upper': upper, 'left': left, 'unitriangular': unitriangular}
        return Node([as_node(a, self.name), as_node(b, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return _linalg.solve_triangular(a, b, **node.attrs)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, b = node.inputs
        attrs = {**node.attrs, 'upper': not node.attrs['upper']}
        to_b = Node([mH(a), output_grad], self, attrs)
        product = matmul(to_b, mH(node)) if node.attrs['left'] else matmul(mH(node), to_b)
        return [sum_to_like(self._triangle(node, -product), a), sum_to_like(to_b, b)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        a, _ = node.inputs
        t_a, t_b = input_tangents
        if t_a is None:
            return None if t_b is None else Node([a, t_b], self, node.attrs)
        t_a = self._triangle(node, t_a)
        moved = matmul(t_a, node) if node.attrs['left'] else matmul(node, t_a)
        return Node([a, -moved if t_b is None else t_b - moved], self, node.attrs)

    @staticmethod
    def _triangle(node: Node, a: Node) -> Node:
        offset = 1 if node.attrs['unitriangular'] else 0
        return triu(a, offset) if node.attrs['upper'] else tril(a, -offset)


def _is_deficient(node: Node, a: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
    """Return of which matrices some singular values count as zero."""
    options = dict(node.attrs)
    options.update(zip(options.pop('tensors'), given, strict=True))
    return _linalg.matrix_rank(a, **options) < min(a.shape[-2:])


class Pinv(Op):
    """The Moore-Penrose inverse; singular values not above ``max(atol, rtol * largest)`` count as zero.

    Notes
    -----
    The derivative is that along directions that keep the rank; across a change of rank there is none.
    With ``hermitian`` the lower triangle is read, and the cotangent is that of the whole matrix.
    """

    kinks = (
        jump(
            'the rank is not full',
            'the derivative is that along directions that keep it',
            _is_deficient,
        ),
    )

    def __call__(
        self,
        a: Operand,
        atol: Operand | None = None,
        rtol: Operand | None = None,
        hermitian: bool = False,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node or torch.Tensor
            Matrices.
        atol, rtol : Node, torch.Tensor or number, optional
            The tolerances, as in ``torch.linalg.pinv``; nothing flows to them.
        hermitian : bool
            Whether the matrices are taken as Hermitian.
        """
        inputs, attrs = [as_node(a, self.name)], dict[str, Any](hermitian=hermitian)
        tensors: list[str] = []
        for name, given in (('atol', atol), ('rtol', rtol)):
            if isinstance(given, (Node, torch.Tensor)):
                inputs.append(as_node(given, self.name))
                tensors.append(name)
            elif given is not None:
                attrs[name] = given
        return Node(inputs, self, {**attrs, 'tensors': tuple(tensors)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, *given = input_values
        options = dict(node.attrs)
        options.update(zip(options.pop('tensors'), given, strict=True))
        if 'atol' not in options and 'rtol' not in options:
            return _linalg.pinv(a, hermitian=options['hermitian'])
        tensors = {
            name: torch.as_tensor(options[name], device=a.device)
            for name in ('atol', 'rtol')
            if name in options
        }
        return _linalg.pinv(a, hermitian=options['hermitian'], **tensors)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, *rest = node.inputs
        y, g, y_h = node, output_grad, mH(node)
        # I - a @ y and I - y @ a, applied from the left and the right.
        left = matmul(matmul(mH(g), y), y_h)
        right = matmul(matmul(y_h, y), mH(g))
        flow = left - matmul(a, matmul(y, left)) + right - matmul(matmul(right, y), a)
        return [flow - matmul(matmul(y_h, g), y_h), *(None for _ in rest)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        t = input_tangents[0]
        if t is None:
            return None
        a, y, y_h, t_h = node.inputs[0], node, mH(node), mH(t)
        left = matmul(matmul(y, y_h), t_h)
        right = matmul(t_h, matmul(y_h, y))
        flow = left - matmul(matmul(left, a), y) + right - matmul(y, matmul(a, right))
        return flow - matmul(matmul(y, t), y)


class Cross(Multilinear):
    """The cross product of the vectors along an axis of size 3; the other axes broadcast."""

    axes = ('dim',)

    def __call__(self, a: Operand, b: Operand, dim: int = -1) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return _linalg.cross(a, b, dim=node.attrs['dim'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, b = node.inputs
        to_a = Node([conj(b), output_grad], self, node.attrs)
        to_b = Node([output_grad, conj(a)], self, node.attrs)
        return [sum_to_like(to_a, a), sum_to_like(to_b, b)]


as_columns = AsColumns()
from_columns = FromColumns()
solve_matrix = Solve()
inverse = Inverse()
solve_triangular = SolveTriangular()
pinv = Pinv()
cross = Cross()


def solve(a: Operand, b: Operand, left: bool = True, check: bool = True) -> Node:
    """Return ``x`` with ``a @ x = b``, or ``x @ a = b``, as ``torch.linalg.solve``.

    Parameters
    ----------
    a : Node or torch.Tensor
        Square matrices.
    b : Node or torch.Tensor
        Matrices; or vectors: with one axis, or of the shape of ``a`` without its last axis.
    left : bool
        Whether ``a`` stands to the left of ``x``.
    check : bool
        Whether a singular matrix is an error.
    """
    a, b = as_node(a, 'solve'), as_node(b, 'solve')
    if not left:
        return mT(solve_matrix(mT(a), mT(b), check))
    if _known_matrix(a, b):
        return solve_matrix(a, b, check)
    return from_columns(solve_matrix(a, as_columns(b, a), check), b, a)


def lstsq(a: Operand, b: Operand, rtol: Operand | None = None) -> Node:
    """Return the ``x`` of least norm that makes ``a @ x - b`` smallest, as ``torch.linalg.lstsq``.

    Parameters
    ----------
    a : Node or torch.Tensor
        Matrices.
    b : Node or torch.Tensor
        Matrices; or vectors: with one axis, or of the shape of ``a`` without its last axis.
    rtol : Node, torch.Tensor or number, optional
        Singular values not above this part of the largest count as zero, as in :data:`pinv`.
    """
    a, b = as_node(a, 'lstsq'), as_node(b, 'lstsq')
    if _known_matrix(a, b):
        return matmul(pinv(a, rtol=rtol), b)
    return from_columns(matmul(pinv(a, rtol=rtol), as_columns(b, a)), b, a)


def _known_matrix(a: Node, b: Node) -> bool:
    """Whether a right-hand side is known not to be vectors."""
    if a.type is None or b.type is None or a.type.shape is None or b.type.shape is None:
        return False
    return len(b.type.shape) > 1 and len(b.type.shape) != len(a.type.shape) - 1
