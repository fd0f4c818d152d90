"""Cases: resampling: up and down to other sizes, and at a grid."""

from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint.ops import resampling as r
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, spread, spread_complex

LINE = spread(2, 1, 4)
X = spread(1, 2, 3, 4)
BLOCK = spread(1, 1, 2, 3, 2)

# Torch has it from 2.12 on.
LANCZOS = [sample(X, 'lanczos_aa', (2, 5))] if hasattr(torch.ops.aten, '_upsample_lanczos2d_aa') else []
_NAMES = {'nearest': ['nearest'] * 3, 'nearest-exact': ['nearest-exact'] * 3}
_NAMES |= {'linear': ['linear', 'bilinear', 'trilinear'], 'bicubic': ['', 'bicubic', '']}


def _resampled(
    x: torch.Tensor, mode: str, size: Any = None, scales: Any = None, corners: bool = False
) -> torch.Tensor:
    given = size, None if size else scales
    if mode.endswith('_aa'):
        return F.interpolate(x, *given, mode.removesuffix('_aa'), corners, antialias=True)
    name = _NAMES[mode][x.ndim - 3]
    return F.interpolate(x, *given, name, None if name.startswith('nearest') else corners)


def _resampled_back(ct: torch.Tensor, like: torch.Tensor, *options: Any) -> torch.Tensor:
    x = torch.zeros_like(like).requires_grad_()
    return torch.autograd.grad(_resampled(x, *options), x, ct)[0]


def _build_back(
    ct: Any, like: Any, mode: str, size: Any = None, scales: Any = None, corners: bool = False
) -> ad.Node:
    attrs = {'mode': mode, 'output_size': size, 'scales': scales, 'align_corners': corners}
    return ad.Node([ct, like], r.interpolate_backward, attrs)


SIZES: dict[str, Case] = {
    'interpolate': Case(
        r.interpolate,
        [
            sample(LINE, 'nearest', (6,)),
            sample(X, 'nearest', None, (1.5, 2.0)),
            sample(BLOCK, 'nearest', (3, 2, 3)),
            sample(LINE, 'nearest-exact', (3,)),
            sample(X.mT, 'nearest-exact', (5, 2)),
            sample(BLOCK, 'nearest-exact', (3, 2, 3)),
            sample(LINE, 'linear', (6,)),
            sample(X, 'linear', None, (1.6, 1.3), True),
            sample(X, 'linear', None, (1.6, 1.3)),
            sample(BLOCK, 'linear', (3, 2, 3), None, True),
            sample(X, 'bicubic', (4, 6)),
            sample(X, 'bicubic', (4, 6), None, True),
            sample(X, 'bilinear_aa', (2, 3)),
            sample(X, 'bicubic_aa', (2, 5), None, True),
            *LANCZOS,
        ],
        _resampled,
        refusals=[
            (sample(X, 'cubic', (2, 2)), ValueError, 'knows the modes nearest'),
            (sample(LINE, 'bicubic', (2,)), ad.ShapeError, 'takes a batch of channels of 2 axes'),
        ],
    ),
    'interpolate_backward': Case(
        _build_back,
        [
            sample(spread(2, 1, 6), LINE, 'nearest', (6,)),
            sample(spread(1, 2, 4, 8), X, 'linear', None, (1.6, 2.0)),
            sample(spread(1, 1, 3, 2, 3), BLOCK, 'linear', (3, 2, 3), None, True),
            sample(spread(1, 2, 2, 5), X, 'bicubic', (2, 5)),
            sample(spread(1, 2, 2, 3), X, 'bilinear_aa', (2, 3)),
        ],
        _resampled_back,
    ),
}


def _affine_back(ct: torch.Tensor, size: Any, corners: bool) -> torch.Tensor:
    theta = ct.new_zeros((size[0], len(size) - 2, len(size) - 1)).requires_grad_()
    return torch.autograd.grad(F.affine_grid(theta, [*size], corners), theta, ct)[0]


def _build_affine_back(ct: Any, size: Any, corners: bool) -> ad.Node:
    return ad.Node([ct], r.affine_grid_backward, {'size': size, 'align_corners': corners})


AFFINE: dict[str, Case] = {
    'affine_grid': Case(
        r.affine_grid,
        [
            sample(spread(2, 2, 3), (2, 1, 2, 3)),
            sample(spread(2, 2, 3), (2, 1, 2, 3), True),
            sample(spread(1, 3, 4), (1, 1, 2, 1, 2)),
        ],
        lambda theta, size, corners=False: F.affine_grid(theta, [*size], corners),
    ),
    'affine_grid_backward': Case(
        _build_affine_back,
        [
            sample(spread(2, 2, 3, 2), (2, 1, 2, 3), True),
            sample(spread(1, 2, 1, 2, 3), (1, 1, 2, 1, 2), False),
        ],
        _affine_back,
    ),
}

_GRID = spread(1, 2, 2, 2, low=-1.43, high=1.37, seed=5)
_GRID3 = spread(1, 1, 2, 1, 3, low=-1.43, high=1.37, seed=7)
_MODES = ['bilinear', 'nearest', 'bicubic']
_PADDINGS = ['zeros', 'border', 'reflection']


