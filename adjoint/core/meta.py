"""Computing on tensors without data, without torch's compiler.

On the meta device, torch has rules written in Python that stand in the place of its kernels. The first of
them that is called imports ``torch._dynamo``, and sympy with it: more than a second, in the first run of
every process. So what common ops give without data is said here, by shapes and dtypes alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from adjoint.core.meta_rules import rule_of

__all__ = ['Shapes']


class Shapes(TorchDispatchMode):
    """While it is entered, common ops on meta tensors give their shapes and dtypes by these rules.

    Whatever a rule does not cover is left to torch, and so is whatever has to be refused. The results have
    the strides of new tensors.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nobody compiles while types are found; to be skipped would import the compiler."""
        return False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an op."""
        kwargs = kwargs or {}
        rule = rule_of(func) if _is_without_data(args, kwargs) else None
        if rule is not None:
            try:
                made = rule(*args, **kwargs)
            except (RuntimeError, IndexError, TypeError):
                made = None
            if made is not None:
                return made
        return func(*args, **kwargs)


def _is_without_data(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether the result lies on the meta device: what an op makes of numbers has its data."""
    operands: list[Any] = []
    for arg in args:
        operands += cast('Sequence[Any]', arg) if isinstance(arg, (list, tuple)) else [arg]
    tensors = [x for x in (*operands, *kwargs.values()) if isinstance(x, torch.Tensor)]
    device = kwargs.get('device')
    if device is not None and torch.device(device).type != 'meta':
        return False
    return all(x.is_meta for x in tensors) if tensors else device is not None
