"""Two tensors that should be equal: by how much they differ, where, and what the difference looks like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ['Comparison', 'compare', 'largest', 'recognised', 'shown']

# A pattern is recognised where it explains all but this part of the difference.
_EXPLAINED = 1e-2


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two tensors differ.

    Parameters
    ----------
    ok : bool
        Whether the error is within the tolerance, and nan and infinities are at the same places.
    error : float or None
        The largest difference over the largest entry; ``None`` where the shapes differ.
    difference : float or None
        The largest difference.
    entry : tuple of int or None
        Where it is.
    expected, got : str
        What stands there.
    """

    ok: bool
    error: float | None = None
    difference: float | None = None
    entry: tuple[int, ...] | None = None
    expected: str = ''
    got: str = ''


def compare(got: torch.Tensor, expected: torch.Tensor, tolerance: float, floor: float = 0.0) -> Comparison:
    """Compare two tensors entry by entry.

    Parameters
    ----------
    got, expected : torch.Tensor
        Of any shapes; unequal ones are not equal.
    tolerance : float
        What the largest difference may be, relative to the largest finite entry of ``expected``.
    floor : float
        The size that entries are taken to have at least: below it there is rounding only.
    """
    if got.shape != expected.shape:
        return Comparison(False, expected=f'shape {tuple(expected.shape)}', got=f'shape {tuple(got.shape)}')
    if not got.numel():
        return Comparison(True, 0.0, 0.0)
    dtype = torch.promote_types(torch.promote_types(got.dtype, expected.dtype), torch.float64)
    a, b = got.to('cpu', dtype), expected.to('cpu', dtype)
    # Equal infinities have no difference, and what is nan on one side only is infinitely wrong.
    alike = (a == b) | (_is_nan(a) & _is_nan(b))
    gaps = torch.where(alike, 0.0, (a - b).abs().nan_to_num(math.inf, math.inf))
    worst = int(gaps.argmax())
    gap = gaps.reshape(-1)[worst].item()
    size = max(largest(b), floor) or 1.0
    entry = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), got.shape))
    return Comparison(
        gap <= tolerance * size,
        gap / size,
        gap,
        entry,
        shown(expected.reshape(-1)[worst]),
        shown(got.reshape(-1)[worst]),
    )


def largest(value: torch.Tensor) -> float:
    """Return the largest absolute value among the finite entries, or 0."""
    finite = value[value.isfinite()].abs()
    return float(finite.max().item()) if finite.numel() else 0.0


def shown(entry: torch.Tensor) -> str:
    """Return an entry with all its digits."""
    return repr(entry.item())


def recognised(got: torch.Tensor, expected: torch.Tensor) -> str:
    """Say what a wrong derivative looks like, where its pattern is a common mistake.

    Examples
    --------
    >>> recognised(torch.tensor([-1.0, 2.0]), torch.tensor([1.0, -2.0]))
    'the sign is flipped'
    """
    if got.shape != expected.shape:
        return _recognised_shape(got, expected)
    size = largest(expected)
    if not expected.numel() or not bool((got - expected).isfinite().all()):
        return ''
    if not got.any():
        return 'it is zero: a cotangent is dropped, or the rule says that nothing flows'
    if not size:
        return 'nothing should flow here'
    gap = largest(got - expected)
    patterns = {
        'the sign is flipped': -expected,
        'it is the complex conjugate: a conj is missing, or one too many': expected.conj(),
        'it is transposed': _transposed(expected),
    }
    for hint, pattern in patterns.items():
        if pattern is not None and largest(got - pattern) <= _EXPLAINED * gap:
            return hint
    return _factor(got, expected, gap) or _some_entries(got, expected)


def _recognised_shape(got: torch.Tensor, expected: torch.Tensor) -> str:
    if got.ndim > 1 and got.mT.shape == expected.shape:
        return 'it is transposed'
    if _is_broadcast(expected.shape, got.shape):
        return (
            'it is not summed over the axes along which the input was broadcast: '
            'return sum_to_like(ct, x) in the place of ct'
        )
    return ''


def _is_broadcast(small: Sequence[int], large: Sequence[int]) -> bool:
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(s in {1, b} for s, b in pairs)


def _transposed(expected: torch.Tensor) -> torch.Tensor | None:
    square = expected.ndim > 1 and expected.shape[-1] == expected.shape[-2]
    return expected.mT if square else None


def _factor(got: torch.Tensor, expected: torch.Tensor, gap: float) -> str:
    """Recognise a multiple of what is expected."""
    wide = torch.promote_types(torch.promote_types(got.dtype, expected.dtype), torch.float64)
    a, b = got.to(wide).reshape(-1), expected.to(wide).reshape(-1)
    factor = ((b.conj() * a).sum() / (b.conj() * b).sum()).item()
    if largest(a - factor * b) > _EXPLAINED * gap or (b.numel() == 1 and not _is_simple(factor)):
        return ''
    return f'everything is {factor:.9g} times what it should be'


def _is_simple(factor: complex) -> bool:
    """Whether a factor is a small integer or its reciprocal: any number is a multiple of another."""
    candidates = [abs(factor), 1 / abs(factor)]
    return any(round(c) in range(2, 11) and math.isclose(c, round(c), rel_tol=1e-6) for c in candidates)


def _some_entries(got: torch.Tensor, expected: torch.Tensor) -> str:
    wrong = (got - expected).abs() > _EXPLAINED * (got - expected).abs().max()
    count = int(wrong.sum())
    return f'{count} of {got.numel()} entries are wrong' if count < got.numel() else ''


def _is_nan(value: torch.Tensor) -> torch.Tensor:
    return value.isnan()
