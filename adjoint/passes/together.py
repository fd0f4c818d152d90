"""Values that one kernel computes together."""

from functools import lru_cache

import torch

from adjoint.core.node import Node
from adjoint.ops.arithmetic import mul, rsqrt
from adjoint.ops.attention import attention_derivative, has_kernels
from adjoint.ops.creation import Variable
from adjoint.ops.max_pooling import max_pool_positions, max_pool_with_positions, pool_take
from adjoint.ops.normalise import across, layernorm, layernorm_with_statistics, normalised_axes
from adjoint.ops.reduction import mean
from adjoint.ops.several import item
from adjoint.passes.facts import constant_of, dtype_of, is_real
from adjoint.passes.patterns import found_in
from adjoint.passes.rewrite import BITWISE, ROUNDING, Family, rewrite

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
    return item(_with_statistics(y), 0) if dtype_of(y) in _DTYPES else None


def _with_statistics(y: Node) -> Node:
    return Node(y.inputs, layernorm_with_statistics, y.attrs)


@rewrite(
    mul,
    exactness=ROUNDING,
    examples=[
        'layernorm.gradient(layernorm(x, (4,)), y)[0]',
        'layernorm.gradient(layernorm(batch, (3, 4), 0.1), batch)[0]',
    ],
)
def root_of_norm(node: Node) -> Node | None:
    """The derivative of a layer norm takes the root of the variance from it."""
    root = next((x for x in node.inputs if x.op is rsqrt), None)
    shifted = None if root is None else root.inputs[0]
    eps = None if shifted is None else constant_of(shifted)
    if shifted is None or not isinstance(eps, float) or dtype_of(node) not in _DTYPES:
        return None
    axes: tuple[int, ...] | int | None = shifted.inputs[0].attrs.get('dim')
    if not isinstance(axes, tuple):
        return None
    y, a, moved, pattern = _derivative_of_norm(axes, eps)
    found = found_in(pattern, node)
    if found is None:
        return None
    norm = found[y]
    if norm.op is item and norm.attrs['position'] == 0:
        (norm,) = norm.inputs
    is_norm = norm.op in {layernorm, layernorm_with_statistics} and norm.inputs[0] is found[a]
    if not is_norm or norm.attrs['eps'] != eps or normalised_axes(norm) != axes:
        return None
    return found[moved] * item(_with_statistics(norm), 2)


@lru_cache(maxsize=8)
def _derivative_of_norm(axes: tuple[int, ...], eps: float) -> tuple[Node, Node, Node, Node]:
    y, a, t = Variable('y'), Variable('a'), Variable('t')
    deviation = a - mean(a, axes, keepdim=True)
    root = rsqrt(mean(deviation * deviation, axes, keepdim=True) + eps)
    moved = across(y, t, axes)
    return y, a, moved, moved * root


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
    (maximum_with_position, norm_with_statistics, root_of_norm, attention_without_kernels),
)
