"""A graph made again for values of one signature: every node typed, every size a number."""

from collections.abc import Mapping, Sequence

import torch

from adjoint.core.extent import extents_of, resolved_attrs
from adjoint.core.node import Node
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.execute.executor import Task
from adjoint.ops.creation import placeholder
from adjoint.ops.several import restricted

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
        for node, stand in restricted(task.outputs, made):
            if node not in made:
                enter_site(node.site)
                attrs = resolved_attrs(stand.attrs, sizes) if extents_of(stand.attrs) else stand.attrs
                # What has no operands, such as a constant, was typed as it was built.
                known = stand.type if not stand.inputs and attrs is stand.attrs else None
                made[node] = Node([made[x] for x in stand.inputs], stand.op, attrs, node.given_name, known)
    finally:
        leave_sites(before)
    return Task(tuple(made[node] for node in task.outputs), tuple(made[node] for node in task.fed))
