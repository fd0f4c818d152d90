"""Where the time of a workload goes: the kernels of each competitor, and what is spent around them.

Run with ``make kernels ARGS='W5 W8'``. torch's own profiler is on while a competitor runs, with one thread,
so that nothing waits for another; the times are those of a run under it, and shares are to be read, not sums.
What the wall clock says, in turns and without the profiler, stands below: it has what it costs to get from
kernel to kernel too. With ``--compile``, what is compiled joins: what it takes beyond the kernels of torch
that it still calls is code of its own.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench import Competitor, Options, competitors
from benchmarks.workloads import ALL, Workload

NAMES = ('eager', 'by hand', 'plan', 'plan, fast')
RUNS = 10


def walls(running: Mapping[str, Competitor], given: Sequence[torch.Tensor]) -> dict[str, float]:
    """Return the median seconds of a run of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(RUNS):
        for name, competitor in running.items():
            start = time.perf_counter()
            competitor(*given)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def kernels(competitor: Competitor, given: Sequence[torch.Tensor]) -> dict[str, tuple[int, float]]:
    """Return, by the name of each kernel, how often a run calls it and its own seconds in a run."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(RUNS):
            competitor(*given)
    averages: Any = seen.key_averages()
    return {
        each.key.removeprefix('aten::'): (each.count // RUNS, each.self_cpu_time_total / RUNS / 1e6)
        for each in averages
        if each.key.startswith('aten::')
    }


def shown(workload: Workload, rows: int, *, with_compiled: bool) -> Table:
    """Measure the competitors that call kernels of torch, and list where their time goes."""
    given = workload.make()
    names = (*NAMES, 'compiled') if with_compiled else NAMES
    options = Options(only=names, with_compilers=with_compiled)
    made: dict[str, Callable[[], Competitor]] = competitors(workload, given, options)
    running = {name: made[name]() for name in names if name in made}
    table = Table(title=f'{workload.name}: {workload.title}; us of one run, one thread')
    table.add_column('kernel')
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for name, competitor in running.items():
        for _ in range(3):  # the program is written when a signature comes again
            competitor(*given)
        found[name] = kernels(competitor, given)
        table.add_column(name, justify='right')
    times = walls(running, given)
    together = sorted(
        {kernel for each in found.values() for kernel in each},
        key=lambda kernel: -max(each.get(kernel, (0, 0.0))[1] for each in found.values()),
    )

    def line(title: str, numbers: Sequence[str]) -> None:
        table.add_row(title, *numbers)

    for kernel in together[:rows]:
        calls = [each.get(kernel) for each in found.values()]
        line(kernel, ['' if c is None else f'{c[1] * 1e6:,.0f} ({c[0]})' for c in calls])
    rest = [sum(each[k][1] for k in together[rows:] if k in each) for each in found.values()]
    line(f'{len(together[rows:])} others', [f'{s * 1e6:,.0f}' for s in rest])
    calls = [sum(count for count, _ in each.values()) for each in found.values()]
    sums = [sum(seconds for _, seconds in each.values()) for each in found.values()]
    table.add_section()
    line('all kernels, profiled', [f'{s * 1e6:,.0f}' for s in sums])
    line('calls', [f'{c:,}' for c in calls])
    line('wall clock, not profiled', [f'{s * 1e6:,.0f}' for s in times.values()])
    line('ratio', [f'{s / times["eager"]:.2f}' for s in times.values()])
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'only', nargs='*', help='names of workloads, such as W5; all but W10 if none is named'
    )
    parser.add_argument('--rows', type=int, default=15, help='how many kernels are listed (default 15)')
    parser.add_argument('--compile', action='store_true', help='what is compiled, too')
    given = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=110)
    for workload in ALL:
        if workload.name in given.only or (not given.only and workload.name != 'W10'):
            console.print(shown(workload, given.rows, with_compiled=given.compile))


if __name__ == '__main__':
    main()
