"""Rules of batches of indexing: reading and writing at positions that may differ between the examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from adjoint.autodiff.batching.kinds import as_decomposed
from adjoint.autodiff.batching.operands import (
    Batches,
    Rule,
    any_batch,
    lifted,
    pair_of,
    rank_of,
    spread_all,
)
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.batch import numbers, spread
from adjoint.ops.embedding import Embedding, Unembedding, embedding
from adjoint.ops.index import (
    Getitem,
    IndexAdd,
    IndexSelect,
    Slot,
    Ungetitem,
    Ungetitems,
    getitem,
    index_select,
    ungetitem,
    ungetitems,
)
from adjoint.ops.ordering import Searchsorted
from adjoint.ops.scatter import IndexCopy, IndexFill, IndexPut, Put, Take, index_put
from adjoint.ops.select import where
from adjoint.ops.shape import flatten, permute, reshape_like, unsqueeze
from adjoint.ops.step import ne

__all__ = ['RULES']

_MASKS = frozenset({torch.bool, torch.uint8})


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the axes of an indexed example come from."""

    before: int  # axes in front of those of the index tensors
    indexed: int  # axes of the index tensors
    behind: int
    apart: bool  # whether the index tensors are not side by side, so that their axes come first

    @property
    def rank(self) -> int:
        return self.before + self.indexed + self.behind


def _layout(template: Sequence[Any], tensors: Sequence[Node], rank: int | None) -> _Layout | None:
    """Return the layout of a tensor of a number of axes, indexed; None where types leave it open."""
    if rank is None or any(isinstance(p, bool) for p in template):
        return None
    taken, axes = 0, 0
    for part in template:
        if isinstance(part, Slot):
            own = tensors[part.position]
            own_rank, is_mask = rank_of(own), _is_mask(own)
            if own_rank is None or is_mask is None:
                return None
            taken += own_rank if is_mask else 1
            axes = max(axes, 1 if is_mask else own_rank)
        elif part is not None and part is not Ellipsis:
            taken += 1
    counts = [0, 0]  # in front of the first index tensor, and behind it
    seen, closed, apart, has_ellipsis = False, False, False, False
    for part in template:
        if isinstance(part, Slot):
            apart = apart or closed
            seen = True
        elif isinstance(part, slice) or part is None or part is Ellipsis:
            closed = seen
            has_ellipsis = has_ellipsis or part is Ellipsis
            counts[seen] += rank - taken if part is Ellipsis else 1
    counts[seen] += 0 if has_ellipsis else rank - taken
    return _Layout(0 if apart else counts[0], axes, counts[1] + (counts[0] if apart else 0), apart)


def _is_mask(index: Node) -> bool | None:
    return None if index.type is None or index.type.dtype is None else index.type.dtype in _MASKS


@dataclass(frozen=True, slots=True)
class _Plan:
    """An index into a batch: the template, its tensors, and the order of axes that puts the batch first."""

    template: tuple[Any, ...]
    tensors: list[Node]
    layout: _Layout
    order: tuple[int, ...]

    def put_first(self, y: Node) -> Node:
        """Return what the index reads with the batch first, then the axes of an example."""
        return y if self.order == tuple(range(len(self.order))) else permute(y, self.order)

    def as_read(self, batch: Node) -> Node:
        """Undo :meth:`put_first`."""
        if self.order == tuple(range(len(self.order))):
            return batch
        return permute(batch, tuple(self.order.index(i) for i in range(len(self.order))))


def _plan(
    template: tuple[Any, ...], a: Node, tensors: Sequence[Node], batches: Batches, *, a_is_batch: bool
) -> _Plan | None:
    """Index a batch, or with a batch of positions; None where types leave open how."""
    layout = _layout(template, tensors, rank_of(a))
    if layout is None:
        return None
    before, k, behind = layout.before, layout.indexed, layout.behind
    if all(b is None for b in batches):
        # The tensors' axes, where they come first, come before the batch too.
        at = k if layout.apart else 0
        order = (at, *(i for i in range(layout.rank + 1) if i != at))
        return _Plan((slice(None), *template), list(tensors), layout, order)
    if any(_is_mask(x) for x in tensors):
        return None
    given = [x if b is None else lifted(b, rank_of(x) or 0, k) for x, b in zip(tensors, batches, strict=True)]
    if not a_is_batch:
        order = (before, *(i for i in range(layout.rank + 1) if i != before))
        return _Plan(template, given, layout, order)
    examples = numbers(any_batch(batches))
    for _ in range(k):
        examples = unsqueeze(examples, -1)
    # The number of the example is one more index tensor, in front: the axes of the tensors come first.
    order = (
        0,
        *range(1 + k, 1 + k + before),
        *range(1, 1 + k),
        *range(1 + k + before, 1 + k + before + behind),
    )
    return _Plan((Slot(len(given)), *template), [*given, examples], layout, order)


def _getitem(node: Node, batches: Batches) -> Node | None:
    a, *tensors = node.inputs
    batch, *own = batches
    plan = _plan(node.attrs['index'], a, tensors, own, a_is_batch=batch is not None)
    if plan is None:
        return None
    read = Node([a if batch is None else batch, *plan.tensors], getitem, {'index': plan.template})
    return plan.put_first(read)


def _ungetitem(node: Node, batches: Batches) -> Node | None:
    ct, like, *tensors = node.inputs
    plan = _plan(node.attrs['index'], like, tensors, batches[2:], a_is_batch=True)
    if plan is None:
        return None
    example = any_batch(batches)
    given = [spread(x, example) if b is None else b for x, b in zip((ct, like), batches[:2], strict=True)]
    return Node([plan.as_read(given[0]), given[1], *plan.tensors], ungetitem, {'index': plan.template})


