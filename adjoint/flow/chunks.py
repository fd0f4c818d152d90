"""A batch in chunks: one after the other, as the steps of a loop."""

from collections.abc import Mapping, Sequence

from adjoint.autodiff.batching.draws import Randomness
from adjoint.autodiff.batching.walk import batched
from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.flow.scan import scanned
from adjoint.flow.steps import Operands, present
from adjoint.ops.batch import split_like
from adjoint.ops.body import Body
from adjoint.ops.creation import Variable
from adjoint.ops.index import getitem
from adjoint.ops.ranges import full
from adjoint.ops.shape import cat, flatten

__all__ = ['in_chunks']


def in_chunks(
    outputs: Sequence[Node], batches: Mapping[Node, Node], size: int, randomness: Randomness
) -> list[Node | None]:
    """Return the batches of nodes as :func:`batched`, ``size`` examples at a time.

    What is the same for every example is computed once, before the loop. Examples that are too few for a
    chunk of their own are computed behind it.

    Raises
    ------
    ShapeError
        How many examples there are is not known.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, xs = ad.Variable('x', ()), ad.Variable('xs', (5,))
    >>> (ys,) = in_chunks([ad.sin(x)], {x: xs}, 2, 'error')
    >>> print(ad.to_text([ys], inline=True))
    xs: any[5]
    v1 = full(size=(2, 2), fill_value=0.0)
    v2 = scan(split_like(xs[0:4], v1, dim=0))
        body(x):
            x: any[2]
            v1 = sin(x)   # output 0
    v3 = flatten(v2, start_dim=0, end_dim=1)
    v4 = cat(v3, sin(xs[4:]), dim=0)   # output
    """
    count = _count(batches)
    steps = count // size
    if steps <= 1:
        return batched(outputs, batches, randomness=randomness)
    inside = {x: _chunk(x, batch, size) for x, batch in batches.items()}
    found = batched(outputs, inside, randomness=randomness)
    body, captured = Body.closed([*inside.values()], present(found))
    apart = full((steps, size), 0.0)
    chunks = [split_like(getitem(batch, slice(0, steps * size)), apart) for batch in batches.values()]
    ys = iter(scanned(body, Operands([], chunks, captured, []), length=steps))
    results = [None if y is None else flatten(next(ys), 0, 1) for y in found]
    if count == steps * size:
        return results
    left = {x: getitem(batch, slice(steps * size, None)) for x, batch in batches.items()}
    rest = batched(outputs, left, randomness=randomness)
    return [None if y is None or z is None else cat([y, z], 0) for y, z in zip(results, rest, strict=True)]


def _count(batches: Mapping[Node, Node]) -> int:
    for batch in batches.values():
        if batch.type is not None and batch.type.shape and isinstance(batch.type.shape[0], int):
            return batch.type.shape[0]
    batch = next(iter(batches.values()))
    msg = (
        f"'{batch}', {batch.type or 'of no known type'}, has no known number of examples, which chunks "
        f'are made of: give it a size, or leave chunk_size out\n{batch.location}'
    )
    raise ShapeError(msg)


def _chunk(x: Node, batch: Node, size: int) -> Node:
    """Return a variable for a chunk of a batch."""
    known = batch.type
    if known is None or known.shape is None:
        return Variable(x.given_name)
    return Variable(x.given_name, (size, *known.shape[1:]), known.dtype, known.device)
