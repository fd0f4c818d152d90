"""W7: a recurrent network, tanh, hidden 64, batch 16, 200 steps, unrolled."""

from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

HIDDEN, BATCH, STEPS = 64, 16, 200


def make() -> list[torch.Tensor]:
    return [
        randn(HIDDEN, HIDDEN, seed=0, scale=0.1), randn(HIDDEN, HIDDEN, seed=1, scale=0.1),
        torch.zeros(HIDDEN), randn(STEPS, BATCH, HIDDEN, seed=2), torch.zeros(BATCH, HIDDEN),
    ]  # fmt: skip


def loss(recurrent: Any, inward: Any, bias: Any, sequence: Any, start: Any) -> Any:
    h = start
    for i in range(STEPS):
        h = torch.tanh(torch.matmul(h, recurrent) + torch.matmul(sequence[i], inward) + bias)
    return torch.mean(h * h)


WORKLOAD = Workload('W7', 'RNN, 200 steps, unrolled', make, loss, 3)
