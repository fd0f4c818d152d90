"""What a function returned, as the nodes that a transform works on; errors say what it should have."""

import inspect
from collections.abc import Callable
from typing import Any, cast

import optree
import torch

from adjoint.core.errors import NonDifferentiableError, ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described

__all__ = ['name_of', 'outputs_in', 'pair_in', 'scalar_in']


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, for messages.

    Raises
    ------
    TensorTypeError
        It is no function.
    """
    if not callable(function):
        msg = (
            f'a function is differentiated, and {function!r} of type {type(function).__name__} is '
            f'none; for nodes there is gradients(y, [x])\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    kind = '__name__' if inspect.isbuiltin(function) else '__qualname__'
    return getattr(function, kind, repr(function))


def pair_in(returned: Any, name: str) -> tuple[Any, Any]:
    """Return the value and what the function returned beside it.

    Raises
    ------
    TensorTypeError
        It did not return a pair.
    """
    if not isinstance(returned, tuple) or len(cast('tuple[Any, ...]', returned)) != 2:  # noqa: PLR2004
        msg = f'{name} must return (value, auxiliary) with has_aux, and returned {returned!r}'
        raise TensorTypeError(msg)
    return cast('tuple[Any, Any]', returned)


def scalar_in(returned: Any, name: str) -> Node:
    """Return what the function returned as one scalar.

    Raises
    ------
    TensorTypeError, ShapeError
        It returned something else.
    """
    if not isinstance(returned, (Node, torch.Tensor, bool, int, float, complex)):
        msg = (
            f'{name} must return one scalar to be differentiated, and returned '
            f'{returned!r} of type {type(returned).__name__}; what else it returns goes into a pair '
            f'(value, auxiliary) with has_aux=True'
        )
        raise TensorTypeError(msg)
    value = as_node(returned, name)
    known = value.type
    if known is not None and known.shape is not None and known.shape != ():
        msg = (
            f'{name} must return a scalar to be differentiated, and returned {known}: sum it, '
            f'or differentiate one entry\n{value.location}'
        )
        raise ShapeError(msg)
    return value


def outputs_in(returned: Any, name: str) -> tuple[list[Node], optree.PyTreeSpec]:
    """Return what the function returned, in any structure, as nodes that can have derivatives.

    Raises
    ------
    TensorTypeError
        Something in it is no tensor.
    NonDifferentiableError
        Something in it is known to be an integer or a boolean.
    """
    leaves, structure = optree.tree_flatten(returned)
    nodes: list[Node] = []
    for leaf in leaves:
        if not isinstance(leaf, (Node, torch.Tensor, bool, int, float, complex)):
            msg = (
                f'{name} must return tensors, in tuples, lists and dicts if you like, and returned '
                f'{described(leaf)}: what is no tensor goes into a pair (value, auxiliary) with has_aux=True'
            )
            raise TensorTypeError(msg)
        node = as_node(leaf, name)
        if node.type is not None and not node.type.is_differentiable:
            msg = (
                f'{name} returned {node.type}, which has no derivative: return it in a pair '
                f'(value, auxiliary) with has_aux=True\n{node.location}'
            )
            raise NonDifferentiableError(msg)
        nodes.append(node)
    return nodes, structure
