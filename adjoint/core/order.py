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
    stack = roots[::-1]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        pending = () if node in behind else [i for i in node.inputs if i not in done]
        if pending:
            stack.extend(reversed(pending))
        else:
            stack.pop()
            done.add(node)
            order.append(node)
    return order
