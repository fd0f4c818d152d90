"""The formulas of elementwise ops, and numbers, as sympy reads them."""

import functools
import math
import numbers
from fractions import Fraction
from typing import Any

import sympy as untyped_sympy

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.op import Op

__all__ = ['exact_number', 'formula_of']

sympy: Any = untyped_sympy  # it ships no types

_LARGEST_DENOMINATOR = 1000

# The largest int that float64 holds with all its neighbours.
_EXACT = 2**53

_UNITS: tuple[tuple[float, Any], ...] = (
    (1.0, sympy.Integer(1)),
    (math.pi, sympy.pi),
    (math.e, sympy.E),
    (1 / math.pi, 1 / sympy.pi),
    (math.sqrt(math.pi), sympy.sqrt(sympy.pi)),
    (1 / math.sqrt(math.pi), 1 / sympy.sqrt(sympy.pi)),
    (math.sqrt(2), sympy.sqrt(2)),
    (math.sqrt(3), sympy.sqrt(3)),
    (math.log(2), sympy.log(2)),
    (math.log(10), sympy.log(10)),
)


def formula_of(op: Op, count: int) -> tuple[Any, tuple[Any, ...]]:
    """The formula of an op as a sympy expression, and the symbols of its operands in order.

    Parameters
    ----------
    op : Op
        With a ``formula`` in ``x``, or in ``a, b`` or ``a, b, c``.
    count : int
        How many operands it has.

    Raises
    ------
    UnsupportedOpError
        The op states none.

    Examples
    --------
    >>> import adjoint as ad
    >>> formula_of(ad.hypot, 2)
    (sqrt(a**2 + b**2), (a, b))
    """
    if op.formula is None:
        raise UnsupportedOpError(f'{op.name} states no formula')
    return _read(op.formula, count)


@functools.cache
def _read(formula: str, count: int) -> tuple[Any, tuple[Any, ...]]:
    names = 'x' if count == 1 else 'abc'[:count]
    letters = {name: sympy.Symbol(name, real=True) for name in names}
    # The text is part of an op's class: source, not input.
    return sympy.sympify(formula, locals=letters), tuple(letters.values())


def exact_number(value: complex) -> Any:
    """The simplest number that float64 rounds to this one.

    An integer, a fraction with a denominator up to 1000, one of these times pi or e, or times a root or
    logarithm that stands in our rules; otherwise the float itself.

    Examples
    --------
    >>> import math
    >>> exact_number(0.1), exact_number(math.pi / 3), exact_number(math.log(2))
    (1/10, pi/3, log(2))
    """
    if isinstance(value, complex):
        return exact_number(value.real) + sympy.I * exact_number(value.imag)
    if isinstance(value, numbers.Integral):
        return sympy.Integer(int(value))
    if math.isnan(value):
        return sympy.nan
    if math.isinf(value):
        return sympy.oo if value > 0 else -sympy.oo
    for unit, symbol in _UNITS:
        fraction = Fraction(value / unit).limit_denominator(_LARGEST_DENOMINATOR)
        # A huge numerator is no simple number: nearly every large float is some multiple of pi.
        simple = abs(fraction.numerator) <= (_EXACT if symbol == 1 else _LARGEST_DENOMINATOR)
        if simple and float(fraction) * unit == value:
            return sympy.Rational(fraction.numerator, fraction.denominator) * symbol
    return sympy.Float(value)
