"""Architectures of `transformers`, imported and differentiated by our rules, against ``torch.autograd``.

Run with ``make models``. Each model is tiny, random and in double precision; its loss and the gradient of
each parameter have to agree. A model has a process of its own, so that none can stop the run.
"""

import argparse
import json
import math
import multiprocessing
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

import adjoint as ad
from tests.pages import MODELS, page_of_models
from tests.tiny_models import Made, doubled, kinds, made

__all__ = ['Result', 'agreement', 'check', 'main']

TOLERANCE = 1e-8
OUTCOMES = ('pass', 'unsupported', 'wrong', 'error', 'torch')

# What each process has from the start: not this module, which is run as the main one.
PRELOADED = [
    'adjoint.interop.from_torch', 'rich.progress', 'tests.tiny_models',
    'transformers.models.gpt2.modeling_gpt2',
]  # fmt: skip

CONTEXT = multiprocessing.get_context('forkserver')


@dataclass
class Result:
    """What became of one model.

    Parameters
    ----------
    name, kind
        The class, and its kind of inputs.
    outcome
        One of ``OUTCOMES``; 'torch' if torch itself does not run the model.
    note
        The error, or what is wrong and how far.
    where
        The user's line, of an error of ours.
    parameters, nodes
        How many numbers the model has, and how many nodes its loss with all gradients.
    import_s, differentiate_s, run_s
        Seconds for the import, for building the gradients, and for one run.
    state
        What ran.
    """

    name: str
    kind: str
    outcome: str = 'pass'
    note: str = ''
    where: str = ''
    parameters: int = 0
    nodes: int = 0
    import_s: float = math.nan
    differentiate_s: float = math.nan
    run_s: float = math.nan
    state: str = ''

    @property
    def cause(self) -> str:
        """The op that a note speaks of, or else the note without what changes from model to model."""
        op = re.search(r'\b(aten|prims|transformers|torchvision)\.\w+(\.\w+)?', self.note)
        return op.group() if op and self.outcome == 'unsupported' else re.sub(r'\d+', '#', self.note)[:100]


def check(name: str, executor: str = 'plan') -> Result:
    """Import one model, and compare its loss and its gradients with torch's."""
    result = Result(name, kinds()[name])
    try:
        example = made(name)
        wanted = by_torch(example)
    except Exception as error:  # noqa: BLE001 of any kind: the model is not ours
        return failed(result, 'torch', error)
    result.parameters = sum(p.numel() for p in example.module.parameters())
    try:
        found = by_us(example, result, executor)
    except ad.AdjointError as error:
        return failed(result, 'unsupported', error)
    except Exception as error:  # noqa: BLE001 of any kind: a defect, to be listed with the others
        return failed(result, 'error', error)
    result.note = agreement(found, wanted)
    result.outcome = 'wrong' if result.note else 'pass'
    return result


def by_torch(example: Made) -> dict[str, torch.Tensor]:
    """The loss, as ``''``, and the gradient of each parameter, by torch; zeros where torch has none."""
    parameters = {n: p for n, p in example.module.named_parameters() if p.requires_grad}
    with doubled():
        loss = example.module(**example.inputs)
        grads = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
    return {'': loss.detach(), **dict(zip(parameters, grads, strict=True))}


def by_us(example: Made, result: Result, executor: str) -> dict[str, torch.Tensor]:
    """The same by our rules; the result takes the times."""
    start = time.perf_counter()
    with doubled():
        graph = ad.from_torch(example.module, kwargs=example.inputs)
    imported = time.perf_counter()
    nodes = loss_and_gradients(example, graph)
    differentiated = time.perf_counter()
    run, feed = ad.Evaluator(list(nodes.values()), executor=executor), graph.feed(**example.inputs)
    run.run(feed)  # by the reference, for the most part: then there is a program
    prepared = time.perf_counter()
    values = run.run(feed)
    result.import_s = imported - start
    result.differentiate_s = differentiated - imported
    result.run_s = time.perf_counter() - prepared
    result.state = run.state(feed)
    result.nodes = len(ad.topological_sort(list(nodes.values())))
    return dict(zip(nodes, values, strict=True))


def loss_and_gradients(example: Made, graph: ad.Graph) -> dict[str, ad.Node]:
    """The loss, as ``''``, and the gradient of each parameter, as nodes."""
    names = [n for n, p in example.module.named_parameters() if p.requires_grad]
    gradients = ad.gradients(graph.outputs, [graph.parameters[n] for n in names])
    return {'': graph.outputs, **dict(zip(names, gradients, strict=True))}


