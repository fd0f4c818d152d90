"""W4: 12 elementwise ops on 8 million floats (a GPU: 256 million), value and gradient; nothing but memory."""

from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

SIZE, BLOCK, ROUNDS = 8_000_000, 32_768, 4
SCALE, OFFSET = 1.1, 0.1
SHIFT = torch.tensor(OFFSET)


def make() -> list[torch.Tensor]:
    return [randn(SIZE, seed=0)]


def loss(x: Any) -> Any:
    y = x
    for _ in range(ROUNDS):
        y = torch.tanh(y * SCALE + OFFSET)
    return torch.mean(y)


def by_hand(x: torch.Tensor) -> list[torch.Tensor]:
    """Block by block, so that what is between stays in the cache."""
    total, grad = torch.zeros((), device=x.device), torch.empty_like(x)
    kept = [torch.empty(BLOCK, device=x.device) for _ in range(ROUNDS)]
    for start in range(0, SIZE, BLOCK):
        part, g = x[start : start + BLOCK], grad[start : start + BLOCK]
        y = part
        for room in kept:
            y = torch.add(SHIFT, y, alpha=SCALE, out=room[: len(part)]).tanh_()
        total += torch.sum(y)
        g.fill_(SCALE**ROUNDS / SIZE)
        for room in kept:
            y = room[: len(part)]
            g.mul_(y.mul_(y).neg_().add_(1))
    return [total / SIZE, grad]


WORKLOAD = Workload('W4', '12 elementwise ops, 8M floats', make, loss, 1, by_hand=by_hand)
LARGE = Workload('W4L', '12 elementwise ops, 256M floats', lambda: [randn(32 * SIZE, seed=0)], loss, 1)
