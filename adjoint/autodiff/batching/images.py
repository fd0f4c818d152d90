"""Rules of batches of ops on images and channels: convolution, pooling, padding, resampling, statistics."""

from typing import Any

from adjoint.autodiff.batching.kinds import as_decomposed, as_images
from adjoint.autodiff.batching.operands import Batches, Rule, any_batch, rank_of, size_of_batch, spread_all
from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.batch import split_like
from adjoint.ops.channels import (
    AlongChannels,
    BatchNorm,
    ChannelMean,
    ChannelShare,
    GroupChannels,
    OverChannels,
)
from adjoint.ops.convolution import Convolution, ConvolutionInput, ConvolutionWeight, convolution
from adjoint.ops.linear import expand_as
from adjoint.ops.loss import MultilabelMargin, MultilabelMarginWeights
from adjoint.ops.max_pooling import (
    AdaptiveMaxPoolPositions,
    MaxPoolPositions,
    MaxPoolWithPositions,
    max_pool_positions,
    take_at_positions,
)
from adjoint.ops.padding import (
    Col2im,
    Im2col,
    ReflectionPad,
    ReflectionPadBackward,
    ReplicationPad,
    ReplicationPadBackward,
)
from adjoint.ops.pooling import AdaptiveAvgPool, AdaptiveAvgPoolBackward, AvgPool, AvgPoolBackward
from adjoint.ops.reduction import mean, sum_, unmean
from adjoint.ops.resampling import (
    ChannelShuffle,
    GridSampler,
    GridSamplerGrid,
    GridSamplerInput,
    Interpolate,
    InterpolateBackward,
)
from adjoint.ops.several import packed
from adjoint.ops.shape import flatten, transpose, unsqueeze

__all__ = ['RULES']


def _pooled(node: Node) -> int:
    axes: int = node.attrs['axes']
    return axes + 1


def _padded(node: Node) -> int:
    return len(node.attrs['padding']) // 2 + 1


def _max_pool(node: Node, batches: Batches) -> Node | None:
    """Batch the positions, and take what is there."""
    positions = as_images(_pooled)(Node(node.inputs, max_pool_positions, node.attrs), batches)
    if positions is None:
        return None
    return packed([take_at_positions(any_batch(batches), positions, node.attrs['axes']), positions])


# -- convolution --------------------------------------------------------------------------------------
#
# What differs between the examples is joined: images to one batch where the weights are the same, and
# otherwise channels, in as many more groups.


def _convolution(node: Node, batches: Batches) -> Node | None:
    if len(node.inputs) > 2 and (batches[1] is not None or batches[2] is not None):  # noqa: PLR2004 the bias
        return as_decomposed(_bias_apart)(node, batches)
    if batches[1] is None:
        (_, *same), x = node.inputs, any_batch(batches)
        return split_like(Node([flatten(x, 0, 1), *same], node.op, node.attrs), x)
    return _in_groups(node, batches)


def _bias_apart(node: Node) -> Node | None:
    x, w, bias = node.inputs
    rank = rank_of(x)
    if rank is None:
        return None
    for _ in range(rank - 2):
        bias = unsqueeze(bias, -1)
    return Node([x, w], convolution, node.attrs) + bias


def _convolution_input(node: Node, batches: Batches) -> Node | None:
    if batches[1] is not None:
        return _in_groups(node, batches)
    c, _, x = spread_all(node, batches)
    return split_like(Node([flatten(c, 0, 1), node.inputs[1], flatten(x, 0, 1)], node.op, node.attrs), x)


