"""The body of a loop that does little in a step, compiled for whole sequences and the number of the step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.compiled_check import difference
from adjoint.execute.compiled_load import Call
from adjoint.execute.compiled_program import plain
from adjoint.execute.compiled_service import CompilerError
from adjoint.execute.compiled_trace import is_function
from adjoint.execute.cost import NOMINAL
from adjoint.execute.cost_meter import Meter
from adjoint.execute.executor import Program, Task
from adjoint.execute.reference import Schedule
from adjoint.ops.body import Body

__all__ = ['Loop', 'SteppedProgram', 'checked', 'does_little', 'loop_of']

# A step that should take less than so many seconds is not worth a second thread, and what is around its
# kernels costs as much as these.
_LITTLE = 1e-5

# A loop of fewer steps than this is not worth a program.
_FEWEST = 4

# Who interrupts a loop waits for as many steps as this: a few hundredths of a second.
_AT_ONCE = 4096


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


def does_little(loop: Loop, task: Task, values: Sequence[torch.Tensor]) -> bool:
    """Whether the steps of a loop are many, and do little.

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
    if loop.steps < _FEWEST or task.copied or any(x.device.type != 'cpu' for x in values):
        return False
    if not all(node in given or is_function(node) for node in nodes):
        return False
    with Meter() as meter:
        Schedule(task, {}, is_restricted=True)(values)
    return NOMINAL.seconds(meter.cost._replace(calls=0)) < _LITTLE


def checked(call: Call, loop: Loop, values: Sequence[torch.Tensor], reference: Program) -> None:
    """Run one step, and two in turn, and compare what they give with the reference.

    Raises
    ------
    CompilerError
        It fails, or gives something else.
    """
    before = loop.carries + loop.sequences
    sequences = [torch.stack([x, x]) for x in values[loop.carries : before]]
    first = reference(values)
    second = reference([*first[: loop.carries], *values[loop.carries :]])
    for count, last in ((1, first), (2, second)):
        stacks = [x.new_zeros((2, *x.shape)) for x in first[loop.carries :]]
        try:
            carried = call([*values[: loop.carries], *sequences, *values[before:], *stacks], 1, -1, count)
        except Exception as error:
            msg = f'it fails: {type(error).__name__}: {error}'
            raise CompilerError(msg) from error
        own = [*carried, *(stack[2 - count] for stack in stacks)]
        # In the memory for all steps, results lie in order.
        lying = [*last[: loop.carries], *(y.contiguous() for y in last[loop.carries :])]
        for k, (mine, theirs) in enumerate(zip(own, lying, strict=True)):
            if why := difference(mine, theirs):
                msg = f'it does not give what the reference gives for output {k} of a step: {why}'
                raise CompilerError(msg)
        if count == 1 and any(stack[0].count_nonzero() for stack in stacks):
            msg = 'it writes into the results of another step'
            raise CompilerError(msg)


class SteppedProgram:
    """The program of a body, which a loop calls for one step, or for all that are left.

    Parameters
    ----------
    one : Program
        Of a single step.
    call : Call, optional
        Of compiled steps: from the carries, whole sequences, the constants, and the memory for the results of
        all steps, to the last carries.
    held : sequence of torch.Tensor
        Further constants.
    text : str
        The step as it was given to the compiler, or the reason why it is not compiled.
    """

    def __init__(
        self, one: Program, call: Call | None = None, held: Sequence[torch.Tensor] = (), text: str = ''
    ) -> None:
        self.steady = bool(getattr(one, 'steady', False))
        self.repeat = getattr(one, 'repeat', None)
        self.over = None if call is None or not self.steady else self._over
        self._one, self._call, self._held, self._text = one, call, held, text

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run one step."""
        return self._one(values)

    def _over(
        self,
        carries: Sequence[torch.Tensor],
        sequences: Sequence[torch.Tensor],
        constants: Sequence[torch.Tensor],
        stacks: Sequence[torch.Tensor],
        steps: range,
    ) -> list[torch.Tensor]:
        """Run steps, by their numbers; return the last carries.

        Parameters
        ----------
        carries : sequence of torch.Tensor
            What the first of them is given.
        sequences : sequence of torch.Tensor
            Each step takes its slice.
        constants : sequence of torch.Tensor
            What every step is given.
        stacks : sequence of torch.Tensor
            Where the results of each step are written to.
        steps : range
            Their numbers.
        """
        call = self._call
        assert call is not None  # noqa: S101 else nobody calls this
        same = [*(x.contiguous() for x in sequences), *constants, *self._held]
        same = [*(plain(x) if x.is_neg() else x for x in same), *stacks]
        carried: Sequence[torch.Tensor] = [plain(x) if x.is_neg() else x for x in carries]
        while steps:
            now, steps = steps[:_AT_ONCE], steps[_AT_ONCE:]
            carried = call([*carried, *same], now.start, now.step, len(now))
        return list(carried)

    @property
    def state(self) -> str:
        """What runs."""
        return self._one.state if self._call is None else 'compiled, for each step but the first'

    @property
    def source(self) -> str:
        """A single step, and the compiled one."""
        about = 'by its number' if self._call is not None else 'not compiled'
        return f'{self._one.source}\n\n# {about}: {self._text}' if self._text else self._one.source
