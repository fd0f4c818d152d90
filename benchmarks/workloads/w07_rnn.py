"""W7: a recurrent network, tanh, hidden 64, batch 16, 200 steps, unrolled, and as a scan."""

from typing import Any

import torch

import adjoint as ad
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


def by_scan(recurrent: Any, inward: Any, bias: Any, sequence: Any, start: Any) -> Any:
    def step(h: Any, x: Any) -> tuple[Any, None]:
        return torch.tanh(torch.matmul(h, recurrent) + torch.matmul(x, inward) + bias), None

    h, _ = ad.scan(step, start, sequence)
    return torch.mean(h * h)


def by_hand(
    recurrent: torch.Tensor,
    inward: torch.Tensor,
    bias: torch.Tensor,
    sequence: torch.Tensor,
    start: torch.Tensor,
) -> list[torch.Tensor]:
    """All products with the inputs are one, and all by the weights."""
    inputs = sequence.view(-1, HIDDEN)
    before = torch.addmm(bias, inputs, inward).view(STEPS, BATCH, HIDDEN)
    states = torch.empty(STEPS + 1, BATCH, HIDDEN, device=start.device)
    states[0] = start
    held = states.unbind()
    for x, h, new in zip(before.unbind(), held, held[1:], strict=False):
        torch.addmm(x, h, recurrent, out=new).tanh_()
    g, back = held[-1] * (2 / held[-1].numel()), recurrent.T
    moved = torch.empty(STEPS, BATCH, HIDDEN, device=start.device)
    for h, room in zip(reversed(held), reversed(moved.unbind()), strict=False):
        torch.ops.aten.tanh_backward.grad_input(g, h, grad_input=room)
        g = torch.mm(room, back)
    moved = moved.view(-1, HIDDEN)
    by_recurrent = states[:-1].reshape(-1, HIDDEN).T @ moved
    return [torch.mean(held[-1] * held[-1]), by_recurrent, inputs.T @ moved, moved.sum(0)]


UNROLLED = Workload('W7', 'RNN, 200 steps, unrolled', make, loss, 3, by_hand=by_hand)
SCAN = Workload('W7s', 'RNN, 200 steps, scan', make, loss, 3, by_hand=by_hand, loss_of_nodes=by_scan)
