"""The reference: one node after the other, each by its own ``compute``; the witness for all others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from adjoint.core.errors import AdjointError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.executor import Program, Task, with_copies
from adjoint.execute.feed import circumstances
from adjoint.ops.several import restricted

__all__ = ['Reference', 'Schedule', 'Watcher']

# Called with a node, its value and those of its inputs.
Watcher: TypeAlias = Callable[[Node, Any, Sequence[Any]], None]


class Reference:
    """The executor that runs a graph as it stands."""

    @property
    def at_first_sight(self) -> bool:
        """Yes: there is nothing to make."""
        return True

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Order the nodes, and run them."""
        schedule = Schedule(task, sizes)
        return schedule, schedule(values)


class Schedule:
    """The order of a run, and which values are dead after each step.

    Parameters
    ----------
    task : Task
        What is computed from what.
    sizes : mapping of str to int
        Numbers for the sizes that attrs hold by name.
    is_restricted : bool
        Whether of ops with several outputs only those that are used are computed already.
    """

    def __init__(self, task: Task, sizes: Mapping[str, int], *, is_restricted: bool = False) -> None:
        self._task = task
        given = frozenset(task.fed)
        order = (
            [(node, node) for node in topological_sort(task.outputs, behind=given)]
            if is_restricted
            else restricted(task.outputs, given)
        )
        self._steps: list[tuple[Node, Node, list[Node]]] = []
        used_later = set(task.outputs)
        for node, stand in reversed(order):
            if node in given:
                continue
            dying: list[Node] = []
            for x in stand.inputs:
                if x not in used_later:
                    used_later.add(x)
                    dying.append(x)
            # A node that holds sizes by name computes with numbers in their place.
            self._steps.append((node, stand.with_sizes(sizes) if sizes else stand, dying))
        self._steps.reverse()

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the values of the outputs; nothing is recorded for torch's autograd."""
        with torch.no_grad():
            return self.run(values)

    def run(self, values: Sequence[torch.Tensor], watch: Watcher | None = None) -> list[torch.Tensor]:
        """Return the values of the outputs; a watcher sees each one as it is computed."""
        known: dict[Node, Any] = dict(zip(self._task.fed, values, strict=True))
        node = stand = None
        try:
            for node, stand, dying in self._steps:
                operands = [known[x] for x in stand.inputs]
                known[node] = stand.op.compute(stand, operands)
                if watch is not None:
                    watch(node, known[node], operands)
                del operands
                for x in dying:
                    del known[x]
        except Exception as error:
            if node is not None and stand is not None and not isinstance(error, AdjointError):
                error.add_note(circumstances(node, {x: known[x] for x in stand.inputs if x in known}))
            raise
        return with_copies([known[node] for node in self._task.outputs], self._task.copied)

    @property
    def source(self) -> str:
        """The nodes in their order, each with its type and the line that made it."""
        return '\n'.join(
            f'{node.name}: {node.type or "?"}    # {node.location.short}' for node, _, _ in self._steps
        )

    @property
    def state(self) -> str:
        """What runs."""
        return f'reference: {len(self._steps)} nodes'
