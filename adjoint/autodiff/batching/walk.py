"""The walk: the nodes of a graph on one example, one after the other, as nodes on a batch."""

from collections.abc import Container, Mapping, Sequence
from typing import overload

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites

__all__ = ['batched', 'batched_behind']


@overload
def batched(outputs: Node, batches: Mapping[Node, Node]) -> Node | None: ...
@overload
def batched(outputs: Sequence[Node], batches: Mapping[Node, Node]) -> list[Node | None]: ...
def batched(
    outputs: Node | Sequence[Node], batches: Mapping[Node, Node]
) -> Node | list[Node | None] | None:
    """Compute nodes for a whole batch of the values of others, as a graph.

    Parameters
    ----------
    outputs : Node or sequence of Node
        What is wanted for each example.
    batches : mapping of Node to Node
        Nodes with their batches: the values for the examples, along a first axis that the node does not
        have. All batches are of one size.

    Returns
    -------
    Node or None, or list of them
        The batch of each output; ``None`` where it is the same for every example. What does not depend on
        a batch is used as it is, and is computed once.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, w, xs = ad.Variable('x', (2,)), ad.Variable('w', (2,)), ad.Variable('xs', ('n', 2))
    >>> y = ad.matmul(x, w) + 1
    >>> ys = ad.batched(y, {x: xs})
    >>> print(ad.to_text([ys]) if hasattr(ad, 'to_text') else ys.type.shape)
    >>> ad.Evaluator([ys]).run({xs: torch.eye(2), w: torch.tensor([3.0, 4.0])})
    [tensor([4., 5.])]
    """
    many = [outputs] if isinstance(outputs, Node) else list(outputs)
    found = batched_behind(many, batches, batches)
    return found[0] if isinstance(outputs, Node) else found


def batched_behind(
    outputs: Sequence[Node], batches: Mapping[Node, Node], behind: Container[Node]
) -> list[Node | None]:
    """Return the batches of nodes as :func:`batched`, without a look at what is behind some others."""
    moved: dict[Node, Node | None] = dict(batches)
    outside = ambient_site()
    try:
        for node in topological_sort(outputs, behind=behind):
            if node in moved:
                continue
            given = [moved.get(x) for x in node.inputs]
            if any(b is not None for b in given):
                # The nodes of a batch carry the line of the node of one example.
                enter_site(node.site)
                moved[node] = node.op.batch(node, given)
    finally:
        leave_sites(outside)
    return [moved.get(node) for node in outputs]
