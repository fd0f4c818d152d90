"""Graphs made again with some of their nodes replaced."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from adjoint.core.order import topological_sort

if TYPE_CHECKING:
    from adjoint.core.node import Node
    from adjoint.core.source import Site

__all__ = ['dependents', 'rebuilt']


def dependents(nodes: 'Iterable[Node]', of: 'Iterable[Node]') -> 'list[Node]':
    """Return the nodes behind the given ones that depend on some others (these included), inputs first."""
    depending = set(of)
    found: list[Node] = []
    for node in topological_sort(list(nodes)):
        if node in depending or not depending.isdisjoint(node.inputs):
            depending.add(node)
            found.append(node)
    return found


def rebuilt(
    nodes: 'Iterable[Node]', replace: 'Mapping[Node, Node]', site: 'Site | None' = None
) -> 'list[Node]':
    """Return nodes in whose graphs some nodes are replaced by others.

    What does not depend on a replaced node stays as it is. The others keep attrs, name, line and type:
    a node is replaced by one of its type. With a site, that is the line of what is made again.
    """
    wanted = list(nodes)
    made: dict[Node, Node] = dict(replace)
    for node in dependents(wanted, replace):
        if node not in made:
            inputs = [made.get(x, x) for x in node.inputs]
            made[node] = node.restored(
                inputs, node.op, dict(node.attrs), node.given_name, site or node.site, node.type
            )
    return [made.get(node, node) for node in wanted]
