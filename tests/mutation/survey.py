"""The battery unbroken: does it pass, and which case uses which rule."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import torch

import adjoint as ad
from adjoint.verify.battery import Plan
from adjoint.verify.check import op_findings
from tests.mutation.breaking import (
    SINGLE,
    Mutant,
    Place,
    entries_of,
    flowing_in,
    inputs_of,
    is_nothing,
    mutants,
    patched,
    rules_named,
    underlying,
    with_words,
    words_of,
)
from tests.ops.cases import CASES, Case

# The names of the cases in which a change of each place makes a difference, the quickest first.
Reach: TypeAlias = Mapping[Place, list[str]]


def cases_of(only: str) -> list[str]:
    """The cases that may use the rules whose name contains a word."""
    wanted = set[str]().union(*(users(cls) for cls, _ in rules_named(only)))
    return [name for name in CASES if name in wanted]


def users(cls: type) -> set[str]:
    """The cases of the ops that inherit from a class."""
    return {n for n in CASES if isinstance(ad.registry().get(n.split('/')[0]), cls)}


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


class Survey(NamedTuple):
    """What a run of the battery unbroken found.

    Parameters
    ----------
    reach
        By place, the seconds that each case takes in which a change of the place makes a difference.
    failing
        The cases that fail.
    """

    reach: dict[Place, dict[str, float]]
    failing: list[str]


class Surveyor:
    """Runs cases unbroken and notes which places they use.

    Parameters
    ----------
    only
        Only of rules whose name contains this.
    """

    def __init__(self, only: str) -> None:
        self.users = {(cls, fact): users(cls) for cls, fact in rules_named(only)}
        self.found = Survey({}, [])
        self._effective: dict[Place, bool] = {}
        self._case = ''

    def run(self, names: Iterable[str]) -> Survey:
        with ExitStack() as stack:
            for cls, fact in self.users:
                stack.enter_context(patched(cls, fact, self._recording(cls, fact)))
            for name in names:
                self._survey(name)
        return self.found

    def _survey(self, name: str) -> None:
        self._case = name
        self._effective = {}
        start = perf_counter()
        if failure_of(CASES[name], [CASES[name].order]):
            self.found.failing.append(name)
        seconds = perf_counter() - start
        for place, effective in self._effective.items():
            cases = self.found.reach.setdefault(place, {})
            if effective:
                cases[name] = seconds

    def _recording(self, cls: type, fact: str) -> Callable[..., Any]:
        rule = f'{cls.__qualname__}.{fact}'
        original = underlying(cls, fact)
        words = {
            word: self._noting(Place(rule, word), original.__globals__[word]) for word in words_of(original)
        }
        noted = with_words(original, words) if words else original

        def recorded(*args: Any) -> Any:
            result = noted(*args)
            if self._case in self.users[cls, fact]:
                for what, effective in places_in(entries_of(fact, result), operands_of(fact, args)):
                    self._note(Place(rule, what), effective=effective)
            return result

        return recorded

    def _noting(self, place: Place, word: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*operands: Any) -> Any:
            result = word(*operands)
            # Types that are known may have made it vanish already.
            self._note(place, effective=result is not operands[0])
            return result

        return noted

    def _note(self, place: Place, *, effective: bool) -> None:
        self._effective[place] = effective or self._effective.get(place, False)


def operands_of(fact: str, args: tuple[Any, ...]) -> list[Any]:
    """What the entries of the result of a rule belong to: numbers among the operands have one too."""
    return list(args[2:]) if fact == 'partials' else [] if fact in SINGLE else inputs_of(args)


def places_in(entries: list[Any], operands: list[Any]) -> Iterator[tuple[str, bool]]:
    """What can be broken in a result, and whether the result is another then."""
    for position, entry in enumerate(entries):
        # What flows to a number or a constant makes no difference.
        operand = operands[position] if operands else None
        effective = not operands or (isinstance(operand, ad.Node) and operand.op is not ad.constant)
        yield f'nothing {position}' if is_nothing(entry) else str(position), effective
    if len(flowing := flowing_in(entries)) > 1:
        first, second = (entries[i] for i in flowing[:2])
        alike = first is second or (not isinstance(first, ad.Node) and first == second)
        yield 'pair', not alike


def surveyed(only: str, names: list[str]) -> Survey:
    """Survey some cases in a process of its own."""
    torch.set_num_threads(1)
    return Surveyor(only).run(names)


def joined(surveys: Iterable[Survey]) -> tuple[Reach, list[str]]:
    """Put surveys of different cases together."""
    seconds: dict[Place, dict[str, float]] = {}
    failing: list[str] = []
    for survey in surveys:
        failing += survey.failing
        for place, cases in survey.reach.items():
            seconds.setdefault(place, {}).update(cases)
    return {place: sorted(cases, key=cases.__getitem__) for place, cases in seconds.items()}, failing


def reached(reach: Reach) -> Iterator[Mutant]:
    """The mutants of the places that some case uses."""
    for mutant in mutants():
        rule, what = mutant.place
        # What flows in some cases and not in others, the other mutants break.
        flows = what.startswith('nothing') and Place(rule, what.removeprefix('nothing ')) in reach
        if mutant.place in reach and not flows:
            yield mutant
