"""A graph divided into parts: those that can be written as calls of ATen, and those between that are kept."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.compiled_trace import Probe
from adjoint.execute.executor import Task
from adjoint.ops.creation import constant

__all__ = ['Division', 'Part']


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that are computed together.

    Parameters
    ----------
    task : Task
        What is computed from what.
    nodes : list of Node
        Inputs first.
    is_written : bool
        Whether they can be written as calls of ATen.
    """

    task: Task
    nodes: list[Node]
    is_written: bool


class Division:
    """The parts of a typed task, in the order in which they run.

    Which nodes can be written is only known when the layouts of their operands are, and those of a node that
    is kept are only known when it has run. So who divides runs each part as it is given, and says what it
    computed (:meth:`see`).

    Parameters
    ----------
    task : Task
        With types.
    values : sequence of torch.Tensor
        Those of the fed nodes.
    most : int
        How many parts there are at most that can be written; what comes after them is kept.
    fewest : int
        Fewer nodes than this are kept, and not worth a part of their own.
    """

    def __init__(self, task: Task, values: Sequence[torch.Tensor], *, most: int, fewest: int) -> None:
        self.probe = Probe()
        # Beside what is fed: constants that somebody may hold, and change.
        self.held: dict[Node, torch.Tensor] = {}
        self.stand_ins: dict[Node, Any] = {}
        self.values: dict[Node, torch.Tensor] = {}
        self._task = task
        self._most = most
        self._fewest = fewest
        given = frozenset(task.fed)
        self._waiting: list[Node] = []
        for node, value in zip(task.fed, values, strict=True):
            self._have(node, value)
        for node in topological_sort(task.outputs, behind=given):
            if node in given:
                continue
            if node.op is not constant:
                self._waiting.append(node)
            elif 'number' in node.attrs:
                self.stand_ins[node] = node.attrs['constant']
            else:
                self.held[node] = node.attrs['constant']
                self._have(node, self.held[node])
        self._position = {node: i for i, node in enumerate(self._waiting)}
        self._users: dict[Node, list[Node]] = defaultdict(list)
        for node in self._waiting:
            for x in node.inputs:
                self._users[x].append(node)
        self._wanted = set(task.outputs)

    def parts(self) -> Iterator[Part]:
        """Give the parts; the results of each have to be seen before the next is asked for."""
        count = 0
        while self._waiting:
            written, kept = self._next(tries=count < self._most)
            if len(written) < self._fewest:
                for node in written:
                    del self.stand_ins[node]
                kept = sorted([*written, *kept], key=self._position.__getitem__)
                written = []
            for nodes, is_written in ((written, True), (kept, False)):
                if nodes:
                    yield self._part(nodes, is_written=is_written)
            count += bool(written)

    def see(self, part: Part, results: Sequence[torch.Tensor]) -> None:
        """Take the results of a part."""
        for node, value in zip(part.task.outputs, results, strict=True):
            self.values[node] = value
            if not part.is_written:
                self._have(node, value)

    def _have(self, node: Node, value: torch.Tensor) -> None:
        """Note a value that is not computed by a written part, if it has the same layout each time."""
        self.values[node] = value
        known = node.type
        if known is not None and known.shape == value.shape and known.dtype == value.dtype:
            self.stand_ins[node] = self.probe.stand_in(value)

    def _next(self, *, tries: bool) -> tuple[list[Node], list[Node]]:
        """Take the nodes that can be written next from those that wait, and those to be kept after them."""
        written: list[Node] = []
        kept: dict[Node, None] = {}
        later: list[Node] = []
        blocked: set[Node] = set()
        for node in self._waiting:
            # Once the kept ones have run, their layouts are known, and this node may be written; what picks
            # an output of theirs is kept with them.
            if any(x in blocked or (tries and x in kept and x.op.outputs == 1) for x in node.inputs):
                later.append(node)
                blocked.add(node)
                continue
            operands = [self.stand_ins.get(x) for x in node.inputs]
            value = (
                None if not tries or any(x is None for x in operands) else self.probe.value(node, operands)
            )
            if value is None:
                kept[node] = None
            else:
                self.stand_ins[node] = value
                written.append(node)
        self._waiting = later
        return written, list(kept)

    def _part(self, nodes: list[Node], *, is_written: bool) -> Part:
        inside = set(nodes)
        outputs = [
            node
            for node in nodes
            if node.op.outputs == 1 and (node in self._wanted or self._is_used_outside(node, inside))
        ]
        fed = [x for x in self._behind(nodes, inside) if x in self.values]
        return Part(Task(tuple(outputs), tuple(fed)), nodes, is_written)

    def _is_used_outside(self, node: Node, inside: set[Node]) -> bool:
        """Whether another part needs a value; what has several outputs is computed again where it is used."""
        found = list(self._users[node])
        for user in found:
            if user not in inside:
                return True
            if user.op.outputs > 1:
                found += self._users[user]
        return False

    def _behind(self, nodes: Sequence[Node], inside: set[Node]) -> list[Node]:
        """Return what is computed elsewhere that nodes depend on, up to the next single tensors."""
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        stack = list(nodes)
        while stack:
            for x in stack.pop().inputs:
                if x in inside or x in seen:
                    continue
                seen.add(x)
                if x in self.values or x.op.outputs == 1:
                    found[x] = None
                else:
                    stack.append(x)
        return list(found)
