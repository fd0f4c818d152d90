"""From a closed form to the graph: what sympy has found, as something that runs."""

import difflib
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import sympy as untyped_sympy
import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops import bessel, gamma, registry
from adjoint.ops.arithmetic import neg, reciprocal, rsqrt, sqrt, square
from adjoint.ops.creation import constant
from adjoint.ops.elementwise import Binary, Elementwise
from adjoint.ops.formula import formula_of
from adjoint.ops.linear import conj, imag, real
from adjoint.ops.select import maximum, minimum, where
from adjoint.ops.step import eq, ge, greater, greater_equal, gt, le, lt, ne, preference
from adjoint.ops.trigonometric import cos, sin, tan
from adjoint.verify.scan import suggestion

__all__ = ['from_sympy']

sympy: Any = untyped_sympy  # it ships no types

# What a part of the expression becomes: a node, or a number that its parent takes as a number.
_Value: TypeAlias = 'Node | int | float | complex'

# From a part to what it became: operators between the two are found when they run, so that it is `Any`.
_Built: TypeAlias = Mapping[Any, Any]


def from_sympy(expression: Any, variables: Mapping[str, Node]) -> Node:
    """A graph that computes a sympy expression.

    Parameters
    ----------
    expression : sympy.Expr
        Of numbers, symbols, sums, products, powers, ``Piecewise``, ``Max``, ``Min``, ``Heaviside``,
        conditions, and every function that one of our ops is.
    variables : mapping of str to Node
        What each symbol stands for, by its name; any nodes.

    Returns
    -------
    Node
        Equal parts of the expression are one node of the graph.

    Raises
    ------
    UnsupportedOpError
        The expression has a symbol without a node, or a function that no op of ours is; it is named.

    Notes
    -----
    Where no branch of a ``Piecewise`` holds, the value is nan. Conditions are combined as 0 and 1.

    Examples
    --------
    >>> import sympy, torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> y = from_sympy(sympy.sympify('sqrt(x) + 1/x'), {'x': x})
    >>> ad.Evaluator([y]).run({x: torch.tensor(4.0)})
    [tensor(2.2500)]
    """
    built: dict[Any, _Value] = {}
    todo: list[Any] = [sympy.sympify(expression)]
    while todo:
        part = todo[-1]
        _check_known(part)
        pending = [argument for argument in _parts(part) if argument not in built]
        if pending:
            todo.extend(reversed(pending))
            continue
        todo.pop()
        if part not in built:
            built[part] = _built(part, built, variables)
    value = built[sympy.sympify(expression)]
    return value if isinstance(value, Node) else _constant(value)


def _parts(part: Any) -> Sequence[Any]:
    """What has to be built before a part is."""
    if part.is_Piecewise:
        return [x for pair in part.args for x in pair.args]
    if isinstance(part, sympy.Heaviside):
        return part.args[:1]
    if part.is_Pow and part.exp.is_Number:
        return [part.base]
    if part.is_Mul:
        numerator, denominator = _fraction(part)
        return [*numerator, *denominator]
    if part.is_Number or part.is_NumberSymbol:
        return []
    return part.args


def _built(part: Any, built: _Built, variables: Mapping[str, Node]) -> _Value:
    if part.is_Symbol:
        return _variable(part.name, variables)
    if part in _ATOMS:
        return _ATOMS[part]
    if part.is_Number or part.is_NumberSymbol:
        return _number(part)
    build = _builder(part)
    if build is not None:
        return build(part, built)
    op, letters, order = _function_ops()[part.func]
    by_letter = dict(zip(letters, part.args, strict=True))
    operands: list[Any] = [built[by_letter[letter]] for letter in order]
    # A number alone would become a constant of torch's default dtype, which is float32.
    if not any(isinstance(x, Node) for x in operands):
        operands[0] = _constant(operands[0])
    return op(*operands)


def _builder(part: Any) -> Callable[[Any, _Built], _Value] | None:
    return next((build for kind, build in _BUILDERS.items() if isinstance(part, kind)), None)


def _check_known(part: Any) -> None:
    is_leaf = part.is_Symbol or part in _ATOMS or part.is_Number or part.is_NumberSymbol
    if is_leaf or _builder(part) is not None or part.func in _function_ops():
        return
    raise UnsupportedOpError(
        f'{part.func.__name__} has no op here, so {_shortened(part)} cannot become a graph; '
        f'known are {", ".join(sorted({f.__name__ for f in _function_ops()}))}, sums, products, '
        f'powers, Piecewise, Max, Min and Heaviside'
    )


