"""The mechanism of all transforms: trace once for each signature, keep the graph, run it."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict, Unpack, cast

import optree

from adjoint.core.errors import AdjointError, TensorTypeError
from adjoint.core.graph import Graph
from adjoint.core.node import Node
from adjoint.core.source import add_calling_line, calling_site, location_of
from adjoint.core.wording import described
from adjoint.execute.evaluator import Evaluator
from adjoint.transform.returned import name_of, pair_in
from adjoint.transform.stable import stably
from adjoint.transform.trace import Arguments, Cache, free_variables, is_value

__all__ = ['ByArguments', 'Switches', 'Transform']


class Switches(TypedDict, total=False):
    """What every transform can be told; both are on by default.

    ``nan_safe``: whether what is known to be zero is kept from what is infinite or nan; see `gradients`.
    ``stabilize``: whether the function is stabilised before anything is made of it; see `stabilize`.
    """

    nan_safe: bool
    stabilize: bool


class Transform:
    """A function that a transform makes of another one; a subclass says which graph its calls build.

    Called with tensors, it builds that graph once for every signature (structure, shapes, dtypes, and the
    values of arguments that are no tensors), and runs it. Called with nodes, or on a function that closes
    over nodes, it extends their graph, so that transforms nest.
    """

    def __init__(self, function: Callable[..., Any], **switches: Unpack[Switches]) -> None:
        self._nan_safe = switches.get('nan_safe', True)
        stabilize = switches.get('stabilize', True)
        self._name = name_of(function)
        functools.update_wrapper(self, function)
        # What another transform made comes of a function that has been told whether to be stable.
        is_made = isinstance(function, Transform)
        self._function = function if is_made else stably(function, stabilize=stabilize)
        self._programs: Cache[_Program | None] = Cache()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the transform is of the function, at these arguments."""
        try:
            return self._run(self._arguments(args, kwargs))
        except AdjointError as error:
            add_calling_line(error)
            raise

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


class ByArguments(Transform):
    """A transform with respect to some of the positional arguments, ``argnums``."""

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: int | Sequence[int],
        *,
        has_aux: bool,
        **switches: Unpack[Switches],
    ) -> None:
        super().__init__(function, **switches)
        self._single = isinstance(argnums, int)
        self._argnums = _listed(argnums)
        self._has_aux = has_aux

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        arguments = Arguments.of(args, kwargs, self._function)
        return arguments.differentiated(i for own in self._positions(arguments) for i in own)

    def _positions(self, arguments: Arguments) -> list[tuple[int, ...]]:
        return arguments.positions(self._argnums, self._name)

    def _returned(self, arguments: Arguments, leaves: list[Any]) -> tuple[Any, Any]:
        """Return what the function returns, and what it returns beside it."""
        args, kwargs = arguments.unflattened(leaves)
        returned = self._function(*args, **kwargs)
        return pair_in(returned, self._name) if self._has_aux else (returned, None)

    def _wanted(self, arguments: Arguments, leaves: list[Any]) -> list[Node]:
        """Return the nodes of the arguments to differentiate by."""
        return [leaves[i] for own in self._positions(arguments) for i in own]

    def _arranged(self, arguments: Arguments, flat: Iterable[Any]) -> Any:
        """Return one thing for each of the wanted nodes in the structure of the arguments."""
        specs, remaining = arguments.specs, iter(flat)
        trees = [
            optree.tree_unflatten(specs[argnum], [next(remaining) for _ in own])
            for argnum, own in zip(self._argnums, self._positions(arguments), strict=True)
        ]
        return trees[0] if self._single else tuple(trees)


def _listed(argnums: int | Sequence[int]) -> tuple[int, ...]:
    """Return the positions of arguments in a tuple."""
    given: Any = argnums  # callers are not type-checked
    listed = tuple(cast('Sequence[Any]', given)) if isinstance(given, Sequence) else (given,)
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in listed):
        msg = (
            f'argnums is the position of an argument, or a tuple of positions, and got {described(argnums)}'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    return listed


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
