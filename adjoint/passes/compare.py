"""Whether a pass kept the values, on values that are given."""

from collections.abc import Mapping, Sequence

import torch

from adjoint.core.errors import RuleError
from adjoint.core.graph import runner_of
from adjoint.core.node import Node

__all__ = ['compare']


def compare(
    before: Sequence[Node],
    after: Sequence[Node],
    feed: Mapping[Node, torch.Tensor],
    *,
    by: str,
    bitwise: bool,
) -> None:
    """Run two graphs that must have the same values.

    Parameters
    ----------
    before, after : sequence of Node
        The outputs before and after a pass.
    feed : mapping of Node to torch.Tensor
        Values of the variables.
    by : str
        The name of the pass, for the message.
    bitwise : bool
        Whether every bit has to agree, where one nan is as good as another. Otherwise finite values agree to
        half of the digits of their dtype, and what was not finite may have become so.

    Raises
    ------
    RuleError
        They differ.
    """
    values = zip(runner_of(before).run(feed), runner_of(after).run(feed), before, strict=True)
    for i, (old, new, node) in enumerate(values):
        where = f"output {i}, node '{node}'"
        if old.shape != new.shape or old.dtype != new.dtype:
            was, came = f'{old.dtype} {tuple(old.shape)}', f'{new.dtype} {tuple(new.shape)}'
            msg = f'pass {by} made {came} of {was}: {where}\n{node.location}'
            raise RuleError(msg)
        wrong = _differ(old, new) if bitwise else _are_far(old, new)
        if wrong.any():
            a, b = old[wrong][0].item(), new[wrong][0].item()
            changed = f'{int(wrong.sum())} entries, the first from {a} to {b}'
            msg = f'pass {by} changed {changed}: {where}\n{node.location}'
            raise RuleError(msg)


def _differ(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Return where bits differ: zeros of different sign do, two nans do not."""
    if old.is_complex():
        return _differ(torch.view_as_real(old), torch.view_as_real(new)).any(-1)
    same = (old == new) & (torch.signbit(old) == torch.signbit(new))
    return ~(same | (old.isnan() & new.isnan()))


def _are_far(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Return where finite values differ in the first half of their digits, and what became not finite."""
    if not (old.is_floating_point() or old.is_complex()):
        return old != new
    half = torch.finfo(old.dtype).eps ** 0.5
    scale = old.abs().nan_to_num(0.0, 0.0, 0.0).max() if old.numel() else 0.0
    far = (old - new).abs() > half * scale
    return torch.where(old.isfinite(), far | ~new.isfinite(), False)
