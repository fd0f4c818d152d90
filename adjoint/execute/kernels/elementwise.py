"""Elementwise ops: one kernel each, over an operand where that dies."""

import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from types import BuiltinFunctionType
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.execute.facts import Fact
from adjoint.execute.internals import native
from adjoint.execute.kernels.table import Held, Place, Same, Table, Written, number
from adjoint.ops.activation import relu
from adjoint.ops.attention import OverRootWidth
from adjoint.ops.elementwise import Binary, Elementwise, Unary
from adjoint.ops.select import Clamp, Where
from adjoint.ops.step import GreaterThan, GreaterThanOrEqual

__all__ = ['TABLE', 'write_elementwise']

TABLE = Table()

# The kernels behind Python's operators; the second name is for a number on the left.
_OPERATORS: Mapping[Callable[..., Any], tuple[str, str]] = {
    operator.add: ('add', 'add'),
    operator.sub: ('sub', 'rsub'),
    operator.mul: ('mul', 'mul'),
    operator.gt: ('gt', 'lt'),
    operator.ge: ('ge', 'le'),
    operator.lt: ('lt', 'gt'),
    operator.le: ('le', 'ge'),
    operator.eq: ('eq', 'eq'),
    operator.ne: ('ne', 'ne'),
}

# Functions that check their arguments in Python before they call the kernel of the same name.
_NATIVE = {name: native(name) for name in ('silu', 'mish', 'hardswish', 'gelu')}


@cache
def _has_out(kernel: Callable[..., Any], operands: int) -> bool:
    """Whether a kernel takes ``out``, which is asked with nothing to compute."""
    nothing = torch.empty(0)
    try:
        kernel(*[nothing] * operands, out=torch.empty(0))
    except TypeError:
        return False
    except RuntimeError:  # it takes no floating numbers
        return True
    return True


@cache
def _in_place(name: str) -> bool:
    return hasattr(torch.Tensor, f'{name}_')


def _is_torch(name: str, kernel: Callable[..., Any]) -> bool:
    return getattr(torch, name, None) is kernel


def _is_known(kernel: Callable[..., Any]) -> bool:
    """Whether a function is torch's or ours: no user's, which may keep what it is given."""
    module = getattr(kernel, '__module__', None) or ''
    return isinstance(kernel, BuiltinFunctionType) or module.startswith(('adjoint.ops.', 'torch.'))


def write_elementwise(place: Place) -> Written | Same | Held | None:
    """Write an op that states its kernel and computes by it; ``None`` for others."""
    op = place.node.op
    compute = type(op).compute
    if isinstance(op, Binary) and compute is Binary.compute:
        return _binary(place, type(op).kernel)
    if isinstance(op, Unary) and compute is Elementwise.compute:
        return _unary(type(op).kernel)
    return None


def _unary(kernel: Callable[..., Any]) -> Written:
    name = kernel.__name__
    if _is_torch(name, kernel):
        over = ((0, f'{{0}}.{name}_()'),) if _in_place(name) else ()
        into = '{kernel}({0}, out={out})' if _has_out(kernel, 1) else ''
        return Written('{kernel}({0})', {'kernel': kernel}, None, into, over)
    return _by_function(kernel, '{kernel}({0})')


def _by_function(kernel: Callable[..., Any], text: str, **bound: object) -> Written:
    """Write the call of a function that is no kernel of torch itself."""
    if kernel.__module__ == 'torch.nn.functional':
        kernel = _NATIVE.get(kernel.__name__, kernel)
    return Written(text, {'kernel': kernel, **bound}, is_known=_is_known(kernel))


def _binary(place: Place, kernel: Callable[..., Any]) -> Written | None:
    names = _OPERATORS.get(kernel)
    if 'constant' in place.node.attrs:
        return _with_number(place, kernel, names)
    if names is not None:
        return _of_two(names[0], getattr(torch, names[0]))
    if kernel.__name__ == '_divide':
        return _of_two('div', torch.div)
    name = kernel.__name__
    return _of_two(name, kernel) if _is_torch(name, kernel) else _by_function(kernel, '{kernel}({0}, {1})')


