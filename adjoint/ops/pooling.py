"""Means over windows, and the way back."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.convolution import Sizes, repeated, tuple_or_number
from adjoint.ops.linear import Linear

__all__ = [
    'AdaptiveAvgPool', 'AdaptiveAvgPoolBackward', 'AvgPool', 'AvgPoolBackward', 'adaptive_avg_pool',
    'adaptive_avg_pool_backward', 'avg_pool', 'avg_pool_backward', 'on_two_axes', 'output_size_of', 'two',
]  # fmt: skip


def on_two_axes(x: torch.Tensor, axes: int) -> torch.Tensor:
    """Give the only pooled axis another before it: the kernels pool two or three."""
    return x.unsqueeze(-2) if axes == 1 else x


def two(values: list[Any], neutral: Any) -> list[Any]:
    """Return one value for each of two axes, where one axis is pooled: a neutral one before it."""
    return [neutral, *values] if len(values) == 1 else values


class AvgPool(Linear):
    """The mean of ``x`` over windows along its last axes, one, two or three of them.

    The entries in front are channels, and batches of them.
    """

    moves = True

    def __call__(
        self,
        x: Operand,
        axes: int,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node
            One axis of channels at least stands before those that are pooled.
        axes : int
            How many of the last axes are pooled: 1, 2 or 3.
        kernel_size, stride, padding : int or sequence of int
            One for all axes, or one for each; a stride of ``None`` is the size of the window.
        ceil_mode : bool
            Whether a window may begin in range and reach out of it at the end.
        count_include_pad : bool
            Whether the padding counts in the mean.
        divisor_override : int, optional
            What the sums are divided by, in place of the size of the window.
        """
        attrs = {
            'axes': axes,
            'kernel_size': tuple_or_number(kernel_size),
            'stride': tuple_or_number(stride),
            'padding': tuple_or_number(padding),
            'ceil_mode': bool(ceil_mode),
            'count_include_pad': bool(count_include_pad),
            'divisor_override': divisor_override,
        }
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        axes: int = node.attrs['axes']
        kernel = torch.ops.aten.avg_pool3d if axes == 3 else torch.ops.aten.avg_pool2d  # noqa: PLR2004 axes
        y = kernel(on_two_axes(x, axes), *_avg_options(node))
        return y.squeeze(-2) if axes == 1 else y

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return (Node([ct, x], avg_pool_backward, node.attrs),)


class AvgPoolBackward(Linear):
    """Each entry of ``ct`` spread over its window, in the shape of ``x``: the adjoint of ``avg_pool``."""

    moves = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        ct, x = input_values
        axes: int = node.attrs['axes']
        three = axes == 3  # noqa: PLR2004 axes
        kernel = torch.ops.aten.avg_pool3d_backward if three else torch.ops.aten.avg_pool2d_backward
        back = kernel(on_two_axes(ct, axes), on_two_axes(x, axes), *_avg_options(node))
        return back.squeeze(-2) if axes == 1 else back

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], avg_pool, node.attrs), None


def _avg_options(node: Node) -> list[Any]:
    """Return the attrs as the kernels take them."""
    a = node.attrs
    axes: int = a['axes']
    stride = a['kernel_size'] if a['stride'] is None else a['stride']
    windows = [two(repeated(a['kernel_size'], axes), 1), two(repeated(stride, axes), 1)]
    padding = two(repeated(a['padding'], axes), 0)
    return [*windows, padding, a['ceil_mode'], a['count_include_pad'], a['divisor_override']]


class AdaptiveAvgPool(Linear):
    """The mean of ``x`` over windows along its last axes that give ``output_size`` entries.

    A size of ``None`` is that of ``x``.
    """

    moves = True

    def __call__(self, x: Operand, axes: int, output_size: int | Sequence[int | None]) -> Node:
        """Build the node; ``axes`` is how many of the last axes are pooled, 1, 2 or 3."""
        attrs = {'axes': axes, 'output_size': tuple_or_number(output_size)}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        axes: int = node.attrs['axes']
        kernel = torch.ops.aten._adaptive_avg_pool3d if axes == 3 else torch.ops.aten._adaptive_avg_pool2d  # noqa: PLR2004, SLF001 torch's name
        y = kernel(on_two_axes(x, axes), two(output_size_of(node, x), 1))
        return y.squeeze(-2) if axes == 1 else y

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return (Node([ct, x], adaptive_avg_pool_backward, node.attrs),)


class AdaptiveAvgPoolBackward(Linear):
    """Each entry of ``ct`` spread over its window, in the shape of ``x``."""

    moves = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        ct, x = input_values
        axes: int = node.attrs['axes']
        aten = torch.ops.aten
        three = axes == 3  # noqa: PLR2004 axes
        kernel = aten._adaptive_avg_pool3d_backward if three else aten._adaptive_avg_pool2d_backward  # noqa: SLF001 torch's name
        back = kernel(on_two_axes(ct, axes), on_two_axes(x, axes))
        return back.squeeze(-2) if axes == 1 else back

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], adaptive_avg_pool, node.attrs), None


def output_size_of(node: Node, x: torch.Tensor) -> list[int]:
    """Return how many entries come out along each pooled axis: as many as go in where it is left open."""
    axes: int = node.attrs['axes']
    wanted = repeated(node.attrs['output_size'], axes)
    return [have if want is None else want for want, have in zip(wanted, x.shape[-axes:], strict=True)]


avg_pool = AvgPool()
avg_pool_backward = AvgPoolBackward()
adaptive_avg_pool = AdaptiveAvgPool()
adaptive_avg_pool_backward = AdaptiveAvgPoolBackward()
