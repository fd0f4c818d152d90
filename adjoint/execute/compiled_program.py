"""Compiled parts of a graph, and what runs between them, as one program."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.execute.compiled_check import lies_as
from adjoint.execute.compiled_division import Part
from adjoint.execute.compiled_load import Call, Layout
from adjoint.execute.executor import Program, Task, with_copies
from adjoint.execute.internals import set_records
from adjoint.execute.reference import Schedule

__all__ = ['CompiledPart', 'CompiledProgram', 'Piece', 'plain']


@dataclass(frozen=True, slots=True)
class Piece:
    """A part with its program, and why it is not compiled."""

    part: Part
    program: Program
    why: str

    @property
    def is_compiled(self) -> bool:
        """Whether it is."""
        return not self.why


@dataclass(frozen=True, slots=True)
class CompiledPart:
    """A compiled part.

    Parameters
    ----------
    call : callable
        The compiled code.
    layouts : list
        Those of the values that it takes: it looks at nothing but their memory.
    copied : tuple of int
        Results that would share memory with a value that the reference does not share theirs with.
    code : str
        The part as it was given to the compiler.
    """

    call: Call
    layouts: list[Layout]
    copied: tuple[int, ...]
    code: str

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run it, where nothing is recorded."""
        return with_copies(list(self.call([plain(x) if x.is_neg() else x for x in values])), self.copied)

    @property
    def source(self) -> str:
        """The part as it was given to the compiler."""
        return self.code.strip()

    @property
    def state(self) -> str:
        """What runs."""
        return 'compiled'


class CompiledProgram:
    """Compiled parts, and what runs between them.

    Parameters
    ----------
    task : Task
        As it was given.
    sizes : mapping of str to int
        The sizes that types name.
    made : Task
        With types.
    held : mapping of Node to torch.Tensor
        Constants that are not part of compiled code, since somebody may change them.
    pieces : list of Piece
        In their order.
    """

    def __init__(
        self,
        task: Task,
        sizes: Mapping[str, int],
        made: Task,
        held: Mapping[Node, torch.Tensor],
        pieces: Sequence[Piece],
    ) -> None:
        self._task, self._sizes = task, sizes
        self._pieces = pieces
        self._held = list(held.values())
        place = {node: i for i, node in enumerate([*made.fed, *held])}
        for piece in pieces:
            for node in piece.part.task.outputs:
                place[node] = len(place)
        self._steps = [
            (piece.program, [place[node] for node in piece.part.task.fed], _checks(piece, pieces))
            for piece in pieces
        ]
        self._returned = [place[node] for node in made.outputs]
        self._copied = made.copied
        self._dying = _dying([takes for _, takes, _ in self._steps], self._returned, len(made.fed))
        # All of it is one compiled program that takes the values as they come.
        self._whole: Program | None = None
        if len(pieces) == 1 and not held:
            (program, takes, checks), count = self._steps[0], len(made.fed)
            is_all = takes == [*range(count)] and self._returned == [*range(count, len(place))]
            self._whole = program if is_all and not checks and not made.copied else None

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run the parts; nothing is recorded for torch's autograd."""
        records = torch.is_grad_enabled()
        set_records(False)
        try:
            return self._run(values) if self._whole is None else self._whole(values)
        except Exception:  # noqa: BLE001 the reference tells what was wrong, and where
            return Schedule(self._task, self._sizes)(values)
        finally:
            set_records(records)

    @property
    def steady(self) -> bool:
        """Whether the results of every run are laid out as those of the last."""
        return all(piece.is_compiled or getattr(piece.program, 'steady', False) for piece in self._pieces)

    def _run(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        places: list[torch.Tensor | None] = [*values, *self._held]
        for (program, takes, checks), dying in zip(self._steps, self._dying, strict=True):
            given: list[torch.Tensor] = [places[i] for i in takes]  # pyright: ignore[reportAssignmentType] not dead yet
            for i, layout in checks:
                given[i] = _laid_out(given[i], layout)
            for i in dying:
                places[i] = None
            places += program(given)
        results: list[torch.Tensor] = [places[i] for i in self._returned]  # pyright: ignore[reportAssignmentType] results never die
        return with_copies(results, self._copied)

    @property
    def state(self) -> str:
        """What runs."""
        count = sum(piece.is_compiled for piece in self._pieces)
        nodes = sum(len(piece.part.nodes) for piece in self._pieces if piece.is_compiled)
        of = sum(len(piece.part.nodes) for piece in self._pieces)
        return f'compiled: {nodes} of {of} nodes, in {count} program{"s" if count != 1 else ""}'

    @property
    def source(self) -> str:
        """The parts: those compiled as they were given to the compiler, the others with the reason."""
        lines: list[str] = []
        for i, piece in enumerate(self._pieces):
            about = 'compiled' if piece.is_compiled else f'not compiled: {piece.why}'
            lines += [f'# part {i}, {len(piece.part.nodes)} nodes, {about}', piece.program.source, '']
        return '\n'.join(lines).rstrip()


def plain(value: torch.Tensor) -> torch.Tensor:
    """Return a value as it lies in memory, if it is told apart from that by a sign, in the same layout."""
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device).copy_(
        value
    )


def _checks(piece: Piece, pieces: Sequence[Piece]) -> list[tuple[int, Layout]]:
    """Return which values a compiled part takes from one that is kept, and in which layouts."""
    if not isinstance(piece.program, CompiledPart):
        return []
    kept = {node for other in pieces if not other.is_compiled for node in other.part.task.outputs}
    return [
        (i, layout)
        for i, (node, layout) in enumerate(zip(piece.part.task.fed, piece.program.layouts, strict=True))
        if node in kept
    ]


def _laid_out(value: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Return a value in a layout."""
    shape, strides, dtype, device = layout
    if value.shape != shape or value.dtype != dtype or value.device != device:
        msg = f'an op gave {value.dtype}{list(value.shape)}, and said that it gives {dtype}{list(shape)}'
        raise ShapeError(msg)
    if lies_as(value, strides):
        return value
    return torch.empty_strided(shape, strides, dtype=dtype, device=device).copy_(value)


def _dying(takes: Sequence[Sequence[int]], returned: Sequence[int], given: int) -> list[list[int]]:
    """Return, for each step, the places that nothing uses after it."""
    last: dict[int, int] = {}
    for step, used in enumerate(takes):
        last.update(dict.fromkeys(used, step))
    found: dict[int, list[int]] = defaultdict(list)
    for place, step in last.items():
        if place >= given and place not in returned:
            found[step].append(place)
    return [found[step] for step in range(len(takes))]
