"""``torch.autograd.Function`` in imported programs: its own backward becomes the rule of a node.

A call is recorded flat: the ops of ``forward``, a stand-in for each cotangent, the ops of ``backward`` on the
stand-ins, and a copy of each output that marks where the rule belongs. The importer makes one node of it.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.utils.checkpoint

from adjoint.interop.internals import called_as_they_are, node_of, position

if TYPE_CHECKING:
    from adjoint.interop.semantics import Recorder

__all__ = ['CustomCall', 'recorded_functions']


@dataclass(frozen=True, slots=True)
class CustomCall:
    """One output of a recorded call, by the nodes of the recording.

    Parameters
    ----------
    name
        Of the class.
    results
        Every differentiable output as ``forward`` computed it.
    inputs
        The tensors among the arguments.
    cts
        The stand-ins, one for each of ``results``.
    grads
        What ``backward`` returned for each of ``inputs``; ``None`` where nothing flows.
    position
        Which of ``results`` this node copies.
    once
        Whether ``backward`` is marked as differentiable only once.
    """

    name: str
    results: Sequence[torch.fx.Node]
    inputs: Sequence[torch.fx.Node]
    cts: Sequence[torch.fx.Node]
    grads: Sequence[torch.fx.Node | None]
    position: int
    once: bool


class _Context:
    """What ``forward`` and ``backward`` of a function share, in the place of torch's."""

    def __init__(self, args: Sequence[Any], recorder: 'Recorder') -> None:
        self.needs_input_grad = tuple(isinstance(a, torch.Tensor) and a.requires_grad for a in args)
        self.saved_tensors: tuple[Any, ...] = ()
        self.silent: list[torch.Tensor] = []
        self._recorder = recorder

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        del tensors

    def mark_non_differentiable(self, *tensors: torch.Tensor) -> None:
        self.silent.extend(tensors)

    def mark_dirty(self, *tensors: torch.Tensor) -> None:
        del tensors
        what = 'a torch.autograd.Function that writes into its inputs (mark_dirty)'
        raise self._recorder.refuse(what, 'return a new tensor')

    def set_materialize_grads(self, value: bool) -> None:
        del value


def _call(cls: Any, recorder: 'Recorder', args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Record a call of a function, in the place of ``apply``."""
    if cls is torch.utils.checkpoint.CheckpointFunction:
        run, _, *operands = args
        return run(*operands)
    context = _Context(args, recorder)
    has_setup = cls.setup_context is not torch.autograd.Function.setup_context
    with torch.no_grad():
        if has_setup:
            returned = cls.forward(*args, **kwargs)
            cls.setup_context(context, tuple(args), returned)
        else:
            returned = cls.forward(context, *args, **kwargs)
    if not torch.is_grad_enabled():
        return returned
    results = _listed(returned)
    flowing = [
        r
        for r in results
        if isinstance(r, torch.Tensor)
        and (r.is_floating_point() or r.is_complex())
        and all(r is not s for s in context.silent)
    ]
    backward = cls.backward
    once = getattr(backward, '__wrapped__', None)
    is_once = once is not None and backward.__code__.co_filename == torch.autograd.function.__file__
    # Recorded after the results, so that nothing else in the program can stand for them.
    cts = {id(r): torch.zeros_like(r) for r in flowing}
    given = [cts.get(id(r)) for r in results]
    grads = _listed((once if is_once and once is not None else backward)(context, *given))
    pairs = [
        (node, node_of(grad))
        for a, grad in zip(args, grads, strict=False)
        if (node := node_of(a)) is not None
    ]
    nodes_of_results = tuple(cast('torch.fx.Node', node_of(r)) for r in flowing)
    nodes_of_cts = tuple(cast('torch.fx.Node', node_of(ct)) for ct in cts.values())
    bound: list[Any] = []
    for r in results:
        if not any(r is f for f in flowing):
            bound.append(r.detach() if isinstance(r, torch.Tensor) else r)
            continue
        copy = r.clone().requires_grad_()
        marker = cast('torch.fx.Node', node_of(copy))
        recorder.calls[marker] = CustomCall(
            cls.__name__,
            nodes_of_results,
            [node for node, _ in pairs],
            nodes_of_cts,
            [grad for _, grad in pairs],
            next(i for i, f in enumerate(flowing) if f is r),
            is_once,
        )
        bound.append(copy)
    return bound[0] if not isinstance(returned, (tuple, list)) else tuple(bound)


def _listed(returned: Any) -> list[Any]:
    return list(cast('Sequence[Any]', returned)) if isinstance(returned, (tuple, list)) else [returned]


_one_capture = RLock()


@contextmanager
def recorded_functions(recorder: 'Recorder') -> Generator[None]:
    """Record the calls of ``torch.autograd.Function``, and of higher-order ops, within the block.

    ``apply`` is no function that torch lets others see, so it is replaced while a program is captured: for
    calls of this thread, one capture at a time.
    """
    with _one_capture:
        owner = get_ident()
        original = torch.autograd.Function.__dict__['apply']

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            if get_ident() != owner or position() is None:
                return original.__get__(None, cls)(*args, **kwargs)
            return _call(cls, recorder, args, kwargs)

        setattr(torch.autograd.Function, 'apply', classmethod(apply))  # noqa: B010 typed as read-only
        try:
            with called_as_they_are(lambda: get_ident() == owner and position() is not None):
                yield
        finally:
            setattr(torch.autograd.Function, 'apply', original)  # noqa: B010 same
