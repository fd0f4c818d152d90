"""What computing a value costs, and how long that should take."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import torch

__all__ = ['NOMINAL', 'Cost', 'Rates', 'measured_rates']


class Cost(NamedTuple):
    """What one step of a program costs.

    Parameters
    ----------
    flops : int
        Floating-point operations; a multiplication and an addition are two.
    bytes : int
        Read from memory and written to it, each kernel by itself.
    calls : int
        Kernels.
    """

    flops: int = 0
    bytes: int = 0
    calls: int = 0

    def plus(self, other: 'Cost') -> 'Cost':
        """Return the cost of both."""
        return Cost(self.flops + other.flops, self.bytes + other.bytes, self.calls + other.calls)


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second: the roofline.

    Parameters
    ----------
    flops : float
        Floating-point operations a second, of a large product of matrices.
    bytes : float
        Bytes a second, read or written, of a large sum.
    call : float
        Seconds that a kernel takes that has nothing to do.

    Examples
    --------
    >>> rates = Rates(flops=1e11, bytes=1e10, call=1e-6)
    >>> round(rates.seconds(Cost(flops=10**9, bytes=10**6, calls=1)), 6)
    0.010001
    """

    flops: float
    bytes: float
    call: float

    def seconds(self, cost: Cost) -> float:
        """Return how long a step should take: what binds it, arithmetic or memory, and its calls."""
        return max(cost.flops / self.flops, cost.bytes / self.bytes) + cost.calls * self.call


# Of a processor with a few cores. Choices are made by these, so that they do not depend on what else the
# machine does at the moment; what is compared with a clock takes measured ones.
NOMINAL = Rates(flops=1e11, bytes=2e10, call=2e-6)

_SIDE = 1024
_ENTRIES = 1 << 23
_ROUNDS = 5


def measured_rates(device: torch.device | str = 'cpu') -> Rates:
    """Measure the rates of a device, in float32 with the present number of threads: about a second.

    Parameters
    ----------
    device : torch.device or str
        What is measured.

    Examples
    --------
    >>> import adjoint as ad
    >>> rates = ad.measured_rates()
    >>> rates.flops > 0 and rates.bytes > 0
    True
    """
    a = torch.ones(_SIDE, _SIDE, device=device)
    x, y = torch.ones(_ENTRIES, device=device), torch.ones(_ENTRIES, device=device)
    small = torch.ones(1, device=device)
    product = _fastest(lambda: torch.mm(a, a, out=torch.empty_like(a)), device)
    stream = _fastest(lambda: torch.add(x, x, out=y), device)
    call = min(_fastest(lambda: [torch.add(small, small) for _ in range(100)], device) / 100, product)
    return Rates(2 * _SIDE**3 / product, 3 * x.nbytes / stream, call)


def _fastest(run: object, device: torch.device | str) -> float:
    assert callable(run)  # noqa: S101 for the type checker
    best = float('inf')
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        if torch.device(device).type == 'cuda':
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
