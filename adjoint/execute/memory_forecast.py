"""The memory of the program that a plan would write, from the types alone."""

from collections.abc import Mapping

from adjoint.core.node import Node
from adjoint.execute.cost_meter import Prober
from adjoint.execute.executor import Task
from adjoint.execute.feed import sizes_of
from adjoint.execute.memory import Memory
from adjoint.execute.memory_facts import foreseen
from adjoint.execute.memory_signature import Given, stand_ins
from adjoint.execute.memory_walk import walked
from adjoint.execute.plan import Plan
from adjoint.execute.typed import typed

__all__ = ['forecast']


def forecast(task: Task, executor: Plan, given: Mapping[Node, Given], sizes: Mapping[str, int]) -> Memory:
    """Return the memory of a run, without running anything.

    Parameters
    ----------
    task : Task
        What is computed.
    executor : Plan
        What writes the program.
    given : mapping of Node
        Tensors, types, or shapes and dtypes of the fed nodes, where their own types do not tell them.
    sizes : mapping of str to int
        Numbers for sizes by name.

    Raises
    ------
    TensorTypeError
        A shape or dtype is not known.
    ShapeError
        A shape does not fit.
    UnsupportedOpError
        The size of a value depends on the data.
    BudgetError
        The task has a budget, and nothing fits in it.
    """
    prober = Prober()
    values = stand_ins(task.fed, given, sizes, prober)
    sizes_of(task.fed, values)  # refuses what does not fit
    if task.budget is not None:
        return executor.budgeted(task, values, prober).memory
    made = typed(task, values)
    known = foreseen(made, values, prober)
    plan, lines = executor.written(made, known.facts)
    return walked(made, plan, lines, known, prober)
