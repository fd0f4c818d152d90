"""What a program computes line by line, against what the reference computes node by node."""

import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import torch

import adjoint as ad
from adjoint.execute.executor import Task
from adjoint.execute.plan import Plan
from adjoint.execute.program import PlannedProgram
from adjoint.execute.reference import Schedule
from adjoint.execute.typed import typed
from adjoint.passes.pipeline import Level
from tests.execute.agreement import same

__all__ = ['differing_lines', 'inner_nodes', 'of_rewritten']


def differing_lines(
    nodes: Sequence[ad.Node], values: Mapping[ad.Node, torch.Tensor], executor: Plan, level: Level
) -> tuple[int, list[str]]:
    """Run the plan of a graph, and return how many lines were compared and which differ from the reference.

    A line differs if its value is not that which the reference computes for its node in the same
    (typed and rewritten) graph: in dtype, shape, strides or a bit.
    """
    fed = [node for node in ad.topological_sort(nodes) if node in values]
    given = [values[node] for node in fed]
    made = typed(Task(tuple(nodes), tuple(fed), level), given)
    wanted = values_of_nodes(made, given)
    program, _ = executor.prepare_typed(made, given)
    assert isinstance(program, PlannedProgram)
    seen = values_of_lines(program, given)
    wrong = [
        f'{line.step.node}: {seen[i]} instead of {wanted[line.step.node]}'
        for i, line in enumerate(program._lines)
        if i in seen and not alike(seen[i], wanted[line.step.node])
    ]
    return len(seen), wrong


def of_rewritten(
    nodes: Sequence[ad.Node], values: Mapping[ad.Node, torch.Tensor], level: Level
) -> list[torch.Tensor]:
    """What the reference computes for the counterpart of each node in the rewritten graph."""
    needed = set(ad.topological_sort(nodes))
    fed = [x for x in values if x in needed]
    made = typed(Task(tuple(nodes), tuple(fed), level), [values[x] for x in fed])
    feed = dict(zip(made.fed, (values[x] for x in fed), strict=True))
    return ad.Evaluator(made.outputs, executor='reference').run(feed)


def inner_nodes(nodes: Sequence[ad.Node]) -> list[ad.Node]:
    """Every node of a graph that has one tensor for its value."""
    return [node for node in ad.topological_sort(nodes) if node.op.outputs == 1]


def alike(a: Any, b: Any) -> bool:
    """Whether two values, or each of two tuples, are the same and lie in the same order."""
    if isinstance(a, tuple):
        return all(alike(p, q) for p, q in zip(a, b, strict=False) if p is not None and q is not None)
    return same(a, b) and (a.numel() == 0 or steps(a) == steps(b))


def steps(value: torch.Tensor) -> list[int]:
    """The strides that matter: those of axes with several entries."""
    return [stride for stride, size in zip(value.stride(), value.shape, strict=True) if size > 1]


def values_of_nodes(task: Task, given: Sequence[torch.Tensor]) -> dict[ad.Node, Any]:
    """What the reference computes for each node of a task."""
    found: dict[ad.Node, Any] = {}
    schedule = Schedule(task, {}, is_restricted=True)
    with torch.no_grad():
        schedule.run(given, lambda node, value, _: found.update({node: kept(value)}))
    return found


def kept(value: Any) -> Any:
    """A copy of a value with its strides."""
    if isinstance(value, tuple):
        return tuple(kept(v) for v in value)
    return None if value is None else value.detach().clone(memory_format=torch.preserve_format)


def values_of_lines(program: PlannedProgram, given: Sequence[torch.Tensor]) -> dict[int, Any]:
    """What each line of a program leaves behind, seen as the next one starts."""
    code = program._function.__code__
    first = program._codes[code]
    names = [program._names[line.step.node] for line in program._lines]
    found: dict[int, Any] = {}

    def look(frame: FrameType, event: str, _: Any) -> Any:
        done = (frame.f_lineno - first if event == 'line' else len(names)) - 1
        if event in {'line', 'return'} and 0 <= done < len(names) and done not in found:
            value = frame.f_locals.get(names[done])
            if value is not None:
                found[done] = kept(value)
        return look

    before = sys.gettrace()
    sys.settrace(lambda frame, _, __: look if frame.f_code is code else None)
    try:
        program(given)
    finally:
        sys.settrace(before)
    return found
