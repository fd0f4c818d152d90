"""The rewrite: a pattern with what takes its place, how exact that is, and an example that proves it."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from adjoint.core.node import Node
from adjoint.core.op import Op

__all__ = [
    'ACCURATE',
    'BITWISE',
    'ROUNDING',
    'Exactness',
    'Family',
    'Named',
    'Rewrite',
    'except_where',
    'joined',
    'rewrite',
]


@dataclass(frozen=True, slots=True)
class Exactness:
    """How the value after a rewrite compares with the value before.

    Parameters
    ----------
    kind : str
        ``bitwise``: the same bits, where one nan is as good as another. ``accurate``: closer to the true
        value, or as close up to a few units in the last place. ``rounding``: as close, not closer.
        ``except``: as close, but not under the stated condition.
    condition : str, optional
        When another value comes out.
    """

    kind: str
    condition: str = ''

    def __str__(self) -> str:
        """``bitwise``; ``except where an entry is infinite``."""
        return f'except where {self.condition}' if self.condition else self.kind


BITWISE = Exactness('bitwise')
ACCURATE = Exactness('accurate')
ROUNDING = Exactness('rounding')


def except_where(condition: str) -> Exactness:
    """Return the exactness of a rewrite that is right to rounding unless a condition holds."""
    return Exactness('except', condition)


class Named:
    """Has the name and the docstring of the function that it was made of."""

    __slots__ = ()

    apply: Callable[..., Any]

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.apply.__name__

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring, on one line."""
        return ' '.join((inspect.getdoc(self.apply) or '').partition('\n\n')[0].split())


@dataclass(frozen=True, slots=True)
class Rewrite(Named):
    """One rewrite; made by :func:`rewrite`.

    Parameters
    ----------
    apply : callable
        Takes a node of one of ``ops`` and returns what takes its place, or ``None`` where the pattern is
        another. It builds nodes and looks at the nodes it is given, and does nothing else.
    ops : tuple of Op
        At which nodes it is tried.
    exactness : Exactness
        What is promised of the value.
    examples : tuple of str
        Expressions in ops and variables that it changes: what the tests prove the exactness on, and the
        documentation shows.
    """

    apply: Callable[[Node], Node | None]
    ops: tuple[Op, ...]
    exactness: Exactness
    examples: tuple[str, ...]


def rewrite(
    *ops: Op, exactness: Exactness, examples: Sequence[str]
) -> Callable[[Callable[[Node], Node | None]], Rewrite]:
    """Make a rewrite of a function on nodes; a decorator.

    Parameters
    ----------
    *ops : Op
        At which nodes it is tried.
    exactness : Exactness
        What is promised of the value.
    examples : sequence of str
        Expressions that it changes.

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    >>> from adjoint.ops.arithmetic import neg
    >>> @rewrite(neg, exactness=BITWISE, examples=['-(-x)'])
    ... def double_minus(y):
    ...     '''``-(-x)`` is ``x``.'''
    ...     (x,) = y.inputs
    ...     return x.inputs[0] if x.op is neg else None
    >>> double_minus.name, str(double_minus.exactness)
    ('double_minus', 'bitwise')
    """
    return lambda apply: Rewrite(apply, ops, exactness, tuple(examples))


@dataclass(frozen=True, slots=True)
class Family:
    """Rewrites that are applied together, by one pass.

    Parameters
    ----------
    name : str
        Of the pass.
    summary : str
        What they are for, in one sentence.
    rewrites : tuple of Rewrite
        Where several fit a node, the first of them is applied.
    """

    name: str
    summary: str
    rewrites: tuple[Rewrite, ...]
    tables: dict[frozenset[str], Mapping[Op, tuple[Rewrite, ...]]] = field(
        default_factory=dict[frozenset[str], Mapping[Op, tuple[Rewrite, ...]]], repr=False, compare=False
    )

    def table(self, kinds: Iterable[str]) -> Mapping[Op, tuple[Rewrite, ...]]:
        """Return the rewrites of these kinds of exactness, by the op that they are tried at."""
        wanted = frozenset(kinds)
        if wanted not in self.tables:
            found: dict[Op, tuple[Rewrite, ...]] = {}
            for each in self.rewrites:
                for op in each.ops if each.exactness.kind in wanted else ():
                    found[op] = (*found.get(op, ()), each)
            self.tables[wanted] = MappingProxyType(found)
        return self.tables[wanted]


def joined(tables: Iterable[Mapping[Op, tuple[Rewrite, ...]]]) -> Mapping[Op, tuple[Rewrite, ...]]:
    """Return tables as one: where several have rewrites for an op, those of the first are tried first."""
    found: dict[Op, tuple[Rewrite, ...]] = {}
    for each in tables:
        for op, rewrites in each.items():
            found[op] = (*found.get(op, ()), *rewrites)
    return MappingProxyType(found)
