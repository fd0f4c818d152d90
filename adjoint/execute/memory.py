"""The memory of a run, before it: how much is alive when, and which lines made it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from adjoint.core.node import Node
from adjoint.execute.cost import NOMINAL, Cost, Rates

__all__ = ['Alive', 'Memory', 'Moment', 'bytes_of', 'in_words']

_SHOWN = 10
_WIDTH = 110
_UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB')
_STEP = 1024


def in_words(count: float) -> str:
    """Return a number of bytes as a person reads it.

    Examples
    --------
    >>> in_words(512), in_words(3 * 2**20)
    ('512 B', '3.00 MiB')
    """
    unit = 0
    while abs(count) >= _STEP and unit < len(_UNITS) - 1:
        count /= _STEP
        unit += 1
    return f'{count:.0f} B' if unit == 0 else f'{count:.2f} {_UNITS[unit]}'


_FACTORS = {'': 1, 'B': 1} | {
    f'{letter}{infix}B': (_STEP if infix else 1000) ** power
    for power, letter in enumerate('KMGT', 1)
    for infix in ('i', '')
}

_AMOUNT = re.compile(r'\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*')


def bytes_of(amount: int | str) -> int:
    """Return a number of bytes from what a person writes.

    Raises
    ------
    ValueError
        It is no amount of memory.

    Examples
    --------
    >>> bytes_of('1.5 GiB'), bytes_of('200 MB'), bytes_of(1000)
    (1610612736, 200000000, 1000)
    """
    found = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    factors = {unit.lower(): factor for unit, factor in _FACTORS.items()}
    if found is not None and found[2].lower() in factors:
        return int(float(found[1]) * factors[found[2].lower()])
    if isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0:
        return amount
    msg = f"a memory budget is a number of bytes or an amount such as '2 GiB' or '500 MB'; got {amount!r}"
    raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Alive:
    """Memory that is taken at the peak.

    Parameters
    ----------
    node : Node
        Whose value lies in it.
    bytes : int
        How much it is.
    is_workspace : bool
        Whether it is what a kernel takes while it computes the node, beside its value.
    """

    node: Node
    bytes: int
    is_workspace: bool = False

    @property
    def line(self) -> str:
        """The line of the user that made the node, such as ``model.py:12``."""
        return self.node.location.short


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a run.

    Parameters
    ----------
    node : Node
        What is computed.
    cost : Cost
        Of its kernels.
    peak_bytes : int
        The most memory that the run holds during the step.
    live_bytes : int
        What it holds after the step.
    is_again : bool
        Whether the value was computed before, and given up for its memory.
    """

    node: Node
    cost: Cost
    peak_bytes: int
    live_bytes: int
    is_again: bool = False


