"""Reverse mode: cotangents pulled back through a graph, as nodes of the same graph."""

from collections.abc import Container, Iterable

from adjoint.autodiff.hazards import Hazards
from adjoint.autodiff.masks import Cotangents
from adjoint.autodiff.zeros import Vector
from adjoint.core.node import Node
from adjoint.core.numbering import Numbering
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.creation import zeros_like

__all__ = ['cotangents']


def cotangents(
    seeds: dict[Node, Node],
    nodes: Iterable[Node],
    behind: Container[Node] = (),
    *,
    nan_safe: bool = True,
) -> list[Node | None]:
    """Pull cotangents of some nodes back to others.

    What the rules build is shared: a node that applies the op of an existing one to the same operands is
    replaced by it.

    Parameters
    ----------
    seeds : dict of Node to Node
        Outputs with their cotangents.
    nodes : iterable of Node
        Where the cotangents are wanted.
    behind : container of Node, optional
        Nodes that are known not to depend on these, so that the walk ends there.
    nan_safe : bool
        Whether what is known to be zero is kept from being multiplied by what is not finite.

    Returns
    -------
    list of Node or None
        The cotangent of each of ``nodes``, or ``None`` where nothing flows to it.
    """
    wanted = list(nodes)
    order = topological_sort(seeds, behind)
    shared = Numbering(order)
    goals = frozenset(wanted)
    depends = set(goals)
    for node in order:
        if not depends.isdisjoint(node.inputs):
            depends.add(node)
    masks = Cotangents(Hazards(order, goals, depends), shared, nan_safe=nan_safe)
    totals: dict[Node, Node] = {}
    parts: dict[Node, list[Vector]] = {node: [shared.of(seed)] for node, seed in seeds.items()}
    outside = ambient_site()
    try:
        for node in reversed(order):
            flowing = parts.pop(node, None)
            if flowing is None or node not in depends:
                continue
            # The nodes of the derivative carry the line of the node that they are the derivative of.
            enter_site(node.site)
            total = masks.total(flowing)
            if node in goals:
                totals[node] = masks.written(total)
            if depends.isdisjoint(node.inputs):
                continue
            for x, ct in zip(node.inputs, masks.pullback(node, total), strict=True):
                if ct is not None and x in depends and not _is_zero(ct):
                    parts.setdefault(x, []).append(masks.shared(ct))
    finally:
        leave_sites(outside)
    return [totals.get(node) for node in wanted]


def _is_zero(ct: Vector) -> bool:
    return isinstance(ct, Node) and ct.op is zeros_like