def _in_groups(node: Node, batches: Batches) -> Node | None:
    """Batch a convolution or one of its derivatives with the examples as groups of channels."""
    size, groups = size_of_batch(batches), node.attrs['groups']
    if not size:
        return None  # there is no convolution of no groups
    attrs: dict[str, Any] = {**node.attrs}
    attrs['groups'] = groups * size if isinstance(size, int) else Extent(f'{groups}*({size})')
    gives_weight = isinstance(node.op, ConvolutionWeight)
    # The weights are the second operand; of the derivative by them, the third, which is like them.
    place = 2 if gives_weight else 1
    operands = spread_all(node, batches)
    joined = [
        flatten(x, 0, 1) if i == place else flatten(transpose(x, 0, 1), 1, 2) for i, x in enumerate(operands)
    ]
    found = Node(joined, node.op, attrs)
    if gives_weight:
        return split_like(found, operands[place])
    return _channels_apart(found, operands, node)


def _channels_apart(found: Node, operands: list[Node], node: Node) -> Node | None:
    """Take joined channels apart again: ``(images, examples * channels, ...)`` with the examples first."""
    if isinstance(node.op, ConvolutionInput):
        like = transpose(operands[2], 0, 1)
        return transpose(split_like(found, like, 1), 0, 1)
    # The channels of the value are an axis of the weights: the examples and that axis are split alike.
    w = operands[1]
    if node.attrs['transposed'] and node.attrs['groups'] != 1:
        return None
    like = unsqueeze(w if not node.attrs['transposed'] else transpose(w, 1, 2), 0)
    return transpose(split_like(found, like, 1), 0, 1)


# -- channels -----------------------------------------------------------------------------------------


def _others(a: Node) -> tuple[int, ...] | None:
    rank = rank_of(a)
    return None if rank is None else (0, *range(2, rank))


def _along_channels(node: Node) -> Node | None:
    a, like = node.inputs
    rank = rank_of(like)
    if rank is None or rank_of(a) != 1:
        return None
    for _ in range(rank - 2):
        a = unsqueeze(a, -1)
    return expand_as(a, like)


def _over_channels(node: Node) -> Node | None:
    (a,) = node.inputs
    others = _others(a)
    return None if others is None else sum_(a, others)


def _channel_mean(node: Node) -> Node | None:
    (a,) = node.inputs
    others = _others(a)
    return None if others is None else Node([a], mean, {'dim': others, 'keepdim': False, **node.attrs})


def _channel_share(node: Node) -> Node | None:
    others = _others(node.inputs[1])
    if others is None:
        return None
    return Node(node.inputs, unmean, {'dim': others, 'keepdim': False, **node.attrs})


def _batchnorm(node: Node, batches: Batches) -> Node:
    """Batch by joining the examples to channels, which are normalised one by one."""
    images = transpose(any_batch(batches), 0, 1)
    joined = Node([flatten(images, 1, 2)], node.op, node.attrs)
    return transpose(split_like(joined, images, 1), 0, 1)


RULES: dict[type[Op], Rule] = {
    Convolution: _convolution,
    ConvolutionInput: _convolution_input,
    ConvolutionWeight: _in_groups,
    AlongChannels: as_decomposed(_along_channels),
    OverChannels: as_decomposed(_over_channels),
    ChannelMean: as_decomposed(_channel_mean),
    ChannelShare: as_decomposed(_channel_share),
    BatchNorm: _batchnorm,
    **dict.fromkeys((MultilabelMargin, MultilabelMarginWeights), as_images(lambda _: 1)),
    **dict.fromkeys((ReflectionPad, ReflectionPadBackward), as_images(_padded)),
    **dict.fromkeys((ReplicationPad, ReplicationPadBackward), as_images(_padded)),
    **dict.fromkeys((AvgPool, AvgPoolBackward, AdaptiveAvgPool, AdaptiveAvgPoolBackward), as_images(_pooled)),
    **dict.fromkeys((MaxPoolPositions, AdaptiveMaxPoolPositions), as_images(_pooled)),
    MaxPoolWithPositions: _max_pool,
    **dict.fromkeys(
        (Interpolate, InterpolateBackward, ChannelShuffle, GroupChannels), as_images(lambda _: None)
    ),
    **dict.fromkeys((GridSampler, GridSamplerInput, GridSamplerGrid), as_images(lambda _: None)),
    Im2col: as_images(lambda _: 3),
    Col2im: as_images(lambda _: 2),
}
