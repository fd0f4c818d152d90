"""Reductions along axes, and the linear maps back."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from adjoint.core.kink import pole, tie
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Binary, Step
from adjoint.ops.exponential import exp
from adjoint.ops.linear import Linear, conj, expand_like
from adjoint.ops.step import eq

__all__ = [
    'All_', 'Amax', 'Amin', 'Any_', 'Argmax', 'Argmin', 'CumSum', 'Dims', 'Logsumexp',
    'Mean', 'Reduction', 'Same', 'Sum', 'Unmean', 'Unsum', 'all_', 'amax', 'amin', 'any_', 'argmax',
    'argmin', 'cumsum', 'logsumexp', 'mean', 'reduction_attrs', 'rows_needed', 'rows_reached', 'same',
    'sum_', 'unmean', 'unreduced', 'unsum',
]  # fmt: skip

Dims: TypeAlias = int | Sequence[int] | None


def _dims(dim: Dims) -> int | tuple[int, ...] | None:
    """Return a hashable form; an empty sequence is all axes, as in torch."""
    if dim is None or isinstance(dim, int):
        return dim
    return tuple(dim) or None


def reduction_attrs(dim: Dims, keepdim: bool) -> dict[str, Any]:
    """Return the attrs of a reduction."""
    return {'dim': _dims(dim), 'keepdim': bool(keepdim)}


def _axes(dim: int | tuple[int, ...] | None, ndim: int) -> list[int]:
    """Return the reduced axes, sorted, counted from the front."""
    if dim is None:
        return list(range(ndim))
    dims = (dim,) if isinstance(dim, int) else dim
    return sorted(d % max(ndim, 1) for d in dims)


def _restored(value: torch.Tensor, like: torch.Tensor, attrs: dict[str, Any]) -> torch.Tensor:
    """Give a reduced value its axes of size 1 back, and expand it."""
    if not attrs['keepdim'] and like.ndim:
        for axis in _axes(attrs['dim'], like.ndim):
            value = value.unsqueeze(axis)
    return value.expand(like.shape)


def _count(like: torch.Tensor, attrs: dict[str, Any]) -> int:
    """Return how many entries each result was reduced from, less the correction."""
    count = 1
    for axis in _axes(attrs['dim'], like.ndim) if like.ndim else ():
        count *= like.shape[axis]
    return max(count - attrs.get('correction', 0), 0)


class Reduction(Op):
    """Base of the ops that reduce the axes ``dim`` (an int, several, or ``None`` for all)."""

    def __call__(self, a: Operand, dim: Dims = None, keepdim: bool = False) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape.
        dim : int or sequence of int, optional
            The axes to reduce; negative ones count from the back; all of them by default.
        keepdim : bool
            Whether the reduced axes stay, with size 1.
        """
        return Node([as_node(a, self.name)], self, reduction_attrs(dim, keepdim))

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the mask expanded along the reduced axes."""
        if mask is None or node.attrs['keepdim'] or node.attrs['dim'] is None:
            return [mask]  # it broadcasts as it is
        return [unreduced(expand_like(mask, node), node)]

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return whether any entry along the reduced axes is marked."""
        (mask,) = masks
        if not isinstance(mask, Node):
            return None
        attrs = {'dim': node.attrs['dim'], 'keepdim': node.attrs['keepdim']}
        return Node([expand_like(mask, node.inputs[0])], any_, attrs)


def rows_needed(node: Node, mask: Node | None, dim: Dims) -> Sequence[Node | None]:
    """Return the mask of whole rows: what an op that normalises along ``dim`` makes marked entries from."""
    if mask is None:
        return [None]
    return [Node([expand_like(mask, node)], any_, {'dim': dim, 'keepdim': True})]


def rows_reached(node: Node, masks: Sequence[Node | bool], dim: Dims) -> Node | None:
    """Return the mask of whole rows: what an op that normalises along ``dim`` makes of marked entries."""
    (mask,) = masks
    return rows_needed(node, mask, dim)[0] if isinstance(mask, Node) else None


