"""The body: a closed graph as a function of its inputs, which ops that hold a graph apply."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.extent import Extent, HoldsSizes, extents_of, names_in
from adjoint.core.graph import Runner, Stepper, runner_of
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import dependents, rebuilt
from adjoint.ops.creation import Variable, placeholder

__all__ = ['Body', 'variable_like']


def variable_like(node: Node, name: str = '') -> Node:
    """Return a variable of the type of a node."""
    known = node.type
    if known is None:
        return Variable(name)
    return Variable(name, known.shape, known.dtype, known.device)


class Body(HoldsSizes):
    """A graph that depends on its own inputs alone, held by an op in the attrs of its node.

    Immutable, compared by identity, like a node.

    Parameters
    ----------
    inputs : sequence of Node
        The variables of the body, typed where types are known.
    outputs : sequence of Node
        What it returns; a node may stand there more than once, and an input too.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, z = ad.Variable('x'), ad.Variable('z')
    >>> body = Body([x], [x * x])
    >>> body.run([torch.tensor(3.0)])
    [tensor(9.)]
    >>> [str(n) for n in body.inline([z])]
    ['mul(z, z)']
    """

    __slots__ = ('__weakref__', '_runner', '_stepper', 'inputs', 'outputs')

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    _runner: Runner | None  # made at the first run
    _stepper: Stepper | None

    def __init__(self, inputs: Iterable[Node], outputs: Iterable[Node]) -> None:
        object.__setattr__(self, 'inputs', tuple(inputs))
        object.__setattr__(self, 'outputs', tuple(outputs))
        object.__setattr__(self, '_runner', None)
        object.__setattr__(self, '_stepper', None)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f'a body never changes, so its {name!r} cannot be set: build a new one'
        raise AttributeError(msg)

    def __repr__(self) -> str:
        return f'<Body of {len(self.inputs)} inputs and {len(self.outputs)} outputs>'

    def __reduce__(self) -> tuple[Any, ...]:
        return Body, (self.inputs, self.outputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> 'Body':
        # A body never changes, so that copies can share it.
        return self

    @classmethod
    def closed(
        cls, inputs: Sequence[Node], outputs: Iterable[Node], inside: Iterable[Node] = ()
    ) -> 'tuple[Body, list[Node]]':
        """Close a graph over what it takes from outside.

        What does not depend on the inputs is computed outside, once: it becomes a further input. Values
        without operands, such as constants, stay inside.

        Parameters
        ----------
        inputs : sequence of Node
            The variables of the body.
        outputs : iterable of Node
            What it returns.
        inside : iterable of Node, optional
            Nodes that stay inside even if they do not depend on the inputs.

        Returns
        -------
        body : Body
            With the captured values as further inputs, after the given ones.
        captured : list of Node
            The nodes outside that these inputs stand for.

        Examples
        --------
        >>> import adjoint as ad
        >>> x, w = ad.Variable('x'), ad.Variable('w')
        >>> body, captured = Body.closed([x], [x * ad.sin(w)])
        >>> [str(n) for n in captured]
        ['sin(w)']
        """
        wanted = list(outputs)
        order = dependents(wanted, [*inputs, *inside])
        own = set(order)
        captured: dict[Node, Node] = {}
        for node in (*(x for inner in order for x in inner.inputs), *wanted):
            is_outside = bool(node.inputs) or node.op is placeholder
            if node not in own and is_outside and node not in captured:
                captured[node] = variable_like(node, node.name)
        return cls([*inputs, *captured.values()], rebuilt(wanted, captured)), list(captured)

    def inline(self, operands: Sequence[Node]) -> list[Node]:
        """Return the outputs as nodes of the graph of the operands: the body written out.

        Raises
        ------
        TensorTypeError
            The number of operands is another than that of the inputs.
        """
        if len(operands) != len(self.inputs):
            msg = f'a body of {len(self.inputs)} inputs was given {len(operands)} operands'
            raise TensorTypeError(msg)
        return rebuilt(self.outputs, dict(zip(self.inputs, operands, strict=True)))

    def used_by(self, outputs: Iterable[int]) -> list[int]:
        """Return the positions of the inputs that some of the outputs depend on, by position.

        Examples
        --------
        >>> import adjoint as ad
        >>> x, y = ad.Variable('x'), ad.Variable('y')
        >>> Body([x, y], [x + y, y * 2]).used_by([1])
        [1]
        """
        behind = set(topological_sort([self.outputs[i] for i in outputs]))
        return [i for i, x in enumerate(self.inputs) if x in behind]

    def extents(self) -> list[Extent]:
        """Return the sizes by name that nodes inside hold, and no input has."""
        sizes = (x.type.shape for x in self.inputs if x.type is not None and x.type.shape is not None)
        own = names_in(s for shape in sizes for s in shape if isinstance(s, str))
        held = [e for node in topological_sort(self.outputs) for e in extents_of(node.attrs)]
        return [e for e in held if not names_in([e]) <= own]

    def with_sizes(self, bindings: Mapping[str, int]) -> 'Body':
        """Return the body with numbers for the sizes that its nodes hold by name."""
        made: dict[Node, Node] = {}
        for node in topological_sort(self.outputs):
            held = extents_of(node.attrs)
            is_known = held and names_in(held) <= bindings.keys()
            sized = node.with_sizes(bindings) if is_known else node
            inputs = [made[x] for x in node.inputs]
            if sized is node and all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
                made[node] = node
            else:
                made[node] = Node.restored(inputs, node.op, dict(sized.attrs), '', node.site, node.type)
        return Body(self.inputs, [made[y] for y in self.outputs])

    def run(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the values of the outputs for those of the inputs."""
        return self._running().run_in_place(dict(zip(self.inputs, values, strict=True)))

    def run_by(self, **options: object) -> 'Body':
        """Return the body, to be run in another way: see :func:`adjoint.core.graph.runner_of`."""
        found = Body(self.inputs, self.outputs)
        object.__setattr__(found, '_runner', runner_of(self.outputs, **options))
        return found

    @property
    def stepper(self) -> Stepper:
        """The run for loops: it gives, beside the values, what computes them from others laid out alike."""
        found = self._stepper
        if found is None:
            found = self._running().stepper(self.inputs)
            object.__setattr__(self, '_stepper', found)
        return found

    def _running(self) -> Runner:
        found = self._runner
        if found is None:
            found = runner_of(self.outputs)
            object.__setattr__(self, '_runner', found)
        return found
