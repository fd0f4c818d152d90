"""Common subexpressions: equal nodes become one."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from adjoint.core.node import Node
from adjoint.core.numbering import value_key
from adjoint.core.order import topological_sort
from adjoint.ops.body import Body
from adjoint.ops.creation import constant
from adjoint.passes.walk import Walked, remade, with_bodies

__all__ = ['shared']


def shared(nodes: Iterable[Node]) -> Walked:
    """Merge nodes of the same op, operands and attrs, in bodies too.

    A name that one of the merged nodes has is kept. Draws stay apart, and so do nodes that mark a place.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.

    Returns
    -------
    Walked
        In the order of ``nodes``.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> y = ad.sin(x) * ad.sin(x)
    >>> len(ad.topological_sort(y)), len(ad.topological_sort(shared([y]).nodes))
    (4, 3)
    """
    wanted = list(nodes)
    classes = _Classes(topological_sort(wanted))
    if not classes.merged:
        return Walked(wanted)
    values = classes.values()
    return Walked([values[classes.leader_of[node]] for node in wanted], applied=classes.merged)


class _Classes:
    """The classes of nodes with the same value: the node that leads each, and a name for it."""

    def __init__(self, order: Sequence[Node]) -> None:
        self.leader_of: dict[Node, Node] = {}
        self.leaders: dict[Node, str] = {}
        self.attrs: dict[Node, dict[str, Any]] = {}
        self.merged = 0
        self._bodies: dict[Body, Body] = {}
        first: dict[Hashable, Node] = {}
        for node in order:
            leader = first.setdefault(self._key(node), node)
            self.leader_of[node] = leader
            if leader is not node:
                self.merged += 1
            self.leaders[leader] = self.leaders.get(leader) or node.given_name

    def _key(self, node: Node) -> Hashable:
        if node.op is constant and 'number' in node.attrs:
            # Tensors of users may be changed in place, and are told apart; a number stays.
            number = node.attrs['number']
            return constant, number.__class__, repr(number), node.type
        attrs = with_bodies(node.attrs, self._body)
        if attrs is not node.attrs:
            self.attrs[node] = attrs
            return node
        return value_key(node, [self.leader_of[x] for x in node.inputs])

    def _body(self, body: Body) -> Body:
        if body not in self._bodies:
            walked = shared(body.outputs)
            self.merged += walked.applied
            self._bodies[body] = body if walked.applied == 0 else Body(body.inputs, walked.nodes)
        return self._bodies[body]

    def values(self) -> dict[Node, Node]:
        """Return the node that each leader becomes."""
        made: dict[Node, Node] = {}
        for leader, name in self.leaders.items():
            attrs = self.attrs.get(leader, leader.attrs)
            node = remade(leader, [made[self.leader_of[x]] for x in leader.inputs], attrs)
            if name and not node.given_name:
                node = node.restored(node.inputs, node.op, dict(attrs), name, node.site, node.type)
            made[leader] = node
        return made
