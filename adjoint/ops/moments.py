"""Variances, and means and sums of the entries that are numbers."""

import math

import torch

from adjoint.core.kink import kink
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Partial, Unary
from adjoint.ops.linear import conj, real
from adjoint.ops.reduction import Dims, mean, reduction_attrs, sum_
from adjoint.ops.select import where
from adjoint.ops.step import eq

__all__ = ['Deviation', 'deviation', 'nanmean', 'nansum', 'std', 'var']


class Deviation(Unary):
    """The root of a variance ``x``.

    Notes
    -----
    The derivative at 0 is 0, and not that of the root: what is constant has no direction to vary in.
    """

    kernel = torch.sqrt
    kinks = (kink('x == 0', 'the derivative is 0', lambda _, x: x == 0),)

    def partial(self, y: Node, x: Node) -> Partial:
        return 0.5 / where(eq(y, 0), math.inf, y)


deviation = Deviation()


def var(a: Operand, dim: Dims = None, keepdim: bool = False, correction: float = 1) -> Node:
    """Return the variance along axes, from the deviations from the mean; of a complex operand it is real.

    Parameters
    ----------
    a : Node, torch.Tensor or number
        Any shape.
    dim : int or sequence of int, optional
        The axes to reduce; all of them by default.
    keepdim : bool
        Whether the reduced axes stay, with size 1.
    correction : float
        Subtracted from the count: 1 for the unbiased estimate, 0 for the biased one.

    Returns
    -------
    Node
        The variance; nan where the count does not exceed the correction.
    """
    a = as_node(a, 'var')
    apart = a - mean(a, dim, keepdim=True)
    attrs = reduction_attrs(dim, keepdim) | {'correction': correction}
    return Node([real(apart * conj(apart))], mean, attrs)


def std(a: Operand, dim: Dims = None, keepdim: bool = False, correction: float = 1) -> Node:
    """Return the standard deviation: the root of :func:`var`, with its parameters.

    Notes
    -----
    The derivative is 0 where all entries are equal, as torch's.
    """
    return deviation(var(a, dim, keepdim, correction))


def nansum(a: Operand, dim: Dims = None, keepdim: bool = False) -> Node:
    """Return the sum along axes of the entries that are numbers."""
    a = as_node(a, 'nansum')
    return sum_(where(eq(a, a), a, 0), dim, keepdim)


def nanmean(a: Operand, dim: Dims = None, keepdim: bool = False) -> Node:
    """Return the mean along axes of the entries that are numbers; nan where there are none."""
    a = as_node(a, 'nanmean')
    return nansum(a, dim, keepdim) / sum_(eq(a, a), dim, keepdim)
