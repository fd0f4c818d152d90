"""Diagonals, taken out and put in."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear
from adjoint.ops.reduction import sum_

__all__ = [
    'DiagEmbed', 'Diagonal', 'DiagonalScatter', 'diag_embed', 'diagonal', 'diagonal_scatter', 'trace',
]  # fmt: skip


class Diagonal(Linear):
    """The diagonal of two axes, along a new last axis; ``offset`` counts to the right of the main one."""

    axes = ('dim1', 'dim2')
    moves = True
    drops = True

    def __call__(self, a: Operand, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
        attrs = {'offset': offset, 'dim1': dim1, 'dim2': dim2}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.diagonal(a, **node.attrs)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (Node([zeros_like(a), ct], diagonal_scatter, node.attrs),)


class DiagonalScatter(Linear):
    """``a`` with ``source`` for the diagonal of two axes."""

    moves = True
    drops = True
    axes = ('dim1', 'dim2')
    linear_in = (0, 1)

    def __call__(self, a: Operand, source: Operand, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
        attrs = {'offset': offset, 'dim1': dim1, 'dim2': dim2}
        return Node([as_node(a, self.name), as_node(source, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, source = input_values
        return torch.diagonal_scatter(a, source, **node.attrs)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, source = node.inputs
        return Node([ct, zeros_like(source)], self, node.attrs), Node([ct], diagonal, node.attrs)


class DiagEmbed(Linear):
    """Zeros with the last axis of ``a`` as the diagonal of two new axes."""

    fills = True
    axes = ('dim1', 'dim2')
    moves = True

    def __call__(self, a: Operand, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Node:
        attrs = {'offset': offset, 'dim1': dim1, 'dim2': dim2}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.diag_embed(a, **node.attrs)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], diagonal, node.attrs),)


diagonal = Diagonal()
diagonal_scatter = DiagonalScatter()
diag_embed = DiagEmbed()


def trace(a: Operand) -> Node:
    """Return the sum of the main diagonal of a matrix."""
    return sum_(diagonal(a))
