"""Which nodes can be written as calls of ATen, and what they are written as."""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from adjoint.core.node import Node
from adjoint.execute.executor import Task
from adjoint.execute.reference import Schedule
from adjoint.ops.linear import alias

__all__ = ['Probe', 'is_function', 'traced']

# A node that makes more calls than this, such as a loop, is run as it is: written out, it would be too long.
_MOST_CALLS = 200

# While one thread traces, torch has methods of classes replaced, for all threads.
_tracing = RLock()


def is_function(node: Node) -> bool:
    """Whether a node is a function of its operands and no more, and may be run more often than asked."""
    return node.op.shareable or node.op is alias


class _TooLong(Exception):
    """A node makes more calls than are written out."""


class _Counted(TorchDispatchMode):
    """Counts the calls, up to a number."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._count += 1
        if self._count > _MOST_CALLS:
            raise _TooLong
        return func(*args, **(kwargs or {}))


class Probe:
    """Runs nodes on tensors without data, to find out which can be written as calls of ATen.

    One cannot if it looks at the numbers in its operands, draws from a generator, makes something of another
    size each time, or leaves torch. Nor is one tried whose op says that it is more than a function of its
    operands (``shareable``), nor complex numbers, which Inductor leaves to the kernels anyway.
    """

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def stand_in(self, value: torch.Tensor) -> torch.Tensor | None:
        """Return a tensor without data of this layout; ``None`` if there is none."""
        if value.layout is not torch.strided or value.is_complex() or value.is_quantized:
            return None
        with self.mode:
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)

    def value(self, node: Node, operands: Sequence[Any]) -> Any:
        """Return the value of a node without its data; ``None`` where it cannot be written."""
        if not is_function(node):
            return None
        try:
            with _tracing, torch.no_grad(), self.mode, _Counted():
                found = _pure(lambda *xs: node.op.compute(node, list(xs)))(*operands)
        except Exception:  # noqa: BLE001 whatever it is: the node is run as it is
            return None
        parts = cast('tuple[Any, ...]', found if isinstance(found, tuple) else (found,))
        is_written = all(x is None or self._is_writable(x) for x in parts)
        return cast('Any', found) if is_written else None

    def _is_writable(self, value: Any) -> bool:
        return (
            isinstance(value, torch.Tensor)
            and getattr(value, 'fake_mode', None) is self.mode
            and value.layout is torch.strided
            and not value.is_complex()
            and not value.is_quantized
        )


def traced(task: Task, inputs: Sequence[torch.Tensor], mode: FakeTensorMode) -> GraphModule:
    """Return a task as a program over ATen without writes in place.

    Parameters
    ----------
    task : Task
        With types.
    inputs : sequence of torch.Tensor
        Tensors without data for the fed nodes, of this mode.
    mode : FakeTensorMode
        In which no data is needed.
    """
    schedule = Schedule(task, {}, is_restricted=True)

    def run(*values: torch.Tensor) -> list[torch.Tensor]:
        return schedule.run(values)

    with _tracing, torch.no_grad(), mode:
        return make_fx(_pure(run))(*inputs)


def _pure(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors without its writes in place."""
    return torch.func.functionalize(run, remove='mutations')
