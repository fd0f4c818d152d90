"""Measure the workloads against the peers: in one process, in turn, as ratios to eager PyTorch.

Run with ``make bench``; ``ARGS='--only W3 --compile'`` chooses. What is compared gives the same results
before it is timed. Each round runs every competitor once, in another order, so that a machine that is busy
with something else disturbs all of them alike; the table has ratios of medians.
"""

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import matplotlib as mpl
import torch
from rich.console import Console
from rich.table import Table

import adjoint as ad
from benchmarks.workloads import ALL, Workload

RESULTS = Path(__file__).parent / 'results'
Competitor = Callable[..., list[torch.Tensor]]


@dataclass
class Row:
    """What was measured of one workload."""

    workload: str
    title: str
    first: dict[str, float] = field(
        default_factory=dict[str, float]
    )  # seconds from the function to the first result
    seconds: dict[str, float] = field(default_factory=dict[str, float])  # medians
    ratios: dict[str, float] = field(default_factory=dict[str, float])  # of medians, to eager
    refused: dict[str, str] = field(default_factory=dict[str, str])


def ours(workload: Workload, given: Sequence[torch.Tensor], executor: str) -> Competitor:
    """Return our run of a workload."""
    variables, nodes = workload.nodes(given)
    run = ad.Evaluator(nodes, executor=executor).over(variables)
    return lambda *values: run(values)


def competitors(
    workload: Workload, given: Sequence[torch.Tensor], compiled: bool
) -> dict[str, Callable[[], Competitor]]:
    """Return what makes each competitor."""
    found: dict[str, Callable[[], Competitor]] = {
        'eager': lambda: workload.eager,
        'torch.func': workload.functional,
        'reference': lambda: ours(workload, given, 'reference'),
        'plan': lambda: ours(workload, given, 'plan'),
    }
    if workload.by_hand is not None:
        by_hand = workload.by_hand
        found['by hand'] = lambda: torch.no_grad()(by_hand)
    if compiled:
        found['torch.compile'] = lambda: torch.compile(workload.functional())
    return found


def differ(results: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], tolerance: float) -> bool:
    """Whether results differ by more than the tolerance, relative to the largest entry of each."""
    return len(results) != len(wanted) or any(
        a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=tolerance * float(b.abs().max()) + 1e-30)
        for a, b in zip(results, wanted, strict=True)
    )


def measured(workload: Workload, rounds: int, budget: float, compiled: bool) -> Row:
    """Measure one workload."""
    row = Row(workload.name, workload.title)
    given = workload.make()
    wanted = workload.eager(*given)
    running: dict[str, Competitor] = {}
    for name, make in competitors(workload, given, compiled).items():
        start = time.perf_counter()
        try:
            competitor = make()
            results = competitor(*given)
        except Exception as error:  # noqa: BLE001 a peer that cannot is no reason to stop
            row.refused[name] = f'{type(error).__name__}: {error}'.splitlines()[0]
            continue
        row.first[name] = time.perf_counter() - start
        for _ in range(2):  # the plan is written when a signature comes again
            results = competitor(*given)
        if differ(results, wanted, workload.tolerance):
            row.refused[name] = 'its results differ from those of eager'
            continue
        running[name] = competitor
    times: dict[str, list[float]] = {name: [] for name in running}
    order, end = list(running), time.perf_counter() + budget
    rng = random.Random(0)
    gc.collect()
    for done in range(rounds):
        rng.shuffle(order)
        for name in order:
            start = time.perf_counter()
            running[name](*given)
            times[name].append(time.perf_counter() - start)
        if time.perf_counter() > end and done >= 4:  # noqa: PLR2004 rounds at least
            break
    row.seconds = {name: statistics.median(each) for name, each in times.items()}
    row.ratios = {name: each / row.seconds['eager'] for name, each in row.seconds.items()}
    return row


def table(rows: Sequence[Row]) -> Table:
    """Return the ratios as a table."""
    names = list(dict.fromkeys(name for row in rows for name in row.ratios))
    shown = Table(title='time, as a ratio to eager PyTorch in the same run')
    for head in ('', 'workload', 'eager, ms', *(name for name in names if name != 'eager')):
        shown.add_column(head, justify='right' if head in names else 'left')
    for row in rows:
        ratios = [f'{row.ratios[n]:.3f}' if n in row.ratios else '-' for n in names if n != 'eager']
        shown.add_row(row.workload, row.title, f'{row.seconds["eager"] * 1e3:.3f}', *ratios)
    return shown


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the ratios."""
    mpl.use('Agg')
    from matplotlib import pyplot as plt

    names = [n for n in dict.fromkeys(name for row in rows for name in row.ratios) if n != 'eager']
    figure, axes = plt.subplots(figsize=(10, 5), layout='constrained')
    width = 0.8 / max(len(names), 1)
    for k, name in enumerate(names):
        places = [i + k * width for i, row in enumerate(rows) if name in row.ratios]
        axes.bar(places, [row.ratios[name] for row in rows if name in row.ratios], width, label=name)
    axes.axhline(1, color='black', linewidth=1)
    axes.set_yscale('log')
    axes.set_ylabel('time / time of eager PyTorch')
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(rows))], [row.workload for row in rows])
    axes.legend()
    aside = path.with_suffix('.part.png')
    figure.savefig(aside)
    plt.close(figure)
    aside.replace(path)


def write(rows: Sequence[Row]) -> None:
    """Write the table, the figures and the picture."""
    RESULTS.mkdir(exist_ok=True)
    console = Console(record=True, width=140)
    console.print(table(rows))
    for row in rows:
        for name, why in row.refused.items():
            console.print(f'{row.workload} {name}: {why}')
    about = {'threads': torch.get_num_threads(), 'torch': torch.__version__}
    for name, text in (
        ('bench.txt', console.export_text()),
        ('bench.json', json.dumps({**about, 'rows': [asdict(row) for row in rows]}, indent=1)),
    ):
        aside = RESULTS / f'{name}.part'
        aside.write_text(text, encoding='utf-8')
        aside.replace(RESULTS / name)
    draw(rows, RESULTS / 'bench.png')


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='*', help='names of workloads, such as W3')
    parser.add_argument('--rounds', type=int, default=200, help='at most so many of each (default 200)')
    parser.add_argument('--budget', type=float, default=20.0, help='seconds for a workload (default 20)')
    parser.add_argument('--threads', type=int, default=2, help='of torch (default 2)')
    parser.add_argument('--compile', action='store_true', help='torch.compile too, which takes minutes')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = [w for w in ALL if not options.only or w.name in options.only]
    write([measured(w, options.rounds, options.budget, options.compile) for w in chosen])


if __name__ == '__main__':
    main()
