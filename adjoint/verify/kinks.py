"""Which nodes were evaluated at a kink, tie, jump or pole, and what was taken for their derivative."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from adjoint.core.graph import Graph
from adjoint.core.kink import Kink
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.elementwise import Elementwise

__all__ = ['At', 'Kinks', 'kinks']


@dataclass(frozen=True)
class At:
    """A node that was evaluated where its derivative is a choice, or infinite.

    Parameters
    ----------
    node : Node
        The node.
    kink : Kink
        What its op declares: the kind of place, where it is, and what is taken for the derivative.
    count : int
        How many entries are there.
    total : int
        Of how many.
    """

    node: Node
    kink: Kink
    count: int
    total: int

    def __str__(self) -> str:
        kink = self.kink
        return (
            f"{kink.kind} at '{self.node}': {self.count} of {self.total} entries have {kink.place}; "
            f'{kink.chosen}\n{self.node.location}'
        )


@dataclass(frozen=True)
class Kinks(Sequence[At]):
    """What :func:`kinks` found, in the order of the graph; as text, a few lines for each.

    Parameters
    ----------
    found : tuple of At
        The nodes with their places.
    looked : int
        How many nodes could have been at one.
    """

    found: tuple[At, ...]
    looked: int

    def __getitem__(self, index: int) -> At:  # pyright: ignore[reportIncompatibleMethodOverride] no slices
        return self.found[index]

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[At]:
        return iter(self.found)

    def __str__(self) -> str:
        if not self.found:
            return f'none of {self.looked} nodes is at a kink, tie, jump or pole'
        return '\n'.join(map(str, self.found))


def kinks(nodes: Node | Sequence[Node] | Graph, input_values: Mapping[Node, torch.Tensor]) -> Kinks:
    """Run a graph once, and list the nodes that were evaluated at a kink, tie, jump or pole.

    Parameters
    ----------
    nodes : Node, sequence of Node, or Graph
        What is computed. Include gradients to see the places that only they have.
    input_values : mapping of Node to torch.Tensor
        As for ``Evaluator.run``.

    Returns
    -------
    Kinks
        A sequence of places, with node, declaration and count; its text names the user's lines.

    Notes
    -----
    Only nodes that depend on a floating or complex operand are looked at: a comparison of integers has no
    derivative to choose. Ops that hold a graph, such as loops, are not looked into.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> found = ad.kinks(ad.relu(x) + ad.sqrt(x), {x: torch.tensor([0.0, 1.0, 0.0])})
    >>> [(str(f.node), f.kink.kind, f.count, f.kink.chosen) for f in found]
    [('relu(x)', 'kink', 2, 'the derivative is 0'), ('sqrt(x)', 'pole', 2, 'the derivative is infinite')]
    """
    if isinstance(nodes, Graph):
        nodes = list(nodes.nodes())
    declared = [n for n in topological_sort(nodes) if n.op.kinks]
    operands = list(dict.fromkeys(x for n in declared for x in n.inputs))
    values = dict(zip(operands, Evaluator(operands).run(input_values), strict=True))
    found: list[At] = []
    for node in declared:
        given = [values[x] for x in node.inputs]
        if not any(v.is_floating_point() or v.is_complex() for v in given):
            continue
        if isinstance(node.op, Elementwise):
            given = [torch.as_tensor(v) for v in node.op.operands(node, given)]
        for kink in node.op.kinks:
            there = cast('Callable[..., torch.Tensor]', kink.found)(node, *given)
            count = int(there.sum())
            if count:
                found.append(At(node, kink, count, there.numel()))
    return Kinks(tuple(found), len(declared))
