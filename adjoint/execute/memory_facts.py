"""What a run would show of every value, from the types alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.execute.cost import Cost
from adjoint.execute.cost_meter import Look, Prober, Seen, frozen
from adjoint.execute.executor import Task
from adjoint.execute.facts import Fact, Facts, layout_of
from adjoint.ops.body import Body
from adjoint.ops.creation import Constant

__all__ = ['Foreseen', 'assumed', 'foreseen', 'of_loop']


@dataclass(frozen=True)
class Foreseen:
    """What is known of a typed task before it runs.

    Parameters
    ----------
    facts : Facts
        As a run would show them.
    looks : dict of Node to Look
        The layout of every value.
    assumed : set of Node
        Those that cannot run without data: their layouts are taken from their types.
    """

    facts: Facts = field(default_factory=Facts)
    looks: dict[Node, Look] = field(default_factory=dict[Node, Look])
    assumed: set[Node] = field(default_factory=set[Node])


def foreseen(task: Task, values: Sequence[torch.Tensor], prober: Prober) -> Foreseen:
    """Run each node of a typed task on tensors without data.

    Parameters
    ----------
    task : Task
        With types.
    values : sequence of torch.Tensor
        For the fed nodes; their layouts are looked at.
    prober : Prober
        Runs the nodes.

    Raises
    ------
    UnsupportedOpError
        The size of a value depends on the data.
    """
    found = Foreseen()
    facts = found.facts
    for x, value in zip(task.fed, values, strict=True):
        facts.layouts[x] = found.looks[x] = layout_of(value)
    given = frozenset(task.fed)
    for node in topological_sort(task.outputs, behind=given):
        if node in given:
            continue
        if isinstance(node.op, Constant):
            facts.layouts[node] = found.looks[node] = layout_of(node.attrs['constant'])
            facts.shares[node] = ()
            continue
        seen = _seen(node, [found.looks[x] for x in node.inputs], prober)
        if seen is None:
            found.assumed.add(node)
            found.looks[node] = assumed(node).look
            facts.shares[node] = tuple(range(len(node.inputs)))
            continue
        found.looks[node] = seen.look
        facts.shares[node] = seen.shares
        if isinstance(seen.look, Fact) and _is_as_known(node, seen.look):
            facts.layouts[node] = seen.look
    return found


def _is_as_known(node: Node, fact: Fact) -> bool:
    return node.type is not None and node.type.shape == fact.shape and node.type.dtype == fact.dtype


def _seen(node: Node, looks: Sequence[Look], prober: Prober) -> Seen | None:
    """Run a node; ``None`` where that takes data."""
    try:
        return of_loop(node, looks, prober) or _of_node(node, looks, prober)
    except Exception:  # noqa: BLE001 an op of a user does anything; its failure is one of the run
        return None


def _of_node(node: Node, looks: Sequence[Look | None], prober: Prober) -> Seen:
    def run(values: Sequence[Any]) -> Any:
        return node.op.compute(node, list(values))

    return prober.seen((node.op, frozen(node.attrs)), run, looks)


def of_loop(node: Node, looks: Sequence[Look | None], prober: Prober) -> Seen | None:
    """Return what a run of a long loop would show, from runs of few steps; ``None`` for all else."""
    period = node.op.period
    steps = None if period is None else _length(node, looks)
    if period is None or steps is None or steps <= 3 * period:
        return None
    few = steps % period + period
    found: list[Seen] = []
    for count in (few, few + period):
        shorter, sequences = node.op.shortened(node, count)
        cut = [_cut(look, count) if i in sequences else look for i, look in enumerate(looks)]
        found.append(_of_node(shorter, cut, prober))
    first, second = found
    peak, flops, moved, calls, *fresh = _further(first, second, (steps - few) // period)
    look = _longer(first.look, second.look, steps)
    return Seen(look, second.places, tuple(fresh), peak, Cost(flops, moved, calls))


def _length(node: Node, looks: Sequence[Look | None]) -> int | None:
    """Return the number of steps, where that does not depend on the data."""
    body: Body = node.attrs['body']
    if len(looks) > len(body.inputs):  # the last one counts the steps
        return None
    _, sequences = node.op.shortened(node, 1)
    lengths = {look.shape[0] for i in sequences if isinstance(look := looks[i], Fact)}
    return lengths.pop() if len(lengths) == 1 else node.attrs['length']


def _cut(look: Look | None, steps: int) -> Look | None:
    return look._replace(shape=(steps, *look.shape[1:])) if isinstance(look, Fact) else look


def _numbers(seen: Seen) -> list[int]:
    return [seen.peak, *seen.cost, *seen.fresh]


def _further(first: Seen, second: Seen, steps: int) -> list[int]:
    """Return the numbers of a loop, so many periods longer than the first; the second is one longer."""
    pairs = zip(_numbers(first), _numbers(second), strict=True)
    return [a + steps * (b - a) for a, b in pairs]


def _longer(first: Look, second: Look, steps: int) -> Look:
    """Return the layout for a number of steps, where it depends on it."""
    if isinstance(first, Fact):
        assert isinstance(second, Fact)  # noqa: S101 of the same node
        if first.shape == second.shape:
            return first
        pairs = zip(first.shape, second.shape, strict=True)
        return second._replace(shape=tuple(a if a == b else steps for a, b in pairs))
    pairs = zip(first, cast('tuple[Fact | None, ...]', second), strict=True)
    longer = (None if a is None or b is None else _longer(a, b, steps) for a, b in pairs)
    return cast('tuple[Fact | None, ...]', tuple(longer))


def assumed(node: Node) -> Seen:
    """Return what is taken to be true of a node that cannot run without data, from its type.

    Raises
    ------
    UnsupportedOpError
        Its size is not known.
    """
    known = node.type
    types = [known] if known is None or known.items is None else list(known.items)
    facts = [_fact_of(node, t) for t in types]
    sizes = tuple(fact.bytes for fact in facts)
    look = facts[0] if node.op.outputs == 1 else tuple(facts)
    return Seen(look, tuple(range(len(facts))), sizes, sum(sizes), Cost(0, sum(sizes), 1))


def _fact_of(node: Node, known: TensorType | None) -> Fact:
    if known is None or not known.is_static or known.dtype is None or known.shape is None:
        msg = (
            f"the size of '{node}' depends on values, so that the memory of a run cannot be told before it: "
            f'feed a value for this node, or ask for a part of the graph without it\n{node.location}'
        )
        raise UnsupportedOpError(msg)
    shape = tuple(s for s in known.shape if isinstance(s, int))
    blank = torch.empty(shape, dtype=known.dtype, device='meta')
    return Fact(
        shape, known.dtype, known.device or torch.device('cpu'), blank.stride(), owns=blank.numel() > 0
    )
