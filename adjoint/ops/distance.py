"""Norms and distances."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.kink import kink
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.arithmetic import abs_
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Unary
from adjoint.ops.linear import Linear, cast, conj, real, sum_to_like
from adjoint.ops.reduction import Dims, Reduction, amax, amin, reduction_attrs, sum_, unreduced
from adjoint.ops.select import where
from adjoint.ops.shape import flatten, reshape_like, transpose, unsqueeze
from adjoint.ops.step import eq, gt

__all__ = [
    'AbsPow', 'Pairs', 'ScaledNorm', 'SignedPow', 'Unpairs', 'VectorNorm', 'abs_pow', 'cdist', 'dist',
    'finite_norm', 'pairs', 'pdist', 'renorm', 'scaled_norm', 'signed_pow', 'unpairs', 'vector_norm',
]  # fmt: skip

_linalg: Any = torch.linalg  # it has no types


class _OfAbs(Unary):
    """Base of the two powers of the absolute value, each the derivative of the other."""

    def __call__(self, x: Operand, exponent: float = 1.0) -> Node:
        return Node([as_node(x, self.name)], self, {'exponent': exponent})


class AbsPow(_OfAbs):
    """``abs(x) ** exponent``, real.

    Notes
    -----
    At 0 the derivative is 0.
    """

    kinks = (kink('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return x.abs() ** node.attrs['exponent']

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (x,) = node.inputs
        r = node.attrs['exponent']
        if r == 0:
            return [zeros_like(x)]
        return [output_grad * r * signed_pow(x, r - 1)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        (x,) = node.inputs
        r = node.attrs['exponent']
        return None if t is None or r == 0 else real(t * conj(signed_pow(x, r - 1))) * r


class SignedPow(_OfAbs):
    """``sgn(x) * abs(x) ** exponent``; 0 at 0, for every exponent.

    Notes
    -----
    At 0 the derivative is 0 where the exponent is below 1.
    """

    kinks = (kink('x == 0', 'the derivative is 0, unless the exponent is 1', lambda _, x: x == 0),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        r: float = node.attrs['exponent']
        if r == 0:
            return x.sgn()
        # Not |x| ** (r - 1) * x, which is 0 * inf where r < 1.
        return torch.where(x == 0, 0, x.sgn() * x.abs() ** r)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [self._product(node, output_grad)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else self._product(node, t)

    @staticmethod
    def _product(y: Node, t: Node) -> Node:
        """Return the Jacobian, which is symmetric over the reals, times ``t``."""
        (x,) = y.inputs
        r: float = y.attrs['exponent']
        is_real = x.type is not None and x.type.is_real
        if is_real and r == 0:
            return zeros_like(x)
        scale = abs_pow(x, r - 1)
        if r < 1:
            is_zero = eq(x, 0.0)
            scale = where(is_zero, 0.0, abs_pow(where(is_zero, 1.0, x), r - 1))
        if is_real:
            return t * r * scale
        unit = signed_pow(x, 0)
        return sum_to_like((t + unit * real(conj(unit) * t) * (r - 1)) * scale, x)


class VectorNorm(Reduction):
    """``sum(abs(a) ** ord) ** (1 / ord)`` along axes, real, for a finite ``ord``.

    Notes
    -----
    Where the norm is 0, all derivatives are 0. With ``ord=0`` it is the count of the entries that are not
    zero, and nothing flows.
    """

    kinks = (
        kink(
            'the norm is 0',
            'all derivatives are 0',
            lambda y, a: _linalg.vector_norm(a, 2, y.attrs['dim'], y.attrs['keepdim']) == 0,
        ),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        attrs = node.attrs
        return _linalg.vector_norm(a, attrs['ord'], attrs['dim'], attrs['keepdim'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        if node.attrs['ord'] == 0:
            return [zeros_like(a)]
        return [unreduced(output_grad, node) * self._direction(node)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        if t is None or node.attrs['ord'] == 0:
            return None
        product = real(conj(self._direction(node)) * t)
        return sum_(product, node.attrs['dim'], node.attrs['keepdim'])

    @staticmethod
    def _direction(y: Node) -> Node:
        """Return the derivative: where the norm is 0 a 1 stands for it and for the entries, then 0."""
        (a,) = y.inputs
        whole = unreduced(y, y)
        is_zero = eq(whole, 0.0)
        ratio = where(is_zero, 1.0, a) / where(is_zero, 1.0, whole)
        order: float = y.attrs['ord']
        return where(is_zero, 0.0, ratio if order == 2 else signed_pow(ratio, order - 1))  # noqa: PLR2004


class ScaledNorm(VectorNorm):
    """The Euclidean norm along axes, which overflows and underflows only where it has to.

    The entries are divided by a power of 2 near the largest before they are squared, which rounds nothing.

    Notes
    -----
    Where the norm is 0, all derivatives are 0.
    """

    def __call__(self, a: Operand, dim: Dims = None, keepdim: bool = False) -> Node:
        return Node([as_node(a, self.name)], self, {'ord': 2, **reduction_attrs(dim, keepdim)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim, keepdim = node.attrs['dim'], node.attrs['keepdim']
        if a.numel() == 0 or a.ndim == 0:
            return _linalg.vector_norm(a, 2, dim, keepdim)
        axes = tuple(range(a.ndim)) if dim is None else dim
        largest = a.abs().amax(axes, keepdim=True)
        power = largest / torch.frexp(largest).mantissa
        power = torch.where(power.isfinite() & (largest > 0), power, 1)
        scaled = _linalg.vector_norm(a / power, 2, axes, keepdim=True) * power
        return scaled if keepdim else scaled.squeeze(axes)


class Pairs(Linear):
    """The rows ``i`` and ``j`` of a matrix subtracted, for ``i < j``, in the order of ``torch.pdist``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        i, j = _pairs_of(a)
        return a[i] - a[j]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (unpairs(ct, node.inputs[0]),)


