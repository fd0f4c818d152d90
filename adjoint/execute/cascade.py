"""Sums of many numbers, taken in parts and yet in the order in which torch's kernel takes them.

The sum of floating-point numbers depends on the order. The kernel for all entries of a tensor gives each
thread a share, and looks at that as rows, each as long as a few vectors of the processor. Rows are added one
after the other, but only some of them: the sums of so many rows are added in the same way, and so on, which
keeps rounding errors small. So the sums of whole groups of rows can be computed on their own.

How long the rows are depends on the processor. It is not asked for but found: what gives the same bits as the
kernel is right, and if nothing does, nothing is taken in parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from adjoint.execute.shares import shares

__all__ = ['Cascade']

# A row is so many vectors.
_VECTORS = 4
# Vectors have so many bytes, whatever the processor.
_BYTES = (16, 32, 64)
# A level adds at least so many, and there are so many levels.
_RADIX, _LEVELS = 16, 4


@dataclass(frozen=True, slots=True)
class Cascade:
    """How the numbers of a share are added.

    Parameters
    ----------
    lanes : int
        The length of a row.
    radix : int
        How many rows, or sums of a level, are one sum of the next level.
    """

    lanes: int
    radix: int

    @classmethod
    def of(cls, dtype: torch.dtype, entries: int) -> 'Cascade | None':
        """Return how all entries of a tensor are added; ``None`` where that is not known."""
        lanes = _lanes(dtype, torch.get_num_threads())
        if lanes is None or not entries:
            return None
        radixes = {_radix(share // lanes) for share in shares(entries)}
        return cls(lanes, radixes.pop()) if len(radixes) == 1 else None

    @property
    def unit(self) -> int:
        """The number of entries whose sum is two levels up: parts are multiples of it, but for the last."""
        return self.lanes * self.radix**2

    def kept(self, entries: int) -> int:
        """Return how many numbers stand for a part: a row for each unit, and what is left over."""
        units, rest = divmod(entries, self.unit)
        return units * self.lanes + rest

    def part(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Compute the numbers that stand for a part."""
        x = x.reshape(-1)
        units = x.numel() // self.unit
        rows = x[: units * self.unit].view(units, self.radix**2, self.lanes)
        if self.radix == _RADIX:
            # What the kernel does with so many rows.
            sums = rows.sum(1)
        else:
            sums = _in_order(_in_order(rows.view(-1, self.radix, self.lanes)).view(units, self.radix, -1))
        out[: units * self.lanes].view(-1, self.lanes).copy_(sums)
        out[units * self.lanes :].copy_(x[units * self.unit :])
        return out

    def total(self, kept: torch.Tensor, entries: int) -> torch.Tensor:
        """Return the sum of a tensor, without axes, given the numbers that stand for its parts."""
        sizes = shares(entries)
        rooms = torch.split(kept, [self.kept(size) for size in sizes])
        sums = [self._of_share(room, size) for room, size in zip(rooms, sizes, strict=True)]
        return torch.stack(sums).sum()

    def _of_share(self, kept: torch.Tensor, entries: int) -> torch.Tensor:
        lanes = self.lanes
        head = entries // self.unit * lanes
        row = head + (len(kept) - head) // lanes * lanes
        first, zeroth = self._next(kept[head:row].view(-1, lanes))
        third, second = self._next(kept[:head].view(-1, lanes))
        zeroth, first, second, third = (_in_order(x[None])[0] for x in (zeroth, first, second, third))
        vectors = (zeroth + first + second + third).view(_VECTORS, -1)
        width = vectors.shape[1]
        vector = row + (len(kept) - row) // width * width
        rest = kept[row:vector].view(-1, width)
        sums = _one_by_one([vectors[0], *rest, *vectors[1:]])
        return _one_by_one([kept.new_zeros(()), *kept[vector:], *sums])

    def _next(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sums of the next level, and what is left over."""
        whole = len(rows) // self.radix * self.radix
        return _in_order(rows[:whole].view(-1, self.radix, self.lanes)), rows[whole:]


def _radix(rows: int) -> int:
    return 1 << max((_RADIX - 1).bit_length(), max(rows - 1, 1).bit_length() // _LEVELS)


def _in_order(rows: torch.Tensor) -> torch.Tensor:
    """Return the sums along the second axis, one row after the other."""
    # The kernel itself adds that many in their order.
    sums = rows[:, :_RADIX].sum(1)
    return _one_by_one([sums, *rows[:, _RADIX:].unbind(1)])


def _one_by_one(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the sum of tensors; the first is written over."""
    total, *others = rows
    for row in others:
        total.add_(row)
    return total


@cache
def _lanes(dtype: torch.dtype, threads: int) -> int | None:
    """Return the length of a row; ``None`` if none gives the bits of the kernel."""
    if dtype not in {torch.float32, torch.float64}:
        return None
    # Sums that are nearly zero show in every bit in which order the numbers were added.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1009, dtype=dtype, device='cpu', generator=generator)
    samples = [torch.cat([x, -x.flip(0)]).repeat(70 * threads)[shift:] for shift in (1, 7)]
    wanted = [sample.sum() for sample in samples]
    for size in _BYTES:
        lanes = _VECTORS * size // dtype.itemsize
        if all(map(torch.equal, wanted, (_summed(sample, lanes) for sample in samples))):
            return lanes
    return None


def _summed(x: torch.Tensor, lanes: int) -> torch.Tensor:
    cascade = Cascade(lanes, _RADIX)
    parts = [
        cascade.part(part, part.new_empty(cascade.kept(len(part)))) for part in torch.split(x, shares(len(x)))
    ]
    return cascade.total(torch.cat(parts), len(x))
