"""Padding: constants, reflections, the border, and what comes around."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node, Number, Operand
from adjoint.core.operand import as_node
from adjoint.ops.index import getitem
from adjoint.ops.linear import Linear
from adjoint.ops.shape import cat

__all__ = [
    'Col2im', 'ConstantPad', 'Im2col', 'ReflectionPad', 'ReflectionPadBackward', 'ReplicationPad',
    'ReplicationPadBackward', 'circular_pad', 'col2im', 'constant_pad', 'im2col', 'pad', 'reflection_pad',
    'reflection_pad_backward', 'replication_pad', 'replication_pad_backward',
]  # fmt: skip


class ConstantPad(Linear):
    """``x`` with ``value`` before and after its last axes, as ``aten.constant_pad_nd``.

    ``padding`` holds two counts an axis, from the last axis on; a negative count cuts entries off. With
    ``undo``, what was padded is cut off again and what was cut off is padded, by zeros.
    """

    fills = True
    axes = ()
    moves = True
    drops = True

    name = 'constant_pad'

    def __call__(self, x: Operand, padding: Sequence[int], value: Number = 0) -> Node:
        attrs = {'padding': tuple(padding), 'value': value, 'undo': False}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        counts = [-p if node.attrs['undo'] else p for p in node.attrs['padding']]
        return torch.constant_pad_nd(x, counts, node.attrs['value'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], self, {**node.attrs, 'value': 0, 'undo': not node.attrs['undo']}),)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent padded by zeros."""
        (t,) = input_tangents
        return None if t is None else Node([t], self, {**node.attrs, 'value': 0})


class _Pad(Linear):
    """Base of the ops that pad by entries of ``x``: two counts an axis, from the last axis on."""

    moves = True

    kernels: tuple[Any, ...] = ()

    def __call__(self, x: Operand, padding: Sequence[int]) -> Node:
        counts = tuple(padding)
        if len(counts) not in {2, 4, 6}:
            msg = f'{self.name} takes two counts for each of one, two or three axes, and got {counts}'
            raise TensorTypeError(msg)
        return Node([as_node(x, self.name)], self, {'padding': counts})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        counts: tuple[int, ...] = node.attrs['padding']
        return self.kernels[len(counts) // 2 - 1](*input_values, list(counts))


class ReflectionPad(_Pad):
    """``x`` with its reflections before and after its last axes, the entry at the edge not repeated."""

    kernels = (
        torch.ops.aten.reflection_pad1d,
        torch.ops.aten.reflection_pad2d,
        torch.ops.aten.reflection_pad3d,
    )

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return (Node([ct, x], reflection_pad_backward, node.attrs),)


class ReflectionPadBackward(_Pad):
    """``ct`` with its reflections added back, in the shape of the second operand."""

    kernels = (
        torch.ops.aten.reflection_pad1d_backward,
        torch.ops.aten.reflection_pad2d_backward,
        torch.ops.aten.reflection_pad3d_backward,
    )

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], reflection_pad, node.attrs), None


class ReplicationPad(_Pad):
    """``x`` with its first and last entries repeated before and after its last axes."""

    kernels = (
        torch.ops.aten.replication_pad1d,
        torch.ops.aten.replication_pad2d,
        torch.ops.aten.replication_pad3d,
    )

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return (Node([ct, x], replication_pad_backward, node.attrs),)


class ReplicationPadBackward(_Pad):
    """``ct`` with its padding added to the edges, in the shape of the second operand."""

    kernels = (
        torch.ops.aten.replication_pad1d_backward,
        torch.ops.aten.replication_pad2d_backward,
        torch.ops.aten.replication_pad3d_backward,
    )

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], replication_pad, node.attrs), None


class Im2col(Linear):
    """The windows of ``x`` as columns, of shape ``(batch, channels * window, windows)``, as ``unfold``."""

    moves = True
    name = 'im2col'

    def __call__(
        self,
        x: Operand,
        kernel_size: Sequence[int],
        dilation: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0),
        stride: Sequence[int] = (1, 1),
    ) -> Node:
        attrs = {
            'kernel_size': tuple(kernel_size),
            'dilation': tuple(dilation),
            'padding': tuple(padding),
            'stride': tuple(stride),
        }
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.ops.aten.im2col(x, *_window(node))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return (Node([ct, x], col2im, node.attrs),)


class Col2im(Linear):
    """Columns added up where their windows lie: the adjoint of ``im2col``, as ``fold``.

    Of ``output_size``, or of the last two sizes of a second operand.
    """

    moves = True
    name = 'col2im'

    def __call__(
        self,
        columns: Operand,
        output_size: Sequence[int],
        kernel_size: Sequence[int],
        dilation: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0),
        stride: Sequence[int] = (1, 1),
    ) -> Node:
        attrs = {
            'output_size': tuple(output_size),
            'kernel_size': tuple(kernel_size),
            'dilation': tuple(dilation),
            'padding': tuple(padding),
            'stride': tuple(stride),
        }
        return Node([as_node(columns, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        columns, *like = input_values
        size = [*like[0].shape[-2:]] if like else list(node.attrs['output_size'])
        return torch.ops.aten.col2im(columns, size, *_window(node))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        attrs = {name: value for name, value in node.attrs.items() if name != 'output_size'}
        return [Node([ct], im2col, attrs), *(None for _ in node.inputs[1:])]


def _window(node: Node) -> list[list[int]]:
    return [list(node.attrs[name]) for name in ('kernel_size', 'dilation', 'padding', 'stride')]


constant_pad = ConstantPad()
reflection_pad = ReflectionPad()
reflection_pad_backward = ReflectionPadBackward()
replication_pad = ReplicationPad()
replication_pad_backward = ReplicationPadBackward()
im2col = Im2col()
col2im = Col2im()


def circular_pad(x: Node, padding: Sequence[int]) -> Node:
    """Return ``x`` with its end before its last axes and its beginning after them.

    What negative counts cut off is cut off first.
    """
    for place in range(len(padding) // 2):
        before, after = padding[2 * place : 2 * place + 2]
        rest = (slice(None),) * place
        if before < 0 or after < 0:
            cut = slice(-before if before < 0 else None, after if after < 0 else None)
            x = getitem(x, (Ellipsis, cut, *rest))
        parts = [getitem(x, (Ellipsis, slice(-before, None), *rest))] if before > 0 else []
        parts.append(x)
        if after > 0:
            parts.append(getitem(x, (Ellipsis, slice(None, after), *rest)))
        x = cat(parts, -1 - place) if len(parts) > 1 else x
    return x


def pad(x: Operand, padding: Sequence[int], mode: str = 'constant', value: Number | None = None) -> Node:
    """Return ``x`` padded, as ``torch.nn.functional.pad``.

    Parameters
    ----------
    x : Node
        Its last axes are padded.
    padding : sequence of int
        How many entries before and after each axis, from the last axis on; negative counts cut off.
    mode : str
        ``constant``, ``reflect``, ``replicate`` or ``circular``.
    value : number, optional
        The constant; 0 without it.
    """
    x = as_node(x, 'pad')
    if mode == 'constant':
        return constant_pad(x, padding, 0 if value is None else value)
    if mode == 'reflect':
        return reflection_pad(x, padding)
    if mode == 'replicate':
        return replication_pad(x, padding)
    if mode == 'circular':
        return circular_pad(x, padding)
    msg = f'pad knows the modes constant, reflect, replicate and circular, and got {mode!r}'
    raise ValueError(msg)