class Unpairs(Linear):
    """The adjoint of ``pairs``: each row added to row ``i``, and subtracted from row ``j``, of zeros."""

    def __call__(self, a: Operand, like: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(like, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        i, j = _pairs_of(like)
        zeros = torch.zeros_like(like, dtype=a.dtype)
        return zeros.index_add(0, i, a).index_add(0, j, a, alpha=-1)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return pairs(ct), None


def _pairs_of(a: torch.Tensor) -> torch.Tensor:
    rows = a.shape[0]
    return torch.triu_indices(rows, rows, 1, device=a.device)


abs_pow = AbsPow()
signed_pow = SignedPow()
pairs = Pairs()
unpairs = Unpairs()
finite_norm = VectorNorm()
scaled_norm = ScaledNorm()


def vector_norm(
    a: Operand,
    ord: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Node:
    """Return the norm of the entries along axes, as ``torch.linalg.vector_norm``.

    Parameters
    ----------
    a : Node, torch.Tensor or number
        Any shape, real or complex.
    ord : float
        0 counts the entries that are not zero; ``inf`` and ``-inf`` are the largest and the smallest
        absolute value; otherwise ``sum(abs(a) ** ord) ** (1 / ord)``.
    dim : int or sequence of int, optional
        The axes to reduce; all of them by default.
    keepdim : bool
        Whether the reduced axes stay, with size 1.
    dtype : torch.dtype, optional
        What ``a`` is cast to before.

    Notes
    -----
    Where the norm is 0, all derivatives are 0. Ties of ``inf`` and ``-inf`` share the cotangent evenly.
    Nothing flows with ``ord=0``.
    """
    a = as_node(a, 'vector_norm')
    if dtype is not None:
        a = cast(a, dtype)
    if math.isinf(ord):
        return (amax if ord > 0 else amin)(abs_(a), dim, keepdim)
    if ord == 1:
        return sum_(abs_(a), dim, keepdim)
    dims = dim if dim is None or isinstance(dim, int) else (tuple(dim) or None)
    return Node([a], finite_norm, {'ord': ord, 'dim': dims, 'keepdim': bool(keepdim)})


def dist(a: Operand, b: Operand, p: float = 2) -> Node:
    """Return the norm of ``a - b``, all of it, as ``torch.dist``; see :func:`vector_norm`."""
    return vector_norm(as_node(a, 'dist') - as_node(b, 'dist'), p)


def cdist(a: Operand, b: Operand, p: float = 2) -> Node:
    """Return the distance of each row of ``a`` from each row of ``b``, as ``torch.cdist``.

    Parameters
    ----------
    a, b : Node or torch.Tensor
        Matrices with as many columns; batches broadcast.
    p : float
        Of the norm; see :func:`vector_norm` for it, and for what happens where rows are equal.
    """
    a, b = as_node(a, 'cdist'), as_node(b, 'cdist')
    return vector_norm(unsqueeze(a, -2) - unsqueeze(b, -3), p, -1)


def pdist(a: Operand, p: float = 2) -> Node:
    """Return the distances of the rows of a matrix from each other, as ``torch.pdist``, in its order."""
    return vector_norm(pairs(a), p, -1)


def renorm(a: Operand, p: float, dim: int, maxnorm: float) -> Node:
    """Return ``a`` with each slice along ``dim`` whose norm exceeds ``maxnorm`` scaled down to it.

    Parameters
    ----------
    a : Node or torch.Tensor
        At least two axes.
    p : float
        Of the norm; see :func:`vector_norm`.
    dim : int
        The axis whose positions are the slices.
    maxnorm : float
        The largest norm.
    """
    slices = transpose(as_node(a, 'renorm'), 0, dim)
    rows = flatten(slices, 1)
    size = vector_norm(rows, p, 1, keepdim=True)
    # The small number is torch's.
    scaled = where(gt(size, maxnorm), rows * (maxnorm / (size + 1e-7)), rows)
    return transpose(reshape_like(scaled, slices), 0, dim)
