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
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from typing import Any, TypeAlias

import torch
from rich.console import Console
from rich.progress import track

from tests.mutation.breaking import Mutant, Place, broken, mutants, patched, rules
from tests.mutation.survey import Reach, cases_of, failure_of, joined, reached, surveyed
from tests.ops.cases import CASES

# No case can use these.
UNUSED = {
    'Placeholder.gradient': 'a variable has no operands',
    'Unary.partial': 'stated by each op',
    'Binary.partials': 'stated by each op',
    'Linear.adjoint': 'stated by each op',
    'Nary.partials': 'stated by each op',
    'ClipGradient.jvp': 'an error, which the tests of the transforms expect',
}

# Of the survey, so that no process is left with all slow cases.
PARTS = 40

Map: TypeAlias = Callable[..., Iterable[Any]]


@cache
def mutants_by_name() -> Mapping[tuple[Place, str], Mutant]:
    return {(mutant.place, mutant.how): mutant for mutant in mutants()}


def hunt(place: Place, how: str, cases: Sequence[str]) -> str:
    """Look for a case that notices a mutant, which is made here, since its change does not pickle."""
    torch.set_num_threads(1)
    mutant = mutants_by_name()[place, how]
    with patched(mutant.cls, mutant.fact, broken(mutant)):
        for name in cases:
            case = CASES[name]
            try:
                claim = failure_of(case, dict.fromkeys((1, case.order)))
            except Exception as error:  # noqa: BLE001 a mutant that breaks the check is noticed too
                claim = type(error).__name__
            if claim:
                return f'{name}: {claim}'
    return ''


@contextmanager
def mapping(workers: int) -> Generator[Map]:
    """Give a `map` over so many processes, or in this one."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool:
        yield pool.map


def main(argv: list[str] | None = None) -> int:
    """Print how many mutants there were and how many were killed; 1 where one survived."""
    parser = argparse.ArgumentParser(description='Break every rule; the battery has to notice each.')
    parser.add_argument('--only', default='', help='only rules whose name contains this')
    parser.add_argument('--verbose', action='store_true', help='say what killed each')
    parser.add_argument('--workers', type=int, default=2, help='how many processes')
    options = parser.parse_args(argv)
    console = Console(highlight=False)
    shown = partial(track, console=console, disable=not console.is_terminal)
    with mapping(options.workers) as each:
        names = cases_of(options.only)
        parts = [names[i::PARTS] for i in range(PARTS)]
        surveys = each(surveyed, [options.only] * PARTS, parts)
        reach, failing = joined(shown(surveys, 'the battery unbroken', PARTS))
        if failing:
            console.print(f'the battery fails unbroken: {", ".join(failing)}')
            return 1
        chosen = list(reached(reach))
        columns = [m.place for m in chosen], [m.how for m in chosen], [reach[m.place] for m in chosen]
        outcomes = list(zip(chosen, shown(each(hunt, *columns), 'hunting', len(chosen)), strict=True))
    if options.verbose:
        for mutant, killed_by in outcomes:
            console.print(f'  {mutant.name}: {killed_by or "not killed"}')
    return summary(console, outcomes, reach, unused(reach) if not options.only else [])


def unused(reach: Reach) -> list[str]:
    """The rules that no case uses, and that could be used."""
    used = {place.rule for place in reach}
    stated = [f'{cls.__qualname__}.{fact}' for cls, fact in rules()]
    return [rule for rule in stated if rule not in used and rule not in UNUSED]


def summary(console: Console, outcomes: list[tuple[Mutant, str]], reach: Reach, idle: list[str]) -> int:
    """Print the count, the equivalent mutants, and what is not noticed; 1 where something is not."""
    real = [(mutant, killed_by) for mutant, killed_by in outcomes if reach[mutant.place]]
    alive = [mutant for mutant, killed_by in real if not killed_by]
    console.print(f'killed {len(real) - len(alive)} of {len(real)} mutants')
    for mutant, _ in outcomes:
        if not reach[mutant.place]:
            console.print(f'  equivalent, since every result stays the same: {mutant.name}')
    for mutant in alive:
        console.print(f'  ALIVE {mutant.name}')
    for rule in idle:
        console.print(f'  used by no case: {rule}')
    return 1 if alive or idle or not real else 0


if __name__ == '__main__':
    sys.exit(main())
