"""What the derivative of a long loop keeps and computes again: ``python benchmarks/loop_memory.py``.

For a loop of 100,000 steps (``--steps``), by scan and by while_loop, with different room for carries: how
many carries are kept at most, in bytes too, and how many steps are run again; beside them the fewest that any
order needs with that room (Griewank and Walther 2000), and how often one step is repeated at most. Counts,
no times.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

import adjoint as ad
from adjoint.flow import revolve, sweep

WIDTH = 64  # entries of the carry


@dataclass
class Count:
    """What one reverse sweep did."""

    kept: int = 0
    again: int = 0

    def order(self, steps: int, snapshots: int) -> Iterator[tuple[revolve.Action, int]]:
        """Follow the order of a sweep, counting."""
        now = 0
        for action, step in revolve.order(steps, snapshots):
            now += (action == 'keep') - (action == 'drop')
            self.kept = max(self.kept, now)
            self.again += action == 'advance'
            yield action, step


def by_scan(steps: int, checkpoint: Any) -> Callable[[Any], Any]:
    """A loop of a known length."""

    def function(x: Any) -> Any:
        return ad.scan(lambda c, _: (step(c), None), x, length=steps, checkpoint=checkpoint)[0].sum()

    return function


def by_while(steps: int, checkpoint: Any) -> Callable[[Any], Any]:
    """A loop whose length follows from its values."""

    def function(x: Any) -> Any:
        def body(carry: Any) -> Any:
            return carry[0] + 1, step(carry[1])

        start = (torch.tensor(0), x)
        return ad.while_loop(lambda carry: carry[0] < steps, body, start, checkpoint=checkpoint)[1].sum()

    return function


def step(c: Any) -> Any:
    """One step: slowly moving, so that the derivative is neither 0 nor infinite after many."""
    return c + 1e-5 * torch.sin(c)


def witness(steps: int, x: torch.Tensor) -> torch.Tensor:
    """The derivative as the product of those of the steps."""
    product = torch.ones_like(x)
    for _ in range(steps):
        product = product * (1 + 1e-5 * torch.cos(x))
        x = step(x)
    return product


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--steps', type=int, default=100_000)
    parser.add_argument('--room', type=int, nargs='*', default=[10, 100])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps: int = arguments.steps
    x = torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
    wanted = witness(steps, x)
    table = Table(title=f'derivative of a loop of {steps:,} steps, a carry of {WIDTH * 8} bytes')
    for title in (
        'loop',
        'room',
        'kept at most',
        'bytes',
        'steps again',
        'fewest',
        'per step',
        'repeats',
        'error',
    ):
        table.add_column(title, justify='left' if title == 'loop' else 'right')
    for name, build in (('scan', by_scan), ('while_loop', by_while)):
        # A while loop carries its counter too.
        size = WIDTH * 8 + (8 if name == 'while_loop' else 0)
        for room in (True, *arguments.room):
            count = Count()
            with mock.patch.object(sweep, 'order', count.order):
                got = ad.grad(build(steps, room))(x)
            error = float(((got - wanted) / wanted).abs().max())
            allowed = revolve.default_snapshots(steps) if room is True else room
            fewest = revolve.fewest_steps(steps, allowed)
            assert count.again == fewest
            assert count.kept <= allowed
            assert error < 1e-11  # noqa: PLR2004 100,000 roundings
            table.add_row(
                name, 'default' if room is True else str(room), str(count.kept), f'{count.kept * size:,}',
                f'{count.again:,}', f'{fewest:,}', f'{count.again / steps:.2f}',
                str(revolve.repeats_of(steps, allowed)), f'{error:.0e}',
            )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    console.print(f'all carries would be {steps * WIDTH * 8:,} bytes')


if __name__ == '__main__':
    main()
