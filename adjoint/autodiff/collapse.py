"""Sums over a batch, taken before what is linear instead of behind it."""

from collections.abc import Mapping, Sequence

from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.recurrences import flowing
from adjoint.core.node import Node
from adjoint.core.rebuild import dependents
from adjoint.ops.arithmetic import Add, Div, Mul, Neg, Sub
from adjoint.ops.contraction import Multilinear
from adjoint.ops.linear import Linear, same_type
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
    The sum moves through every map that is linear, so that it is applied once and not to each example, and
    out of products go the factors that are the same for all examples. Only the rest is batched. The order
    in which numbers are added and multiplied changes.

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
    peeled = [_peeled(node, moving) for node in apart]
    found = batched([core for core, _ in peeled], batches)
    for node, (_, layers), batch in zip(apart, peeled, found, strict=True):
        if batch is not None:
            total = sum_(batch, (0,))
            for layer in layers:
                inputs = [total if x in moving else x for x in layer.inputs]
                total = Node(inputs, layer.op, layer.attrs)
            totals[node] = total
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


def _peeled(node: Node, moving: set[Node]) -> tuple[Node, list[Node]]:
    """Return a product of what moves without the factors that do not, and what multiplies by them."""
    layers: list[Node] = []
    if not isinstance(node.op, Mul) or len([x for x in node.inputs if x in moving]) < 2:  # noqa: PLR2004 a product
        return node, layers
    factors: list[Node] = []
    for factor in node.inputs:
        inner = factor
        while isinstance(inner.op, (Neg, Mul, Div)):
            operands = _linear_operands(inner, moving)
            if len(operands) != 1 or not same_type(inner, operands[0]):
                break
            layers.append(inner)
            inner = operands[0]
        factors.append(inner)
    return (factors[0] * factors[1], layers) if layers else (node, layers)
