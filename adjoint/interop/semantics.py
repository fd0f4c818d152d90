"""What a recording of ATen ops alone would lose of a program: lines, modules, and the rules of autograd."""

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, cast

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.hooks import RemovableHandle

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.source import Location, Site, calling_site, location_of
from adjoint.interop.control import Mark, recorded_call
from adjoint.interop.custom import CustomCall, recorded_functions
from adjoint.interop.internals import (
    DATA_OF_A_TENSOR,
    PACKS_SEQUENCES,
    SETS_DATA_OF_A_TENSOR,
    HigherOrderOperator,
    in_functorch,
    position,
)  # fmt: skip
from adjoint.interop.replaced import REPLACED

__all__ = ['Recorder', 'Semantics', 'Trail']


class Trail:
    """From which line, in which module, each node of a recording comes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._marks: list[tuple[Site, str]] = []

    def mark(self, position: int, site: Site, module: str) -> None:
        """Note that nodes from this position on come from a site."""
        self._starts.append(position)
        self._marks.append((site, module))

    def location(self, position: int) -> Location:
        """Return where the node at a position was made."""
        found = bisect_right(self._starts, position) - 1
        if found < 0:
            return Location('<captured program>', 0, '')
        site, module = self._marks[found]
        return replace(location_of(site), module=module)


class Recorder:
    """What is recorded beside the ops; within its block, modules say when they run.

    Parameters
    ----------
    module
        The program, if it is a module.
    """

    def __init__(self, module: torch.nn.Module | None) -> None:
        self.trail = Trail()
        self.calls: dict[torch.fx.Node, CustomCall] = {}
        self.marks: dict[torch.fx.Node, Mark] = {}
        self.has_calls = False
        self._module = module
        self._running: list[str] = []
        self._hooks: list[RemovableHandle] = []
        self._last: Site | None = None

    def __enter__(self) -> Self:
        modules: list[tuple[str, torch.nn.Module]] = []
        if self._module is not None:
            modules += cast('list[tuple[str, torch.nn.Module]]', [*self._module.named_modules()])
        for name, module in modules:
            self._hooks.append(module.register_forward_pre_hook(self._entering(name), prepend=True))
            self._hooks.append(module.register_forward_hook(self._leaving, always_call=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self._running.append(name)

        return enter

    def _leaving(self, *_: Any) -> None:
        self._running.pop()

    def mark(self) -> None:
        """Note that what is recorded from here on comes from the line that runs."""
        self._last = calling_site()
        at = position()
        if at is not None:
            self.trail.mark(at, self._last, self._running[-1] if self._running else '')

    def where(self) -> Location:
        """Return the line that ran last; that of the import where none did."""
        return location_of(self._last or calling_site())

    def refuse(self, what: str, way_out: str) -> UnsupportedOpError:
        """Return the error for what would change the derivative without a trace in the graph."""
        return UnsupportedOpError(
            f'{what} inside an imported program: {way_out}\n{location_of(calling_site())}'
        )


# Kinds of devices for which a region of autocast may be open.
_DEVICES = ('cpu', 'cuda')

# Functions of torch that act on autograd from within a program, and what to do instead.
_REFUSED: Mapping[Callable[..., Any], tuple[str, str]] = {
    torch.Tensor.backward: ('backward()', 'import the part up to the loss, and take gradients of the graph'),
    torch.Tensor.register_hook: ('a hook on a gradient', 'write it as a torch.autograd.Function'),
    torch.Tensor.register_post_accumulate_grad_hook: (
        'a hook on a gradient', 'write it as a torch.autograd.Function',
    ),
    SETS_DATA_OF_A_TENSOR: (
        'an assignment to .data', 'use copy_ under torch.no_grad()',
    ),
    PACKS_SEQUENCES: (
        'a packed sequence', 'give the padded one to the layer, and mask what it returns',
    ),
}  # fmt: skip


class Semantics(TorchFunctionMode):
    """Sees each call of a function of torch before it is recorded.

    ``.data`` is recorded as ``detach``, the result of ``torch.autograd.grad`` without ``create_graph`` is
    detached, calls of ``torch.autograd.Function`` keep their own backward; what cannot keep its meaning is
    refused by name.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._functions = recorded_functions(recorder)

    def __enter__(self) -> Self:
        self._functions.__enter__()
        return super().__enter__()

    @contextmanager
    def _again(self) -> Generator[None]:
        """See the calls of functions of torch within the block too, while one of them is seen."""
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._functions.__exit__(kind, error, trace)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        self._recorder.mark()
        if in_functorch():
            what, way_out = 'a transform of torch.func', 'import the function that it is applied to'
            raise self._recorder.refuse(what, way_out)
        if func in _REFUSED:
            raise self._recorder.refuse(*_REFUSED[func])
        if any(torch.is_autocast_enabled(device) for device in _DEVICES):
            what, way_out = 'a region of torch.autocast', 'import without it, or write the casts'
            raise self._recorder.refuse(what, way_out)
        if isinstance(func, HigherOrderOperator):
            return recorded_call(self._recorder, func, args, self._again())
        if func is torch.autograd.grad and self._recorder.has_calls:
            what, way_out = 'torch.autograd.grad after control flow', 'take gradients of the imported graph'
            raise self._recorder.refuse(what, way_out)
        if func == DATA_OF_A_TENSOR:
            return args[0].detach()
        out = options.pop('out', None)
        result = REPLACED.get(func, func)(*args, **options)
        if out is not None:
            return self._put_into(out, result)
        if func is torch.autograd.grad and not options.get('create_graph', False):
            return tuple(None if g is None else g.detach() for g in result)
        return result

    def _put_into(self, out: Any, result: Any) -> Any:
        """Write a result into the tensors that the program named for it with ``out=``."""
        pairs = [*zip(pytree.tree_leaves(out), pytree.tree_leaves(result), strict=True)]
        for target, value in pairs:
            if target.shape != value.shape or not torch.can_cast(value.dtype, target.dtype):
                what = f'out= of {target.dtype} {list(target.shape)} for {value.dtype} {list(value.shape)}'
                raise self._recorder.refuse(what, 'use the result itself')
            target.copy_(value)
        return out
