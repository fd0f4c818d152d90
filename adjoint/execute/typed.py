"""A graph made again for values of one signature: every node typed, every size a number."""

from collections.abc import Mapping, Sequence

import torch

from adjoint.core.extent import extents_of, resolved_attrs
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.execute.executor import Task
from adjoint.ops.creation import placeholder

__all__ = ['typed']


def typed(task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]) -> Task:
    """Return the task with the types of values.

    Raises
    ------
    AdjointError
        An op refuses operands of these types.
    """
    made = {
        node: Node.restored([], placeholder, {}, node.name, node.site, TensorType.of(value))
        for node, value in zip(task.fed, values, strict=True)
    }
    before = ambient_site()
    try:
        for node in topological_sort(task.outputs, behind=made):
            if node not in made:
                enter_site(node.site)
                attrs = resolved_attrs(node.attrs, sizes) if extents_of(node.attrs) else node.attrs
                # What has no operands, such as a constant, was typed as it was built.
                known = node.type if not node.inputs and attrs is node.attrs else None
                made[node] = Node([made[x] for x in node.inputs], node.op, attrs, node.given_name, known)
    finally:
        leave_sites(before)
    return Task(tuple(made[node] for node in task.outputs), tuple(made[node] for node in task.fed))
