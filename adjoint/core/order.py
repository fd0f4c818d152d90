"""Orders of a graph, without recursion."""

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from adjoint.core.node import Node

__all__ = ['topological_sort']


def topological_sort(nodes: 'Node | Iterable[Node]', behind: 'Container[Node]' = ()) -> 'list[Node]':
    """Return the nodes that the given ones depend on, each after all of its inputs.

    Parameters
    ----------
    nodes : Node or iterable of Node
        The nodes whose graph is wanted; they are part of the result.
    behind : container of Node, optional
        Nodes whose own inputs are not followed, such as nodes whose value is already given.

    Returns
    -------
    list of Node
        Every node once, inputs first, in the order of the operands.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> [str(n) for n in ad.topological_sort(ad.sin(x) * x)]
    ['x', 'sin(x)', 'mul(sin, x)']
    """
    # A node is iterable too (over its first axis), so being iterable does not tell the two apart.
    roots = [nodes] if hasattr(nodes, 'inputs') else list(nodes)
    roots = cast('list[Node]', roots)
    order: list[Node] = []
    done: set[Node] = set()
    opened: set[Node] = set()
    stack = roots[::-1]
    while stack:
        node = stack.pop()
        if node in done:
            continue
        if node in opened or not node.inputs or node in behind:
            done.add(node)
            order.append(node)
        else:
            # It comes up again when everything above it is done.
            opened.add(node)
            stack.append(node)
            stack.extend(reversed(node.inputs))
    return order
