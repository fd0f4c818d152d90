"""Arithmetic, powers and roots."""

import cmath
import math
import operator
from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.kink import jump, kink, pole
from adjoint.core.node import Node, Number, Operand
from adjoint.core.operand import as_node
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Binary, Partial, Unary
from adjoint.ops.exponential import log
from adjoint.ops.linear import conj, imag, real, sum_to_like
from adjoint.ops.select import where
from adjoint.ops.step import eq, ge

__all__ = [
    'Abs', 'Add', 'AddByConst', 'Div', 'DivByConst', 'Mul', 'MulByConst', 'Neg', 'Pow', 'Reciprocal',
    'Rsqrt', 'Sgn', 'Sqrt', 'Square', 'Sub', 'abs_', 'add', 'add_by_const', 'div', 'div_by_const', 'mul',
    'mul_by_const', 'neg', 'pow_', 'reciprocal', 'rsqrt', 'sgn', 'sqrt', 'square', 'sub',
]  # fmt: skip


class Add(Binary):
    """``a + b``."""

    formula = 'a + b'
    kernel = operator.add
    takes_numbers = True
    sign = '+'

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, 1

    def commutes(self, node: Node) -> bool:
        return True


class Sub(Binary):
    """``a - b``."""

    formula = 'a - b'
    kernel = operator.sub
    takes_numbers = True
    sign = '-'

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, -1


class Mul(Binary):
    """``a * b``."""

    formula = 'a*b'
    kernel = operator.mul
    takes_numbers = True
    sign = '*'

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return b, a

    def commutes(self, node: Node) -> bool:
        """Return whether it is known to be real: a complex product may be fused, and rounds by its order."""
        return node.type is not None and node.type.is_real


def _divide(a: Any, b: Any) -> torch.Tensor:
    return a / b


class Div(Binary):
    """``a / b``, true division; by zero it is infinite or nan, as in torch."""

    formula = 'a/b'
    kernel = _divide
    kinks = (pole('b == 0', 'the derivative is infinite or nan', lambda _, a, b: b == 0),)
    takes_numbers = True
    sign = '/'

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        if isinstance(b, Node):
            return 1 / b, -y / b
        # Dividing by zero is the tensor's business, not Python's.
        return (1 / b if b else math.inf), None


class AddByConst(Add):
    """``a + c`` with a Python number ``c``, kept in ``attrs['constant']``."""

    def __call__(self, a: Operand, b: Operand) -> Node:
        return add(as_node(a, self.name), _number(b, self.name))


class MulByConst(Mul):
    """``a * c`` with a Python number ``c``, kept in ``attrs['constant']``."""

    def __call__(self, a: Operand, b: Operand) -> Node:
        return mul(as_node(a, self.name), _number(b, self.name))


class DivByConst(Div):
    """``a / c`` with a Python number ``c``, kept in ``attrs['constant']``."""

    def __call__(self, a: Operand, b: Operand) -> Node:
        return div(as_node(a, self.name), _number(b, self.name))


def _number(value: object, wanted_by: str) -> Number:
    if isinstance(value, (bool, int, float, complex)):
        return value
    msg = f'{wanted_by} takes a Python number as its constant, and got {value!r}'
    raise TensorTypeError(msg)


class Neg(Unary):
    """``-x``."""

    formula = '-x'
    kernel = torch.neg

    def partial(self, y: Node, x: Node) -> Partial:
        return -1


def _at_pole(_: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == 0) & (b.real < 1)


