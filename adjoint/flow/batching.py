"""Batches of choices and loops: the bodies on a batch, and what is carried as one."""

from collections.abc import Callable, Sequence
from typing import Any

from adjoint.autodiff.batching.bodies import batched_body
from adjoint.autodiff.batching.walk import batched
from adjoint.core.node import Node
from adjoint.flow.steps import Operands
from adjoint.ops.batch import spread
from adjoint.ops.body import Body, variable_like
from adjoint.ops.creation import Variable
from adjoint.ops.several import packed
from adjoint.ops.shape import transpose

__all__ = [
    'batched_step', 'every_batched', 'of_each', 'results_of_batch', 'sequences_first', 'slices_of',
    'started_batched', 'together', 'written_out',
]  # fmt: skip


def of_each(given: Sequence[Node], batches: Sequence[Node | None]) -> list[Node]:
    """Return the operands on a batch: those that are the same for every example as they are."""
    return [x if b is None else b for x, b in zip(given, batches, strict=True)]


def every_batched(body: Body, batches: Sequence[Node | None]) -> Body:
    """Return a body on a batch of some of its inputs, all outputs of which are batches."""
    return batched_body(body, batches, range(len(body.outputs)))[0]


def together(outputs: Sequence[Node]) -> Node:
    """Return outputs as the value of one node."""
    return outputs[0] if len(outputs) == 1 else packed(outputs)


def written_out(
    build: Callable[[Sequence[Node]], Sequence[Node]], given: Sequence[Node], batches: Sequence[Node | None]
) -> list[Node]:
    """Return the batches of nodes that are built from operands on one example."""
    own = [x if b is None else variable_like(x, x.given_name) for x, b in zip(given, batches, strict=True)]
    places = {x: b for x, b in zip(own, batches, strict=True) if b is not None}
    wanted = build(own)
    like = next(iter(places.values()))
    found = batched(wanted, places)
    return [spread(y, like) if b is None else b for y, b in zip(wanted, found, strict=True)]


def sequences_first(own: Operands[Node | None]) -> Operands[Node | None]:
    """Return the batches of the operands of a loop, those of the sequences with their slices in front."""
    sequences = [None if b is None else transpose(b, 0, 1) for b in own.sequences]
    return Operands(own.carries, sequences, own.constants, own.count)


def slices_of(sequences: Sequence[Node | None]) -> list[Node | None]:
    """Return for each sequence a variable of the type of its slices."""
    return [None if x is None else _slice_of(x) for x in sequences]


def _slice_of(sequence: Node) -> Node:
    known = sequence.type
    if known is None:
        return Variable('')
    return Variable('', None if known.shape is None else known.shape[1:], known.dtype, known.device)


def results_of_batch(found: Sequence[Node], carries: int, reached: Sequence[int], like: Node) -> list[Node]:
    """Return what a loop of a batch returns, each with the examples in front."""
    return [
        spread(y, like) if i not in reached else y if i < carries else transpose(y, 0, 1)
        for i, y in enumerate(found)
    ]


def started_batched(
    given: Sequence[Node], batches: Sequence[Node | None], carried: Sequence[bool], like: Node
) -> list[Node | None]:
    """Return what carries start from as batches, of those that are batches in any step."""
    return [
        b if b is not None else spread(x, like) if is_batch else None
        for x, b, is_batch in zip(given, batches, carried, strict=True)
    ]


def batched_step(
    body: Body,
    given: Sequence[Node],
    batches: Sequence[Node | None],
    others: Sequence[Node | None],
    like: Node,
) -> tuple[Body, list[Node | None], tuple[int, ...]]:
    """Return a step on a batch: what it makes a batch, it is given as one.

    Parameters
    ----------
    body : Body
        Its first inputs are the carries, and its first outputs the next ones.
    given : sequence of Node
        The first carries on one example.
    batches : sequence of Node or None
        Their batches.
    others : sequence of Node or None
        For each further input a node of the type of its batch.
    like : Node
        A batch, for the number of examples.

    Returns
    -------
    body : Body
        On a batch.
    carries : list of Node or None
        For each carry the batch that it starts from; ``None`` where it is the same for every example.
    reached : tuple of int
        The outputs that are batches.
    """
    carried = [b is not None for b in batches]
    while True:
        first = started_batched(given, batches, carried, like)
        wanted = [i for i, is_batch in enumerate(carried) if is_batch]
        inputs: list[Any] = [*first, *others]
        if not any(x is not None for x in inputs):
            return body, first, ()
        found, reached = batched_body(body, inputs, wanted)
        grown = [is_batch or i in reached for i, is_batch in enumerate(carried)]
        if grown == carried:
            return found, first, reached
        carried = grown
