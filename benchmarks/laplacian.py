"""Measure the Laplacian of a small network: Taylor mode against traces of Hessians, ours and torch's.

Run with ``make laplacian``. All compute the same number to rounding, which is checked. They run in turn,
round after round; what is printed are medians as ratios to Taylor mode, so that a busy machine disturbs all
alike.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import adjoint as ad

Tensor = torch.Tensor


def network(inputs: int, width: int, depth: int) -> Callable[[Any], Any]:
    """A network of one number, with smooth activations, on one point."""
    sizes = [inputs, *[width] * depth]
    weights = [torch.randn(a, width, dtype=torch.float64) / math.sqrt(a) for a in sizes[:-1]]
    biases = [torch.randn(width, dtype=torch.float64) for _ in weights]
    last = torch.randn(width, dtype=torch.float64)

    def apply(x: Any) -> Any:
        for w, b in zip(weights, biases, strict=True):
            x = torch.tanh(torch.matmul(x, w) + b)
        return torch.matmul(x, last)

    return apply


def ways(function: Callable[[Any], Any]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Each way to the Laplacian, as a function of a point."""
    hessian = ad.hessian(function)
    of_torch: Callable[[Tensor], Tensor] = torch.func.hessian(function)
    twice: Callable[[Tensor], Tensor] = torch.func.jacrev(torch.func.jacrev(function))
    return {
        'Taylor mode': ad.laplacian(function),
        'trace of ad.hessian': lambda x: hessian(x).trace(),
        'trace of torch.func.hessian': lambda x: of_torch(x).trace(),
        'trace of torch.func.jacrev twice': lambda x: twice(x).trace(),
    }


def seconds(action: Callable[[Tensor], Tensor], x: Tensor, repeat: int) -> float:
    """The time of one call."""
    start = time.perf_counter()
    for _ in range(repeat):
        action(x)
    return (time.perf_counter() - start) / repeat


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--repeat', type=int, default=5, help='calls in a row, in each round')
    parser.add_argument('--width', type=int, default=64)
    parser.add_argument('--depth', type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table(title=f'time of a Laplacian, tanh network {options.depth} x {options.width}, as a ratio')
    table.add_column('')
    sizes = (3, 16, 64)
    columns: list[dict[str, float]] = []
    for inputs in sizes:
        table.add_column(f'{inputs} inputs', justify='right')
        actions = ways(network(inputs, options.width, options.depth))
        x = torch.randn(inputs, dtype=torch.float64)
        values = [action(x) for action in actions.values()]  # warms up, and is checked
        if max(abs(float(v - values[0])) for v in values) > 1e-10 * (1 + abs(float(values[0]))):
            msg = f'the Laplacians differ: {values}'
            raise AssertionError(msg)
        times: dict[str, list[float]] = {name: [] for name in actions}
        for _ in range(options.rounds):
            for name, action in actions.items():
                times[name].append(seconds(action, x, options.repeat))
        columns.append({name: statistics.median(own) for name, own in times.items()})
    for name in columns[0]:
        table.add_row(name, *(f'{own[name] / own["Taylor mode"]:.2f}' for own in columns))
    Console().print(table)


if __name__ == '__main__':
    main()
