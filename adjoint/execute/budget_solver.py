"""The schedule of least time that fits in a budget: searched for in small graphs, else found greedily."""

from collections.abc import Sequence
from typing import NamedTuple

from adjoint.execute.budget_greedy import Weights, evicted, trimmed
from adjoint.execute.budget_problem import Problem, Schedule
from adjoint.execute.budget_search import searched

__all__ = ['Solution', 'smallest', 'solved']

# Up to so many values, and so many sets of values that are alive, all schedules are searched.
_FEW = 16
_STATES = 10_000

# What is weighed differently gives other schedules, of which the fastest is taken.
_TRIED = (
    Weights(),
    Weights(1.0, 0.5),
    Weights(1.0, 2.0),
    Weights(0.5, 1.0),
    Weights(0.0, 1.0),
    Weights(2.0, 1.0),
)

# So many of the fastest are looked at again for what need not be computed again.
_TRIMMED = 3

# How close the smallest budget is come to, as a part of the memory without one.
_CLOSE = 200


class Solution(NamedTuple):
    """A schedule, and whether it is known that none is faster."""

    schedule: Schedule
    is_optimal: bool


def solved(problem: Problem, orders: Sequence[Schedule], budget: int) -> Solution | None:
    """Return a schedule that fits in a budget; ``None`` where none is found.

    Parameters
    ----------
    problem : Problem
        The values.
    orders : sequence of tuple of int
        In which they can be computed, each once; the first is taken where it fits.
    budget : int
        The memory, in bytes.
    """
    for order in orders:
        if problem.peak(order) <= budget:
            return Solution(order, is_optimal=True)
    if problem.least() > budget:
        return None
    if len(problem.bytes) <= _FEW and all(problem.repeats):
        found, is_proven = searched(problem, budget, _STATES)
        if is_proven:
            return None if found is None else Solution(found, is_optimal=True)
    made = (evicted(problem, order, budget, weights) for order in orders for weights in _TRIED)
    fitting = sorted({s for s in made if s is not None}, key=lambda s: (problem.time(s), s))
    if not fitting:
        return None
    best = min((trimmed(problem, s, budget) for s in fitting[:_TRIMMED]), key=problem.time)
    return Solution(best, is_optimal=False)


def smallest(problem: Problem, orders: Sequence[Schedule]) -> int:
    """Return a budget for which a schedule is found, close to the smallest."""
    high = min(problem.peak(order) for order in orders)
    low = problem.least()
    if _fits(problem, orders, low):
        return low
    step = max(high // _CLOSE, 1)
    while high - low > step:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(problem, orders, middle) else (middle, high)
    return high


def _fits(problem: Problem, orders: Sequence[Schedule], budget: int) -> bool:
    """Return whether a schedule is found, whatever its time."""
    if len(problem.bytes) <= _FEW:
        return solved(problem, orders, budget) is not None
    return any(evicted(problem, order, budget, weights) for order in orders for weights in _TRIED)
