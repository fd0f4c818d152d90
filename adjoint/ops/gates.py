"""Activations with parameters, and those made of pieces."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.kink import jump, kink
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.activation import sigmoid, softplus
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Partial, Step, Unary
from adjoint.ops.exponential import exp
from adjoint.ops.linear import Linear
from adjoint.ops.select import clamp, in_range, where
from adjoint.ops.shape import cat
from adjoint.ops.step import gt
from adjoint.ops.trigonometric import tanh

__all__ = [
    'ELU', 'Glu', 'HalfOf', 'Hardshrink', 'Hardsigmoid', 'Hardswish', 'Hardtanh', 'Inside', 'LeakyReLU',
    'Mish', 'Slope', 'Softshrink', 'elu', 'glu', 'half_of', 'hardshrink', 'hardsigmoid', 'hardswish',
    'hardtanh', 'inside', 'leaky_relu', 'mish', 'prelu', 'slope', 'softshrink',
]  # fmt: skip


class Inside(Step, Unary):
    """1 where ``low < x < high``, else 0, in the dtype of ``x``."""

    kinks = (
        jump(
            'x == low or x == high',
            'the derivative is 0',
            lambda y, x: (x == y.attrs['low']) | (x == y.attrs['high']),
        ),
    )

    def __call__(self, x: Operand, low: float = 0.0, high: float = 1.0) -> Node:
        return Node([as_node(x, self.name)], self, {'low': low, 'high': high})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return ((x > node.attrs['low']) & (x < node.attrs['high'])).to(x.dtype)


class Slope(Step, Unary):
    """1 where ``x`` is positive, else ``negative_slope``, in the dtype of ``x``."""

    kinks = (jump('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def __call__(self, x: Operand, negative_slope: float = 0.01) -> Node:
        return Node([as_node(x, self.name)], self, {'negative_slope': negative_slope})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.where(x > 0, torch.ones_like(x), node.attrs['negative_slope'])


class LeakyReLU(Unary):
    """``x`` where it is positive, else ``negative_slope * x``.

    Notes
    -----
    The derivative at 0 is the slope.
    """

    name = 'leaky_relu'
    kinks = (kink('x == 0', 'the derivative is the slope', lambda _, x: x == 0),)

    def __call__(self, x: Operand, negative_slope: float = 0.01) -> Node:
        return Node([as_node(x, self.name)], self, {'negative_slope': negative_slope})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return F.leaky_relu(x, node.attrs['negative_slope'])

    def partial(self, y: Node, x: Node) -> Partial:
        return slope(x, y.attrs['negative_slope'])


class ELU(Unary):
    """``scale * x`` where ``x`` is positive, else ``scale * alpha * (exp(input_scale * x) - 1)``.

    Notes
    -----
    The derivative at 0 is that of the exponential part.
    """

    name = 'elu'
    kinks = (kink('x == 0', 'the derivative is that of the exponential part', lambda _, x: x == 0),)

    def __call__(self, x: Operand, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            Any shape, real.
        alpha : float
            Minus the limit on the left, before scaling.
        scale : float
            Of the value: 1.0507 for SELU.
        input_scale : float
            Of ``x`` in the exponential: ``1 / alpha`` for CELU.
        """
        attrs = {'alpha': alpha, 'scale': scale, 'input_scale': input_scale}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        attrs = node.attrs
        return torch.ops.aten.elu(x, attrs['alpha'], attrs['scale'], attrs['input_scale'])

    def partial(self, y: Node, x: Node) -> Partial:
        alpha, scale, input_scale = (y.attrs[name] for name in ('alpha', 'scale', 'input_scale'))
        # Clamped, so that the part that is not chosen neither overflows nor makes nan of a zero cotangent.
        falling = exp(clamp(x, max=0.0) * input_scale) * (alpha * scale * input_scale)
        return where(gt(x, 0), scale, falling)


class Hardshrink(Unary):
    """``x`` where it lies outside ``[-lambd, lambd]``, else 0.

    Notes
    -----
    The derivative at the jumps is 0.
    """

    kinks = (jump('abs(x) == lambd', 'the derivative is 0', lambda y, x: x.abs() == y.attrs['lambd']),)

    def __call__(self, x: Operand, lambd: float = 0.5) -> Node:
        return Node([as_node(x, self.name)], self, {'lambd': lambd})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return F.hardshrink(x, node.attrs['lambd'])

    def partial(self, y: Node, x: Node) -> Partial:
        lambd = y.attrs['lambd']
        return 1 - Node([x], in_range, {'min': -lambd, 'max': lambd})


