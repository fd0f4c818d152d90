"""Special functions."""

import math
from typing import Any

import torch

from adjoint.core.errors import NonDifferentiableError
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.activation import sigmoid
from adjoint.ops.arithmetic import add, square
from adjoint.ops.creation import constant
from adjoint.ops.elementwise import Binary, Partial, Unary
from adjoint.ops.exponential import exp, log, log1p
from adjoint.ops.select import where
from adjoint.ops.step import eq, le, sign

__all__ = [
    'I0',
    'I1',
    'Digamma',
    'Entr',
    'Erfcx',
    'Erfinv',
    'Exp2',
    'I0e',
    'I1e',
    'Lgamma',
    'LogNdtr',
    'Logaddexp',
    'Logaddexp2',
    'Logit',
    'Ndtr',
    'Ndtri',
    'Polygamma',
    'Sinc',
    'XLog1py',
    'XLogY',
    'Zeta',
    'digamma',
    'entr',
    'erfcx',
    'erfinv',
    'exp2',
    'i0',
    'i0e',
    'i1',
    'i1e',
    'lgamma',
    'log_ndtr',
    'logaddexp',
    'logaddexp2',
    'logit',
    'mvlgamma',
    'ndtr',
    'ndtri',
    'polygamma',
    'sinc',
    'xlog1py',
    'xlogy',
    'zeta',
]  # fmt: skip


class Exp2(Unary):
    """``2 ** x``."""

    formula = '2**x'
    kernel = torch.exp2

    def partial(self, y: Node, x: Node) -> Partial:
        return y * math.log(2)


class Lgamma(Unary):
    """The logarithm of the absolute value of the gamma function; ``inf`` at its poles."""

    kernel = torch.lgamma

    def partial(self, y: Node, x: Node) -> Partial:
        return digamma(x)


class Digamma(Unary):
    """The logarithmic derivative of the gamma function."""

    formula = 'digamma(x)'
    kernel = torch.digamma

    def partial(self, y: Node, x: Node) -> Partial:
        return polygamma(1, x)


class Polygamma(Unary):
    """The derivative of order ``n`` of ``digamma``."""

    def __call__(self, n: int, x: Operand) -> Node:  # type: ignore[override]
        """Build the node; ``n`` is a number, and 0 is ``digamma`` itself."""
        return Node([as_node(x, self.name)], self, {'n': n}) if n else digamma(x)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.polygamma(node.attrs['n'], x)

    def partial(self, y: Node, x: Node) -> Partial:
        return polygamma(y.attrs['n'] + 1, x)


class Erfinv(Unary):
    """The inverse of the error function, on ``(-1, 1)``; infinite at its ends."""

    formula = 'erfinv(x)'
    kernel = torch.erfinv

    def partial(self, y: Node, x: Node) -> Partial:
        return math.sqrt(math.pi) / 2 * exp(square(y))


class Erfcx(Unary):
    """``exp(x**2) * erfc(x)``, without underflow for large ``x``."""

    formula = 'exp(x**2)*erfc(x)'
    kernel = torch.special.erfcx

    def partial(self, y: Node, x: Node) -> Partial:
        return 2 * x * y - 2 / math.sqrt(math.pi)


class Ndtr(Unary):
    """The distribution function of the standard normal distribution."""

    formula = '(1 + erf(x/sqrt(2)))/2'
    kernel = torch.special.ndtr

    def partial(self, y: Node, x: Node) -> Partial:
        return exp(square(x) * -0.5) * (0.5 / math.pi) ** 0.5


class LogNdtr(Unary):
    """The logarithm of ``ndtr``, accurate far on the left."""

    formula = 'log((1 + erf(x/sqrt(2)))/2)'
    kernel = torch.special.log_ndtr

    def partial(self, y: Node, x: Node) -> Partial:
        return math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))