def _like_this(op: Op, y: Node, a: Node) -> Node:
    """Return a reduction (or its way back) with the attrs of ``y``."""
    return Node([a], op, y.attrs)


def unreduced(ct: Node, y: Node) -> Node:
    """Return ``ct``, of the shape of the reduction ``y``, expanded to the shape of what ``y`` reduces."""
    attrs = {'dim': y.attrs['dim'], 'keepdim': y.attrs['keepdim']}
    return Node([ct, y.inputs[0]], unsum, attrs)


class Sum(Reduction, Linear):
    """The sum along axes; 0 of no entries."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.sum(a, node.attrs['dim'], keepdim=node.attrs['keepdim'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (unreduced(ct, node),)


class _Unreducing(Linear):
    """Base of the ops that expand a reduced ``a`` to the shape of ``like``."""

    moves = True

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return whether any entry along the reduced axes is marked."""
        _, like = node.inputs
        attrs = {'dim': node.attrs['dim'], 'keepdim': node.attrs['keepdim']}
        return [None if mask is None else Node([expand_like(mask, like)], any_, attrs), None]


class Unsum(_Unreducing):
    """A reduced ``a`` expanded to the shape of ``like`` along the reduced axes: the adjoint of ``sum``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return _restored(a, like, node.attrs)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return _like_this(sum_, node, ct), None


class Mean(Reduction, Linear):
    """The mean along axes; nan of no entries.

    ``attrs['correction']`` is subtracted from the count, for variances.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        if 'correction' in node.attrs:
            return torch.sum(a, node.attrs['dim'], keepdim=node.attrs['keepdim']) / _count(a, node.attrs)
        return torch.mean(a, node.attrs['dim'], keepdim=node.attrs['keepdim'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct, node.inputs[0]], unmean, node.attrs),)


