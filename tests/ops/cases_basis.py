"""Cases of unit tensors and of the axes of Jacobians."""

import torch

from adjoint.ops import basis
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, spread_complex

X, Y, C = spread(2, 3), spread(4), spread_complex(2, 3)
NONE, POINT = spread(0, 3), spread()


def _units(a: torch.Tensor) -> torch.Tensor:
    return torch.eye(a.numel(), dtype=a.dtype).reshape(a.numel(), *a.shape)


def _zeros(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    dtype = (torch.zeros(1, dtype=a.dtype) + torch.zeros(1, dtype=b.dtype)).dtype
    return torch.zeros(a.shape + b.shape, dtype=dtype)


def _split(a: torch.Tensor, like: torch.Tensor, last: bool = False) -> torch.Tensor:
    if not last:
        return a.unflatten(0, like.shape) if like.ndim else a.squeeze(0)
    moved = a.permute(*range(1, a.ndim), 0)
    return moved.unflatten(-1, like.shape) if like.ndim else moved.squeeze(-1)


def _join(a: torch.Tensor, like: torch.Tensor, last: bool = False) -> torch.Tensor:
    if not last:
        return a.flatten(0, like.ndim - 1) if like.ndim else a.unsqueeze(0)
    moved = a.flatten(a.ndim - like.ndim) if like.ndim else a.unsqueeze(-1)
    return moved.permute(-1, *range(moved.ndim - 1))


CASES = {
    'basis': Case(basis.basis, [sample(x) for x in (X, C, NONE, POINT)], _units),
    'zeros_between': Case(
        basis.zeros_between, [sample(X, Y), sample(POINT, C), sample(Y, POINT), sample(NONE, Y)], _zeros
    ),
    'split_axis': Case(
        basis.split_axis,
        [
            sample(spread(6), X),
            sample(spread(6, 4), X),
            sample(spread(6, 4), X, True),
            sample(spread_complex(6, 2, 4), X, True),
            sample(spread(1, 4), POINT),
            sample(spread(1, 4), POINT, True),
        ],
        _split,
    ),
    'join_axes': Case(
        basis.join_axes,
        [
            sample(spread(2, 3), X),
            sample(spread(2, 3, 4), X),
            sample(spread(4, 2, 3), X, True),
            sample(spread_complex(4, 5, 2, 3), X, True),
            sample(spread(4), POINT),
            sample(spread(4), POINT, True),
        ],
        _join,
    ),
}
