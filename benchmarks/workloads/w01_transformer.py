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


def by_hand(
    embed: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mix: torch.Tensor,
    bias: torch.Tensor,
    out: torch.Tensor,
    shift: torch.Tensor,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> list[torch.Tensor]:
    """Queries, keys and values in one product; fused kernels both ways."""
    aten, shape = torch.ops.aten, (BATCH, ROWS, WIDTH)
    rows, projections = images.view(-1, ROWS), torch.cat([query, key, value], 1)
    h = rows @ embed
    q, k, v = (part.view(shape) for part in torch.tensor_split(h @ projections, 3, 1))
    weights = torch.softmax(torch.bmm(q, k.mT).mul_(WIDTH**-0.5), -1)
    mixed = torch.baddbmm(h.view(shape), weights, v)
    normed, mean, rstd = torch.native_layer_norm(mixed, (WIDTH,), None, None, 1e-5)
    normed = normed.view(-1, WIDTH)
    active = torch.addmm(bias, normed, mix).relu_()
    pooled = active.view(shape).mean(1)
    logs = torch.log_softmax(torch.addmm(shift, pooled, out), -1)
    loss = torch.sum(logs * labels).div_(-BATCH)

    g = torch.exp(logs).mul_(labels.sum(1, keepdim=True)).sub_(labels).div_(BATCH)
    by_pooled = (g @ out.T).div_(ROWS)
    by_active = aten.threshold_backward(by_pooled.unsqueeze(1).expand(shape).reshape(-1, WIDTH), active, 0)
    by_normed = (by_active @ mix.T).view(shape)
    by_mixed, _, _ = aten.native_layer_norm_backward(
        by_normed, mixed, (WIDTH,), mean, rstd, None, None, [True, False, False]
    )
    by_weights = torch.bmm(by_mixed, v.mT)
    by_scores = aten._softmax_backward_data(by_weights, weights, -1, weights.dtype).mul_(WIDTH**-0.5)  # noqa: SLF001
    parts = [torch.bmm(by_scores, k), torch.bmm(by_scores.mT, q), torch.bmm(weights.mT, by_mixed)]
    by_qkv = torch.cat(parts, 2).view(-1, 3 * WIDTH)
    by_h = torch.addmm(by_mixed.view(-1, WIDTH), by_qkv, projections.T)
    by_projections = torch.tensor_split(h.T @ by_qkv, 3, 1)
    grads = [
        rows.T @ by_h, *by_projections, normed.T @ by_active, by_active.sum(0), pooled.T @ g, g.sum(0),
    ]  # fmt: skip
    parameters = [embed, query, key, value, mix, bias, out, shift]
    return [loss, *(torch.sub(x, g, alpha=RATE) for x, g in zip(parameters, grads, strict=True))]


WORKLOAD = Workload('W1', 'row transformer, SGD', make, loss, 8, descend, by_hand)
