"""Bessel functions: those of ``torch.special``, and of any order, which their derivatives need."""

import math
from collections.abc import Callable
from typing import Any

import torch

from adjoint.core.kink import kink, pole
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Partial, Unary
from adjoint.ops.step import sign

__all__ = [
    'I0',
    'I1',
    'BesselI',
    'BesselIe',
    'BesselJ',
    'BesselJ0',
    'BesselJ1',
    'BesselY0',
    'BesselY1',
    'I0e',
    'I1e',
    'ModifiedBesselK0',
    'ModifiedBesselK1',
    'ScaledModifiedBesselK0',
    'ScaledModifiedBesselK1',
    'SphericalBesselJ',
    'SphericalBesselJ0',
    'bessel_i',
    'bessel_ie',
    'bessel_j',
    'bessel_j0',
    'bessel_j1',
    'bessel_y0',
    'bessel_y1',
    'i0',
    'i0e',
    'i1',
    'i1e',
    'modified_bessel_k0',
    'modified_bessel_k1',
    'scaled_modified_bessel_k0',
    'scaled_modified_bessel_k1',
    'spherical_bessel_j',
    'spherical_bessel_j0',
]  # fmt: skip

_kernels: Any = torch.special  # it ships no types


def _unrecorded(x: torch.Tensor) -> torch.Tensor:
    """Refuse to let torch record a function whose derivative it lacks: it would leave it out silently."""
    if torch.is_grad_enabled() and x.requires_grad:
        msg = 'torch has no derivative of this Bessel function: take it with gradients(...) of the graph'
        raise NotImplementedError(msg)
    return x


class _Bessel(Unary):
    """Base of the functions that torch computes but does not differentiate."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return type(self).kernel(_unrecorded(input_values[0]))


class _OfOrder(Unary):
    """Base of the functions of an order, ``attrs['order']``."""

    def __call__(self, x: Operand, order: int) -> Node:  # pyright: ignore[reportIncompatibleMethodOverride] a parameter more
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        order : int
            Not negative.
        """
        return Node([as_node(x, self.name)], self, {'order': order})


def _series(first: torch.Tensor, quarter: torch.Tensor, step: Callable[[int], float]) -> torch.Tensor:
    """Return ``first`` times the sum of the products of ``quarter / step(k)``, for ``k`` up to 1, 2, ..."""
    total = term = torch.ones_like(quarter)
    for k in range(1, 40):
        term = term * quarter / step(k)
        total = total + term
    return first * total


