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


LAYERNORM = Workload('W9a', 'matmul and layernorm', make_matrices, layernorm, 2)
SOFTMAX = Workload('W9b', 'matmul and softmax', make_batches, softmax, 2)