def agreement(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str:
    """Say which values differ, the worst ones first; nothing if none does.

    A gradient is compared relative to its largest entry; where that is rounding, to that of all gradients.
    """
    if missing := sorted(set(wanted) ^ set(found)):
        return f'other parameters: {", ".join(missing[:5])}'
    largest = {n: float(w.abs().max()) if w.numel() else 0.0 for n, w in wanted.items()}
    floor = 1e-6 * max((v for n, v in largest.items() if n), default=0.0)
    apart: list[tuple[float, str]] = []
    for name, want in wanted.items():
        got = found[name]
        if got.shape != want.shape or got.dtype != want.dtype:
            apart.append(
                (math.inf, f'{name}: {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}')
            )
            continue
        if want.numel() == 0:
            continue
        far = float((got - want).abs().nan_to_num(nan=math.inf).max())
        scale = max(largest[name], floor, 1e-12)
        if far > TOLERANCE * scale:
            apart.append((far / scale, f'{name or "the loss"} by {far:.2g} of {scale:.2g}'))
    worst = '; '.join(text for _, text in sorted(apart, reverse=True)[:3])
    return f'{len(apart)} of {len(wanted)}: {worst}' if apart else ''


def failed(result: Result, outcome: str, error: Exception) -> Result:
    """Note an error: its first line, and the line that it came from."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    kind = '' if isinstance(error, ad.AdjointError) else f'{type(error).__name__}: '
    result.outcome = outcome
    result.note = kind + (lines[0].strip()[:300] if lines else '')
    frame = traceback.extract_tb(error.__traceback__)[-1]
    within = f'{Path(frame.filename).name}:{frame.lineno} in {frame.name}'
    result.where = ' | '.join(line.strip() for line in lines[1:3]) if not kind else within
    return result


def _work(name: str, executor: str, answer: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    answer.send(check(name, executor))
    answer.close()


def isolated(name: str, timeout: float, executor: str) -> Result:
    """Check one model in a process of its own, which is ended after a time."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(name, executor, there))
    process.start()
    there.close()
    try:
        if here.poll(timeout):
            return here.recv()
        note = f'no answer after {timeout:.0f} s'
    except EOFError:
        process.join()
        note = f'the process ended with {process.exitcode}'
    finally:
        process.kill()
        process.join()
        here.close()
    return Result(name, kinds()[name], 'error', note)


def chosen(only: str | None) -> list[str]:
    """The names that contain one of the given words; ``=name`` for exactly one, or a kind of inputs."""
    words = only.lower().split(',') if only else ['']
    return [
        name
        for name, kind in kinds().items()
        if any(w == f'={name.lower()}' or w == kind or w in name.lower() for w in words)
    ]


def report(console: Console, results: Sequence[Result]) -> None:
    """Print each model that does not pass, what is in the way by frequency, and the total."""
    for outcome in OUTCOMES[1:]:
        own = [r for r in results if r.outcome == outcome]
        for r in own:
            console.print(f'{outcome:12} {r.name}: {r.note}', style='bold', soft_wrap=True, markup=False)
            if r.where:
                console.print(f'{"":12} {r.where}', soft_wrap=True, markup=False, highlight=False)
    causes = Counter((r.outcome, r.cause) for r in results if r.outcome not in {'pass', 'wrong'})
    for (outcome, cause), count in causes.most_common():
        console.print(f'{count:4} {outcome:12} {cause}', soft_wrap=True, markup=False, highlight=False)
    passed = [r for r in results if r.outcome == 'pass']
    for r in passed:
        if not r.state.startswith('plan'):
            console.print(f'{r.name}: {r.state}', soft_wrap=True, markup=False, highlight=False)
    if passed:
        nodes = sum(r.nodes for r in passed)
        seconds = sum(r.import_s for r in passed), sum(r.differentiate_s for r in passed)
        console.print(
            f'{nodes} nodes; {seconds[0]:.1f} s to import and {seconds[1]:.1f} s to differentiate them'
        )
    console.print(f'{len(passed)} of {len(results)}', highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Check the models; 0 if none is wrong or broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else '')
    parser.add_argument(
        '--only', help='models whose names contain one of these words (=name for exactly one)'
    )
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--timeout', type=float, default=120.0, help='seconds for one model')
    parser.add_argument('--executor', default='plan', help='runs the graphs')
    parser.add_argument('--json', type=Path, help='write all results to this file')
    parser.add_argument('--write', action='store_true', help='write docs/models.md; of a run over all models')
    parser.add_argument('--list', action='store_true', help='say what there is')
    options = parser.parse_args(argv)
    if options.write and options.only:
        parser.error('--write is for a run over all models')
    console = Console()
    names = chosen(options.only)
    if options.list:
        for name in names:
            console.print(f'{kinds()[name]:8} {name}', highlight=False)
        return 0
    CONTEXT.set_forkserver_preload(PRELOADED)
    with ThreadPoolExecutor(options.workers) as pool:
        running = pool.map(lambda name: isolated(name, options.timeout, options.executor), names)
        results = list(track(running, total=len(names), console=console, description='models'))
    report(console, results)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=1), encoding='utf-8')
    if options.write:
        MODELS.write_text(page_of_models(results, version('transformers')), encoding='utf-8')
    return int(any(r.outcome in {'wrong', 'error'} for r in results))


if __name__ == '__main__':
    sys.exit(main())
