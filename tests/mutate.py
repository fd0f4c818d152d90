"""Break every rule of ours, one at a time; the battery has to notice each.

Run with ``make mutate``. A mutant is a stated fact (``partial``, ``partials``, ``adjoint``, ``gradient``,
``jvp``), of an op or of a kind of ops, whose result is changed as it is returned:

* a sign is flipped, a factor of 1 + 1e-7 comes in, a cotangent is dropped, two are swapped;
* where the rule says that nothing flows, ones flow;
* a word that it is written with is left out: the conjugate, the sum over broadcast axes, and their like.

First the battery runs unbroken, to see that it passes and which case uses which rule. A mutant is killed
when a claim fails on such a case; one that leaves every result as it was is listed as equivalent.
"""

import argparse
import sys
import types
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

import torch
from rich.console import Console
from rich.progress import track

import adjoint as ad
from adjoint.verify.battery import Plan
from adjoint.verify.check import op_findings
from tests.ops.cases import CASES, Case

FACTS = ('partial', 'partials', 'adjoint', 'gradient', 'jvp')
SINGLE = ('partial', 'jvp')  # these return one value, the others one for each operand
POSITIONS = 3
FACTOR = 1 + 1e-7

# No case can use these.
UNUSED = {
    'Placeholder.gradient': 'a variable has no operands',
    'Unary.partial': 'stated by each op',
    'Binary.partials': 'stated by each op',
    'Linear.adjoint': 'stated by each op',
}

# Left out, each of these returns its first operand.
WORDS = ('_conjugate', 'conj', 'real', 'sum_to_like', 'expand_like', 'reshape_like', 'unreduced')


class Place(NamedTuple):
    """What of a rule is broken: an entry of its result, two entries, or a word that it uses.

    Parameters
    ----------
    rule
        As ``Sin.partial``.
    what
        The position of the entry; ``pair`` for the first two that flow; the word; ``nothing 0`` for an
        entry where the rule says that nothing flows.
    """

    rule: str
    what: str


# The names of the cases that use each place.
Reach: TypeAlias = Mapping[Place, list[str]]

# From the node and what its rule returned, or returned there, to what it returns instead.
Change: TypeAlias = Callable[[Any], Any]


@dataclass
class Mutant:
    """One broken rule.

    Parameters
    ----------
    place
        What is broken.
    how
        In which way.
    cls, fact
        The class and the method.
    change
        What is done to an entry.
    """

    place: Place
    how: str
    cls: type
    fact: str
    change: Change = ad.neg

    @property
    def name(self) -> str:
        what = '' if self.fact in SINGLE and self.place.what.isdigit() else f' {self.place.what}'
        return f'{self.place.rule}{what}: {self.how}'


class Outcome(NamedTuple):
    """What became of a mutant: by what it was killed, and whether it changed anything."""

    killed_by: str
    changed: bool


def flip(value: Any) -> Any:
    return -value


def stretch(value: Any) -> Any:
    return value * FACTOR


def drop(value: Any) -> Any:
    del value


CHANGES: Mapping[str, Change] = {'sign flipped': flip, 'factor 1 + 1e-7': stretch, 'dropped': drop}


def is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, ad.Node) and value.op is ad.zeros_like)


def flowing_in(entries: list[Any]) -> list[int]:
    """The positions where something flows."""
    return [i for i, entry in enumerate(entries) if not is_nothing(entry)]


def entries_of(fact: str, result: Any) -> list[Any]:
    return [result] if fact in SINGLE else list(result)


def packed(fact: str, entries: list[Any]) -> Any:
    return entries[0] if fact in SINGLE else entries


def inputs_of(args: tuple[Any, ...]) -> list[Any]:
    """The operands of the node that a rule is asked about, numbers left out."""
    node = next(a for a in args if isinstance(a, ad.Node))
    return node.inputs


def words_of(rule: Any) -> list[str]:
    return [w for w in WORDS if w in rule.__code__.co_names and w in rule.__globals__]


def underlying(cls: type, fact: str) -> Any:
    """The function behind a method."""
    rule = cls.__dict__[fact]
    return rule.__func__ if isinstance(rule, staticmethod) else rule


def classes() -> list[type]:
    """Every class of ours that states a fact: of the ops, and of the kinds."""
    found = {
        c for op in ad.registry().values() for c in type(op).__mro__ if c.__module__.startswith('adjoint.ops')
    }
    return sorted(found, key=lambda c: (c.__module__, c.__qualname__))


