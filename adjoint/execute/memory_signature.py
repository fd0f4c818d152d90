"""Values without data for the variables of a run, from their types."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.extent import value_of
from adjoint.core.node import Node
from adjoint.core.tensor_type import Size, TensorType
from adjoint.execute.cost_meter import Prober
from adjoint.execute.facts import Fact, layout_of
from adjoint.ops.creation import Variable

__all__ = ['Given', 'naming_all', 'stand_ins']

# A tensor, a type, a shape, or a shape with a dtype.
Given: TypeAlias = torch.Tensor | TensorType | Sequence[Any]

_PAIR = 2


def naming_all(sizes: Iterable[str]) -> list[Node]:
    """Return variables without entries whose types name sizes, for those that no other variable names."""
    return [Variable(name, (name, 0), torch.bool) for name in sizes]


def stand_ins(
    nodes: Sequence[Node], given: Mapping[Node, Given], sizes: Mapping[str, int], prober: Prober
) -> list[torch.Tensor]:
    """Return a tensor without data for each node.

    Parameters
    ----------
    nodes : sequence of Node
        Those that a run is given values for.
    given : mapping of Node
        What is said of their values; else the type of the node tells it.
    sizes : mapping of str to int
        Numbers for sizes by name.
    prober : Prober
        Makes the tensors.

    Raises
    ------
    TensorTypeError
        The shape or the dtype of a value is not known.
    """
    return [prober.tensor(_fact(node, given.get(node), sizes)) for node in nodes]


def _fact(node: Node, given: Given | None, sizes: Mapping[str, int]) -> Fact:
    if isinstance(given, torch.Tensor):
        return layout_of(given)
    known = node.type or TensorType()
    said = _said(node, given)
    shape = said.shape if said.shape is not None else known.shape
    dtype = said.dtype or known.dtype or (torch.get_default_dtype() if said.shape is not None else None)
    numbers = _numbers(shape, sizes)
    if numbers is None or dtype is None:
        told = f'its type is {known}' if node.type is not None else 'it has no type'
        msg = (
            f"the memory of a run depends on the shape and dtype of '{node}', and {told}: write "
            f'memory({{{node}: ((32, 784), torch.float32)}}), give a tensor like the one of the run, or '
            f'numbers for sizes by name, as in memory(sizes={{"n": 32}})\n{node.location}'
        )
        raise TensorTypeError(msg)
    blank = torch.empty(numbers, dtype=dtype, device='meta')
    device = said.device or known.device or torch.device('cpu')
    return Fact(numbers, dtype, device, blank.stride(), owns=blank.numel() > 0)


def _said(node: Node, given: Given | None) -> TensorType:
    """Return what is said of a value, as a type."""
    if given is None or isinstance(given, TensorType):
        return given or TensorType()
    shape: Any = given
    dtype: torch.dtype | None = None
    if isinstance(given, Sequence) and len(given) == _PAIR and isinstance(given[1], torch.dtype):
        shape, dtype = given
    if isinstance(shape, Sequence) and all(
        isinstance(s, (int, str)) for s in cast('Sequence[object]', shape)
    ):
        return TensorType(tuple(cast('Sequence[Size]', shape)), dtype)
    msg = (
        f"what memory was given for '{node}' is {given!r}, and should be a shape, a pair (shape, dtype), "
        f'a type or a tensor'
    )
    raise TensorTypeError(msg)


def _numbers(shape: Sequence[Size] | None, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    if shape is None:
        return None
    found: list[int] = []
    for size in shape:
        if isinstance(size, str):
            try:
                found.append(int(value_of(size, sizes)))
            except KeyError:
                return None
        elif size is None:
            return None
        else:
            found.append(size)
    return tuple(found)
