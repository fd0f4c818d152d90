"""Loops with less to do in a step."""

from collections.abc import Iterable

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.several import item
from adjoint.passes.walk import Walked, replaced

__all__ = ['lightened']


def lightened(nodes: Iterable[Node], level: str, room: int) -> Walked:
    """Take out of loops what need not be done step by step, as far as their ops know how to.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of a graph that is only run.
    level : str
        Which changes are allowed.
    room : int
        How many bytes each loop may have computed for all of its steps together.

    Returns
    -------
    Walked
        In the order of ``nodes``.
    """
    wanted = list(nodes)
    order = topological_sort(wanted)
    becomes: dict[Node, Node] = {}
    found: dict[Node, dict[int, Node]] = {}
    whole = set(wanted)
    outside = ambient_site()
    try:
        for node in order:
            if node.op.outputs > 1 and node in whole:
                continue
            enter_site(node.site)
            lighter = node.op.lightened(node, level, room)
            if lighter is not None:
                found[node] = dict(lighter)
    finally:
        leave_sites(outside)
    for node in order:
        if node in found and node.op.outputs == 1:
            becomes[node] = found[node][0]
        elif node.op is item and node.inputs[0] in found:
            becomes[node] = found[node.inputs[0]][node.attrs['position']]
    return Walked(replaced(wanted, becomes) if found else wanted, applied=len(found))