def rules() -> Iterator[tuple[type, str]]:
    """Every stated fact, as its class and the name of its method."""
    for cls in classes():
        yield from ((cls, fact) for fact in FACTS if fact in cls.__dict__)


def users(cls: type) -> set[str]:
    """The cases of the ops that inherit from a class."""
    return {n for n in CASES if isinstance(ad.registry().get(n.split('/')[0]), cls)}


# ------------------------------------------------------------------------------ what is broken


def mutants(reach: Reach) -> Iterator[Mutant]:
    """Every mutant of a place that some case uses."""
    for cls, fact in rules():
        rule = f'{cls.__qualname__}.{fact}'
        for position in map(str, range(POSITIONS)):
            if Place(rule, position) in reach:
                for how, change in CHANGES.items():
                    yield Mutant(Place(rule, position), how, cls, fact, change)
            nothing = Place(rule, f'nothing {position}')
            # What flows in some cases and not in others, the other mutants break.
            if nothing in reach and Place(rule, position) not in reach:
                yield Mutant(nothing, 'ones flow', cls, fact, ad.ones_like)
        if Place(rule, 'pair') in reach:
            yield Mutant(Place(rule, 'pair'), 'swapped', cls, fact)
        for word in words_of(underlying(cls, fact)):
            if Place(rule, word) in reach:
                yield Mutant(Place(rule, word), 'left out', cls, fact)


