"""Compare the memory that is told before a run with what the run takes, and time with budgets.

Run with ``make memory``; ``ARGS='--rounds 5'`` takes less time. Peaks are counted, allocation by allocation,
and do not depend on what else the machine does. Times are ratios of medians of interleaved runs.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import torch

import adjoint as ad
from benchmarks.memory_models import MODELS, Made
from benchmarks.peak import measured_peak

RESULTS = Path(__file__).parent / 'results'
PARTS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
MEBI = 2**20
COLOURS = ('#1f77b4', '#ff7f0e', '#2ca02c', '#9467bd')


@dataclass
class Point:
    """A run within a budget."""

    part: float
    told: int
    measured: int
    first: int
    again: int
    expected: float
    ratio: float = 1.0


@dataclass
class Row:
    """What was found of one model."""

    name: str
    steps: int
    seconds: float
    told: int
    measured: int
    eager: int
    points: list[Point] = field(default_factory=list[Point])
    refusal: str = ''


def measured(name: str, made: Made, rounds: int) -> Row:
    """Measure one model."""
    free = ad.Evaluator(made.nodes)
    start = time.perf_counter()
    memory = free.memory(made.values)
    row = Row(name, len(memory.steps), time.perf_counter() - start, memory.peak_bytes, 0, 0)
    wanted = free.run(made.values)
    free.run(made.values)
    made.eager()
    row.measured, row.eager = measured_peak(lambda: free.run(made.values)), measured_peak(made.eager)
    running = {1.0: free}
    for part in PARTS:
        evaluator = ad.Evaluator(made.nodes, memory_budget=int(part * memory.peak_bytes))
        try:
            told = evaluator.memory(made.values)
        except ad.BudgetError as refused:
            row.refusal = str(refused).splitlines()[0]
            break
        results: list[torch.Tensor] = []
        first = measured_peak(lambda: results.extend(evaluator.run(made.values)))  # noqa: B023 it runs here
        then = measured_peak(lambda: evaluator.run(made.values))  # noqa: B023 it runs here
        assert all(torch.equal(a, b) for a, b in zip(results, wanted, strict=True))
        running[part] = evaluator
        row.points.append(
            Point(part, told.peak_bytes, then, first, len(told.recomputed), 1 + told.overhead())
        )
    times = timed(running, made, rounds)
    for point in row.points:
        point.ratio = times[point.part] / times[1.0]
    return row


def timed(running: dict[float, ad.Evaluator], made: Made, rounds: int) -> dict[float, float]:
    """Return the median times, run in turn."""
    times: dict[float, list[float]] = {part: [] for part in running}
    for _ in range(rounds):
        for part, evaluator in running.items():
            start = time.perf_counter()
            evaluator.run(made.values)
            times[part].append(time.perf_counter() - start)
    return {part: statistics.median(each) for part, each in times.items()}


_ABOUT = """# Memory: told and measured

Peaks are of a loss with all its gradients in float32, beside parameters and inputs. They are told from shapes
and dtypes alone, and measured by counting every allocation of a run that is not the first. Written by
`make memory`.

| model | steps | told, MiB | measured, MiB | told / measured | eager torch, MiB | plan / eager |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""

_ABOUT_BUDGETS = """
Within a budget, as a part of the peak without one. The results are compared bit by bit with those without a
budget. The expected time is that of the roofline with nominal rates; the measured one is a ratio of medians
of interleaved runs.

| model | budget | told, MiB | measured, MiB | first run, MiB | again | time, expected | time, measured |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def written(rows: Sequence[Row]) -> str:
    """Return the tables."""
    peaks = [
        f'| {row.name} | {row.steps} | {row.told / MEBI:.2f} | {row.measured / MEBI:.2f} '
        f'| {row.told / row.measured:.4f} | {row.eager / MEBI:.2f} | {row.measured / row.eager:.2f} |\n'
        for row in rows
    ]
    budgets = [
        f'| {row.name} | {p.part:.0%} | {p.told / MEBI:.2f} | {p.measured / MEBI:.2f} '
        f'| {p.first / MEBI:.2f} | {p.again} | {p.expected:.2f} | {p.ratio:.2f} |\n'
        for row in rows
        for p in row.points
    ]
    refusals = [f'* {row.name}: {row.refusal}\n' for row in rows if row.refusal]
    return ''.join([_ABOUT, *peaks, _ABOUT_BUDGETS, *budgets, '\nBelow that:\n\n', *refusals])


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the peaks, and the time within budgets."""
    mpl.use('Agg')
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

    figure, (peaks, times) = plt.subplots(1, 2, figsize=(12, 4.4), layout='constrained')
    kinds = (('told before the run', '#1f77b4'), ('measured', '#7fb2d9'), ('eager torch', '#c7c7c7'))
    width = 0.27
    for k, (label, colour) in enumerate(kinds):
        heights = [(row.told, row.measured, row.eager)[k] / MEBI for row in rows]
        bars = peaks.bar(
            [i + (k - 1) * width for i in range(len(rows))], heights, width, color=colour, label=label
        )
        peaks.bar_label(bars, fmt='%.1f', fontsize=7.5, padding=1)
    peaks.set_xticks(range(len(rows)), [row.name.replace(', ', '\n') for row in rows])
    peaks.set(ylabel='MiB beside parameters and inputs', title='peak memory of a loss and its gradients')
    peaks.margins(y=0.12)
    peaks.legend(frameon=False)
    for row, colour in zip(rows, COLOURS, strict=False):
        if not row.points:
            continue
        parts = [1.0, *(p.measured / row.measured for p in row.points)]
        times.plot(parts, [1.0, *(p.expected for p in row.points)], color=colour, label=row.name)
        times.plot(parts, [1.0, *(p.ratio for p in row.points)], 'o', color=colour, markersize=4.5)
    times.plot([], [], color='black', label='expected')
    times.plot([], [], 'o', color='black', markersize=4.5, label='measured')
    times.invert_xaxis()
    times.xaxis.set_major_formatter(PercentFormatter(1.0))
    times.set(xlabel='measured peak, of that without a budget', ylabel='time, of that without a budget')
    times.set(title='time within a memory budget')
    times.grid(alpha=0.3)
    times.legend(frameon=False)
    for axes in (peaks, times):
        axes.spines[['top', 'right']].set_visible(False)
    aside = path.with_suffix('.part.png')
    figure.savefig(aside, dpi=130)
    plt.close(figure)
    aside.replace(path)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='*', help='names of models, such as GPT')
    parser.add_argument('--rounds', type=int, default=15, help='of each competitor (default 15)')
    parser.add_argument('--threads', type=int, default=2, help='of torch (default 2)')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for name, make in MODELS.items():
        if not options.only or any(name.startswith(chosen) for chosen in options.only):
            torch.manual_seed(0)
            rows.append(measured(name, make(), options.rounds))
    RESULTS.mkdir(exist_ok=True)
    text = written(rows)
    print(text)
    (RESULTS / 'memory.md').write_text(text, encoding='utf-8')
    draw(rows, RESULTS / 'memory.png')


if __name__ == '__main__':
    main()
