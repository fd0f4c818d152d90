"""Every operator that PyTorch lists with sample inputs, imported and differentiated by our rules.

Run with ``make opinfo``. The witness is torch: the values, ``torch.autograd`` for the first and second order,
and its forward mode. Each operator runs in a process of its own, so that none can stop the run. What is not
supported is refused by name and listed; what is wrong is a defect.
"""

import argparse
import itertools
import json
import multiprocessing
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

import adjoint as ad
from adjoint.autodiff.reverse import cotangents

DTYPES = {'real': torch.float64, 'complex': torch.complex128}
CLAIMS = ('first', 'second', 'forward')
TOLERANCE = 1e-9


@dataclass
class Result:
    """What became of one operator with one dtype."""

    name: str
    kind: str
    claims: dict[str, str] = field(default_factory=dict)  # 'pass', 'unsupported', 'wrong', 'error'
    notes: dict[str, str] = field(default_factory=dict)
    samples: int = 0

    def record(self, claim: str, outcome: str, note: str = '') -> None:
        """Keep the worst outcome of a claim."""
        order = ['pass', 'unsupported', 'error', 'wrong']
        if claim not in self.claims or order.index(outcome) > order.index(self.claims[claim]):
            self.claims[claim] = outcome
            if note:
                self.notes[claim] = note


def full_name(op: Any) -> str:
    return op.name + (f'.{op.variant_test_name}' if op.variant_test_name else '')


def entries(only: str | None) -> list[Any]:
    """The operators that support autograd on the CPU; those whose names contain one of the given words."""
    words = only.split(',') if only else ['']
    return [
        op
        for op in op_db
        if op.supports_autograd
        and any(w.strip('=') == full_name(op) if w.startswith('=') else w in full_name(op) for w in words)
    ]


def differs(got: torch.Tensor | None, wanted: torch.Tensor | None, like: torch.Tensor) -> str:
    """Say how far two tensors are apart, or nothing."""
    got = torch.zeros_like(like) if got is None else got
    wanted = torch.zeros_like(like) if wanted is None else wanted
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f'{got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}'
    if got.numel() == 0:
        return ''
    same = (got == wanted) | (got.isnan() & wanted.isnan())
    if bool(same.all()):
        return ''
    finite = wanted[wanted.isfinite()]
    scale = max(float(finite.abs().max()) if finite.numel() else 0.0, 1.0)
    apart = torch.where(same, 0, (got - wanted).abs())
    worst = float(apart.nan_to_num(nan=float('inf')).max())
    return '' if worst <= TOLERANCE * scale else f'off by {worst:.3g} of {scale:.3g}'


