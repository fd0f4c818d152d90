"""Special functions: the error function family, and products with logarithms."""

import math
from typing import Any

import torch

from adjoint.core.kink import pole, tie
from adjoint.core.node import Node, Operand
from adjoint.ops.activation import sigmoid
from adjoint.ops.bessel import spherical_bessel_j
from adjoint.ops.elementwise import Binary, Partial, Unary
from adjoint.ops.exponential import exp, log, log1p
from adjoint.ops.logic import isinf, logical_and
from adjoint.ops.remainder import at_zero
from adjoint.ops.select import clamp, in_range, where
from adjoint.ops.step import eq, le

__all__ = [
    'Entr', 'Erfcx', 'Erfinv', 'LogAddExp', 'LogAddExp2', 'LogNdtr', 'Logit', 'Ndtr', 'Ndtri', 'Sinc',
    'Xlog1py', 'Xlogy', 'entr', 'erfcx', 'erfinv', 'log_ndtr', 'logaddexp', 'logaddexp2', 'logit', 'ndtr',
    'ndtri', 'sinc', 'xlog1py', 'xlogy',
]  # fmt: skip

_kernels: Any = torch.special  # it ships no types


class Erfinv(Unary):
    """The inverse of the error function, infinite at -1 and 1, nan outside."""

    formula = 'erfinv(x)'
    kernel = torch.erfinv
    kinks = (pole('abs(x) == 1', 'the derivative is infinite', lambda _, x: x.abs() == 1),)

    def partial(self, y: Node, x: Node) -> Partial:
        return math.sqrt(math.pi) / 2 * exp(y * y)


class Erfcx(Unary):
    """``exp(x**2) * erfc(x)``, without overflow for large ``x``."""

    formula = 'exp(x**2)*erfc(x)'
    kernel = _kernels.erfcx

    def partial(self, y: Node, x: Node) -> Partial:
        return 2 * x * y - 2 / math.sqrt(math.pi)


def _ndtr(x: torch.Tensor) -> torch.Tensor:
    # Not 1 + erf, which loses all digits of the lower tail.
    return torch.erfc(x * -math.sqrt(0.5)) / 2


class Ndtr(Unary):
    """The distribution function of the standard normal distribution."""

    formula = 'erfc(-x/sqrt(2))/2'
    kernel = _ndtr

    def partial(self, y: Node, x: Node) -> Partial:
        return exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


class Ndtri(Unary):
    """The inverse of ``ndtr``, infinite at 0 and 1, nan outside."""

    formula = 'sqrt(2)*erfinv(2*x - 1)'
    kernel = _kernels.ndtri
    kinks = (pole('x == 0 or x == 1', 'the derivative is infinite', lambda _, x: (x == 0) | (x == 1)),)

    def partial(self, y: Node, x: Node) -> Partial:
        return exp(y * y * 0.5) * math.sqrt(2 * math.pi)


class LogNdtr(Unary):
    """The logarithm of ``ndtr``, accurate in the lower tail."""

    formula = 'log(erfc(-x/sqrt(2))/2)'
    kernel = _kernels.log_ndtr

    def partial(self, y: Node, x: Node) -> Partial:
        return math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))


class Entr(Unary):
    """``-x * log(x)``; 0 at 0, ``-inf`` for negative ``x``.

    Notes
    -----
    The derivative at 0 is infinite.
    """

    formula = '-x*log(x)'
    kernel = _kernels.entr
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -log(x) - 1


