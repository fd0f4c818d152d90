"""Every operator that PyTorch lists with sample inputs, imported and differentiated by our rules.

Run with ``make opinfo``. The witness is torch: the values, ``torch.autograd`` for the first and second order,
and its forward mode. Each operator runs in a process of its own, so that none can stop the run. What is not
supported is refused by name and listed; what is wrong is a defect.
"""

import argparse
import json
import multiprocessing
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch.testing._internal.common_methods_invocations import op_db

from tests.opinfo_claims import CLAIMS, DTYPES, Result, check, first_line, full_name
from tests.pages import OPINFO, page_of_operators


def entries(only: str | None) -> list[Any]:
    """The operators that support autograd on the CPU; those whose names contain one of the given words."""
    words = only.split(',') if only else ['']
    return [
        op
        for op in op_db
        if op.supports_autograd
        and any(w.strip('=') == full_name(op) if w.startswith('=') else w in full_name(op) for w in words)
    ]


def isolated(position: int, kind: str, limit: int) -> Result:
    """Check one operator, in a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    op = op_db[position]
    try:
        return check(op, kind, limit)
    except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
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
    parser.add_argument('--write', action='store_true', help='write docs/opinfo.md; of a run over everything')
    options = parser.parse_args(argv)
    if options.write and (options.only or options.kind):
        parser.error('--write is for a run over everything')
    console = Console()
    kinds = [options.kind] if options.kind else list(DTYPES)
    work = list(jobs(options.only, kinds))
    start = time.time()
    results: list[Result] = []
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.opinfo_claims'])
    pool = ProcessPoolExecutor(options.workers, mp_context=context)
    futures = {pool.submit(isolated, i, kind, options.samples): (i, kind) for i, kind in work}
    for future, (i, kind) in track(futures.items(), console=console, description='operators'):
        try:
            results.append(future.result(timeout=options.timeout))
        except Exception as error:  # noqa: BLE001 whatever it is, it is recorded
            broken = Result(full_name(op_db[i]), kind)
            broken.record('first', 'error', f'{type(error).__name__} {first_line(error)}')
            results.append(broken)
            if not isinstance(error, TimeoutError):
                pool = ProcessPoolExecutor(options.workers, mp_context=context)
    report(console, results)
    console.print(f'{time.time() - start:.0f} s')
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(r) for r in results], indent=1), encoding='utf-8')
    if options.write:
        OPINFO.write_text(page_of_operators(results), encoding='utf-8')
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
