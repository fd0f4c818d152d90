"""``grad`` and ``value_and_grad``: the derivative of a plain Python function, through its graph."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import optree
import torch

from adjoint.autodiff.gradients import gradients
from adjoint.core.errors import ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.execute.evaluator import Evaluator
from adjoint.transform.trace import Arguments, Cache, free_variables, is_value, leaves_of

__all__ = ['Derivative', 'Traced', 'grad', 'value_and_grad']


@dataclass(frozen=True, slots=True)
class Traced:
    """The graph of a function and of its gradient, for one signature.

    Parameters
    ----------
    variables : list of Node
        The inputs of the graph: one for each tensor in the arguments, in order.
    value : Node
        What the function returned.
    gradients : list of Node
        One for each tensor in the differentiated arguments, in order.
    auxiliary : list of Node
        The nodes in what the function returned beside its value.
    """

    variables: list[Node]
    value: Node
    gradients: list[Node]
    auxiliary: list[Node]


class Derivative:
    """A function that returns a derivative of another one; made by ``grad`` and ``value_and_grad``.

    Called with tensors, it builds the graph of the function and of its gradient once for every
    signature (structure, shapes, dtypes, and the values of arguments that are no tensors), and runs it.
    Called with nodes, it extends their graph.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: int | Sequence[int],
        *,
        has_aux: bool,
        with_value: bool,
    ) -> None:
        if not callable(function):
            msg = (
                f'a function is differentiated, and {function!r} of type {type(function).__name__} is '
                f'none; for nodes there is gradients(y, [x])'
            )
            raise TensorTypeError(msg)
        functools.update_wrapper(self, function)
        self._function = function
        self._name = getattr(function, '__qualname__', repr(function))
        self._single = isinstance(argnums, int)
        self._argnums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        self._has_aux = has_aux
        self._with_value = with_value
        self._programs: Cache[_Program | None] = Cache()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the derivative at these arguments; see ``grad`` and ``value_and_grad``."""
        arguments = Arguments.of(args, kwargs, self._argnums, self._function)
        if not arguments.has_nodes:
            program = self._programs.get(arguments.signature(), lambda: self._program(arguments))
            if program is not None:
                return self._arranged(arguments, *program.run(arguments))
        traced, rest = self._trace(arguments, arguments.aliases())
        return self._arranged(arguments, traced.value, traced.gradients, rest)

    def graph(self, *args: Any, **kwargs: Any) -> Traced:
        """Return the graph that a call with these arguments runs.

        Examples
        --------
        >>> import torch, adjoint as ad
        >>> traced = ad.grad(lambda x: torch.sin(x) * 2).graph(torch.tensor(0.5))
        >>> [str(n) for n in ad.topological_sort(traced.gradients)][-1]
        'mul(mul, cos)'
        """
        arguments = Arguments.of(args, kwargs, self._argnums, self._function)
        leaves = arguments.aliases() if arguments.has_nodes else arguments.variables()
        return self._trace(arguments, leaves)[0]

    def _program(self, arguments: Arguments) -> '_Program | None':
        variables = arguments.variables()
        traced, rest = self._trace(arguments, variables)
        outputs = [traced.value, *traced.gradients, *traced.auxiliary]
        if free_variables(outputs, variables):
            return None  # a closure over nodes: the call belongs to the graph that they are of
        return _Program(traced, rest)

    def _trace(self, arguments: Arguments, leaves: list[Any]) -> tuple[Traced, Any]:
        args, kwargs = optree.tree_unflatten(arguments.structure, leaves)
        returned: Any = self._function(*args, **kwargs)
        rest: Any = None
        if self._has_aux:
            returned, rest = self._pair(returned)
        value = self._scalar(returned)
        wanted = [leaves[i] for own in arguments.differentiated for i in own]
        auxiliary = [leaf for leaf in leaves_of(rest) if isinstance(leaf, Node)]
        inputs = [leaf for leaf in leaves if isinstance(leaf, Node)]
        return Traced(inputs, value, gradients(value, wanted), auxiliary), rest

    def _pair(self, returned: Any) -> tuple[Any, Any]:
        if not isinstance(returned, tuple) or len(cast('tuple[Any, ...]', returned)) != 2:  # noqa: PLR2004
            msg = f'{self._name} must return (value, auxiliary) with has_aux, and returned {returned!r}'
            raise TensorTypeError(msg)
        return cast('tuple[Any, Any]', returned)

    def _scalar(self, returned: Any) -> Node:
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

    def _arranged(self, arguments: Arguments, value: Any, flat: Sequence[Any], rest: Any) -> Any:
        """Give the gradients the structure of their arguments, and join them with the value."""
        remaining = iter(flat)
        found = [[next(remaining) for _ in own] for own in arguments.differentiated]
        specs = optree.treespec_children(optree.treespec_children(arguments.structure)[0])
        trees = tuple(
            optree.tree_unflatten(specs[argnum], leaves)
            for argnum, leaves in zip(self._argnums, found, strict=True)
        )
        result: Any = trees[0] if self._single else trees
        if self._with_value:
            return ((value, rest), result) if self._has_aux else (value, result)
        return (result, rest) if self._has_aux else result


class _Program:
    """A traced function with its evaluator."""

    def __init__(self, traced: Traced, rest: Any) -> None:
        self._traced = traced
        self._rest = rest
        self._evaluator = Evaluator([traced.value, *traced.gradients, *traced.auxiliary])

    def run(self, arguments: Arguments) -> tuple[torch.Tensor, list[torch.Tensor], Any]:
        """Return the value, the gradients, and what the function returned beside."""
        given = [leaf for leaf in arguments.leaves if is_value(leaf)]
        values = self._evaluator.run(dict(zip(self._traced.variables, given, strict=True)))
        count = len(self._traced.gradients)
        auxiliary = iter(values[1 + count :])
        leaves = [next(auxiliary) if isinstance(leaf, Node) else leaf for leaf in leaves_of(self._rest)]
        rest: Any = optree.tree_unflatten(optree.tree_structure(self._rest), leaves)
        return values[0], values[1 : 1 + count], rest


def grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Derivative:
    """Return a function that gives the gradient of a scalar function.

    Parameters
    ----------
    function : callable
        Takes tensors, in nested tuples, lists and dicts if you like, and anything hashable; returns one
        scalar. It is called with nodes in the place of the tensors, and may use operators, functions of
        torch, tensor methods and the ops of adjoint on them.
    argnums : int or sequence of int
        The positional arguments to differentiate by.
    has_aux : bool
        Whether the function returns a pair of its value and anything else; the result is then a pair too.

    Returns
    -------
    Derivative
        With the parameters of ``function``. It returns the gradient in the structure of the argument,
        for several ``argnums`` a tuple of them.

    Raises
    ------
    TensorTypeError, ShapeError, NonDifferentiableError
        When it is called: an argument or the result is none that can be differentiated.

    Notes
    -----
    The graph is built once for every signature: structure, shapes, dtypes, devices, and the values of
    arguments that are no tensors. Python control flow in the function is followed while it is built.

    Examples
    --------
    >>> import torch
    >>> def energy(state):
    ...     return torch.sum(state['x'] ** 2) * state['k'] / 2
    >>> grad(energy)({'x': torch.tensor([1.0, 2.0]), 'k': torch.tensor(3.0)})
    {'x': tensor([3., 6.]), 'k': tensor(2.5000)}
    >>> grad(grad(torch.sin))(torch.tensor(0.5))
    tensor(-0.4794)
    """
    return Derivative(function, argnums, has_aux=has_aux, with_value=False)


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Derivative:
    """Return a function that gives the value of a scalar function together with its gradient.

    Parameters
    ----------
    function, argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    Derivative
        It returns the pair ``(value, gradient)``; with ``has_aux``, ``((value, auxiliary), gradient)``.

    Examples
    --------
    >>> import torch
    >>> value_and_grad(lambda x: (x * x).sum())(torch.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    return Derivative(function, argnums, has_aux=has_aux, with_value=True)
