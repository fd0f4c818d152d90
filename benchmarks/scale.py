"""Measure how building, differentiating, rewriting and planning grow with the graph, and what a call costs.

Run with ``make scale``. Everything is to be linear: nodes per second at 100,000 nodes are those at 10,000.
The call of a plan is compared with the same kernels in straight-line Python, in turn, as a ratio of medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

import adjoint as ad
from adjoint.core.tensor_type import TensorType
from adjoint.execute.plan import Plan
from adjoint.passes.pipeline import Level
from adjoint.passes.specialize import specialized
from benchmarks.speed import chain, seconds

Build = Callable[[ad.Node, int], ad.Node]


def wide(x: ad.Node, count: int) -> ad.Node:
    """As many ops beside each other, and a tree that adds them up."""
    level = [ad.sin(x * (1.0 + i / count)) for i in range(count // 3)]
    while len(level) > 1:
        pairs = [a + b for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs if len(level) % 2 == 0 else [*pairs, level[-1]]
    return level[0]


@dataclass(frozen=True)
class Figures:
    """What was measured of one graph: nodes, and seconds."""

    nodes: int
    left: int
    build: float
    differentiate: float
    optimize: float
    plan: float


def measured(build: Build, count: int, level: Level) -> Figures:
    """Measure a graph with its derivative; the plan includes types, rewrites, a first run and the program."""
    x, value = ad.Variable('x'), torch.full((4,), 0.5, dtype=torch.float64)
    y = build(x, count)
    built = seconds(lambda: build(x, count))
    derived = seconds(lambda: ad.gradients(y, [x]))
    nodes = [y, *ad.gradients(y, [x])]
    known = specialized(nodes, {x: TensorType.of(value)}, final=True)
    after: list[ad.Node] = []
    rewritten = seconds(lambda: after.extend(ad.optimize(known.nodes, level, final=True)))
    left = len(ad.topological_sort(after))
    evaluator = ad.Evaluator(nodes, Plan(at_first_sight=True), level)
    planned = seconds(lambda: evaluator.run({x: value}))
    return Figures(len(ad.topological_sort(nodes)), left, built, derived, rewritten, planned)


def scale_table(counts: Sequence[int], level: Level) -> Table:
    """Nodes per second, by the nodes of the graph with its derivative."""
    heads = ('graph', 'nodes', 'after', 'build', 'differentiate', 'optimise', 'plan', 'plan, s')
    table = Table(*heads, title=f'nodes/s, level {level}')
    for build in (chain, wide):
        for count in counts:
            f = measured(build, count, level)
            rates = (count / f.build, f.nodes / f.differentiate, f.nodes / f.optimize, f.nodes / f.plan)
            row = [build.__name__, *(f'{n:,}' for n in (f.nodes, f.left)), *(f'{r:,.0f}' for r in rates)]
            table.add_row(*row, f'{f.plan:.2f}')
    return table


def straight_line(count: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The chain in straight-line torch, as one would write it who frees each value: no loop, no list."""
    lines = ['def program(x):', ' y = x']
    lines += [' y = sin(y).mul_(x)'] * (count // 2)
    scope: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {'sin': torch.sin}
    exec('\n'.join([*lines, ' return y']), scope)  # noqa: S102 made of the lines above
    return scope['program']


def overhead(count: int, rounds: int) -> tuple[float, float]:
    """Microseconds for each op of a chain on 4 floats: of a plan, and by hand."""
    x, value = ad.Variable('x'), torch.full((4,), 0.5)
    run = ad.Evaluator([chain(x, count)]).over([x])
    by_hand = torch.no_grad()(straight_line(count))
    given = [value]
    for _ in range(3):
        assert torch.equal(run(given)[0], by_hand(value))
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for each, action in zip(times, (lambda: run(given), lambda: by_hand(value)), strict=True):
            start = time.perf_counter()
            action()
            each.append(time.perf_counter() - start)
    ours, theirs = (statistics.median(each) / count * 1e6 for each in times)
    return ours, theirs


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        '--counts',
        type=int,
        nargs='*',
        default=[2_000, 20_000],
        help='ops of the function, which with its derivative are five times as many nodes',
    )
    parser.add_argument('--level', default='bitwise', choices=['none', 'bitwise', 'default', 'fast'])
    parser.add_argument('--rounds', type=int, default=500, help='calls of each (default 500)')
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    console.print(scale_table(options.counts, options.level))
    calls = Table('ops', 'plan', 'by hand', 'ratio', title='microseconds for each op of a call')
    for count in (20, 200, 2000):
        ours, theirs = overhead(count, options.rounds)
        calls.add_row(str(count), f'{ours:.2f}', f'{theirs:.2f}', f'{ours / theirs:.3f}')
    console.print(calls)


if __name__ == '__main__':
    main()
