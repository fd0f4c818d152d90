"""Sorting and positions by rank.

An op here says where an entry stands, as int64, and nothing flows through it; the value is what ``gather``
finds there, so that its derivative goes to the entry that was chosen.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from adjoint.core.kink import tie
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Step
from adjoint.ops.index import gather
from adjoint.ops.reduction import Reduction, same, sum_
from adjoint.ops.shape import squeeze

__all__ = [
    'Argsort', 'Bincount', 'CummaxIndex', 'CumminIndex', 'Histc', 'KthvalueIndex', 'Median',
    'MedianIndex', 'ModeIndex', 'Nanmedian', 'NanmedianIndex', 'Nonzero', 'Ranked', 'Searchsorted',
    'TopkIndex', 'argsort', 'bincount', 'cummax', 'cummax_index', 'cummin', 'cummin_index', 'histc',
    'kthvalue', 'kthvalue_index', 'median', 'median_index', 'mode', 'mode_index', 'nanmedian',
    'nanmedian_index', 'nonzero', 'searchsorted', 'sort', 'topk', 'topk_index', 'whole_median',
    'whole_nanmedian',
]  # fmt: skip


class Ranked(NamedTuple):
    """Entries along an axis, and their positions on it."""

    values: Node
    indices: Node


class _Along(Step):
    """Base of the ops that say a position for each row along an axis ``dim``, which stays."""

    axes = ('dim',)

    def __call__(self, a: Operand, dim: int = -1) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim})


def _equal_to(a: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    found = a == value
    return found if found.sum() > 1 else torch.zeros_like(found)


def _has_equals(y: Node, a: torch.Tensor) -> torch.Tensor:
    dim = y.attrs['dim']
    in_order = a.reshape(a.shape or (1,)).sort(dim).values
    return torch.diff(in_order, dim=dim) == 0


class Argsort(Step):
    """The positions that sort an axis.

    Notes
    -----
    Equal entries keep their order with ``stable``; otherwise it is not guaranteed.
    """

    axes = ('dim',)
    kinks = (
        tie(
            'equal entries',
            'each keeps its own place',
            _has_equals,
        ),
    )

    def __call__(self, a: Operand, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape, real.
        dim : int
            The axis to sort.
        descending : bool
            Whether the largest entry comes first.
        stable : bool
            Whether equal entries keep their order.
        """
        attrs = {'dim': dim, 'descending': bool(descending), 'stable': bool(stable)}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        stable, dim = node.attrs['stable'], node.attrs['dim']
        return torch.sort(a, stable=stable, dim=dim, descending=node.attrs['descending']).indices


