"""Resampling: up and down to other sizes, at a grid of coordinates, and by moving channels."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from adjoint.core.kink import kink
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.index import getitem
from adjoint.ops.linear import Linear
from adjoint.ops.sampling_kernels import gathered, scattered
from adjoint.ops.shape import unsqueeze

__all__ = [
    'AffineGrid', 'AffineGridBackward', 'ChannelShuffle', 'GridSampler', 'GridSamplerGrid',
    'GridSamplerInput', 'Interpolate', 'InterpolateBackward', 'PixelShuffle', 'PixelUnshuffle',
    'affine_grid', 'affine_grid_backward', 'channel_shuffle', 'grid_sampler', 'grid_sampler_grid',
    'grid_sampler_input', 'interpolate', 'interpolate_backward', 'pixel_shuffle', 'pixel_unshuffle',
]  # fmt: skip

# The kernels of torch by mode: for one, two and three axes.
_KERNELS: Mapping[str, Mapping[int, str]] = MappingProxyType({
    'nearest': {n: f'upsample_nearest{n}d' for n in (1, 2, 3)},
    'nearest-exact': {n: f'_upsample_nearest_exact{n}d' for n in (1, 2, 3)},
    'linear': {1: 'upsample_linear1d', 2: 'upsample_bilinear2d', 3: 'upsample_trilinear3d'},
    'bicubic': {2: 'upsample_bicubic2d'},
    'bilinear_aa': {2: '_upsample_bilinear2d_aa'},
    'bicubic_aa': {2: '_upsample_bicubic2d_aa'},
    'lanczos_aa': {2: '_upsample_lanczos2d_aa'},
})  # fmt: skip


class Interpolate(Linear):
    """``x`` resampled along the axes after the first two, by a mode of ``torch.nn.functional.interpolate``.

    The modes are ``nearest``, ``nearest-exact``, ``linear`` (which is bilinear and trilinear for more
    axes), ``bicubic``, and with antialiasing ``bilinear_aa``, ``bicubic_aa`` and ``lanczos_aa``.
    """

    def __call__(
        self,
        x: Operand,
        mode: str,
        output_size: Sequence[int] | None = None,
        scales: Sequence[float | None] | None = None,
        align_corners: bool = False,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node
            Of shape ``(batch, channels, *axes)``.
        mode : str
            How.
        output_size : sequence of int, optional
            The sizes of the result; without it they are those of ``x`` times the scales, rounded down.
        scales : sequence of float, optional
            By how much each axis grows; without it, by the ratio of the sizes.
        align_corners : bool
            Whether the first and last entries stay where they are.
        """
        if mode not in _KERNELS:
            msg = f'interpolate knows the modes {", ".join(_KERNELS)}, and got {mode!r}'
            raise ValueError(msg)
        attrs = {
            'mode': mode,
            'output_size': None if output_size is None else tuple(output_size),
            'scales': None if scales is None else tuple(scales),
            'align_corners': bool(align_corners),
        }
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        size, scales = node.attrs['output_size'], node.attrs['scales']
        if size is None:
            size = [int(s * scale) for s, scale in zip(x.shape[2:], scales, strict=True)]
        return _kernel(node, x)(x, list(size), *_options(node, x))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return (Node([ct, x], interpolate_backward, node.attrs),)


class InterpolateBackward(Linear):
    """The transposed map of ``interpolate`` applied to ``ct``, in the shape of the second operand.

    Without a second operand, of shape ``attrs['input_size']``.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        ct, *like = input_values
        size = [*like[0].shape] if like else list(node.attrs['input_size'])
        return _kernel(node, ct, '_backward')(ct, [*ct.shape[2:]], size, *_options(node, ct))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        attrs = {name: value for name, value in node.attrs.items() if name != 'input_size'}
        return [Node([ct], interpolate, attrs), *(None for _ in node.inputs[1:])]


def _kernel(node: Node, x: torch.Tensor, suffix: str = '') -> Callable[..., torch.Tensor]:
    mode: str = node.attrs['mode']
    known = _KERNELS[mode]
    if x.ndim - 2 not in known:
        axes = ' or '.join(str(n) for n in known)
        msg = f'interpolate by {mode} takes a batch of channels of {axes} axes, and got {[*x.shape]}'
        raise RuntimeError(msg)
    name = known[x.ndim - 2] + suffix
    if not hasattr(torch.ops.aten, name):
        msg = f'torch {torch.__version__} has no kernel for interpolate by {mode}: use a later version'
        raise NotImplementedError(msg)
    return getattr(torch.ops.aten, name).default


def _options(node: Node, x: torch.Tensor) -> list[Any]:
    """Return what the kernels take after the sizes."""
    scales = node.attrs['scales'] or (None,) * (x.ndim - 2)
    corners = [] if node.attrs['mode'].startswith('nearest') else [node.attrs['align_corners']]
    return [*corners, *scales]


class AffineGrid(Linear):
    """The coordinates of a grid of ``size`` under the affine maps ``theta``, as ``affine_grid``."""

    def __call__(self, theta: Operand, size: Sequence[int], align_corners: bool = False) -> Node:
        attrs = {'size': tuple(size), 'align_corners': bool(align_corners)}
        return Node([as_node(theta, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (theta,) = input_values
        kernel = torch.ops.aten.affine_grid_generator
        return kernel(theta, list(node.attrs['size']), node.attrs['align_corners'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], affine_grid_backward, node.attrs),)


class AffineGridBackward(Linear):
    """The transposed map of ``affine_grid`` applied to ``ct``, in the shape of ``theta``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (ct,) = input_values
        kernel = torch.ops.aten.affine_grid_generator_backward
        return kernel(ct, list(node.attrs['size']), node.attrs['align_corners'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], affine_grid, node.attrs),)


