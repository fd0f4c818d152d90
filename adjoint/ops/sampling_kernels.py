"""Kernels of sampling at a grid that torch lacks: derivatives of any order by the coordinates."""

import math
from collections.abc import Sequence

import torch

__all__ = ['BICUBIC', 'BILINEAR', 'BORDER', 'NEAREST', 'REFLECTION', 'ZEROS', 'gathered', 'scattered']

# The numbers that torch gives the modes.
BILINEAR, NEAREST, BICUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2

# Coefficients, from that of the constant, of torch's cubic kernel at distances up to 1 and from 1 to 2.
_A = -0.75
_NEAR = (1.0, 0.0, -(_A + 3), _A + 2)
_FAR = (-4 * _A, 8 * _A, -5 * _A, _A)


def _polynomial(coefficients: Sequence[float], x: torch.Tensor, order: int) -> torch.Tensor:
    """Return a derivative of a polynomial."""
    value = torch.zeros_like(x)
    for power in range(len(coefficients) - 1, order - 1, -1):
        value = value * x + coefficients[power] * math.perm(power, order)
    return value


def _reflected(u: torch.Tensor, size: int, align: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return coordinates reflected into range, and whether each runs backwards then (-1) or not (1)."""
    low, span = (0.0, size - 1.0) if align else (-0.5, float(size))
    if not span:
        return torch.zeros_like(u), torch.zeros_like(u)
    away = u - low
    direction = torch.where(away < 0, -1.0, 1.0).to(u)
    away = away.abs()
    extra, flips = away.fmod(span), (away / span).floor()
    even = flips.fmod(2) == 0
    return torch.where(even, extra, span - extra) + low, torch.where(even, direction, -direction)


def _clipped(u: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return coordinates limited to the range, and 1 for each that was inside it, else 0."""
    return u.clamp(0, size - 1), ((u > 0) & (u < size - 1)).to(u)


def _taps(
    g: torch.Tensor, size: int, order: int, mode: int, padding: int, align: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return positions along an axis, and the derivative of their weights by the coordinate ``g``.

    The first axis of both is that of the positions.
    """
    u = (g + 1) / 2 * (size - 1) if align else ((g + 1) * size - 1) / 2
    pace = torch.full_like(u, (size - 1) / 2 if align else size / 2)
    if mode != BICUBIC:
        if padding == REFLECTION:
            u, direction = _reflected(u, size, align)
            pace = pace * direction
        if padding != ZEROS:
            u, inside = _clipped(u, size)
            pace = pace * inside
    start = u.round() if mode == NEAREST else u.floor()
    f = u - start
    if mode == NEAREST:
        weights = [torch.ones_like(u) if order == 0 else torch.zeros_like(u)]
    elif mode == BILINEAR:
        weights = [_polynomial(p, f, order) for p in ((1.0, -1.0), (0.0, 1.0))]
    else:
        start = start - 1
        sign = (-1) ** order
        weights = [_polynomial(_FAR, f + 1, order), _polynomial(_NEAR, f, order)]
        weights += [sign * _polynomial(_NEAR, 1 - f, order), sign * _polynomial(_FAR, 2 - f, order)]
    steps = torch.arange(len(weights), device=u.device).reshape(-1, *[1] * u.ndim)
    at, weight = start + steps, torch.stack(weights) * pace**order
    if mode == BICUBIC and padding == REFLECTION:
        at, _ = _reflected(at, size, align)
    if padding == ZEROS:
        weight = torch.where((at >= 0) & (at < size), weight, 0)
    # What is not a number is somewhere in range; its weight is not a number either.
    return at.nan_to_num(0).clamp(0, size - 1).long(), weight


def _places(
    shape: torch.Size, grid: torch.Tensor, orders: Sequence[int], mode: int, padding: int, align: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return positions in the flattened axes of ``shape``, and weights: ``(batch, 1, taps, points)``."""
    # The first coordinate belongs to the last axis.
    coordinates = [grid[..., k].flatten(1) for k in reversed(range(grid.shape[-1]))]
    each = zip(coordinates, shape[2:], reversed(orders), strict=True)
    (at, weight), *others = [_taps(g, size, order, mode, padding, align) for g, size, order in each]
    for (step, factor), size in zip(others, shape[3:], strict=True):
        at = (at.unsqueeze(1) * size + step).flatten(0, 1)
        weight = (weight.unsqueeze(1) * factor).flatten(0, 1)
    return at.transpose(0, 1).unsqueeze(1), weight.transpose(0, 1).unsqueeze(1)


def gathered(
    x: torch.Tensor, grid: torch.Tensor, orders: Sequence[int], mode: int, padding: int, align: bool
) -> torch.Tensor:
    """Return a derivative of the samples of ``x`` by the coordinates, ``orders`` times by each."""
    at, weight = _places(x.shape, grid, orders, mode, padding, align)
    channels, shape = x.shape[1], at.shape[2:]
    taken = x.flatten(2).gather(2, at.flatten(2).expand(-1, channels, -1))
    return (taken.reshape(*taken.shape[:2], *shape) * weight).sum(2).reshape(*x.shape[:2], *grid.shape[1:-1])


def scattered(
    c: torch.Tensor,
    grid: torch.Tensor,
    like: torch.Tensor,
    orders: Sequence[int],
    mode: int,
    padding: int,
    align: bool,
) -> torch.Tensor:
    """Return the transposed map of :func:`gathered`, which is linear in ``x``, applied to ``c``."""
    at, weight = _places(like.shape, grid, orders, mode, padding, align)
    given = (c.flatten(2).unsqueeze(2) * weight).flatten(2)
    total = c.new_zeros(like.shape).flatten(2)
    return total.scatter_add(2, at.flatten(2).expand(-1, c.shape[1], -1), given).reshape(like.shape)
