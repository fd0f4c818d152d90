"""The workloads of the benchmark: one short file each, every one written once for tensors and for nodes."""

from benchmarks.workloads import (
    w01_transformer,
    w02_mlp,
    w03_small_chain,
    w04_large_chain,
    w05_convnet,
    w06_logistic,
    w07_rnn,
    w08_gpt,
    w09_fused,
    w10_skeleton,
    w11_mixture,
)
from benchmarks.workloads.workload import Workload

__all__ = ['ALL', 'FOR_GPU', 'Workload']

ALL: tuple[Workload, ...] = (
    w01_transformer.WORKLOAD,
    w02_mlp.WORKLOAD,
    w03_small_chain.WORKLOAD,
    w04_large_chain.WORKLOAD,
    w05_convnet.WORKLOAD,
    w06_logistic.PRODUCT,
    w06_logistic.HESSIAN,
    w07_rnn.UNROLLED,
    w07_rnn.SCAN,
    w08_gpt.WORKLOAD,
    w09_fused.LAYERNORM,
    w09_fused.SOFTMAX,
    w10_skeleton.WORKLOAD,
    w11_mixture.SMALL,
    w11_mixture.MIDDLE,
    w11_mixture.LARGE,
)
# Larger, for a GPU only.
FOR_GPU: tuple[Workload, ...] = (w04_large_chain.LARGE, w08_gpt.LARGE)
