"""Sums over a batch, taken before what is linear instead of behind it."""

from collections.abc import Mapping, Sequence

from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.recurrences import flowing
from adjoint.core.node import Node
from adjoint.core.rebuild import dependents
from adjoint.ops.arithmetic import Add, Div, Mul, Neg, Sub
from adjoint.ops.contraction import Multilinear
from adjoint.ops.linear import Linear
from adjoint.ops.reduction import sum_

__all__ = ['summed']


def summed(outputs: Sequence[Node], batches: Mapping[Node, Node]) -> list[Node | None]:
    """Return the sums of nodes over a batch of the values of others, as a graph.

    Parameters
    ----------
    outputs : sequence of Node
        What is summed over the batch.
    batches : mapping of Node to Node
        Nodes with their batches, as ``batched`` takes them.

    Returns
    -------
    list of Node or None
        ``None`` where an output does not depend on the batch.

    Notes
    -----
    The sum moves through every map that is linear, so that it is applied once and not to each example: only
    what is not linear in the batch is batched. The order in which numbers are added changes.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> v, w = ad.Variable('v', (2,)), ad.Variable('w', (2, 4))
    >>> vs = ad.Variable('vs', ('n', 2))
    >>> total, = summed([ad.matmul(v * v, w)], {v: vs})
    >>> str(total), str(total.inputs[0])
    ('matmul(sum, w)', 'sum(mul, dim=(0,))')
    """
    depending = dependents(outputs, batches)
    moving = set(depending)
    wanted = {node for node in outputs if node in moving}
    apart: list[Node] = []
    for node in reversed(depending):
        if node in wanted:
            operands = [] if node in batches else _linear_operands(node, moving)
            wanted.update(operands)
            if not operands:
                apart.append(node)
    totals: dict[Node, Node] = {}
    for node, batch in zip(apart, batched(apart, batches), strict=True):
        if batch is not None:
            totals[node] = sum_(batch, (0,))
    for node in depending:
        if node in wanted and node not in totals:
            inputs = [totals.get(x, x) if x in wanted else x for x in node.inputs]
            totals[node] = node.restored(inputs, node.op, node.attrs, node.given_name, node.site, node.type)
    return [totals.get(node) for node in outputs]


def _linear_operands(node: Node, moving: set[Node]) -> list[Node]:
    """Return the operands that a node is jointly linear in if these are all that move, else nothing."""
    op, operands = node.op, [x for x in node.inputs if x in moving]
    if isinstance(op, (Neg, Add, Sub)) and 'constant' not in node.attrs:
        return operands if len(operands) == len(node.inputs) else []
    if isinstance(op, Linear):
        linear = [node.inputs[i] for i in flowing(node)]
        return operands if len(operands) == len(linear) and all(x in moving for x in linear) else []
    if isinstance(op, (Mul, Multilinear)):
        linear = [node.inputs[i] for i in flowing(node)]
        return operands if len(operands) == 1 and operands[0] in linear else []
    if isinstance(op, Div) and node.attrs.get('side') != 'left':
        return operands if len(operands) == 1 and operands[0] is node.inputs[0] else []
    return []
