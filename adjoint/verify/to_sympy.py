"""From a graph to the closed form: each op's own formula, put together with sympy."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sympy as untyped_sympy
import torch

from adjoint.core.errors import AdjointError, UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.ops.arithmetic import sgn
from adjoint.ops.bessel import bessel_i, bessel_ie, bessel_j, spherical_bessel_j
from adjoint.ops.creation import constant, ones_like, placeholder, zeros_like
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.formula import exact_number, formula_of
from adjoint.ops.gamma import polygamma
from adjoint.ops.linear import cast, conj, expand_as, expand_like, imag, real, sum_to_like
from adjoint.ops.logic import isfinite, isinf, isnan, logical_and, logical_not, logical_or
from adjoint.ops.select import clamp, counted, in_range, where
from adjoint.ops.step import (
    eq,
    ge,
    greater,
    greater_equal,
    gt,
    le,
    lt,
    ne,
    preference,
    trunc,
)  # fmt: skip

__all__ = ['LARGEST', 'ExpressionTooLarge', 'symbols_of', 'to_sympy']

sympy: Any = untyped_sympy  # it ships no types

_NUMBERS = (int, float, complex)

# The most parts that a closed form may have, and up to where they are counted.
LARGEST, _UNCOUNTED = 20_000, 10**30


class ExpressionTooLarge(AdjointError, ValueError):
    """An expression that is too deep for sympy, which works by recursion, or too large to write out."""


def to_sympy(node: Node, names: Mapping[Node, str] | None = None) -> Any:
    """The closed form of a scalar or elementwise graph.

    Parameters
    ----------
    node : Node
        Of any graph of elementwise ops, its gradients among them; the value of one entry is meant.
    names : mapping of Node to str, optional
        The symbols of the variables. Without it their own names, as :func:`symbols_of` gives them.

    Returns
    -------
    sympy.Expr
        In real symbols (complex ones for variables of a complex dtype). Numbers are the simplest that
        float64 rounds to them, see :func:`adjoint.ops.formula.exact_number`.

    Raises
    ------
    UnsupportedOpError
        An op is not elementwise, or has no formula; it is named, with the line that wrote it.
    ExpressionTooLarge
        The graph nests deeper than sympy can go, or has more than 20,000 parts when those that are
        used several times are written out as often. The graph itself has no such limit.

    Examples
    --------
    >>> import adjoint as ad
    >>> x, y = ad.Variable('x'), ad.Variable('y')
    >>> to_sympy(ad.log(x) * y + x ** 2)
    x**2 + y*log(x)
    """
    order = topological_sort(node)
    _check_size(order)
    symbols = symbols_of(node, names)
    # Real tensors stay real in torch, also where sympy would go on with complex numbers.
    is_real = not any(_is_complex(n) for n in order)
    found: dict[Node, Any] = {}
    for n in order:
        try:
            found[n] = symbols[n] if n in symbols else _converted(n, found, is_real=is_real)
        except RecursionError as error:
            msg = (
                f'sympy works by recursion, and this graph nests too deeply for it: it gave up at '
                f"node {len(found)} of {len(order)}, '{n}'. The graph itself has no such limit: "
                f'differentiate it with gradients, or raise sys.setrecursionlimit\n{n.location}'
            )
            raise ExpressionTooLarge(msg) from error
    return _as_number(found[node])


def _check_size(order: Sequence[Node]) -> None:
    """Refuse a graph whose closed form would be too large, before sympy begins with it.

    sympy shares equal parts where it can, but compares and traverses them as if it did not.
    """
    sizes: dict[Node, int] = {}
    for n in order:
        # Bounded, since these numbers could get as many digits as the graph has nodes.
        sizes[n] = min(1 + sum(sizes[i] for i in n.inputs), _UNCOUNTED)
    size = sizes[order[-1]]
    if size > LARGEST:
        shown = 'more than 1e+30' if size == _UNCOUNTED else f'{size:.2g}'
        msg = (
            f"the closed form of '{order[-1]}' has {shown} parts when shared ones are written out, too "
            f'many for sympy: differentiate the graph with gradients, where they stay shared\n'
            f'{order[-1].location}'
        )
        raise ExpressionTooLarge(msg)


def symbols_of(node: Node, names: Mapping[Node, str] | None = None) -> dict[Node, Any]:
    """The symbol of each variable behind a node, by the variable.

    Variables of one name get ``x``, ``x_1`` and so on, in the order of the graph; variables without a name
    are called ``x``.
    """
    taken: set[str] = set(names.values()) if names else set()
    symbols: dict[Node, Any] = {}
    for n in topological_sort(node):
        if n.op is not placeholder:
            continue
        name = names.get(n) if names else None
        if name is None:
            base = n.given_name or 'x'
            name, count = base, 0
            while name in taken:
                count += 1
                name = f'{base}_{count}'
            taken.add(name)
        symbols[n] = sympy.Symbol(name, **({} if _is_complex(n) else {'real': True}))
    return symbols


def _is_complex(node: Node) -> bool:
    return node.type is not None and node.type.dtype is not None and node.type.dtype.is_complex


def _converted(node: Node, found: Mapping[Node, Any], *, is_real: bool) -> Any:
    if is_real and node.op in _REAL:
        return _REAL[node.op](found[node.inputs[0]])
    special = _SPECIAL.get(node.op)
    if special is not None:
        return special(node, [found[i] for i in node.inputs])
    if node.op.formula is None:
        raise UnsupportedOpError(
            f'{node.op.name} has no closed form here: it is not elementwise, or its class states no '
            f'formula. Differentiate the graph with gradients, or give the class a formula such as '
            f"'sin(x)' or 'a*b'\n{node.location}"
        )
    given = _operands(node, [found[i] for i in node.inputs])
    expression, letters = formula_of(node.op, len(given))
    return expression.xreplace(dict(zip(letters, given, strict=True)))


def _operands(node: Node, values: Sequence[Any]) -> list[Any]:
    """The operands in order, the Python number that an op of two keeps in its attrs among them."""
    given = node.op.operands(node, values) if isinstance(node.op, Elementwise) else values
    return [exact_number(x) if isinstance(x, _NUMBERS) else _as_number(x) for x in given]


def _as_number(value: Any) -> Any:
    """A condition as 1 or 0; what is a number already, as it is."""
    if isinstance(value, sympy.logic.boolalg.Boolean) and not isinstance(value, sympy.Symbol):
        return sympy.Piecewise((1, value), (0, True))
    return value


def _as_condition(value: Any) -> Any:
    is_condition = isinstance(value, sympy.logic.boolalg.Boolean)
    return value if is_condition and not isinstance(value, sympy.Symbol) else sympy.Ne(value, 0)


# -- ops whose closed form is no formula in their operands alone --------------------------------------


def _constant(node: Node, _: Sequence[Any]) -> Any:
    value = node.attrs['constant']
    if not isinstance(value, torch.Tensor):
        return exact_number(value)
    if value.numel() != 1:
        raise UnsupportedOpError(
            f'a constant of shape {tuple(value.shape)} is no number, so the graph has no closed form in '
            f'scalars\n{node.location}'
        )
    return exact_number(value.item())


def _same_shape(node: Node, operands: Sequence[Any]) -> Any:
    """An op that only changes shape or dtype: nothing, for one entry, unless it sums several."""
    given, like = node.inputs[0].type, node.inputs[-1].type
    shapes = [None if t is None else t.shape for t in (given, like)]
    if None not in shapes and shapes[0] != shapes[1]:
        raise UnsupportedOpError(
            f'{node.op.name} takes {given} to {like}, which is no function of one entry\n{node.location}'
        )
    return operands[0]


def _comparison(relation: Callable[[Any, Any], Any]) -> Callable[[Node, Sequence[Any]], Any]:
    return lambda node, operands: relation(*_operands(node, operands))


def _preference(a: Any, b: Any) -> Any:
    return sympy.Heaviside(a - b, sympy.Rational(1, 2))


def _where(node: Node, operands: Sequence[Any]) -> Any:
    condition, *rest = operands
    given = iter(rest)
    a, b = (
        exact_number(node.attrs[name]) if name in node.attrs else _as_number(next(given)) for name in 'ab'
    )
    return sympy.Piecewise((a, _as_condition(condition)), (b, True))


def _clamp(node: Node, operands: Sequence[Any]) -> Any:
    (x,) = operands
    low, high = node.attrs['min'], node.attrs['max']
    x = x if low is None else sympy.Max(x, exact_number(low))
    return x if high is None else sympy.Min(x, exact_number(high))


def _in_range(node: Node, operands: Sequence[Any]) -> Any:
    (x,) = operands
    low, high = node.attrs['min'], node.attrs['max']
    bounds = [] if low is None else [sympy.Ge(x, exact_number(low))]
    bounds += [] if high is None else [sympy.Le(x, exact_number(high))]
    return sympy.And(*bounds)


def _truncated(_: Node, operands: Sequence[Any]) -> Any:
    (x,) = operands
    return sympy.sign(x) * sympy.floor(sympy.Abs(x))


def _bessel(function: Callable[[Any, Any], Any]) -> Callable[[Node, Sequence[Any]], Any]:
    return lambda node, operands: function(sympy.Integer(node.attrs['order']), operands[0])


def _scaled_besseli(order: Any, x: Any) -> Any:
    return sympy.exp(-sympy.Abs(x)) * sympy.besseli(order, x)


def _spherical(order: Any, x: Any) -> Any:
    return sympy.expand_func(sympy.jn(order, x))


def _logical(connective: Callable[..., Any]) -> Callable[[Node, Sequence[Any]], Any]:
    return lambda node, operands: connective(*map(_as_condition, _operands(node, operands)))


# What is left of the complex ops in a real graph.
_REAL: Mapping[Op, Callable[[Any], Any]] = MappingProxyType({
    conj: lambda x: x,
    real: lambda x: x,
    imag: lambda _: sympy.Integer(0),
})  # fmt: skip

_SPECIAL: Mapping[Op, Callable[[Node, Sequence[Any]], Any]] = MappingProxyType({
    constant: _constant,
    zeros_like: lambda _, __: sympy.Integer(0),
    ones_like: lambda _, __: sympy.Integer(1),
    sum_to_like: _same_shape,
    expand_like: _same_shape,
    expand_as: _same_shape,
    cast: lambda _, operands: operands[0],
    conj: lambda _, operands: sympy.conjugate(operands[0]),
    real: lambda _, operands: sympy.re(operands[0]),
    imag: lambda _, operands: sympy.im(operands[0]),
    sgn: lambda _, operands: sympy.sign(operands[0]),
    trunc: _truncated,
    gt: _comparison(sympy.Gt),
    ge: _comparison(sympy.Ge),
    lt: _comparison(sympy.Lt),
    le: _comparison(sympy.Le),
    eq: _comparison(sympy.Eq),
    ne: _comparison(sympy.Ne),
    greater: _comparison(sympy.Gt),
    greater_equal: _comparison(sympy.Ge),
    preference: _comparison(_preference),
    where: _where,
    counted: _where,
    isnan: lambda _, __: sympy.false,
    isinf: lambda _, __: sympy.false,
    isfinite: lambda _, __: sympy.true,
    logical_and: _logical(sympy.And),
    logical_or: _logical(sympy.Or),
    logical_not: _logical(sympy.Not),
    polygamma: lambda node, operands: sympy.polygamma(node.attrs['n'], operands[0]),
    bessel_j: _bessel(sympy.besselj),
    bessel_i: _bessel(sympy.besseli),
    bessel_ie: _bessel(_scaled_besseli),
    spherical_bessel_j: _bessel(_spherical),
    clamp: _clamp,
    in_range: _in_range,
})  # fmt: skip
