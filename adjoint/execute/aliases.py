"""Which values may lie in one memory."""

from adjoint.core.node import Node

__all__ = ['Aliases']


class Aliases:
    """Which values may lie in one memory: disjoint sets of nodes."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def of(self, node: Node) -> Node:
        """Return the node that stands for the set of a node."""
        parent = self._parent
        while (above := parent.get(node, node)) is not node:
            parent[node] = parent.get(above, above)
            node = above
        return node

    def join(self, a: Node, b: Node) -> None:
        """Make one set of two."""
        a, b = self.of(a), self.of(b)
        if a is not b:
            self._parent[a] = b

    def copy(self) -> 'Aliases':
        """Return the same sets, to be joined further."""
        found = Aliases()
        found._parent.update(self._parent)
        return found
