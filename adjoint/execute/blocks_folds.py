"""Sums and the like of a value that is computed in blocks: of each block a part, and of the parts the whole.

The whole has the bits that the kernel gives for the value, so only those are taken in parts whose order does
not matter, and sums in the order of the kernel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from adjoint.execute.cascade import Cascade
from adjoint.execute.facts import Fact
from adjoint.execute.steps import Step
from adjoint.ops.linear import SumToLike
from adjoint.ops.reduction import All_, Any_, Mean, Sum

__all__ = ['Fold', 'fold_of']


class Fold(Protocol):
    """How one number is computed of a value in blocks."""

    @property
    def unit(self) -> int:
        """Blocks are a multiple of so many entries, but for the last of a thread's share."""
        ...

    def kept(self, entries: int) -> int:
        """Return how many numbers stand for a block."""
        ...

    def part(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Compute the numbers that stand for a block."""
        ...

    def total(self, kept: torch.Tensor, entries: int) -> torch.Tensor:
        """Return the result, without axes, given the numbers that stand for the blocks of so many entries."""
        ...


@dataclass(frozen=True, slots=True)
class _Mean:
    """The sum, divided by a number."""

    sums: Cascade
    divisor: int

    @property
    def unit(self) -> int:
        return self.sums.unit

    def kept(self, entries: int) -> int:
        return self.sums.kept(entries)

    def part(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return self.sums.part(x, out)

    def total(self, kept: torch.Tensor, entries: int) -> torch.Tensor:
        return self.sums.total(kept, entries) / self.divisor


@dataclass(frozen=True, slots=True)
class _InAnyOrder:
    """What a kernel gives of all entries, which is also what it gives of its results for parts of them."""

    kernel: Callable[[torch.Tensor], torch.Tensor]

    @property
    def unit(self) -> int:
        return 1

    def kept(self, entries: int) -> int:
        return 1

    def part(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return out.copy_(self.kernel(x))

    def total(self, kept: torch.Tensor, entries: int) -> torch.Tensor:
        return self.kernel(kept)


def fold_of(step: Step, x: Fact, own: Fact) -> Fold | None:
    """Return how the value of a step is computed of the parts of its operand.

    Parameters
    ----------
    step : Step
        What is computed.
    x, own : Fact
        The layouts of its operand, whose entries lie one after the other, and of its value.

    Returns
    -------
    Fold or None
        ``None`` where it is computed of the whole.
    """
    op = step.node.op
    attrs = step.node.attrs
    if own.entries != 1 or not step.is_alone or attrs.get('dim') == ():
        return None
    if isinstance(op, (Any_, All_)):
        return _InAnyOrder(torch.any if isinstance(op, Any_) else torch.all)
    if not isinstance(op, (Sum, Mean, SumToLike)):
        return None
    if isinstance(op, Sum) and not (x.dtype.is_floating_point or x.dtype.is_complex):
        return _InAnyOrder(torch.sum)
    cascade = Cascade.of(x.dtype, x.entries) if own.dtype is x.dtype else None
    if cascade is None or not isinstance(op, Mean):
        return cascade
    return _Mean(cascade, max(x.entries - attrs.get('correction', 0), 0))
