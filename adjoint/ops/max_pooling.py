"""Maxima over windows: where they are, what is there, and the way back."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adjoint.core.kink import tie
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.convolution import Sizes, repeated, tuple_or_number
from adjoint.ops.elementwise import Step
from adjoint.ops.linear import Linear
from adjoint.ops.pooling import on_two_axes, output_size_of, two
from adjoint.ops.several import item, packed, slots
from adjoint.ops.ties import ties_broken

__all__ = [
    'AdaptiveMaxPoolPositions', 'FractionalMaxPoolPositions', 'MaxPoolPositions', 'MaxPoolWithPositions',
    'MaxUnpool', 'PoolPut', 'PoolTake', 'adaptive_max_pool', 'adaptive_max_pool_positions',
    'fractional_max_pool', 'fractional_max_pool_positions', 'max_pool', 'max_pool_positions',
    'max_pool_with_positions', 'max_unpool', 'pool_put', 'pool_take', 'put_at_positions',
    'take_at_positions', 'window_options',
]  # fmt: skip

# A maximum is found in two steps: where it is, which is locally constant, and what is there.


def _is_tied(node: Node, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    """Return in which windows the last of the largest entries is another than the first."""
    last, first = (
        node.op.compute(node, [ordered, *(r.to(ordered.dtype) for r in rest)])
        for ordered in ties_broken(x, torch.arange(x.numel(), device=x.device).reshape(x.shape))
    )
    return last != first


_FIRST = 'the first of them takes it'


def window_options(attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the attrs of a maximum over windows as the kernels take them: of two axes, or of three."""
    axes: int = attrs['axes']
    stride = attrs['kernel_size'] if attrs['stride'] is None else attrs['stride']
    given = [(attrs['kernel_size'], 1), (stride, 1), (attrs['padding'], 0), (attrs['dilation'], 1)]
    return (*(tuple(two(repeated(value, axes), neutral)) for value, neutral in given), attrs['ceil_mode'])


