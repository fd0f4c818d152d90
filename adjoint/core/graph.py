"""The graph of a whole program: its inputs, parameters, buffers, results, and what it writes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import torch
from torch.utils import _pytree as pytree

from adjoint.core.errors import ShapeError, TensorTypeError
from adjoint.core.extent import value_of
from adjoint.core.node import Node

__all__ = ['Graph', 'Run', 'Runner', 'Stepper', 'hand_over_runner', 'runner_of']


# From the values of some nodes to those of others.
Run: TypeAlias = Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]
# Such a run, which also gives what can take its place for values that are laid out alike, if anything can.
Stepper: TypeAlias = Callable[[Sequence[torch.Tensor]], tuple[list[torch.Tensor], Run | None]]


class Runner(Protocol):
    """What computes some nodes, again and again: an evaluator."""

    def run(self, input_values: Mapping[Node, torch.Tensor], /) -> list[torch.Tensor]:
        """Return the values of the nodes."""
        ...

    def run_in_place(self, input_values: Mapping[Node, torch.Tensor], /) -> list[torch.Tensor]:
        """Return the values of the nodes, computed as a part of what another node computes."""
        ...

    def stepper(self, inputs: Sequence[Node], /) -> Stepper:
        """Return that as a function of the values of these nodes."""
        ...


_runner: list[Callable[..., Runner]] = []


def hand_over_runner(make: Callable[..., Runner]) -> None:
    """Take what makes the runner of some nodes; called once, by the room that can run a graph."""
    _runner[:] = [make]


def runner_of(nodes: Sequence[Node], **options: object) -> Runner:
    """Return what computes some nodes; the options are those of an evaluator."""
    return _runner[0](nodes, **options)


@dataclass(frozen=True)
class Graph:
    """A program as a graph.

    Parameters
    ----------
    inputs : tuple
        The variables of the arguments, in the structure of ``(positional, keyword)`` arguments; what is no
        tensor stands there as it was.
    parameters, buffers : dict of str to Node
        The variables of a module's parameters and buffers, by their own names; a tied one once.
    outputs
        What the program returns, in its structure, with nodes in the place of tensors.
    updates : dict of str to Node
        The new values of the buffers and inputs that the program writes to, by name.
    values : dict of str to torch.Tensor
        The values of the parameters and buffers: the tensors of the module themselves, not copies.
    assumptions : tuple of str
        What must hold of the named sizes of the arguments, since the program does something else where it
        does not.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> graph = ad.from_torch(torch.nn.Linear(3, 1), torch.ones(2, 3))
    >>> graph.outputs
    <Node add(matmul, bias): float32[2, 1]>
    >>> sorted(graph.parameters)
    ['bias', 'weight']
    """

    inputs: tuple[Any, ...]
    parameters: dict[str, Node]
    buffers: dict[str, Node]
    outputs: Any
    updates: dict[str, Node] = field(default_factory=dict[str, Node])
    values: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    assumptions: tuple[str, ...] = ()

    @property
    def variables(self) -> list[Node]:
        """The variables of the arguments, in order."""
        return [leaf for leaf in pytree.tree_leaves(self.inputs) if isinstance(leaf, Node)]

    def nodes(self) -> Iterator[Node]:
        """Yield the nodes that the program returns, then the new values of what it writes to."""
        yield from (leaf for leaf in pytree.tree_leaves(self.outputs) if isinstance(leaf, Node))
        yield from self.updates.values()

    def feed(self, *args: Any, **kwargs: Any) -> dict[Node, torch.Tensor]:
        """Return the values for a run: of the arguments, and of parameters and buffers as they are now.

        Raises
        ------
        ShapeError
            The sizes of the arguments do not fulfil the assumptions.
        TensorTypeError
            The arguments have another structure, or differ in what is no tensor.
        """
        leaves, structure = pytree.tree_flatten((args, kwargs))
        own, wanted = pytree.tree_flatten(self.inputs)
        if structure != wanted:
            msg = f'the program was imported with arguments {wanted}, and got {structure}'
            raise TensorTypeError(msg)
        values: dict[Node, torch.Tensor] = {}
        for leaf, variable in zip(leaves, own, strict=True):
            if isinstance(variable, Node):
                values[variable] = leaf
            elif leaf is not variable and leaf != variable:
                msg = (
                    f'the program was imported with {variable!r} where it got {leaf!r}, and what is no '
                    f'tensor is part of the graph: import it again'
                )
                raise TensorTypeError(msg)
        self._check_sizes(values)
        for name, node in (*self.parameters.items(), *self.buffers.items()):
            values[node] = self.values[name]
        return values

    def _check_sizes(self, values: Mapping[Node, torch.Tensor]) -> None:
        sizes: dict[str, int] = {}
        for node, value in values.items() if self.assumptions else ():
            known = node.type.shape if node.type is not None else None
            sizes |= {s: n for s, n in zip(known or (), value.shape, strict=False) if isinstance(s, str)}
        for assumed in self.assumptions:
            if not value_of(assumed, sizes):
                msg = f'the program was imported for {assumed}, and got {sizes}: import it again'
                raise ShapeError(msg)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the results for arguments, in the structure of the program's; buffers are not changed."""
        leaves, structure = pytree.tree_flatten(self.outputs)
        nodes = [leaf for leaf in leaves if isinstance(leaf, Node)]
        found = iter(runner_of(nodes).run(self.feed(*args, **kwargs)))
        return pytree.tree_unflatten([next(found) if isinstance(x, Node) else x for x in leaves], structure)
