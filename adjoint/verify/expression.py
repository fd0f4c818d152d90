"""Expressions as people write them, ``log(x)*y + x**2``, read into a graph.

Python's `ast` module takes the text apart; nothing is ever evaluated as Python. Only what stands in the
tables here has a meaning.
"""

import ast
import difflib
import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import torch

from adjoint.core.errors import AdjointError
from adjoint.core.node import Node
from adjoint.core.source import Location, located_at
from adjoint.core.tensor_type import TensorType
from adjoint.ops import registry
from adjoint.ops.creation import Variable, constant
from adjoint.ops.elementwise import Binary, Unary
from adjoint.ops.select import clamp, where
from adjoint.verify.scan import ExpressionError, scan, suggestion

__all__ = ['ALIASES', 'CONSTANTS', 'ExpressionError', 'functions', 'parse']

CONSTANTS: Mapping[str, float] = MappingProxyType({'pi': math.pi, 'π': math.pi, 'e': math.e})

ALIASES: Mapping[str, str] = MappingProxyType({
    'ln': 'log',
    'lg': 'log10',
    'power': 'pow',
    'arcsin': 'asin',
    'arccos': 'acos',
    'arctan': 'atan',
    'arctan2': 'atan2',
    'arcsinh': 'asinh',
    'arccosh': 'acosh',
    'arctanh': 'atanh',
    'arsinh': 'asinh',
    'arcosh': 'acosh',
    'artanh': 'atanh',
    'sgn': 'sign',
    'max': 'maximum',
    'min': 'minimum',
    'logistic': 'sigmoid',
    'ceiling': 'ceil',
    'subtract': 'sub',
    'multiply': 'mul',
    'divide': 'div',
    'negative': 'neg',
})  # fmt: skip

# Ops that are elementwise but stand for parts of rules, or for a form of another op.
_LEFT_OUT = frozenset({
    'add_by_const', 'mul_by_const', 'div_by_const', 'preference', 'in_range', 'greater', 'greater_equal',
    'sgn', 'angle', 'clamp_max_tensor', 'clamp_min_tensor', 'equal', 'frexp_scale',
    # These take a whole number beside their operand.
    'bessel_i', 'bessel_ie', 'bessel_j', 'mvlgamma', 'polygamma', 'spherical_bessel_j',
})  # fmt: skip

_FOLDED: Mapping[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}

# The largest int that float64 holds with all its neighbours.
_EXACT = 2**53