def _of_two(name: str, kernel: Callable[..., Any]) -> Written:
    """Write a kernel of two tensors: over the first, or over the second."""
    over: list[tuple[int, str]] = []
    if _in_place(name):
        over.append((0, f'{{0}}.{name}_({{1}})'))
    has_out = _has_out(kernel, 2)
    if has_out:
        over.append((1, '{kernel}({0}, {1}, out={1})'))
        if not _in_place(name):
            over.append((0, '{kernel}({0}, {1}, out={0})'))
    into = '{kernel}({0}, {1}, out={out})' if has_out else ''
    return Written('{kernel}({0}, {1})', {'kernel': kernel}, None, into, tuple(over))


def _with_number(place: Place, kernel: Callable[..., Any], names: tuple[str, str] | None) -> Written | None:
    node, (x,) = place.node, place.given
    constant, on_left = node.attrs['constant'], node.attrs.get('side') == 'left'
    if x is None:
        return None
    if names is not None:
        name = names[1] if on_left else names[0]
        bound: dict[str, object] = {'kernel': getattr(torch, name), 'c': number(constant, x)}
        if name == 'rsub':
            return _rsub(bound)
        over = ((0, f'{{0}}.{name}_({{c}})'),) if _in_place(name) else ()
        return Written('{kernel}({0}, {c})', bound, None, '{kernel}({0}, {c}, out={out})', over)
    if kernel.__name__ == '_divide':
        return _left_division(constant, x) if on_left else _right_division(constant, x)
    if kernel is torch.pow:
        return _power(constant, on_left=on_left)
    bound = {'kernel': kernel, 'c': number(constant, x, always=True)}
    text = '{kernel}({c}, {0})' if on_left else '{kernel}({0}, {c})'
    return Written(text, bound, is_known=_is_known(kernel))


def _rsub(bound: dict[str, object]) -> Written:
    """Write a number minus a tensor."""
    if isinstance(bound['c'], torch.Tensor):
        bound['kernel'] = torch.sub
        text = '{kernel}({c}, {0}'
        return Written(text + ')', bound, None, text + ', out={out})', ((0, text + ', out={0})'),))
    return Written('{kernel}({0}, {c})', bound)


def _right_division(constant: complex, x: Fact) -> Written:
    bound = {'kernel': torch.div, 'c': number(constant, x)}
    return Written(
        '{kernel}({0}, {c})', bound, None, '{kernel}({0}, {c}, out={out})', ((0, '{0}.div_({c})'),)
    )


@TABLE.takes(OverRootWidth)
def _over_root_width(place: Place) -> Written | None:
    (x,) = place.given
    return _right_division(math.sqrt(x.shape[-1]), x) if x is not None and x.shape[-1] else None


def _left_division(constant: complex, x: Fact) -> Written:
    """Write a number over a tensor as torch computes it: the reciprocal, times the number."""
    bound: dict[str, object] = {'kernel': torch.reciprocal}
    if constant == 1 and constant.__class__ is not complex:
        over = ((0, '{0}.reciprocal_()'),)
        return Written('{kernel}({0})', bound, None, '{kernel}({0}, out={out})', over)
    bound['c'] = number(constant, x)
    if not isinstance(bound['c'], torch.Tensor):
        return Written('{kernel}({0}) * {c}', bound)
    over = ((0, '{0}.reciprocal_().mul_({c})'),)
    into = '{kernel}({0}, out={out}).mul_({c})'
    return Written('{kernel}({0}).mul_({c})', bound, None, into, over)


