"""Elementwise steps on large tensors, taken block by block, so that what is between stays in the cache.

Each kernel of a chain reads all of its operand and writes all of its value; where they are larger than the
cache, that is what it costs. A block of some hundred thousand entries goes through the whole chain instead,
and only what is needed outside is ever written as a whole. The entries are the same, bit by bit.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from threading import Thread

import torch
from threadpoolctl import ThreadpoolController
from torch._subclasses.fake_tensor import FakeTensor

from adjoint.execute.blocks_folds import Fold
from adjoint.execute.cost import Cost
from adjoint.execute.cost_meter import Seen
from adjoint.execute.facts import Fact
from adjoint.execute.program import PlannedProgram
from adjoint.execute.shares import shares, takers

__all__ = ['Blocking', 'Blocks', 'Cut']

# Kernels take so many entries at a time, at most; what is left over at the end of a share is computed by
# other code, which may round otherwise.
_STRIDE = 128


@dataclass(frozen=True, slots=True)
class Blocking:
    """Which values are computed in blocks.

    Parameters
    ----------
    least : int
        In bytes; smaller ones stay in the largest cache, and threads would cost more than they give. Of
        values smaller than twice as much that holds for short chains too.
    block : int
        How many bytes of a value are computed at once; with less, threads wait for one another.
    """

    least: int = 1 << 24
    block: int = 1 << 19


@dataclass(frozen=True, slots=True)
class Cut:
    """How the tensors of a shape are cut into blocks.

    Parameters
    ----------
    shape : tuple of int
        Of the tensors, whose entries lie one after the other.
    size : int
        How many entries a block has, or rows.
    is_flat : bool
        Whether they are cut without regard to their axes; else along the first.
    """

    shape: tuple[int, ...]
    size: int
    is_flat: bool

    @classmethod
    def of(cls, shape: tuple[int, ...], entries: int, unit: int = 1, *, is_flat: bool) -> 'Cut | None':
        """Return the cut into blocks of about so many entries, a multiple of ``unit``.

        ``None`` where the entries at the end of a block would not be those that kernels leave over, or where
        a row or a unit is more than a block.
        """
        whole = math.lcm(_STRIDE, unit)
        if unit > max(entries, 1):
            return None
        if is_flat:
            return cls(shape, max(entries // whole, 1) * whole, is_flat=True)
        row = torch.Size(shape[1:]).numel()
        if not 0 < row <= entries or shape[0] % takers(row * shape[0]):
            return None
        # Ops without an operand that broadcasts go through the rows as if they were one.
        rows = whole // math.gcd(whole, row)
        return cls(shape, max(entries // row // rows, 1) * rows, is_flat=False)

    @property
    def block(self) -> tuple[int, ...]:
        """The shape of a block; the last one may be smaller."""
        return (self.size,) if self.is_flat else (self.size, *self.shape[1:])

    @property
    def length(self) -> int:
        """The number of entries, or rows."""
        return torch.Size(self.shape).numel() if self.is_flat else self.shape[0]

    @property
    def row(self) -> int:
        """The number of entries of what is counted."""
        return 1 if self.is_flat else torch.Size(self.shape[1:]).numel()

    @property
    def sizes(self) -> list[int]:
        """The lengths of the blocks: of each thread's share, so that they end where kernels end too."""
        return [
            min(self.size, length - start)
            for length in shares(self.length, self.row)
            for start in range(0, length, self.size)
        ]

    def applies(self, shape: tuple[int, ...]) -> bool:
        """Whether an operand is cut too; else a block takes all of it."""
        return len(shape) == len(self.shape) and (shape == self.shape or shape[0] == self.shape[0] != 1)

    def beside(self, x: torch.Tensor) -> torch.Tensor:
        """Return an operand that is not cut with no more axes than a block has."""
        return x.view(1) if self.is_flat and x.ndim else x

    def parts(self, x: torch.Tensor, sizes: list[int]) -> tuple[torch.Tensor, ...]:
        """Return the blocks of a tensor."""
        return torch.split(x.view(-1) if self.is_flat else x, sizes)


