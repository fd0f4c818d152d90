"""A schedule that fits in a budget, for graphs of any size: what is not needed soon is given up."""

from collections.abc import Sequence
from typing import NamedTuple

from adjoint.execute.budget_problem import Problem, Schedule

__all__ = ['Weights', 'evicted', 'trimmed']

# A schedule of more than this many times the values is given up: it would hardly be worth its time.
_LONGEST = 20

# How far the time to compute a value again is followed back through others that were given up.
_FAR = 64


class Weights(NamedTuple):
    """How the price of giving a value up is weighed: the least is given up first.

    Parameters
    ----------
    time : float
        The power of the time that it takes to compute it again, with what else is missing for it.
    distance : float
        The power of the number of steps until it is read again.
    """

    time: float = 1.0
    distance: float = 1.0


def evicted(problem: Problem, order: Sequence[int], budget: int, weights: Weights) -> Schedule | None:
    """Run an order within a budget: give values up as memory is short, compute them again as they are read.

    As a pager does, with the difference that the future is known: a value is given up that is large, read
    again late, and cheap to compute again (Kirisame et al. 2021, who do not know the future).

    Returns
    -------
    tuple of int or None
        ``None`` where it does not get by.
    """
    run = _Run(problem, order, budget, weights)
    return tuple(run.made) if all(run.reach(now, i) for now, i in enumerate(order)) and run.end() else None


class _Run:
    def __init__(self, problem: Problem, order: Sequence[int], budget: int, weights: Weights) -> None:
        self._problem = problem
        self._budget = budget
        self._weights = weights
        self._last = len(order)
        # The places where each value is read, the next one last.
        self._uses: list[list[int]] = [[] for _ in problem.bytes]
        for i in problem.kept:
            self._uses[i].append(self._last)
        for now in range(len(order) - 1, -1, -1):
            for x in problem.reads[order[now]]:
                self._uses[x].append(now)
        self._alive: dict[int, None] = {}
        self._live = 0
        self._pins = [0] * len(problem.bytes)
        self.made: list[int] = []

    def end(self) -> bool:
        """Compute again what is missing of the results."""
        for i in self._problem.kept:
            self._pins[i] += 1
        return all(i in self._alive or self.reach(self._last, i) for i in sorted(self._problem.kept))

    def reach(self, now: int, goal: int) -> bool:
        """Compute a value, and first what is missing for it; return whether it fits."""
        stack = [goal]
        self._pin(goal, 1)
        while stack:
            i = stack[-1]
            missing = next((x for x in self._problem.reads[i] if x not in self._alive), None)
            if missing is not None:
                stack.append(missing)
                self._pin(missing, 1)
                continue
            stack.pop()
            # What is read for the last time here may be written over.
            self._pin(i, -1)
            if i == goal:
                for x in self._problem.reads[i]:
                    while self._uses[x] and self._uses[x][-1] <= now:
                        self._uses[x].pop()
            if not self._compute(now, i) or len(self.made) > _LONGEST * len(self._problem.bytes):
                return False
        return True

    def _pin(self, i: int, change: int) -> None:
        for x in self._problem.reads[i]:
            self._pins[x] += change

    def _is_done(self, i: int) -> bool:
        # What is computed once only may be read again by what is computed again.
        return not self._uses[i] and not self._pins[i] and self._problem.repeats[i]

    def _compute(self, now: int, i: int) -> bool:
        problem = self._problem
        reads = problem.reads[i]
        is_over = any(self._is_done(c) for c in problem.over[i])
        needs = problem.extra[i] + (0 if is_over else problem.bytes[i])
        while self._live + needs > self._budget:
            given_up = self._cheapest(now, reads)
            if given_up is None:
                return False
            self._free(given_up)
        self.made.append(i)
        self._alive[i] = None
        self._live += problem.bytes[i]
        for x in (*reads, i):
            if x in self._alive and self._is_done(x):
                self._free(x)
        return True

    def _free(self, i: int) -> None:
        del self._alive[i]
        self._live -= self._problem.bytes[i]

    def _cheapest(self, now: int, reads: Sequence[int]) -> int | None:
        """Return what to give up."""
        problem, weights = self._problem, self._weights
        best, least = None, float('inf')
        for x in self._alive:
            if self._pins[x] or x in reads or not problem.repeats[x] or not problem.bytes[x]:
                continue
            distance = (self._uses[x][-1] if self._uses[x] else self._last) - now + 1
            worth = problem.bytes[x] * distance**weights.distance
            if problem.seconds[x] ** weights.time / worth < least:
                price = self._time(x) ** weights.time / worth
                if price < least:
                    best, least = x, price
        return best

    def _time(self, i: int) -> float:
        """Return how long it takes to compute a value again, with what is missing for it."""
        stack, seen, total = [i], {i}, 0.0
        while stack and len(seen) < _FAR:
            x = stack.pop()
            total += self._problem.seconds[x]
            for y in self._problem.reads[x]:
                if y not in self._alive and y not in seen:
                    seen.add(y)
                    stack.append(y)
        return total


def trimmed(problem: Problem, schedule: Schedule, budget: int) -> Schedule:
    """Return a schedule without the repetitions that the budget does not ask for, the longest first."""
    skipped: set[tuple[int, int]] = set()  # a value, and how many times it is computed before
    while True:
        repeat = _needless(problem, schedule, budget, skipped)
        if repeat is None:
            return schedule
        place, key = repeat
        shorter = _read_only(problem, (*schedule[:place], *schedule[place + 1 :]))
        if problem.peak(shorter) <= budget:
            schedule = shorter
        else:
            skipped.add(key)


def _needless(
    problem: Problem, schedule: Schedule, budget: int, skipped: set[tuple[int, int]]
) -> tuple[int, tuple[int, int]] | None:
    """Return the longest repetition whose value could be kept instead, as far as what is alive shows."""
    tops, ends = problem.profile(schedule), problem.ends(schedule)
    before: dict[int, int] = {}
    times: dict[int, int] = {}
    found: tuple[float, int, tuple[int, int]] | None = None
    for place, i in enumerate(schedule):
        times[i] = times.get(i, 0) + 1
        key = (i, times[i])
        if i in before and key not in skipped and (found is None or problem.seconds[i] > found[0]):
            between = tops[ends[before[i]] + 1 : place]
            if max(between, default=0) + problem.bytes[i] <= budget:
                found = (problem.seconds[i], place, key)
        before[i] = place
    return None if found is None else found[1:]


def _read_only(problem: Problem, schedule: Schedule) -> Schedule:
    """Return a schedule without the values that nothing reads before they are computed again."""
    while True:
        ends = problem.ends(schedule)
        kept = tuple(i for place, i in enumerate(schedule) if ends[place] > place or not problem.repeats[i])
        if len(kept) == len(schedule):
            return schedule
        schedule = kept