def _max_pooled(x: torch.Tensor, attrs: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the maxima of windows, and where they lie."""
    axes: int = attrs['axes']
    aten = torch.ops.aten
    kernel = aten.max_pool3d_with_indices if axes == 3 else aten.max_pool2d_with_indices  # noqa: PLR2004 axes
    largest, positions = kernel(on_two_axes(x, axes), *window_options(attrs))
    return (largest.squeeze(-2), positions.squeeze(-2)) if axes == 1 else (largest, positions)


class MaxPoolPositions(Step):
    """Where the maximum of each window lies, counted over the flattened pooled axes, int64.

    Notes
    -----
    At a tie it is the first in the window; a nan counts as the largest.
    """

    kinks = (tie('several entries of a window are the largest', _FIRST, _is_tied),)

    def __call__(
        self,
        x: Operand,
        axes: int,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> Node:
        """Build the node; the options are those of :func:`max_pool`."""
        attrs = {
            'axes': axes,
            'kernel_size': tuple_or_number(kernel_size),
            'stride': tuple_or_number(stride),
            'padding': tuple_or_number(padding),
            'dilation': tuple_or_number(dilation),
            'ceil_mode': bool(ceil_mode),
        }
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        _, positions = _max_pooled(x, node.attrs)
        return positions


class AdaptiveMaxPoolPositions(Step):
    """Where the maximum of each window lies, of windows that give ``output_size`` entries; int64.

    Counted over the flattened pooled axes.

    Notes
    -----
    At a tie it is the first in the window; a nan counts as the largest.
    """

    kinks = (tie('several entries of a window are the largest', _FIRST, _is_tied),)

    def __call__(self, x: Operand, axes: int, output_size: int | Sequence[int | None]) -> Node:
        """Build the node; ``axes`` is how many of the last axes are pooled, 1, 2 or 3."""
        attrs = {'axes': axes, 'output_size': tuple_or_number(output_size)}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        axes: int = node.attrs['axes']
        kernel = torch.ops.aten.adaptive_max_pool3d if axes == 3 else torch.ops.aten.adaptive_max_pool2d  # noqa: PLR2004 axes
        _, positions = kernel(on_two_axes(x, axes), two(output_size_of(node, x), 1))
        return positions.squeeze(-2) if axes == 1 else positions


class FractionalMaxPoolPositions(Step):
    """Where the maximum of each window lies, of windows that ``samples`` shift; int64.

    ``samples`` are random numbers from 0 to 1, one for each batch, channel and pooled axis.

    Notes
    -----
    At a tie it is the first in the window.
    """

    kinks = (tie('several entries of a window are the largest', _FIRST, _is_tied),)

    def __call__(
        self, x: Operand, samples: Operand, axes: int, kernel_size: Sizes, output_size: Sizes
    ) -> Node:
        """Build the node; ``axes`` is how many of the last axes are pooled, 2 or 3."""
        attrs = {
            'axes': axes,
            'kernel_size': tuple_or_number(kernel_size),
            'output_size': tuple_or_number(output_size),
        }
        return Node([as_node(x, self.name), as_node(samples, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, samples = input_values
        axes: int = node.attrs['axes']
        aten = torch.ops.aten
        kernel = aten.fractional_max_pool3d if axes == 3 else aten.fractional_max_pool2d  # noqa: PLR2004 axes
        window, size = (repeated(node.attrs[name], axes) for name in ('kernel_size', 'output_size'))
        return kernel(x, window, size, samples)[1]


class PoolTake(Linear):
    """The entries of ``x`` at ``positions``, which are counted over its flattened last axes."""

    moves = True
    drops = True
    axes = ()

    def __call__(self, x: Operand, positions: Operand, axes: int) -> Node:
        return Node([as_node(x, self.name), as_node(positions, self.name)], self, {'axes': axes})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, positions = input_values
        start = -node.attrs['axes']
        return x.flatten(start).gather(-1, positions.flatten(start)).reshape(positions.shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Return the sizes of the positions, which may be known where those of their product are not."""
        x, positions = input_types
        return TensorType(positions.shape, x.dtype, x.device)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        x, positions = node.inputs
        return Node([ct, positions, x], pool_put, node.attrs), None


class PoolPut(Linear):
    """Zeros in the shape of the third operand with ``ct`` added at ``positions``: the adjoint of taking."""

    moves = True
    fills = True
    axes = ()

    def __call__(self, ct: Operand, positions: Operand, like: Operand, axes: int) -> Node:
        return Node([as_node(a, self.name) for a in (ct, positions, like)], self, {'axes': axes})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        ct, positions, like = input_values
        start = -node.attrs['axes']
        zeros = ct.new_zeros(like.shape).flatten(start)
        return zeros.scatter_add(-1, positions.flatten(start), ct.flatten(start)).reshape(like.shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Return the sizes of the third operand."""
        ct, _, like = input_types
        return TensorType(like.shape, ct.dtype, ct.device)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, positions, _ = node.inputs
        return Node([ct, positions], pool_take, node.attrs), None, None


class MaxPoolWithPositions(Op):
    """The maxima of windows, and where they lie: what taking the entries at the positions gives, at once.

    Its attrs are those of the positions, and so is its convention at ties.
    """

    outputs = 2

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        (x,) = input_values
        largest, positions = _max_pooled(x, node.attrs)
        return largest.contiguous(), positions

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (x,) = node.inputs
        ct, _ = slots(output_grad)
        if ct is None:
            return [None]
        return [put_at_positions(ct, item(node, 1), x, node.attrs['axes'])]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        if t is None:
            return None
        return packed([take_at_positions(t, item(node, 1), node.attrs['axes']), None])


class MaxUnpool(Linear):
    """Zeros along the last axes, of ``output_size``, with the entries of ``x`` at ``positions``.

    The positions are counted over the flattened last axes.

    Notes
    -----
    Where a position is named several times, one of its entries is the value, and each of them gets the
    whole cotangent, as in torch.
    """

    moves = True
    fills = True
    axes = ()

    def __call__(self, x: Operand, positions: Operand, output_size: Sequence[int]) -> Node:
        operands = [as_node(x, self.name), as_node(positions, self.name)]
        return Node(operands, self, {'output_size': tuple(output_size)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, positions = input_values
        size: tuple[int, ...] = node.attrs['output_size']
        front = x.shape[: x.ndim - len(size)]
        flat = x.new_zeros((*front, torch.Size(size).numel()))
        last = len(front)
        flat = flat.scatter(-1, positions.flatten(last), x.flatten(last))
        return flat.reshape(*front, *size)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, positions = node.inputs
        return take_at_positions(ct, positions, len(node.attrs['output_size'])), None


max_pool_positions = MaxPoolPositions()
adaptive_max_pool_positions = AdaptiveMaxPoolPositions()
fractional_max_pool_positions = FractionalMaxPoolPositions()
max_pool_with_positions = MaxPoolWithPositions()
pool_take = PoolTake()
pool_put = PoolPut()
max_unpool = MaxUnpool()


def take_at_positions(x: Node, positions: Node, axes: int) -> Node:
    """Return the entries of ``x`` at positions that are counted over its flattened last axes."""
    return Node([x, positions], pool_take, {'axes': axes})


def put_at_positions(ct: Node, positions: Node, like: Node, axes: int) -> Node:
    """Return zeros in the shape of ``like`` with ``ct`` added at positions in its flattened last axes."""
    return Node([ct, positions, like], pool_put, {'axes': axes})


def max_pool(
    x: Operand,
    axes: int,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> tuple[Node, Node]:
    """Return the maximum of ``x`` over windows along its last axes, and where it lies.

    Parameters
    ----------
    x : Node
        One axis of channels at least stands before those that are pooled.
    axes : int
        How many of the last axes are pooled: 1, 2 or 3.
    kernel_size, stride, padding, dilation : int or sequence of int
        One for all axes, or one for each; a stride of ``None`` is the size of the window.
    ceil_mode : bool
        Whether a window may begin in range and reach out of it at the end.
    """
    x = as_node(x, 'max_pool')
    positions = max_pool_positions(x, axes, kernel_size, stride, padding, dilation, ceil_mode)
    return take_at_positions(x, positions, axes), positions


def adaptive_max_pool(x: Operand, axes: int, output_size: int | Sequence[int | None]) -> tuple[Node, Node]:
    """Return the maximum of ``x`` over windows that give ``output_size`` entries, and where it lies."""
    x = as_node(x, 'adaptive_max_pool')
    positions = adaptive_max_pool_positions(x, axes, output_size)
    return take_at_positions(x, positions, axes), positions


def fractional_max_pool(
    x: Operand, samples: Operand, axes: int, kernel_size: Sizes, output_size: Sizes
) -> tuple[Node, Node]:
    """Return the maximum of ``x`` over windows that ``samples`` shift, and where it lies."""
    x = as_node(x, 'fractional_max_pool')
    positions = fractional_max_pool_positions(x, samples, axes, kernel_size, output_size)
    return take_at_positions(x, positions, axes), positions
