"""What the room of ops hands over to the nodes, once: operators, attributes, functions of torch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adjoint.core.errors import UnsupportedOpError

__all__ = ['ATTRIBUTES', 'OPERATORS', 'TORCH_FUNCTIONS', 'called_on_nodes', 'hand_over', 'hand_over_import']

# By name: ``add`` and so on, and ``constant`` for operands that are not nodes.
OPERATORS: dict[str, Callable[..., Any]] = {}

# By the name of an attribute of tensors that is no method, such as ``real``.
ATTRIBUTES: dict[str, Callable[..., Any]] = {}

# From a function of torch to what it is on nodes.
TORCH_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}


def hand_over(
    operators: Mapping[str, Callable[..., Any]],
    attributes: Mapping[str, Callable[..., Any]],
    torch_functions: Mapping[Callable[..., Any], Callable[..., Any]],
) -> None:
    """Take the ops behind what a user writes on nodes; called as the room of ops is imported."""
    OPERATORS.update(operators)
    ATTRIBUTES.update(attributes)
    TORCH_FUNCTIONS.update(torch_functions)


_Called = Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any]], Any]
_import: list[Callable[[], _Called]] = []


def hand_over_import(load: Callable[[], _Called]) -> None:
    """Take what loads the function that calls others of torch, without an op of their own, on nodes."""
    _import[:] = [load]


def called_on_nodes(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function of torch gives on nodes: by its op, or else as an imported program.

    Raises
    ------
    UnsupportedOpError
        It has no op that takes these arguments, and cannot be imported.
    """
    op = TORCH_FUNCTIONS.get(function)
    if op is None:
        return _import[0]()(function, args, kwargs)
    try:
        return op(*args, **kwargs)
    except UnsupportedOpError as refused:  # an option that the op does not have
        try:
            return _import[0]()(function, args, kwargs)
        except UnsupportedOpError:
            raise refused from None
