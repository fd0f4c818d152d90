"""Trigonometric and hyperbolic functions and their inverses; angles in radians."""

import math
from typing import Any

import torch

from adjoint.core.kink import jump, kink, pole
from adjoint.core.node import Node
from adjoint.ops.arithmetic import rsqrt
from adjoint.ops.elementwise import Binary, Partial, Unary
from adjoint.ops.select import where
from adjoint.ops.step import eq

__all__ = [
    'Acos', 'Acosh', 'Asin', 'Asinh', 'Atan', 'Atan2', 'Atanh', 'Cos', 'Cosh', 'Deg2Rad', 'Hypot',
    'Rad2Deg', 'Sin', 'Sinh', 'Tan', 'Tanh', 'acos', 'acosh', 'asin', 'asinh', 'atan', 'atan2', 'atanh',
    'cos', 'cosh', 'deg2rad', 'hypot', 'rad2deg', 'sin', 'sinh', 'tan', 'tanh',
]  # fmt: skip


def at_origin(a: Any, b: Any) -> Any:
    """Return where both operands, one of them perhaps a number, are zero."""
    return (a == 0) & (b == 0)


class Sin(Unary):
    """Sine of ``x`` in radians."""

    formula = 'sin(x)'
    kernel = torch.sin

    def partial(self, y: Node, x: Node) -> Partial:
        return cos(x)


class Cos(Unary):
    """Cosine of ``x`` in radians."""

    formula = 'cos(x)'
    kernel = torch.cos

    def partial(self, y: Node, x: Node) -> Partial:
        return -sin(x)


class Tan(Unary):
    """Tangent of ``x`` in radians."""

    formula = 'tan(x)'
    kernel = torch.tan

    def partial(self, y: Node, x: Node) -> Partial:
        return y * y + 1


class Asin(Unary):
    """Arcsine in radians; nan for real ``x`` outside [-1, 1], and an infinite derivative at its ends."""

    formula = 'asin(x)'
    kernel = torch.asin
    kinks = (pole('abs(x) == 1', 'the derivative is infinite', lambda _, x: x.abs() == 1),)

    def partial(self, y: Node, x: Node) -> Partial:
        return rsqrt(1 - x * x)


class Acos(Unary):
    """Arccosine in radians; nan for real ``x`` outside [-1, 1], and an infinite derivative at its ends."""

    formula = 'acos(x)'
    kernel = torch.acos
    kinks = (pole('abs(x) == 1', 'the derivative is infinite', lambda _, x: x.abs() == 1),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -rsqrt(1 - x * x)


class Atan(Unary):
    """Arctangent in radians."""

    formula = 'atan(x)'
    kernel = torch.atan

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / (x * x + 1)


class Deg2Rad(Unary):
    """Degrees as radians."""

    name = 'deg2rad'
    formula = 'x*pi/180'
    kernel = torch.deg2rad

    def partial(self, y: Node, x: Node) -> Partial:
        return math.pi / 180


class Rad2Deg(Unary):
    """Radians as degrees."""

    name = 'rad2deg'
    formula = 'x*180/pi'
    kernel = torch.rad2deg

    def partial(self, y: Node, x: Node) -> Partial:
        return 180 / math.pi


class Sinh(Unary):
    """Hyperbolic sine."""

    formula = 'sinh(x)'
    kernel = torch.sinh

    def partial(self, y: Node, x: Node) -> Partial:
        return cosh(x)


class Cosh(Unary):
    """Hyperbolic cosine."""

    formula = 'cosh(x)'
    kernel = torch.cosh

    def partial(self, y: Node, x: Node) -> Partial:
        return sinh(x)


class Tanh(Unary):
    """Hyperbolic tangent."""

    formula = 'tanh(x)'
    kernel = torch.tanh

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 - y * y


class Asinh(Unary):
    """Inverse hyperbolic sine."""

    formula = 'asinh(x)'
    kernel = torch.asinh

    def partial(self, y: Node, x: Node) -> Partial:
        return rsqrt(x * x + 1)


class Acosh(Unary):
    """Inverse hyperbolic cosine; nan for real ``x`` below 1, and an infinite derivative at 1."""

    formula = 'acosh(x)'
    kernel = torch.acosh
    kinks = (pole('x == 1', 'the derivative is infinite', lambda _, x: x == 1),)

    def partial(self, y: Node, x: Node) -> Partial:
        # Not rsqrt(x * x - 1): the product of the roots has the right branch for complex x.
        return rsqrt(x - 1) * rsqrt(x + 1)


class Atanh(Unary):
    """Inverse hyperbolic tangent; nan for real ``x`` outside [-1, 1]."""

    formula = 'atanh(x)'
    kernel = torch.atanh
    kinks = (pole('abs(x) == 1', 'the derivative is infinite', lambda _, x: x.abs() == 1),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / (1 - x * x)


class Atan2(Binary):
    """The angle in radians of the point ``(b, a)``, in (-pi, pi].

    Notes
    -----
    All derivatives at the origin are taken as 0.
    """

    formula = 'atan2(a, b)'
    kernel = torch.atan2
    kinks = (jump('a == 0, b == 0', 'both derivatives are 0', lambda _, a, b: at_origin(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        # Divided twice by the distance, so that its square neither overflows nor vanishes.
        distance = hypot(a, b)
        a, b = _over(a, distance), _over(b, distance)
        distance = _nonzero(distance)
        return b / distance, -(a / distance)


class Hypot(Binary):
    """``sqrt(a**2 + b**2)`` without overflow.

    Notes
    -----
    All derivatives at the origin are taken as 0.
    """

    formula = 'sqrt(a**2 + b**2)'
    kernel = torch.hypot
    kinks = (kink('a == 0, b == 0', 'both derivatives are 0', lambda _, a, b: at_origin(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return _over(a, y), _over(b, y)


def _over(a: Any, distance: Node) -> Node:
    """Return a part of a distance over it; 0 and constant where the distance is 0."""
    return where(eq(distance, 0), 0.0, a) / _nonzero(distance)


def _nonzero(x: Node) -> Node:
    return where(eq(x, 0), 1.0, x)


sin = Sin()
cos = Cos()
tan = Tan()
deg2rad = Deg2Rad()
rad2deg = Rad2Deg()
asin = Asin()
acos = Acos()
atan = Atan()
sinh = Sinh()
cosh = Cosh()
tanh = Tanh()
asinh = Asinh()
acosh = Acosh()
atanh = Atanh()
atan2 = Atan2()
hypot = Hypot()
