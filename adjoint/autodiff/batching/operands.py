"""The operands of a node and their batches."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.ops.batch import spread
from adjoint.ops.shape import unsqueeze

__all__ = [
    'Batches', 'Rule', 'any_batch', 'lifted', 'lined_up', 'pair_of', 'rank_of', 'size_of_batch',
    'spread_all',
]  # fmt: skip

# For each input of a node its batch, or None.
Batches: TypeAlias = Sequence[Node | None]

# From a node on one example and the batches of its inputs to the node on a batch; None where it knows none.
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


def lined_up(node: Node, batches: Batches) -> list[Node] | None:
    """Return operands whose axes in front broadcast; None where their number is not known."""
    known = [r for x in node.inputs if (r := rank_of(x)) is not None]
    if len(known) < len(node.inputs):
        return None
    return [
        x if b is None else lifted(b, rank, max(known))
        for x, b, rank in zip(node.inputs, batches, known, strict=True)
    ]
