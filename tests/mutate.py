"""Break every rule of ours, one at a time; the battery has to notice each.

Run with ``make mutate``. A mutant is a stated fact (``partial``, ``partials``, ``adjoint``, ``gradient``,
``jvp``) whose result is changed as it is returned: a sign flipped, a factor of 1 + 1e-7, a cotangent
dropped, two cotangents swapped. The kinds of ops, which derive the rest from the facts, are broken in the
same way, and so are the words that they use: the conjugate and the sum over broadcast axes are left out.
A mutant is killed when the samples of an op that uses the rule do not pass any more.
"""

import argparse
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.progress import track

import adjoint as ad
from adjoint.ops import FAMILIES, elementwise, kinds, normalise, reduction
from adjoint.ops.linear import sum_to_like
from adjoint.verify.check import check_op
from tests.ops.cases import CASES, Case

FACTS = ('partial', 'partials', 'adjoint', 'gradient', 'jvp')
FACTOR = 1 + 1e-7


@dataclass
class Mutant:
    """One broken rule.

    Parameters
    ----------
    name
        What is broken, and how.
    patch
        A context manager that breaks it; it counts in ``applied`` how often it changed anything.
    cases
        The names of the cases that use the rule.
    """

    name: str
    patch: Callable[['Mutant'], Any]
    cases: list[str]
    applied: int = 0
    same: int = 0
    killed_by: str = ''
    notes: list[str] = field(default_factory=list)


def flip(value: Any) -> Any:
    return None if value is None else -value


def stretch(value: Any) -> Any:
    return None if value is None else value * FACTOR


def drop(value: Any) -> Any:
    del value


CHANGES: dict[str, Callable[[Any], Any]] = {'sign flipped': flip, 'factor 1 + 1e-7': stretch, 'dropped': drop}


def is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, ad.Node) and value.op is ad.zeros_like)


def changed_at(mutant: Mutant, position: int | None, change: Callable[[Any], Any], result: Any) -> Any:
    """Change one entry of what a rule returned, or all of it where it is no sequence."""
    if position is None:
        if is_nothing(result):
            return result
        mutant.applied += 1
        return change(result)
    entries = list(result)
    if position >= len(entries) or is_nothing(entries[position]):
        return result
    mutant.applied += 1
    entries[position] = change(entries[position])
    return entries


def swapped(mutant: Mutant, result: Any) -> Any:
    entries = list(result)
    if len(entries) < 2 or is_nothing(entries[0]) or is_nothing(entries[1]):
        return result
    mutant.applied += 1
    alike = entries[0] is entries[1] or (not isinstance(entries[0], ad.Node) and entries[0] == entries[1])
    mutant.same += alike
    entries[0], entries[1] = entries[1], entries[0]
    return entries


def wrapping(cls: type, fact: str, change: Callable[[Mutant, Any], Any]) -> Callable[[Mutant], Any]:
    """A patch of a method that changes what it returns."""

    @contextmanager
    def patch(mutant: Mutant) -> Generator[None]:
        original = cls.__dict__[fact]

        def broken(*args: Any) -> Any:
            return change(mutant, original(*args))

        with mock.patch.object(cls, fact, broken):
            yield

    return patch


def replacing(modules: list[Any], name: str, broken: Callable[..., Any]) -> Callable[[Mutant], Any]:
    """A patch of a function in the modules that use it."""

    @contextmanager
    def patch(mutant: Mutant) -> Generator[None]:
        def counted(*args: Any) -> Any:
            mutant.applied += 1
            return broken(*args)

        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(mock.patch.object(module, name, counted))
            yield

    return patch


def users(cls: type) -> list[str]:
    """The cases of the ops that inherit from a class."""
    return [n for n in CASES if isinstance(ad.registry().get(n.split('/')[0]), cls)]


def classes() -> list[type]:
    """Every class of ours that states a fact: of the ops, and of the kinds."""
    found: dict[type, None] = {}
    for op in ad.registry().values():
        for cls in type(op).__mro__:
            if cls.__module__.startswith('adjoint.ops.'):
                found[cls] = None
    return sorted(found, key=lambda c: (c.__module__, c.__qualname__))


