"""Remainders, and the parts of a floating number: sign, mantissa, exponent, neighbour."""

import math
from typing import Any, cast

import torch

from adjoint.core.kink import jump, kink, pole
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Binary, Partial, Step, Unary
from adjoint.ops.logic import isfinite
from adjoint.ops.step import floor_divide, sign, trunc_divide

__all__ = [
    'Copysign', 'Fmod', 'Frac', 'FrexpMantissa', 'FrexpScale', 'Ldexp', 'NanToNum', 'Nextafter',
    'Remainder', 'copysign', 'fmod', 'frac', 'frexp_mantissa', 'frexp_scale', 'ldexp', 'nan_to_num',
    'nextafter', 'remainder',
]  # fmt: skip


def at_zero(other: Any, b: Any) -> Any:
    """Return where ``b``, perhaps a number, is zero, in the shape of both."""
    return (b == 0) | (other != other)  # noqa: PLR0124 nan is nowhere


class Fmod(Binary):
    """The remainder of ``a / b`` with the sign of ``a``; nan where ``b`` is 0.

    Notes
    -----
    The derivative by ``b`` is minus the quotient without its fraction, at the jumps too.
    """

    kernel = torch.fmod
    kinks = (
        jump(
            'a a multiple of b',
            'the derivatives are those between the jumps',
            lambda _, a, b: torch.fmod(a, b) == 0,
        ),
        pole('b == 0', 'the derivative by b is infinite or nan', lambda _, a, b: at_zero(a, b)),
    )

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, -trunc_divide(a, b) if isinstance(b, Node) else None


class Remainder(Binary):
    """The remainder of ``a / b`` with the sign of ``b``, as ``%`` in Python; nan where ``b`` is 0.

    Notes
    -----
    The derivative by ``b`` is minus the quotient rounded down, at the jumps too.
    """

    kernel = torch.remainder
    kinks = (
        jump(
            'a a multiple of b',
            'the derivatives are those between the jumps',
            lambda _, a, b: torch.remainder(a, b) == 0,
        ),
        pole('b == 0', 'the derivative by b is infinite or nan', lambda _, a, b: at_zero(a, b)),
    )

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, -floor_divide(a, b) if isinstance(b, Node) else None


class Frac(Unary):
    """The fraction of ``x``, with its sign: ``x - trunc(x)``."""

    kernel = torch.frac
    kinks = (jump('x whole, not 0', 'the derivative is 1', lambda _, x: (x == x.trunc()) & (x != 0)),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 1


class Copysign(Binary):
    """``|a|`` with the sign of ``b``, that of -0.0 too.

    Notes
    -----
    The derivative by ``a`` is taken as 0 where ``a`` is 0; nothing flows to ``b``.
    """

    kernel = torch.copysign
    kinks = (kink('a == 0', 'the derivative by a is 0', lambda _, a, b: at_zero(b, a)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return sign(a) * sign(y) if isinstance(a, Node) else None, None


class Nextafter(Binary):
    """The floating number next to ``a`` towards ``b``.

    Notes
    -----
    It moves with ``a``, whose derivative is 1; nothing flows to ``b``.
    """

    kernel = torch.nextafter

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, None


def _ldexp(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # torch gives its result the shape of the first operand before that of both, and warns.
    if a.ndim and b.ndim:
        shape = cast('torch.Size', torch.broadcast_shapes(a.shape, b.shape))
        a, b = a.expand(shape), b.expand(shape)
    return torch.ldexp(a, b)


class Ldexp(Binary):
    """``a * 2**b``."""

    formula = 'a*2**b'
    kernel = _ldexp

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 2.0**b, y * math.log(2)


_HALF = 0.5  # the least mantissa


class FrexpScale(Step, Unary):
    """``2**-e`` with the exponent ``e`` of ``x``, in its dtype."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.exp2(-torch.frexp(x)[1].to(x.dtype))


class FrexpMantissa(Unary):
    """The mantissa of ``x``: the ``m`` of ``x == m * 2**e`` with ``|m|`` in [0.5, 1); 0 of 0.

    Notes
    -----
    The derivative is ``2**-e``, at the jumps too.
    """

    kinks = (
        jump('abs(x) a power of 2', 'the derivative is 2**-e', lambda _, x: torch.frexp(x)[0].abs() == _HALF),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.frexp(input_values[0])[0]

    def partial(self, y: Node, x: Node) -> Partial:
        return frexp_scale(x)


class NanToNum(Unary):
    """``x`` with numbers in the place of nan and of the infinities.

    Notes
    -----
    Nothing flows where ``x`` is not finite.
    """

    drops = True
    kinks = (jump('x not finite', 'the derivative is 0', lambda _, x: ~x.isfinite()),)

    def __call__(
        self, x: Operand, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape.
        nan, posinf, neginf : float, optional
            What is put there; 0, and the largest and smallest numbers of the dtype, by default.
        """
        return Node([as_node(x, self.name)], self, {'nan': nan, 'posinf': posinf, 'neginf': neginf})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.nan_to_num(input_values[0], **node.attrs)

    def partial(self, y: Node, x: Node) -> Partial:
        return isfinite(x)


fmod = Fmod()
remainder = Remainder()
frac = Frac()
copysign = Copysign()
nextafter = Nextafter()
ldexp = Ldexp()
frexp_scale = FrexpScale()
frexp_mantissa = FrexpMantissa()
nan_to_num = NanToNum()
