"""W3: 60 elementwise ops on 64 floats, value and gradient: nothing but overhead."""

from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

ROUNDS = 20


def make() -> list[torch.Tensor]:
    return [randn(64, seed=0)]


def loss(x: Any) -> Any:
    y = x
    for _ in range(ROUNDS):
        y = torch.tanh(torch.sin(y) * x)
    return torch.sum(y)


def by_hand(x: torch.Tensor) -> list[torch.Tensor]:
    y = x
    kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for _ in range(ROUNDS):
        c, s = torch.cos(y), torch.sin(y)
        y = torch.mul(s, x).tanh_()
        kept.append((s, y, c))
    total = torch.sum(y)
    g, gx = torch.ones_like(x), torch.zeros_like(x)
    one = torch.ones(())
    for s, y, c in reversed(kept):
        g = torch.sub(one, torch.mul(y, y)).mul_(g)
        gx.addcmul_(g, s)
        g.mul_(x).mul_(c)
    return [total, gx.add_(g)]


WORKLOAD = Workload('W3', '60 elementwise ops, 64 floats', make, loss, 1, by_hand=by_hand)
