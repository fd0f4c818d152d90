"""Words for rules about matrices: transposes, identities, parts; the last two axes are the matrices."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Creation
from adjoint.ops.diagonal import diagonal
from adjoint.ops.elementwise import Step
from adjoint.ops.linear import Linear, conj
from adjoint.ops.shape import transpose

__all__ = [
    'CutMatrix', 'EyeLike', 'EyeOfRows', 'FitMatrix', 'IsTall', 'LeadingSquare', 'cut_matrix',
    'diagonal_of', 'eye_like', 'eye_of_rows', 'fit_matrix', 'is_tall', 'known_square',
    'known_tall', 'leading_square', 'mH', 'mT',
]  # fmt: skip


class EyeLike(Creation):
    """Identity matrices, also rectangular ones, of the shape, dtype and device of ``a``."""

    axes = ()

    def __call__(self, a: Operand) -> Node:
        return Node([as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.eye(a.shape[-2], a.shape[-1], dtype=a.dtype, device=a.device).expand(a.shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]


class EyeOfRows(Creation):
    """Identity matrices with as many rows as those in ``a``, of its dtype and on its device."""

    axes = ()

    def __call__(self, a: Operand) -> Node:
        return Node([as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        rows = a.shape[-2]
        return torch.eye(rows, dtype=a.dtype, device=a.device).expand(*a.shape[:-2], rows, rows)


class LeadingSquare(Linear):
    """The largest square in the upper left corner of each matrix."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        size = min(a.shape[-2:])
        return a[..., :size, :size]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (fit_matrix(ct, node.inputs[0]),)


class CutMatrix(Linear):
    """The upper left corner of each matrix in ``a``, with no more rows and columns than ``like`` has."""

    axes = ()

    def __call__(self, a: Operand, like: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(like, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return a[..., : like.shape[-2], : like.shape[-1]]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return fit_matrix(ct, node.inputs[0]), None


class FitMatrix(Linear):
    """Each matrix in ``a`` with as many rows and columns as ``like`` has: cut, or extended with zeros."""

    axes = ()

    def __call__(self, a: Operand, like: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(like, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        m, n = like.shape[-2:]
        return torch.nn.functional.pad(a, (0, n - a.shape[-1], 0, m - a.shape[-2]))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return fit_matrix(ct, node.inputs[0]), None


class IsTall(Step):
    """Whether matrices have more rows than columns: one boolean."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.full((), a.shape[-2] > a.shape[-1], dtype=torch.bool, device=a.device)


eye_like = EyeLike()
eye_of_rows = EyeOfRows()
leading_square = LeadingSquare()
cut_matrix = CutMatrix()
fit_matrix = FitMatrix()
is_tall = IsTall()


def mT(a: Node) -> Node:  # noqa: N802 torch's name
    """Return the transposed matrices."""
    return transpose(a, -2, -1)


def mH(a: Node) -> Node:  # noqa: N802 torch's name
    """Return the conjugate transposed matrices."""
    return transpose(conj(a), -2, -1)


def diagonal_of(a: Node) -> Node:
    """Return the diagonals of square matrices."""
    return diagonal(a, 0, -2, -1)


def known_tall(a: Node) -> bool | None:
    """Return whether matrices have more rows than columns, or ``None`` where that is not known."""
    shape = None if a.type is None else a.type.shape
    if shape is None:
        return None
    m, n = shape[-2:]
    if isinstance(m, int) and isinstance(n, int):
        return m > n
    return False if m is not None and m == n else None


def known_square(a: Node) -> bool:
    """Return whether matrices are known to be square."""
    shape = None if a.type is None else a.type.shape
    return shape is not None and shape[-1] is not None and shape[-1] == shape[-2]
