"""ATen: convolutions and pooling, and what works on images beside."""

from collections.abc import Callable, Sequence
from typing import Any

from adjoint.core.node import Node
from adjoint.interop.aten import resampling
from adjoint.interop.aten.table import Builders
from adjoint.interop.aten.types import shape_of
from adjoint.ops import max_pooling, pooling
from adjoint.ops.convolution import (
    Sizes,
    convolution,
    convolution_input,
    convolution_weight,
    repeated,
    tuple_or_number,
)
from adjoint.ops.padding import constant_pad
from adjoint.ops.reduction import sum_
from adjoint.ops.shape import flatten, squeeze, unsqueeze

__all__ = ['BUILDERS']


def _convolution_attrs(
    stride: Sizes, padding: Sizes, dilation: Sizes, transposed: bool, output_padding: Sizes, groups: int
) -> dict[str, Any]:
    names = ('stride', 'padding', 'dilation', 'transposed', 'output_padding', 'groups')
    values = (stride, padding, dilation, transposed, output_padding, groups)
    return {name: tuple_or_number(value) for name, value in zip(names, values, strict=True)}


def _convolution_backward(
    grad_output: Node,
    input: Node,
    weight: Node,
    bias_sizes: Sequence[int] | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Node | None, Node | None, Node | None]:
    attrs = _convolution_attrs(stride, padding, dilation, transposed, output_padding, groups)
    by_input, by_weight, by_bias = output_mask
    return (
        convolution_input(grad_output, weight, input, attrs) if by_input else None,
        convolution_weight(grad_output, input, weight, attrs) if by_weight else None,
        sum_(flatten(grad_output, 2, -1), (0, 2)) if by_bias else None,
    )


def _convolution(
    input: Node,
    weight: Node,
    bias: Node | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
    *_: bool,
    **__: bool,
) -> Node:
    # What may follow chooses between kernels.
    return convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)


def _batched(build: Callable[[Node], Node], x: Node, axes: int) -> Node:
    """Apply what works on batches to one entry of a batch, too."""
    if len(shape_of(x)) == axes + 2:
        return build(x)
    return squeeze(build(unsqueeze(x, 0)), 0)


