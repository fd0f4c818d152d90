"""Rules of batches that follow from the kind of an op, and from which of its attrs count axes."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from adjoint.autodiff.batching.walk import batched_behind
from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.ops.batch import align, common_dtype, split_first, spread
from adjoint.ops.linear import cast
from adjoint.ops.shape import flatten, squeeze, unsqueeze

__all__ = [
    'Batches', 'Rule', 'along', 'any_batch', 'as_decomposed', 'as_images', 'elementwise', 'lifted',
    'pair_of', 'rank_of', 'reduction', 'shifted', 'size_of_batch', 'spread_all',
]  # fmt: skip

# For each input of a node its batch, or None.
Batches: TypeAlias = Sequence[Node | None]

# From a node on one example and the batches of its inputs to the node on a batch; None where it does not know.
Rule: TypeAlias = Callable[[Node, Batches], Node | None]


def rank_of(node: Node) -> int | None:
    """Return the number of axes, or ``None`` where it is not known."""
    return None if node.type is None or node.type.shape is None else len(node.type.shape)


def any_batch(batches: Batches) -> Node:
    """Return one of the batches."""
    return next(b for b in batches if b is not None)


def size_of_batch(batches: Batches) -> int | Extent | None:
    """Return how many examples there are, as a number or by name; ``None`` where it is not known."""
    for b in batches:
        if b is not None and b.type is not None and b.type.shape:
            size = b.type.shape[0]
            if size is not None:
                return Extent(size) if isinstance(size, str) else size
    return None


def spread_all(node: Node, batches: Batches) -> list[Node]:
    """Return a batch of every input: one that is the same for all examples is repeated."""
    like = any_batch(batches)
    return [spread(x, like) if b is None else b for x, b in zip(node.inputs, batches, strict=True)]


def pair_of(node: Node, batches: Batches) -> list[Node]:
    """Return for each input its batch, or itself."""
    return [x if b is None else b for x, b in zip(node.inputs, batches, strict=True)]


def lifted(batch: Node, rank: int, wanted: int) -> Node:
    """Give examples of ``rank`` axes more of size 1, in front."""
    for _ in range(wanted - rank):
        batch = unsqueeze(batch, 1)
    return batch


# -- entry by entry -------------------------------------------------------------------------------


def elementwise(node: Node, batches: Batches, promotes: int = 0) -> Node:
    """Batch an op on entries, of operands that broadcast; those from ``promotes`` on decide the dtype."""
    if len(node.inputs) == 1:
        return Node([any_batch(batches)], node.op, node.attrs)
    ranks = [rank_of(x) for x in node.inputs]
    known = [r for r in ranks if r is not None]
    dtypes = [None if x.type is None else x.type.dtype for x in node.inputs]
    deciding = dtypes[promotes:]
    # A batch of examples without axes has one, and would begin to count for the dtype.
    may_change = len(set(deciding)) > 1 or (deciding[0] is None and len(deciding) > 1)
    if len(known) < len(ranks) or (may_change and 0 in known and None in deciding):
        return _aligned_at_run(node, batches, promotes)
    operands: list[Node] = []
    for position, (x, b, rank) in enumerate(zip(node.inputs, batches, known, strict=True)):
        if b is not None and may_change and rank == 0 and position >= promotes:
            pairs = zip(deciding, known[promotes:], strict=True)
            b = cast(b, common_dtype([(d, r) for d, r in pairs if d is not None]))  # noqa: PLW2901 the same batch
        operands.append(x if b is None else lifted(b, rank, max(known)))
    return Node(operands, node.op, node.attrs)


def _aligned_at_run(node: Node, batches: Batches, promotes: int) -> Node:
    given = pair_of(node, batches)
    is_batch = [b is not None for b in batches]
    operands: list[Node] = []
    for position, x in enumerate(given):
        if not is_batch[position]:
            operands.append(x)
            continue
        others = [i for i in range(len(given)) if i != position]
        lines_up = align(x, [given[i] for i in others], [is_batch[i] for i in others], position >= promotes)
        operands.append(lines_up)
    return Node(operands, node.op, node.attrs)


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
    if any(d is None for d in axes.values()) or (axes and not rank_of(node.inputs[0])):
        return None
    attrs = {**node.attrs, **{name: shifted(d) for name, d in axes.items()}}
    if not op.broadcasts:
        return Node(spread_all(node, batches), op, attrs)
    operands = lined_up(node, batches)
    return None if operands is None else Node(operands, op, attrs)


def lined_up(node: Node, batches: Batches) -> list[Node] | None:
    """Return operands whose axes in front broadcast; None where their number is not known."""
    known = [r for x in node.inputs if (r := rank_of(x)) is not None]
    if len(known) < len(node.inputs):
        return None
    return [
        x if b is None else lifted(b, rank, max(known))
        for x, b, rank in zip(node.inputs, batches, known, strict=True)
    ]


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
        return batched_behind([written], moved, set(node.inputs))[0]

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
        return split_first(joined, operands[0])

    return rule


def without_axis(node: Node, dim: int) -> Node:
    """Return a node without an axis of size 1."""
    return squeeze(node, dim)
