"""Hands the ops over to the nodes: operators, tensor methods, functions of torch.

What a name of torch means stands in `torch_names`; here it is taken with the parameters that torch gives it.
"""

import inspect
from collections.abc import Callable, Mapping
from inspect import isdatadescriptor
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.op import Op
from adjoint.core.table import hand_over
from adjoint.ops import torch_names

__all__ = ['connect']

_ANY = inspect.signature(lambda *_args, **_kwargs: None)

# Operators as torch calls them when a tensor stands on the left of a node.
_OPERATORS = {
    '__add__': 'add', '__radd__': 'add', '__sub__': 'sub', '__rsub__': 'rsub', '__mul__': 'mul',
    '__rmul__': 'mul', '__truediv__': 'div', '__matmul__': 'matmul', '__pow__': 'pow',
    '__getitem__': 'getitem', '__gt__': 'gt', '__ge__': 'ge', '__lt__': 'lt', '__le__': 'le',
    '__neg__': 'neg', '__abs__': 'abs', '__floordiv__': 'floor_divide', '__mod__': 'remainder',
    '__and__': 'bitwise_and', '__or__': 'bitwise_or', '__xor__': 'bitwise_xor', '__invert__': 'bitwise_not',
}  # fmt: skip

# What `adjoint.core.operators` builds nodes with.
_BETWEEN_NODES = (
    'abs', 'add', 'bitwise_and', 'bitwise_not', 'bitwise_or', 'bitwise_xor', 'constant', 'div',
    'floor_divide', 'ge', 'getitem', 'gt', 'le', 'lt', 'matmul', 'mul', 'neg', 'pow', 'remainder', 'sub',
    't', 'transpose',
)  # fmt: skip


def _by_torch_names(op: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Take torch's keywords for the leading operands, and refuse options that the op does not have."""
    signature = _signature(op.__call__ if isinstance(op, Op) else op)
    accepted = signature.parameters
    defaults = {name: p.default for name, p in _signature(function).parameters.items()}
    called = getattr(function, '__name__', repr(function))

    def call(*args: Any, **kwargs: Any) -> Any:
        for keyword in ('input', 'self', 'other', 'tensors'):
            if keyword in kwargs and keyword not in accepted:
                args = (*args, kwargs.pop(keyword))
        for keyword in kwargs.keys() - accepted.keys():
            # Python functions of torch pass all of their options on, at their defaults too.
            value = kwargs.pop(keyword)
            if value is not None and value != defaults.get(keyword):
                msg = f'{called}({keyword}={value!r}) on a node: adjoint has {called} without that option'
                raise UnsupportedOpError(msg)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            msg = f'{called} on a node: adjoint has it with the parameters {signature}, and {error}'
            raise UnsupportedOpError(msg) from None
        return op(*args, **kwargs)

    return call


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:  # built in
        return _ANY


def connect(registry: Mapping[str, Op]) -> None:
    """Hand the ops over to the nodes: operators, tensor methods, functions of torch."""
    named: dict[str, Callable[..., Any]] = {**registry, **torch_names.BY_NAME}
    functions: dict[Callable[..., Any], Callable[..., Any]] = {}
    for name, op in named.items():
        for place in (torch, torch.Tensor, F, torch.special):
            function = getattr(place, name, None)
            own = torch_names.BY_PLACE.get((place, name), op)
            if callable(function) and own is not None:
                functions.setdefault(function, _by_torch_names(own, function))
    for name, meant in _OPERATORS.items():
        function = getattr(torch.Tensor, name)
        functions.setdefault(function, _by_torch_names(named[meant], function))
    operators = {name: registry[name] if name in registry else named[name] for name in _BETWEEN_NODES}
    attributes = {
        name: op for name, op in named.items() if isdatadescriptor(getattr(torch.Tensor, name, None))
    }
    hand_over(operators, attributes, functions)