def _conv(axes: int) -> Callable[..., Node]:
    def conv(
        input: Node,
        weight: Node,
        bias: Node | None = None,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Node:
        amount: Any = 0 if padding == 'valid' else padding
        if padding == 'same':
            steps = repeated(tuple_or_number(dilation), axes)
            total = [step * (size - 1) for step, size in zip(steps, shape_of(weight)[2:], strict=True)]
            # Where the two sides cannot be equal, the one entry more comes after.
            more = [both % 2 for both in reversed(total)]
            if any(more):
                input = constant_pad(input, [count for m in more for count in (0, m)])
            amount = [both // 2 for both in total]

        def build(x: Node) -> Node:
            return convolution(x, weight, bias, stride, amount, dilation, groups=groups)

        return _batched(build, input, axes)

    return conv


def _convolution_mode(
    input: Node, weight: Node, bias: Node | None, stride: Sizes, padding: str, dilation: Sizes, groups: int
) -> Node:
    return _conv(len(shape_of(weight)) - 2)(input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(axes: int) -> Callable[..., Node]:
    def conv_transpose(
        input: Node,
        weight: Node,
        bias: Node | None = None,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        dilation: Sizes = 1,
    ) -> Node:
        def build(x: Node) -> Node:
            return convolution(x, weight, bias, stride, padding, dilation, True, output_padding, groups)

        return _batched(build, input, axes)

    return conv_transpose


def _stride(stride: Sizes | None) -> Sizes | None:
    """No stride, which is that of the windows, is written as an empty list."""
    return stride if isinstance(stride, int) or stride else None


def _avg_pool(axes: int) -> Callable[..., Node]:
    def avg_pool(
        self: Node,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Node:
        options = (padding, ceil_mode, count_include_pad, divisor_override)
        return pooling.avg_pool(self, axes, kernel_size, _stride(stride), *options)

    return avg_pool


def _avg_pool_backward(axes: int) -> Callable[..., Node]:
    def avg_pool_backward(grad_output: Node, self: Node, *options: Any, **named: Any) -> Node:
        forward = _avg_pool(axes)(self, *options, **named)
        return Node([grad_output, self], pooling.avg_pool_backward, forward.attrs)

    return avg_pool_backward


def _adaptive_avg_pool(axes: int) -> Callable[..., Node]:
    def adaptive_avg_pool(self: Node, output_size: Sizes) -> Node:
        return pooling.adaptive_avg_pool(self, axes, output_size)

    return adaptive_avg_pool


def _adaptive_avg_pool_backward(axes: int) -> Callable[..., Node]:
    def adaptive_avg_pool_backward(grad_output: Node, self: Node) -> Node:
        # The sizes of the windows follow from the operands.
        attrs = {'axes': axes, 'output_size': shape_of(grad_output)[-axes:]}
        return Node([grad_output, self], pooling.adaptive_avg_pool_backward, attrs)

    return adaptive_avg_pool_backward


def _max_pool(axes: int, *, with_positions: bool) -> Callable[..., Any]:
    def max_pool(
        self: Node,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> Any:
        options = (_stride(stride), padding, dilation, ceil_mode)
        both = max_pooling.max_pool(self, axes, kernel_size, *options)
        return both if with_positions else both[0]

    return max_pool


def _max_pool_backward(axes: int) -> Callable[..., Node]:
    def max_pool_backward(
        grad_output: Node,
        self: Node,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes,
        dilation: Sizes,
        ceil_mode: bool,
        indices: Node,
    ) -> Node:
        # The positions say all that the options do.
        return max_pooling.put_at_positions(grad_output, indices, self, axes)

    return max_pool_backward


def _adaptive_max_pool(axes: int) -> Callable[..., tuple[Node, Node]]:
    def adaptive_max_pool(self: Node, output_size: Sizes) -> tuple[Node, Node]:
        return max_pooling.adaptive_max_pool(self, axes, output_size)

    return adaptive_max_pool


def _adaptive_max_pool_backward(axes: int) -> Callable[..., Node]:
    def adaptive_max_pool_backward(grad_output: Node, self: Node, indices: Node) -> Node:
        return max_pooling.put_at_positions(grad_output, indices, self, axes)

    return adaptive_max_pool_backward


def _fractional_max_pool(axes: int) -> Callable[..., tuple[Node, Node]]:
    def fractional_max_pool(
        self: Node, kernel_size: Sizes, output_size: Sizes, random_samples: Node
    ) -> tuple[Node, Node]:
        return max_pooling.fractional_max_pool(self, random_samples, axes, kernel_size, output_size)

    return fractional_max_pool


def _fractional_max_pool_backward(axes: int) -> Callable[..., Node]:
    def fractional_max_pool_backward(
        grad_output: Node, self: Node, kernel_size: Sizes, output_size: Sizes, indices: Node
    ) -> Node:
        return max_pooling.put_at_positions(grad_output, indices, self, axes)

    return fractional_max_pool_backward


def _max_unpool2d(self: Node, indices: Node, output_size: Sequence[int]) -> Node:
    return max_pooling.max_unpool(self, indices, output_size)


def _max_unpool3d(
    self: Node, indices: Node, output_size: Sequence[int], stride: Sizes, padding: Sizes
) -> Node:
    # The positions say all that stride and padding do.
    return max_pooling.max_unpool(self, indices, output_size)


def _table() -> dict[str, Callable[..., Any]]:
    table: dict[str, Callable[..., Any]] = {}
    for n in (1, 2, 3):
        table[f'aten.conv{n}d'] = _conv(n)
        table[f'aten.avg_pool{n}d'] = _avg_pool(n)
        table[f'aten.avg_pool{n}d_backward'] = _avg_pool_backward(n)
        table[f'aten.adaptive_avg_pool{n}d'] = _adaptive_avg_pool(n)
        table[f'aten._adaptive_avg_pool{n}d'] = _adaptive_avg_pool(n)
        table[f'aten._adaptive_avg_pool{n}d_backward'] = _adaptive_avg_pool_backward(n)
        table[f'aten.max_pool{n}d'] = _max_pool(n, with_positions=False)
        table[f'aten.max_pool{n}d_with_indices'] = _max_pool(n, with_positions=True)
        table[f'aten.max_pool{n}d_with_indices_backward'] = _max_pool_backward(n)
        table[f'aten.adaptive_max_pool{n}d'] = _adaptive_max_pool(n)
        table[f'aten.adaptive_max_pool{n}d_backward'] = _adaptive_max_pool_backward(n)
    for n in (2, 3):
        table[f'aten.fractional_max_pool{n}d'] = _fractional_max_pool(n)
        table[f'aten.fractional_max_pool{n}d_backward'] = _fractional_max_pool_backward(n)
    return table


BUILDERS: Builders = {
    **_table(),
    'aten.convolution': _convolution,
    'aten._convolution': _convolution,
    'aten._convolution_mode': _convolution_mode,
    'aten.convolution_backward': _convolution_backward,
    'aten.conv_transpose1d': _conv_transpose(1),
    'aten.conv_transpose2d': _conv_transpose(2),
    'aten.conv_transpose3d': _conv_transpose(3),
    'aten.max_unpool2d': _max_unpool2d,
    'aten.max_unpool3d': _max_unpool3d,
    **resampling.BUILDERS,
}
