"""Reductions at positions: products, means and extremes of what is scattered to each place."""

from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.kink import tie
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.creation import Creation, ones_like, zeros_like
from adjoint.ops.cumulative import recurrence, shift
from adjoint.ops.elementwise import Step
from adjoint.ops.index import crop, gather, getitem, pad_to_like, scatter_add
from adjoint.ops.linear import conj
from adjoint.ops.ordering import argsort
from adjoint.ops.scatter import scatter, scatter_value
from adjoint.ops.select import maximum, where
from adjoint.ops.step import eq

__all__ = [
    'IndexAlong', 'ScatterReduce', 'SegmentIds', 'SegmentRoom', 'index_along', 'index_reduce',
    'scatter_reduce', 'segment_ids', 'segment_reduce', 'segment_room',
]  # fmt: skip

_REDUCTIONS = ('sum', 'prod', 'mean', 'amax', 'amin')


def _tied(node: Node, a: torch.Tensor, index: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Return at which places an extreme is taken that several entries have."""
    y = node.op.compute(node, [a, index, source])
    dim = node.attrs['dim']
    if node.attrs['reduce'] not in {'amax', 'amin'}:
        return torch.zeros_like(y, dtype=torch.bool)
    used = source[tuple(slice(n) for n in index.shape)]
    own = (a == y if node.attrs['include_self'] else torch.zeros_like(y)).to(torch.int64)
    return own.scatter_add(dim, index, (used == y.gather(dim, index)).to(torch.int64)) > 1


class ScatterReduce(Op):
    """``a`` with what ``source`` brings to each place reduced: a sum, prod, mean, amax or amin.

    Notes
    -----
    With ``include_self`` the entry of ``a`` is one of the reduced; without, it is replaced where anything
    comes. Of an extreme, ties share the cotangent evenly. A product is exact with any number of zeros.
    """

    axes = ('dim',)
    kinks = (tie('several entries are the extreme of a place', 'they share it evenly', _tied),)

    def __call__(
        self,
        a: Operand,
        dim: int,
        index: Operand,
        source: Operand,
        reduce: str,
        *,
        include_self: bool = True,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            What is scattered into.
        dim : int
            The axis that the index counts along.
        index : Node or torch.Tensor
            The place of each entry of ``source``.
        source : Node or torch.Tensor
            What is scattered.
        reduce : str
            One of 'sum', 'prod', 'mean', 'amax', 'amin'.
        include_self : bool
            Whether the entries of ``a`` are among the reduced.
        """
        if reduce not in _REDUCTIONS:
            msg = f'scatter_reduce reduces by one of {", ".join(_REDUCTIONS)}, and got {reduce!r}'
            raise TensorTypeError(msg)
        operands = [as_node(x, self.name) for x in (a, index, source)]
        return Node(operands, self, {'dim': dim, 'reduce': reduce, 'include_self': bool(include_self)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index, source = input_values
        dim, reduce, include_self = (node.attrs[name] for name in ('dim', 'reduce', 'include_self'))
        return torch.scatter_reduce(a, dim, index, source, reduce, include_self=include_self)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        (_, index, source), dim = node.inputs, node.attrs['dim']
        by = {'sum': self._sum, 'prod': self._prod, 'mean': self._mean}
        kept, given = by.get(node.attrs['reduce'], self._extreme)(node, output_grad)
        if not node.attrs['include_self']:
            kept = scatter_value(kept, dim, index, 0)
        return [kept, None, pad_to_like(given, source)]

    # Each returns the cotangent of `a`, were it included everywhere, and that of the entries that are used.

    @staticmethod
    def _sum(node: Node, ct: Node) -> tuple[Node, Node]:
        _, index, _ = node.inputs
        return ct, gather(ct, node.attrs['dim'], index)

    @staticmethod
    def _mean(node: Node, ct: Node) -> tuple[Node, Node]:
        (a, index, source), dim = node.inputs, node.attrs['dim']
        start = ones_like(a) if node.attrs['include_self'] else zeros_like(a)
        count = scatter_add(start, dim, index, ones_like(source))
        share = ct / maximum(count, ones_like(count))
        return share, gather(share, dim, index)

    @staticmethod
    def _extreme(node: Node, ct: Node) -> tuple[Node, Node]:
        (a, index, source), dim = node.inputs, node.attrs['dim']
        own = _indicator(eq(a, node), a)
        if not node.attrs['include_self']:
            own = scatter_value(own, dim, index, 0)
        # A place to which nothing comes keeps its entry, which is alone in it; without, none has it.
        used = crop(source, index)
        chosen = _indicator(eq(used, gather(node, dim, index)), used)
        total = scatter_add(own, dim, index, chosen)
        share = ct / total
        return own * share, chosen * gather(share, dim, index)

    @staticmethod
    def _prod(node: Node, ct: Node) -> tuple[Node, Node]:
        (a, index, source), dim = node.inputs, node.attrs['dim']
        of_source = scatter_reduce(ones_like(a), dim, index, source, 'prod')
        others = _others_at_place(crop(source, index), index, dim)
        if node.attrs['include_self']:
            others = others * gather(a, dim, index)
        return ct * conj(of_source), gather(ct, dim, index) * conj(others)


def _indicator(a: Node, like: Node) -> Node:
    """Return 0 and 1 in the dtype of a tensor."""
    return where(a, ones_like(like), zeros_like(like))


def _others_at_place(source: Node, index: Node, dim: int) -> Node:
    """Return, for each entry, the product of the others with its place.

    The entries are sorted by place; a running product that begins anew at each place is a recurrence.
    """
    order = argsort(index, dim, stable=True)
    place, entry = gather(index, dim, order), gather(source, dim, order)
    products: list[Node] = []
    for reverse in (False, True):
        same_place = _indicator(eq(place, shift(place, dim, fill=-1, reverse=reverse)), entry)
        factors = same_place * shift(entry, dim, reverse=reverse)
        products.append(recurrence(factors, 1 - same_place, dim, reverse=reverse))
    before, after = products
    return scatter(zeros_like(source), dim, order, before * after)


class IndexAlong(Creation):
    """The positions ``index`` along an axis, the same for all other axes, in the shape of ``like``."""

    def __call__(self, index: Operand, dim: int, like: Operand) -> Node:
        return Node([as_node(index, self.name), as_node(like, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        index, like = input_values
        if like.ndim == 0:
            return index.reshape(())
        shape = [1] * like.ndim
        shape[node.attrs['dim']] = index.numel()
        return index.reshape(shape).expand(like.shape)


class SegmentIds(Step):
    """The number of the segment of each entry along an axis, in the shape of ``like``.

    ``lengths`` are those of the segments, or with ``are_offsets`` where they begin and the last one ends.
    """

    vectorises = False

    def __call__(self, lengths: Operand, like: Operand, axis: int, *, are_offsets: bool = False) -> Node:
        attrs = {'axis': axis, 'are_offsets': are_offsets}
        return Node([as_node(lengths, self.name), as_node(like, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        lengths, like = input_values
        axis: int = node.attrs['axis']
        ends = lengths[..., 1:] if node.attrs['are_offsets'] else lengths.cumsum(-1)
        places = torch.arange(like.shape[axis], device=like.device).expand(*like.shape[: axis + 1])
        ids = torch.searchsorted(ends.contiguous(), places.contiguous(), right=True)
        return ids.reshape(*ids.shape, *[1] * (like.ndim - axis - 1)).expand(like.shape)


class SegmentRoom(Creation):
    """A number for each segment and for what lies behind the last: what segments are reduced into.

    The other axes are those of ``like``.
    """

    def __call__(
        self, lengths: Operand, like: Operand, axis: int, fill_value: float, *, are_offsets: bool = False
    ) -> Node:
        attrs = {'axis': axis, 'fill_value': fill_value, 'are_offsets': are_offsets}
        return Node([as_node(lengths, self.name), as_node(like, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        lengths, like = input_values
        shape = list(like.shape)
        shape[node.attrs['axis']] = lengths.shape[-1] + 1 - node.attrs['are_offsets']
        return like.new_full(shape, node.attrs['fill_value'])


scatter_reduce = ScatterReduce()
index_along = IndexAlong()
segment_ids = SegmentIds()
segment_room = SegmentRoom()


def index_reduce(
    a: Operand, dim: int, index: Operand, source: Operand, reduce: str, *, include_self: bool = True
) -> Node:
    """Return ``a`` with the slices of ``source`` reduced into the positions ``index`` along an axis.

    Parameters
    ----------
    a, dim, index, source
        As for ``index_add``.
    reduce : str
        One of 'prod', 'mean', 'amax', 'amin'.
    include_self : bool
        Whether the entries of ``a`` are among the reduced.
    """
    source = as_node(source, 'index_reduce')
    places = index_along(index, dim, source)
    return scatter_reduce(a, dim, places, source, reduce, include_self=include_self)


# What a reduction begins with.
_EMPTY: dict[str, float] = {
    'sum': 0.0,
    'mean': 0.0,
    'prod': 1.0,
    'max': -float('inf'),
    'min': float('inf'),
}


def segment_reduce(
    data: Operand,
    reduce: str,
    *,
    lengths: Operand | None = None,
    offsets: Operand | None = None,
    axis: int = 0,
    initial: float | None = None,
) -> Node:
    """Return the reduction of each segment of an axis.

    Parameters
    ----------
    data : Node or torch.Tensor
        What is reduced.
    reduce : str
        One of 'sum', 'mean', 'prod', 'max', 'min'.
    lengths : Node or torch.Tensor, optional
        The length of each segment, along its last axis.
    offsets : Node or torch.Tensor, optional
        In the place of lengths: where each segment begins, and where the last one ends.
    axis : int
        The axis that is cut into segments.
    initial : float, optional
        What each reduction begins with.
    """
    data = as_node(data, 'segment_reduce')
    bounds: Any = offsets if lengths is None else lengths
    options = {'are_offsets': lengths is None}
    places = segment_ids(bounds, data, axis, **options)
    start = _EMPTY[reduce] if initial is None else initial
    room = segment_room(bounds, data, axis, start, **options)
    if reduce == 'mean':
        count = scatter_add(zeros_like(room), axis, places, ones_like(data))
        found = scatter_add(room, axis, places, data) / maximum(count, ones_like(count))
        found = where(eq(count, 0), float('nan'), found) if initial is None else found
    else:
        how = {'max': 'amax', 'min': 'amin'}.get(reduce, reduce)
        found = scatter_reduce(room, axis, places, data, how, include_self=initial is not None)
    return getitem(found, (*[slice(None)] * axis, slice(None, -1)))