def mutants() -> Iterator[Mutant]:
    """Every mutant, of ops first and of what all share last."""
    for cls in classes():
        names = users(cls)
        for fact in FACTS:
            if fact not in cls.__dict__ or not names:
                continue
            positions = [None] if fact in {'partial', 'jvp'} else [0, 1, 2]
            for position in positions:
                for how, change in CHANGES.items():
                    place = '' if position is None else f' {position}'
                    yield Mutant(
                        f'{cls.__qualname__}.{fact}{place}: {how}',
                        wrapping(cls, fact, lambda m, r, p=position, c=change: changed_at(m, p, c, r)),
                        names,
                    )
            if positions != [None]:
                yield Mutant(f'{cls.__qualname__}.{fact}: swapped', wrapping(cls, fact, swapped), names)
    yield Mutant(
        'elementwise: conjugate left out',
        replacing([elementwise], '_conjugate', lambda partial: partial),
        users(kinds.Elementwise),
    )
    using = [m for m in FAMILIES if 'conj' in vars(m)]
    for module in using:
        yield Mutant(
            f'{module.__name__.split(".")[-1]}: conj left out',
            replacing([module], 'conj', lambda a: a),
            [n for n in CASES if type(ad.registry().get(n.split('/')[0])).__module__ == module.__name__]
            or list(CASES),
        )
    for module in [*FAMILIES, elementwise]:
        if vars(module).get('sum_to_like') is sum_to_like and 'linear' not in module.__name__:
            yield Mutant(
                f'{module.__name__.split(".")[-1]}: sum_to_like left out',
                replacing([module], 'sum_to_like', lambda a, like: a),
                list(CASES)
                if module is elementwise
                else [
                    n for n in CASES if type(ad.registry().get(n.split('/')[0])).__module__ == module.__name__
                ],
            )
    yield Mutant(
        'reduction: unreduced does not expand over the right axes',
        replacing([reduction], 'unreduced', lambda ct, y: ad.expand_as(ct, y.inputs[0])),
        users(kinds.Reduction),
    )
    yield Mutant(
        'layernorm: rsqrt of the variance left out',
        replacing([normalise], 'rsqrt', lambda a: ad.ones_like(a)),
        users(normalise.LayerNorm),
    )


def fact_of(mutant: Mutant) -> str:
    """The rule that a mutant breaks, without the position and the way."""
    return mutant.name.split(':')[0].split(' ')[0]


def broken_by(case: Case) -> str:
    """What of the battery fails on a case, the fastest claims first; empty where all holds."""
    for order in (1, case.order):
        for each in case.samples:
            report = check_op(case.build, each, reference=case.reference, order=order)
            if not report.ok:
                return report.failures[0].claim if report.failures else 'nothing was checked'
    if case.conventions:
        report = check_op(case.build, conventions=case.conventions)
        if not report.ok:
            return 'conventions'
    return ''


def hunt(mutant: Mutant) -> None:
    """Look for a case that notices."""
    with mutant.patch(mutant):
        for name in mutant.cases:
            before = mutant.applied
            try:
                claim = broken_by(CASES[name])
            except Exception as error:  # noqa: BLE001 a mutant that breaks the check is noticed too
                claim = type(error).__name__
            if claim and mutant.applied > before:
                mutant.killed_by = f'{name}: {claim}'
                return


def main(argv: list[str] | None = None) -> int:
    """Print how many mutants there were and how many were noticed; 1 where one survived."""
    parser = argparse.ArgumentParser(description='Break every rule; the battery has to notice each.')
    parser.add_argument('--only', default='', help='only mutants whose name contains this')
    parser.add_argument('--verbose', action='store_true', help='say what killed each')
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    console = Console()
    chosen = [m for m in mutants() if options.only in m.name]
    for mutant in track(chosen, 'hunting', console=console, disable=not console.is_terminal):
        hunt(mutant)
    real = [m for m in chosen if m.applied and m.same < m.applied]
    equal = [m for m in chosen if m.applied and m.same == m.applied]
    silent = [m for m in chosen if not m.applied]
    # A fact of which no change had any effect was never used: the samples do not reach it.
    reached = {fact_of(m) for m in chosen if m.applied}
    unreached = sorted({fact_of(m) for m in silent} - reached)
    alive = [m for m in real if not m.killed_by]
    if options.verbose:
        for mutant in real:
            console.print(f'  {mutant.name}: {mutant.killed_by or "ALIVE"}', highlight=False)
    console.print(f'killed {len(real) - len(alive)} of {len(real)} mutants')
    console.print(f'{len(equal)} are equivalent: the two cotangents that were swapped are the same')
    console.print(f'{len(silent)} changed nothing: no cotangent stands at that position, or none flows')
    for mutant in alive:
        console.print(f'  ALIVE {mutant.name}', highlight=False)
    for fact in unreached:
        console.print(f'  never flows: {fact}', highlight=False)
    return 1 if alive or not real else 0


if __name__ == '__main__':
    sys.exit(main())
