"""W9: matmul with layernorm, and with softmax, forward and backward."""

from typing import Any

import torch

from benchmarks.workloads.workload import Workload, randn


def make_matrices() -> list[torch.Tensor]:
    return [randn(1024, 512, seed=0), randn(512, 1024, seed=1), randn(1024, 1024, seed=2)]


def make_batches() -> list[torch.Tensor]:
    return [randn(32, 128, 64, seed=0), randn(32, 64, 128, seed=1), randn(32, 128, 128, seed=2)]


def layernorm(a: Any, b: Any, weights: Any) -> Any:
    return torch.sum(torch.nn.functional.layer_norm(torch.matmul(a, b), (1024,)) * weights)


def softmax(a: Any, b: Any, weights: Any) -> Any:
    return torch.sum(torch.softmax(torch.matmul(a, b) / 8, -1) * weights)


def layernorm_by_hand(a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    product = a @ b
    normed, mean, rstd = torch.native_layer_norm(product, (1024,), None, None, 1e-5)
    total = torch.sum(normed.mul_(weights))
    g, _, _ = torch.ops.aten.native_layer_norm_backward(
        weights, product, (1024,), mean, rstd, None, None, [True, False, False]
    )
    return [total, g @ b.T, a.T @ g]


def softmax_by_hand(a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    p = torch.softmax(torch.bmm(a, b).div_(8), -1)
    g = torch.ops.aten._softmax_backward_data(weights, p, -1, p.dtype).div_(8)  # noqa: SLF001 an op of ATen
    return [torch.sum(p.mul_(weights)), torch.bmm(g, b.mT), torch.bmm(a.mT, g)]


LAYERNORM = Workload('W9a', 'matmul and layernorm', make_matrices, layernorm, 2, by_hand=layernorm_by_hand)
SOFTMAX = Workload('W9b', 'matmul and softmax', make_batches, softmax, 2, by_hand=softmax_by_hand)
