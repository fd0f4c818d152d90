"""The fusion: several ops as one kernel, which may round in another way, or has the same bits.

A fusion looks at a node, and at what only this node needs. It says the tensors that the kernel takes and its
call; what was computed on the way is then not computed at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.kernels.table import Written
from adjoint.passes.rewrite import ROUNDING, Exactness, Named

__all__ = ['Fused', 'Fusion', 'Uses', 'fusion', 'like', 'pair']

# How often each value is needed, where it is returned among them.
Uses: TypeAlias = Mapping[Node, int]


class Fused(NamedTuple):
    """A call that takes the place of several.

    Parameters
    ----------
    operands : tuple of Node
        What it takes.
    written : Written
        The call, by the positions of these.
    in_order : bool
        Whether the value lies in memory in the order of its entries because the operands do.
    by_entry : bool
        Whether each entry of the value is computed from the entries of the operands at its place.
    """

    operands: tuple[Node, ...]
    written: Written
    in_order: bool = True
    by_entry: bool = False


@dataclass(frozen=True, slots=True)
class Fusion(Named):
    """A pattern with its kernel.

    Parameters
    ----------
    apply : callable
        Takes a node and the uses of all, and returns the call, or ``None`` where the pattern is another.
    ops : tuple of Op
        Of the node.
    exactness : Exactness
        How the value compares with that of the ops.
    examples : tuple of str
        Expressions that it takes.
    """

    apply: Callable[[Node, Uses], Fused | None]
    ops: tuple[Op, ...]
    exactness: Exactness
    examples: tuple[str, ...]


def fusion(
    *ops: Op, examples: Sequence[str], exactness: Exactness = ROUNDING
) -> Callable[[Callable[[Node, Uses], Fused | None]], Fusion]:
    """Make a fusion of a function; a decorator."""
    return lambda apply: Fusion(apply, ops, exactness, tuple(examples))


def like(*nodes: Node) -> bool:
    """Whether values are of one known shape."""
    first = nodes[0].type
    return first is not None and all(x.type is not None and x.type.shape == first.shape for x in nodes)


def pair(y: Node) -> tuple[tuple[Node, Node], ...]:
    """Return the operands of a node with two in both orders; nothing for one with a number."""
    if len(y.inputs) == 1:
        return ()
    a, b = y.inputs
    return (a, b), (b, a)