class Blocks:
    """The call that computes some values block by block.

    Parameters
    ----------
    program : PlannedProgram
        Computes a block: of the operands, of the memory for the results, and of memory that it may write to.
    cut : Cut
        Into blocks.
    operands, values : sequence of Fact
        The layouts.
    folds : sequence of (Fold, Fact)
        Of further results, which are numbers: how they are computed of the blocks, and their layouts.
    scratch : sequence of Fact
        The layouts of the memory that a block may write to.
    """

    def __init__(
        self,
        program: PlannedProgram,
        cut: Cut,
        operands: Sequence[Fact],
        values: Sequence[Fact],
        folds: Sequence[tuple[Fold, Fact]] = (),
        scratch: Sequence[Fact] = (),
    ) -> None:
        self.__name__ = 'blocks'
        self.program = program
        self.cut = cut
        self._is_cut = [cut.applies(fact.shape) for fact in operands]
        self._values = list(values)
        self._folds = list(folds)
        self._scratch = list(scratch)

    def __call__(
        self, *operands: torch.Tensor, out: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the value, or a tuple of several."""
        new = (torch.empty(fact.shape, dtype=fact.dtype) for fact in self._values)
        rooms = list(new) if out is None else [out]
        sizes = self.cut.sizes
        kept, parts_kept = self._rooms_of_folds(sizes)
        columns = [
            self.cut.parts(x, sizes) if is_cut else repeat(self.cut.beside(x))
            for x, is_cut in zip((*operands, *rooms), (*self._is_cut, *(True for _ in rooms)), strict=True)
        ]
        parts = list(zip(*columns, *parts_kept, strict=False))
        if isinstance((*rooms, *kept)[0], FakeTensor):
            # What one block takes is what all take, one after the other.
            self.program((*parts[0], *self._new_scratch()))
            totals = [torch.empty(fact.shape, dtype=fact.dtype) for _, fact in self._folds]
        else:
            self._run(parts, sizes)
            entries = self.cut.length * self.cut.row
            pairs = zip(self._folds, kept, strict=True)
            totals = [fold.total(numbers, entries).view(fact.shape) for (fold, fact), numbers in pairs]
        results = [*rooms, *totals]
        return results[0] if len(results) == 1 else tuple(results)

    def _rooms_of_folds(
        self, sizes: Sequence[int]
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, ...]]]:
        """Return memory for what is kept of the blocks, and how it is divided among them."""
        kept: list[torch.Tensor] = []
        parts: list[tuple[torch.Tensor, ...]] = []
        for fold, fact in self._folds:
            lengths = [fold.kept(size * self.cut.row) for size in sizes]
            kept.append(torch.empty(sum(lengths), dtype=fact.dtype))
            parts.append(torch.split(kept[-1], lengths))
        return kept, parts

    def _new_scratch(self) -> list[torch.Tensor]:
        """Return memory that a thread writes to in all of its blocks: new memory would cost it more."""
        return [torch.empty(fact.shape, dtype=fact.dtype) for fact in self._scratch]

    def _run(self, parts: Sequence[Sequence[torch.Tensor]], sizes: Sequence[int]) -> None:
        """Compute the blocks in as many threads as torch uses, each block by one of them."""
        todo = zip(parts, sizes, strict=True)
        workers = min(torch.get_num_threads(), len(parts))
        is_inference = torch.is_inference_mode_enabled()

        def work() -> None:
            # The limit is one of this thread, which a thread takes over from torch when it first asks.
            torch.get_num_threads()
            with _controller().limit(limits=1, user_api='openmp'), torch.inference_mode(is_inference):
                scratch = self._new_scratch()
                for part, size in todo:
                    rooms = scratch if size == self.cut.size else [x[:size] for x in scratch]
                    self.program((*part, *rooms))

        failures: list[BaseException] = []

        def beside() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 raised below
                failures.append(error)

        threads = [Thread(target=beside, name='adjoint-blocks') for _ in range(workers - 1)]
        for thread in threads:
            thread.start()
        try:
            work()
        finally:
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]

    def of_all(self, one: Seen) -> Seen:
        """Return what a run takes, given what one shows with tensors without data, which takes one block."""
        blocks = self.cut.sizes
        rooms, _ = self._rooms_of_folds(blocks)
        cost, made = one.cost, sum(one.fresh) + sum(x.nbytes for x in rooms)
        workers, parts = min(torch.get_num_threads(), len(blocks)), self.cut.length / blocks[0]
        return one._replace(
            peak=made + workers * (one.peak - made),
            cost=Cost(round(cost.flops * parts), round(cost.bytes * parts), cost.calls * len(blocks)),
        )

    @property
    def source(self) -> Iterator[str]:
        """The program of a block, line by line."""
        head, *statements = self.program.statements
        yield f'# {head.replace(" = values", "")} in {len(self.cut.sizes)} blocks of {list(self.cut.block)}'
        yield from statements


@cache
def _controller() -> ThreadpoolController:
    """The libraries of threads that torch has loaded."""
    return ThreadpoolController()
