"""Bodies on a batch: what the rules of ops that hold a graph are made of."""

from collections.abc import Collection, Sequence

from adjoint.autodiff.batching.walk import batched
from adjoint.core.node import Node
from adjoint.core.rebuild import rebuilt
from adjoint.ops.batch import spread
from adjoint.ops.body import Body, variable_like

__all__ = ['batched_body']


def batched_body(
    body: Body, input_batches: Sequence[Node | None], wanted: Collection[int] = ()
) -> tuple[Body, tuple[int, ...]]:
    """Return a body on a batch of some of its inputs.

    Parameters
    ----------
    body : Body
        On one example.
    input_batches : sequence of Node or None
        For each input a node of the type of its batch, with one more axis in front; ``None`` for an input
        that is the same for every example.
    wanted : collection of int
        Positions of outputs that have to be batches: one that is the same for every example is repeated.

    Returns
    -------
    body : Body
        With as many inputs and outputs, those with a batch for the examples along a first axis.
    reached : tuple of int
        The positions of the outputs that are batches.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, w, xs = ad.Variable('x', ()), ad.Variable('w', ()), ad.Variable('xs', (2,))
    >>> body, reached = batched_body(Body([x, w], [x * w, w + 1]), [xs, None])
    >>> reached, body.run([torch.tensor([1.0, 2.0]), torch.tensor(3.0)])
    ((0,), [tensor([3., 6.]), tensor(4.)])
    """
    inputs = [
        variable_like(x if batch is None else batch, x.given_name)
        for x, batch in zip(body.inputs, input_batches, strict=True)
    ]
    pairs = list(zip(body.inputs, inputs, input_batches, strict=True))
    own = rebuilt(body.outputs, {x: v for x, v, batch in pairs if batch is None})
    places = {x: v for x, v, batch in pairs if batch is not None}
    found = batched(own, places)
    like = next(iter(places.values()))
    reached = tuple(i for i, b in enumerate(found) if b is not None or i in wanted)
    outputs = [
        b if b is not None else spread(y, like) if i in wanted else y
        for i, (y, b) in enumerate(zip(own, found, strict=True))
    ]
    return Body(inputs, outputs), reached