def _joined(
    x: torch.Tensor,
    limit: float,
    near: Callable[[torch.Tensor], torch.Tensor],
    far: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return ``near`` where ``|x|`` is below the limit and ``far`` elsewhere."""
    is_near = x.abs() < limit
    return torch.where(is_near, near(torch.where(is_near, x, 0)), far(torch.where(is_near, limit, x)))


def _upwards(
    order: int,
    y0: torch.Tensor,
    y1: torch.Tensor,
    next_: Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return the function of an order from those of order 0 and 1, by a recurrence."""
    for k in range(1, order):
        y0, y1 = y1, next_(k, y0, y1)
    return y1 if order else y0


def _power(x: torch.Tensor, order: int) -> torch.Tensor:
    return (x / 2) ** order / math.factorial(order)


class BesselJ(_OfOrder):
    """The Bessel function of the first kind of an integer order."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, n = _unrecorded(input_values[0]), node.attrs['order']

        def near(x: torch.Tensor) -> torch.Tensor:
            return _series(_power(x, n), -x * x / 4, lambda k: k * (k + n))

        def far(x: torch.Tensor) -> torch.Tensor:
            y0, y1 = _kernels.bessel_j0(x), _kernels.bessel_j1(x)
            return _upwards(n, y0, y1, lambda k, y0, y1: 2 * k / x * y1 - y0)

        # Below its order the recurrence loses digits.
        return _joined(x, n + 4, near, far)

    def partial(self, y: Node, x: Node) -> Partial:
        n = y.attrs['order']
        return (_j(x, n - 1) - _j(x, n + 1)) * 0.5 if n else -_j(x, 1)


def _j(x: Node, order: int) -> Node:
    return bessel_j(x, order) if order > 1 else bessel_j1(x) if order else bessel_j0(x)


class BesselJ0(_Bessel):
    """The Bessel function of the first kind of order 0."""

    name = 'bessel_j0'
    formula = 'besselj(0, x)'
    kernel = _kernels.bessel_j0

    def partial(self, y: Node, x: Node) -> Partial:
        return -bessel_j1(x)


class BesselJ1(_Bessel):
    """The Bessel function of the first kind of order 1."""

    name = 'bessel_j1'
    formula = 'besselj(1, x)'
    kernel = _kernels.bessel_j1

    def partial(self, y: Node, x: Node) -> Partial:
        return (bessel_j0(x) - bessel_j(x, 2)) * 0.5


class BesselY0(_Bessel):
    """The Bessel function of the second kind of order 0, for positive ``x``."""

    name = 'bessel_y0'
    formula = 'bessely(0, x)'
    kernel = _kernels.bessel_y0
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -bessel_y1(x)


class BesselY1(_Bessel):
    """The Bessel function of the second kind of order 1, for positive ``x``."""

    name = 'bessel_y1'
    formula = 'bessely(1, x)'
    kernel = _kernels.bessel_y1
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return bessel_y0(x) - y / x


def _bessel_ie(n: int, x: torch.Tensor) -> torch.Tensor:
    def near(x: torch.Tensor) -> torch.Tensor:
        return _series(_power(x, n) * torch.exp(-x.abs()), x * x / 4, lambda k: k * (k + n))

    def far(x: torch.Tensor) -> torch.Tensor:
        y0, y1 = _kernels.i0e(x), _kernels.i1e(x)
        return _upwards(n, y0, y1, lambda k, y0, y1: y0 - 2 * k / x * y1)

    return _joined(x, 2 * n + 10, near, far)


class BesselIe(_OfOrder):
    """The modified Bessel function of the first kind of an integer order, times ``exp(-|x|)``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return _bessel_ie(node.attrs['order'], input_values[0])

    def partial(self, y: Node, x: Node) -> Partial:
        n = y.attrs['order']
        mean = (_ie(x, n - 1) + _ie(x, n + 1)) * 0.5 if n else _ie(x, 1)
        return mean - sign(x) * y


def _ie(x: Node, order: int) -> Node:
    return bessel_ie(x, order) if order > 1 else i1e(x) if order else i0e(x)


class BesselI(_OfOrder):
    """The modified Bessel function of the first kind of an integer order."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return _bessel_ie(node.attrs['order'], x) * torch.exp(x.abs())

    def partial(self, y: Node, x: Node) -> Partial:
        n = y.attrs['order']
        return (_i(x, n - 1) + _i(x, n + 1)) * 0.5 if n else _i(x, 1)


def _i(x: Node, order: int) -> Node:
    return bessel_i(x, order) if order > 1 else i1(x) if order else i0(x)


class I0(Unary):
    """The modified Bessel function of the first kind of order 0."""

    name = 'i0'
    formula = 'besseli(0, x)'
    kernel = _kernels.i0

    def partial(self, y: Node, x: Node) -> Partial:
        return i1(x)


class I1(Unary):
    """The modified Bessel function of the first kind of order 1."""

    name = 'i1'
    formula = 'besseli(1, x)'
    kernel = _kernels.i1

    def partial(self, y: Node, x: Node) -> Partial:
        return (i0(x) + bessel_i(x, 2)) * 0.5


class I0e(Unary):
    """The modified Bessel function of the first kind of order 0, times ``exp(-|x|)``.

    Notes
    -----
    The derivative at 0 is 0, the mean of those to its sides.
    """

    name = 'i0e'
    formula = 'exp(-Abs(x))*besseli(0, x)'
    kernel = _kernels.i0e
    kinks = (kink('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return i1e(x) - sign(x) * y


class I1e(Unary):
    """The modified Bessel function of the first kind of order 1, times ``exp(-|x|)``."""

    name = 'i1e'
    formula = 'exp(-Abs(x))*besseli(1, x)'
    kernel = _kernels.i1e

    def partial(self, y: Node, x: Node) -> Partial:
        return (i0e(x) + bessel_ie(x, 2)) * 0.5 - sign(x) * y


class ModifiedBesselK0(_Bessel):
    """The modified Bessel function of the second kind of order 0, for positive ``x``."""

    name = 'modified_bessel_k0'
    formula = 'besselk(0, x)'
    kernel = _kernels.modified_bessel_k0
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -modified_bessel_k1(x)


class ModifiedBesselK1(_Bessel):
    """The modified Bessel function of the second kind of order 1, for positive ``x``."""

    name = 'modified_bessel_k1'
    formula = 'besselk(1, x)'
    kernel = _kernels.modified_bessel_k1
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -modified_bessel_k0(x) - y / x


class ScaledModifiedBesselK0(_Bessel):
    """``exp(x)`` times the modified Bessel function of the second kind of order 0, for positive ``x``."""

    name = 'scaled_modified_bessel_k0'
    formula = 'exp(x)*besselk(0, x)'
    kernel = _kernels.scaled_modified_bessel_k0
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return y - scaled_modified_bessel_k1(x)


class ScaledModifiedBesselK1(_Bessel):
    """``exp(x)`` times the modified Bessel function of the second kind of order 1, for positive ``x``."""

    name = 'scaled_modified_bessel_k1'
    formula = 'exp(x)*besselk(1, x)'
    kernel = _kernels.scaled_modified_bessel_k1
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return y - scaled_modified_bessel_k0(x) - y / x


class SphericalBesselJ(_OfOrder):
    """The spherical Bessel function of the first kind of an integer order; ``x`` may be complex."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,), n = input_values, node.attrs['order']

        def near(x: torch.Tensor) -> torch.Tensor:
            first = x**n / math.prod(range(1, 2 * n + 2, 2))
            return _series(first, -x * x / 2, lambda k: k * (2 * n + 2 * k + 1))

        def far(x: torch.Tensor) -> torch.Tensor:
            y0 = torch.sin(x) / x
            return _upwards(n, y0, (y0 - torch.cos(x)) / x, lambda k, y0, y1: (2 * k + 1) / x * y1 - y0)

        # Below its order the recurrence loses digits.
        return _joined(x, n + 1, near, far)

    def partial(self, y: Node, x: Node) -> Partial:
        n = y.attrs['order']
        above = spherical_bessel_j(x, n + 1)
        return (spherical_bessel_j(x, n - 1) * n - above * (n + 1)) / (2 * n + 1) if n else -above


class SphericalBesselJ0(_Bessel):
    """``sin(x) / x``, and 1 at 0, where it is smooth."""

    name = 'spherical_bessel_j0'
    formula = 'sin(x)/x'
    kernel = _kernels.spherical_bessel_j0

    def partial(self, y: Node, x: Node) -> Partial:
        return -spherical_bessel_j(x, 1)


bessel_j = BesselJ()
bessel_j0 = BesselJ0()
bessel_j1 = BesselJ1()
bessel_y0 = BesselY0()
bessel_y1 = BesselY1()
bessel_i = BesselI()
bessel_ie = BesselIe()
i0 = I0()
i1 = I1()
i0e = I0e()
i1e = I1e()
modified_bessel_k0 = ModifiedBesselK0()
modified_bessel_k1 = ModifiedBesselK1()
scaled_modified_bessel_k0 = ScaledModifiedBesselK0()
scaled_modified_bessel_k1 = ScaledModifiedBesselK1()
spherical_bessel_j = SphericalBesselJ()
spherical_bessel_j0 = SphericalBesselJ0()