class Applied:
    """A rule with a change, which notes whether the change made a difference."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.rule = underlying(mutant.cls, mutant.fact)
        self.changed = False

    def __call__(self, *args: Any) -> Any:
        if self.mutant.place.what in WORDS:
            return self.without_word(*args)
        entries = entries_of(self.mutant.fact, self.rule(*args))
        if self.mutant.place.what == 'pair':
            self.swap(entries)
        else:
            self.replace(entries, args)
        return packed(self.mutant.fact, entries)

    def without_word(self, *args: Any) -> Any:
        def left_out(*operands: Any) -> Any:
            result = original(*operands)
            # Types that are known may have made it vanish already.
            self.changed = self.changed or result is not operands[0]
            return operands[0]

        word = self.mutant.place.what
        original = self.rule.__globals__[word]
        return types.FunctionType(
            self.rule.__code__,
            {**self.rule.__globals__, word: left_out},
            self.rule.__name__,
            self.rule.__defaults__,
            self.rule.__closure__,
        )(*args)

    def swap(self, entries: list[Any]) -> None:
        if len(flowing := flowing_in(entries)) > 1:
            i, j = flowing[:2]
            first, second = entries[i], entries[j]
            alike = first is second or (not isinstance(first, ad.Node) and first == second)
            self.changed = self.changed or not alike
            entries[i], entries[j] = entries[j], entries[i]

    def replace(self, entries: list[Any], args: tuple[Any, ...]) -> None:
        flows = self.mutant.place.what.isdigit()
        position = int(self.mutant.place.what.removeprefix('nothing '))
        if position < len(entries) and is_nothing(entries[position]) != flows:
            self.changed = True
            given = entries[position] if flows else inputs_of(args)[position]
            entries[position] = self.mutant.change(given)


@contextmanager
def patched(cls: type, fact: str, broken: Callable[..., Any]) -> Generator[None]:
    def method(*args: Any) -> Any:
        return broken(*args)

    is_static = isinstance(cls.__dict__[fact], staticmethod)
    with mock.patch.object(cls, fact, staticmethod(method) if is_static else method):
        yield


# ------------------------------------------------------------------------------- the two runs


def failure_of(case: Case, orders: Iterable[int]) -> str:
    """The first claim that fails on a case; empty where all hold."""
    for order in orders:
        plan = Plan(case.build, case.reference, order=order)
        for finding in op_findings(plan, case.samples):
            if not finding.ok:
                return finding.claim
    for finding in op_findings(Plan(case.build), (), case.conventions):
        if not finding.ok:
            return finding.claim
    return ''


class Survey:
    """A run of the battery unbroken, which notes which cases use which places.

    Parameters
    ----------
    only
        Only of rules whose name contains this.
    """

    def __init__(self, only: str = '') -> None:
        self.reach: dict[Place, list[str]] = {}
        self.failing: list[str] = []
        self._case = ''
        chosen = [(cls, fact) for cls, fact in rules() if only in f'{cls.__qualname__}.{fact}']
        users_of = {cls: users(cls) for cls, _ in chosen}
        with ExitStack() as stack:
            for cls, fact in chosen:
                stack.enter_context(patched(cls, fact, self._recording(cls, fact, users_of[cls])))
            for name in (n for n in CASES if any(n in names for names in users_of.values())):
                self._case = name
                if failure_of(CASES[name], [CASES[name].order]):
                    self.failing.append(name)

    def _recording(self, cls: type, fact: str, names: set[str]) -> Callable[..., Any]:
        rule = underlying(cls, fact)
        words = words_of(rule)

        def recorded(*args: Any) -> Any:
            result = rule(*args)
            if self._case in names:
                for what in [*places_in(entries_of(fact, result)), *words]:
                    found = self.reach.setdefault(Place(f'{cls.__qualname__}.{fact}', what), [])
                    if self._case not in found:
                        found.append(self._case)
            return result

        return recorded


def places_in(entries: list[Any]) -> Iterator[str]:
    """What can be broken in a result."""
    for position, entry in enumerate(entries):
        yield f'nothing {position}' if is_nothing(entry) else str(position)
    if len(flowing_in(entries)) > 1:
        yield 'pair'


def hunt(mutant: Mutant, reach: Reach) -> Outcome:
    """Look for a case that notices."""
    applied = Applied(mutant)
    with patched(mutant.cls, mutant.fact, applied):
        for name in reach[mutant.place]:
            case = CASES[name]
            try:
                claim = failure_of(case, dict.fromkeys((1, case.order)))
            except Exception as error:  # noqa: BLE001 a mutant that breaks the check is noticed too
                claim = type(error).__name__
            if claim and applied.changed:
                return Outcome(f'{name}: {claim}', changed=True)
    return Outcome('', applied.changed)


def hunt_by_number(number: int, reach: Reach) -> Outcome:
    """Hunt in a process of its own, which makes its mutants itself: their changes do not pickle."""
    torch.set_num_threads(1)
    return hunt(list(mutants(reach))[number], reach)


def hunted(count: int, reach: Reach, workers: int) -> Iterator[Outcome]:
    """Hunt all mutants, in their order."""
    if workers == 1:
        yield from (hunt(mutant, reach) for mutant in mutants(reach))
        return
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool:
        yield from pool.map(hunt_by_number, range(count), [reach] * count, chunksize=8)


def main(argv: list[str] | None = None) -> int:
    """Print how many mutants there were and how many were killed; 1 where one survived."""
    parser = argparse.ArgumentParser(description='Break every rule; the battery has to notice each.')
    parser.add_argument('--only', default='', help='only rules whose name contains this')
    parser.add_argument('--verbose', action='store_true', help='say what killed each')
    parser.add_argument('--workers', type=int, default=2, help='how many processes')
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    console = Console(highlight=False)
    survey = Survey(options.only)
    if survey.failing:
        console.print(f'the battery fails unbroken: {", ".join(survey.failing)}')
        return 1
    chosen = list(mutants(survey.reach))
    found = hunted(len(chosen), survey.reach, options.workers)
    found = track(found, 'hunting', len(chosen), console=console, disable=not console.is_terminal)
    outcomes = list(zip(chosen, found, strict=True))
    if options.verbose:
        for mutant, outcome in outcomes:
            console.print(f'  {mutant.name}: {outcome.killed_by or "not killed"}')
    return summary(console, outcomes, unused(survey.reach) if not options.only else [])


def unused(reach: Reach) -> list[str]:
    """The rules that no case uses, and that could be used."""
    used = {place.rule for place in reach}
    stated = [f'{cls.__qualname__}.{fact}' for cls, fact in rules()]
    return [rule for rule in stated if rule not in used and rule not in UNUSED]


def summary(console: Console, outcomes: list[tuple[Mutant, Outcome]], idle: list[str]) -> int:
    """Print the count, the equivalent mutants, and what is not noticed; 1 where something is not."""
    real = [(m, o) for m, o in outcomes if o.changed]
    alive = [m for m, o in real if not o.killed_by]
    console.print(f'killed {len(real) - len(alive)} of {len(real)} mutants')
    for mutant, outcome in outcomes:
        if not outcome.changed:
            console.print(f'  equivalent, since every result stays the same: {mutant.name}')
    for mutant in alive:
        console.print(f'  ALIVE {mutant.name}')
    for rule in idle:
        console.print(f'  used by no case: {rule}')
    return 1 if alive or idle or not real else 0


if __name__ == '__main__':
    sys.exit(main())
