"""What moves a window over images: convolutions and maxima."""

from typing import Any

import torch

from adjoint.execute.facts import Fact
from adjoint.execute.kernels.table import Place, Table, Written
from adjoint.ops.convolution import (
    Convolution,
    ConvolutionInput,
    ConvolutionWeight,
    convolution_options,
)
from adjoint.ops.max_pooling import MaxPoolWithPositions, PoolPut, window_options

__all__ = ['TABLE']

TABLE = Table()

_aten: Any = torch.ops.aten
_IMAGES = 4  # axes of a batch of images


def _options(place: Place, w: Fact) -> dict[str, object]:
    names = ('stride', 'padding', 'dilation', 'transposed', 'output_padding', 'groups')
    options = convolution_options(place.node.attrs, len(w.shape) - 2)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in zip(names, options, strict=True)}  # pyright: ignore[reportUnknownArgumentType] ints


_OPTIONS = '{stride}, {padding}, {dilation}, {transposed}, {output_padding}, {groups}'


def _is_real(place: Place) -> bool:
    return all(x is not None and x.dtype.is_floating_point for x in place.given)


@TABLE.takes(Convolution)
def _convolution(place: Place) -> Written | None:
    w = place.given[1]
    if not _is_real(place) or w is None:
        return None
    bias = '{2}' if len(place.given) > 2 else 'None'  # noqa: PLR2004 the third operand
    bound = {'kernel': _aten.convolution.default, **_options(place, w)}
    return Written(f'{{kernel}}({{0}}, {{1}}, {bias}, {_OPTIONS})', bound)


@TABLE.takes(ConvolutionInput, ConvolutionWeight)
def _convolution_back(place: Place) -> Written | None:
    """Write a derivative by the input, from ``c, w, x``, or by the weight, from ``c, x, w``."""
    is_input = isinstance(place.node.op, ConvolutionInput)
    w = place.given[1 if is_input else 2]
    if not _is_real(place) or w is None:
        return None
    bound = {'kernel': _aten.convolution_backward.default, **_options(place, w)}
    operands = '{0}, {2}, {1}' if is_input else '{0}, {1}, {2}'
    mask, position = ('[True, False, False]', 0) if is_input else ('[False, True, False]', 1)
    return Written(f'{{kernel}}({operands}, None, {_OPTIONS}, {mask})[{position}]', bound)


@TABLE.takes(MaxPoolWithPositions)
def _max_pool(place: Place) -> Written | None:
    (x,), attrs = place.given, place.node.attrs
    if x is None or len(x.shape) != _IMAGES or attrs['axes'] != 2 or not x.is_contiguous:  # noqa: PLR2004 axes
        return None
    names = ('size', 'stride', 'padding', 'dilation', 'ceil_mode')
    bound: dict[str, object] = dict(zip(names, window_options(attrs), strict=True))
    bound['kernel'] = _of_channels if x.device.type == 'cpu' else _aten.max_pool2d_with_indices.default
    return Written('{kernel}({0}, {size}, {stride}, {padding}, {dilation}, {ceil_mode})', bound)


def _of_channels(x: torch.Tensor, *options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the maxima of images and their positions, with every image as a channel of one.

    Where the channels of an entry lie next to each other the kernel for a CPU takes many at once; of images
    in order it takes one entry after the other.
    """
    side = x.view(1, -1, *x.shape[2:]).contiguous(memory_format=torch.channels_last)
    largest, positions = _aten.max_pool2d_with_indices.default(side, *options)
    shape = (*x.shape[:2], *largest.shape[2:])
    return largest.contiguous().view(shape), positions.contiguous().view(shape)


@TABLE.takes(PoolPut)
def _pool_put(place: Place) -> Written | None:
    ct, own, axes = place.given[0], place.own, place.node.attrs['axes']
    if ct is None or own is None or not own.entries or not own.is_contiguous:
        return None
    bound = {'zeros': torch.zeros, 'dtype': own.dtype, 'device': str(own.device), 'start': -axes}
    bound |= {'flat': (*own.shape[:-axes], torch.Size(own.shape[-axes:]).numel()), 'shape': own.shape}
    return Written(
        '{zeros}({flat}, dtype={dtype}, device={device})'
        '.scatter_add_(-1, {1}.flatten({start}), {0}.flatten({start})).view({shape})',
        bound, (0, 1),
    )  # fmt: skip