def _index_put(node: Node, batches: Batches) -> Node | None:
    a, values, *tensors = node.inputs
    plan = _plan(node.attrs['index'], a, tensors, batches[2:], a_is_batch=True)
    rank = rank_of(values)
    if plan is None or rank is None or rank > plan.layout.rank:
        return None
    example = any_batch(batches)
    given = [spread(x, example) if b is None else b for x, b in zip((a, values), batches[:2], strict=True)]
    written = plan.as_read(lifted(given[1], rank, plan.layout.rank))
    return Node([given[0], written, *plan.tensors], index_put, {**node.attrs, 'index': plan.template})


# -- along an axis ----------------------------------------------------------------------------------


def _at_slices(position: int, general: Callable[[Node, int, Node], Node]) -> Rule:
    """Return the rule of an op on the slices at positions along an axis.

    Parameters
    ----------
    position : int
        Of the index among the operands.
    general : callable
        The op by others that take any index: from the node, the axis from the front and the index, a vector.
    """

    def rule(node: Node, batches: Batches) -> Node | None:
        rank, index = rank_of(node.inputs[0]), node.inputs[position]
        if not rank or rank_of(index) is None:
            return None
        if batches[position] is None:
            if any(rank_of(x) != rank for i, x in enumerate(node.inputs) if i != position):
                return None  # one slice without its axis
            operands = spread_all(node, batches)
            operands[position] = index
            dim: int = node.attrs['dim']
            return Node(operands, node.op, {**node.attrs, 'dim': dim % rank + 1})
        if rank_of(index) != 1 and node.op is not index_select:
            return None
        return as_decomposed(lambda n: general(n, n.attrs['dim'] % rank, index))(node, batches)

    return rule


def _template(dim: int) -> tuple[Any, ...]:
    return (*(slice(None) for _ in range(dim)), Slot(0))


def _selected(node: Node, dim: int, index: Node) -> Node:
    index = unsqueeze(index, 0) if rank_of(index) == 0 else index
    return Node([node.inputs[0], index], getitem, {'index': _template(dim)})


def _written(accumulate: bool) -> Callable[[Node, int, Node], Node]:
    def write(node: Node, dim: int, index: Node) -> Node:
        a, *rest = node.inputs
        source = rest[1] if len(rest) > 1 else as_node(node.attrs['value'], 'index_fill')
        return Node([a, source, index], index_put, {'index': _template(dim), 'accumulate': accumulate})

    return write


# -- in the flattened tensor ------------------------------------------------------------------------


def _take(node: Node) -> Node:
    a, index = node.inputs
    return getitem(flatten(a, 0, -1), index)


def _put(node: Node) -> Node:
    a, index, source = node.inputs
    written = index_put(flatten(a, 0, -1), (index,), reshape_like(source, index), node.attrs['accumulate'])
    return reshape_like(written, a)


# -- rows of a table --------------------------------------------------------------------------------


def _embedding(node: Node, batches: Batches) -> Node | None:
    weight, indices = node.inputs
    if batches[0] is None:
        return Node(pair_of(node, batches), embedding, node.attrs)
    if node.attrs['padding_idx'] >= 0 or node.attrs['scale_grad_by_freq']:
        return None  # a rule of its own for what flows back
    return as_decomposed(lambda _: getitem(weight, indices))(node, batches)


def _unembedding(node: Node, batches: Batches) -> Node | None:
    if node.attrs['scale_grad_by_freq'] or len(node.inputs) < 3:  # noqa: PLR2004 the table
        return None

    def build(_: Node) -> Node:
        a, indices, like = node.inputs
        padding_idx = node.attrs['padding_idx']
        kept = where(unsqueeze(ne(indices, padding_idx), -1), a, 0.0) if padding_idx >= 0 else a
        return Node([kept, like, indices], ungetitem, {'index': (Slot(0),)})

    return as_decomposed(build)(node, batches)


def _searchsorted(node: Node, batches: Batches) -> Node | None:
    sequence, values = node.inputs[:2]
    rank = rank_of(values)
    if rank_of(sequence) is None or rank is None:
        return None
    if rank_of(sequence) != 1:
        return Node(spread_all(node, batches), node.op, node.attrs)
    if batches[0] is None and not any(b is not None for b in batches[2:]):
        return Node(pair_of(node, batches), node.op, node.attrs)
    # One sequence for all values of an example.
    given = spread_all(node, batches)
    rows = flatten(given[1], 1) if rank else unsqueeze(given[1], 1)
    found = Node([given[0], rows, *given[2:]], node.op, node.attrs)
    return reshape_like(found, given[1])


RULES: dict[type[Op], Rule] = {
    Getitem: _getitem,
    Ungetitem: _ungetitem,
    Ungetitems: as_decomposed(lambda node: ungetitems.written(node)[0]),
    IndexPut: _index_put,
    IndexSelect: _at_slices(1, _selected),
    IndexAdd: _at_slices(1, _written(accumulate=True)),
    IndexCopy: _at_slices(1, _written(accumulate=False)),
    IndexFill: _at_slices(1, _written(accumulate=False)),
    Take: as_decomposed(_take),
    Put: as_decomposed(_put),
    Embedding: _embedding,
    Unembedding: _unembedding,
    Searchsorted: _searchsorted,
}
