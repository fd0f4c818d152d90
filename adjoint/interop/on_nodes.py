"""Functions of torch that have no op of their own, called on nodes: imported as programs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import rebuilt
from adjoint.core.source import calling_site, location_of
from adjoint.interop.from_torch import from_torch
from adjoint.ops.creation import constant
from adjoint.ops.random import Draw

__all__ = ['called_on_nodes']

# Stand-ins for sizes by name: different ones for each name, as an import asks for.
_STAND_INS = (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157)


def called_on_nodes(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what a function of torch gives on nodes, as nodes in the structure of its result.

    Parameters
    ----------
    function : callable
        A function of torch, or a method of tensors.
    args, kwargs
        Its arguments, with nodes of known shape and dtype among them.

    Raises
    ------
    UnsupportedOpError
        The shape or dtype of a node is not known; the function draws random numbers or writes to a node; or
        it cannot be imported.
    """
    leaves, structure = pytree.tree_flatten((tuple(args), dict(kwargs)))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (Node, torch.Tensor))]
    operands = [leaves[i] if isinstance(leaves[i], Node) else constant(leaves[i]) for i in places]
    shapes = [n.type.shape or () if n.type else () for n in operands]
    axes = [{i: size for i, size in enumerate(shape) if isinstance(size, str)} for shape in shapes]
    names = sorted({size for by_position in axes for size in by_position.values()})
    stand_ins = dict(zip(names, _STAND_INS, strict=False))
    examples = [_example(function, operand, stand_ins) for operand in operands]

    def program(*tensors: torch.Tensor) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        own, named = pytree.tree_unflatten(filled, structure)
        return function(*own, **named)

    try:
        graph = from_torch(program, *examples, dynamic_shapes=axes)
    except UnsupportedOpError as error:
        raise _refused(function, str(error).splitlines()[0]) from None
    if graph.updates or graph.assumptions:
        writes = (
            'it writes to its operands, and a graph does not: running statistics, for one, stay as they are '
            'in a module after eval(), and from_torch(module, ...) gives their new values as results'
        )
        raise _refused(function, writes if graph.updates else f'it does so only for {graph.assumptions}')
    results, shape_of_result = pytree.tree_flatten(graph.outputs)
    nodes = [r for r in results if isinstance(r, Node)]
    if any(isinstance(n.op, Draw) for n in topological_sort(nodes)):
        raise _refused(function, 'it draws random numbers, and each call would draw the same')
    made = iter(rebuilt(nodes, dict(zip(graph.variables, operands, strict=True)), calling_site()))
    return pytree.tree_unflatten([next(made) if isinstance(r, Node) else r for r in results], shape_of_result)


def _example(function: Callable[..., Any], operand: Node, stand_ins: Mapping[str, int]) -> torch.Tensor:
    """Return a tensor of the type of a node; nothing reads its numbers."""
    known = operand.type
    if known is None or known.shape is None or known.dtype is None:
        reason = f"the type of '{operand}' is not known: give its variables a shape and a dtype"
        raise _refused(function, reason)
    sizes: list[int] = []
    for size in known.shape:
        if isinstance(size, str) and size not in stand_ins:
            raise _refused(function, f"'{operand}' has more sizes by name than can be told apart")
        if size is None or (isinstance(size, str) and not size.isidentifier()):
            raise _refused(function, f"the size {size} of '{operand}' is neither a number nor a name")
        sizes.append(stand_ins[size] if isinstance(size, str) else size)
    return torch.empty(sizes, dtype=known.dtype, device=known.device)


def _refused(function: Callable[..., Any], reason: str) -> UnsupportedOpError:
    name = getattr(function, '__name__', repr(function))
    return UnsupportedOpError(
        f'torch function {name!r} was called on a node; adjoint has no op of that name, and it cannot be '
        f'imported either: {reason}\n{location_of(calling_site())}'
    )
