"""Whether compiled code gives what the reference gives."""

from collections.abc import Sequence

import torch

from adjoint.execute.internals import memory_of

__all__ = ['difference', 'lies_as', 'shared_too_much']

# How far a compiled program may be from the reference, relative to the largest entry of each result, for it
# to be used: its own rounding and that of orders of sums, and no more than that is told apart from a defect.
_TOLERANCES = {torch.float64: 1e-9, torch.float32: 2e-3, torch.float16: 3e-2, torch.bfloat16: 2e-1}


def difference(found: torch.Tensor, wanted: torch.Tensor) -> str:
    """Return in what a result is not what it should be, but for rounding; nothing if it is."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype or found.device != wanted.device:
        return f'{found.dtype}{list(found.shape)} instead of {wanted.dtype}{list(wanted.shape)}'
    if not lies_as(found, wanted.stride()):
        return f'strides {found.stride()} instead of {wanted.stride()}'
    if not wanted.is_floating_point():
        return '' if torch.equal(found, wanted) else 'other values'
    tolerance = _TOLERANCES.get(wanted.dtype, 0.5)
    a, b = found.double(), wanted.double()
    is_number = b.isfinite()
    if not torch.equal(a[~is_number].nan_to_num(nan=7.0), b[~is_number].nan_to_num(nan=7.0)):
        return 'infinities or nans elsewhere'
    a, b = a[is_number], b[is_number]
    if b.numel() == 0:
        return ''
    off, size = float((a - b).abs().amax()), float(b.abs().amax())
    return (
        '' if off <= tolerance * max(size, 1e-3) else f'off by {off:.1e}, and the largest entry is {size:.1e}'
    )


def lies_as(value: torch.Tensor, strides: Sequence[int]) -> bool:
    """Whether a tensor lies as one with these strides: those of axes of one entry do not count."""
    return value.numel() == 0 or all(
        own == other or size == 1
        for size, own, other in zip(value.shape, value.stride(), strides, strict=True)
    )


def shared_too_much(
    inputs: Sequence[torch.Tensor], found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
) -> tuple[int, ...]:
    """Return the results that share memory with what comes before, where those of the reference do not."""
    copied: list[int] = []
    for i, value in enumerate(found):
        for own, theirs in zip([*inputs, *found[:i]], [*inputs, *wanted[:i]], strict=True):
            if memory_of(own) == memory_of(value) and memory_of(theirs) != memory_of(wanted[i]):
                copied.append(i)
                break
    return tuple(copied)
