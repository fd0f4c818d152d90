"""The arguments of recorded ops: what the nodes in them stand for, and their symbolic sizes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch

from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.interop.internals import OpOverload, arguments_of, returns_alias, same_memory
from adjoint.interop.stored import Stored
from adjoint.ops.extent import size_value

__all__ = [
    'default_dtype',
    'examples',
    'is_view',
    'mapped',
    'read',
    'resolved',
    'sizes_as_values',
    'tensors_in',
]

# The types of arguments that are calculated with; in others, symbolic sizes stay sizes.
_CALCULATED = {'Tensor', 'number', 'Scalar', 'Optional[number]', 'Optional[Scalar]', 'float'}


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested lists, tuples (as lists) and dicts with each leaf changed."""
    if isinstance(tree, (list, tuple)):
        return [mapped(v, change) for v in cast('Sequence[Any]', tree)]
    if isinstance(tree, dict):
        return {k: mapped(v, change) for k, v in cast('dict[str, Any]', tree).items()}
    return change(tree)


def examples(tree: Any) -> Any:
    """Return arguments with the tensors without data in the place of the nodes of the recording."""
    return mapped(tree, lambda v: v.meta['val'] if isinstance(v, torch.fx.Node) else v)


def read(tree: Any) -> Any:
    """Return arguments with nodes of ours in the place of tensors."""
    return mapped(tree, lambda v: v.read() if isinstance(v, Stored) else v)


def resolved(tree: Any, env: Mapping[torch.fx.Node, Any]) -> Any:
    """Return arguments with what the nodes in them stand for."""
    return mapped(tree, lambda v: env[v] if isinstance(v, torch.fx.Node) else v)


def tensors_in(tree: Any) -> list[Any]:
    """Return the tensors, or the nodes of ours, among arguments, in order."""
    found: list[Any] = []
    mapped(tree, lambda v: found.append(v) if isinstance(v, (torch.Tensor, Node, Stored)) else None)
    return found


def is_view(node: torch.fx.Node) -> bool:
    """Whether the result of a recorded op shares the memory of its first argument."""
    if not (isinstance(node.target, OpOverload) and returns_alias(cast('Any', node.target))):
        return False
    base: Any = next(iter(node.args), None)
    theirs: Any = base.meta.get('val') if isinstance(base, torch.fx.Node) else None
    value: Any = node.meta.get('val')
    own = tensors_in(value)
    return bool(own) and isinstance(theirs, torch.Tensor) and same_memory(own[0], theirs)


def default_dtype(
    overload: OpOverload, node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, torch.dtype]:
    """Return, for what is made of no tensor, the dtype that torch's default was when it was recorded."""
    value: Any = node.meta.get('val')
    if node.target is not overload or not isinstance(value, torch.Tensor) or tensors_in((args, kwargs)):
        return {}
    is_open = 'dtype' in dict(arguments_of(overload)) and kwargs.get('dtype') is None
    return {'dtype': value.dtype} if is_open else {}


def sizes_as_values(
    overload: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments with a tensor for each symbolic number that the op calculates with."""
    arguments = arguments_of(overload)
    kinds = dict(arguments)

    def value(name: str, given: Any) -> Any:
        if not isinstance(given, Extent) or kinds.get(name) not in _CALCULATED:
            return given
        is_whole = all(mark not in given for mark in ('/ ', 'sqrt', 'Float', 'TrueDiv', '.'))
        return Stored(size_value(given, torch.int64 if is_whole else torch.float64))

    positional = [value(name, v) for (name, _), v in zip(arguments, args, strict=False)]
    return positional, {name: value(name, v) for name, v in kwargs.items()}
