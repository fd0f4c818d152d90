"""What the room of ops hands over to the nodes, once: operators, tensor methods, functions of torch."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ['METHODS', 'OPERATORS', 'TORCH_FUNCTIONS', 'hand_over']

# By name: ``add`` and so on, and ``constant`` for operands that are not nodes.
OPERATORS: dict[str, Callable[..., Any]] = {}

# By the name of the tensor method.
METHODS: dict[str, Callable[..., Any]] = {}

# From a function of torch to what it is on nodes.
TORCH_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}


def hand_over(
    operators: Mapping[str, Callable[..., Any]],
    methods: Mapping[str, Callable[..., Any]],
    torch_functions: Mapping[Callable[..., Any], Callable[..., Any]],
) -> None:
    """Take the ops behind what a user writes on nodes; called as the room of ops is imported."""
    OPERATORS.update(operators)
    METHODS.update(methods)
    TORCH_FUNCTIONS.update(torch_functions)
