"""W2: a perceptron 784-512-512-10, batch 128; loss, gradients, Adam."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

BATCH, SIZES = 128, (784, 512, 512, 10)
RATE, FIRST, SECOND, EPS = 1e-3, 0.9, 0.999, 1e-8
COUNT = 2 * (len(SIZES) - 1)


def make() -> list[torch.Tensor]:
    parameters: list[torch.Tensor] = []
    for i, (n, m) in enumerate(pairwise(SIZES)):
        parameters += [randn(n, m, seed=i, scale=n**-0.5), torch.zeros(m)]
    moments = [torch.zeros_like(p) for p in parameters]
    images, labels = randn(BATCH, SIZES[0], seed=20), torch.eye(10)[torch.arange(BATCH) % 10]
    return [*parameters, *moments, *[torch.ones_like(m) for m in moments], images, labels]


def loss(*given: Any) -> Any:
    h, labels = given[-2], given[-1]
    for i in range(0, COUNT, 2):
        h = torch.matmul(h, given[i]) + given[i + 1]
        if i < COUNT - 2:
            h = torch.relu(h)
    return -torch.sum(torch.log_softmax(h, -1) * labels) / BATCH


def adam(given: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
    moved: list[Any] = []
    for i, g in enumerate(grads):
        m = FIRST * given[COUNT + i] + (1 - FIRST) * g
        v = SECOND * given[2 * COUNT + i] + (1 - SECOND) * (g * g)
        moved += [given[i] - RATE * m / (v**0.5 + EPS), m, v]
    return moved


def by_hand(*given: torch.Tensor) -> list[torch.Tensor]:
    """Products with the bias and Adam in fused kernels."""
    labels, inputs = given[-1], [given[-2]]
    for i in range(0, COUNT, 2):
        h = torch.addmm(given[i + 1], inputs[-1], given[i])
        inputs.append(h.relu_() if i < COUNT - 2 else h)
    logs = torch.log_softmax(inputs.pop(), -1)
    results = [torch.sum(logs * labels).div_(-BATCH)]
    g = torch.exp(logs).mul_(labels.sum(1, keepdim=True)).sub_(labels).div_(BATCH)
    grads: list[torch.Tensor] = []
    for i in reversed(range(0, COUNT, 2)):
        h = inputs[i // 2]
        grads[:0] = [h.T @ g, g.sum(0)]
        if i:
            g = torch.ops.aten.threshold_backward(g @ given[i].T, h, 0)
    for i, g in enumerate(grads):
        m = torch.lerp(given[COUNT + i], g, 1 - FIRST)
        v = torch.mul(given[2 * COUNT + i], SECOND).addcmul_(g, g, value=1 - SECOND)
        results += [torch.addcdiv(given[i], m, torch.sqrt(v).add_(EPS), value=-RATE), m, v]
    return results


WORKLOAD = Workload('W2', 'MLP 784-512-512-10, Adam', make, loss, COUNT, adam, by_hand)