@functools.cache
def _function_ops() -> Mapping[Any, tuple[Any, tuple[Any, ...], tuple[Any, ...]]]:
    """Which op each function of sympy is, from the formulas that are one function of the operands.

    With the op come the letters of its formula as the function takes them, and as the op does.
    """
    found: dict[Any, tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = {}
    for op in registry().values():
        if not isinstance(op, Elementwise) or op.formula is None:
            continue
        count = 2 if isinstance(op, Binary) else 1
        expression, letters = formula_of(op, count)
        if isinstance(expression, sympy.Function) and sorted(expression.args, key=str) == [*letters]:
            found[expression.func] = op, tuple(expression.args), letters
    return MappingProxyType(found)


def _variable(name: str, variables: Mapping[str, Node]) -> Node:
    if name in variables:
        return variables[name]
    close = suggestion(difflib.get_close_matches(name, variables, 2))
    raise UnsupportedOpError(
        f'symbol {name!r} stands for no node: {close or "give it one"}; the variables are '
        f'{", ".join(map(str, variables)) or "none"}'
    )


def _number(number: Any) -> int | float:
    if number.is_Integer and abs(int(number)) < 2**53:
        return int(number)
    return float(number)


def _constant(value: int | float | complex) -> Node:  # noqa: PYI041 all three come
    dtype = torch.complex128 if isinstance(value, complex) else torch.float64
    return constant(torch.tensor(value, dtype=dtype))


def _shortened(part: Any) -> str:
    text = str(part)
    return text if len(text) <= 60 else text[:57] + '...'  # noqa: PLR2004 of a terminal's line


def _add(part: Any, built: _Built) -> _Value:
    """A sum, with subtractions where a term is negative and the first term one that is not."""
    terms = sorted(part.as_ordered_terms(), key=lambda term: term.could_extract_minus_sign())
    total: Any = None
    for term in terms:
        value = built[term]
        if total is None:
            total = value
        elif isinstance(value, Node) and value.op is neg:
            total = total - value.inputs[0]
        elif not isinstance(value, Node) and isinstance(value, (int, float)) and value < 0:
            total = total - (-value)
        else:
            total = total + value
    return 0 if total is None else total


def _fraction(part: Any) -> tuple[list[Any], list[Any]]:
    """The factors above and below the line."""
    above: list[Any] = []
    below: list[Any] = []
    for factor in part.args:
        if factor.is_Rational and not factor.is_Integer:
            above += [] if factor.p == 1 else [sympy.Integer(factor.p)]
            below.append(sympy.Integer(factor.q))
        elif factor.is_Pow and factor.exp.is_Number and factor.exp.is_negative:
            below.append(sympy.Pow(factor.base, -factor.exp))
        else:
            above.append(factor)
    return above, below


def _mul(part: Any, built: _Built) -> _Value:
    above, below = ([built[factor] for factor in factors] for factors in _fraction(part))
    negative = bool(above) and not isinstance(above[0], (Node, complex)) and above[0] < 0
    if negative:
        above[0] = -above[0]
    if len(above) > 1 and not isinstance(above[0], Node) and above[0] == 1:
        above = above[1:]
    value: Any = functools.reduce(operator.mul, above) if above else 1
    if below:
        value = value / functools.reduce(operator.mul, below)
    return -value if negative else value


def _pow(part: Any, built: _Built) -> _Value:
    base = built[part.base]
    exponent = part.exp
    if not isinstance(base, Node) and exponent.is_Number:
        base = _constant(base)
    if isinstance(base, Node) and exponent in _POWERS:
        return _POWERS[exponent](base)
    value = _number(exponent) if exponent.is_Number else built[exponent]
    return base**value


def _extreme(op: Callable[[Any, Any], Node]) -> Callable[[Any, _Built], _Value]:
    return lambda part, built: functools.reduce(op, [built[x] for x in part.args])


def _heaviside(part: Any, built: _Built) -> _Value:
    x = built[part.args[0]]
    node = x if isinstance(x, Node) else _constant(x)
    at_zero = part.args[1] if len(part.args) > 1 else sympy.Rational(1, 2)
    if at_zero in _STEPS:
        return _STEPS[at_zero](node, 0)
    return where(gt(node, 0), 1.0, where(eq(node, 0), _constant(float(at_zero)), 0.0))


def _piecewise(part: Any, built: _Built) -> _Value:
    value: _Value = float('nan')
    for expression, condition in reversed(part.args):
        chosen: Any = built[expression]
        if condition == sympy.true:
            value = chosen
            continue
        # Of two numbers torch would make its default dtype, which is float32.
        if not (isinstance(chosen, Node) or isinstance(value, Node)):
            chosen = _constant(chosen)
        value = where(built[condition], chosen, value)
    return value


def _relation(op: Callable[[Any, Any], Node]) -> Callable[[Any, _Built], _Value]:
    def build(part: Any, built: _Built) -> _Value:
        a, b = (built[x] for x in part.args)
        return op(a if isinstance(a, Node) or isinstance(b, Node) else _constant(a), b)

    return build


def _all(part: Any, built: _Built) -> _Value:
    return functools.reduce(operator.mul, [built[x] for x in part.args])


def _any(part: Any, built: _Built) -> _Value:
    return functools.reduce(lambda a, b: gt(a + b, 0), [built[x] for x in part.args])


def _polygamma(part: Any, built: _Built) -> _Value:
    order, x = part.args
    return gamma.polygamma(int(order), built[x]) if order else gamma.digamma(built[x])


def _bessel(first: Op, second: Op, further: Callable[[Any, int], Node]) -> Callable[[Any, _Built], _Value]:
    """A Bessel function of a whole order: the two that are ops, and what the others are."""

    def build(part: Any, built: _Built) -> _Value:
        order, x = part.args
        if not order.is_Integer:
            raise UnsupportedOpError(f'{_shortened(part)} has no op here: the order is no whole number')
        n, operand = abs(int(order)), built[x]
        value = (first, second)[n](operand) if n < 2 else further(operand, n)  # noqa: PLR2004 the two
        # Of the negative orders, only the odd ones of J and Y differ.
        differs = order < 0 and n % 2 and part.func in {sympy.besselj, sympy.bessely}
        return -value if differs else value

    return build


def _upwards(first: Op, second: Op, sign: int) -> Callable[[Any, int], Node]:
    """A function of the second kind by the recurrence in its order, upwards, where it loses nothing."""

    def further(x: Any, order: int) -> Node:
        below, value = first(x), second(x)
        for k in range(1, order):
            below, value = value, value * (2 * k) / x + (below if sign > 0 else -below)
        return value

    return further


_BUILDERS: Mapping[Any, Callable[[Any, _Built], _Value]] = MappingProxyType({
    sympy.Add: _add,
    sympy.Mul: _mul,
    sympy.Pow: _pow,
    sympy.Max: _extreme(maximum),
    sympy.Min: _extreme(minimum),
    sympy.Heaviside: _heaviside,
    sympy.Piecewise: _piecewise,
    sympy.Gt: _relation(gt),
    sympy.Ge: _relation(ge),
    sympy.Lt: _relation(lt),
    sympy.Le: _relation(le),
    sympy.Eq: _relation(eq),
    sympy.Ne: _relation(ne),
    sympy.And: _all,
    sympy.Or: _any,
    sympy.Not: lambda part, built: eq(built[part.args[0]], 0),
    sympy.conjugate: lambda part, built: conj(built[part.args[0]]),
    sympy.re: lambda part, built: real(built[part.args[0]]),
    sympy.im: lambda part, built: imag(built[part.args[0]]),
    sympy.polygamma: _polygamma,
    sympy.besselj: _bessel(bessel.bessel_j0, bessel.bessel_j1, bessel.bessel_j),
    sympy.besseli: _bessel(bessel.i0, bessel.i1, bessel.bessel_i),
    sympy.bessely: _bessel(
        bessel.bessel_y0, bessel.bessel_y1, _upwards(bessel.bessel_y0, bessel.bessel_y1, -1)
    ),
    sympy.besselk: _bessel(
        bessel.modified_bessel_k0,
        bessel.modified_bessel_k1,
        _upwards(bessel.modified_bessel_k0, bessel.modified_bessel_k1, 1),
    ),
    sympy.sec: lambda part, built: 1 / cos(built[part.args[0]]),
    sympy.csc: lambda part, built: 1 / sin(built[part.args[0]]),
    sympy.cot: lambda part, built: 1 / tan(built[part.args[0]]),
})  # fmt: skip

# The step functions that are 1 on the right, by their value at 0.
_STEPS: Mapping[Any, Callable[[Node, int], Node]] = MappingProxyType({
    sympy.Integer(0): greater,
    sympy.Rational(1, 2): preference,
    sympy.Integer(1): greater_equal,
})  # fmt: skip

_POWERS: Mapping[Any, Callable[[Node], Node]] = MappingProxyType({
    sympy.Integer(-1): reciprocal,
    sympy.Integer(2): square,
    sympy.Rational(1, 2): sqrt,
    sympy.Rational(-1, 2): rsqrt,
})  # fmt: skip

_ATOMS: _Built = MappingProxyType({
    sympy.I: 1j,
    sympy.oo: float('inf'),
    -sympy.oo: -float('inf'),
    sympy.nan: float('nan'),
    sympy.true: 1,
    sympy.false: 0,
})  # fmt: skip
