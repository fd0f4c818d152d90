"""The body of a loop, compiled: several steps as one program, where a step does little."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import rebuilt
from adjoint.execute.compiled_trace import is_function
from adjoint.execute.cost import NOMINAL
from adjoint.execute.cost_meter import Meter
from adjoint.execute.executor import Program, Task
from adjoint.execute.reference import Schedule
from adjoint.ops.body import Body, variable_like

__all__ = ['Loop', 'SteppedProgram', 'loop_of', 'steps_at_once', 'unrolled']

# A step that should take less than so many seconds is not worth a second thread, and what calls its kernels
# costs as much as these.
_LITTLE = 1e-5

# So many steps are one program at most, and so many calls of kernels: it is compiled in little more time than
# one step, since steps share their kernels.
_MOST_STEPS, _MOST_CALLS = 8, 64

# A program that a loop calls less often than this is not worth it.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Loop:
    """How a body is run.

    Parameters
    ----------
    carries : int
        How many of its inputs, the first ones, are what the step before returned first.
    sequences : int
        How many behind these are other ones in each step; what is left is the same in all of them.
    steps : int
        How many there are.
    """

    carries: int
    sequences: int
    steps: int


def loop_of(node: Node) -> Loop | None:
    """Return how a node runs its body, if it does so step by step, and their number is known before a run."""
    if node.op.period is None:
        return None
    body: Body = node.attrs['body']
    _, sequences = node.op.shortened(node, 1)
    shapes = [known.shape for i in sequences if (known := node.inputs[i].type) is not None]
    steps = next((shape[0] for shape in shapes if shape), node.attrs['length'])
    if len(node.inputs) != len(body.inputs) or not isinstance(steps, int):
        return None
    return Loop(node.attrs['carries'], len(sequences), steps)


def steps_at_once(loop: Loop, task: Task, values: Sequence[torch.Tensor]) -> int:
    """Return how many steps are compiled as one program; none where the steps are few, or do much.

    Parameters
    ----------
    loop : Loop
        How the body is run.
    task : Task
        The body, with types.
    values : sequence of torch.Tensor
        For its inputs.
    """
    given = frozenset(task.fed)
    nodes = topological_sort(task.outputs, behind=given)
    if task.copied or not all(node in given or is_function(node) for node in nodes):
        return 0
    if any(x.device.type != 'cpu' for x in values):
        return 0
    with Meter() as meter:
        Schedule(task, {}, is_restricted=True)(values)
    if NOMINAL.seconds(meter.cost._replace(calls=0)) > _LITTLE:
        return 0
    most = min(_MOST_STEPS, _MOST_CALLS // max(meter.cost.calls, 1))
    return min(max(most, 1), loop.steps // _FEWEST)


def unrolled(task: Task, loop: Loop, count: int) -> Task:
    """Return several steps of a body as one task.

    Its inputs are the carries, what the first step is given of each sequence, then what the second is, and
    so on, and the constants; its outputs the carries after the last step, and the results of each.
    """
    before = loop.carries + loop.sequences
    inside, constants = task.fed[:before], task.fed[before:]
    carries = list(inside[: loop.carries])
    slices: list[Node] = []
    results: list[Node] = []
    for _ in range(count):
        row = [variable_like(x, x.given_name) for x in inside[loop.carries :]]
        found = rebuilt(task.outputs, dict(zip(inside, [*carries, *row], strict=True)))
        carries = found[: loop.carries]
        results += found[loop.carries :]
        slices += row
    return Task((*carries, *results), (*inside[: loop.carries], *slices, *constants), task.level)


class SteppedProgram:
    """The program of a body, which a loop calls for one step, or repeats for many.

    Parameters
    ----------
    one : Program
        Of a single step.
    loop : Loop
        How the body is run.
    several : Program, optional
        Of several steps: see :func:`unrolled`.
    count : int
        How many these are.
    why : str
        The reason why there is none.
    """

    def __init__(
        self, one: Program, loop: Loop, several: Program | None = None, count: int = 0, why: str = ''
    ) -> None:
        self.steady = bool(getattr(one, 'steady', False))
        self._one, self._several = one, several
        self._loop, self._count, self._why = loop, count, why

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run one step."""
        return self._one(values)

    def repeat(
        self,
        carries: Sequence[torch.Tensor],
        rows: Sequence[Sequence[torch.Tensor]],
        constants: Sequence[torch.Tensor],
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, ...]]]:
        """Run a step for each row of slices, several at a time; return the last carries, and each result."""
        carried, kept, done = list(carries), list[tuple[torch.Tensor, ...]](), 0
        first, count, several = self._loop.carries, self._count, self._several
        while several is not None and len(rows) - done >= count:
            given = [x for row in rows[done : done + count] for x in row]
            found = several([*carried, *given, *constants])
            carried, done = found[:first], done + count
            width = (len(found) - first) // count
            kept += [tuple(found[first + i * width : first + (i + 1) * width]) for i in range(count)]
        if done == len(rows):
            return carried, kept
        repeat = getattr(self._one, 'repeat', None)
        if repeat is not None:
            carried, more = repeat(carried, rows[done:], constants)
            return carried, kept + more
        for row in rows[done:]:
            found = self._one([*carried, *row, *constants])
            carried = found[:first]
            kept.append(tuple(found[first:]))
        return carried, kept

    @property
    def state(self) -> str:
        """What runs."""
        steps = f'; {self._count} steps at once, {self._several.state}' if self._several is not None else ''
        return self._one.state + steps

    @property
    def source(self) -> str:
        """One step, and several."""
        if self._several is None:
            about = f'\n\n# several steps at once: not compiled: {self._why}' if self._why else ''
            return self._one.source + about
        return f'{self._one.source}\n\n# {self._count} steps at once\n{self._several.source}'
