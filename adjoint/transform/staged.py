"""The mechanism of all transforms: trace once for each signature, keep the graph, run it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import optree
import torch

from adjoint.core.errors import NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.core.graph import Graph
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.wording import described
from adjoint.execute.evaluator import Evaluator
from adjoint.transform.trace import Arguments, Cache, free_variables, is_value

__all__ = ['Transform']


class Transform:
    """A function that a transform makes of another one; a subclass says which graph its calls build.

    Called with tensors, it builds that graph once for every signature (structure, shapes, dtypes, and the
    values of arguments that are no tensors), and runs it. Called with nodes, or on a function that closes
    over nodes, it extends their graph, so that transforms nest.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            msg = (
                f'a function is differentiated, and {function!r} of type {type(function).__name__} is '
                f'none; for nodes there is gradients(y, [x])'
            )
            raise TensorTypeError(msg)
        functools.update_wrapper(self, function)
        self._function = function
        self._name: str = getattr(function, '__qualname__', repr(function))
        self._programs: Cache[_Program | None] = Cache()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the transform is of the function, at these arguments."""
        return self._run(self._arguments(args, kwargs))

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """Return the graph that a call with these arguments runs.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> graph = ad.grad(lambda x: torch.sin(x) * 2).graph(torch.tensor(0.5))
        >>> graph.outputs
        <Node mul(mul, cos): float32[]>
        >>> graph(torch.tensor(0.0))
        tensor(2.)
        """
        arguments = self._arguments(args, kwargs)
        leaves = arguments.aliases() if arguments.has_nodes else arguments.variables()
        outputs = self._built(arguments, leaves)
        return Graph(arguments.unflattened(leaves), {}, {}, outputs)

    # -- what a subclass says -------------------------------------------------------------------

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Return the arguments, checked: which of them have to have a derivative."""
        raise NotImplementedError

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        """Return the result, in its structure, as nodes made of ``leaves``, and anything that is no node."""
        raise NotImplementedError

    # -- the rest -------------------------------------------------------------------------------

    def _run(self, arguments: Arguments) -> Any:
        if not arguments.has_nodes:
            program = self._programs.get(arguments.signature(), lambda: self._program(arguments))
            if program is not None:
                return program.run(arguments)
        return self._built(arguments, arguments.aliases())

    def _program(self, arguments: Arguments) -> '_Program | None':
        leaves = arguments.variables()
        program = _Program(leaves, self._built(arguments, leaves))
        # A closure over nodes: the call belongs to the graph that they are of.
        return None if free_variables(program.nodes, leaves) else program

    def _pair(self, returned: Any) -> tuple[Any, Any]:
        """Return the value and what the function returned beside it."""
        if not isinstance(returned, tuple) or len(cast('tuple[Any, ...]', returned)) != 2:  # noqa: PLR2004
            msg = f'{self._name} must return (value, auxiliary) with has_aux, and returned {returned!r}'
            raise TensorTypeError(msg)
        return cast('tuple[Any, Any]', returned)

    def _scalar(self, returned: Any) -> Node:
        """Return what the function returned as one scalar node."""
        if not isinstance(returned, (Node, torch.Tensor, bool, int, float, complex)):
            msg = (
                f'{self._name} must return one scalar to be differentiated, and returned '
                f'{returned!r} of type {type(returned).__name__}; what else it returns goes into a pair '
                f'(value, auxiliary) with has_aux=True'
            )
            raise TensorTypeError(msg)
        value = as_node(returned, self._name)
        known = value.type
        if known is not None and known.shape is not None and known.shape != ():
            msg = (
                f'{self._name} must return a scalar to be differentiated, and returned {known}: sum it, '
                f'or differentiate one entry\n{value.location}'
            )
            raise ShapeError(msg)
        return value

    def _outputs(self, returned: Any) -> tuple[list[Node], optree.PyTreeSpec]:
        """Return what the function returned, in any structure, as nodes that can have derivatives."""
        leaves, structure = optree.tree_flatten(returned)
        nodes: list[Node] = []
        for leaf in leaves:
            if not isinstance(leaf, (Node, torch.Tensor, bool, int, float, complex)):
                msg = (
                    f'{self._name} must return tensors, in tuples, lists and dicts if you like, and '
                    f'returned {described(leaf)}: what is no tensor goes into a pair (value, auxiliary) '
                    f'with has_aux=True'
                )
                raise TensorTypeError(msg)
            node = as_node(leaf, self._name)
            if node.type is not None and not node.type.is_differentiable:
                msg = (
                    f'{self._name} returned {node.type}, which has no derivative: return it in a pair '
                    f'(value, auxiliary) with has_aux=True\n{node.location}'
                )
                raise NonDifferentiableError(msg)
            nodes.append(node)
        return nodes, structure


class _Program:
    """A graph with its evaluator."""

    def __init__(self, leaves: Sequence[Any], result: Any) -> None:
        self._variables = [leaf for leaf in leaves if isinstance(leaf, Node)]
        self._leaves, self._structure = optree.tree_flatten(result)
        self.nodes = [leaf for leaf in self._leaves if isinstance(leaf, Node)]
        self._evaluator = Evaluator(self.nodes)

    def run(self, arguments: Arguments) -> Any:
        """Return the result for the tensors of a call of the same signature."""
        given = [leaf for leaf in arguments.leaves if is_value(leaf)]
        found = iter(self._evaluator.run(dict(zip(self._variables, given, strict=True))))
        leaves = [next(found) if isinstance(leaf, Node) else leaf for leaf in self._leaves]
        return optree.tree_unflatten(self._structure, leaves)
