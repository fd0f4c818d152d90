"""W6: logistic regression, n = 2000, d = 100, float64: a Hessian-vector product, and the whole Hessian."""

from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

ROWS, COLUMNS = 2000, 100


def make() -> list[torch.Tensor]:
    x = randn(ROWS, COLUMNS, seed=1, dtype=torch.float64)
    y = torch.sign(randn(ROWS, seed=2, dtype=torch.float64))
    return [
        randn(COLUMNS, seed=0, scale=0.1, dtype=torch.float64), x, y,
        randn(COLUMNS, seed=3, dtype=torch.float64),
    ]  # fmt: skip


def loss(w: Any, x: Any, y: Any, *_: Any) -> Any:
    return -torch.mean(torch.nn.functional.logsigmoid(torch.matmul(x, w) * y))


def _curvature(w: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    s = torch.sigmoid_(torch.mv(x, w).mul_(y))
    return torch.sub(1, s).mul_(s).mul_(y).mul_(y).div_(ROWS)


def product_by_hand(w: torch.Tensor, x: torch.Tensor, y: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
    return [torch.mv(x.T, _curvature(w, x, y).mul_(torch.mv(x, v)))]


def hessian_by_hand(w: torch.Tensor, x: torch.Tensor, y: torch.Tensor, _: torch.Tensor) -> list[torch.Tensor]:
    return [x.T @ (x * _curvature(w, x, y).unsqueeze(1))]


PRODUCT = Workload(
    'W6a',
    'logistic regression, Hessian-vector product',
    make,
    loss,
    1,
    by_hand=product_by_hand,
    kind='product',
)
HESSIAN = Workload(
    'W6b', 'logistic regression, Hessian', make, loss, 1, by_hand=hessian_by_hand, kind='hessian'
)
