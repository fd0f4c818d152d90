"""Measure the workloads against the peers, as ratios to eager PyTorch of the same run.

Run with ``make bench``; ``ARGS='--only W3 --compile'`` chooses. What is compared gives the same results
before it is timed. In one process, each round runs every competitor once, in another order, so that a
machine that is busy with something else disturbs all of them alike; with ``--apart`` each has a process of
its own, so that none lives on what another left. The tables have ratios of medians. A first result takes what
compilers take that have nothing of the program on disk, but their headers. With ``--device cuda``
everything is on a GPU, recorded programs and larger workloads join, and a run ends when the GPU is done.
"""

import argparse
import gc
import importlib.util
import os
import random
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import torch
from rich.progress import track
from torch.fx.experimental.proxy_tensor import make_fx

import adjoint as ad
from adjoint.execute.evaluator import EXECUTORS
from adjoint.passes.pipeline import Level
from benchmarks.peak import measured_peak
from benchmarks.report import Row, write
from benchmarks.workloads import ALL, FOR_GPU, Workload

Competitor = Callable[..., list[Any]]

# They allocate past torch, or keep what they need from their first run on.
UNCOUNTED = frozenset({'jax', 'pytensor', 'cudagraph', 'with cudagraphs'})

# At least so many rounds, even where one takes longer than there is time.
ROUNDS = 3

# What takes more seconds makes more events than there is memory to count allocations among.
LONGEST_COUNTED = 5.0


@dataclass(frozen=True)
class Options:
    """What is measured, and for how long."""

    rounds: int = 200
    budget: float = 20.0
    threads: int = 2
    with_compilers: bool = False
    only: Sequence[str] = field(default_factory=tuple[str, ...])
    device: str = 'cpu'
    folder: str | None = None  # for what compilers keep


# -- the competitors ------------------------------------------------------------------------------


def ours(
    workload: Workload, given: Sequence[torch.Tensor], executor: str, level: Level = 'bitwise'
) -> Competitor:
    """Return our run of a workload."""
    variables, nodes = workload.nodes(given)
    run = ad.Evaluator(nodes, executor=executor, optimize=level).over(variables)
    return lambda *values: run(values)


def one_graph(workload: Workload, given: Sequence[torch.Tensor]) -> Competitor:
    """Return ``torch.compile`` of the gradient as one graph, as ``make_fx`` records it."""
    return torch.compile(make_fx(workload.functional())(*given))


def with_cudagraphs(workload: Workload) -> Competitor:
    """Return ``torch.compile`` with its recordings for a GPU, whose results the next run writes over."""
    run = torch.compile(workload.functional(), mode='reduce-overhead')

    def called(*values: torch.Tensor) -> list[Any]:
        torch.compiler.cudagraph_mark_step_begin()
        return run(*values)

    return called


def peer(module: str, workload: Workload) -> Competitor:
    """Return the run by a library that may not be installed."""
    return importlib.import_module(f'benchmarks.workloads.{module}').competitor(workload)


def competitors(
    workload: Workload, given: Sequence[torch.Tensor], options: Options
) -> dict[str, Callable[[], Competitor]]:
    """Return what makes each competitor."""
    found: dict[str, Callable[[], Competitor]] = {
        'eager': lambda: workload.eager,
        'torch.func': workload.functional,
    }
    if workload.by_hand is not None:
        by_hand = workload.by_hand
        found['by hand'] = lambda: torch.no_grad()(by_hand)
    found |= {name: partial(ours, workload, given, name) for name in ('reference', 'plan')}
    found['plan, fast'] = partial(ours, workload, given, 'plan', 'fast')
    if options.device == 'cuda':
        found['cudagraph'] = partial(ours, workload, given, 'cudagraph', 'fast')
    if options.with_compilers:
        if 'compiled' in EXECUTORS:
            found['compiled'] = partial(ours, workload, given, 'compiled', 'fast')
        found['torch.compile'] = lambda: torch.compile(workload.functional())
        if options.device == 'cuda':
            found['with cudagraphs'] = partial(with_cudagraphs, workload)
        found['one graph'] = partial(one_graph, workload, given)
        if importlib.util.find_spec('jax') and workload not in FOR_GPU:
            found['jax'] = partial(peer, 'in_jax', workload)
        if importlib.util.find_spec('pytensor') and workload.name in {'W2', 'W3', 'W4', 'W6a'}:
            found['pytensor'] = partial(peer, 'in_pytensor', workload)
    return {
        name: make for name, make in found.items() if not options.only or name in {'eager', *options.only}
    }


def differ(results: Sequence[Any], wanted: Sequence[torch.Tensor], tolerance: float) -> bool:
    """Whether results differ by more than the tolerance, relative to the largest entry of each."""
    tensors = [x if isinstance(x, torch.Tensor) else torch.tensor(x.__array__()) for x in results]
    tensors, wanted = [x.cpu() for x in tensors], [x.cpu() for x in wanted]
    return len(tensors) != len(wanted) or any(
        a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=tolerance * float(b.abs().max()) + 1e-30)
        for a, b in zip(tensors, wanted, strict=True)
    )


# -- measuring ------------------------------------------------------------------------------------


