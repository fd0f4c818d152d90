"""Running products, recurrences and logarithms of sums.

Each is exact with zeros and stable with large exponents, at every order of derivative: what a running
product or sum of exponentials passes back is a linear recurrence, and a linear recurrence passes back
another one.
"""

import math
from collections.abc import Sequence

import torch

from adjoint.core.kink import pole
from adjoint.core.node import Node, Number, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.exponential import exp
from adjoint.ops.linear import conj
from adjoint.ops.reduction import reduction_attrs, sum_, unreduced
from adjoint.ops.shape import flatten, reshape_like

__all__ = [
    'Cumprod', 'Logcumsumexp', 'Prod', 'Recurrence', 'Shift', 'cumprod', 'logcumsumexp',
    'other_products', 'prod', 'recurrence', 'shift',
]  # fmt: skip


class Shift(Op):
    """``a`` moved by one place along an axis, with a number in the place that is left.

    To the back, or to the front with ``reverse``; the last entry in that direction is dropped.
    """

    axes = ('dim',)

    def __call__(self, a: Operand, dim: int, *, fill: Number = 0, reverse: bool = False) -> Node:
        attrs = {'dim': dim, 'fill': fill, 'reverse': bool(reverse)}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim: int = node.attrs['dim']
        fill: Number = node.attrs['fill']
        if a.ndim == 0:
            return torch.full_like(a, fill)
        size = a.size(dim)
        if size == 0:
            return a.clone()
        edge = torch.full_like(a.narrow(dim, 0, 1), fill)
        if node.attrs['reverse']:
            return torch.cat([a.narrow(dim, 1, size - 1), edge], dim)
        return torch.cat([edge, a.narrow(dim, 0, size - 1)], dim)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [shift(output_grad, node.attrs['dim'], reverse=not node.attrs['reverse'])]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else shift(t, node.attrs['dim'], reverse=node.attrs['reverse'])


class Recurrence(Op):
    """``y[i] = a[i] * y[i - 1] + b[i]`` along an axis, from nothing; with ``reverse`` from the back.

    Notes
    -----
    The factor of the first entry is not used.
    """

    axes = ('dim',)

    def __call__(self, a: Operand, b: Operand, dim: int, *, reverse: bool = False) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            The factors.
        b : Node, torch.Tensor or number
            What is added, of the shape of ``a``.
        dim : int
            The axis.
        reverse : bool
            Whether the last entry comes first.
        """
        attrs = {'dim': dim, 'reverse': bool(reverse)}
        return Node([as_node(a, self.name), as_node(b, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        dim: int = node.attrs['dim']
        if b.ndim == 0:
            return b + torch.zeros_like(a)
        if node.attrs['reverse']:
            a, b = a.flip(dim), b.flip(dim)
        y = _scanned(a.movedim(dim, 0), b.movedim(dim, 0)).movedim(0, dim)
        return y.flip(dim) if node.attrs['reverse'] else y

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, _ = node.inputs
        dim, reverse = node.attrs['dim'], node.attrs['reverse']
        factors = shift(conj(a), dim, reverse=not reverse)
        ct = recurrence(factors, output_grad, dim, reverse=not reverse)
        return [ct * conj(shift(node, dim, reverse=reverse)), ct]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        a, _ = node.inputs
        s, t = input_tangents
        dim, reverse = node.attrs['dim'], node.attrs['reverse']
        if s is not None:
            moved = s * shift(node, dim, reverse=reverse)
            t = moved if t is None else moved + t
        return None if t is None else recurrence(a, t, dim, reverse=reverse)


def _scanned(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Run the recurrence along the first axis in a logarithmic number of steps."""
    size, reach = b.shape[0], 1
    while reach < size:
        ahead = b[reach:] + a[reach:] * b[:-reach]
        b = torch.cat([b[:reach], ahead])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b


class Cumprod(Op):
    """The running product along an axis, from the front, or from the back with ``reverse``."""

    axes = ('dim',)

    def __call__(self, a: Operand, dim: int, *, reverse: bool = False) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim, 'reverse': bool(reverse)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim = node.attrs['dim']
        if node.attrs['reverse'] and a.ndim:
            return a.flip(dim).cumprod(dim).flip(dim)
        return a.cumprod(dim)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        dim, reverse = node.attrs['dim'], node.attrs['reverse']
        factors = shift(conj(a), dim, reverse=not reverse)
        ct = recurrence(factors, output_grad, dim, reverse=not reverse)
        return [ct * conj(self._before(node))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (a,), (t,) = node.inputs, input_tangents
        if t is None:
            return None
        return recurrence(a, t * self._before(node), node.attrs['dim'], reverse=node.attrs['reverse'])

    @staticmethod
    def _before(y: Node) -> Node:
        """Return the product of the entries before each."""
        return shift(y, y.attrs['dim'], fill=1, reverse=y.attrs['reverse'])


class Logcumsumexp(Op):
    """``log(cumsum(exp(a)))`` along an axis, without overflow.

    Notes
    -----
    The derivative is nan where all entries so far are ``-inf``, as torch's.
    """

    axes = ('dim',)
    kinks = (
        pole(
            'all entries so far are -inf',
            'the derivative is nan',
            lambda y, a: torch.cumsum(a.real != -math.inf, y.attrs['dim']) == 0,
        ),
    )

    def __call__(self, a: Operand, dim: int) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.logcumsumexp(a, node.attrs['dim'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        dim = node.attrs['dim']
        # The sums grow, so the factors do not exceed 1, and the last one, which is not used, is 0.
        factors = conj(exp(node - shift(node, dim, fill=float('inf'), reverse=True)))
        return [conj(exp(a - node)) * recurrence(factors, output_grad, dim, reverse=True)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (a,), (t,) = node.inputs, input_tangents
        if t is None:
            return None
        dim = node.attrs['dim']
        factors = exp(shift(node, dim, fill=float('-inf')) - node)
        return recurrence(factors, t * exp(a - node), dim)


class Prod(Op):
    """The product along an axis, or of all entries; 1 of no entries.

    Notes
    -----
    Its derivatives are products of the other entries, exact with any number of zeros.
    """

    def __call__(self, a: Operand, dim: int | None = None, keepdim: bool = False) -> Node:
        return Node([as_node(a, self.name)], self, reduction_attrs(dim, keepdim))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim, keepdim = node.attrs['dim'], node.attrs['keepdim']
        if dim is not None:
            return torch.prod(a, dim, keepdim=keepdim)
        y = torch.prod(a)
        return y.reshape([1] * a.ndim) if keepdim else y

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [unreduced(output_grad, node) * conj(self._others(node))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        if t is None:
            return None
        return sum_(t * self._others(node), node.attrs['dim'], node.attrs['keepdim'])

    @staticmethod
    def _others(y: Node) -> Node:
        (a,), dim = y.inputs, y.attrs['dim']
        return reshape_like(other_products(flatten(a), 0), a) if dim is None else other_products(a, dim)


shift = Shift()
recurrence = Recurrence()
cumprod = Cumprod()
logcumsumexp = Logcumsumexp()
prod = Prod()


def other_products(a: Node, dim: int) -> Node:
    """Return, for each entry of an axis, the product of the others; no division, so zeros do no harm."""
    before = cumprod(shift(a, dim, fill=1), dim)
    after = cumprod(shift(a, dim, fill=1, reverse=True), dim, reverse=True)
    return before * after
