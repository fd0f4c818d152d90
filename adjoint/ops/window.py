"""Overlapping and strided views."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear

__all__ = [
    'AsStrided', 'AsStridedScatter', 'Unfold', 'UnfoldBackward', 'Unstrided', 'as_strided',
    'as_strided_scatter', 'unfold', 'unfold_backward', 'unstrided',
]  # fmt: skip


class Unfold(Linear):
    """The windows of ``size`` entries along an axis, one every ``step``; they lie along a new last axis."""

    moves = True
    drops = True
    axes = ('dimension',)

    def __call__(self, a: Operand, dimension: int, size: int, step: int) -> Node:
        attrs = {'dimension': dimension, 'size': size, 'step': step}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.unfold(node.attrs['dimension'], node.attrs['size'], node.attrs['step'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (Node([ct, a], unfold_backward, node.attrs),)


class UnfoldBackward(Linear):
    """Windows ``a`` laid back where they come from in a tensor of the shape of ``like``; overlaps add up.

    The adjoint of ``unfold``.
    """

    moves = True
    fills = True
    axes = ('dimension',)

    def __call__(self, a: Operand, like: Operand, dimension: int, size: int, step: int) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            The windows.
        like : Node, torch.Tensor or number
            Of the shape of what they are windows of.
        dimension, size, step : int
            As ``unfold`` takes them.
        """
        attrs = {'dimension': dimension, 'size': size, 'step': step}
        return Node([as_node(a, self.name), as_node(like, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        dimension, size, step = (node.attrs[name] for name in ('dimension', 'size', 'step'))
        if like.ndim == 0:
            return a.sum(-1)
        return torch.ops.aten.unfold_backward(a, like.shape, dimension, size, step)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], unfold, node.attrs), None


def _strided(flat: torch.Tensor, attrs: dict[str, Any]) -> torch.Tensor:
    """Return the strided view of a vector, whatever it is itself a view of."""
    offset = flat.storage_offset() + attrs['storage_offset']
    return torch.as_strided(flat, attrs['size'], attrs['stride'], offset)


def _places(count: int, attrs: dict[str, Any], device: torch.device) -> torch.Tensor:
    return _strided(torch.arange(count, device=device), attrs)


class AsStrided(Linear):
    """The entries of the flattened ``a`` at a stride for each axis, from an offset.

    Notes
    -----
    Steps count entries of ``a`` in their order, as if it were contiguous; how it lies does not matter.
    Entries that occur several times add up on the way back.
    """

    moves = True
    drops = True

    def __call__(
        self, a: Operand, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape.
        size : sequence of int
            The shape of the result.
        stride : sequence of int
            How many entries apart neighbours along each axis are.
        storage_offset : int, optional
            The position of the first entry; 0 by default.
        """
        return Node([as_node(a, self.name)], self, _strides(size, stride, storage_offset))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return _strided(a.contiguous().reshape(-1), node.attrs)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (Node([ct, a], unstrided, node.attrs),)


class Unstrided(Linear):
    """Zeros of the shape of ``like`` with ``a`` added where ``as_strided`` reads: its adjoint."""

    moves = True
    fills = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        zeros = torch.zeros(like.numel(), dtype=a.dtype, device=a.device)
        places = _places(like.numel(), node.attrs, a.device)
        return zeros.index_add(0, places.reshape(-1), a.reshape(-1)).reshape(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], as_strided, node.attrs), None


class AsStridedScatter(Linear):
    """``a`` with ``source`` where ``as_strided`` reads.

    Notes
    -----
    Which of several entries with one place stays is not guaranteed; each gets the cotangent of the place,
    as in torch.
    """

    moves = True
    drops = True
    linear_in = (0, 1)

    def __call__(
        self,
        a: Operand,
        source: Operand,
        size: Sequence[int],
        stride: Sequence[int],
        storage_offset: int | None = None,
    ) -> Node:
        """Build the node; sizes, strides and offset are those of ``as_strided``."""
        attrs = _strides(size, stride, storage_offset)
        return Node([as_node(a, self.name), as_node(source, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, source = input_values
        places = _places(a.numel(), node.attrs, a.device)
        flat = a.reshape(-1).clone()
        flat[places.reshape(-1)] = source.reshape(-1)
        return flat.reshape(a.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, source = node.inputs
        kept = Node([ct, zeros_like(source)], self, node.attrs)
        return kept, Node([ct], as_strided, node.attrs)


def _strides(size: Sequence[int], stride: Sequence[int], storage_offset: int | None) -> dict[str, Any]:
    return {'size': tuple(size), 'stride': tuple(stride), 'storage_offset': storage_offset or 0}


unfold = Unfold()
unfold_backward = UnfoldBackward()
as_strided = AsStrided()
unstrided = Unstrided()
as_strided_scatter = AsStridedScatter()
