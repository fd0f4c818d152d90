"""Deep copies and pickles of graphs, without recursion.

Python's own protocols follow references one call deeper at each node. Here a node pickles as
*(pack, position)*, where a pack lists everything behind the node in one flat table. Nodes that are pickled
together share their packs, so that sharing between them survives.
"""

import copy
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

from adjoint.core.order import topological_sort
from adjoint.core.source import location_of

if TYPE_CHECKING:
    from adjoint.core.node import Node

__all__ = ['Pack', 'PackReference', 'deep_copy', 'packed', 'unpacked']


class Pack:
    """A flat table of nodes: what one pickle stores of a graph."""

    __slots__ = ('__weakref__', 'nodes', 'outside')

    def __init__(self, nodes: 'list[Node]', outside: 'frozenset[Node]') -> None:
        self.nodes = nodes
        self.outside = outside  # inputs that another pack of the same pickle holds

    def __reduce__(self) -> tuple[Any, ...]:
        position = {node: i for i, node in enumerate(self.nodes)}
        # One for all nodes of an expression; the nodes keep what the keys identify.
        locations = {(id(node.place), node.instruction): node.site for node in self.nodes}
        sites = {key: (location_of(site), -1) for key, site in locations.items()}
        rows = [
            (
                [n if n in self.outside else position[n] for n in node.inputs],
                node.op,
                node.attrs,
                node.given_name,
                sites[id(node.place), node.instruction],
                node.type,
            )
            for node in self.nodes
        ]
        return _rebuilt, (type(self.nodes[0]), rows)


PackReference: TypeAlias = 'tuple[weakref.ref[Pack], int]'


def packed(node: 'Node') -> tuple[Pack, int]:
    """Return the pack that holds the node, of a pickle in progress or a new one, and its place."""
    held = _held(node)
    if held is not None:
        return held
    outside: set[Node] = set()
    inside: list[Node] = []
    # The pickler keeps each pack that it has stored, so a live one is in this pickle already.
    for n in topological_sort(node, behind=_AlreadyPacked()):
        if _held(n) is None:
            inside.append(n)
        else:
            outside.add(n)
    pack = Pack(inside, frozenset(outside))
    reference = weakref.ref(pack)
    for i, n in enumerate(inside):
        n.remember_pack((reference, i))
    return pack, len(inside) - 1


class _AlreadyPacked:
    """The container of the nodes that a live pack holds."""

    def __contains__(self, node: object) -> bool:
        return _held(node) is not None  # pyright: ignore[reportArgumentType] only nodes are asked for


def _held(node: 'Node') -> tuple[Pack, int] | None:
    if node.pack is None:
        return None
    reference, position = node.pack
    pack = reference()
    return None if pack is None else (pack, position)


def unpacked(pack: Pack, position: int) -> 'Node':
    """Return a node of a pack that was loaded."""
    return pack.nodes[position]


def _rebuilt(node_class: 'type[Node]', rows: list[tuple[Any, ...]]) -> Pack:
    nodes: list[Node] = []
    for inputs, *fields in rows:
        operands = [nodes[i] if isinstance(i, int) else i for i in inputs]
        nodes.append(node_class.restored(operands, *fields))
    return Pack(nodes, frozenset())


class _InMemo:
    """The container of the nodes that a deep copy has made already."""

    def __init__(self, memo: dict[int, Any]) -> None:
        self.memo = memo

    def __contains__(self, node: object) -> bool:
        return id(node) in self.memo


def deep_copy(node: 'Node', memo: dict[int, Any]) -> 'Node':
    """Copy everything behind a node that the memo does not hold yet; ops are shared."""
    for n in topological_sort(node, behind=_InMemo(memo)):
        if id(n) not in memo:
            memo[id(n)] = n.restored(
                [memo[id(i)] for i in n.inputs],
                n.op,
                copy.deepcopy(n.attrs, memo) if n.attrs else {},
                n.given_name,
                n.site,
                n.type,
            )
    return memo[id(node)]
