"""The family of the gamma function: its logarithm and the derivatives of that, incomplete ones, and zeta."""

import math
from typing import Any

import torch

from adjoint.core.kink import pole
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Binary, Partial, Unary
from adjoint.ops.exponential import exp
from adjoint.ops.special import xlogy
from adjoint.ops.underived import underived

__all__ = [
    'Digamma', 'Igamma', 'Igammac', 'Lgamma', 'Mvlgamma', 'Polygamma', 'Zeta', 'digamma', 'igamma',
    'igammac', 'lgamma', 'mvlgamma', 'polygamma', 'zeta',
]  # fmt: skip

_kernels: Any = torch.special  # it ships no types


def _is_gamma_pole(_: Node, x: torch.Tensor) -> torch.Tensor:
    return (x <= 0) & (x == x.round())


_AT_GAMMA_POLES = (pole('x == 0, -1, -2, ...', 'the derivative is infinite or nan', _is_gamma_pole),)


class Lgamma(Unary):
    """The logarithm of the absolute value of the gamma function; infinite at 0, -1, -2, ..."""

    formula = 'loggamma(x)'
    kernel = torch.lgamma
    kinks = _AT_GAMMA_POLES

    def partial(self, y: Node, x: Node) -> Partial:
        return digamma(x)


class Digamma(Unary):
    """The derivative of ``lgamma``: ``-inf`` at 0, nan at -1, -2, ..."""

    formula = 'polygamma(0, x)'
    kernel = torch.digamma
    kinks = _AT_GAMMA_POLES

    def partial(self, y: Node, x: Node) -> Partial:
        return polygamma(1, x)


class Polygamma(Unary):
    """The derivative of order ``n`` of ``digamma``."""

    kinks = _AT_GAMMA_POLES

    def __call__(self, n: int, x: Operand) -> Node:  # pyright: ignore[reportIncompatibleMethodOverride] as torch
        """Build the node.

        Parameters
        ----------
        n : int
            Not negative.
        x : Node, torch.Tensor or number
            Any shape.
        """
        return Node([as_node(x, self.name)], self, {'n': n})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,), n = input_values, node.attrs['n']
        if n == 1:
            # The kernel of torch for this order has ten digits only.
            return _kernels.zeta(2.0, x)
        return torch.polygamma(n, x)

    def partial(self, y: Node, x: Node) -> Partial:
        return polygamma(y.attrs['n'] + 1, x)


class Mvlgamma(Unary):
    """The logarithm of the multivariate gamma function of dimension ``p``, for ``x > (p - 1) / 2``."""

    kinks = (
        pole(
            'x the half of a whole number below its dimension',
            'the derivative is infinite or nan',
            lambda y, x: _is_gamma_pole(y, 2 * x),
        ),
    )

    def __call__(self, x: Operand, p: int) -> Node:  # pyright: ignore[reportIncompatibleMethodOverride] one more
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        p : int
            The dimension, at least 1.
        """
        return Node([as_node(x, self.name)], self, {'p': p})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.mvlgamma(input_values[0], node.attrs['p'])

    def partial(self, y: Node, x: Node) -> Partial:
        total = digamma(x)
        for i in range(1, y.attrs['p']):
            total = total + digamma(x - i / 2)
        return total


class Zeta(Binary):
    """The Hurwitz zeta function: the sum of ``(k + b) ** -a`` over ``k = 0, 1, 2, ...``.

    Notes
    -----
    The derivative by the exponent ``a`` has no closed form and is not written, in torch neither: asking
    for it fails.
    """

    kernel = _kernels.zeta

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        by_exponent = underived(a, 'zeta by its exponent') if isinstance(a, Node) else None
        return by_exponent, -a * zeta(a + 1, b) if isinstance(b, Node) else None


def _is_steep(_: Node, a: Any, b: Any) -> Any:
    return (b == 0) & (a < 1)


_AT_ZERO = pole('b == 0, a < 1', 'the derivative by b is infinite', _is_steep)


class Igamma(Binary):
    """The regularised lower incomplete gamma function of shape ``a`` at ``b``.

    Notes
    -----
    The derivative by the shape has no closed form and is not written, in torch neither: asking for it
    fails. The derivative by ``b`` at 0 is that from above: the density of the gamma distribution, which is
    0, 1 or infinite for a shape above, of, or below 1. (torch has nan for a shape of 1.)
    """

    kernel = torch.igamma
    kinks = (_AT_ZERO,)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return _by_shape(a), _density(a, b)


class Igammac(Binary):
    """The regularised upper incomplete gamma function of shape ``a`` at ``b``: ``1 - igamma(a, b)``.

    Notes
    -----
    As in ``igamma``.
    """

    kernel = torch.igammac
    kinks = (_AT_ZERO,)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        density = _density(a, b)
        return _by_shape(a), None if density is None else -density


def _by_shape(a: Any) -> Partial:
    return underived(a, 'the incomplete gamma function by its shape') if isinstance(a, Node) else None


def _density(a: Any, b: Any) -> Node | None:
    """Return that of the gamma distribution of shape ``a`` at ``b``."""
    if not isinstance(b, Node):
        return None
    log_gamma = lgamma(a) if isinstance(a, Node) else math.lgamma(a)
    return exp(xlogy(a - 1, b) - b - log_gamma)


lgamma = Lgamma()
digamma = Digamma()
polygamma = Polygamma()
mvlgamma = Mvlgamma()
zeta = Zeta()
igamma = Igamma()
igammac = Igammac()
