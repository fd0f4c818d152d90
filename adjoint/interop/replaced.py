"""Functions of torch that look at the values of tensors without need, written so that they do not.

A recording has no values. Each of these does what torch's documentation says of the function that it
stands for, for arguments that pass torch's checks.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, combinations_with_replacement
from typing import Any, NamedTuple, cast

import torch
from torch.nn import functional as F  # noqa: N812 torch's usual name

from adjoint.interop.internals import numbers_left_open

__all__ = ['REPLACED']

_linalg: Any = torch.linalg  # it has no types

_MATRIX = 2


def _gaussian_nll_loss(
    input: torch.Tensor,
    target: torch.Tensor,
    var: torch.Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = 'mean',
) -> torch.Tensor:
    variance = var if isinstance(var, torch.Tensor) else torch.full_like(input, var)
    if variance.shape != input.shape and input.shape[:-1] == variance.shape:
        variance = variance.unsqueeze(-1)
    # The variance is kept away from 0 without a derivative of that.
    with torch.no_grad():
        kept = variance.clamp(min=eps)
    variance = variance + (kept - variance).detach()
    loss = 0.5 * (torch.log(variance) + (input - target) ** 2 / variance)
    if full:
        loss = loss + 0.5 * torch.log(torch.full((), 2 * torch.pi, dtype=loss.dtype, device=loss.device))
    return loss if reduction == 'none' else loss.mean() if reduction == 'mean' else loss.sum()


def _cov(
    input: torch.Tensor,
    *,
    correction: int = 1,
    fweights: torch.Tensor | None = None,
    aweights: torch.Tensor | None = None,
) -> torch.Tensor:
    x = input if input.ndim >= _MATRIX else input.reshape(1, -1)
    weights = fweights
    if aweights is not None:
        weights = aweights if fweights is None else fweights * aweights
    if weights is None:
        total: Any = x.shape[1]
        mean = x.sum(1, keepdim=True) / total
        norm = x.new_full((), total - correction).real
    else:
        total = weights.sum()
        mean = (x * weights).sum(1, keepdim=True) / total
        squares = total if aweights is None else (weights * aweights).sum() / total
        norm = total - correction * squares if aweights is not None else total - correction
    deviation = x - mean
    weighted = deviation if weights is None else deviation * weights
    product = weighted @ deviation.mH
    return (product / torch.as_tensor(norm).clamp(min=0)).squeeze()


def _corrcoef(input: torch.Tensor) -> torch.Tensor:
    c = _cov(input)
    if c.ndim == 0:
        return c / c
    deviation = c.diagonal().real.sqrt()
    c = c / deviation.unsqueeze(-1) / deviation.unsqueeze(0)
    if not c.is_complex():
        return c.clamp(-1, 1)
    return torch.complex(c.real.clamp(-1, 1), c.imag.clamp(-1, 1))


class _LeastSquares(NamedTuple):
    solution: torch.Tensor
    residuals: torch.Tensor
    rank: torch.Tensor
    singular_values: torch.Tensor


def _lstsq(
    input: torch.Tensor, b: torch.Tensor, rcond: float | None = None, *, driver: str | None = None
) -> _LeastSquares:
    """Solve by the pseudoinverse; for matrices of full rank."""
    is_vector = b.ndim == input.ndim - 1 and b.shape == input.shape[:-1]
    right = b.unsqueeze(-1) if is_vector else b
    inverse = cast('torch.Tensor', _linalg.pinv(input, rtol=rcond))
    solution = inverse @ right
    rows, columns = input.shape[-2:]
    residuals = input.new_empty(0).real
    if rows > columns and driver != 'gelsy':
        residuals = (input @ solution - right).abs().square().sum(-2)
    rank = torch.empty(0, dtype=torch.int64, device=input.device)
    if driver != 'gels':
        rank = torch.full(input.shape[:-2], min(rows, columns), dtype=torch.int64, device=input.device)
    values = input.new_empty(0).real
    if driver in {'gelsd', 'gelss'}:
        values = _linalg.svdvals(input.detach())
    return _LeastSquares(solution.squeeze(-1) if is_vector else solution, residuals, rank, values)


def _narrow(input: torch.Tensor, dim: int, start: int | torch.Tensor, length: int) -> torch.Tensor:
    """Take a part whose start may be the value of a tensor: its shape does not depend on that."""
    with numbers_left_open(input):
        return torch.narrow(input, dim, cast('int', start), length)


def _combinations(input: torch.Tensor, r: int = 2, with_replacement: bool = False) -> torch.Tensor:
    positions = range(input.shape[0])
    chosen = combinations_with_replacement if with_replacement else combinations
    rows = torch.tensor([*chosen(positions, r)], dtype=torch.int64, device=input.device)
    return input[rows.reshape(-1, r)] if r else input.new_empty(0)


def _ctc_loss(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: torch.Tensor | Sequence[int],
    target_lengths: torch.Tensor | Sequence[int],
    *options: Any,
    **named: Any,
) -> torch.Tensor:
    """Call the overload whose lengths are tensors, which is the one that is recorded whole."""
    lengths = [torch.as_tensor(v, device=targets.device) for v in (input_lengths, target_lengths)]
    return F.ctc_loss(log_probs, targets, lengths[0], lengths[1], *options, **named)


def _deepcopy(x: torch.Tensor, memo: Any) -> torch.Tensor:
    """Copy a tensor that nothing flows through: torch copies leaves only."""
    del memo
    return x.detach().clone().requires_grad_(x.requires_grad)


REPLACED: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.gaussian_nll_loss: _gaussian_nll_loss,
    F.ctc_loss: _ctc_loss,
    torch.combinations: _combinations,
    torch.narrow: _narrow,
    torch.Tensor.narrow: _narrow,
    torch.cov: _cov,
    torch.Tensor.cov: _cov,
    torch.corrcoef: _corrcoef,
    torch.Tensor.corrcoef: _corrcoef,
    torch.linalg.lstsq: _lstsq,
    torch.Tensor.__deepcopy__: _deepcopy,
}
