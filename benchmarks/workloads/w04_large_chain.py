"""W4: 12 elementwise ops on 8 million floats, value and gradient: nothing but memory."""

from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

SIZE = 8_000_000


def make() -> list[torch.Tensor]:
    return [randn(SIZE, seed=0)]


def loss(x: Any) -> Any:
    y = x
    for _ in range(4):
        y = torch.tanh(y * 1.1 + 0.1)
    return torch.mean(y)


WORKLOAD = Workload('W4', '12 elementwise ops, 8M floats', make, loss, 1)