def _power(constant: complex, *, on_left: bool) -> Written:
    bound = {'kernel': torch.pow, 'c': constant}
    if on_left:
        text = '{kernel}({c}, {0}'
        return Written(text + ')', bound, None, text + ', out={out})', ((0, text + ', out={0})'),))
    return Written(
        '{kernel}({0}, {c})', bound, None, '{kernel}({0}, {c}, out={out})', ((0, '{0}.pow_({c})'),)
    )


@TABLE.takes(GreaterThan, GreaterThanOrEqual)
def _as_floats(place: Place) -> Written | None:
    """Write a comparison whose value is 0 or 1 in a floating dtype."""
    node, x = place.node, place.given[0]
    if not place.shapes_are_known or place.own is None or x is None:
        return None
    is_strict = isinstance(node.op, GreaterThan)
    on_left = node.attrs.get('side') == 'left'
    if is_strict and not on_left and _is_zero(node.attrs.get('constant')) and _is_quick(x, place.own):
        return _where_positive(node.inputs[0])
    bound: dict[str, object] = {'dtype': place.own.dtype}
    if 'constant' not in node.attrs:
        bound['kernel'] = torch.gt if is_strict else torch.ge
        return Written('{kernel}({0}, {1}).to({dtype})', bound)
    reflected = {torch.gt: torch.lt, torch.ge: torch.le}
    kernel = torch.gt if is_strict else torch.ge
    bound['kernel'] = reflected[kernel] if on_left else kernel
    bound['c'] = number(node.attrs['constant'], x, always=True)
    return Written('{kernel}({0}, {c}).to({dtype})', bound)


def _is_zero(number: object) -> bool:
    return isinstance(number, (int, float)) and number == 0


def _is_quick(x: Fact, own: Fact) -> bool:
    """Whether a sign costs less than booleans and their cast: on a CPU these two take ten times as long."""
    return x.dtype is own.dtype and x.dtype.is_floating_point and x.device.type == 'cpu'


def _where_positive(x: Node) -> Written:
    """Write 1 where a tensor is positive, else 0, at a nan too: the sign of its positive part."""
    if x.op is relu:
        over = ((0, '{0}.sign_()'),)
        return Written('{sign}({0})', {'sign': torch.sign}, None, '{sign}({0}, out={out})', over)
    over = ((0, '{0}.relu_().sign_()'),)
    return Written('{relu}({0}).sign_()', {'relu': torch.relu}, None, '', over)


@TABLE.takes(Where)
def _where(place: Place) -> Written | None:
    node, mask = place.node, place.given[0]
    if mask is None:
        return None
    bound: dict[str, object] = {'kernel': torch.where}
    condition = '{0}'
    if mask.dtype != torch.bool:
        condition = '{ne}({0}, {zero})'
        bound |= {'ne': torch.ne, 'zero': number(0, mask)}
    branches: list[str] = []
    position = 1
    for name in 'ab':
        if name in node.attrs:
            branches.append(f'{{{name}}}')
            bound[name] = node.attrs[name]
        else:
            branches.append(f'{{{position}}}')
            position += 1
    call = f'{{kernel}}({condition}, {", ".join(branches)}'
    if _is_mixed(node):
        return Written(call + ')', bound)
    over = tuple((int(b[1]), f'{call}, out={b})') for b in branches)
    return Written(call + ')', bound, None, call + ', out={out})', over)


def _is_mixed(node: Node) -> bool:
    """Whether a branch is a number, or the branches have two dtypes."""
    types = [x.type for x in node.inputs[1:]]
    return len(types) < 2 or len({None if t is None else t.dtype for t in types}) > 1  # noqa: PLR2004 branches


@TABLE.takes(Clamp)
def _clamp(place: Place) -> Written:
    low, high = place.node.attrs['min'], place.node.attrs['max']
    bound = {'kernel': torch.clamp, 'low': low, 'high': high}
    over = ((0, '{0}.clamp_({low}, {high})'),)
    return Written(
        '{kernel}({0}, {low}, {high})', bound, None, '{kernel}({0}, {low}, {high}, out={out})', over
    )
