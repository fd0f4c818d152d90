"""Control flow of torch in imported programs: ``cond``, ``while_loop``, ``scan`` and ``map``.

A call is recorded flat, between two marks: a stand-in for each operand of the functions, then the ops of the
functions on the stand-ins, one function after the other, then a stand-in for each result of the call. The
importer makes bodies of what lies between the marks, and one node of the call: see `regions`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils import _pytree as pytree

from adjoint.interop.internals import node_of

if TYPE_CHECKING:
    from adjoint.interop.semantics import Recorder

__all__ = ['Call', 'Mark', 'recorded_call']


@dataclass(eq=False, slots=True)
class Call:
    """A recorded call, by the nodes of the recording.

    Parameters
    ----------
    name
        ``cond``, ``while_loop``, ``scan`` or ``map``.
    choice
        What a choice goes by.
    operands
        What the functions are given, or given slices of.
    carries
        How many of the operands are carried from step to step; the others are sliced, if it is a loop.
    inputs
        The stand-ins for them.
    results
        What each function returns.
    """

    name: str
    choice: Sequence[torch.fx.Node]
    operands: Sequence[torch.fx.Node]
    carries: int
    inputs: list[torch.fx.Node] = field(default_factory=list[torch.fx.Node])
    results: list[list[torch.fx.Node]] = field(default_factory=list[list[torch.fx.Node]])


@dataclass(frozen=True, slots=True)
class Mark:
    """What a node of the recording is to a call: its start or end, or the stand-in at a position.

    Parameters
    ----------
    call
        The call.
    part
        ``start``, ``end``, ``input`` or ``output``.
    position
        Of the stand-in.
    """

    call: Call
    part: str
    position: int = 0


def recorded_call(
    recorder: 'Recorder', func: Callable[..., Any], args: Sequence[Any], within: AbstractContextManager[Any]
) -> Any:
    """Record a call of a higher-order op of torch.

    Parameters
    ----------
    recorder : Recorder
        Takes note of the call.
    func : callable
        The op.
    args : sequence
        The functions and operands.
    within : context manager
        What sees the calls of torch that the functions make.

    Raises
    ------
    UnsupportedOpError
        The op is not known, or used in a way that is not.
    """
    name = cast('str', getattr(func, '__name__', str(func))).removesuffix('_impl')
    if name not in _CALLS:
        what = f'the higher-order op torch.ops.higher_order.{name}'
        raise recorder.refuse(what, 'import the function that it is applied to')
    with within:
        return _CALLS[name](_Recording(recorder, f'torch.{name}'), *args)


class _Recording:
    """A call that is being recorded."""

    def __init__(self, recorder: 'Recorder', name: str) -> None:
        self._recorder = recorder
        self.name = name

    def refuse(self, what: str, way_out: str) -> Exception:
        return self._recorder.refuse(what, way_out)

    def traced(self, value: Any) -> torch.Tensor:
        """Return an operand as a tensor of the recording."""
        if not isinstance(value, torch.Tensor):
            what = f'{self.name} of {value!r}, which is no tensor,'
            raise self.refuse(what, 'write a size or a number as a tensor of one entry, or decide in Python')
        return value if node_of(value) is not None else value.clone()

    def mark(self, value: torch.Tensor, mark: Mark) -> torch.Tensor:
        self._recorder.marks[_known(value)] = mark
        return value

    def begun(self, call: Call, operands: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the stand-ins for which the functions are run from here on."""
        self.mark(torch.empty(0), Mark(call, 'start'))
        is_loop = call.name != 'cond'
        inputs: list[torch.Tensor] = []
        for i, x in enumerate(operands):
            is_slice = is_loop and i >= call.carries
            stand_in = x.new_empty(x.shape[1:]) if is_slice else torch.empty_like(x)
            self.mark(stand_in, Mark(call, 'input', i))
            inputs.append(stand_in.requires_grad_(x.requires_grad))
        call.inputs = [_known(x) for x in inputs]
        return inputs

    def ended(self, call: Call) -> None:
        """Take note that the functions have been run."""
        self.mark(torch.empty(0), Mark(call, 'end'))

    def returned(self, call: Call, found: Sequence[Any]) -> list[torch.Tensor]:
        """Take note of what a function returns."""
        tensors = [self.traced(y) for y in found]
        call.results.append([_known(y) for y in tensors])
        return tensors

    def outputs(self, call: Call, made: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return stand-ins for what the call returns, given tensors of their types."""
        self._recorder.has_calls = True
        return [self.mark(y.clone(), Mark(call, 'output', i)) for i, y in enumerate(made)]

    def check_alike(self, a: torch.Tensor, b: torch.Tensor, where: str) -> None:
        if a.shape != b.shape or a.dtype != b.dtype:
            what = f'{self.name} with {_type_of(a)} and {_type_of(b)} {where}'
            raise self.refuse(what, 'they have to be of one type: cast, or broadcast')


def _cond(
    to: _Recording, predicate: Any, on_true: Callable[..., Any], on_false: Callable[..., Any], operands: Any
) -> Any:
    leaves, structure = pytree.tree_flatten(tuple(operands))
    given = [to.traced(x) for x in leaves]
    call = Call('cond', [_known(to.traced(predicate))], [_known(x) for x in given], 0)
    returned: list[tuple[list[Any], pytree.TreeSpec]] = []
    inputs = pytree.tree_unflatten(to.begun(call, given), structure)
    for function in (on_false, on_true):
        leaves, shape = pytree.tree_flatten(function(*inputs))
        tensors = iter(to.returned(call, [y for y in leaves if y is not None]))
        returned.append(([None if y is None else next(tensors) for y in leaves], shape))
    to.ended(call)
    (falses, first), (trues, second) = returned
    if first != second or [y is None for y in falses] != [y is None for y in trues]:
        what = f'{to.name} whose functions return different structures'
        raise to.refuse(what, 'return the same nested tuples, lists and dicts')
    pairs = [(a, b) for a, b in zip(falses, trues, strict=True) if a is not None]
    for a, b in pairs:
        to.check_alike(a, b, 'in the results of its functions')
    made = iter(to.outputs(call, [_like(a, a.requires_grad or b.requires_grad) for a, b in pairs]))
    return pytree.tree_unflatten([None if y is None else next(made) for y in falses], first)


def _while_loop(
    to: _Recording,
    condition: Callable[..., Any],
    body: Callable[..., Any],
    carried: Sequence[Any],
    constants: Sequence[Any] = (),
) -> Any:
    given = [to.traced(x) for x in carried]
    call = Call('while_loop', [], [_known(x) for x in given], len(given))
    inputs = to.begun(call, given)
    to.returned(call, [condition(*inputs, *constants)])
    leaves, structure = pytree.tree_flatten(body(*inputs, *constants))
    after = to.returned(call, leaves)
    to.ended(call)
    return pytree.tree_unflatten(to.outputs(call, _carried(to, given, after)), structure)


def _scan(
    to: _Recording,
    step: Callable[..., Any],
    init: Sequence[torch.Tensor],
    xs: Sequence[torch.Tensor],
    constants: Sequence[Any] = (),
) -> Any:
    start, sequences = [to.traced(x) for x in init], [to.traced(x) for x in xs]
    count = len(start)
    call = Call('scan', [], [_known(x) for x in (*start, *sequences)], count)
    inputs = to.begun(call, [*start, *sequences])
    leaves, structure = pytree.tree_flatten(step(*inputs, *constants))
    found = to.returned(call, leaves)
    to.ended(call)
    made = _carried(to, start, found[:count])
    size = sequences[0].shape[0]
    made += [_like(y, y.requires_grad, size) for y in found[count:]]
    return pytree.tree_unflatten(to.outputs(call, made), structure)


def _map(
    to: _Recording, function: Callable[..., Any], xs: Sequence[torch.Tensor], constants: Sequence[Any] = ()
) -> Any:
    sequences = [to.traced(x) for x in xs]
    call = Call('map', [], [_known(x) for x in sequences], 0)
    leaves, structure = pytree.tree_flatten(function(*to.begun(call, sequences), *constants))
    found = to.returned(call, leaves)
    to.ended(call)
    made = [_like(y, y.requires_grad, sequences[0].shape[0]) for y in found]
    return pytree.tree_unflatten(to.outputs(call, made), structure)


def _carried(
    to: _Recording, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    if len(before) != len(after):
        what = f'{to.name} that carries {len(before)} tensors into a step, and {len(after)} out of it,'
        raise to.refuse(what, 'a step returns what it is given')
    for a, b in zip(before, after, strict=True):
        to.check_alike(a, b, 'before and after a step')
    return [_like(b, a.requires_grad or b.requires_grad) for a, b in zip(before, after, strict=True)]


_CALLS: dict[str, Callable[..., Any]] = {
    'cond': _cond, 'while_loop': _while_loop, 'scan': _scan, 'map': _map,
}  # fmt: skip


def _known(value: torch.Tensor) -> torch.fx.Node:
    return cast('torch.fx.Node', node_of(value))


def _like(value: torch.Tensor, moves: bool, size: Any = None) -> torch.Tensor:
    """Return a tensor of the type of another one, with an axis more if a size is given."""
    made = torch.empty_like(value) if size is None else value.new_empty((size, *value.shape))
    return made.detach().requires_grad_(moves and (made.is_floating_point() or made.is_complex()))


def _type_of(value: torch.Tensor) -> str:
    return f'{str(value.dtype).removeprefix("torch.")}{list(value.shape)}'