class TopkIndex(Step):
    """The positions of the ``k`` largest or smallest entries along an axis."""

    axes = ('dim',)

    def __call__(self, a: Operand, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Node:
        attrs = {'k': k, 'dim': dim, 'largest': bool(largest), 'sorted': bool(sorted)}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        k, dim, largest = (node.attrs[name] for name in ('k', 'dim', 'largest'))
        return torch.topk(a, k, dim, largest, node.attrs['sorted']).indices


class KthvalueIndex(Step):
    """The position of the ``k``-th smallest entry along an axis, which stays with size 1."""

    axes = ('dim',)

    def __call__(self, a: Operand, k: int, dim: int = -1) -> Node:
        return Node([as_node(a, self.name)], self, {'k': k, 'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.kthvalue(a, node.attrs['k'], node.attrs['dim'], keepdim=True).indices


class MedianIndex(_Along):
    """The position of the median along an axis, which stays with size 1; the lower of two."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.median(a, node.attrs['dim'], keepdim=True).indices


class NanmedianIndex(_Along):
    """The position of the median of the entries that are numbers along an axis, which stays with size 1."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.nanmedian(a, node.attrs['dim'], keepdim=True).indices


class ModeIndex(_Along):
    """The position of a most frequent entry along an axis, which stays with size 1; the smallest of such."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.mode(a, node.attrs['dim'], keepdim=True).indices


class CummaxIndex(_Along):
    """The position of the largest entry so far along an axis; the last of ties."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.cummax(a, node.attrs['dim']).indices


class CumminIndex(_Along):
    """The position of the smallest entry so far along an axis; the last of ties."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.cummin(a, node.attrs['dim']).indices


class _WholeMedian(Reduction):
    """Base of the medians of a whole tensor, of which all entries equal to it share the cotangent."""

    def __call__(self, a: Operand) -> Node:  # pyright: ignore[reportIncompatibleMethodOverride] no axes
        return super().__call__(a)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (a,) = node.inputs
        return [self._shared(output_grad, node, a)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (a,), (t,) = node.inputs, input_tangents
        return None if t is None else sum_(self._shared(t, node, a))

    @staticmethod
    def _shared(t: Node, y: Node, a: Node) -> Node:
        chosen = same(a, y)
        return t * chosen / sum_(chosen)


class Median(_WholeMedian):
    """The median of all entries; the lower of the two of an even count, nan where an entry is.

    Notes
    -----
    Entries equal to it share the cotangent evenly.
    """

    kinks = (
        tie(
            'several entries are the median',
            'they share it evenly',
            lambda _, a: _equal_to(a, torch.median(a)),
        ),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.median(a)


class Nanmedian(_WholeMedian):
    """The median of the entries that are numbers; the lower of the two of an even count.

    Notes
    -----
    Entries equal to it share the cotangent evenly.
    """

    kinks = (
        tie(
            'several entries are the median',
            'they share it evenly',
            lambda _, a: _equal_to(a, torch.nanmedian(a)),
        ),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.nanmedian(a)


class Searchsorted(Step):
    """Where ``values`` would go into a sorted sequence, along its last axis, int64."""

    vectorises = False

    def __call__(
        self,
        sorted_sequence: Operand,
        values: Operand,
        *,
        out_int32: bool = False,
        right: bool = False,
        sorter: Operand | None = None,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        sorted_sequence : Node, torch.Tensor or number
            One sequence, or one for each row of ``values``.
        values : Node, torch.Tensor or number
            What is looked for.
        out_int32 : bool
            Whether the positions are int32.
        right : bool
            Whether equal entries go before the position.
        sorter : Node or torch.Tensor, optional
            The positions that sort the sequence, if it is not sorted.
        """
        given = [sorted_sequence, values] if sorter is None else [sorted_sequence, values, sorter]
        attrs = {'out_int32': bool(out_int32), 'right': bool(right)}
        return Node([as_node(x, self.name) for x in given], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        sequence, values, *rest = (x.contiguous() for x in input_values)
        sorter = rest[0] if rest else None
        return torch.searchsorted(
            sequence, values, sorter=sorter, out_int32=node.attrs['out_int32'], right=node.attrs['right']
        )

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return the op on the whole batch, where the examples have one sequence without further axes."""
        values = input_batches[1]
        sequence, _, *sorter = node.inputs
        known = sequence.type
        if values is None or any(b is not None for i, b in enumerate(input_batches) if i != 1):
            return super().batch(node, input_batches)
        if known is None or known.shape is None or len(known.shape) != 1:
            return super().batch(node, input_batches)
        return Node([sequence, values, *sorter], self, node.attrs)


class Nonzero(Step):
    """The positions of the entries that are not zero, one a row, int64."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.nonzero(a)


class Histc(Step):
    """How many entries lie in each of ``bins`` equal intervals from ``min`` to ``max``."""

    vectorises = False

    def __call__(self, a: Operand, bins: int = 100, min: float = 0, max: float = 0) -> Node:
        return Node([as_node(a, self.name)], self, {'bins': bins, 'min': min, 'max': max})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.histc(a, node.attrs['bins'], node.attrs['min'], node.attrs['max'])


class Bincount(Step):
    """How often each number from 0 on occurs in a vector of integers, or the sum of its weights.

    Notes
    -----
    Nothing flows to the weights, as in torch: ``index_add`` sums with a derivative.
    """

    vectorises = False

    def __call__(self, a: Operand, weights: Operand | None = None, minlength: int = 0) -> Node:
        given = [a] if weights is None else [a, weights]
        return Node([as_node(x, self.name) for x in given], self, {'minlength': minlength})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.bincount(*input_values, minlength=node.attrs['minlength'])


argsort = Argsort()
topk_index = TopkIndex()
kthvalue_index = KthvalueIndex()
median_index = MedianIndex()
nanmedian_index = NanmedianIndex()
mode_index = ModeIndex()
cummax_index = CummaxIndex()
cummin_index = CumminIndex()
whole_median = Median()
whole_nanmedian = Nanmedian()
searchsorted = Searchsorted()
nonzero = Nonzero()
histc = Histc()
bincount = Bincount()


def _at(a: Node, dim: int, indices: Node, keepdim: bool = True) -> Ranked:
    """Return the entries at positions, without the axis where it is not kept."""
    values = gather(a, dim, indices)
    return Ranked(values, indices) if keepdim else Ranked(squeeze(values, dim), squeeze(indices, dim))


def sort(a: Operand, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Ranked:
    """Return the entries of an axis in order, and their positions; see :class:`Argsort`."""
    a = as_node(a, 'sort')
    return _at(a, dim, argsort(a, dim, descending, stable=stable))


def topk(a: Operand, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ranked:
    """Return the ``k`` largest or smallest entries along an axis, and their positions."""
    a = as_node(a, 'topk')
    return _at(a, dim, topk_index(a, k, dim, largest, sorted))


def kthvalue(a: Operand, k: int, dim: int = -1, keepdim: bool = False) -> Ranked:
    """Return the ``k``-th smallest entry along an axis, and its position."""
    a = as_node(a, 'kthvalue')
    return _at(a, dim, kthvalue_index(a, k, dim), keepdim)


def median(a: Operand, dim: int | None = None, keepdim: bool = False) -> Node | Ranked:
    """Return the median of everything, or along an axis with its position; the lower of two."""
    a = as_node(a, 'median')
    return whole_median(a) if dim is None else _at(a, dim, median_index(a, dim), keepdim)


def nanmedian(a: Operand, dim: int | None = None, keepdim: bool = False) -> Node | Ranked:
    """Return the median of the numbers, or along an axis with its position; the lower of two."""
    a = as_node(a, 'nanmedian')
    return whole_nanmedian(a) if dim is None else _at(a, dim, nanmedian_index(a, dim), keepdim)


def mode(a: Operand, dim: int = -1, keepdim: bool = False) -> Ranked:
    """Return a most frequent entry along an axis, and its position."""
    a = as_node(a, 'mode')
    return _at(a, dim, mode_index(a, dim), keepdim)


def cummax(a: Operand, dim: int) -> Ranked:
    """Return the largest entry so far along an axis, and its position; the last of ties."""
    a = as_node(a, 'cummax')
    return _at(a, dim, cummax_index(a, dim))


def cummin(a: Operand, dim: int) -> Ranked:
    """Return the smallest entry so far along an axis, and its position; the last of ties."""
    a = as_node(a, 'cummin')
    return _at(a, dim, cummin_index(a, dim))