# Write T(c, x, grid) for the sum of the entries of c * S(x, grid), where S samples x at the grid, or is a
# derivative of that by the coordinates, ``orders`` times by each. The three ops below are S and the
# derivatives of T by x and by grid, for any orders, so the family is closed: a derivative by the grid is the
# same op with one order more. Where all orders are 0 they are torch's kernels.


def _between_cells(node: Node, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Return which coordinates are those of an entry, where a linear interpolation has its corners."""
    sizes = torch.tensor(x.shape[:1:-1], device=grid.device)
    ends = (grid + 1) / 2 * (sizes - 1) if node.attrs['align_corners'] else ((grid + 1) * sizes - 1) / 2
    return (ends == ends.round()) & (node.attrs['interpolation_mode'] == 0)


class GridSampler(Op):
    """``x`` sampled at the coordinates in ``grid``, which go from -1 to 1, as ``grid_sample``.

    With ``orders`` that are not 0, the derivative of that by the coordinates, so many times by each.

    Notes
    -----
    At the kinks between two cells the derivative by the grid is that of the cell to the right. In torch
    the derivative by the grid has no derivative; here it has, of every order.
    """

    kinks = (kink('a coordinate at an entry', 'that by it is the one to the right', _between_cells),)

    def __call__(
        self,
        x: Operand,
        grid: Operand,
        axes: int,
        interpolation_mode: int = 0,
        padding_mode: int = 0,
        align_corners: bool = False,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node
            Of shape ``(batch, channels, *axes)``.
        grid : Node
            Of shape ``(batch, *axes, coordinates)``, where the first coordinate is that of the last axis.
        axes : int
            2 or 3.
        interpolation_mode : int
            0 is linear, 1 nearest, 2 cubic (of two axes), as in ATen.
        padding_mode : int
            Outside are 0 zeros, 1 the border, 2 reflections, as in ATen.
        align_corners : bool
            Whether -1 and 1 are the centres of the first and last entries, or their outer edges.
        """
        attrs = {
            'interpolation_mode': interpolation_mode,
            'padding_mode': padding_mode,
            'align_corners': bool(align_corners),
            'orders': (0,) * axes,
        }
        return Node([as_node(x, self.name), as_node(grid, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, grid = input_values
        options = _grid_options(node, x, grid)
        if grid.is_meta:
            # In torch this takes a hundred steps.
            return x.new_empty((*x.shape[:2], *grid.shape[1:-1]))
        if any(node.attrs['orders']):
            return gathered(x, grid, node.attrs['orders'], *options)
        aten = torch.ops.aten
        kernel = aten.grid_sampler_2d if len(node.attrs['orders']) == 2 else aten.grid_sampler_3d  # noqa: PLR2004 axes
        return kernel(x, grid, *options)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        x, grid = node.inputs
        by_x = Node([output_grad, grid, x], grid_sampler_input, node.attrs)
        return [by_x, Node([output_grad, x, grid], grid_sampler_grid, node.attrs)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the samples of the tangent, plus those of the derivative times how the grid moves."""
        x, grid = node.inputs
        tx, tg = input_tangents
        total = None if tx is None else Node([tx, grid], self, node.attrs)
        if tg is not None:
            moved = _along(x, grid, tg, node)
            total = moved if total is None else total + moved
        return total


def _grid_options(node: Node, x: torch.Tensor, grid: torch.Tensor) -> tuple[int, int, bool]:
    axes = len(node.attrs['orders'])
    fits = x.ndim == grid.ndim == axes + 2 and grid.shape[-1] == axes and x.shape[0] == grid.shape[0]
    if not fits or x.dtype != grid.dtype:
        msg = (
            f'sampling along {axes} axes takes a batch of channels of {axes} axes, and as many grids of as '
            f'many axes and coordinates, of one dtype; got {x.dtype}{[*x.shape]} '
            f'and {grid.dtype}{[*grid.shape]}'
        )
        raise RuntimeError(msg)
    return node.attrs['interpolation_mode'], node.attrs['padding_mode'], node.attrs['align_corners']


def _has_orders(node: Node, grid: torch.Tensor) -> bool:
    """Whether torch lacks the kernel; types do not depend on it."""
    return any(node.attrs['orders']) and not grid.is_meta


def _one_more(node: Node) -> list[dict[str, Any]]:
    """Return the attrs with one order more by each of the coordinates."""
    orders: tuple[int, ...] = node.attrs['orders']
    axes = range(len(orders))
    return [{**node.attrs, 'orders': tuple(orders[j] + (j == k) for j in axes)} for k in axes]


def _component(g: Node, k: int) -> Node:
    """Return one coordinate of what is like a grid, with an axis of channels."""
    return unsqueeze(getitem(g, (..., k)), 1)


def _along(x: Node, grid: Node, g: Node, node: Node) -> Node:
    """Return the derivative of the samples along a movement ``g`` of the grid."""
    terms = [
        _component(g, k) * Node([x, grid], grid_sampler, attrs) for k, attrs in enumerate(_one_more(node))
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class GridSamplerInput(Op):
    """The transposed map of ``grid_sampler``, which is linear in ``x``, applied to ``c``.

    In the shape of the third operand.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        c, grid, like = input_values
        options = _grid_options(node, like, grid)
        if _has_orders(node, grid):
            return scattered(c, grid, like, node.attrs['orders'], *options)
        return _backward(node, c, like, grid)(options, [True, False])[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        c, grid, _ = node.inputs
        by_grid = Node([c, output_grad, grid], grid_sampler_grid, node.attrs)
        return [Node([output_grad, grid], grid_sampler, node.attrs), by_grid, None]


class GridSamplerGrid(Op):
    """The derivative of ``sum(c * grid_sampler(x, grid))`` by ``grid``, from ``c``, ``x`` and ``grid``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        c, x, grid = input_values
        options = _grid_options(node, x, grid)
        if _has_orders(node, grid):
            orders = [attrs['orders'] for attrs in _one_more(node)]
            return torch.stack([(c * gathered(x, grid, o, *options)).sum(1) for o in orders], -1)
        return _backward(node, c, x, grid)(options, [False, True])[1]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        c, x, grid = node.inputs
        by_x: Node | None = None
        by_grid: Node | None = None
        for k, attrs in enumerate(_one_more(node)):
            weighted = c * _component(output_grad, k)
            to_x = Node([weighted, grid, x], grid_sampler_input, attrs)
            to_grid = Node([weighted, x, grid], grid_sampler_grid, attrs)
            by_x = to_x if by_x is None else by_x + to_x
            by_grid = to_grid if by_grid is None else by_grid + to_grid
        return [_along(x, grid, output_grad, node), by_x, by_grid]


def _backward(
    node: Node, c: torch.Tensor, x: torch.Tensor, grid: torch.Tensor
) -> Callable[[tuple[int, int, bool], list[bool]], tuple[torch.Tensor, torch.Tensor]]:
    aten = torch.ops.aten
    two = len(node.attrs['orders']) == 2  # noqa: PLR2004 axes
    kernel = aten.grid_sampler_2d_backward if two else aten.grid_sampler_3d_backward
    return lambda options, mask: kernel(c, x, grid, *options, mask)


class PixelShuffle(Linear):
    """Channels moved into the last two axes, which grow by ``factor``, as ``torch.pixel_shuffle``."""

    moves = True
    axes = ()

    def __call__(self, x: Operand, factor: int) -> Node:
        return Node([as_node(x, self.name)], self, {'factor': factor})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.pixel_shuffle(x, node.attrs['factor'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (pixel_unshuffle(ct, node.attrs['factor']),)


class PixelUnshuffle(Linear):
    """The last two axes shrunk by ``factor``, what they lose moved into channels: undoes a shuffle."""

    moves = True
    axes = ()

    def __call__(self, x: Operand, factor: int) -> Node:
        return Node([as_node(x, self.name)], self, {'factor': factor})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.pixel_unshuffle(x, node.attrs['factor'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (pixel_shuffle(ct, node.attrs['factor']),)


class ChannelShuffle(Linear):
    """The channels of each of ``groups`` groups, in turn; with ``undo``, put back."""

    moves = True

    def __call__(self, x: Operand, groups: int, undo: bool = False) -> Node:
        return Node([as_node(x, self.name)], self, {'groups': groups, 'undo': bool(undo)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        groups: int = node.attrs['groups']
        each = x.shape[1] // groups
        sizes = (each, groups) if node.attrs['undo'] else (groups, each)
        grouped = x.reshape(x.shape[0], *sizes, *x.shape[2:])
        return grouped.transpose(1, 2).flatten(1, 2)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (channel_shuffle(ct, node.attrs['groups'], not node.attrs['undo']),)


interpolate = Interpolate()
interpolate_backward = InterpolateBackward()
affine_grid = AffineGrid()
affine_grid_backward = AffineGridBackward()
grid_sampler = GridSampler()
grid_sampler_input = GridSamplerInput()
grid_sampler_grid = GridSamplerGrid()
pixel_shuffle = PixelShuffle()
pixel_unshuffle = PixelUnshuffle()
channel_shuffle = ChannelShuffle()
