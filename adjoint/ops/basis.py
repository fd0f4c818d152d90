"""Unit tensors, and the axes of Jacobians: what a whole Jacobian is computed with at once."""

import math
from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Creation
from adjoint.ops.linear import Linear

__all__ = [
    'Basis', 'JoinAxes', 'SplitAxis', 'ZerosBetween', 'basis', 'join_axes', 'split_axis', 'zeros_between',
]  # fmt: skip


class Basis(Creation):
    """The unit tensors of the shape of ``a``, one for each of its entries, along a new first axis."""

    def __call__(self, a: Operand) -> Node:
        return Node([as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.eye(a.numel(), dtype=a.dtype, device=a.device).reshape(a.numel(), *a.shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        if a.shape is None:
            return None
        sizes = [s for s in a.shape if isinstance(s, int)]
        count = math.prod(sizes) if len(sizes) == len(a.shape) else None
        return a._replace(shape=(count, *a.shape))


class ZerosBetween(Creation):
    """Zeros of the shape of ``a`` followed by that of ``b``: the Jacobian of what is not connected."""

    def __call__(self, a: Operand, b: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        dtype = torch.promote_types(a.dtype, b.dtype)
        return torch.zeros((*a.shape, *b.shape), dtype=dtype, device=a.device)


class SplitAxis(Linear):
    """``a`` with its first axis taken apart into the axes of ``like``; with ``last`` these are at the end."""

    moves = True

    def __call__(self, a: Operand, like: Operand, last: bool = False) -> Node:
        return Node([as_node(a, self.name), as_node(like, self.name)], self, {'last': last})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        if not node.attrs['last']:
            return a.reshape(like.shape + a.shape[1:])
        return a.movedim(0, -1).reshape(a.shape[1:] + like.shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        a, like = input_types
        if a.shape is None or like.shape is None:
            return None
        rest = a.shape[1:]
        return a._replace(shape=(*rest, *like.shape) if node.attrs['last'] else (*like.shape, *rest))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return join_axes(ct, node.inputs[1], node.attrs['last']), None


class JoinAxes(Linear):
    """``a`` with its first axes, as many as ``like`` has, made one, its first: undoes ``split_axis``."""

    moves = True

    def __call__(self, a: Operand, like: Operand, last: bool = False) -> Node:
        """Build the node; with ``last`` they are the last axes of ``a``."""
        return Node([as_node(a, self.name), as_node(like, self.name)], self, {'last': last})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        count = like.numel()
        if not node.attrs['last']:
            return a.reshape(count, *a.shape[like.ndim :])
        return a.reshape(*a.shape[: a.ndim - like.ndim], count).movedim(-1, 0)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return split_axis(ct, node.inputs[1], node.attrs['last']), None


basis: Op = Basis()
zeros_between: Op = ZerosBetween()
split_axis: Op = SplitAxis()
join_axes: Op = JoinAxes()
