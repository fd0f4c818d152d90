"""Complex numbers from their parts, and back."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.arithmetic import abs_, square
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear, conj, imag, real, sum_to_like
from adjoint.ops.select import where
from adjoint.ops.step import eq
from adjoint.ops.trigonometric import cos, sin

__all__ = [
    'Angle', 'Complex', 'ViewAsComplex', 'ViewAsReal', 'angle', 'complex_', 'polar', 'view_as_complex',
    'view_as_real',
]  # fmt: skip


class Complex(Linear):
    """``a + 1j * b``, of real parts that broadcast."""

    linear_in = None

    def __call__(self, a: Operand, b: Operand) -> Node:
        """Build the node."""
        return Node([as_node(a, self.name), as_node(b, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return torch.complex(a, b)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return sum_to_like(real(ct), a), sum_to_like(imag(ct), b)


class ViewAsReal(Linear):
    """A complex ``a`` with its two parts along a last axis of size 2."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.view_as_real(a.resolve_conj())

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (view_as_complex(ct),)


class ViewAsComplex(Linear):
    """A real ``a`` whose last axis, of size 2, holds the parts of complex numbers."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.complex(a.select(-1, 0), a.select(-1, 1))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (view_as_real(ct),)


class Angle(Op):
    """The angle of a complex ``x`` in radians, in ``[-pi, pi]``; of a real one, 0 or pi.

    Notes
    -----
    Nothing flows for real ``x``; the derivative at 0 is 0.
    """

    def __call__(self, x: Operand) -> Node:
        """Build the node."""
        return Node([as_node(x, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.angle(x)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (x,) = node.inputs
        if x.type is not None and x.type.is_real:
            return [zeros_like(x)]
        return [sum_to_like(output_grad * _across(x), x)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the part of the tangent across ``x``, over its modulus."""
        (x,), (t,) = node.inputs, input_tangents
        if t is None or (x.type is not None and x.type.is_real):
            return None
        return real(conj(_across(x)) * t)


def _across(x: Node) -> Node:
    """Return ``1j * x / abs(x) ** 2``; 0 at 0."""
    modulus = square(abs_(x))
    return x * 1j / where(eq(modulus, 0), 1.0, modulus)


complex_ = Complex()
view_as_real = ViewAsReal()
view_as_complex = ViewAsComplex()
angle = Angle()


def polar(modulus: Operand, angle: Operand) -> Node:
    """Return the complex number of a modulus and an angle in radians."""
    r, a = as_node(modulus, 'polar'), as_node(angle, 'polar')
    return complex_(r * cos(a), r * sin(a))
