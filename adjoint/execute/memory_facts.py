"""What a run would show of every value, from the types alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.execute.cost import Cost
from adjoint.execute.cost_meter import Look, Prober, Seen, frozen
from adjoint.execute.executor import Task
from adjoint.execute.facts import Fact, Facts, layout_of
from adjoint.ops.creation import Constant

__all__ = ['Foreseen', 'assumed', 'foreseen']


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

    def run(values: Sequence[Any]) -> Any:
        return node.op.compute(node, list(values))

    try:
        return prober.seen((node.op, frozen(node.attrs)), run, looks)
    except Exception:  # noqa: BLE001 an op of a user does anything; its failure is one of the run
        return None


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
