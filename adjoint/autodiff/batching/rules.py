"""Which rule batches an op: one of its own, that of its kind, or that of its axes; else it is mapped."""

from collections.abc import Callable

from adjoint.autodiff.batching import images, indexing, jacobians, products, shapes
from adjoint.autodiff.batching.kinds import along, elementwise, reduction
from adjoint.autodiff.batching.operands import Batches, Rule
from adjoint.core.node import Node
from adjoint.core.op import Op, hand_over_batch
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.reduction import Reduction

__all__ = ['RULES', 'hand_over_map', 'ruled']

RULES: dict[type[Op], Rule] = {
    **shapes.RULES,
    **products.RULES,
    **indexing.RULES,
    **images.RULES,
    **jacobians.RULES,
}

_map: list[Callable[[Node, Batches], Node]] = []


def hand_over_map(mapped: Callable[[Node, Batches], Node]) -> None:
    """Take what applies an op to each example; called once, by the room of the ops that hold graphs."""
    _map[:] = [mapped]


def ruled(node: Node, batches: Batches) -> Node | None:
    """Batch a node by a rule; ``None`` where there is none, or where its types leave too much open."""
    op = node.op
    own = RULES.get(type(op))
    if own is not None:
        return own(node, batches)
    if isinstance(op, Elementwise):
        return elementwise(node, batches)
    found = along(node, batches)
    return reduction(node, batches) if found is None and isinstance(op, Reduction) else found


def batch_by_rule(node: Node, batches: Batches) -> Node:
    """Batch a node by a rule, or else as a map of its op."""
    found = ruled(node, batches)
    return _map[0](node, batches) if found is None else found


hand_over_batch(batch_by_rule)
