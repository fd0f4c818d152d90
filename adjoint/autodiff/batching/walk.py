"""The walk: the nodes of a graph on one example, one after the other, as nodes on a batch."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, overload

from adjoint.autodiff.batching.draws import Randomness, drawn, inseparable, undecided
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.body import Body
from adjoint.ops.random import Draw

__all__ = ['batched', 'batched_behind', 'check_mappable']

# What a walk says of random values holds for those that it starts: of what an op is made of, or holds.
_randomness: ContextVar[Randomness] = ContextVar('_randomness', default='error')


@overload
def batched(
    outputs: Node, batches: Mapping[Node, Node], *, randomness: Randomness | None = None
) -> Node | None: ...
@overload
def batched(
    outputs: Sequence[Node], batches: Mapping[Node, Node], *, randomness: Randomness | None = None
) -> list[Node | None]: ...
def batched(
    outputs: Node | Sequence[Node], batches: Mapping[Node, Node], *, randomness: Randomness | None = None
) -> Node | list[Node | None] | None:
    """Compute nodes for a whole batch of the values of others, as a graph.

    Parameters
    ----------
    outputs : Node or sequence of Node
        What is wanted for each example.
    batches : mapping of Node to Node
        Nodes with their batches: the values for the examples, along a first axis that the node does not
        have. All batches are of one size.
    randomness : {'error', 'same', 'different'}, optional
        Whether random values are the same for every example or drawn for each. An error by default, and
        inside the rule of an op what holds around it.

    Returns
    -------
    Node or None, or list of them
        The batch of each output; ``None`` where it is the same for every example. What does not depend on
        a batch is used as it is, and is computed once.

    Raises
    ------
    UnsupportedOpError
        The graph draws random values, and ``randomness`` does not say how.

    Notes
    -----
    An op is batched by its rule, :meth:`Op.batch`. Where types are known, nearly all of them become ops on
    a tensor with one more axis. What has no rule is mapped: applied to each example.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, w, xs = ad.Variable('x', (2,)), ad.Variable('w', (2,)), ad.Variable('xs', ('n', 2))
    >>> y = ad.matmul(x, w) + 1
    >>> ys = ad.batched(y, {x: xs})
    >>> print(ys.type)
    any[n]
    >>> ad.Evaluator([ys]).run({xs: torch.eye(2), w: torch.tensor([3.0, 4.0])})
    [tensor([4., 5.])]
    """
    many = [outputs] if isinstance(outputs, Node) else list(outputs)
    before = _randomness.set(randomness or _randomness.get())
    try:
        found = batched_behind(many, batches, batches)
    finally:
        _randomness.reset(before)
    return found[0] if isinstance(outputs, Node) else found


def batched_behind(
    outputs: Sequence[Node], batches: Mapping[Node, Node], behind: Container[Node]
) -> list[Node | None]:
    """Return the batches of nodes as :func:`batched`, without a look at what is behind some others."""
    moved: dict[Node, Node] = dict(batches)
    outside = ambient_site()
    try:
        for node in topological_sort(outputs, behind=behind):
            if node in moved:
                continue
            # The nodes of a batch carry the line of the node on one example.
            enter_site(node.site)
            found = _batch(node, [moved.get(x) for x in node.inputs], batches)
            if found is not None:
                moved[node] = found
    finally:
        leave_sites(outside)
    return [moved.get(node) for node in outputs]


def _batch(node: Node, given: Sequence[Node | None], batches: Mapping[Node, Node]) -> Node | None:
    """Return the batch of one node, ``None`` where it is the same for every example."""
    randomness = _randomness.get()
    depends = any(b is not None for b in given)
    if isinstance(node.op, Draw):
        if randomness == 'same' and not depends:
            return None
        return drawn(node, given, next(iter(batches.values())), randomness)
    if randomness != 'same':
        # What a body draws is drawn for each example by the rule of the op that holds it, if it has one.
        each = randomness == 'different' and depends and type(node.op).batch is not Op.batch
        hidden = None if each else next(_draws_in(node.attrs), None)
        if hidden is not None:
            raise undecided(hidden) if randomness == 'error' else inseparable(hidden)
    return node.op.batch(node, given) if depends else None


def check_mappable(node: Node) -> None:
    """See that the op of a node can be applied to each example, though it has a rule of its own.

    Raises
    ------
    UnsupportedOpError
        Its bodies draw, and would draw the same for every example.
    """
    hidden = next(_draws_in(node.attrs), None)
    if hidden is not None and _randomness.get() == 'different':
        raise inseparable(hidden)


def _draws_in(attrs: Mapping[str, Any]) -> Iterator[Node]:
    """Yield the nodes that draw in the bodies that an op holds."""
    pending = list(attrs.values())
    while pending:
        value = pending.pop()
        if isinstance(value, (tuple, list)):
            pending += value
        elif isinstance(value, Body):
            for node in topological_sort(value.outputs):
                if isinstance(node.op, Draw):
                    yield node
                pending += node.attrs.values()
