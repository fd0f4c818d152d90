"""Products that sum: matmul and its two adjoints, one trilinear form."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import ones_like
from adjoint.ops.elementwise import Step
from adjoint.ops.linear import conj, expand_like
from adjoint.ops.masks import any_to_size
from adjoint.ops.shape import transpose

__all__ = [
    'MatMul',
    'MatMulLeft',
    'MatMulNeeds',
    'MatMulRight',
    'Multilinear',
    'matmul',
    'matmul_left',
    'matmul_needs',
    'matmul_right',
]


class Multilinear(Op):
    """Kind of the ops that are linear in each operand; states ``gradient``, and the pushforward follows."""

    # Positions of the operands that the op is linear in; None for all.
    linear_in: ClassVar[tuple[int, ...] | None] = None

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the sum over the operands of the op with that operand replaced by its tangent."""
        total: Node | None = None
        positions = range(len(node.inputs)) if self.linear_in is None else self.linear_in
        for i in positions:
            t = input_tangents[i]
            if t is not None:
                term = Node([*node.inputs[:i], t, *node.inputs[i + 1 :]], self, node.attrs)
                total = term if total is None else total + term
        return total


# Write T(c, a, b) for the sum of the entries of c * (a @ b). Then matmul is the derivative of T by c, and
# the two ops below are its derivatives by a and by b. Each is bilinear in the other two arguments, so the
# family is closed: every order of derivative of a matmul is made of these three. Where both operands are
# known to be matrices, or batches of them with equal batches, plain products are written instead.


def _matrices(
    c: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give vectors the axis of size 1 that matmul gives them, and ``c`` the same."""
    if b.ndim == 1:
        b, c = b.unsqueeze(-1), c.unsqueeze(-1)
    if a.ndim == 1:
        a, c = a.unsqueeze(0), c.unsqueeze(-2)
    return c, a, b


class MatMul(Multilinear):
    """``a @ b``: vectors, matrices, and batches of matrices that broadcast, as ``torch.matmul``."""

    name = 'matmul'
    sign = '@'

    def __call__(self, a: Operand, b: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return torch.matmul(a, b)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Infer as any op, and refuse two dtypes, which the kernels refuse and meta tensors do not."""
        a, b = input_types
        if a.dtype is not None and b.dtype is not None and a.dtype != b.dtype:
            msg = f'matmul takes operands of one dtype, and got {a} @ {b}: cast(...) one\n{node.location}'
            raise TensorTypeError(msg)
        return super().infer(node, input_types)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, b = node.inputs
        if _are_plain(a, b):
            left = matmul(output_grad, transpose(conj(b), -2, -1))
            return [left, matmul(transpose(conj(a), -2, -1), output_grad)]
        return [matmul_left(output_grad, conj(b), a), matmul_right(output_grad, conj(a), b)]

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the rows of ``a`` and the columns of ``b`` that marked entries are made from."""
        a, b = node.inputs
        if mask is None:
            return [None, None]
        return [Node([mask, a, b], matmul_needs, {'of': side}) for side in ('left', 'right')]

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the rows and columns that marked entries of ``a`` and ``b`` are multiplied into."""
        if any(mask is True for mask in masks):
            return None
        a, b = node.inputs
        left, right = masks
        total: Node | None = None
        if isinstance(left, Node):
            total = Node([expand_like(left, a), ones_like(b)], self)
        if isinstance(right, Node):
            reached = Node([ones_like(a), expand_like(right, b)], self)
            total = reached if total is None else total + reached
        return total


def _are_plain(a: Node, b: Node) -> bool:
    """Whether both are known to be matrices, in equal batches if any."""
    if a.type is None or b.type is None or a.type.shape is None or b.type.shape is None:
        return False
    batch = a.type.shape[:-2]
    are_matrices = min(len(a.type.shape), len(b.type.shape)) >= 2  # noqa: PLR2004 a matrix
    return are_matrices and batch == b.type.shape[:-2] and None not in batch


class MatMulLeft(Multilinear):
    """The derivative of ``sum(c * (a @ b))`` by ``a``, from ``c`` and ``b``; in the shape of ``a``."""

    name = 'matmul_left'
    linear_in = (0, 1)

    def __call__(self, c: Node, b: Node, a: Node) -> Node:
        return Node([c, b, a], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        c, b, like = input_values
        c, a, b = _matrices(c, like, b)
        return (c @ b.mT).sum_to_size(a.shape).reshape(like.shape)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        c, b, _ = node.inputs
        return [matmul(output_grad, conj(b)), matmul_right(conj(c), output_grad, b), None]


class MatMulRight(Multilinear):
    """The derivative of ``sum(c * (a @ b))`` by ``b``, from ``c`` and ``a``; in the shape of ``b``."""

    name = 'matmul_right'
    linear_in = (0, 1)

    def __call__(self, c: Node, a: Node, b: Node) -> Node:
        return Node([c, a, b], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        c, a, like = input_values
        c, a, b = _matrices(c, a, like)
        if b.ndim == 2 and a.ndim > 2 and c.shape[:-1] == a.shape[:-1]:  # noqa: PLR2004 matrices
            # One product over all batches, instead of one for each and their sum.
            a, c = a.flatten(0, -2), c.flatten(0, -2)
        return (a.mT @ c).sum_to_size(b.shape).reshape(like.shape)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        c, a, _ = node.inputs
        return [matmul(conj(a), output_grad), matmul_left(conj(c), output_grad, a), None]


class MatMulNeeds(Step):
    """Which rows of ``a``, or columns of ``b``, the entries of ``a @ b`` that ``mask`` marks are made from.

    A boolean that broadcasts to the shape of ``a`` (``of='left'``) or of ``b`` (``of='right'``).
    """

    name = 'matmul_needs'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        mask, a, b = input_values
        batch = cast('tuple[int, ...]', torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
        rows, columns = a.shape[-2:-1] if a.ndim > 1 else (), b.shape[-1:] if b.ndim > 1 else ()
        marked, a, b = _matrices((mask != 0).expand((*batch, *rows, *columns)), a, b)
        of_left = node.attrs['of'] == 'left'
        needed = marked.any(-1 if of_left else -2, keepdim=True)
        given = input_values[1 if of_left else 2]
        needed = any_to_size(needed, (a if of_left else b).shape)
        return needed.squeeze(0 if of_left else -1) if given.ndim == 1 else needed


matmul = MatMul()
matmul_needs = MatMulNeeds()
matmul_left = MatMulLeft()
matmul_right = MatMulRight()
