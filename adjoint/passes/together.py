"""Values that one kernel computes together."""

import torch

from adjoint.core.node import Node
from adjoint.ops.attention import attention_derivative, has_kernels
from adjoint.ops.max_pooling import max_pool_positions, max_pool_with_positions, pool_take
from adjoint.ops.normalise import layernorm, layernorm_derivative, layernorm_with_statistics
from adjoint.ops.several import item, items
from adjoint.passes.facts import dtype_of, is_real
from adjoint.passes.rewrite import BITWISE, Family, rewrite

__all__ = ['TOGETHER']


@rewrite(
    pool_take,
    max_pool_positions,
    exactness=BITWISE,
    examples=[
        'pool_take(image, max_pool_positions(image, 2, 2, 1), 2)',
        'pool_take(image, max_pool_positions(image, 2, (3, 2), (2, 1), (1, 0), 1, True), 2)',
        'pool_take(batch, max_pool_positions(batch, 1, 2), 1)',
    ],
)
def maximum_with_position(y: Node) -> Node | None:
    """The maxima of windows and their positions are found at once."""
    positions = y.inputs[1] if y.op is pool_take else y
    x = y.inputs[0]
    if positions.op is item and positions.inputs[0].op is max_pool_with_positions:
        return item(positions.inputs[0], 0) if positions.inputs[0].inputs[0] is x else None
    if positions.op is not max_pool_positions or positions.inputs[0] is not x or not is_real(x):
        return None
    return item(Node([x], max_pool_with_positions, positions.attrs), 0 if y.op is pool_take else 1)


_DTYPES = (torch.float32, torch.float64)


@rewrite(layernorm, exactness=BITWISE, examples=['layernorm(x, (4,))', 'layernorm(batch, (3, 4), 0.1)'])
def norm_with_statistics(y: Node) -> Node | None:
    """A layer norm has means and roots of variances too, for its derivative."""
    if dtype_of(y) not in _DTYPES:
        return None
    return item(Node(y.inputs, layernorm_with_statistics, y.attrs), 0)


@rewrite(
    layernorm_derivative,
    exactness=BITWISE,
    examples=[
        'layernorm.gradient(layernorm(x, (4,)), y)[0]',
        'layernorm.gradient(layernorm(batch, (3, 4), 0.1), batch)[0]',
    ],
)
def derivative_with_statistics(y: Node) -> Node | None:
    """The derivative of a layer norm takes the statistics that its value is computed with."""
    if len(y.inputs) > 2 or dtype_of(y) not in _DTYPES:  # noqa: PLR2004 the operand and the cotangent
        return None
    statistics = items(Node(y.inputs[:1], layernorm_with_statistics, y.attrs))[1:]
    return Node([*y.inputs, *statistics], layernorm_derivative, y.attrs)


@rewrite(item, exactness=BITWISE, examples=['attention(x, x, y).op.gradient(attention(x, x, y), y)[0]'])
def attention_without_kernels(y: Node) -> Node | None:
    """The derivative of attention is written out where the kernels for it are not faster."""
    (whole,) = y.inputs
    if whole.op is not attention_derivative:
        return None
    query, key = (x.type for x in whole.inputs[:2])
    if query is None or key is None or query.shape is None or key.shape is None:
        return None
    queries, keys = query.shape[-2], key.shape[-2]
    if not (isinstance(queries, int) and isinstance(keys, int)) or has_kernels(query.device, queries, keys):
        return None
    return attention_derivative.written_out(whole)[y.attrs['position']]


TOGETHER = Family(
    'together',
    'Values that one kernel gives are computed by one.',
    (maximum_with_position, norm_with_statistics, derivative_with_statistics, attention_without_kernels),
)
