"""A task for values of one signature: every node typed, every size a number, rewritten at its level."""

from collections.abc import Sequence

import torch

from adjoint.core.tensor_type import TensorType
from adjoint.execute.apart import newly_shared
from adjoint.execute.executor import Task
from adjoint.passes.pipeline import optimize
from adjoint.passes.specialize import specialized

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
    outputs = optimize(nodes, task.level, final=True)
    return Task(tuple(outputs), fed, task.level, copied=newly_shared(nodes, outputs, fed, fed))