def _is_log_of_negative(y: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return where the base is negative, of an exponent that is no Python number."""
    is_number = y.attrs.get('side') == 'right'
    if is_number or a.is_complex() or b.is_complex():
        return torch.zeros((), dtype=torch.bool)
    return (a < 0) & (b == b)  # noqa: PLR0124 in the shape of both


class Pow(Binary):
    """``a ** b``, with a node or a number as base and as exponent.

    Notes
    -----
    At ``a == 0``: ``0 ** 0`` is 1; the derivative by the base is that of the power rule with
    ``0 * 0 ** -1`` taken as 0; the derivative by the exponent is 0 for ``b >= 0``, which are torch's
    conventions.
    """

    formula = 'a**b'
    kernel = torch.pow
    kinks = (
        pole('a == 0, b < 1', 'the derivative by the base is infinite, of b == 0 it is 0', _at_pole),
        pole('a < 0', 'the derivative by the exponent is nan', _is_log_of_negative),
    )
    takes_numbers = True
    sign = '**'

    def __call__(self, a: Operand, b: Operand) -> Node:
        return super().__call__(a, b)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return self._by_base(a, b), self._by_exponent(y, a, b)

    @staticmethod
    def _by_base(a: Any, b: Any) -> Partial:
        if not isinstance(a, Node):
            return None
        if isinstance(b, Node):
            is_pole = eq(a, 0) * eq(b, 0)
            return b * a ** (where(is_pole, 1.0, b) - 1)
        if b in {0, 1}:
            return b or None
        return b * (a if b == 2 else a ** (b - 1))  # noqa: PLR2004 the square

    @staticmethod
    def _by_exponent(y: Node, a: Any, b: Any) -> Partial:
        if not isinstance(b, Node):
            return None
        if isinstance(a, Node):
            is_zero = eq(a, 0) * ge(real(b), 0)
            return y * log(where(is_zero, 1.0, a))
        if a == 0:
            return where(ge(real(b), 0), zeros_like(b), -math.inf)
        if isinstance(a, complex) or a > 0:
            return y * (cmath.log(a) if isinstance(a, complex) else math.log(a))
        return y * math.nan


class Square(Unary):
    """``x * x``."""

    formula = 'x**2'
    kernel = torch.square

    def partial(self, y: Node, x: Node) -> Partial:
        return 2 * x


class Reciprocal(Unary):
    """``1 / x``."""

    formula = '1/x'
    kernel = torch.reciprocal
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -(y * y)


class Sqrt(Unary):
    """The square root; nan for negative real ``x``.

    Notes
    -----
    The derivative at 0 is infinite.
    """

    formula = 'sqrt(x)'
    kernel = torch.sqrt
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1 / (2 * y)


class Rsqrt(Unary):
    """``1 / sqrt(x)``."""

    formula = '1/sqrt(x)'
    kernel = torch.rsqrt
    kinks = (pole('x == 0', 'the derivative is infinite', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return -0.5 * y / x


class Abs(Unary):
    """The absolute value; the modulus of a complex ``x``.

    Notes
    -----
    The derivative at 0 is 0. For complex ``x`` the cotangent is ``ct * x / |x|``, torch's convention.
    """

    formula = 'Abs(x)'
    kernel = torch.abs
    kinks = (kink('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangent times the sign, which is not conjugated: the value is real."""
        (x,) = node.inputs
        return [output_grad * sgn(x)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the part of the tangent along ``x``."""
        (x,), (t,) = node.inputs, input_tangents
        return None if t is None else real(conj(sgn(x)) * t)


class Sgn(Unary):
    """``x / |x|``, and 0 at 0; the sign of a real ``x``.

    Notes
    -----
    Nothing flows for real ``x``. For complex ``x`` the derivative is the part of the tangent across
    ``x``, over ``|x|``; it is taken as 0 at 0.
    """

    kernel = torch.sgn
    kinks = (jump('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the pushforward of the cotangent: the map is self-adjoint."""
        (x,) = node.inputs
        ct = self.jvp(node, [output_grad])
        return [zeros_like(x) if ct is None else ct]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent across ``x`` over ``|x|``."""
        (x,), (t,) = node.inputs, input_tangents
        if t is None or (x.type is not None and x.type.is_real):
            return None
        across = node * imag(conj(node) * t) * 1j
        modulus = abs_(x)
        return sum_to_like(across / where(eq(modulus, 0), 1.0, modulus), x)


add = Add()
sub = Sub()
mul = Mul()
div = Div()
add_by_const = AddByConst()
mul_by_const = MulByConst()
div_by_const = DivByConst()
neg = Neg()
pow_ = Pow()
square = Square()
reciprocal = Reciprocal()
sqrt = Sqrt()
rsqrt = Rsqrt()
abs_ = Abs()
sgn = Sgn()