def _in_many_ways(*operands: torch.Tensor) -> list[Sample]:
    ways = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 2)]
    return [sample(*operands, 2, mode, padding, (mode + padding) % 2 == 0) for mode, padding in ways]


def _sampled(
    x: torch.Tensor, grid: torch.Tensor, axes: int, mode: int, padding: int, corners: bool
) -> torch.Tensor:
    assert grid.shape[-1] == axes
    return F.grid_sample(x, grid, _MODES[mode], _PADDINGS[padding], corners)


def _by_position(position: int) -> Any:
    def by_torch(c: torch.Tensor, first: torch.Tensor, second: torch.Tensor, *options: Any) -> torch.Tensor:
        x, grid = (second, first) if position == 0 else (first, second)
        wanted = (x, grid)[position].detach().clone().requires_grad_()
        y = _sampled(*((wanted, grid) if position == 0 else (x, wanted)), *options)
        return torch.autograd.grad(y, wanted, c)[0]

    return by_torch


def _grid_attrs(axes: int, mode: int, padding: int, corners: bool, orders: Any = None) -> dict[str, Any]:
    return {
        'interpolation_mode': mode,
        'padding_mode': padding,
        'align_corners': corners,
        'orders': orders or (0,) * axes,
    }


def _build_sampled(x: Any, grid: Any, *options: Any) -> ad.Node:
    return ad.Node([x, grid], r.grid_sampler, _grid_attrs(*options))


def _build_input(c: Any, grid: Any, x: Any, *options: Any) -> ad.Node:
    return ad.Node([c, grid, x], r.grid_sampler_input, _grid_attrs(*options))


def _build_grid(c: Any, x: Any, grid: Any, *options: Any) -> ad.Node:
    return ad.Node([c, x, grid], r.grid_sampler_grid, _grid_attrs(*options))


GRID: dict[str, Case] = {
    'grid_sampler': Case(
        r.grid_sampler,
        [
            *_in_many_ways(X[:, :1], _GRID[:, :1, :1]),
            sample(BLOCK, _GRID3, 3, 0, 0, False),
            sample(BLOCK, _GRID3, 3, 0, 2, True),
            sample(BLOCK, _GRID3, 3, 1, 1, False),
        ],
        _sampled,
    ),
    # Derivatives by the coordinates, of the first coordinate and of both.
    'grid_sampler/orders': Case(
        _build_sampled,
        [
            sample(X, _GRID, 2, 0, 0, False, (1, 0)),
            sample(X[:, :1], _GRID[:, :1, :1], 2, 2, 1, True, (2, 1)),
            sample(X[:, :1], _GRID[:, :1, :1], 2, 2, 2, False, (0, 2)),
        ],
    ),
    'grid_sampler_input': Case(
        _build_input,
        [
            sample(spread(1, 2, 2, 2), _GRID, X, 2, 0, 0, True),
            sample(spread(1, 1, 1, 1), _GRID[:, :1, 1:], X[:, :1], 2, 2, 2, False),
            sample(spread(1, 1, 1, 2, 1), _GRID3, BLOCK, 3, 0, 1, False),
        ],
        _by_position(0),
    ),
    'grid_sampler_grid': Case(
        _build_grid,
        [
            sample(spread(1, 2, 2, 2), X, _GRID, 2, 0, 0, True),
            sample(spread(1, 1, 1, 1), X[:, :1], _GRID[:, :1, 1:], 2, 2, 2, False),
            sample(spread(1, 1, 1, 2, 1), BLOCK, _GRID3, 3, 0, 1, False),
        ],
        _by_position(1),
    ),
}

MOVED: dict[str, Case] = {
    'pixel_shuffle': Case(
        r.pixel_shuffle,
        [sample(spread(2, 4, 2, 1), 2), sample(spread_complex(4, 1, 2), 2)],
        torch.pixel_shuffle,
        refusals=[(sample(X, 2), ad.ShapeError, 'Invalid input shape')],
    ),
    'pixel_unshuffle': Case(
        r.pixel_unshuffle,
        [sample(spread(2, 1, 4, 2), 2), sample(spread_complex(1, 2, 2), 2)],
        torch.pixel_unshuffle,
    ),
    'channel_shuffle': Case(
        r.channel_shuffle,
        [sample(spread(1, 6, 2), 3), sample(spread_complex(2, 4, 1, 2), 2)],
        torch.channel_shuffle,
    ),
    'channel_shuffle/undo': Case(
        lambda x, groups: r.channel_shuffle(r.channel_shuffle(x, groups), groups, True),
        [sample(spread(1, 6, 2), 3)],
        lambda x, _: x,
    ),
}

# Torch has it from 2.12 on.
LANCZOS = [sample(X, 'lanczos_aa', (2, 5))] if hasattr(torch.ops.aten, '_upsample_lanczos2d_aa') else []

CASES = SIZES | AFFINE | GRID | MOVED
