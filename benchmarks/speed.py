"""Measure how fast graphs are built, differentiated and run: nodes per second, and ratios to eager PyTorch.

Run with ``make speed``. Every figure is the best of several rounds, and what is compared runs in turn in
the same round, so that a machine that is busy with something else disturbs both alike.
"""

import argparse
import gc
import pickle
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

import adjoint as ad

DEPTH = 100_000
DIAMONDS = 60


def seconds(action: Callable[[], object]) -> float:
    """The time that one call takes, with the garbage of earlier ones out of the way."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def chain(x: ad.Node, depth: int = DEPTH) -> ad.Node:
    """A chain of unary and binary ops."""
    y = x
    for _ in range(depth // 2):
        y = ad.sin(y) * x
    return y


def ladder(x: ad.Node) -> ad.Node:
    """Diamonds one on the other: 2**60 paths from top to bottom."""
    y = x
    for _ in range(DIAMONDS):
        y = ad.sin(y) + ad.cos(y)
    return y


def depth_figures(rounds: int) -> list[tuple[str, float, str]]:
    """Nodes per second over a chain of 100,000 ops, untyped and typed."""
    figures: list[tuple[str, float, str]] = []
    for kind, x in (
        ('untyped', ad.Variable('x')),
        ('typed', ad.Variable('x', shape=(4,), dtype=torch.float64)),
    ):
        values = {x: torch.full((4,), 0.5, dtype=torch.float64)}
        build = min(seconds(lambda x=x: chain(x)) for _ in range(rounds))
        y = chain(x)
        backward = min(seconds(lambda x=x, y=y: ad.gradients(y, [x])) for _ in range(rounds))
        (g,) = ad.gradients(y, [x])
        nodes = len(ad.topological_sort(g))
        evaluator = ad.Evaluator([g])
        run = min(seconds(lambda e=evaluator, v=values: e.run(v)) for _ in range(rounds))
        figures += [
            (f'{kind}: build', DEPTH / build, 'nodes/s'),
            (f'{kind}: gradients, by nodes differentiated', DEPTH / backward, 'nodes/s'),
            (f'{kind}: gradients, by nodes made', (nodes - DEPTH) / backward, 'nodes/s'),
            (f'{kind}: evaluate the gradient', nodes / run, 'nodes/s'),
        ]
    y = chain(ad.Variable('x'))
    figures.append(('pickle and load', DEPTH / seconds(lambda: pickle.loads(pickle.dumps(y))), 'nodes/s'))  # noqa: S301 our own
    return figures


def ladder_figure() -> tuple[str, float, str]:
    """How many nodes the gradient of the ladder has: linear, not 2**60."""
    x = ad.Variable('x', shape=(), dtype=torch.float64)
    (g,) = ad.gradients(ladder(x), [x])
    return 'gradient of 60 diamonds (2^60 paths)', float(len(ad.topological_sort(g))), 'nodes'


def network_ratio(rounds: int) -> float:
    """The time of a value and gradient through the reference evaluator, over that of eager torch."""
    generator = torch.Generator().manual_seed(0)
    x, a, b = (torch.randn(shape, generator=generator) for shape in ((64, 256), (256, 256), (256, 10)))

    def loss(p: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(torch.relu(x @ p['a']) @ p['b'], -1).square().mean()

    ours = ad.value_and_grad(loss)

    def eager() -> None:
        p = {'a': a.detach().requires_grad_(), 'b': b.detach().requires_grad_()}
        loss(p, x).backward()

    ours({'a': a, 'b': b}, x)
    eager()
    ratios = [seconds(lambda: ours({'a': a, 'b': b}, x)) / seconds(eager) for _ in range(rounds * 20)]
    return statistics.median(ratios)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument('--rounds', type=int, default=5, help='repetitions of each figure')
    rounds: int = parser.parse_args().rounds
    torch.set_num_threads(2)
    table = Table('what', 'figure', 'unit', title=f'chain of {DEPTH:,} ops, best of {rounds} rounds')
    for what, figure, unit in [*depth_figures(rounds), ladder_figure()]:
        table.add_row(what, f'{figure:,.0f}', unit)
    ratio = network_ratio(rounds)
    table.add_row('two-layer network, reference evaluator / eager torch', f'{ratio:.2f}', 'median ratio')
    Console().print(table)


if __name__ == '__main__':
    main()
