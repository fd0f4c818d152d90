"""Patterns: an expression in variables, found in a graph by its form."""

from adjoint.core.node import Node
from adjoint.ops.creation import placeholder

__all__ = ['found_in']


def found_in(pattern: Node, node: Node) -> dict[Node, Node] | None:
    """Return what the nodes of a pattern stand for, where a node has its form; ``None`` where it has not.

    Parameters
    ----------
    pattern : Node
        Of a few ops on variables; one that stands there twice stands for one node.
    node : Node
        In a graph where equal nodes are one. The operands of real sums and products may have changed places.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, a, b = (ad.Variable(name, dtype=torch.float64) for name in 'xab')
    >>> found = found_in(x * ad.sin(x), ad.sin(a + b) * (a + b))
    >>> found is None  # there are two sums
    True
    >>> both = a + b
    >>> found_in(x * ad.sin(x), ad.sin(both) * both)[x] is both
    True
    """
    found: dict[Node, Node] = {}
    return found if _fits(pattern, node, found) else None


def _fits(pattern: Node, node: Node, found: dict[Node, Node]) -> bool:
    """Note what stands for what; the depth of the calls is that of the pattern."""
    if pattern in found:
        return found[pattern] is node
    if pattern.op is not placeholder:
        if pattern.op is not node.op or len(pattern.inputs) != len(node.inputs):
            return False
        if dict(pattern.attrs) != dict(node.attrs):
            return False
        orders = [node.inputs, node.inputs[::-1]] if node.op.commutes(node) else [node.inputs]
        for inputs in orders:
            trial = dict(found)
            if all(_fits(p, x, trial) for p, x in zip(pattern.inputs, inputs, strict=True)):
                found.update(trial)
                break
        else:
            return False
    found[pattern] = node
    return True
