"""The workloads of the benchmark: one short file each, every one written once for tensors and for nodes."""

from benchmarks.workloads import (
    w01_transformer,
    w02_mlp,
    w03_small_chain,
    w04_large_chain,
    w06_logistic,
    w07_rnn,
    w09_fused,
)
from benchmarks.workloads.workload import Workload

__all__ = ['ALL', 'Workload']

ALL: tuple[Workload, ...] = (
    w01_transformer.WORKLOAD,
    w02_mlp.WORKLOAD,
    w03_small_chain.WORKLOAD,
    w04_large_chain.WORKLOAD,
    w06_logistic.PRODUCT,
    w06_logistic.HESSIAN,
    w07_rnn.WORKLOAD,
    w09_fused.LAYERNORM,
    w09_fused.SOFTMAX,
)
