"""What a new process waits for: imports, the graph of a workload, its first runs, and those that follow.

Run with ``make fresh``. Every workload has processes of its own; the figures are medians of these. Where a
workload is written with functions of torch, building the graph imports what torch records programs with.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:  # imports are measured
    from adjoint.passes.pipeline import Level

PARTS = ('import torch', 'import adjoint', 'graph', '1st run', '2nd run', '3rd run')


def once(name: str, optimize: 'Level') -> dict[str, float]:
    """Measure this process; it must not have imported torch."""
    found: dict[str, float] = {}
    last = time.perf_counter()

    def note(part: str) -> None:
        nonlocal last
        now = time.perf_counter()
        found[part] = now - last
        last = time.perf_counter()

    import torch

    note('import torch')
    import adjoint as ad

    note('import adjoint')
    torch.set_num_threads(2)
    from benchmarks.workloads import ALL

    workload = next(each for each in ALL if each.name == name)
    given = workload.make()
    last = time.perf_counter()
    variables, nodes = workload.nodes(given)
    evaluator = ad.Evaluator(nodes, optimize=optimize)
    note('graph')
    values = dict(zip(variables, given, strict=True))
    for part in PARTS[3:]:
        evaluator.run(values)
        note(part)
    return found


def measured(name: str, optimize: 'Level', rounds: int) -> dict[str, float]:
    """Measure as many processes, one after the other; those before them have compiled Python's modules."""
    this = [sys.executable, '-W', 'ignore', '-m', 'benchmarks.fresh']
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
    answers: list[dict[str, float]] = []
    for _ in range(1 + rounds):
        ran = subprocess.run(  # noqa: S603 this file
            [*this, '--once', name, '--optimize', optimize],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=env,
        )
        answers.append(json.loads(ran.stdout))
    return {part: statistics.median(each[part] for each in answers[1:]) for part in PARTS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument('--only', nargs='*', help='workloads, such as W3 W6a (default: all)')
    parser.add_argument('--optimize', default='default', choices=['none', 'bitwise', 'default', 'fast'])
    parser.add_argument('--rounds', type=int, default=3, help='processes of each (default 3)')
    parser.add_argument('--once', metavar='WORKLOAD', help='measure this process, and print JSON')
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.once, options.optimize)))
        return
    from benchmarks.workloads import ALL

    names = [each.name for each in ALL if not options.only or each.name in options.only]
    table = Table('workload', *PARTS, title=f'milliseconds in a new process, level {options.optimize}')
    for name in track(names, 'measuring', console=Console(stderr=True)):
        found = measured(name, options.optimize, options.rounds)
        table.add_row(name, *(f'{found[part] * 1e3:,.1f}' for part in PARTS))
    Console().print(table)


if __name__ == '__main__':
    main()
