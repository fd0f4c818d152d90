"""What this room uses of torch that torch does not promise to keep, in one place."""

# ruff: noqa: SLF001

from typing import Any

import torch

__all__ = [
    'DATA_POINTER', 'current_transform', 'dispatch_modes', 'is_autocast', 'log_softmax_backward_kernel',
    'memory_of', 'native', 'set_records', 'softmax_backward_kernel',
]  # fmt: skip

_inner: Any = torch._C  # pyright: ignore[reportPrivateUsage] there is no public way to any of these

# Whether autocast is on for any device; how many modes watch the dispatcher; the level of the innermost
# transform of `torch.func`, if any.
is_autocast = _inner._is_any_autocast_enabled
dispatch_modes = _inner._len_torch_dispatch_stack
current_transform = _inner._functorch.maybe_current_level

# The derivatives of a softmax and a log_softmax, which torch.nn.functional has no names for.
_torch: Any = torch
softmax_backward_kernel = _torch._softmax_backward_data
log_softmax_backward_kernel = _torch._log_softmax_backward_data

# Sets whether torch records for its autograd; a context manager would cost as much as a kernel.
set_records = _inner._set_grad_enabled

# Where kernels that Inductor compiled find the memory of a tensor.
DATA_POINTER: int = _inner._dynamo.guards._torchinductor_pyobject_tensor_data_ptr


def native(name: str) -> Any:
    """Return the kernel behind a function of ``torch.nn.functional`` that checks its arguments in Python."""
    return getattr(_inner._nn, name)


def memory_of(value: torch.Tensor) -> int:
    """Return a number that is the same for tensors that lie in the same memory."""
    return value.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage] its identity
