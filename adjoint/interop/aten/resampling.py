"""ATen: resampling and padding."""

from collections.abc import Callable, Sequence
from typing import Any

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.interop.aten.types import shape_of
from adjoint.ops import padding as pads
from adjoint.ops import resampling
from adjoint.ops.convolution import Sizes, repeated, tuple_or_number

__all__ = ['BUILDERS']


def _upsample(mode: str, *, has_corners: bool = True) -> Callable[..., Node]:
    """Return the builder of an overload with sizes, and a scale for each axis."""
    if has_corners:

        def upsample(
            self: Node,
            output_size: Sequence[int],
            align_corners: bool,
            *scales: float | None,
            **named: float | None,
        ) -> Node:
            return resampling.interpolate(
                self, mode, output_size, _scales(output_size, scales, named), align_corners
            )

        return upsample

    def upsample_nearest(
        self: Node, output_size: Sequence[int], *scales: float | None, **named: float | None
    ) -> Node:
        return resampling.interpolate(self, mode, output_size, _scales(output_size, scales, named))

    return upsample_nearest


def _scales(
    size: Sequence[int], scales: Sequence[float | None], named: dict[str, float | None]
) -> tuple[float | None, ...] | None:
    """Return the scales by axis, of which some are given by name; ``None`` where there are none."""
    names = ['scales'] if len(size) == 1 else ['scales_d', 'scales_h', 'scales_w'][-len(size) :]
    given = dict(zip(names, scales, strict=False)) | named
    found = tuple(given.get(name) for name in names)
    return None if all(scale is None for scale in found) else found


def _upsample_vec(mode: str, *, has_corners: bool = True) -> Callable[..., Node]:
    """Return the builder of an overload with sizes or scales."""
    if has_corners:

        def upsample(
            input: Node,
            output_size: Sequence[int] | None,
            align_corners: bool,
            scale_factors: Sequence[float] | None,
        ) -> Node:
            return resampling.interpolate(input, mode, output_size, scale_factors, align_corners)

        return upsample

    def upsample_nearest(
        input: Node, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None
    ) -> Node:
        return resampling.interpolate(input, mode, output_size, scale_factors)

    return upsample_nearest


def _upsample_backward(mode: str, *, has_corners: bool = True) -> Callable[..., Node]:
    """Return the builder of the adjoint, which is told the sizes of both sides."""

    def upsample_backward(
        grad_output: Node, output_size: Sequence[int], input_size: Sequence[int], *rest: Any, **named: Any
    ) -> Node:
        options = list(rest)
        corners = named.pop('align_corners', None)
        if has_corners and corners is None:
            corners = options.pop(0)
        attrs = {
            'mode': mode,
            'output_size': tuple(output_size),
            'input_size': tuple(input_size),
            'scales': _scales(output_size, options, named),
            'align_corners': bool(corners),
        }
        return Node([grad_output], resampling.interpolate_backward, attrs)

    return upsample_backward


_UPSAMPLINGS = {
    'upsample_nearest1d': 'nearest',
    'upsample_nearest2d': 'nearest',
    'upsample_nearest3d': 'nearest',
    '_upsample_nearest_exact1d': 'nearest-exact',
    '_upsample_nearest_exact2d': 'nearest-exact',
    '_upsample_nearest_exact3d': 'nearest-exact',
    'upsample_linear1d': 'linear',
    'upsample_bilinear2d': 'linear',
    'upsample_trilinear3d': 'linear',
    'upsample_bicubic2d': 'bicubic',
    '_upsample_bilinear2d_aa': 'bilinear_aa',
    '_upsample_bicubic2d_aa': 'bicubic_aa',
    '_upsample_lanczos2d_aa': 'lanczos_aa',
}


def _grid_sampler(axes: int) -> Callable[..., Node]:
    def grid_sampler(
        input: Node, grid: Node, interpolation_mode: int, padding_mode: int, align_corners: bool
    ) -> Node:
        return resampling.grid_sampler(input, grid, axes, interpolation_mode, padding_mode, align_corners)

    return grid_sampler