@contextmanager
def quiet() -> Generator[None]:
    """Keep the collector of garbage out of what is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def done(competitor: Competitor) -> Competitor:
    """Return a competitor whose runs end when the GPU has done what they asked for."""

    def called(*values: torch.Tensor) -> list[Any]:
        results = competitor(*values)
        torch.cuda.synchronize()
        return results

    return called


def made(workload: Workload, device: str) -> list[torch.Tensor]:
    """Return the values of a workload, on a device."""
    return [x.to(device) for x in workload.make()]


def prepared(
    row: Row,
    name: str,
    make: Callable[[], Competitor],
    given: Sequence[torch.Tensor],
    wanted: list[torch.Tensor],
    workload: Workload,
    options: Options,
) -> Competitor | None:
    """Make a competitor, see that it is right, and note the time to its first result and its peak memory."""
    # What compilers keep on disk for others is no time to a first result.
    empty = mkdtemp(dir=options.folder)
    os.environ |= {'ADJOINT_CACHE_DIR': empty, 'TORCHINDUCTOR_CACHE_DIR': f'{empty}/inductor'}
    start = time.perf_counter()
    try:
        competitor = make() if options.device == 'cpu' else done(make())
        results = competitor(*given)
    except Exception as error:  # noqa: BLE001 a peer that cannot is no reason to stop
        row.refused[name] = f'{type(error).__name__}: {error}'.splitlines()[0]
        return None
    seconds = row.first[name] = time.perf_counter() - start
    if name != 'eager':
        # Ours writes its program when a signature comes again.
        start = time.perf_counter()
        results = competitor(*given)
        seconds = time.perf_counter() - start
    if differ(results, wanted, workload.tolerance):
        row.refused[name] = 'its results differ from those of eager'
        return None
    if name not in UNCOUNTED and seconds < LONGEST_COUNTED:
        row.peak[name] = measured_peak(partial(competitor, *given), options.device)
    return competitor


def measured(workload: Workload, options: Options) -> Row:
    """Measure the competitors in one process, in turn."""
    torch.set_num_threads(options.threads)
    if options.with_compilers:
        # `torch.compile` gives up on a function that it was given for many workloads.
        torch.compiler.reset()
    row = Row(workload.name, workload.title)
    given = made(workload, options.device)
    wanted = workload.eager(*given)
    running: dict[str, Competitor] = {}
    for name, make in competitors(workload, given, options).items():
        ready = prepared(row, name, make, given, wanted, workload, options)
        if ready is not None:
            running[name] = ready
    times: dict[str, list[float]] = {name: [] for name in running}
    order, rng, end = list(running), random.Random(0), time.perf_counter() + options.budget
    with quiet():
        for done in range(options.rounds):
            rng.shuffle(order)
            for name in order:
                start = time.perf_counter()
                running[name](*given)
                times[name].append(time.perf_counter() - start)
            if time.perf_counter() > end and done + 1 >= ROUNDS:
                break
    row.seconds = {name: statistics.median(each) for name, each in times.items()}
    return row


def measured_apart(workload: Workload, options: Options) -> Row:
    """Measure each competitor in a process of its own."""
    names = list(competitors(workload, made(workload, options.device), options))
    whole = Row(workload.name, workload.title)
    for name in names:
        with ProcessPoolExecutor(1, get_context('spawn')) as pool:
            row = pool.submit(_alone, workload.name, name, options).result()
        for kind in ('first', 'seconds', 'peak', 'refused'):
            vars(whole)[kind].update({k: v for k, v in vars(row)[kind].items() if k == name})
    return whole


def _alone(workload: str, name: str, options: Options) -> Row:
    """Measure one competitor; eager beside it, to see that it is right, unless it is eager."""
    chosen = next(w for w in (*ALL, *FOR_GPU) if w.name == workload)
    torch.set_num_threads(options.threads)
    row, given = Row(chosen.name, chosen.title), made(chosen, options.device)
    make = competitors(chosen, given, options)[name]
    competitor = prepared(row, name, make, given, chosen.eager(*given), chosen, options)
    times: list[float] = []
    end = time.perf_counter() + options.budget / 4
    with quiet():
        while (
            competitor is not None
            and len(times) < options.rounds
            and (time.perf_counter() < end or len(times) < ROUNDS)
        ):
            start = time.perf_counter()
            competitor(*given)
            times.append(time.perf_counter() - start)
    row.seconds = {name: statistics.median(times)} if times else {}
    return row


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='*', help='names of workloads, such as W3')
    parser.add_argument('--competitors', nargs='*', default=[], help='names of those beside eager')
    parser.add_argument('--rounds', type=int, default=200, help='at most so many of each (default 200)')
    parser.add_argument('--budget', type=float, default=20.0, help='seconds for a workload (default 20)')
    parser.add_argument('--threads', type=int, default=2, help='of torch (default 2)')
    parser.add_argument('--compile', action='store_true', help='all compilers too, which take minutes')
    parser.add_argument('--apart', action='store_true', help='each competitor in a process of its own')
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--name', default='bench', help='of the files in benchmarks/results')
    parser.add_argument('--add', action='store_true', help='keep the rows of other workloads in the files')
    given = parser.parse_args()
    options = Options(
        given.rounds, given.budget, given.threads, given.compile, given.competitors, given.device
    )
    measure = measured_apart if given.apart else measured
    known = (*ALL, *FOR_GPU) if given.device == 'cuda' else ALL
    chosen = [w for w in known if not given.only or w.name in given.only]
    with TemporaryDirectory() as empty:
        options = replace(options, folder=empty)
        rows = [measure(w, options) for w in track(chosen, 'measuring')]
    about: dict[str, Any] = {'threads': options.threads, 'torch': str(torch.__version__)}
    if given.device == 'cuda':
        about['device'] = torch.cuda.get_device_name()
    write(rows, about, given.name, is_apart=given.apart, adds=given.add)


if __name__ == '__main__':
    main()
