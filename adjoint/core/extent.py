"""Sizes that are not known before the run: names, and arithmetic of names."""

import ast
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, Self

__all__ = ['Extent', 'HoldsSizes', 'extents_of', 'names_in', 'resolved_attrs', 'value_of']


def _either(*conditions: bool) -> bool:
    return any(conditions)


def _both(*conditions: bool) -> bool:
    return all(conditions)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    'Eq': operator.eq, 'Ne': operator.ne, 'Or': _either, 'And': _both,
    'Max': max, 'Min': min, 'Mod': operator.mod, 'PythonMod': operator.mod, 'floor': math.floor,
    'ceiling': math.ceil, 'CeilToInt': math.ceil, 'FloorToInt': math.floor, 'TruncToInt': math.trunc,
    'ToFloat': float, 'sqrt': math.sqrt, 'OpaqueUnaryFn_sqrt': math.sqrt, 'FloatTrueDiv': operator.truediv,
    'IntTrueDiv': operator.truediv, 'FloatPow': operator.pow, 'PowByNatural': operator.pow, 'Abs': abs,
}  # fmt: skip


class Extent(str):
    """A size in the attrs of a node, by name or as arithmetic of names, such as ``2*batch + 1``.

    The names are those of sizes of variables; the run knows them from the values that it is given.
    """

    __slots__ = ()


@lru_cache(maxsize=8192)
def _compiled(expression: str) -> tuple[CodeType, frozenset[str]]:
    tree = ast.parse(expression, mode='eval')
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - _FUNCTIONS.keys()
    return compile(tree, '<size>', 'eval'), frozenset(names)


def names_in(sizes: Iterable[str]) -> set[str]:
    """Return the names that expressions of sizes are made of."""
    found: set[str] = set()
    for size in sizes:
        found |= {size} if size.isidentifier() else _compiled(size)[1]
    return found


def value_of(size: str, bindings: Mapping[str, int]) -> Any:
    """Return a size as a number, given its names as numbers.

    Raises
    ------
    KeyError
        A name has no number.
    """
    if size in bindings:
        return bindings[size]
    code, names = _compiled(size)
    return eval(code, {'__builtins__': {}}, {**_FUNCTIONS, **{n: bindings[n] for n in names}})  # noqa: S307 arithmetic, with no names but these


class HoldsSizes(ABC):
    """Kind of the values in the attrs of a node that hold nodes, and sizes by name in these."""

    __slots__ = ()

    @abstractmethod
    def extents(self) -> Iterable[Extent]:
        """Return the sizes by name that nothing inside has a number for."""

    @abstractmethod
    def with_sizes(self, bindings: Mapping[str, int]) -> Self:
        """Return the value with numbers in their place."""


def _extents_in(value: Any) -> Iterable[Extent]:
    if isinstance(value, Extent):
        yield value
    elif isinstance(value, HoldsSizes):
        yield from value.extents()
    elif isinstance(value, tuple):
        for v in value:  # pyright: ignore[reportUnknownVariableType] of anything
            if isinstance(v, (Extent, HoldsSizes, tuple, slice)):
                yield from _extents_in(v)
    elif isinstance(value, slice):
        yield from _extents_in((value.start, value.stop, value.step))


def extents_of(attrs: Mapping[str, Any]) -> list[Extent]:
    """Return the sizes by name in the attrs of a node, also inside tuples and slices."""
    return [e for value in attrs.values() for e in _extents_in(value)]


def resolved_attrs(attrs: Mapping[str, Any], bindings: Mapping[str, int]) -> dict[str, Any]:
    """Return attrs with numbers in the place of sizes by name."""

    def resolved(value: Any) -> Any:
        if isinstance(value, Extent):
            return value_of(value, bindings)
        if isinstance(value, HoldsSizes):
            return value.with_sizes(bindings) if any(True for _ in value.extents()) else value
        if type(value) is tuple:
            return tuple(resolved(v) for v in value)  # pyright: ignore[reportUnknownVariableType] of anything
        if isinstance(value, slice):
            return slice(resolved(value.start), resolved(value.stop), resolved(value.step))
        return value

    return {name: resolved(value) for name, value in attrs.items()}
