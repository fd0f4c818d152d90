"""Results that lie in memory of their own, and would share it after rewrites."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch

from adjoint.core.meta import Shapes
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.aliases import Aliases
from adjoint.execute.internals import memory_of
from adjoint.ops.contraction import Multilinear
from adjoint.ops.creation import constant
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.reduction import Reduction

__all__ = ['newly_shared']

# Ops whose value never lies in the memory of an operand, and need not be asked.
_FRESH = (Elementwise, Multilinear, Reduction)
_OPS = 'adjoint.ops.'


def newly_shared(
    before: Sequence[Node], after: Sequence[Node], fed: Iterable[Node], fed_after: Iterable[Node]
) -> tuple[int, ...]:
    """Return which outputs came to share memory with another, with what is given, or with a constant.

    Who writes into a result expects to change this result alone, in every run.

    Parameters
    ----------
    before, after : sequence of Node
        The outputs before and after rewrites.
    fed, fed_after : iterable of Node
        What values are given for, in each of the graphs.

    Returns
    -------
    tuple of int
        Their positions; a copy of these is to be returned.
    """
    old, foreign = _memory(before, set(fed))
    new, foreign_after = _memory(after, set(fed_after))
    owner: dict[Node, Node] = {}
    found: list[int] = []
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        own, now = old.of(a), new.of(b)
        is_taken = now in foreign_after and own not in foreign
        if (is_taken or owner.setdefault(now, own) is not own) and b.op.outputs == 1:
            found.append(i)
    return tuple(found)


def _memory(outputs: Sequence[Node], given: set[Node]) -> tuple[Aliases, set[Node]]:
    """Return which values lie in the memory of which, and the sets with memory that is not the run's own.

    Only of what the outputs lie in: what else shares memory does not get out of the run.
    """
    aliases, foreign = Aliases(), set[Node]()
    seen, waiting = set[Node](), list(outputs)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in given or node.op is constant:
            foreign.add(node)
            continue
        for i in _positions(node):
            aliases.join(node, node.inputs[i])
            waiting.append(node.inputs[i])
    return aliases, {aliases.of(node) for node in foreign}


def _answers(op: Op) -> bool:
    """Return whether ``compute`` may be called without data: not if a run alone may call what is in it.

    That is so of the solver of a root and of what stands in a loop or map, for which the type of the value
    is found otherwise; a function that its type is found with is called without data anyway.
    """
    cls = type(op)
    return op.shareable and (cls.infer is Op.infer or cls.__module__.startswith(_OPS))


def _positions(node: Node) -> tuple[int, ...]:
    """Return the operands whose memory the value lies in, as its op shows without data; else all of them."""
    if isinstance(node.op, _FRESH):
        return ()
    everywhere = tuple(range(len(node.inputs)))
    types = [x.type for x in node.inputs]
    if not _answers(node.op) or not all(t is not None and t.is_static for t in types):
        return everywhere
    try:
        with torch.no_grad(), Shapes():
            operands = [
                torch.empty(cast('Any', t).shape, dtype=cast('Any', t).dtype, device='meta') for t in types
            ]
            value: Any = node.op.compute(node, operands)
            parts = cast('tuple[Any, ...]', value if isinstance(value, tuple) else (value,))
            homes = {memory_of(part) for part in parts if part is not None}
    except Exception:  # noqa: BLE001 an op that needs the data, or a device, says so in many ways
        return everywhere
    return tuple(i for i, x in enumerate(operands) if memory_of(x) in homes)
