"""Whole powers of complex numbers as products, for the complex step.

torch takes a complex power by the angle of the number. That of a negative number is pi, rounded: ``(-1)**4``
has an imaginary part of -5e-16 there, beside which the 1e-20 of a complex step is nothing. A product keeps
the digits of each part.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ['WholePowers']

_POWERS: frozenset[Callable[..., Any]] = frozenset(
    (torch.pow, torch.float_power, torch.Tensor.pow, torch.Tensor.float_power, torch.Tensor.__pow__)
)


class WholePowers(TorchFunctionMode):
    """Within its block, a complex tensor to the power of one whole number is a product."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in _POWERS and not options and isinstance(args[0], torch.Tensor) and args[0].is_complex():
            exponent = _whole(args[1])
            if exponent is not None:
                return _product(args[0], exponent)
        return func(*args, **options)


def _whole(exponent: Any) -> int | None:
    """Return an exponent as an int; ``None`` where it is another number, or several."""
    if isinstance(exponent, torch.Tensor):
        if exponent.ndim or exponent.is_complex():
            return None
        exponent = exponent.item()
    is_whole = isinstance(exponent, int) or (isinstance(exponent, float) and exponent.is_integer())
    return int(exponent) if is_whole else None


def _product(base: torch.Tensor, exponent: int) -> torch.Tensor:
    """Return a power by squaring."""
    found, square = torch.ones_like(base), base
    left = abs(exponent)
    while left:
        found = found * square if left % 2 else found
        square, left = square * square, left // 2
    return found if exponent >= 0 else 1 / found
