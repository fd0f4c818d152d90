"""Some of the workloads in PyTensor, by name."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from benchmarks.workloads import w02_mlp, w04_large_chain
from benchmarks.workloads.workload import Workload

__all__ = ['LOSSES', 'competitor']

# Imported so, since it may not be there for who checks the types.
pytensor: Any = import_module('pytensor')
pt: Any = import_module('pytensor.tensor')


def _perceptron(*given: Any) -> Any:
    h, labels = given[-2], given[-1]
    for i in range(0, w02_mlp.COUNT, 2):
        h = h @ given[i] + given[i + 1]
        if i < w02_mlp.COUNT - 2:
            h = pt.maximum(h, 0)
    return -pt.sum(pt.special.log_softmax(h, axis=-1) * labels) / w02_mlp.BATCH


def _small_chain(x: Any) -> Any:
    y = x
    for _ in range(20):
        y = pt.tanh(pt.sin(y) * x)
    return pt.sum(y)


def _large_chain(x: Any) -> Any:
    y = x
    for _ in range(w04_large_chain.ROUNDS):
        y = pt.tanh(y * w04_large_chain.SCALE + w04_large_chain.OFFSET)
    return pt.mean(y)


def _logistic(w: Any, x: Any, y: Any, *_: Any) -> Any:
    return -pt.mean(-pt.softplus(-(x @ w) * y))


LOSSES: dict[str, Callable[..., Any]] = {
    'W2': _perceptron, 'W3': _small_chain, 'W4': _large_chain, 'W6a': _logistic,
}  # fmt: skip


def competitor(workload: Workload) -> Callable[..., list[Any]]:
    """Return the computation by a compiled function of PyTensor, from tensors to arrays."""
    pytensor.config.floatX = 'float32'
    variables: list[Any] = [
        pt.TensorType(str(x.dtype).removeprefix('torch.'), tuple(x.shape))(f'x{i}')
        for i, x in enumerate(workload.make())
    ]
    moving = variables[: workload.by]
    value: Any = LOSSES[workload.name](*variables)
    if workload.kind == 'product':
        (first,) = pt.grad(value, moving)
        outputs = pt.grad(pt.sum(first * variables[-1]), moving)
    else:
        outputs = [value, *workload.finish(variables, pt.grad(value, moving))]
    run = pytensor.function(variables, outputs, on_unused_input='ignore')

    def called(*given: torch.Tensor) -> list[Any]:
        return run(*(x.numpy() for x in given))

    return called
