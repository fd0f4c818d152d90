"""What an op takes for its operands."""

import torch

from adjoint.core import table
from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described

__all__ = ['as_node']


def as_node(operand: Operand, wanted_by: str) -> Node:
    """Return a node for an operand: itself, or a constant that holds a tensor or a number.

    Raises
    ------
    TensorTypeError
        The operand is anything else.
    """
    if operand.__class__ is Node:
        return operand  # pyright: ignore[reportReturnType] Node has no subclasses
    if isinstance(operand, (torch.Tensor, bool, int, float, complex)):
        return table.OPERATORS['constant'](operand)
    msg = (
        f'{wanted_by} takes nodes, torch tensors and Python numbers as operands, and got '
        f'{described(operand)}{_remedy(operand)}\n{location_of(calling_site())}'
    )
    raise TensorTypeError(msg)


def _remedy(value: object) -> str:
    if isinstance(value, str):
        return f'; a variable of that name is made by Variable({value!r})'
    if isinstance(value, (list, tuple)):
        return '; make a tensor of it with torch.tensor(...), or a node with stack([...])'
    if type(value).__module__ == 'numpy':
        return '; convert it with torch.as_tensor(...)'
    return ''
