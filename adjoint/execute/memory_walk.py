"""A program walked line by line without data: what each line takes, and what is alive."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from adjoint.core.node import Node
from adjoint.execute.blocks import Blocks
from adjoint.execute.cost_meter import Look, Prober, Seen, frozen
from adjoint.execute.executor import Task
from adjoint.execute.facts import Fact, layout_of
from adjoint.execute.memory import Alive, Memory, Moment
from adjoint.execute.memory_facts import Foreseen, assumed, of_loop
from adjoint.execute.reuse import Line
from adjoint.execute.steps import Step, Steps

__all__ = ['seen_of', 'walked']


def seen_of(step: Step, text: str, looks: Sequence[Look | None], prober: Prober) -> Seen | None:
    """Run an expression of a step without data.

    Parameters
    ----------
    step : Step
        What is computed.
    text : str
        The expression.
    looks : sequence of Look or None
        Of its operands, and of what it is written into; ``None`` for one that it does not name.
    prober : Prober
        Runs it.

    Returns
    -------
    Seen or None
        ``None`` where that takes data.
    """
    bound = dict(step.written.bound)
    names = [f'x{i}' for i in range(len(looks))]
    written = text.format(*names, **{key: key for key in bound}, out=names[-1] if names else '')

    def run(values: Sequence[Any]) -> Any:
        return eval(written, dict(bound), dict(zip(names, values, strict=True)))  # noqa: S307 a line of a program

    try:
        is_written = step.written.is_known
        loop = None if is_written else of_loop(step.node, looks, prober)
        seen = loop or prober.seen((written, frozen(bound)), run, looks)
        blocks = bound.get('blocks')
        return blocks.of_all(seen) if isinstance(blocks, Blocks) else seen
    except Exception:  # noqa: BLE001 an op of a user does anything; its failure is one of the run
        return None


class _Storage:
    """Memory that a run takes: by how many names it is known, and between which lines it is taken."""

    __slots__ = ('born', 'bytes', 'died', 'names', 'owner')

    def __init__(self, owner: Node, size: int, born: int) -> None:
        self.owner = owner
        self.bytes = size
        self.names = 0
        self.born = born
        self.died: int | None = None


def walked(
    task: Task,
    plan: Steps,
    lines: Sequence[Line],
    known: Foreseen,
    prober: Prober,
    again: Collection[Node] = (),
) -> Memory:
    """Return the memory of a program.

    Parameters
    ----------
    task : Task
        With types.
    plan, lines
        The program.
    known : Foreseen
        The layouts of its values.
    prober : Prober
        Runs its lines.
    again : collection of Node
        The nodes that are computed a second time.
    """
    walk = _Walk(task, plan, known.looks, prober)
    for line in lines:
        walk.go(line, again)
    walk.copy([plan.outputs[i] for i in task.copied])
    given = [*task.fed, *plan.held]
    return Memory(
        peak_bytes=walk.peak,
        given_bytes=sum(known.facts.layouts[x].bytes for x in given if x in known.facts.layouts),
        result_bytes=walk.live,
        alive_at_peak=tuple(walk.alive()),
        steps=tuple(walk.moments),
        assumed=tuple(walk.assumed),
    )


class _Walk:
    def __init__(self, task: Task, plan: Steps, looks: Mapping[Node, Look], prober: Prober) -> None:
        self._prober = prober
        self._looks: dict[Node, Look] = dict(looks)
        for node, value in plan.held.items():
            self._looks[node] = layout_of(value)  # pyright: ignore[reportArgumentType] a tensor
        # By the name of a value, the memory that its entries lie in: None where that is no memory of the run.
        self._memory: dict[Node, list[_Storage | None]] = {}
        self._storages: list[_Storage] = []
        self._top: tuple[int, int] = (0, 0)  # the line of the peak, and what it takes beside values
        self.live = 0
        self.peak = 0
        self.moments: list[Moment] = []
        self.assumed: list[Node] = []

    def go(self, line: Line, again: Collection[Node]) -> None:
        """Take one line of the program."""
        node = line.step.node
        operands = [x if x in line.step.uses else None for x in line.step.operands]
        if line.target is not None:
            operands.append(line.target)
        seen = self._seen(line, operands)
        now = len(self.moments)
        fresh = [_Storage(node, size, now) for size in seen.fresh]
        self._storages += fresh
        top = self.live + seen.peak
        if top > self.peak:
            self.peak = top
            self._top = (now, seen.peak - sum(seen.fresh))
        self.live += sum(seen.fresh)
        self._memory[node] = entries = [self._home(place, operands, fresh) for place in seen.places]
        self._looks[node] = seen.look
        for storage in entries:
            if storage is not None:
                storage.names += 1
        for name in line.dropped:
            self._drop(name)
        self.moments.append(Moment(node, seen.cost, top, self.live, node in again))

    def copy(self, results: Sequence[Node]) -> None:
        """Take copies of results, at the end."""
        for x in results:
            look = self._looks[x]
            size = look.bytes if isinstance(look, Fact) else 0
            self._storages.append(_Storage(x, size, len(self.moments)))
            self.live += size
        if self.live > self.peak:
            self.peak, self._top = self.live, (len(self.moments), 0)

    def _seen(self, line: Line, operands: Sequence[Node | None]) -> Seen:
        looks = [None if x is None else self._looks[x] for x in operands]
        seen = seen_of(line.step, line.text, looks, self._prober)
        if seen is None:
            self.assumed.append(line.step.node)
            return assumed(line.step.node)
        return seen

    def _home(
        self, place: tuple[int, int] | int | None, operands: Sequence[Node | None], fresh: Sequence[_Storage]
    ) -> _Storage | None:
        if place is None:
            return None
        if isinstance(place, int):
            return fresh[place]
        operand = operands[place[0]]
        entries = self._memory.get(operand) if operand is not None else None
        return entries[place[1]] if entries is not None else None

    def _drop(self, name: Node) -> None:
        for storage in self._memory.pop(name, ()):
            if storage is None:
                continue
            storage.names -= 1
            if not storage.names:
                self.live -= storage.bytes
                storage.died = len(self.moments)

    def alive(self) -> list[Alive]:
        """Return what is alive at the peak: values, and what the step takes beside its own."""
        now, beside = self._top
        found = [
            Alive(storage.owner, storage.bytes)
            for storage in self._storages
            if storage.bytes and storage.born <= now and (storage.died is None or storage.died >= now)
        ]
        if beside:
            found.append(Alive(self.moments[now].node, beside, is_workspace=True))
        return sorted(found, key=lambda alive: -alive.bytes)