# What a part of the expression is worth: a node, or a number that is folded with its neighbours.
_Value: TypeAlias = 'Node | int | float'


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the notation: what builds its node, and its number of arguments."""

    build: Callable[..., Node]
    arity: int
    numbers: int = 0  # how many of the last arguments have to be numbers


def functions() -> dict[str, int]:
    """The names that :func:`parse` can call, with the number of arguments of each.

    Examples
    --------
    >>> known = functions()
    >>> known['sin'], known['ln'], known['atan2'], known['where']
    (1, 1, 2, 3)
    """
    return {name: function.arity for name, function in _functions().items()}


def parse(
    text: str, *, variables: Collection[str] | None = None, type: TensorType | None = None
) -> tuple[Node, dict[str, Node]]:
    """Read an expression into a graph.

    Parameters
    ----------
    text : str
        Names, numbers, ``+ - * / **``, round brackets, the constants ``pi`` and ``e``, and calls of the
        elementwise ops by their names, or by common ones such as ``ln`` and ``arcsin``.
    variables : collection of str, optional
        The names that may stand in it. Without them every name that is no function or constant is
        a variable.
    type : TensorType, optional
        The type of the variables. Without one the graph takes values of any shape and dtype.

    Returns
    -------
    node : Node
        The value of the expression. Each node knows its place in the text.
    variables : dict of str to Node
        The variables, in the order in which they first stand in the text.

    Raises
    ------
    ExpressionError
        The text is no such expression; the message shows the place.

    Notes
    -----
    As in Python, ``**`` binds more strongly than a minus before it and groups from the right:
    ``-x**2`` is ``-(x**2)``, and ``x**y**z`` is ``x**(y**z)``. Operations on numbers alone are done
    at once, in float64, or exactly while they are integers.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> y, variables = parse('log(x)*y + x**2')
    >>> list(variables)
    ['x', 'y']
    >>> ad.Evaluator([y]).run({variables['x']: torch.tensor(1.0), variables['y']: torch.tensor(5.0)})
    [tensor(1.)]
    """
    line = ''.join(' ' if character.isspace() else character for character in text).strip()
    scan(line)
    reader = _Reader(line, _functions(), None if variables is None else list(variables), type)
    value = reader.read(_tree(line))
    return reader.node(value, 0, len(line)), reader.variables


def _functions() -> dict[str, _Function]:
    found: dict[str, _Function] = {}
    for name, op in registry().items():
        if name not in _LEFT_OUT and isinstance(op, (Unary, Binary)):
            found[name] = _Function(op, 1 if isinstance(op, Unary) else 2)
    found['where'] = _Function(where, 3)
    found['clamp'] = _Function(clamp, 3, numbers=2)
    found |= {alias: found[name] for alias, name in ALIASES.items()}
    return found


def _tree(line: str) -> ast.expr:
    try:
        return ast.parse(line, mode='eval').body
    except (RecursionError, MemoryError) as error:
        raise _too_deep(line) from error
    except (SyntaxError, ValueError) as error:
        message = str(error.msg if isinstance(error, SyntaxError) else error)
        if 'too many nested' in message:
            raise _too_deep(line) from error
        if 'integer string conversion' in message:
            raise ExpressionError(
                'a number is too large: more than 4300 digits', line, 0, len(line)
            ) from error
        offset = (error.offset or 1) - 1 if isinstance(error, SyntaxError) else 0
        raise ExpressionError(f'this cannot be read: {message}', line, offset, offset + 1) from error


def _too_deep(line: str) -> ExpressionError:
    return ExpressionError(
        'the expression nests too deeply for Python to parse: brackets may nest about 200 deep, and '
        'about 1000 operators may follow each other',
        line, 0, 1,
        'build the graph with the ops themselves, which has no such limit',
    )  # fmt: skip


@dataclass(slots=True)
class _Reader:
    """Turns the tree of one expression into nodes, children before parents, without recursion."""

    line: str
    functions: Mapping[str, _Function]
    allowed: list[str] | None
    type: TensorType | None
    variables: dict[str, Node] = field(default_factory=dict[str, Node])

    def read(self, tree: ast.expr) -> _Value:
        values: list[_Value] = []
        todo: list[tuple[ast.expr, bool]] = [(tree, False)]
        while todo:
            part, is_ready = todo.pop()
            children = self._children(part)
            if children and not is_ready:
                todo.append((part, True))
                todo.extend((child, False) for child in reversed(children))
                continue
            operands = values[len(values) - len(children) :]
            del values[len(values) - len(children) :]
            values.append(self._value(part, operands))
        return values[0]

    def _children(self, part: ast.expr) -> list[ast.expr]:
        match part:
            case ast.BinOp(left=left, right=right, op=op) if type(op) in _FOLDED:
                return [left, right]
            case ast.UnaryOp(operand=operand, op=ast.USub() | ast.UAdd()):
                return [operand]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                self._check_call(part, name, len(args))
                return args
            case ast.Constant() | ast.Name():
                return []
            case _:
                what = type(part).__name__
                raise self._error(f'{what} is a construct that has no meaning here', part)

    def _value(self, part: ast.expr, operands: list[_Value]) -> _Value:
        match part:
            case ast.Constant(value=value):
                return self._number(value, part)
            case ast.Name(id=name):
                return self._name(name, part)
            case ast.UnaryOp(op=op):
                (x,) = operands
                if isinstance(op, ast.UAdd):
                    return x
                return self._built(operator.neg, operands, part)
            case ast.BinOp(op=op):
                return self._built(_FOLDED[type(op)], operands, part)
            case ast.Call(func=ast.Name(id=name)):
                return self._called(self.functions[name], name, operands, part)
            case _:  # pragma: no cover - `_children` has refused it
                raise self._error('this has no meaning here', part)

    def node(self, value: _Value, start: int, end: int) -> Node:
        """A node for a value: a constant, where it is a number."""
        if isinstance(value, Node):
            return value
        with located_at(self._location(start, end)):
            return constant(torch.tensor(float(value), dtype=torch.float64))

    def _number(self, value: object, part: ast.expr) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._error(f'{value!r} is no number', part)
        if not _is_finite(value):
            raise self._error('this number is too large for float64 (the largest is 1.8e308)', part)
        return value

    def _name(self, name: str, part: ast.expr) -> _Value:
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in self.functions:
            raise self._error(
                f'{name!r} is a function',
                part,
                f'write {name}(...), or give the variable another name',
            )
        if self.allowed is not None and name not in self.allowed:
            close = difflib.get_close_matches(name, [*self.allowed, *CONSTANTS], 2)
            known = f'the variables are {", ".join(self.allowed)}'
            hint = suggestion(close) or (known if self.allowed else 'only numbers can stand here')
            raise self._error(f'there is no variable {name!r}', part, hint)
        if name not in self.variables:
            known = self.type or TensorType()
            start, end = self._place(part)
            with located_at(self._location(start, end)):
                self.variables[name] = Variable(name, known.shape, known.dtype, known.device)
        return self.variables[name]

    def _built(self, function: Callable[..., Any], operands: list[_Value], part: ast.expr) -> _Value:
        if not any(isinstance(x, Node) for x in operands):
            return self._folded(function, [x for x in operands if not isinstance(x, Node)], part)
        with located_at(self._location(*self._place(part))):
            return function(*operands)

    def _folded(
        self, function: Callable[..., Any], numbers: list[int | float], part: ast.expr
    ) -> int | float:
        value: Any
        try:
            value = function(*(float(x) for x in numbers))
        except ZeroDivisionError:
            raise self._error('this divides by zero', part) from None
        except OverflowError:
            value = math.inf
        if isinstance(value, complex):
            raise self._error('this root of a negative number is not real', part)
        if not _is_finite(value):
            raise self._error('this number is too large for float64 (the largest is 1.8e308)', part)
        whole = all(isinstance(x, int) for x in numbers) and value.is_integer()
        return int(value) if whole and abs(value) < _EXACT else value

    def _called(self, function: _Function, name: str, operands: list[_Value], part: ast.expr) -> Node:
        start, end = self._place(part)
        given: list[Any] = list(operands)
        first_number = function.arity - function.numbers
        for x in given[first_number:]:
            if isinstance(x, Node):
                raise self._error(
                    f'the last {function.numbers} arguments of {name} are numbers', part,
                    'use maximum and minimum for bounds that vary',
                )  # fmt: skip
        # A number alone would become a constant of torch's default dtype, which is float32.
        only_numbers = not any(isinstance(x, Node) for x in given[:first_number])
        for i in range(first_number):
            if (only_numbers and i == 0) or (name == 'where' and i == 0):
                given[i] = self.node(given[i], start, end)
        if name == 'where' and not any(isinstance(x, Node) for x in given[1:]):
            given[1] = self.node(given[1], start, end)
        try:
            with located_at(self._location(start, end)):
                return function.build(*given)
        except AdjointError as error:
            raise self._error(str(error).partition('\n')[0], part) from error

    def _check_call(self, part: ast.expr, name: str, count: int) -> None:
        function = self.functions.get(name)
        if function is None:
            close = difflib.get_close_matches(name, self.functions, 2)
            hint = suggestion(close) or f'for a product write {name}*(...)'
            raise self._error(f'there is no function {name!r}', part, hint, len(name))
        if count != function.arity:
            plural = 's' if function.arity > 1 else ''
            raise self._error(f'{name} takes {function.arity} argument{plural}, and got {count}', part)

    def _place(self, part: ast.expr) -> tuple[int, int]:
        # Columns of `ast` count bytes of UTF-8.
        encoded = self.line.encode()
        end = len(encoded) if part.end_col_offset is None else part.end_col_offset
        return len(encoded[: part.col_offset].decode()), len(encoded[:end].decode())

    def _location(self, start: int, end: int) -> Location:
        return Location('<expression>', 1, 'expression', self.line, start, end)

    def _error(
        self, reason: str, part: ast.expr, hint: str = '', width: int | None = None
    ) -> ExpressionError:
        start, end = self._place(part)
        return ExpressionError(reason, self.line, start, end if width is None else start + width, hint)


def _is_finite(value: int | float) -> bool:  # noqa: PYI041 both come
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