class Ndtri(Unary):
    """The inverse of ``ndtr``, on ``(0, 1)``; infinite at its ends."""

    formula = 'sqrt(2)*erfinv(2*x - 1)'
    kernel = torch.special.ndtri

    def partial(self, y: Node, x: Node) -> Partial:
        return math.sqrt(2 * math.pi) * exp(square(y) * 0.5)


class I0(Unary):
    """The modified Bessel function of the first kind of order 0."""

    formula = 'besseli(0, x)'
    kernel = torch.special.i0

    def partial(self, y: Node, x: Node) -> Partial:
        return i1(x)


class I0e(Unary):
    """``exp(-abs(x)) * i0(x)``."""

    name = 'i0e'
    kernel = torch.special.i0e

    def partial(self, y: Node, x: Node) -> Partial:
        return i1e(x) - sign(x) * y


class I1(Unary):
    """The modified Bessel function of the first kind of order 1."""

    formula = 'besseli(1, x)'
    kernel = torch.special.i1

    def partial(self, y: Node, x: Node) -> Partial:
        is_zero = eq(x, 0)
        return where(is_zero, 0.5, i0(x) - y / where(is_zero, 1.0, x))


class I1e(Unary):
    """``exp(-abs(x)) * i1(x)``."""

    name = 'i1e'
    kernel = torch.special.i1e

    def partial(self, y: Node, x: Node) -> Partial:
        is_zero = eq(x, 0)
        return where(is_zero, 0.5, i0e(x) - y * (sign(x) + 1 / where(is_zero, 1.0, x)))


class Entr(Unary):
    """The entropy ``-x * log(x)``; 0 at 0 and ``-inf`` for negative ``x``.

    Notes
    -----
    The derivative at 0 is infinite, and nan for negative ``x``.
    """

    kernel = torch.special.entr

    def partial(self, y: Node, x: Node) -> Partial:
        return -1 - log(x)


class XLogY(Binary):
    """``a * log(b)``, and 0 where ``a`` is 0 and ``b`` is no nan.

    Notes
    -----
    The derivative by ``a`` is ``log(b)``, and 0 where ``a`` is 0 and ``b`` is not positive.
    """

    name = 'xlogy'
    formula = 'a*log(b)'
    kernel = torch.xlogy
    takes_numbers = True

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        by_a = None
        if isinstance(a, Node):
            b_node = b if isinstance(b, Node) else constant(float(b))
            by_a = where(eq(a, 0) * le(b_node, 0), 0.0, log(b_node))
        return by_a, a / b if isinstance(b, Node) else None


class XLog1py(Binary):
    """``a * log1p(b)``, and 0 where ``a`` is 0 and ``b`` is no nan.

    Notes
    -----
    The derivative by ``a`` is ``log1p(b)``, and 0 where ``a`` is 0 and ``b`` is not above -1.
    """

    name = 'xlog1py'
    formula = 'a*log(1 + b)'
    kernel = torch.special.xlog1py
    takes_numbers = True

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        by_a = None
        if isinstance(a, Node):
            b_node = b if isinstance(b, Node) else constant(float(b))
            by_a = where(eq(a, 0) * le(b_node, -1), 0.0, log1p(b_node))
        return by_a, a / (b + 1) if isinstance(b, Node) else None


class Zeta(Binary):
    """The Hurwitz zeta function of ``a`` at ``b``: the sum of ``(n + b) ** -a``.

    Notes
    -----
    The derivative by ``a`` has no kernel: asking for it is an error.
    """

    kernel = torch.special.zeta
    takes_numbers = True

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        if isinstance(a, Node) and a.inputs:
            msg = f'zeta has no derivative by its first operand: give it as a number\n{y.location}'
            raise NonDifferentiableError(msg)
        by_b = -a * zeta(a + 1, b) if isinstance(b, Node) else None
        return None, by_b


class Logaddexp(Binary):
    """``log(exp(a) + exp(b))``, without overflow."""

    formula = 'log(exp(a) + exp(b))'
    kernel = torch.logaddexp

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        apart = a - b
        return sigmoid(apart), sigmoid(-apart)


