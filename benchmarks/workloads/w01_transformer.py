"""W1: a transformer that reads an image row by row: 28x28, width 128, batch 50; loss, 8 gradients, SGD."""

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn

BATCH, ROWS, WIDTH, CLASSES, RATE = 50, 28, 128, 10, 0.1


def make() -> list[torch.Tensor]:
    shapes = [
        (ROWS, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH,),
        (WIDTH, CLASSES), (CLASSES,),
    ]  # fmt: skip
    parameters = [randn(*shape, seed=i, scale=0.05) for i, shape in enumerate(shapes)]
    images = randn(BATCH, ROWS, ROWS, seed=20)
    labels = torch.eye(CLASSES)[torch.arange(BATCH) % CLASSES]
    return [*parameters, images, labels]


def loss(
    embed: Any,
    query: Any,
    key: Any,
    value: Any,
    mix: Any,
    bias: Any,
    out: Any,
    shift: Any,
    images: Any,
    labels: Any,
) -> Any:
    h = torch.matmul(images, embed)
    scores = torch.matmul(torch.matmul(h, query), torch.transpose(torch.matmul(h, key), 1, 2))
    weights = torch.softmax(scores / WIDTH**0.5, -1)
    h = torch.nn.functional.layer_norm(h + torch.matmul(weights, torch.matmul(h, value)), (WIDTH,))
    h = torch.relu(torch.matmul(h, mix) + bias)
    logits = torch.matmul(torch.mean(h, 1), out) + shift
    return -torch.sum(torch.log_softmax(logits, -1) * labels) / BATCH


def descend(given: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
    return [x - RATE * g for x, g in zip(given, grads, strict=False)]


WORKLOAD = Workload('W1', 'row transformer, SGD', make, loss, 8, descend)
