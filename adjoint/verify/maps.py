"""A graph as a function at a point, and its derivatives there: what the claims are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.reverse import cotangents
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import Size, TensorType
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.creation import Variable, zeros_like
from adjoint.verify.compare import largest
from adjoint.verify.samples import Kind, has_derivative, random_like

__all__ = ['Derivatives', 'Map', 'inner', 'magnitude']


@dataclass(frozen=True, slots=True)
class Map:
    """Outputs of a graph as a function of some of its nodes, at values for them.

    Parameters
    ----------
    inputs : tuple of Node
        Variables, or inner nodes whose values are given.
    values : tuple of torch.Tensor
        One for each.
    outputs : tuple of Node
        What depends on them.
    moving : tuple of int
        Positions of the inputs that are differentiated by.
    where : str
        For messages: which sample, with which variables.
    kind : Kind
        Of the variables that are added for cotangents and tangents.
    smooth : bool
        Whether the function is smooth there.
    order : int
        1; or 2 for the gradients of another map.
    """

    inputs: tuple[Node, ...]
    values: tuple[torch.Tensor, ...]
    outputs: tuple[Node, ...]
    moving: tuple[int, ...]
    where: str
    kind: Kind = 'untyped'
    smooth: bool = True
    order: int = 1

    def feed(self) -> dict[Node, torch.Tensor]:
        """Return the values by input."""
        return dict(zip(self.inputs, self.values, strict=True))

    def sizes(self) -> dict[Size, int]:
        """Return what the names of sizes stand for at these values."""
        pairs = zip(self.inputs, self.values, strict=True)
        declared = [
            (x.type.shape, v.shape) for x, v in pairs if x.type is not None and x.type.shape is not None
        ]
        return {
            s: size for shape, v in declared for s, size in zip(shape, v, strict=True) if isinstance(s, str)
        }

    def named(self, position: int) -> str:
        """Return how messages call an input."""
        node, value = self.inputs[position], self.values[position]
        return f"{position}, '{node}', {TensorType.of(value)}"


class Derivatives:
    """The derivatives of a map in forward and reverse mode, along random tangents and cotangents.

    Everything is built and computed when it is first asked for, so that a rule that fails only fails
    the claims that need it.

    Parameters
    ----------
    of : Map
        The function.
    seed : int
        Of the random numbers.
    """

    def __init__(self, of: Map, seed: int = 0) -> None:
        self.map = of
        self.seed = seed
        self._evaluators: dict[tuple[Node, ...], Evaluator] = {}

    def run(self, nodes: Sequence[Node], values: Mapping[Node, torch.Tensor]) -> list[torch.Tensor]:
        """Compute nodes from values for some others."""
        evaluator = self._evaluators.setdefault(tuple(nodes), Evaluator(nodes))
        return evaluator.run(values)

    @cached_property
    def outputs(self) -> list[torch.Tensor]:
        """The values of the outputs."""
        return self.run(self.map.outputs, self.map.feed())

    @cached_property
    def seeds(self) -> dict[Node, torch.Tensor]:
        """A variable for the cotangent of each differentiable output, with its random value."""
        generator = torch.Generator().manual_seed(self.seed)
        found: dict[Node, torch.Tensor] = {}
        for i, (node, value) in enumerate(zip(self.map.outputs, self.outputs, strict=True)):
            if has_derivative(value):
                found[self.variable_for(node, value, f'ct{i}')] = random_like(value, generator)
        return found

    @cached_property
    def tangents(self) -> dict[Node, torch.Tensor]:
        """A variable for the tangent of each moving input, with its random value."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        found: dict[Node, torch.Tensor] = {}
        for i in self.map.moving:
            node, value = self.map.inputs[i], self.map.values[i]
            found[self.variable_for(node, value, f't{i}')] = random_like(value, generator)
        return found

    def variable_for(self, node: Node, value: torch.Tensor, name: str) -> Node:
        """Return a variable for a tangent or cotangent: of the type of the node, as far as it is known."""
        known = node.type
        if self.map.kind == 'untyped' or known is None:
            return Variable(name)
        return Variable(name, known.shape, value.dtype)

    @cached_property
    def pulled(self) -> list[Node | None]:
        """The cotangent of each moving input, ``None`` where nothing flows."""
        seeds: dict[Node, Node] = {}
        differentiable = [
            node for node, v in zip(self.map.outputs, self.outputs, strict=True) if has_derivative(v)
        ]
        for node, ct in zip(differentiable, self.seeds, strict=True):
            seeds[node] = seeds[node] + ct if node in seeds else ct
        return cotangents(seeds, [self.map.inputs[i] for i in self.map.moving])

    @cached_property
    def pulled_values(self) -> list[torch.Tensor]:
        """The values of the cotangents, zeros where nothing flows."""
        return self._values(self.pulled, [self.map.values[i] for i in self.map.moving], {})

    def pushed(self, moving: Sequence[int]) -> list[Node | None]:
        """The tangents of the outputs when only these inputs move (positions among the moving ones)."""
        pairs = [(self.map.inputs[i], t) for i, t in zip(self.map.moving, self.tangents, strict=True)]
        return pushforward(self.map.outputs, dict(pairs[k] for k in moving))

    def pushed_values(
        self, moving: Sequence[int], tangents: Mapping[Node, torch.Tensor] | None = None
    ) -> list[torch.Tensor]:
        """Their values, zeros where nothing flows, for the tangents of the map or for others."""
        key = tuple(moving)
        if key not in self._pushed_nodes:
            self._pushed_nodes[key] = self.pushed(key)
        return self._values(self._pushed_nodes[key], self.outputs, tangents or self.tangents)

    @cached_property
    def _pushed_nodes(self) -> dict[tuple[int, ...], list[Node | None]]:
        return {}

    def _values(
        self,
        nodes: Sequence[Node | None],
        like: Sequence[torch.Tensor],
        tangents: Mapping[Node, torch.Tensor],
    ) -> list[torch.Tensor]:
        feed = {**self.map.feed(), **self.seeds, **tangents}
        computed = iter(self.run([n for n in nodes if n is not None], feed))
        pairs = zip(nodes, like, strict=True)
        return [torch.zeros_like(v) if n is None else next(computed) for n, v in pairs]

    def of_outputs(self) -> dict[Node, torch.Tensor]:
        """Return the values of all nodes between the inputs and the outputs."""
        return self._behind(self.map.outputs, self.map.feed())

    def of_derivatives(self) -> dict[Node, torch.Tensor]:
        """Return the values of all nodes of the derivatives in both modes."""
        everything = range(len(self.map.moving))
        ends = [*self.pulled, *(self.pushed(everything) if everything else ())]
        feed = {**self.map.feed(), **self.seeds, **self.tangents}
        return self._behind([n for n in ends if n is not None], feed)

    def _behind(self, ends: Sequence[Node], feed: Mapping[Node, torch.Tensor]) -> dict[Node, torch.Tensor]:
        nodes = topological_sort(ends, behind=feed)
        nodes = [n for n in nodes if n.inputs or n in feed]
        return dict(zip(nodes, self.run(nodes, feed), strict=True))

    @cached_property
    def next_order(self) -> Map | None:
        """The gradients as a map of the inputs and the cotangents; ``None`` where nothing flows."""
        flowing = [n for n in self.pulled if n is not None and n.op is not zeros_like]
        if not flowing:
            return None
        own = self.map
        cts = range(len(own.inputs), len(own.inputs) + len(self.seeds))
        return Map(
            (*own.inputs, *self.seeds),
            (*own.values, *self.seeds.values()),
            tuple(flowing),
            (*own.moving, *cts),
            own.where,
            own.kind,
            own.smooth,
            own.order + 1,
        )

    @property
    def eps(self) -> float:
        """The machine epsilon of the coarsest dtype among moving inputs and outputs."""
        held = [*(self.map.values[i] for i in self.map.moving), *self.outputs]
        return max(
            (torch.finfo(t.dtype).eps for t in held if has_derivative(t)),
            default=torch.finfo(torch.float64).eps,
        )


def inner(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> tuple[float, float]:
    """Return the real inner product of two lists of tensors, and the sum of the absolute terms."""
    total = size = 0.0
    for x, y in zip(a, b, strict=True):
        wide = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float64)
        terms = (x.to(wide).conj() * y.to(wide)).real
        total += terms.sum().item()
        size += terms.abs().sum().item()
    return total, size


def magnitude(above: Sequence[torch.Tensor], seed: Sequence[torch.Tensor], below: torch.Tensor) -> float:
    """Return the size that a derivative would have by its units: above times seed, over below."""
    size = max(map(largest, above), default=0.0) * max(map(largest, seed), default=0.0)
    return size / (largest(below) or 1.0)
