"""Which nodes were evaluated at a kink, tie, jump or pole, and what was taken for their derivative."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.graph import Graph
from adjoint.core.kink import Kink
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import calling_site, location_of
from adjoint.core.tensor_type import TensorType
from adjoint.core.wording import described
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.body import Body
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
        How many entries are there; of a node in the body of a loop, in all steps together.
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

    Raises
    ------
    TensorTypeError
        ``nodes`` are no nodes, or ``input_values`` is no mapping.

    Notes
    -----
    Only nodes that depend on a floating or complex operand are looked at: a comparison of integers has no
    derivative to choose. What loops, choices and maps hold is looked into: a branch that is not taken is at
    no kink, and the steps of a loop are counted together.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> found = ad.kinks(ad.relu(x) + ad.sqrt(x), {x: torch.tensor([0.0, 1.0, 0.0])})
    >>> [(str(f.node), f.kink.kind, f.count, f.kink.chosen) for f in found]
    [('relu(x)', 'kink', 2, 'the derivative is 0'), ('sqrt(x)', 'pole', 2, 'the derivative is infinite')]
    """
    given: Any = input_values
    if not isinstance(given, Mapping):
        msg = (
            f'input_values, of kinks, maps variables to their values, and got {described(given)}'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    watch = _Watch()
    Evaluator(watch.watched(_listed(nodes))).run(input_values)
    return watch.found()


def _listed(nodes: Any) -> list[Node]:
    if isinstance(nodes, Graph):
        return list(nodes.nodes())
    listed: list[Any] = [nodes] if isinstance(nodes, Node) or not isinstance(nodes, Sequence) else [*nodes]
    for node in listed:
        if not isinstance(node, Node):
            msg = (
                f'nodes, of kinks, are one node, a list of nodes or a Graph, and there is {described(node)}'
                f'\n{location_of(calling_site())}'
            )
            raise TensorTypeError(msg)
    return listed


class _Probe(Op):
    """The first of the operands of a node: looks at all of them when it is computed."""

    shareable = False
    vectorises = False  # it reads numbers

    def __init__(self, look: Callable[[int, list[torch.Tensor]], None]) -> None:
        self._look = look

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        self._look(node.attrs['position'], input_values)
        return input_values[0]


class _Watch:
    """What is seen of a run: for each node that declares places, how many entries were there."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._counts: list[list[int]] = []
        self._totals: list[list[int]] = []
        self._probe = _Probe(self._look)

    def watched(self, outputs: Sequence[Node]) -> list[Node]:
        """Return nodes of the same values, with a probe before each that declares places, in bodies too."""
        made: dict[Node, Node] = {}
        for node in topological_sort(outputs):
            inputs = [made[x] for x in node.inputs]
            if node.op.kinks:
                inputs[0] = self._probed(node, inputs)
            attrs = {name: self._looked_into(value) for name, value in node.attrs.items()}
            pairs = [
                *zip(inputs, node.inputs, strict=True),
                *zip(attrs.values(), node.attrs.values(), strict=True),
            ]
            is_same = all(new is old for new, old in pairs)
            made[node] = node if is_same else Node.restored(inputs, node.op, attrs, '', node.site, node.type)
        return [made[y] for y in outputs]

    def _probed(self, node: Node, inputs: Sequence[Node]) -> Node:
        attrs = {'position': len(self._nodes)}
        self._nodes.append(node)
        self._counts.append([0] * len(node.op.kinks))
        self._totals.append([0] * len(node.op.kinks))
        return Node(inputs, self._probe, attrs, type=inputs[0].type or TensorType())

    def _looked_into(self, value: Any) -> Any:
        if isinstance(value, Body):
            return Body(value.inputs, self.watched(value.outputs))
        if not isinstance(value, tuple):
            return value
        parts = cast('tuple[Any, ...]', value)
        return tuple(map(self._looked_into, parts)) if any(isinstance(v, Body) for v in parts) else parts

    def _look(self, position: int, given: list[torch.Tensor]) -> None:
        node = self._nodes[position]
        if given[0].is_meta or not any(v.is_floating_point() or v.is_complex() for v in given):
            return
        if isinstance(node.op, Elementwise):
            given = [torch.as_tensor(v) for v in node.op.operands(node, given)]
        for k, kink in enumerate(node.op.kinks):
            there = cast('Callable[..., torch.Tensor]', kink.found)(node, *given)
            self._counts[position][k] += int(there.sum())
            self._totals[position][k] += there.numel()

    def found(self) -> Kinks:
        """Return the places that the run went through, in the order of the graph."""
        found = [
            At(node, kink, count, total)
            for node, counts, totals in zip(self._nodes, self._counts, self._totals, strict=True)
            for kink, count, total in zip(node.op.kinks, counts, totals, strict=True)
            if count
        ]
        return Kinks(tuple(found), len(self._nodes))