def has_derivative(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


@dataclass
class Trial:
    """One sample: a function of its differentiable tensors."""

    function: Callable[..., list[torch.Tensor]]
    inputs: list[torch.Tensor]


def trial(op: Any, sample: Any) -> Trial | None:
    """The operator on a sample, as a function of the tensors that require a gradient."""
    tree = (sample.input, sample.args, sample.kwargs)
    leaves, structure = pytree.tree_flatten(tree)
    places = [i for i, v in enumerate(leaves) if has_derivative(v) and v.requires_grad]
    if not places or any(isinstance(v, torch.Tensor) and v.layout != torch.strided for v in leaves):
        return None
    others = [i for i, v in enumerate(leaves) if isinstance(v, torch.Tensor) and i not in places]

    def function(*tensors: torch.Tensor) -> list[torch.Tensor]:
        filled = list(leaves)
        for place, tensor in zip([*places, *others], tensors, strict=True):
            filled[place] = tensor
        first, args, kwargs = pytree.tree_unflatten(filled, structure)
        result = op(first, *args, **kwargs)
        if sample.output_process_fn_grad is not None:
            result = sample.output_process_fn_grad(result)
        return [v for v in pytree.tree_leaves(result) if isinstance(v, torch.Tensor)]

    inputs = [leaves[i].detach().requires_grad_() for i in places]
    return Trial(function, inputs + [leaves[i].detach() for i in others])


def drawn(like: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, dtype=like.dtype, generator=generator)


def by_torch(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    cts: Sequence[torch.Tensor],
    *,
    again: bool,
) -> list[torch.Tensor | None]:
    pairs = [(o, c) for o, c in zip(outputs, cts, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    return list(
        torch.autograd.grad(
            [o for o, _ in pairs], inputs, [c for _, c in pairs], create_graph=again, allow_unused=True
        )
    )


def check(op: Any, kind: str, limit: int) -> Result:
    """Run all claims on all samples of an operator."""
    result = Result(full_name(op), kind)
    samples = op.sample_inputs('cpu', DTYPES[kind], requires_grad=True)
    for sample in itertools.islice(samples, limit):
        made = trial(op, sample)
        if made is None:
            continue
        result.samples += 1
        on_sample(op, made, result, str(sample)[:300] if False else f'sample {result.samples - 1}')
    return result


def on_sample(op: Any, made: Trial, result: Result, where: str) -> None:
    moving = [x for x in made.inputs if x.requires_grad]
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            outputs = made.function(*made.inputs)
    except Exception as error:
        result.notes.setdefault('torch', f'{where}: torch raises {error}'[:200])
        return
    flowing = [o for o in outputs if has_derivative(o)]
    cts = [drawn(o, i) for i, o in enumerate(flowing)]
    try:
        graph = ad.from_torch(made.function, *[x.detach() for x in made.inputs])
        nodes = list(graph.outputs)
        variables = graph.variables
        feed = dict(zip(variables, [x.detach() for x in made.inputs], strict=True))
        own = [n for n, o in zip(nodes, outputs, strict=True) if has_derivative(o)]
        ct_nodes = [ad.Variable(f'ct{i}', tuple(c.shape), c.dtype) for i, c in enumerate(cts)]
        feed |= dict(zip(ct_nodes, cts, strict=True))
        wrt = variables[: len(moving)]
        grads = cotangents(
            dict(zip(own, ct_nodes, strict=True)) if len(set(own)) == len(own) else summed(own, ct_nodes), wrt
        )
        values = ad.Evaluator(nodes).run(feed)
        computed = evaluated(grads, feed)
    except ad.AdjointError as error:
        for claim in CLAIMS:
            if claims_of(op, claim):
                result.record(claim, 'unsupported', f'{where}: {first_line(error)}')
        return
    except Exception as error:
        for claim in CLAIMS:
            if claims_of(op, claim):
                result.record(claim, 'error', f'{where}: {type(error).__name__} {first_line(error)}')
        return
    for i, (got, want) in enumerate(zip(values, outputs, strict=True)):
        if wrong := differs(got, want.detach(), want):
            result.record('first', 'wrong', f'{where}: value {i} {wrong}')
            return
    try:
        wanted = by_torch(flowing, moving, cts, again=op.supports_gradgrad)
    except Exception as error:
        result.notes.setdefault('torch', f'{where}: torch raises {error}'[:200])
        return
    for i, (got, want, x) in enumerate(zip(computed, wanted, moving, strict=True)):
        if wrong := differs(got, None if want is None else want.detach(), x):
            result.record('first', 'wrong', f'{where}: gradient {i} {wrong}')
            break
    else:
        result.record('first', 'pass')
    if op.supports_gradgrad:
        second(made, result, where, moving, wrt, grads, ct_nodes, feed, wanted)
    if op.supports_forward_ad:
        forward(made, result, where, moving, wrt, own, feed)


def summed(own: Sequence[ad.Node], cts: Sequence[ad.Node]) -> dict[ad.Node, ad.Node]:
    seeds: dict[ad.Node, ad.Node] = {}
    for n, c in zip(own, cts, strict=True):
        seeds[n] = seeds[n] + c if n in seeds else c
    return seeds


def claims_of(op: Any, claim: str) -> bool:
    return {'first': True, 'second': op.supports_gradgrad, 'forward': op.supports_forward_ad}[claim]


def evaluated(
    nodes: Sequence[ad.Node | None], feed: dict[ad.Node, torch.Tensor]
) -> list[torch.Tensor | None]:
    values = iter(ad.Evaluator([n for n in nodes if n is not None]).run(feed))
    return [None if n is None else next(values) for n in nodes]


def second(
    made: Trial,
    result: Result,
    where: str,
    moving: Any,
    wrt: Any,
    grads: Any,
    ct_nodes: Any,
    feed: Any,
    wanted: Any,
) -> None:
    del made
    seeds = [None if g is None else drawn(g, 100 + i) for i, g in enumerate(wanted)]
    pairs = [
        (g, s)
        for g, s in zip(wanted, seeds, strict=True)
        if g is not None and s is not None and g.requires_grad
    ]
    try:
        torch_second = (
            [None] * len(moving)
            if not pairs
            else torch.autograd.grad(
                [g for g, _ in pairs], moving, [s for _, s in pairs], allow_unused=True, retain_graph=True
            )
        )
    except Exception as error:
        result.notes.setdefault('torch', f'{where}: second order: torch raises {first_line(error)}')
        return
    del ct_nodes
    try:
        own: dict[ad.Node, ad.Node] = {}
        values = dict(feed)
        for i, (g, s) in enumerate(zip(grads, seeds, strict=True)):
            if g is None or s is None:
                continue
            v = ad.Variable(f'v{i}', tuple(s.shape), s.dtype)
            values[v] = s
            own[g] = own[g] + v if g in own else v
        found = evaluated(cotangents(own, wrt), values) if own else [None] * len(moving)
    except ad.AdjointError as error:
        result.record('second', 'unsupported', f'{where}: {first_line(error)}')
        return
    except Exception as error:
        result.record('second', 'error', f'{where}: {type(error).__name__} {first_line(error)}')
        return
    for i, (got, want, x) in enumerate(zip(found, torch_second, moving, strict=True)):
        if wrong := differs(got, want, x):
            result.record('second', 'wrong', f'{where}: second {i} {wrong}')
            return
    result.record('second', 'pass')


def forward(made: Trial, result: Result, where: str, moving: Any, wrt: Any, own: Any, feed: Any) -> None:
    from torch.autograd import forward_ad as fwd

    ts = [drawn(x, 200 + i) for i, x in enumerate(moving)]
    try:
        with fwd.dual_level(), torch.random.fork_rng():
            torch.manual_seed(0)
            duals = [fwd.make_dual(x.detach(), t) for x, t in zip(moving, ts, strict=True)]
            outputs = made.function(*duals, *made.inputs[len(moving) :])
            wanted = [fwd.unpack_dual(o).tangent for o in outputs if has_derivative(o)]
            wanted = [None if w is None else w.clone() for w in wanted]
    except Exception as error:
        result.notes.setdefault('torch', f'{where}: forward: torch raises {first_line(error)}')
        return
    try:
        tangents = [ad.Variable(f't{i}', tuple(t.shape), t.dtype) for i, t in enumerate(ts)]
        moved = ad.pushforward(list(own), dict(zip(wrt, tangents, strict=True)))
        values = {**feed, **dict(zip(tangents, ts, strict=True))}
        found = evaluated(moved, values)
        primal = ad.Evaluator(list(own)).run(feed)
    except ad.AdjointError as error:
        result.record('forward', 'unsupported', f'{where}: {first_line(error)}')
        return
    except Exception as error:
        result.record('forward', 'error', f'{where}: {type(error).__name__} {first_line(error)}')
        return
    for i, (got, want, y) in enumerate(zip(found, wanted, primal, strict=True)):
        if wrong := differs(got, want, y):
            result.record('forward', 'wrong', f'{where}: tangent {i} {wrong}')
            return
    result.record('forward', 'pass')


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:260] if lines else type(error).__name__


def isolated(position: int, kind: str, limit: int) -> Result:
    """Check one operator, in a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    op = op_db[position]
    try:
        return check(op, kind, limit)
    except Exception as error:
        result = Result(full_name(op), kind)
        where = traceback.extract_tb(error.__traceback__)[-1]
        result.record(
            'first', 'error', f'{type(error).__name__}: {first_line(error)} ({where.name}:{where.lineno})'
        )
        return result


def jobs(only: str | None, kinds: Iterable[str]) -> Iterator[tuple[int, str]]:
    wanted = {id(op) for op in entries(only)}
    for kind in kinds:
        for i, op in enumerate(op_db):
            if (
                id(op) in wanted
                and op.supports_dtype(DTYPES[kind], 'cpu')
                and DTYPES[kind] in op.supported_backward_dtypes('cpu')
            ):
                yield i, kind


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else '')
    parser.add_argument(
        '--only', help='operators whose names contain one of these words (=name for exactly one), by commas'
    )
    parser.add_argument('--kind', choices=DTYPES, help='real or complex; both by default')
    parser.add_argument('--samples', type=int, default=1000, help='at most so many samples of an operator')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--timeout', type=float, default=300.0, help='seconds for one operator')
    parser.add_argument('--json', help='write all results to this file')
    options = parser.parse_args(argv)
    console = Console()
    kinds = [options.kind] if options.kind else list(DTYPES)
    work = list(jobs(options.only, kinds))
    start = time.time()
    results: list[Result] = []
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.opinfo'])
    pool = ProcessPoolExecutor(options.workers, mp_context=context)
    futures = {pool.submit(isolated, i, kind, options.samples): (i, kind) for i, kind in work}
    for future, (i, kind) in track(futures.items(), console=console, description='operators'):
        try:
            results.append(future.result(timeout=options.timeout))
        except Exception as error:
            broken = Result(full_name(op_db[i]), kind)
            broken.record('first', 'error', f'{type(error).__name__} {first_line(error)}')
            results.append(broken)
            if not isinstance(error, FutureTimeout):
                pool = ProcessPoolExecutor(options.workers, mp_context=context)
    report(console, results)
    console.print(f'{time.time() - start:.0f} s')
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(r) for r in results], indent=1), encoding='utf-8')
    pool.shutdown(wait=False, cancel_futures=True)
    return int(any('wrong' in r.claims.values() for r in results))


def report(console: Console, results: Sequence[Result]) -> None:
    for kind in DTYPES:
        own = [r for r in results if r.kind == kind]
        for claim in CLAIMS:
            counts = Counter(r.claims[claim] for r in own if claim in r.claims)
            total = sum(counts.values())
            if total:
                passed = counts['pass']
                rest = ', '.join(f'{n} {k}' for k, n in counts.items() if k != 'pass')
                console.print(
                    f'{kind:8} {claim:8} {passed} of {total} ({100 * passed / total:.1f} %) {rest}',
                    highlight=False,
                )
    for r in results:
        for claim, outcome in r.claims.items():
            if outcome != 'pass':
                console.print(
                    f'{outcome:12} {r.kind:8} {claim:8} {r.name}: {r.notes.get(claim, "")}',
                    highlight=False,
                    soft_wrap=True,
                    markup=False,
                )


if __name__ == '__main__':
    sys.exit(main())
