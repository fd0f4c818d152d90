"""What this room uses of torch that torch does not promise to keep, in one place."""

# ruff: noqa: SLF001

from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch.nn.utils import _named_member_accessor

from adjoint.core.node import Node

__all__ = ['nodes_as_parameters']

_members: Any = _named_member_accessor
_ABSENT: Any = _members._MISSING  # what torch gives for a name that a module has not
_lock = Lock()


class _Swap:
    """How `torch.func.functional_call` puts tensors into modules: while blocks are open, nodes too."""

    def __init__(self) -> None:
        self._blocks = 0
        self._original: Any = None

    def open(self) -> None:
        """Begin to take nodes."""
        with _lock:
            if not self._blocks:
                self._original = _members.swap_tensor
                _members.swap_tensor = self
            self._blocks += 1

    def close(self) -> None:
        """Leave torch as it was, with the last of the blocks."""
        with _lock:
            self._blocks -= 1
            if not self._blocks:
                _members.swap_tensor = self._original

    def __call__(self, module: Any, name: str, tensor: Any, allow_missing: bool = False) -> Any:
        """Put a tensor or node in the place of what a module has under a name, and return that."""
        held = module._parameters.get(name, module._buffers.get(name, getattr(module, name, _ABSENT)))
        if not isinstance(tensor, Node) and not isinstance(held, Node):
            return self._original(module, name, tensor, allow_missing)
        if name in module._parameters:
            module._parameters[name] = tensor
        elif name in module._buffers:
            module._buffers[name] = tensor
        elif tensor is _ABSENT:
            delattr(module, name)
        else:
            setattr(module, name, tensor)
        if isinstance(module, torch.nn.RNNBase):
            _refresh(module)
        return held


def _refresh(module: Any) -> None:
    """Write the weights of a recurrent module where it keeps them a second time."""
    module._flat_weights = [getattr(module, name, None) for name in module._flat_weights_names]


_swap = _Swap()


@contextmanager
def nodes_as_parameters() -> Generator[None]:
    """Let ``torch.func.functional_call`` give modules nodes in the place of tensors, within the block.

    It asks whether what it is given are tensors, in a function that lets nobody answer for nodes; that
    function is another one while a block is open, which does the same for tensors.
    """
    _swap.open()
    try:
        yield
    finally:
        _swap.close()
