"""Activations of neural networks."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.kink import kink
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.arithmetic import square
from adjoint.ops.elementwise import Partial, Unary
from adjoint.ops.exponential import erfc, exp
from adjoint.ops.reduction import rows_needed, rows_reached, sum_
from adjoint.ops.step import greater
from adjoint.ops.trigonometric import tanh

__all__ = [
    'GELU', 'GELUTanh', 'GELUTanhSlope', 'LogSigmoid', 'LogSoftmax', 'ReLU', 'SafeSoftmax', 'SiLU',
    'SiLUSlope', 'Sigmoid', 'Softmax', 'Softplus', 'gelu', 'gelu_tanh', 'gelu_tanh_slope', 'log_sigmoid',
    'log_softmax', 'relu', 'safe_softmax', 'sigmoid', 'silu', 'silu_slope', 'softmax', 'softplus',
]  # fmt: skip


_aten: Any = torch.ops.aten


def _one(x: torch.Tensor) -> torch.Tensor:
    """Return a cotangent of ones, without memory of its own."""
    return x.new_ones(()).expand_as(x)


class ReLU(Unary):
    """``x`` where it is positive, else 0.

    Notes
    -----
    The derivative at 0 is 0.
    """

    name = 'relu'
    formula = 'Max(x, 0)'
    kernel = torch.relu
    drops = True
    kinks = (kink('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        # As good as of the operand, which then need not be kept beside the value.
        return greater(y, 0)


class Sigmoid(Unary):
    """The logistic function ``1 / (1 + exp(-x))``."""

    formula = '1/(1 + exp(-x))'
    kernel = torch.sigmoid

    def partial(self, y: Node, x: Node) -> Partial:
        return y * (1 - y)


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.logaddexp(x, x.new_zeros(()))


class Softplus(Unary):
    """``log(1 + exp(x))``, without overflow and without the cut-off of torch's."""

    formula = 'log(1 + exp(x))'
    kernel = _softplus

    def partial(self, y: Node, x: Node) -> Partial:
        return sigmoid(x)


class _AlongDim(Op):
    """Base of the ops that normalise along one axis, ``attrs['dim']``."""

    def __call__(self, a: Operand, dim: int = -1) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape.
        dim : int
            The axis along which the exponentials sum to 1.
        """
        return Node([as_node(a, self.name)], self, {'dim': dim})

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Infer as any op, and refuse an axis that is none, which tensors without data do not."""
        (a,) = input_types
        axes = None if a.shape is None else max(len(a.shape), 1)
        if axes is not None and not -axes <= node.attrs['dim'] < axes:
            msg = (
                f'{self.name}: dimension out of range: dim={node.attrs["dim"]} of an operand {a}, which has '
                f'axes {-axes} to {axes - 1}\n{node.location}'
            )
            raise ShapeError(msg)
        return super().infer(node, input_types)

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the rows with a marked entry, as wholes."""
        return rows_needed(node, mask, node.attrs['dim'])

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the rows with a marked entry, as wholes."""
        return rows_reached(node, masks, node.attrs['dim'])


