"""A task for values of one signature: every node typed, every size a number, rewritten at its level."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.execute.apart import newly_shared
from adjoint.execute.executor import Task
from adjoint.passes.pipeline import ROOM, optimize
from adjoint.passes.specialize import specialized
from adjoint.passes.walk import with_bodies

__all__ = ['typed']


def typed(task: Task, values: Sequence[torch.Tensor]) -> Task:
    """Return the task for values of these types.

    Raises
    ------
    AdjointError
        An op refuses operands of these types.
    """
    types = {node: TensorType.of(value) for node, value in zip(task.fed, values, strict=True)}
    nodes, variables = specialized(task.outputs, types, final=True)
    fed = tuple(variables.get(node, node) for node in task.fed)
    if task.level == 'none':
        return Task(tuple(nodes), fed)
    # A budget is kept by what computes values again, and not by loops that compute them at once.
    room = ROOM if task.budget is None else 0
    outputs = optimize(nodes, task.level, final=True, room=room)
    copied = newly_shared(nodes, outputs, fed, fed)
    if task.level == 'fast':
        outputs = _with_bodies(outputs, optimize=task.level)
    return Task(tuple(outputs), fed, task.level, copied=copied)


def _with_bodies(outputs: Sequence[Node], **options: object) -> list[Node]:
    """Return nodes whose ops that hold graphs run these with some options of an evaluator."""
    made: dict[Node, Node] = {}
    for node in topological_sort(outputs):
        attrs = with_bodies(node.attrs, lambda body: body.run_by(**options)) if node.attrs else node.attrs
        inputs = [made[x] for x in node.inputs]
        is_same = attrs is node.attrs and inputs == node.inputs  # nodes are compared by identity
        made[node] = (
            node
            if is_same
            else Node.restored(inputs, node.op, dict(attrs), node.given_name, node.site, node.type)
        )
    return [made[node] for node in outputs]
