"""What of a rule can be broken, and the rule broken."""

import types
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

import adjoint as ad

FACTS = ('partial', 'partials', 'adjoint', 'gradient', 'jvp')
SINGLE = ('partial', 'jvp')  # these return one value, the others one for each operand
POSITIONS = 3
FACTOR = 1 + 1e-7

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


def rules_named(only: str) -> list[tuple[type, str]]:
    """The stated facts whose name contains a word."""
    return [(cls, fact) for cls, fact in rules() if only in f'{cls.__qualname__}.{fact}']


def mutants() -> Iterator[Mutant]:
    """Every mutant of every rule."""
    for cls, fact in rules():
        rule = f'{cls.__qualname__}.{fact}'
        for position in map(str, range(POSITIONS)):
            for how, change in CHANGES.items():
                yield Mutant(Place(rule, position), how, cls, fact, change)
            yield Mutant(Place(rule, f'nothing {position}'), 'ones flow', cls, fact, ad.ones_like)
        yield Mutant(Place(rule, 'pair'), 'swapped', cls, fact)
        for word in words_of(underlying(cls, fact)):
            yield Mutant(Place(rule, word), 'left out', cls, fact)


def with_words(rule: Any, words: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """A rule for which some of the words that it is written with mean something else."""
    return types.FunctionType(
        rule.__code__, {**rule.__globals__, **words}, rule.__name__, rule.__defaults__, rule.__closure__
    )


def broken(mutant: Mutant) -> Callable[..., Any]:
    """A rule with a change."""
    rule = underlying(mutant.cls, mutant.fact)
    what = mutant.place.what
    if what in WORDS:
        return with_words(rule, {what: lambda *operands: operands[0]})

    def changed(*args: Any) -> Any:
        entries = entries_of(mutant.fact, rule(*args))
        if what == 'pair':
            swap(entries)
        else:
            replace(mutant, entries, args)
        return packed(mutant.fact, entries)

    return changed


def swap(entries: list[Any]) -> None:
    if len(flowing := flowing_in(entries)) > 1:
        i, j = flowing[:2]
        entries[i], entries[j] = entries[j], entries[i]


def replace(mutant: Mutant, entries: list[Any], args: tuple[Any, ...]) -> None:
    flows = mutant.place.what.isdigit()
    position = int(mutant.place.what.removeprefix('nothing '))
    if position < len(entries) and is_nothing(entries[position]) != flows:
        given = entries[position] if flows else inputs_of(args)[position]
        entries[position] = mutant.change(given)


@contextmanager
def patched(cls: type, fact: str, rule: Callable[..., Any]) -> Generator[None]:
    def method(*args: Any) -> Any:
        return rule(*args)

    is_static = isinstance(cls.__dict__[fact], staticmethod)
    with mock.patch.object(cls, fact, staticmethod(method) if is_static else method):
        yield