class Logaddexp2(Binary):
    """``log2(2 ** a + 2 ** b)``, without overflow."""

    formula = 'log(2**a + 2**b)/log(2)'
    kernel = torch.logaddexp2

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        apart = (a - b) * math.log(2)
        return sigmoid(apart), sigmoid(-apart)


# How far the series of sinc is summed: enough for |x| < 1 in float64, to any order that is used.
_TERMS = 24


class Sinc(Unary):
    """``sin(pi * x) / (pi * x)``, 1 at 0; of ``order`` above 0 its derivative of that order.

    Notes
    -----
    All derivatives are exact at 0: the first is 0, the second ``-pi**2 / 3``.
    """

    def __call__(self, x: Operand, order: int = 0) -> Node:
        """Build the node."""
        return Node([as_node(x, self.name)], self, {'order': order} if order else {})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        """Sum the series near 0; elsewhere go up from order to order."""
        (x,) = input_values
        order: int = node.attrs.get('order', 0)
        if not order:
            return torch.sinc(x)
        is_near = x.abs() < 1
        far = torch.where(is_near, 1.0, x)
        y = torch.sinc(far)
        for k in range(1, order + 1):
            y = (math.pi ** (k - 1) * torch.sin(math.pi * far + k * math.pi / 2) - k * y) / far
        near = torch.where(is_near, x, 0.0)
        series = torch.zeros_like(near)
        for n in reversed(range((order + 1) // 2, (order + 1) // 2 + _TERMS)):
            size = math.exp(
                2 * n * math.log(math.pi)
                + math.lgamma(2 * n + 1) - math.lgamma(2 * n - order + 1) - math.lgamma(2 * n + 2)
            )  # fmt: skip
            series = series * square_of(near) + (-1) ** n * size
        return torch.where(is_near, series * near if order % 2 else series, y)

    def partial(self, y: Node, x: Node) -> Partial:
        return sinc(x, y.attrs.get('order', 0) + 1)


def square_of(x: torch.Tensor) -> torch.Tensor:
    """Return ``x * x``."""
    return x * x


class Logit(Unary):
    """``log(x / (1 - x))``, of ``x`` limited to ``[eps, 1 - eps]`` if ``eps`` is given.

    Notes
    -----
    The derivative is 0 outside of ``[eps, 1 - eps]``; without ``eps``, nan outside of ``[0, 1]``.
    """

    formula = 'log(x/(1 - x))'

    def __call__(self, x: Operand, eps: float | None = None) -> Node:
        """Build the node."""
        return Node([as_node(x, self.name)], self, {} if eps is None else {'eps': eps})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.logit(x, node.attrs.get('eps'))

    def partial(self, y: Node, x: Node) -> Partial:
        eps = y.attrs.get('eps')
        low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
        is_inside = le(low, x) * le(x, high)
        safe = where(is_inside, x, 0.5)
        return where(is_inside, 1 / (safe * (1 - safe)), math.nan if eps is None else 0.0)


exp2 = Exp2()
lgamma = Lgamma()
digamma = Digamma()
polygamma = Polygamma()
erfinv = Erfinv()
erfcx = Erfcx()
ndtr = Ndtr()
log_ndtr = LogNdtr()
ndtri = Ndtri()
i0 = I0()
i0e = I0e()
i1 = I1()
i1e = I1e()
entr = Entr()
xlogy = XLogY()
xlog1py = XLog1py()
zeta = Zeta()
logaddexp = Logaddexp()
logaddexp2 = Logaddexp2()
sinc = Sinc()
logit = Logit()


def mvlgamma(x: Operand, p: int) -> Node:
    """Return the logarithm of the multivariate gamma function of dimension ``p``."""
    total: Node | None = None
    for i in range(p):
        term = lgamma(add(x, -i / 2))
        total = term if total is None else total + term
    if total is None:
        msg = f'mvlgamma takes a positive dimension, and got {p}'
        raise ValueError(msg)
    return total + p * (p - 1) / 4 * math.log(math.pi)
