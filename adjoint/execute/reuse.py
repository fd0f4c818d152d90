"""Which memory each value is computed into: new, that of a dying operand, or that of a dead value."""

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from adjoint.core.node import Node
from adjoint.execute.facts import Fact
from adjoint.execute.steps import Step, Steps

__all__ = ['Line', 'reused']

_Key: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]


@dataclass(slots=True)
class Line:
    """A step with its memory.

    Parameters
    ----------
    step : Step
        What is computed.
    text : str
        The expression that is chosen.
    target : Node, optional
        The dead value into whose memory it goes.
    over : Node, optional
        The operand that it is written over.
    dropped : list of Node
        Values whose names end after this line.
    dead : list of Node
        Values whose memory is free after this line, and that nothing was written over.
    """

    step: Step
    text: str
    target: Node | None = None
    over: Node | None = None
    dropped: list[Node] = field(default_factory=list[Node])
    dead: list[Node] = field(default_factory=list[Node])


def reused(
    plan: Steps, layouts: Mapping[Node, Fact], *, keep_from: int, keeps_owners: bool = False
) -> list[Line]:
    """Choose the memory of each step.

    A value is written over only where nothing else that is alive, used by the step, or returned may lie in
    its memory. Dead values of at least ``keep_from`` bytes are kept for others of their layout, as long as
    the run does not come to hold more than it would if each were freed at once. With ``keeps_owners`` a name
    lasts as long as its memory.
    """
    return _Reuse(plan, layouts, keep_from).lines(keeps_owners=keeps_owners)


class _Reuse:
    def __init__(self, plan: Steps, layouts: Mapping[Node, Fact], keep_from: int) -> None:
        self._keep_from = keep_from
        self._plan = plan
        self._layouts = layouts
        self._of = plan.aliases.of
        self._last_use = self._last_uses()
        # By set of aliases: the step after which the memory is free, and the value that is all of it.
        self._death: dict[Node, int] = {}
        self._owner: dict[Node, Node] = {}
        for i, step in enumerate(plan.steps):
            group = self._of(step.node)
            self._death[group] = max(self._death.get(group, i), self._last_use[step.node])
            layout = layouts.get(step.node)
            if group not in self._owner and layout is not None and layout.owns:
                self._owner[group] = step.node
        self._dying: dict[int, list[Node]] = defaultdict(list)
        for group, i in self._death.items():
            self._dying[i].append(group)
        self._free: dict[_Key, list[Node]] = defaultdict(list)
        self._waiting: OrderedDict[Node, None] = OrderedDict()  # owners in the lists above, oldest first
        self._live = 0
        self._held = 0
        self._kept_until: dict[Node, int] = {}
        self._taken: set[Node] = set()

    def _last_uses(self) -> dict[Node, int]:
        plan, count = self._plan, len(self._plan.steps)
        last: dict[Node, int] = {}
        for i, step in enumerate(plan.steps):
            last[step.node] = i
            last.update(dict.fromkeys(step.uses, i))
        last.update(dict.fromkeys(plan.outputs, count))
        return last

    def lines(self, *, keeps_owners: bool) -> list[Line]:
        """Choose step by step."""
        peak = self._peak()
        lines: list[Line] = []
        for i, step in enumerate(self._plan.steps):
            line = self._line(i, step)
            lines.append(line)
            if line.over is None and line.target is None:
                self._live += self._bytes(step.node)
                self._evict(peak)
            self._bury(i)
        self._drop(lines, keeps_owners=keeps_owners)
        return lines

    def _line(self, i: int, step: Step) -> Line:
        layout = self._layouts.get(step.node)
        if layout is None or not layout.owns or self._owner.get(self._of(step.node)) is not step.node:
            return Line(step, step.written.text)
        for position, text in step.written.over:
            x = step.operands[position]
            if self._may_write_over(i, step, x, layout):
                self._taken.add(self._of(x))
                return Line(step, text, over=x)
        if step.written.into:
            waiting = self._free.get(_key(layout))
            while waiting:
                target = waiting.pop()
                if target in self._waiting:
                    del self._waiting[target]
                    self._held -= layout.bytes
                    self._live += layout.bytes
                    self._kept_until[target] = i
                    return Line(step, step.written.into, target=target)
        return Line(step, step.written.text)

    def _may_write_over(self, i: int, step: Step, x: Node, layout: Fact) -> bool:
        group = self._of(x)
        return (
            self._layouts.get(x) == layout
            and self._owner.get(group) is x
            and self._death.get(group) == i
            and group not in self._plan.pinned
            and all(other is x or self._of(other) is not group for other in step.uses)
        )

    def _bytes(self, node: Node) -> int:
        layout = self._layouts.get(node)
        group = self._of(node)
        return layout.bytes if layout is not None and self._owner.get(group) is node else 0

    def _peak(self) -> int:
        """Return the most that is alive at once if nothing is reused."""
        live = peak = 0
        for i, step in enumerate(self._plan.steps):
            live += self._bytes(step.node)
            peak = max(peak, live)
            for group in self._dying[i]:
                if group in self._owner:
                    live -= self._bytes(self._owner[group])
        return peak

    def _evict(self, peak: int) -> None:
        """Give dead values up, the oldest first, until the run holds no more than it may."""
        while self._waiting and self._live + self._held > peak:
            oldest, _ = self._waiting.popitem(last=False)
            self._held -= self._layouts[oldest].bytes

    def _bury(self, i: int) -> None:
        for group in self._dying[i]:
            owner = self._owner.get(group)
            if owner is None:
                continue
            layout = self._layouts[owner]
            is_free = group not in self._plan.pinned and group not in self._taken
            if group not in self._taken:
                self._live -= layout.bytes
            if is_free and layout.bytes >= self._keep_from:
                self._free[_key(layout)].append(owner)
                self._waiting[owner] = None
                self._held += layout.bytes

    def _drop(self, lines: list[Line], *, keeps_owners: bool) -> None:
        """Note after which line each name ends, and each memory."""
        end = {step.node: self._last_use[step.node] for step in self._plan.steps} | self._kept_until
        for group, i in self._death.items():
            is_ours = group in self._owner and group not in self._plan.pinned and group not in self._taken
            if is_ours and i < len(lines):
                owner = self._owner[group]
                lines[i].dead.append(owner)
                if keeps_owners:
                    end[owner] = max(end[owner], i)
        for node, i in end.items():
            if i < len(lines):
                lines[i].dropped.append(node)


def _key(layout: Fact) -> _Key:
    return layout.shape, layout.strides, layout.dtype, layout.device
