"""Complex numbers from their parts, and back."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.kink import jump
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.arithmetic import abs_
from adjoint.ops.blend import Nary
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Elementwise, Partial, Unary
from adjoint.ops.linear import Linear, conj, imag, real, sum_to_like
from adjoint.ops.select import where
from adjoint.ops.step import eq
from adjoint.ops.trigonometric import cos, sin

__all__ = [
    'Angle', 'Complex', 'Polar', 'ViewAsComplex', 'ViewAsReal', 'angle', 'complex_', 'polar',
    'view_as_complex', 'view_as_real',
]  # fmt: skip


class _OfTwoReals(Elementwise):
    """Base of the ops that make complex numbers of two real tensors of one dtype."""

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        a, b = input_types
        if None not in {a.dtype, b.dtype} and (a.dtype != b.dtype or not (a.is_real and a.is_differentiable)):
            msg = (
                f'{self.name} takes two real tensors of one floating dtype, and got {a} and {b}\n'
                f'{node.location}'
            )
            raise TensorTypeError(msg)
        return super().infer(node, input_types)


class Complex(_OfTwoReals, Linear):
    """``real + 1j * imag`` of two real tensors that broadcast."""

    linear_in = None
    kernel = torch.complex

    def __call__(self, real: Operand, imag: Operand) -> Node:
        """Build the node.

        Parameters
        ----------
        real, imag : Node or torch.Tensor
            Of one real floating dtype.
        """
        return Node([as_node(real, self.name), as_node(imag, self.name)], self)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        # What is summed for a real operand is the real part.
        return sum_to_like(ct, a), sum_to_like(imag(ct), b)


class Polar(_OfTwoReals, Nary):
    """The complex number with a modulus and an angle in radians; both real, and they broadcast.

    Notes
    -----
    The modulus may be negative or 0: its derivative is the direction of the angle, where torch has the
    direction of the value.
    """

    kernel = torch.polar

    def __call__(self, abs: Operand, angle: Operand) -> Node:
        """Build the node.

        Parameters
        ----------
        abs, angle : Node or torch.Tensor
            Of one real floating dtype.
        """
        return Node([as_node(abs, self.name), as_node(angle, self.name)], self)

    def partials(self, y: Node, *operands: Any) -> Sequence[Partial]:
        _, theta = operands
        return complex_(cos(theta), sin(theta)), y * 1j


class Angle(Unary):
    """The angle of a complex ``x`` in radians, in (-pi, pi]; of a real one 0, or pi where it is negative.

    Notes
    -----
    Nothing flows for real ``x``. The derivative at 0 is taken as 0. The cotangent is
    ``ct * 1j * x / |x|**2``, torch's convention.
    """

    kernel = torch.angle
    kinks = (jump('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangent times the direction across ``x``, which is not conjugated."""
        (x,) = node.inputs
        if x.type is not None and x.type.is_real:
            return [zeros_like(x)]
        return [sum_to_like(output_grad * _across(x), x)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the part of the tangent across ``x``, over ``|x|``."""
        (x,), (t,) = node.inputs, input_tangents
        if t is None or (x.type is not None and x.type.is_real):
            return None
        return real(conj(_across(x)) * t)


def _across(x: Node) -> Node:
    modulus = abs_(x)
    # Divided twice, so that the square neither overflows nor vanishes.
    modulus = where(eq(modulus, 0), 1.0, modulus)
    return x / modulus / modulus * 1j


class ViewAsReal(Linear):
    """A complex tensor as a real one with a last axis of size 2: real and imaginary part."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.view_as_real(input_values[0].resolve_conj())

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (view_as_complex(ct),)


class ViewAsComplex(Linear):
    """A real tensor with a last axis of size 2 as a complex one without it."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        if x.ndim and x.shape[-1] == 2 and (x.stride(-1) != 1 or any(s % 2 for s in x.stride()[:-1])):  # noqa: PLR2004 the two parts
            x = x.contiguous()
        return torch.view_as_complex(x)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (view_as_real(ct),)


complex_ = Complex()
polar = Polar()
angle = Angle()
view_as_real = ViewAsReal()
view_as_complex = ViewAsComplex()
