"""Comparing tensors entry by entry, and reading the pattern of a difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ['Difference', 'difference', 'exactly', 'inner']


@dataclass(frozen=True, slots=True)
class Difference:
    """How two tensors differ.

    Parameters
    ----------
    ok : bool
        Whether they agree within the tolerance.
    error : float
        The largest difference, relative to the largest entry expected or 1.
    entry : tuple of int, or None
        Where it is.
    expected, got : str
        What stands there, or the types where these differ.
    hint : str
        What the pattern suggests.
    """

    ok: bool
    error: float
    entry: tuple[int, ...] | None = None
    expected: str = ''
    got: str = ''
    hint: str = ''


def difference(expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> Difference:
    """Compare two tensors: shape, dtype, and every entry; infinities and nan have to match."""
    if expected.shape != got.shape or expected.dtype != got.dtype:
        hint = ''
        if expected.ndim < got.ndim or expected.numel() < got.numel():
            hint = 'the cotangent is not summed over broadcast axes: use sum_to_like(g, x)'
        return Difference(False, float('inf'), None, _typed(expected), _typed(got), hint)
    if expected.numel() == 0:
        return Difference(True, 0.0)
    e, g = _wide(expected), _wide(got)
    matching = (e == g) | (e.isnan() & g.isnan())
    finite = e.isfinite() & g.isfinite()
    gap = torch.where(matching, 0.0, torch.where(finite, (e - g).abs(), torch.inf))
    scale = max(1.0, float(torch.where(e.isfinite(), e.abs(), 0.0).max()))
    place = int(gap.argmax())
    error = float(gap.reshape(-1)[place]) / scale
    entry = tuple(int(i) for i in torch.unravel_index(torch.tensor(place), e.shape))
    ok = error <= tolerance
    shown = f'{e[entry].item():.17g}' if not e.is_complex() else str(e[entry].item())
    found = f'{g[entry].item():.17g}' if not g.is_complex() else str(g[entry].item())
    return Difference(ok, error, entry, shown, found, '' if ok else _pattern(e, g, tolerance * scale))


def exactly(expected: torch.Tensor, got: torch.Tensor) -> Difference:
    """Compare with no tolerance; the signs of zeros do not count."""
    return difference(expected, got, 0.0)


def inner(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """Return the real inner product of two tensors, and the sum of the sizes of its terms."""
    products = (_wide(a).conj() * _wide(b)).real
    return float(products.sum()), float(products.abs().sum())


def _wide(value: torch.Tensor) -> torch.Tensor:
    value = value.detach().resolve_conj()
    return value.to(torch.complex128 if value.is_complex() else torch.float64)


def _typed(value: torch.Tensor) -> str:
    return f'{str(value.dtype).removeprefix("torch.")}{list(value.shape)}'


def _pattern(expected: torch.Tensor, got: torch.Tensor, allowed: float) -> str:
    """Recognise the usual mistakes."""
    suspects: Sequence[tuple[str, torch.Tensor]] = (
        ('the sign is flipped', -expected),
        ('it is twice as large', 2 * expected),
        ('it is half as large', expected / 2),
        ('a conjugate is missing', expected.conj()),
        ('it is zero: a cotangent was dropped', torch.zeros_like(expected)),
    )
    for hint, suspect in suspects:
        if bool(((suspect - got).abs() <= allowed + 1e-9 * suspect.abs()).all()):
            return hint
    square = expected.ndim > 1 and expected.shape[-1] == expected.shape[-2]
    if square and bool(((expected.mT - got).abs() <= allowed).all()):
        return 'it is transposed'
    finite = expected.abs() > allowed
    if bool(finite.any()):
        ratios = (got / torch.where(finite, expected, 1.0))[finite]
        spread = float((ratios - ratios.mean()).abs().max())
        if spread <= 1e-9 * float(ratios.abs().max()):
            return f'every entry is {complex(ratios.mean()).real:.12g} times what is expected'
    return ''