class Softshrink(Hardshrink):
    """``x`` moved towards 0 by ``lambd``, and 0 where it is nearer than that.

    Notes
    -----
    The derivative at the kinks is 0.
    """

    kinks = (kink('abs(x) == lambd', 'the derivative is 0', lambda y, x: x.abs() == y.attrs['lambd']),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return F.softshrink(x, node.attrs['lambd'])


class Hardtanh(Unary):
    """``x`` limited to ``[min_val, max_val]``.

    Notes
    -----
    The derivative at the bounds is 0, other than that of ``clamp``.
    """

    kinks = (
        kink(
            'x == min_val or x == max_val',
            'the derivative is 0',
            lambda y, x: (x == y.attrs['min_val']) | (x == y.attrs['max_val']),
        ),
    )

    def __call__(self, x: Operand, min_val: float = -1.0, max_val: float = 1.0) -> Node:
        return Node([as_node(x, self.name)], self, {'min_val': min_val, 'max_val': max_val})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.clamp(x, node.attrs['min_val'], node.attrs['max_val'])

    def partial(self, y: Node, x: Node) -> Partial:
        return inside(x, y.attrs['min_val'], y.attrs['max_val'])


def _hardsigmoid(x: torch.Tensor) -> torch.Tensor:
    # Not the kernel of torch: its backward takes 1/6 in single precision.
    return torch.clamp(x + 3, 0, 6) / 6


def _at_three(_: Node, x: torch.Tensor) -> torch.Tensor:
    return x.abs() == 3  # noqa: PLR2004 where both are cut off


class Hardsigmoid(Unary):
    """``x / 6 + 1 / 2`` limited to ``[0, 1]``.

    Notes
    -----
    The derivative at -3 and 3 is 0.
    """

    kernel = _hardsigmoid
    kinks = (kink('abs(x) == 3', 'the derivative is 0', _at_three),)

    def partial(self, y: Node, x: Node) -> Partial:
        return inside(x, -3.0, 3.0) / 6


class Hardswish(Unary):
    """``x`` times its hard sigmoid.

    Notes
    -----
    The derivative at -3 is 0, at 3 it is 1.
    """

    kernel = F.hardswish
    kinks = (kink('abs(x) == 3', 'the derivative is 0 at -3 and 1 at 3', _at_three),)

    def partial(self, y: Node, x: Node) -> Partial:
        return where(inside(x, -3.0, 3.0), x / 3 + 0.5, gt(x, 0))


class Mish(Unary):
    """``x * tanh(log(1 + exp(x)))``."""

    formula = 'x*tanh(log(1 + exp(x)))'
    kernel = F.mish

    def partial(self, y: Node, x: Node) -> Partial:
        gate = tanh(softplus(x))
        return gate + x * sigmoid(x) * (1 - gate * gate)


class HalfOf(Linear):
    """One half of ``a`` along an axis of even size: the first, or with ``second`` the other."""

    axes = ('dim',)

    def __call__(self, a: Operand, dim: int, second: bool = False) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim, 'second': second})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim: int = node.attrs['dim']
        if a.shape[dim] % 2:
            msg = f'{self.name} along axis {dim} of {tuple(a.shape)}, whose size is odd'
            raise ValueError(msg)
        size: int = a.shape[dim] // 2
        return a.narrow(dim, size if node.attrs['second'] else 0, size)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        parts = [ct, zeros_like(ct)]
        return (cat(parts[::-1] if node.attrs['second'] else parts, node.attrs['dim']),)


class Glu(Op):
    """The first half of ``a`` along an axis times the sigmoid of the second."""

    axes = ('dim',)

    def __call__(self, a: Operand, dim: int = -1) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return F.glu(a, node.attrs['dim'])

    def _parts(self, node: Node) -> tuple[Node, Node]:
        (a,), dim = node.inputs, node.attrs['dim']
        gate = sigmoid(half_of(a, dim, second=True))
        return gate, half_of(a, dim) * gate * (1 - gate)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        by_first, by_second = self._parts(node)
        return [cat([output_grad * by_first, output_grad * by_second], node.attrs['dim'])]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,), dim = input_tangents, node.attrs['dim']
        if t is None:
            return None
        by_first, by_second = self._parts(node)
        return half_of(t, dim) * by_first + half_of(t, dim, second=True) * by_second


inside = Inside()
slope = Slope()
leaky_relu = LeakyReLU()
elu = ELU()
hardshrink = Hardshrink()
softshrink = Softshrink()
hardtanh = Hardtanh()
hardsigmoid = Hardsigmoid()
hardswish = Hardswish()
mish = Mish()
half_of = HalfOf()
glu = Glu()


def prelu(x: Operand, weight: Operand) -> Node:
    """Return ``x`` where it is positive, else ``weight * x``; the two broadcast.

    At 0 the derivative by ``x`` is the weight.
    """
    x = as_node(x, 'prelu')
    return where(gt(x, 0), x, weight * x)
