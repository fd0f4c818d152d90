"""Masks: which entries of a tensor matter."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.creation import zeros_like

__all__ = ['AnyLike', 'any_like', 'any_to_size']


def any_to_size(holds: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return a boolean that broadcasts to a shape: any of what is there for an entry that was broadcast."""
    new = max(holds.ndim - len(shape), 0)
    if new:
        holds = holds.any(tuple(range(new)))
    for axis, size in enumerate(shape[len(shape) - holds.ndim :]):
        if size == 1 and holds.shape[axis] != 1:
            holds = holds.any(axis, keepdim=True)
    return holds


class AnyLike(Op):
    """Whether ``mask`` is not zero anywhere along the axes that ``like`` was broadcast over.

    Both broadcast to one shape. The result is a boolean that broadcasts to the shape of ``like``; where
    ``mask`` is known to do so already, the call returns ``mask`` itself.
    """

    nothing = 'step'

    def __call__(self, mask: Operand, like: Operand) -> Node:
        mask, like = as_node(mask, self.name), as_node(like, self.name)
        return mask if _broadcasts(mask, like) else Node([mask, like], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        mask, like = input_values
        return any_to_size(mask if mask.dtype == torch.bool else mask != 0, like.shape)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [zeros_like(x) for x in node.inputs]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        return None


def _broadcasts(mask: Node, like: Node) -> bool:
    """Whether a mask is known to broadcast to the shape of a node."""
    if mask.type is None or like.type is None:
        return False
    s, t = mask.type.shape, like.type.shape
    if s is None or t is None or len(s) > len(t):
        return False
    return all(m == 1 or (m is not None and m == n) for m, n in zip(s, t[len(t) - len(s) :], strict=True))


any_like = AnyLike()
