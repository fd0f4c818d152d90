"""Normalisation over channels: statistics for each entry of one axis, batch and group normalisation."""

import math
from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.arithmetic import rsqrt
from adjoint.ops.linear import Linear, conj
from adjoint.ops.normalise import layernorm
from adjoint.ops.reduction import mean
from adjoint.ops.shape import flatten, reshape_like

__all__ = [
    'AlongChannels', 'BatchNorm', 'ChannelMean', 'ChannelShare', 'GroupChannels', 'OverChannels', 'RMSNorm',
    'affine', 'along_channels', 'batchnorm', 'channel_mean', 'channel_share', 'channel_var',
    'group_channels', 'groupnorm', 'instancenorm', 'over_channels', 'rmsnorm', 'scaled',
]  # fmt: skip

_CHANNELS = 1


def _others(a: torch.Tensor) -> list[int]:
    return [axis for axis in range(a.ndim) if axis != _CHANNELS]


def _along(a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return a.reshape(1, -1, *(1 for _ in like.shape[2:])).expand(like.shape)


def _count(node: Node, a: torch.Tensor) -> int:
    correction: int = node.attrs['correction']
    return math.prod(a.shape[axis] for axis in _others(a)) - correction


class AlongChannels(Linear):
    """``a``, with one entry for each channel, expanded to the shape of ``like`` along its axis 1."""

    moves = True

    def __call__(self, a: Operand, like: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(like, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return _along(a, like)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return over_channels(ct), None


class OverChannels(Linear):
    """The sum of ``a`` over all axes but axis 1: the adjoint of ``along_channels``."""

    moves = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.sum(_others(a))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (along_channels(ct, node.inputs[0]),)


class ChannelMean(Linear):
    """The sum of ``a`` over all axes but axis 1, over the number of summands less ``correction``."""

    def __call__(self, a: Operand, correction: int = 0) -> Node:
        return Node([as_node(a, self.name)], self, {'correction': correction})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.sum(_others(a)) / _count(node, a)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (Node([ct, a], channel_share, node.attrs),)


class ChannelShare(Linear):
    """``a``, one entry a channel, over the number of entries of a channel of ``like``, in its shape.

    The adjoint of ``channel_mean``.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return _along(a / _count(node, like), like)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], channel_mean, node.attrs), None


class BatchNorm(Op):
    """``(a - mean) / sqrt(variance + eps)`` for each channel: each entry of axis 1, over all other axes.

    With the biased variance, and no affine map.
    """

    name = 'batchnorm'

    def __call__(self, a: Operand, eps: float = 1e-5) -> Node:
        return Node([as_node(a, self.name)], self, {'eps': eps})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        found, _, _ = torch.native_batch_norm(a, None, None, None, None, True, 0.0, node.attrs['eps'])
        return found

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [self._product(node, output_grad)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else self._product(node, t)

    @staticmethod
    def _product(y: Node, t: Node) -> Node:
        """Return the Jacobian, which is symmetric, times ``t``."""
        (a,) = y.inputs
        shares = along_channels(channel_mean(t), t) + y * along_channels(channel_mean(t * y), t)
        scale = rsqrt(channel_var(a) + y.attrs['eps'])
        return (t - shares) * along_channels(scale, t)


class GroupChannels(Linear):
    """``a`` with its channels in ``groups`` equal groups, each with everything behind it on one axis."""

    moves = True

    def __call__(self, a: Operand, groups: int) -> Node:
        return Node([as_node(a, self.name)], self, {'groups': groups})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        groups: int = node.attrs['groups']
        if a.shape[_CHANNELS] % groups:
            msg = f'{a.shape[_CHANNELS]} channels do not make {groups} equal groups'
            raise ValueError(msg)
        return a.reshape(a.shape[0], groups, math.prod(a.shape[_CHANNELS:]) // groups)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (reshape_like(ct, a),)


class RMSNorm(Op):
    """``a / sqrt(mean(a**2) + eps)`` over the last ``len(normalized_shape)`` axes, no weight."""

    axes = ()
    name = 'rmsnorm'

    def __call__(self, a: Operand, normalized_shape: Sequence[int] | int, eps: float = 1e-6) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape with at least ``len(normalized_shape)`` axes.
        normalized_shape : sequence of int, or int for one axis
            As many sizes as axes to normalise, the last ones.
        eps : float
            Added to the mean of the squares, inside the root.
        """
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        return Node([as_node(a, self.name)], self, {'normalized_shape': shape, 'eps': eps})

    @staticmethod
    def _axes(node: Node) -> tuple[int, ...]:
        return tuple(range(-len(node.attrs['normalized_shape']), 0))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        # Squares of half precision overflow early.
        wide = a.float() if a.dtype in {torch.float16, torch.bfloat16} else a
        squares = (wide * wide).mean(self._axes(node), keepdim=True)
        return (wide * torch.rsqrt(squares + node.attrs['eps'])).to(a.dtype)

    def _scale(self, node: Node) -> Node:
        (a,) = node.inputs
        return rsqrt(mean(a * a, self._axes(node), keepdim=True) + node.attrs['eps'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        y, ct = conj(node), output_grad
        return [(ct - y * mean(ct * y, self._axes(node), keepdim=True)) * conj(self._scale(node))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        if t is None:
            return None
        return (t - node * mean(t * node, self._axes(node), keepdim=True)) * self._scale(node)


along_channels = AlongChannels()
over_channels = OverChannels()
channel_mean = ChannelMean()
channel_share = ChannelShare()
batchnorm = BatchNorm()
group_channels = GroupChannels()
rmsnorm = RMSNorm()


def channel_var(a: Operand, correction: int = 0) -> Node:
    """Return the variance for each channel, from the deviations from the mean."""
    a = as_node(a, 'channel_var')
    deviation = a - along_channels(channel_mean(a), a)
    return channel_mean(deviation * deviation, correction)


def affine(y: Node, weight: Node | None, bias: Node | None) -> Node:
    """Return ``y`` times a weight plus a bias, either of which may be missing, for each channel."""
    if weight is not None:
        y = y * along_channels(weight, y)
    return y if bias is None else y + along_channels(bias, y)


def scaled(y: Node, weight: Node | None, bias: Node | None) -> Node:
    """Return ``y`` times a weight plus a bias, either of which may be missing, that broadcast."""
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def groupnorm(
    a: Operand,
    num_groups: int,
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
) -> Node:
    """Return ``a`` normalised over each group of its channels, with an affine map for each channel."""
    a = as_node(a, 'groupnorm')
    return affine(reshape_like(layernorm(group_channels(a, num_groups), 1, eps), a), weight, bias)


def instancenorm(a: Operand, weight: Node | None = None, bias: Node | None = None, eps: float = 1e-5) -> Node:
    """Return ``a`` normalised over the axes behind its channels, with an affine map for each channel."""
    a = as_node(a, 'instancenorm')
    return affine(reshape_like(layernorm(flatten(a, 2), 1, eps), a), weight, bias)