def _grid_sampler_any(
    input: Node, grid: Node, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Node:
    build = _grid_sampler(len(shape_of(input)) - 2)
    return build(input, grid, interpolation_mode, padding_mode, align_corners)


def _grid_sampler_backward(axes: int) -> Callable[..., tuple[Node | None, Node | None]]:
    def grid_sampler_backward(
        grad_output: Node,
        input: Node,
        grid: Node,
        interpolation_mode: int,
        padding_mode: int,
        align_corners: bool,
        output_mask: Sequence[bool],
    ) -> tuple[Node | None, Node | None]:
        forward = _grid_sampler(axes)(input, grid, interpolation_mode, padding_mode, align_corners)
        by_input, by_grid = resampling.grid_sampler.gradient(forward, grad_output)
        return by_input if output_mask[0] else None, by_grid if output_mask[1] else None

    return grid_sampler_backward


def _affine_grid(theta: Node, size: Sequence[int], align_corners: bool) -> Node:
    return resampling.affine_grid(theta, size, align_corners)


def _im2col(self: Node, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Node:
    return pads.im2col(
        self, *(repeated(tuple_or_number(v), 2) for v in (kernel_size, dilation, padding, stride))
    )


def _col2im(
    self: Node, output_size: Sizes, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Node:
    given = (output_size, kernel_size, dilation, padding, stride)
    return pads.col2im(self, *(repeated(tuple_or_number(v), 2) for v in given))


def _pixel_shuffle(self: Node, upscale_factor: int) -> Node:
    return resampling.pixel_shuffle(self, upscale_factor)


def _pixel_unshuffle(self: Node, downscale_factor: int) -> Node:
    return resampling.pixel_unshuffle(self, downscale_factor)


def _channel_shuffle(self: Node, groups: int) -> Node:
    return resampling.channel_shuffle(self, groups)


def _constant_pad(self: Node, pad: Sequence[int], value: complex = 0) -> Node:
    return pads.constant_pad(self, pad, value)


def _pad_like(build: Callable[..., Node]) -> Callable[..., Node]:
    def by_entries(self: Node, padding: Sequence[int]) -> Node:
        return build(self, padding)

    return by_entries


def _pad_back(build: Any) -> Callable[..., Node]:
    def by_entries(grad_output: Node, self: Node, padding: Sequence[int]) -> Node:
        return Node([grad_output, self], build, {'padding': tuple(padding)})

    return by_entries


def _pad(self: Node, pad: Sequence[int], mode: str = 'constant', value: float | None = None) -> Node:
    return pads.pad(self, pad, mode, value)


def _pad_circular(self: Node, pad: Sequence[int]) -> Node:
    return pads.pad(self, pad, 'circular')


def _table() -> dict[str, Callable[..., Any]]:
    table: dict[str, Callable[..., Any]] = {}
    for n in (1, 2, 3):
        table[f'aten.reflection_pad{n}d'] = _pad_like(pads.reflection_pad)
        table[f'aten.reflection_pad{n}d_backward'] = _pad_back(pads.reflection_pad_backward)
        table[f'aten.replication_pad{n}d'] = _pad_like(pads.replication_pad)
        table[f'aten.replication_pad{n}d_backward'] = _pad_back(pads.replication_pad_backward)
    for n in (2, 3):
        table[f'aten.grid_sampler_{n}d'] = _grid_sampler(n)
        table[f'aten.grid_sampler_{n}d_backward'] = _grid_sampler_backward(n)
    for name, mode in _UPSAMPLINGS.items():
        has_corners = 'nearest' not in name
        table[f'aten.{name}.default'] = _upsample(mode, has_corners=has_corners)
        table[f'aten.{name}.vec'] = _upsample_vec(mode, has_corners=has_corners)
        table[f'aten.{name}_backward'] = _upsample_backward(mode, has_corners=has_corners)
    return table


BUILDERS: Builders = {
    **_table(),
    'aten.grid_sampler': _grid_sampler_any,
    'aten.affine_grid_generator': _affine_grid,
    'aten.im2col': _im2col,
    'aten.col2im': _col2im,
    'aten.pixel_shuffle': _pixel_shuffle,
    'aten.pixel_unshuffle': _pixel_unshuffle,
    'aten.channel_shuffle': _channel_shuffle,
    'aten.native_channel_shuffle': _channel_shuffle,
    'aten.constant_pad_nd': _constant_pad,
    'aten.pad': _pad,
    'aten._pad_circular': _pad_circular,
}
