"""Difference quotients: the stencils, their orders, their steps and what is known of their error.

Nothing here knows about tensors of parameters: a function of one or several steps comes in, its
derivative at zero steps goes out.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import torch

__all__ = [
    'COMPLEX_STEP',
    'METHODS',
    'Method',
    'Quotient',
    'Steps',
    'check_method',
    'default_step',
    'difference',
    'estimate',
    'order_of',
]

Method: TypeAlias = Literal['forward', 'central', 'five-point', 'richardson', 'complex']
METHODS: tuple[Method, ...] = get_args(Method)

# At magnitude 1. There is no difference in it that would round, so that it may be as small as it likes.
COMPLEX_STEP = 1e-20

# The value of the function when it has moved by these steps, as float64 or complex128.
Steps: TypeAlias = Callable[[tuple[float, ...]], torch.Tensor]

_LEVELS = 4  # of the extrapolation table: steps h, h/2, h/4, h/8


@dataclass(frozen=True, slots=True)
class _Stencil:
    """The derivative is the sum of ``weights[k] * phi(k * h) / h``, up to O(h ** order)."""

    order: int
    weights: Mapping[int, float]


_STENCILS: Mapping[str, _Stencil] = MappingProxyType({
    'forward': _Stencil(1, {0: -1.0, 1: 1.0}),
    'central': _Stencil(2, {-1: -1 / 2, 1: 1 / 2}),
    'five-point': _Stencil(4, {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quotient:
    """A difference quotient, with what its rounding error is proportional to.

    Parameters
    ----------
    value : torch.Tensor
        The derivative.
    error : torch.Tensor or None
        An estimate of the truncation error, where there is one.
    magnitude : torch.Tensor
        Sum of the absolute values of all terms: times the unit roundoff, the rounding error.
    """

    value: torch.Tensor
    error: torch.Tensor | None
    magnitude: torch.Tensor


def check_method(method: str) -> None:
    """Refuse a method that does not exist.

    Raises
    ------
    ValueError
        With the names of those that do.
    """
    if method not in METHODS:
        msg = f'there is no numeric method {method!r}: choose one of {", ".join(METHODS)}'
        raise ValueError(msg)


def order_of(method: Method) -> int:
    """The power of the step that the truncation error is proportional to."""
    if method == 'richardson':
        return 2 * _LEVELS
    if method == 'complex':
        return 2
    return _STENCILS[method].order


def default_step(method: Method, eps: float, count: int = 1) -> float:
    """The step at magnitude 1 that balances truncation and rounding.

    Parameters
    ----------
    method : str
        The method.
    eps : float
        The machine epsilon of the coarser of parameter and value.
    count : int
        How many derivatives are taken at once.

    Returns
    -------
    float
        ``eps ** (1 / (order + count))``: the minimum of h**order + eps / h**count, up to constants.
    """
    return eps ** (1 / (order_of(method) + count))


def difference(phi: Steps, steps: Sequence[float], method: Method) -> Quotient:
    """The mixed derivative of ``phi``, once in each of its steps, at zero.

    Parameters
    ----------
    phi : callable
        From a tuple of steps to a tensor.
    steps : sequence of float
        One step for each derivative; of Richardson's table the largest.
    method : str
        Any but ``'complex'``, which needs a function of complex steps.
    """
    if method == 'richardson':
        return _extrapolated(phi, steps)
    return _stencil_sum(phi, steps, _STENCILS[method].weights)


def estimate(phi: Steps, steps: Sequence[float], method: Method) -> Quotient:
    """The derivative as :func:`difference` gives it, with an estimate of its truncation error.

    A stencil of order p is evaluated with doubled steps too: the two values differ by 2**p - 1 times
    the error of the better one, up to higher orders. Richardson's table has its estimate already.
    """
    fine = difference(phi, steps, method)
    if fine.error is not None:
        return fine
    coarse = difference(phi, [2 * h for h in steps], method)
    error = (coarse.value - fine.value).abs() / (2 ** order_of(method) - 1)
    return Quotient(fine.value, error, fine.magnitude)


def _stencil_sum(phi: Steps, steps: Sequence[float], weights: Mapping[int, float]) -> Quotient:
    """The product of one stencil for each step, applied to ``phi``."""
    terms: list[torch.Tensor] = []
    for chosen in itertools.product(weights.items(), repeat=len(steps)):
        at = tuple(k * h for (k, _), h in zip(chosen, steps, strict=True))
        terms.append(math.prod(w for _, w in chosen) * phi(at))
    stacked = torch.stack(terms)
    scale = math.prod(steps)
    return Quotient(stacked.sum(0) / scale, None, stacked.abs().sum(0) / abs(scale))


def _extrapolated(phi: Steps, steps: Sequence[float]) -> Quotient:
    """Richardson's table: the error of a central difference is a series in h², removed term by term."""
    row: list[torch.Tensor] = []
    magnitude = torch.zeros(())
    for level in range(_LEVELS):
        shrunk = [h / 2**level for h in steps]
        quotient = _stencil_sum(phi, shrunk, _STENCILS['central'].weights)
        following = [quotient.value]
        for k, above in enumerate(row, 1):
            following.append(following[-1] + (following[-1] - above) / (4**k - 1))
        row, magnitude = following, quotient.magnitude
    return Quotient(row[-1], (row[-1] - row[-2]).abs(), magnitude)
