"""What is around a program while it is captured: its module left as it was, and what no function shows."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import is_dataclass
from typing import Any, cast
from unittest import mock

import torch
from torch.utils import _pytree as pytree

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.source import calling_site, location_of
from adjoint.interop.internals import (
    SCRIPTED,
    compiled_as_written,
    hooks_of_module,
    hooks_of_tensor,
    no_fast_path,
)  # fmt: skip
from adjoint.interop.semantics import Recorder

__all__ = ['refuse_hidden_tensors', 'refuse_what_has_hooks', 'surroundings']


def refuse_what_has_hooks(program: Any, tensors: dict[str, torch.Tensor]) -> None:
    """See that nothing hangs on a program that changes its derivative, or has no value yet.

    Raises
    ------
    UnsupportedOpError
        There is a hook on a gradient, a parameter without a shape, or a module of TorchScript.
    """
    for name, value in tensors.items():
        if isinstance(value, (torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer)):
            raise _refused(f'{name!r} has no shape yet', 'call the module once before you import it')
        if hooks_of_tensor(value):
            raise _refused(f'{name!r} has a hook on its gradient', 'remove it, or import before you add it')
    modules: list[tuple[str, torch.nn.Module]] = []
    if isinstance(program, torch.nn.Module):
        modules += cast('list[tuple[str, torch.nn.Module]]', [*program.named_modules()])
    for name, module in modules:
        if isinstance(module, torch.jit.ScriptModule):
            # It keeps parameters of its own, which nothing can stand in for.
            raise _refused(f'the module {name!r} is one of TorchScript', 'import what it was made of')
        if hooks_of_module(module):
            raise _refused(
                f'the module {name!r} has a backward hook', 'remove it, or import before you add it'
            )


def refuse_hidden_tensors(leaves: Sequence[Any], where: str) -> None:
    """See that no object among leaves holds a tensor that a graph would not see.

    Raises
    ------
    UnsupportedOpError
        One does: a dataclass, for one, that torch was not told of.
    """
    for leaf in leaves:
        if isinstance(leaf, (torch.Tensor, type)) or callable(leaf) or not hasattr(leaf, '__dict__'):
            continue
        if any(isinstance(v, torch.Tensor) for v in pytree.tree_leaves(vars(leaf))):
            name = str(leaf.__class__.__name__)
            way_out = 'use a tuple or a dict'
            if is_dataclass(leaf):
                way_out = f'call torch.export.register_dataclass({name}) once'
            raise _refused(f'{where} is a {name}, whose tensors a graph does not see', way_out)


def _refused(what: str, way_out: str) -> UnsupportedOpError:
    return UnsupportedOpError(f'{what}: {way_out}\n{location_of(calling_site())}')


@contextmanager
def surroundings(program: Callable[..., Any], recorder: Recorder) -> Generator[None]:
    """Leave a module as it was after the block, and make what acts on autograd unseen refuse within it.

    Functions that were compiled run as they were written, and layers of attention as they do where a
    derivative is taken, which is not by the kernel that torch has for values alone.
    """
    hooks = torch.autograd.graph.saved_tensors_hooks
    with ExitStack() as stack:
        if isinstance(program, torch.nn.Module):
            stack.enter_context(_restored(program))
        stack.enter_context(no_fast_path())
        stack.enter_context(compiled_as_written())
        stack.enter_context(mock.patch.object(torch.nn.Module, '_apply', _conversion(recorder)))
        stack.enter_context(
            mock.patch.object(hooks, '__enter__', _without_packing(hooks.__enter__, recorder))
        )
        for kind in SCRIPTED:
            stack.enter_context(mock.patch.object(kind, '__call__', _no_script(recorder)))
        yield


def _conversion(recorder: Recorder) -> Callable[..., torch.nn.Module]:
    """Return how modules are converted within a program: not at all, if that changes nothing."""

    def convert(module: torch.nn.Module, how: Callable[[torch.Tensor], torch.Tensor], *_: Any) -> Any:
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            new = how(value)
            if (new.dtype, new.device) != (value.dtype, value.device):
                what = f'the conversion of {name!r} from {value.dtype} to {new.dtype} on {new.device}'
                raise recorder.refuse(what, 'convert the module before you import it')
        return module

    return convert


def _without_packing(enter: Callable[[Any], None], recorder: Recorder) -> Callable[[Any], None]:
    """Return how hooks on saved tensors are entered: only those of torch itself, which keep values."""

    def entered(hooks: Any) -> None:
        kind: Any = hooks.__class__
        is_general = kind is torch.autograd.graph.saved_tensors_hooks
        if is_general or not kind.__module__.startswith('torch.'):
            what = f'{kind.__qualname__} (hooks on saved tensors)'
            raise recorder.refuse(what, 'import the program without it: what it packs may be other values')
        enter(hooks)

    return entered


def _no_script(recorder: Recorder) -> Callable[..., Any]:
    """Return what stands for a call of TorchScript, which cuts derivatives where nothing sees it."""

    def called(*_: Any, **__: Any) -> Any:
        raise recorder.refuse('a function of TorchScript', 'call the function that it was made of')

    return called


@contextmanager
def _restored(module: torch.nn.Module) -> Generator[None]:
    """Give a module and its parts back the attributes that they had before the block."""
    before = [(part, dict(vars(part))) for part in module.modules()]
    values: list[Any] = [value for _, attributes in before for value in attributes.values()]
    contents: list[tuple[Any, Any]] = [(v, v.copy()) for v in values if isinstance(v, (list, dict))]
    try:
        yield
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)
        for now, then in contents:
            now.clear()
            now.extend(then) if isinstance(now, list) else now.update(then)
