"""W5: a convnet like LeNet on 28x28 images, batch 32; loss, gradients, SGD."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from benchmarks.workloads.workload import Workload, randn

BATCH, SIDE, CLASSES, RATE = 32, 28, 10, 0.1
# Two convolutions of 5x5, each halved by a pooling, and two layers.
SHAPES = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (16 * 16, 120), (120,), (120, CLASSES), (CLASSES,)]


def make() -> list[torch.Tensor]:
    parameters = [randn(*shape, seed=i, scale=0.1) for i, shape in enumerate(SHAPES)]
    labels = torch.eye(CLASSES)[torch.arange(BATCH) % CLASSES]
    return [*parameters, randn(BATCH, 1, SIDE, SIDE, seed=20), labels]


def loss(*given: Any) -> Any:
    first, first_bias, second, second_bias, hidden, hidden_bias, out, shift, images, labels = given
    h = F.max_pool2d(torch.relu(F.conv2d(images, first, first_bias)), 2)
    h = F.max_pool2d(torch.relu(F.conv2d(h, second, second_bias)), 2)
    h = torch.relu(torch.matmul(torch.reshape(h, (BATCH, -1)), hidden) + hidden_bias)
    logits = torch.matmul(h, out) + shift
    return -torch.sum(torch.log_softmax(logits, -1) * labels) / BATCH


def descend(given: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
    return [x - RATE * g for x, g in zip(given, grads, strict=False)]


WORKLOAD = Workload('W5', 'convnet like LeNet, SGD', make, loss, len(SHAPES), descend)