class Unmean(_Unreducing):
    """A reduced ``a`` expanded to the shape of ``like`` and divided by the count: the adjoint of ``mean``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return _restored(a / _count(like, node.attrs), like, node.attrs)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return _like_this(mean, node, ct), None


def _tied(a: torch.Tensor, extremum: Any, attrs: dict[str, Any]) -> torch.Tensor:
    """Return which entries are as extreme as another one along the reduced axes."""
    dim = () if attrs['dim'] is None else attrs['dim']
    if not a.numel():
        return torch.zeros_like(a, dtype=torch.bool)
    found = a == extremum(a, dim, keepdim=True)
    return found & (found.sum(dim or tuple(range(a.ndim)), keepdim=True) > 1)


class Extremum(Reduction):
    """Base of ``amax`` and ``amin``."""

    def _shared(self, t: Node, y: Node, a: Node) -> Node:
        """Return ``t`` over the number of ties at the extreme entries and 0 elsewhere."""
        is_extreme = eq(a, unreduced(y, y))
        # Not is_extreme / count first, which would be rounded to torch's default dtype.
        return t * is_extreme / unreduced(_like_this(sum_, y, is_extreme), y)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        return [self._shared(unreduced(output_grad, node), node, a)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (a,), (t,) = node.inputs, input_tangents
        return None if t is None else _like_this(sum_, node, self._shared(t, node, a))


class Amax(Extremum):
    """The largest entry along axes.

    Notes
    -----
    Ties share the cotangent evenly.
    """

    kinks = (
        tie(
            'several entries are the largest',
            'they share it evenly',
            lambda y, a: _tied(a, torch.amax, y.attrs),
        ),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim = node.attrs['dim']
        return torch.amax(a, () if dim is None else dim, keepdim=node.attrs['keepdim'])


class Amin(Extremum):
    """The smallest entry along axes.

    Notes
    -----
    Ties share the cotangent evenly.
    """

    kinks = (
        tie(
            'several entries are the smallest',
            'they share it evenly',
            lambda y, a: _tied(a, torch.amin, y.attrs),
        ),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim = node.attrs['dim']
        return torch.amin(a, () if dim is None else dim, keepdim=node.attrs['keepdim'])


class Logsumexp(Reduction):
    """``log(sum(exp(a)))`` along axes, without overflow; ``-inf`` where all entries are.

    Notes
    -----
    The derivative is nan where all entries are ``-inf``, as torch's.
    """

    kinks = (
        pole(
            'all entries are -inf',
            'the derivative is nan',
            lambda y, a: torch.amax(a.real, y.attrs['dim'] or (), keepdim=True) == -math.inf,
        ),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim = node.attrs['dim']
        dims = tuple(range(a.ndim)) if dim is None else dim
        return torch.logsumexp(a, dims, keepdim=node.attrs['keepdim'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [unreduced(output_grad, node) * conj(self._weights(node))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else _like_this(sum_, node, t * self._weights(node))

    @staticmethod
    def _weights(y: Node) -> Node:
        return exp(y.inputs[0] - unreduced(y, y))


class _Truth(Reduction, Step):
    """Base of ``any`` and ``all``: a boolean."""


class Any_(_Truth):  # noqa: N801 any is taken
    """Whether an entry along axes is not zero."""

    name = 'any'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.any(a, node.attrs['dim'], keepdim=node.attrs['keepdim'])


class All_(_Truth):  # noqa: N801 all is taken
    """Whether no entry along axes is zero."""

    name = 'all'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.all(a, node.attrs['dim'], keepdim=node.attrs['keepdim'])


def _same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b) | (a.isnan() & b.isnan())


class Same(Step, Binary):
    """Whether ``a`` equals ``b``, or neither is a number."""

    kernel = _same


class _Position(Step):
    """Base of ``argmax`` and ``argmin``, which state the ``kernel``. Of truth values, True is the larger."""

    kernel: Callable[..., torch.Tensor]

    def __call__(self, a: Operand, dim: int | None = None, keepdim: bool = False) -> Node:
        """Build the node; without ``dim``, the position in the flattened tensor."""
        return Node([as_node(a, self.name)], self, reduction_attrs(dim, keepdim))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        a = a.to(torch.uint8) if a.dtype == torch.bool else a
        return self.kernel(a, node.attrs['dim'], keepdim=node.attrs['keepdim'])


class Argmax(_Position):
    """The position of the largest entry along an axis, int64; the first of ties is not guaranteed."""

    kernel = staticmethod(torch.argmax)
    kinks = (
        tie(
            'several entries are the largest',
            'all of it goes to one of them',
            lambda y, a: _tied(a, torch.amax, y.attrs),
        ),
    )


class Argmin(_Position):
    """The position of the smallest entry along an axis, int64; the first of ties is not guaranteed."""

    kernel = staticmethod(torch.argmin)
    kinks = (
        tie(
            'several entries are the smallest',
            'all of it goes to one of them',
            lambda y, a: _tied(a, torch.amin, y.attrs),
        ),
    )


class CumSum(Linear):
    """The running sum along an axis, from the front, or from the back with ``reverse``."""

    moves = True
    axes = ('dim',)
    name = 'cumsum'

    def __call__(self, a: Operand, dim: int, reverse: bool = False) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim, 'reverse': reverse})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim = node.attrs['dim']
        if node.attrs['reverse']:
            return a.flip(dim).cumsum(dim).flip(dim)
        return a.cumsum(dim)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (cumsum(ct, node.attrs['dim'], reverse=not node.attrs['reverse']),)


sum_ = Sum()
unsum = Unsum()
mean = Mean()
unmean = Unmean()
amax = Amax()
amin = Amin()
logsumexp = Logsumexp()
argmax = Argmax()
argmin = Argmin()
cumsum = CumSum()
same = Same()
any_ = Any_()
all_ = All_()
