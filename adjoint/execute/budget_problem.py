"""What a run may compute again, by numbers: schedules, their time and their memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ['Problem', 'Schedule']

# The numbers of values in the order in which they are computed. One that stands there again is computed
# again; what comes after it reads the new one.
Schedule: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """The values of a plan that take memory, by their numbers; views belong to what they are views of.

    Parameters
    ----------
    reads : list of tuple of int
        For each value, those that it is computed from.
    bytes : list of int
        The memory of each.
    extra : list of int
        What computing each takes beside its memory and that of what it reads.
    over : list of tuple of int
        For each value, those whose memory it may be written over when nothing reads them any more.
    seconds : list of float
        How long computing each takes.
    repeats : list of bool
        Whether computing it again gives the same, and does nothing else.
    kept : set of int
        Those that are there at the end.
    """

    reads: list[tuple[int, ...]]
    bytes: list[int]
    extra: list[int]
    over: list[tuple[int, ...]]
    seconds: list[float]
    repeats: list[bool]
    kept: frozenset[int]

    def time(self, schedule: Iterable[int]) -> float:
        """Return how long a schedule takes."""
        return sum(self.seconds[i] for i in schedule)

    def least(self) -> int:
        """Return the memory that no schedule can do without: that of one computation, or of all results."""
        results = sum(self.bytes[i] for i in self.kept)
        return max(
            [results]
            + [
                sum(self.bytes[x] for x in reads) + (0 if over else size) + extra
                for reads, over, size, extra in zip(
                    self.reads, self.over, self.bytes, self.extra, strict=True
                )
            ]
        )

    def ends(self, schedule: Sequence[int]) -> list[int]:
        """Return, for each place of a schedule, the last place where its value is read; past it if kept."""
        ends = list(range(len(schedule)))
        present: dict[int, int] = {}
        for place, i in enumerate(schedule):
            for x in self.reads[i]:
                ends[present[x]] = place
            present[i] = place
        for i in self.kept:
            ends[present[i]] = len(schedule)
        return ends

    def profile(self, schedule: Sequence[int]) -> list[int]:
        """Return the most memory that is taken at each place of a schedule."""
        dying: list[list[int]] = [[] for _ in range(len(schedule) + 1)]
        for place, end in enumerate(self.ends(schedule)):
            dying[end].append(schedule[place])
        live, tops = 0, list[int]()
        for place, i in enumerate(schedule):
            gone = dying[place]
            takes = 0 if any(c in gone and c != i for c in self.over[i]) else self.bytes[i]
            tops.append(live + takes + self.extra[i])
            live += self.bytes[i] - sum(self.bytes[x] for x in gone)
        return tops

    def peak(self, schedule: Sequence[int]) -> int:
        """Return the most memory that a schedule takes at once."""
        return max(self.profile(schedule), default=0)