class Logit(Unary):
    """``log(x / (1 - x))``, nan outside [0, 1]; with ``eps`` of ``x`` limited to ``[eps, 1 - eps]``."""

    formula = 'log(x/(1 - x))'
    kernel = torch.logit
    kinks = (pole('x == 0 or x == 1', 'the derivative is infinite', lambda _, x: (x == 0) | (x == 1)),)

    def __call__(self, x: Operand, eps: float | None = None) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        eps : float, optional
            Outside its limits nothing flows; at the limits themselves the cotangent passes.
        """
        return super().__call__(x if eps is None else clamp(x, eps, 1 - eps))

    def partial(self, y: Node, x: Node) -> Partial:
        is_inside = Node([x], in_range, {'min': 0, 'max': 1})
        return where(is_inside, 1 / x + 1 / (1 - x), math.nan)


class Sinc(Unary):
    """``sin(pi * x) / (pi * x)``, and 1 at 0, where it is smooth."""

    formula = 'sin(pi*x)/(pi*x)'
    kernel = torch.sinc

    def partial(self, y: Node, x: Node) -> Partial:
        return -math.pi * spherical_bessel_j(x * math.pi, 1)


class Xlogy(Binary):
    """``a * log(b)``, and 0 where ``a`` is 0 and ``b`` is not nan.

    Notes
    -----
    Where ``a == 0`` and ``b <= 0`` both derivatives are taken as 0.
    """

    formula = 'a*log(b)'
    kernel = torch.xlogy
    kinks = (pole('b == 0', 'both are 0 if a is 0, else infinite', lambda _, a, b: at_zero(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        if not isinstance(b, Node):
            return (math.log(b) if b > 0 else where(eq(a, 0), 0.0, _log(b))), None
        is_pole = _both(eq(a, 0) if isinstance(a, Node) else a == 0, le(b, 0))
        b = b if is_pole is None else where(is_pole, 1.0, b)
        return log(b), a / b if is_pole is None else where(is_pole, 0.0, a) / b


class Xlog1py(Binary):
    """``a * log(1 + b)``, accurate for small ``b``, and 0 where ``a`` is 0 and ``b`` is not nan.

    Notes
    -----
    Where ``a == 0`` and ``b <= -1`` both derivatives are taken as 0.
    """

    formula = 'a*log(1 + b)'
    kernel = _kernels.xlog1py
    kinks = (pole('b == -1', 'both are 0 if a is 0, else infinite', lambda _, a, b: at_zero(a, b + 1)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        if not isinstance(b, Node):
            return (math.log1p(b) if b > -1 else where(eq(a, 0), 0.0, _log(1 + b))), None
        is_pole = _both(eq(a, 0) if isinstance(a, Node) else a == 0, le(b, -1))
        b = b if is_pole is None else where(is_pole, 0.0, b)
        return log1p(b), a / (b + 1) if is_pole is None else where(is_pole, 0.0, a) / (b + 1)


def _both(is_zero: Node | bool, is_outside: Node) -> Node | None:
    """Return where both hold; ``None`` for nowhere."""
    if isinstance(is_zero, Node):
        return logical_and(is_zero, is_outside)
    return is_outside if is_zero else None


def _log(number: float) -> float:
    return -math.inf if number == 0 else math.nan


_AT_INFINITY = (tie('a == b, infinite', 'each gets half', lambda _, a, b: (a == b) & a.isinf()),)


class LogAddExp(Binary):
    """``log(exp(a) + exp(b))`` without overflow.

    Notes
    -----
    Of two equal infinities each gets half of the cotangent, as at a tie of ``maximum``.
    """

    name = 'logaddexp'
    kinks = _AT_INFINITY
    formula = 'log(exp(a) + exp(b))'
    kernel = torch.logaddexp

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        difference = _difference(a, b)
        return sigmoid(difference), sigmoid(-difference)


class LogAddExp2(Binary):
    """``log2(2**a + 2**b)`` without overflow.

    Notes
    -----
    As in ``logaddexp``.
    """

    name = 'logaddexp2'
    kinks = _AT_INFINITY
    formula = 'log(2**a + 2**b)/log(2)'
    kernel = torch.logaddexp2

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        difference = _difference(a, b) * math.log(2)
        return sigmoid(difference), sigmoid(-difference)


def _difference(a: Any, b: Any) -> Node:
    node = a if isinstance(a, Node) else b
    return where(logical_and(eq(a, b), isinf(node)), 0.0, a - b)


erfinv = Erfinv()
erfcx = Erfcx()
ndtr = Ndtr()
ndtri = Ndtri()
log_ndtr = LogNdtr()
entr = Entr()
logit = Logit()
sinc = Sinc()
xlogy = Xlogy()
xlog1py = Xlog1py()
logaddexp = LogAddExp()
logaddexp2 = LogAddExp2()
