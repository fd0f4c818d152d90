"""The plan: a graph written out, for one signature, as a straight-line program over torch kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from adjoint.core.errors import AdjointError
from adjoint.execute.blocks import Blocking
from adjoint.execute.blocks_groups import in_blocks, parted_at_once
from adjoint.execute.budget import Budgeted, within
from adjoint.execute.budget_run import checked_run
from adjoint.execute.cost_meter import Prober
from adjoint.execute.executor import Program, Task
from adjoint.execute.facts import Facts, layout_of
from adjoint.execute.memory_facts import foreseen
from adjoint.execute.memory_order import ordered
from adjoint.execute.memory_walk import walked
from adjoint.execute.program import PlannedProgram
from adjoint.execute.reference import Schedule
from adjoint.execute.reuse import Line, reused
from adjoint.execute.steps import Steps, steps_of
from adjoint.execute.typed import typed

__all__ = ['Plan']

# In bytes: by so much more at the peak does not matter. Numbers that are computed with values in blocks are
# counted with them and by themselves.
_SLIGHT = 1 << 10


@dataclass(frozen=True)
class Plan:
    """The executor that writes a program.

    The first run with a signature is that of the reference, on the typed graph; it shows where every value
    lies. The program is written from that.

    Parameters
    ----------
    poison : bool
        Fill memory with garbage when it is free, so that a program that still reads it gives wrong
        results: for tests.
    at_first_sight : bool
        Write it the first time that a signature is seen, and not the second.
    keep_from : int
        From how many bytes on a dead value is kept for another: below, allocating costs less.
    blocking : Blocking
        Which values are computed in blocks.
    """

    poison: bool = False
    at_first_sight: bool = False
    keep_from: int = 1 << 16
    blocking: Blocking = Blocking()  # noqa: RUF009 it never changes

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        """Run the typed graph, and write its program; with a budget the program first, without data."""
        if task.budget is not None:
            found = self.budgeted(task, values, Prober())
            results = checked_run(found, values)
            return PlannedProgram(found.task, found.plan, found.lines, poison=self.poison), results
        try:
            made = typed(task, values)
        except AdjointError:
            # What cannot be typed cannot be computed, and the run says so with the values in sight.
            schedule = Schedule(task, sizes)
            return schedule, schedule(values)
        return self.prepare_typed(made, values)

    def prepare_typed(self, made: Task, values: Sequence[torch.Tensor]) -> tuple[Program, list[torch.Tensor]]:
        """Run a graph that is typed, and write its program."""
        facts = Facts()
        facts.layouts.update((x, layout_of(value)) for x, value in zip(made.fed, values, strict=True))
        with torch.no_grad():
            results = Schedule(made, {}, is_restricted=True).run(values, facts.see)
        plan, lines = self.written(made, facts)
        # What only its op knows may be laid out by its values.
        is_known = all(line.step.written.is_known for line in lines)
        steady = is_known and all(x in facts.layouts for x in made.outputs)
        program = PlannedProgram(made, plan, lines, poison=self.poison, steady=steady)
        # Kernels that take the place of several ops round in another way, from the first run on.
        return program, program(values) if made.level == 'fast' else results

    def budgeted(self, task: Task, values: Sequence[torch.Tensor], prober: Prober) -> Budgeted:
        """Write a program that fits in the budget of the task, from the layouts of the values alone.

        Raises
        ------
        BudgetError
            Nothing fits.
        """
        made = typed(task, values)
        known = foreseen(made, values, prober)
        assert task.budget is not None  # noqa: S101 it is why this is asked
        plan, facts = self._least(steps_of(made, known.facts), known.facts)
        lines = self._reused(plan, facts)
        memory = walked(made, plan, lines, known, prober)
        free = Budgeted(made, replace(known, facts=facts), plan, lines, memory)
        return within(free, known, prober, task.budget, keep_from=self.keep_from, keeps_owners=self.poison)

    def written(self, made: Task, facts: Facts) -> tuple[Steps, list[Line]]:
        """Write the steps of a typed task, each with its memory."""
        plan, facts = self._least(steps_of(made, facts), facts)
        return plan, self._reused(plan, facts)

    def _reused(self, plan: Steps, facts: Facts) -> list[Line]:
        return reused(plan, facts.layouts, keep_from=self.keep_from, keeps_owners=self.poison)

    def _least(self, plan: Steps, facts: Facts) -> tuple[Steps, Facts]:
        """Return the steps in the order in which the least is alive, in blocks where that takes no more."""
        blocked, known = in_blocks(plan, facts, self.blocking, poison=self.poison)
        whole, least = ordered(plan, facts)
        if blocked is plan:
            return whole, facts
        found, peak = ordered(blocked, known)
        if peak > least + _SLIGHT:
            return whole, facts
        return replace(found, steps=parted_at_once(found.steps)), known