class Softmax(_AlongDim):
    """``exp(a) / sum(exp(a))`` along an axis, without overflow."""

    axes = ('dim',)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.softmax(a, node.attrs['dim'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [self._product(node, output_grad)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else self._product(node, t)

    @staticmethod
    def _product(y: Node, t: Node) -> Node:
        """Return the Jacobian, which is symmetric, times ``t``."""
        weighted = y * t
        return weighted - y * sum_(weighted, y.attrs['dim'], keepdim=True)


class SafeSoftmax(Softmax):
    """``softmax``, and 0 along an axis whose entries are all ``-inf``."""

    axes = ('dim',)
    name = 'safe_softmax'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.ops.aten._safe_softmax(a, node.attrs['dim'])  # noqa: SLF001 an op of ATen


class LogSoftmax(_AlongDim):
    """``a - log(sum(exp(a)))`` along an axis, without overflow."""

    axes = ('dim',)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.log_softmax(a, node.attrs['dim'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [output_grad - exp(node) * sum_(output_grad, node.attrs['dim'], keepdim=True)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else t - sum_(exp(node) * t, node.attrs['dim'], keepdim=True)


class SiLU(Unary):
    """``x * sigmoid(x)``."""

    name = 'silu'
    formula = 'x/(1 + exp(-x))'
    kernel = torch.nn.functional.silu

    def partial(self, y: Node, x: Node) -> Partial:
        return silu_slope(x)


def _silu_slope(x: torch.Tensor) -> torch.Tensor:
    if x.is_complex():
        # The kernel of torch is for real numbers.
        s = torch.sigmoid(x)
        return s * (1 + x * (1 - s))
    return _aten.silu_backward(_one(x), x)


class SiLUSlope(Unary):
    """The derivative of ``silu``, by torch's kernel for it."""

    name = 'silu_slope'
    formula = '(1 + x/(1 + exp(x)))/(1 + exp(-x))'
    kernel = _silu_slope

    def partial(self, y: Node, x: Node) -> Partial:
        s = sigmoid(x)
        return s * (1 - s) * (2 + x * (1 - 2 * s))


class LogSigmoid(Unary):
    """``log(sigmoid(x))``, without overflow."""

    formula = '-log(1 + exp(-x))'
    kernel = torch.nn.functional.logsigmoid

    def partial(self, y: Node, x: Node) -> Partial:
        return sigmoid(-x)


class GELU(Unary):
    """``x`` times the normal distribution function at ``x``."""

    name = 'gelu'
    formula = 'x*(1 + erf(x/sqrt(2)))/2'
    kernel = torch.nn.functional.gelu

    def partial(self, y: Node, x: Node) -> Partial:
        return 0.5 * erfc(x * -(0.5**0.5)) + x * exp(square(x) * -0.5) * (0.5 / math.pi) ** 0.5


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.gelu(x, approximate='tanh')


class GELUTanh(Unary):
    """The approximation of ``gelu`` by a hyperbolic tangent of a cubic."""

    name = 'gelu_tanh'
    formula = 'x*(1 + tanh(sqrt(2/pi)*(x + 44715*x**3/1000000)))/2'
    kernel = _gelu_tanh

    def partial(self, y: Node, x: Node) -> Partial:
        return gelu_tanh_slope(x)


def _gelu_tanh_slope(x: torch.Tensor) -> torch.Tensor:
    return _aten.gelu_backward(_one(x), x, approximate='tanh')


class GELUTanhSlope(Unary):
    """The derivative of ``gelu_tanh``, by torch's kernel for it."""

    name = 'gelu_tanh_slope'
    formula = (
        '(1 + tanh(sqrt(2/pi)*(x + 44715*x**3/1000000)))/2'
        ' + x*sqrt(2/pi)*(1 + 134145*x**2/1000000)/(2*cosh(sqrt(2/pi)*(x + 44715*x**3/1000000))**2)'
    )
    kernel = _gelu_tanh_slope

    def partial(self, y: Node, x: Node) -> Partial:
        root, cubic = (2 / math.pi) ** 0.5, 0.044715
        squared = square(x)
        gate = tanh(x * (squared * (cubic * root) + root))
        # Of what the gate is a hyperbolic tangent of.
        slope = squared * (3 * cubic * root) + root
        return (1 - gate * gate) * (squared * (3 * cubic * root) + slope - x * gate * slope * slope)


relu = ReLU()
sigmoid = Sigmoid()
softplus = Softplus()
softmax = Softmax()
safe_softmax = SafeSoftmax()
log_softmax = LogSoftmax()
silu = SiLU()
silu_slope = SiLUSlope()
log_sigmoid = LogSigmoid()
gelu = GELU()
gelu_tanh = GELUTanh()
gelu_tanh_slope = GELUTanhSlope()
