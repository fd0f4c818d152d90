"""What decides which program runs: the layouts of the values, and torch's default dtype."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from adjoint.execute.internals import current_transform, dispatch_modes, is_autocast

__all__ = ['Signature', 'signature_of']

Signature: TypeAlias = tuple[Any, ...]

_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})


def signature_of(values: Sequence[torch.Tensor]) -> Signature | None:
    """Return what a program may depend on; ``None`` where a run is to be what torch makes of each call.

    That is so for other layouts than strided ones and for subclasses of tensors, under autocast, inside a
    transform of ``torch.func``, and where a mode of torch watches the calls.
    """
    if is_autocast() or dispatch_modes() or current_transform() is not None:
        return None
    parts: list[Any] = [torch.get_default_dtype()]
    for value in values:
        if value.__class__ not in _PLAIN or value.layout is not torch.strided:
            return None
        parts += (value.shape, value.stride(), value.dtype, value.device)
    return tuple(parts)
