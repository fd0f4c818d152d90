"""The first run of a program that was written without data: each value is seen to be what was foreseen."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import AdjointError, UnsupportedOpError
from adjoint.core.node import Node
from adjoint.execute.budget import Budgeted
from adjoint.execute.executor import with_copies
from adjoint.execute.facts import Fact, layout_of, shared
from adjoint.execute.feed import circumstances
from adjoint.execute.reuse import Line

__all__ = ['checked_run']


def checked_run(found: Budgeted, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Run a program line by line, in the memory that it takes otherwise too.

    Raises
    ------
    UnsupportedOpError
        A value lies in another way, or in other memory, than tensors without data showed: later lines would
        write where they should not.
    """
    scope: dict[Node, Any] = dict(zip(found.task.fed, values, strict=True))
    scope.update(found.plan.held)
    with torch.no_grad():
        for line in found.lines:
            _take(found, line, scope)
    return with_copies([scope[x] for x in found.plan.outputs], found.task.copied)


def _take(found: Budgeted, line: Line, scope: dict[Node, Any]) -> None:
    step = line.step
    bound = dict(step.written.bound)
    operands = [scope.get(x) for x in step.operands]
    names = {f'x{i}': value for i, value in enumerate(operands)}
    if line.target is not None:
        names['out'] = scope[line.target]
    text = line.text.format(
        *(f'x{i}' for i in range(len(operands))), **{key: key for key in bound}, out='out'
    )
    try:
        value = eval(text, bound, names)  # noqa: S307 a line of the program
    except Exception as error:
        if not isinstance(error, AdjointError):
            named = zip(step.node.inputs, operands, strict=True)
            error.add_note(circumstances(step.node, {x: v for x, v in named if v is not None}))
        raise
    if line.over is None and line.target is None:
        _check(found, step.node, value, [x if x is not None else () for x in operands])
    scope[step.node] = value
    for x in line.dropped:
        scope.pop(x, None)


def _is_as_foreseen(foreseen: Fact, value: Any) -> bool:
    """Whether lines can rely on a layout: on no order of entries, and on no memory that it does not own."""
    if not isinstance(value, torch.Tensor):
        return False
    seen = layout_of(value)
    return seen._replace(strides=(), owns=seen.owns and foreseen.owns) == foreseen._replace(strides=())


def _check(found: Budgeted, node: Node, value: Any, operands: Sequence[Any]) -> None:
    wanted = found.known.facts
    is_elsewhere = not set(shared(value, operands)) <= set(wanted.shares[node])
    foreseen = wanted.layouts.get(node)
    if is_elsewhere or not (foreseen is None or _is_as_foreseen(foreseen, value)):
        msg = (
            f"the value of '{node}' lies in another way than was foreseen from types alone, so that a memory "
            f'budget cannot be kept: run without memory_budget\n{node.location}'
        )
        raise UnsupportedOpError(msg)
