"""Rules of batches that follow from the kind of an op, and from which of its attrs count axes."""

from collections.abc import Callable
from typing import Any

from adjoint.autodiff.batching.operands import (
    Batches,
    Rule,
    any_batch,
    lifted,
    lined_up,
    pair_of,
    rank_of,
    spread_all,
)
from adjoint.autodiff.batching.walk import batched_behind
from adjoint.core.node import Node
from adjoint.ops.batch import align, common_dtype, split_like, spread
from adjoint.ops.linear import cast
from adjoint.ops.shape import flatten, unsqueeze

__all__ = [
    'alike',
    'along',
    'as_decomposed',
    'as_images',
    'elementwise',
    'once',
    'reduction',
    'shifted',
    'unruled',
]  # fmt: skip


# -- entry by entry -------------------------------------------------------------------------------


_ALL = slice(None)


def elementwise(node: Node, batches: Batches, deciding: slice = _ALL) -> Node:
    """Batch an op on entries, of operands that broadcast; some of them decide the dtype."""
    if len(node.inputs) == 1:
        return Node([any_batch(batches)], node.op, node.attrs)
    ranks = [rank_of(x) for x in node.inputs]
    known = [r for r in ranks if r is not None]
    dtypes = [None if x.type is None else x.type.dtype for x in node.inputs][deciding]
    # A batch of examples without axes has one, and would begin to count for the dtype.
    counts = (
        range(len(ranks))[deciding] if len(set(dtypes)) > 1 or (None in dtypes and len(dtypes) > 1) else ()
    )
    if len(known) < len(ranks) or (counts and 0 in known and None in dtypes):
        return _aligned_at_run(node, batches, range(len(ranks))[deciding])
    operands: list[Node] = []
    for position, (x, b, rank) in enumerate(zip(node.inputs, batches, known, strict=True)):
        batch = b
        if batch is not None and rank == 0 and position in counts:
            pairs = zip(dtypes, known[deciding], strict=True)
            batch = cast(batch, common_dtype([(d, r) for d, r in pairs if d is not None]))
        operands.append(x if batch is None else lifted(batch, rank, max(known)))
    return Node(operands, node.op, node.attrs)


def _aligned_at_run(node: Node, batches: Batches, deciding: range) -> Node:
    given = pair_of(node, batches)
    is_batch = [b is not None for b in batches]
    operands: list[Node] = []
    for position, x in enumerate(given):
        if not is_batch[position]:
            operands.append(x)
            continue
        others = [i for i in range(len(given)) if i != position]
        flags = [is_batch[i] for i in others]
        operands.append(align(x, [given[i] for i in others], flags, promotes=position in deciding))
    return Node(operands, node.op, node.attrs)


def alike(node: Node, batches: Batches) -> Node:
    """Batch an op on entries of operands of one shape."""
    return Node(spread_all(node, batches), node.op, node.attrs)


def unruled(node: Node, batches: Batches) -> None:
    """Leave an op that is not what its kind says for batches to a map."""


# -- along axes -----------------------------------------------------------------------------------


def shifted(value: Any) -> Any:
    """Return axes of an example as those of a batch: counted from the front they are one further."""
    if isinstance(value, int):
        return value + 1 if value >= 0 else value
    return tuple(shifted(d) for d in value)


def along(node: Node, batches: Batches) -> Node | None:
    """Batch an op of which the attrs that count axes are known; None without a rule."""
    op = node.op
    if op.axes is None:
        return None
    axes = {name: node.attrs[name] for name in op.axes if name in node.attrs}
    # An axis of an example without axes is none.
    if None in axes.values() or (axes and not all(rank_of(x) for x in node.inputs)):
        return None
    attrs = {**node.attrs, **{name: shifted(d) for name, d in axes.items()}}
    if not op.broadcasts:
        return Node(spread_all(node, batches), op, attrs)
    operands = lined_up(node, batches)
    return None if operands is None else Node(operands, op, attrs)


def reduction(node: Node, batches: Batches) -> Node | None:
    """Batch a reduction along ``dim``, of all axes where that is None."""
    rank = rank_of(node.inputs[0])
    if rank is None:
        return None
    batch, attrs = any_batch(batches), dict(node.attrs)
    if rank == 0:
        # One entry, along an axis of its own.
        return Node([unsqueeze(batch, 1)], node.op, {**attrs, 'dim': 1, 'keepdim': False})
    dim = attrs['dim']
    attrs['dim'] = shifted(dim) if dim is not None else 1 if rank == 1 else tuple(range(1, rank + 1))
    return Node([batch], node.op, attrs)


# -- by other ops ---------------------------------------------------------------------------------


def as_decomposed(build: Callable[[Node], Node | None]) -> Rule:
    """Return the rule of an op that can be written with others: theirs."""

    def rule(node: Node, batches: Batches) -> Node | None:
        written = build(node)
        if written is None:
            return None
        moved = {x: b for x, b in zip(node.inputs, batches, strict=True) if b is not None}
        found = batched_behind([written], moved, set(node.inputs))[0]
        # Where only sizes are taken from a batch, and these are known, nothing depends on it.
        return spread(written, any_batch(batches)) if found is None else found

    return rule


def as_images(channels: Callable[[Node], int | None]) -> Rule:
    """Return the rule of an op on images: examples that are batches already are joined to one batch.

    Parameters
    ----------
    channels : callable
        How many axes an image has with its channels, if the op takes a single one; otherwise ``None``.
    """

    def rule(node: Node, batches: Batches) -> Node | None:
        rank = rank_of(node.inputs[0])
        if rank is None:
            return None
        operands = spread_all(node, batches)
        if rank == channels(node):
            return Node(operands, node.op, node.attrs)
        joined = Node([flatten(x, 0, 1) for x in operands], node.op, node.attrs)
        return split_like(joined, operands[0])

    return rule


def once(node: Node, batches: Batches) -> Node:
    """Batch an op that sees nothing of its operand but its last sizes, and gives one value for all."""
    batch = any_batch(batches)
    return spread(Node([batch], node.op, node.attrs), batch)
