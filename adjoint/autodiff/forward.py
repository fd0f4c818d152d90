"""Forward mode: the tangents of nodes, as nodes of the same graph."""

from collections.abc import Mapping, Sequence
from typing import overload

from adjoint.autodiff.hazards import Hazards
from adjoint.autodiff.reverse import cotangents
from adjoint.autodiff.tangents import Tangents
from adjoint.autodiff.zeros import Vector
from adjoint.core.node import Node
from adjoint.core.numbering import Numbering
from adjoint.core.op import hand_over_jvp
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import alias
from adjoint.ops.several import items, packed

__all__ = ['pushforward']


@overload
def pushforward(outputs: Node, tangents: Mapping[Node, Node], *, nan_safe: bool = True) -> Node | None: ...
@overload
def pushforward(
    outputs: Sequence[Node], tangents: Mapping[Node, Node], *, nan_safe: bool = True
) -> list[Node | None]: ...
def pushforward(
    outputs: Node | Sequence[Node], tangents: Mapping[Node, Node], *, nan_safe: bool = True
) -> Node | list[Node | None] | None:
    """Push tangents of some nodes forward to others: the Jacobian-vector product as a graph.

    Parameters
    ----------
    outputs : Node or sequence of Node
        Where the tangents are wanted.
    tangents : mapping of Node to Node
        Nodes with their tangents, of the same shape.
    nan_safe : bool
        Whether a tangent that is known to be zero, such as that of what `where` fills in, stays zero where a
        derivative is infinite or nan. Without it the two are multiplied, which gives nan.

    Returns
    -------
    Node or None, or list of them
        The tangent of each output, of its shape; ``None`` where nothing flows to it.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, t = ad.Variable('x'), ad.Variable('t')
    >>> dy = ad.pushforward(ad.sin(x), {x: t})
    >>> ad.Evaluator([dy]).run({x: torch.tensor(0.0), t: torch.tensor(3.0)})
    [tensor(3.)]
    """
    many = [outputs] if isinstance(outputs, Node) else list(outputs)
    order = topological_sort(many, behind=tangents)
    shared = Numbering(order)
    goals = frozenset(tangents)
    depends = set(goals)
    for node in order:
        if not depends.isdisjoint(node.inputs):
            depends.add(node)
    known = Tangents(Hazards(order, goals, depends), shared, nan_safe=nan_safe)
    moved: dict[Node, Vector | None] = {node: shared.of(t) for node, t in tangents.items()}
    outside = ambient_site()
    try:
        for node in order:
            if node in moved:
                continue
            enter_site(node.site)
            t = known.pushforward(node, [moved[x] for x in node.inputs])
            moved[node] = None if t is None else known.shared(t)
        found = [None if (t := moved[node]) is None else known.written(t) for node in many]
    finally:
        leave_sites(outside)
    return found[0] if isinstance(outputs, Node) else found


def pullback_of_pullback(node: Node, tangents: Sequence[Node | None]) -> Node | None:
    """Return the pushforward of an op from its pullback, which is linear in the cotangent.

    The pullback maps a cotangent of the node to cotangents of its inputs; its own adjoint, by the
    cotangent, maps tangents of the inputs to the tangent of the node.
    """
    # Any cotangent does: the map is linear in it, so its adjoint does not depend on where it is taken.
    # The alias keeps rules from seeing what it is and leaving it out.
    if node.op.outputs > 1:
        cts = [alias(zeros_like(y)) for y in items(node)]
        ct = packed(cts)
    else:
        ct = alias(zeros_like(node))
        cts = [ct]
    pulled = node.op.gradient(node, ct)
    seeds: dict[Node, Node] = {}
    for cotangent, t in zip(pulled, tangents, strict=True):
        if cotangent is not None and t is not None and cotangent.op is not zeros_like:
            seeds[cotangent] = seeds[cotangent] + t if cotangent in seeds else t
    if not seeds:
        return None
    moved = cotangents(seeds, cts, behind={node, *node.inputs})
    if all(t is None for t in moved):
        return None
    return moved[0] if node.op.outputs == 1 else packed(moved)


hand_over_jvp(pullback_of_pullback)
