"""Symbolic differentiation: the closed form, through sympy.

A graph of elementwise ops becomes a sympy expression by the formulas that its ops state, and a sympy
expression becomes a graph. What sympy derives has not seen any rule of ours, which makes it a witness.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as untyped_sympy

from adjoint.core.node import Node
from adjoint.verify.expression import ExpressionError, parse
from adjoint.verify.from_sympy import from_sympy
from adjoint.verify.scan import suggestion
from adjoint.verify.to_sympy import LARGEST, ExpressionTooLarge, symbols_of, to_sympy

__all__ = [
    'ExpressionError',
    'ExpressionTooLarge',
    'derivative',
    'from_sympy',
    'parse',
    'symbols_of',
    'to_sympy',
    'value',
]

sympy: Any = untyped_sympy  # it ships no types

# Above this many parts no shorter form is looked for: factoring takes too long.
_TIDY = 400

_DIGITS = 50

# Integers up to here are computed with exactly, so that even powers of negative numbers are.
_SMALL = 1000


def derivative(expression: str | Node, wrt: str | Node | Sequence[str | Node], order: int = 1) -> Any:
    """The derivative in closed form.

    Parameters
    ----------
    expression : str or Node
        As :func:`parse` reads it, or a scalar or elementwise graph.
    wrt : str, Node, or sequence of them
        The variable; several for a mixed derivative, one after the other.
    order : int
        How often all of ``wrt`` is gone through.

    Returns
    -------
    sympy.Expr
        In real symbols, written as briefly as the usual rearrangements manage.

    Raises
    ------
    ExpressionError
        The text cannot be read.
    ValueError
        There is no such variable, or the order is negative.
    UnsupportedOpError
        An op has no closed form; it is named, with the line that wrote it.
    ExpressionTooLarge
        The graph nests deeper than sympy can go, or its closed form, in which shared parts are written
        out, has more than 20,000 of them.

    Notes
    -----
    It is the derivative where there is one: the derivative of a step (``floor``, ``sign``, a Heaviside
    function) is 0, with no Dirac delta at the jump. ``Heaviside(0)`` is 1/2, which at a tie of ``maximum``
    is the convention of the graph, and at the kink of ``relu`` is not (there the graph has 0).

    Examples
    --------
    >>> derivative('log(x)*y + x**2', 'x')
    2*x + y/x
    >>> derivative('sin(x)', 'x', order=2)
    -sin(x)
    >>> import adjoint as ad
    >>> x, y = ad.Variable('x'), ad.Variable('y')
    >>> derivative(ad.exp(x * y), [x, y])
    (x*y + 1)*exp(x*y)
    """
    if order < 0:
        msg = f'the order of a derivative is 0 or more; got {order}'
        raise ValueError(msg)
    node = parse(expression)[0] if isinstance(expression, str) else expression
    symbols = symbols_of(node)
    path = [wrt] if isinstance(wrt, (str, Node)) else list(wrt)
    chosen = [_symbol(x, symbols) for x in path] * order
    try:
        closed = to_sympy(node)
        for symbol in chosen:
            closed = _without_jumps(sympy.diff(closed, symbol))
            _check_size(closed, node)
        return _tidied(closed) if chosen else closed
    except RecursionError as error:
        msg = (
            f"sympy differentiates by recursion, and the closed form of '{node}' nests too deeply for "
            f'it: differentiate the graph with gradients, which has no such limit\n{node.location}'
        )
        raise ExpressionTooLarge(msg) from error


def value(expression: Any, values: Mapping[str, float]) -> float:
    """The value of a closed form, computed with 50 digits and rounded once.

    Parameters
    ----------
    expression : sympy.Expr
        In symbols that all have a value.
    values : mapping of str to float
        By name.

    Returns
    -------
    float
        nan where the value is not real or not defined, an infinity at a pole with a sign.

    Raises
    ------
    ValueError
        A symbol has no value.

    Examples
    --------
    >>> value(derivative('log(x)*y + x**2', 'x'), {'x': 2.0, 'y': 3.0})
    5.5
    """
    expression = sympy.sympify(expression)
    missing = sorted(s.name for s in expression.free_symbols if s.name not in values)
    if missing:
        msg = f'the closed form needs values for {", ".join(missing)}'
        raise ValueError(msg)
    given = {s: _number(values[s.name]) for s in expression.free_symbols}
    found = sympy.N(expression.xreplace(given), _DIGITS)
    if found.is_Number:
        return float(found)
    real, imaginary = found.as_real_imag() if found.is_number else (sympy.nan, sympy.nan)
    return float(real) if real.is_Number and imaginary.is_zero else math.nan


def _number(x: float) -> Any:
    return sympy.Integer(int(x)) if x.is_integer() and abs(x) < _SMALL else sympy.Float(x, _DIGITS)


def _symbol(wrt: str | Node, symbols: Mapping[Node, Any]) -> Any:
    names = {symbol.name: symbol for symbol in symbols.values()}
    if isinstance(wrt, Node):
        if wrt in symbols:
            return symbols[wrt]
        hint = 'it is no variable of this graph'
    elif wrt in names:
        return names[wrt]
    else:
        hint = suggestion(difflib.get_close_matches(wrt, names, 2))
    known = ', '.join(names) or 'none'
    msg = f"there is no variable '{wrt}' to differentiate by; the variables are {known}. {hint}"
    raise ValueError(msg.strip())


def _check_size(expression: Any, node: Node) -> None:
    size = _size(expression)
    if size > LARGEST:
        msg = (
            f"the derivative of '{node}' has {size:.2g} parts when shared ones are written out, too many for "
            f'sympy to go on with: differentiate the graph with gradients, where they stay shared\n'
            f'{node.location}'
        )
        raise ExpressionTooLarge(msg)


def _sizes(expression: Any) -> dict[Any, int]:
    """The number of parts of every part, those that occur several times counted as often.

    Each different part is looked at once: written out, they may be exponentially many.
    """
    sizes: dict[Any, int] = {}
    todo = [expression]
    while todo:
        part = todo[-1]
        pending = [x for x in part.args if x not in sizes]
        if pending:
            todo.extend(pending)
            continue
        todo.pop()
        sizes[part] = 1 + sum(sizes[x] for x in part.args)
    return sizes


def _size(expression: Any) -> int:
    return _sizes(expression)[expression]


def _without_jumps(expression: Any) -> Any:
    """Take the derivative of a step as 0, where sympy has a Dirac delta or leaves it standing."""

    def is_jump(part: Any) -> bool:
        if isinstance(part, sympy.Derivative):
            return part.has(sympy.floor, sympy.ceiling)
        # The inner parts come first, so that of the chain rule's placeholder for it a 0 is left.
        return isinstance(part, sympy.DiracDelta) or (isinstance(part, sympy.Subs) and part.expr == 0)

    unfinished = (sympy.DiracDelta, sympy.Derivative, sympy.Subs)
    if not any(isinstance(part, unfinished) for part in _sizes(expression)):
        return expression
    return expression.replace(is_jump, _nothing)


def _nothing(_: Any) -> Any:
    return sympy.Integer(0)


def _tidied(expression: Any) -> Any:
    """The shortest of a few forms; sympy's own `simplify` would take seconds."""
    if _size(expression) > _TIDY:
        return expression
    forms = [sympy.powsimp(expression), expression, sympy.factor_terms(expression)]
    # These would go from exact numbers to floats, or distribute over the branches.
    if not expression.has(sympy.Piecewise, sympy.Float):
        forms += [sympy.together(expression), sympy.cancel(expression), sympy.factor(expression)]
    return min(forms, key=sympy.count_ops)