@dataclass(frozen=True)
class Memory:
    """What is known of a run before it.

    Parameters
    ----------
    peak_bytes : int
        The most memory that the run takes at once; what it is given is not among it, its results are.
    given_bytes : int
        The values that it is given.
    result_bytes : int
        What is still taken when it has ended.
    alive_at_peak : tuple of Alive
        What is alive at the peak, the largest first; its bytes add up to the peak.
    steps : tuple of Moment
        In the order of the run.
    assumed : tuple of Node
        Nodes that cannot be looked into without data: their values are counted, nothing else of them.
    budget : int or None
        What the run was asked to fit in.
    is_optimal : bool
        Whether no run of the graph that fits in the budget takes less time, by the rates that the choice was
        made by; ``False`` where that is not known.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', shape=(1000,), dtype=torch.float32)
    >>> memory = ad.Evaluator([ad.sum(ad.exp(ad.sin(x)))]).memory()
    >>> memory.peak_bytes, memory.flops
    (4004, 3000)
    """

    peak_bytes: int
    given_bytes: int
    result_bytes: int
    alive_at_peak: tuple[Alive, ...]
    steps: tuple[Moment, ...]
    assumed: tuple[Node, ...] = ()
    budget: int | None = None
    is_optimal: bool = False

    @property
    def cost(self) -> Cost:
        """Everything that the run computes and moves."""
        total = Cost()
        for step in self.steps:
            total = total.plus(step.cost)
        return total

    @property
    def flops(self) -> int:
        """Floating-point operations of the run."""
        return self.cost.flops

    @property
    def bytes(self) -> int:
        """Bytes that its kernels read and write."""
        return self.cost.bytes

    @property
    def recomputed(self) -> tuple[Moment, ...]:
        """The steps that compute again what was given up for its memory."""
        return tuple(step for step in self.steps if step.is_again)

    def seconds(self, rates: Rates = NOMINAL) -> float:
        """Return how long the run should take at these rates."""
        return sum(rates.seconds(step.cost) for step in self.steps)

    def overhead(self, rates: Rates = NOMINAL) -> float:
        """Return how much longer it takes than without a budget: 0.25 for a quarter."""
        extra = sum(rates.seconds(step.cost) for step in self.recomputed)
        return extra / (self.seconds(rates) - extra) if extra else 0.0

    def by_line(self, rates: Rates = NOMINAL) -> Mapping[str, tuple[Cost, float]]:
        """Return what each line of the user costs, and which share of the time; the longest first."""
        costs: dict[str, Cost] = {}
        seconds: dict[str, float] = {}
        for step in self.steps:
            line = step.node.location.short
            costs[line] = costs.get(line, Cost()).plus(step.cost)
            seconds[line] = seconds.get(line, 0.0) + rates.seconds(step.cost)
        total = sum(seconds.values()) or 1.0
        ordered = sorted(seconds, key=lambda line: -seconds[line])
        return {line: (costs[line], seconds[line] / total) for line in ordered}

    def __str__(self) -> str:
        """The peak, what is alive at it, and what takes the time."""
        console = Console(file=StringIO(), width=_WIDTH, highlight=False, record=True, color_system=None)
        console.print(self._headline())
        console.print(self._of_peak())
        console.print(self._of_time())
        return '\n'.join(line.rstrip() for line in console.export_text().splitlines())

    def _headline(self) -> str:
        peak, given, results = map(in_words, (self.peak_bytes, self.given_bytes, self.result_bytes))
        lines = [f'peak {peak}, beside {given} of given values; {results} of results']
        if self.budget is not None:
            again, told = len(self.recomputed), 'as little as can be' if self.is_optimal else 'estimated'
            counted = '1 step is' if again == 1 else f'{again} steps are'
            lines.append(
                f'budget {in_words(self.budget)}: {counted} computed again, '
                f'{self.overhead():.1%} more time ({told})'
            )
        if self.assumed:
            names = ', '.join(str(node) for node in self.assumed[:3])
            lines.append(f'counted by the types alone, without what they take inside: {names}')
        return '\n'.join(lines)

    def _of_peak(self) -> Table:
        table = _table('alive at the peak', 'bytes', 'share', 'value', 'line')
        for alive in self.alive_at_peak[:_SHOWN]:
            what = f'workspace of {alive.node}' if alive.is_workspace else str(alive.node)
            share = f'{alive.bytes / max(self.peak_bytes, 1):.0%}'
            table.add_row(in_words(alive.bytes), share, what, _place(alive.node))
        rest = self.alive_at_peak[_SHOWN:]
        if rest:
            size = sum(alive.bytes for alive in rest)
            table.add_row(in_words(size), f'{size / max(self.peak_bytes, 1):.0%}', f'{len(rest)} others', '')
        return table

    def _of_time(self) -> Table:
        table = _table('estimated time', 'time', 'FLOPs', 'bytes', 'line')
        for line, (cost, share) in list(self.by_line().items())[:_SHOWN]:
            table.add_row(f'{share:.0%}', f'{cost.flops:.3g}', in_words(cost.bytes), line)
        return table


def _table(title: str, *heads: str) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify='left', title_style='', pad_edge=False)
    for head in heads:
        is_number = head in {'bytes', 'share', 'time', 'FLOPs'}
        table.add_column(head, justify='right' if is_number else 'left', no_wrap=True, overflow='ellipsis')
    return table


def _place(node: Node) -> str:
    location = node.location
    return f'{location.short}  {location.text}' if location.text else location.short
