"""Results that lie in memory of their own, and would share it after rewrites."""

from collections.abc import Iterable, Sequence

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.aliases import Aliases
from adjoint.ops.contraction import Multilinear
from adjoint.ops.creation import constant
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.reduction import Reduction

__all__ = ['newly_shared']

# Ops whose value never lies in the memory of an operand; any other may be a view.
_FRESH = (Elementwise, Multilinear, Reduction)


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
    """Return which values may lie in one memory, and the sets with memory that is not the run's own."""
    aliases = Aliases()
    order = topological_sort(outputs, behind=given)
    for node in order:
        if node not in given and not isinstance(node.op, _FRESH):
            for x in node.inputs:
                aliases.join(node, x)
    return aliases, {aliases.of(node) for node in order if node in given or node.op is constant}
