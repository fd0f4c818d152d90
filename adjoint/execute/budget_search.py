"""The best schedule of all, by a search through what may be alive: for small graphs."""

import heapq
from collections.abc import Iterator

from adjoint.execute.budget_problem import Problem, Schedule

__all__ = ['searched']

_State = int  # which values are alive: one bit each


def searched(problem: Problem, budget: int, limit: int) -> tuple[Schedule | None, bool]:
    """Search for the schedule that fits in a budget in the least time, in any order.

    What is alive is a state; computing a value takes time, forgetting one takes none. The states are looked
    at in the order of their time and the least that they still need (A*): every missing value behind the
    results is computed at least once more.

    Parameters
    ----------
    problem : Problem
        All of whose values can be computed again.
    budget : int
        The memory, in bytes.
    limit : int
        How many states are looked at before giving up.

    Returns
    -------
    schedule : tuple of int or None
        ``None`` where there is none, or where it was given up.
    is_proven : bool
        Whether that is so because there is none, or no better one.
    """
    search = _Search(problem, budget)
    goal = sum(1 << i for i in problem.kept)
    best: dict[_State, float] = {0: 0.0}
    came: dict[_State, tuple[_State, int | None]] = {}
    queue = [(search.missing(0), 0, 0.0, 0)]
    done: set[_State] = set()
    entered = 0
    while queue:
        _, _, time, state = heapq.heappop(queue)
        if state in done:
            continue
        done.add(state)
        if state & goal == goal:
            return _way(came, state), True
        if len(done) > limit:
            return None, False
        for after, step in search.steps(state):
            took = time + (0.0 if step is None else problem.seconds[step])
            if took < best.get(after, float('inf')):
                best[after] = took
                came[after] = (state, step)
                entered += 1
                heapq.heappush(queue, (took + search.missing(after), entered, took, after))
    return None, True


def _way(came: dict[_State, tuple[_State, int | None]], state: _State) -> Schedule:
    found: list[int] = []
    while state in came:
        state, step = came[state]
        if step is not None:
            found.append(step)
    return tuple(reversed(found))


class _Search:
    def __init__(self, problem: Problem, budget: int) -> None:
        self._problem = problem
        self._budget = budget
        self._reads = [sum(1 << x for x in reads) for reads in problem.reads]
        self._bytes: dict[_State, int] = {}

    def _live(self, state: _State) -> int:
        found = self._bytes.get(state)
        if found is None:
            found = sum(size for i, size in enumerate(self._problem.bytes) if state >> i & 1)
            self._bytes[state] = found
        return found

    def steps(self, state: _State) -> Iterator[tuple[_State, int | None]]:
        """Yield what a step leads to, and which value it computes; None where it forgets one."""
        problem, live = self._problem, self._live(state)
        for i, reads in enumerate(self._reads):
            if state >> i & 1:
                yield state & ~(1 << i), None
            elif state & reads == reads:
                if live + problem.bytes[i] + problem.extra[i] <= self._budget:
                    yield state | 1 << i, i
                elif live + problem.extra[i] <= self._budget:
                    for c in problem.over[i]:
                        yield state & ~(1 << c) | 1 << i, i

    def missing(self, state: _State) -> float:
        """Return the time that is still needed at least."""
        problem, total = self._problem, 0.0
        stack = [i for i in problem.kept if not state >> i & 1]
        seen = set(stack)
        while stack:
            i = stack.pop()
            total += problem.seconds[i]
            for x in problem.reads[i]:
                if x not in seen and not state >> x & 1:
                    seen.add(x)
                    stack.append(x)
        return total
