"""The kind of the ops that hold bodies, and what their types have in common."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.tensor_type import Size, TensorType

__all__ = ['Holder', 'common_type', 'is_moving']


class Holder(Op):
    """Kind of the ops that hold bodies in their attrs; made once for each number of outputs.

    Two of one kind with as many outputs are equal.
    """

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.outputs == getattr(other, 'outputs', None)

    def __hash__(self) -> int:
        return hash((type(self), self.outputs))

    def valued(self, node: Node, found: Sequence[torch.Tensor]) -> Any:
        """Return the outputs that were computed as the value of the node, in their places.

        A node that stands for a restricted one has the places of its outputs in ``attrs['places']``.
        """
        if 'places' in node.attrs:
            at = dict(zip(node.attrs['places'], found, strict=True))
            return tuple(at.get(i) for i in range(self.outputs))
        return found[0] if self.outputs == 1 else tuple(found)

    def typed(self, node: Node, items: Sequence[TensorType | None]) -> TensorType | None:
        """Return the types of the outputs that are computed as the type of the node, in their places."""
        if 'places' in node.attrs:
            at = dict(zip(node.attrs['places'], items, strict=True))
            return TensorType(items=tuple(at.get(i) for i in range(self.outputs)))
        return items[0] if self.outputs == 1 else TensorType(items=tuple(items))

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        return f'{self.name}({", ".join(operands)})'


def is_moving(node: Node) -> bool:
    """Whether a derivative may flow through a node: its dtype is floating, complex or not known."""
    return node.type is None or node.type.is_differentiable


def common_type(types: Iterable[TensorType | None]) -> TensorType | None:
    """Return what holds of all of the types."""
    listed = list(types)
    known = [t for t in listed if t is not None]
    if not known or len(known) < len(listed):
        return None
    first = known[0]
    if all(t == first for t in known):
        return first
    shapes = [t.shape for t in known if t.shape is not None]
    shape: tuple[Size, ...] | None = None
    if len(shapes) == len(known) and len({len(s) for s in shapes}) == 1:
        shape = tuple(s[0] if len(set(s)) == 1 else None for s in zip(*shapes, strict=True))
    dtypes, devices = {t.dtype for t in known}, {t.device for t in known}
    return TensorType(
        shape, dtypes.pop() if len(dtypes) == 1 else None, devices.pop() if len(devices) == 1 else None
    )
