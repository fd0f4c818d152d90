"""The process that compiles, what it is asked for, and what it leaves on disk for the next."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import adjoint as ad
from adjoint.execute.compiled import Compiled
from adjoint.execute.compiled_service import CompilerError, Service
from adjoint.execute.compiled_store import Store
from tests.execute.compiled_sweep import is_whole

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get('CXX', 'g++')) is None, reason='needs a compiler of C++'
)

CHILD = """
import sys, torch, adjoint as ad
torch.set_num_threads(2)
x, i = ad.Variable('x'), ad.Variable('i')
y = ad.tanh(ad.sin(x) * x)
picked = ad.sum(ad.index_select(y, 0, i) * 2, 1)
evaluator = ad.Evaluator([picked, *ad.gradients(ad.sum(y), [x])], executor='compiled')
values = {x: torch.linspace(-1, 1, 80, dtype=torch.float64).reshape(10, 8), i: torch.arange(100_000) % 10}
for _ in range(2):
    print(*[float(r.sum()) for r in evaluator.run(values)])
print(evaluator.state(values))
try:
    evaluator.run({**values, i: values[i] + 5})
except IndexError as error:
    print('index_select' in ''.join(error.__notes__))
print('torch._inductor.compile_fx' in sys.modules)
"""


def child(folder: Path, *, can_compile: bool = True) -> list[str]:
    """What a process of its own prints: a line for each run, how it ran, whether an error was explained."""
    env = {**os.environ, 'ADJOINT_CACHE_DIR': str(folder)}
    if not can_compile:
        env['CXX'] = '/does/not/exist'
        env['TORCHINDUCTOR_CACHE_DIR'] = str(folder / 'empty')
    run = subprocess.run(
        [sys.executable, '-W', 'error', '-c', CHILD], env=env, capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


def test_next_process_uses_what_was_compiled_and_a_spoiled_file_is_made_again(tmp_path: Path) -> None:
    first = child(tmp_path)
    assert first[2].startswith('compiled: ')
    assert first[3] == 'True'  # an index out of range, in a loop that threads share, is an error and no end
    (folder,) = (tmp_path / 'compiled').iterdir()
    # Without a compiler, so that it can only come from the disk; nor is Inductor's compiler loaded.
    assert child(tmp_path, can_compile=False) == [*first[:4], 'False']
    sums = json.loads((folder / 'sums.json').read_text())
    library = next(folder / name for name in sums if name.startswith('library'))
    library.write_bytes(library.read_bytes()[:-100] + b'x' * 100)
    # What is spoiled is not used, and where it cannot be made again, the plan runs.
    spoiled = child(tmp_path, can_compile=False)
    assert spoiled[2].startswith('plan')
    assert not folder.exists()
    assert spoiled[0] == spoiled[1]
    for own, wanted in zip(spoiled[0].split(), first[0].split(), strict=True):
        assert float(own) == pytest.approx(float(wanted), rel=1e-12)


def test_process_starts_at_once_only_where_nothing_is_kept_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(Service, 'start', lambda _: started.append(True))

    def refuse(*_: object) -> None:
        msg = 'no'
        raise CompilerError(msg)

    monkeypatch.setattr(Service, 'compile', refuse)
    x = ad.Variable('x', (5,), torch.float64)
    nodes, value = [ad.sin(ad.cos(x) * x) + 1], {x: torch.ones(5, dtype=torch.float64)}
    ad.Evaluator(nodes, executor=Compiled(store=Store(tmp_path))).run(value)
    assert started == [True]
    (tmp_path / 'another').mkdir()
    ad.Evaluator(nodes, executor=Compiled(store=Store(tmp_path))).run(value)
    assert started == [True]


def test_a_process_that_is_started_ends_with_its_service() -> None:
    service = Service()
    service.start()
    pid = service.pid
    assert pid is not None
    service.start()
    assert service.pid == pid
    service.close()
    assert service.pid is None
    service.start()
    assert service.pid is None


def compile_by(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compile a program with a compiler of ours, and nothing from before; how it runs."""
    compiler, kept = folder / 'g++', folder / 'temporary'
    kept.mkdir(exist_ok=True)
    compiler.write_text(f'#!/bin/sh\n{script}\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    monkeypatch.setenv('TMPDIR', str(kept))
    x, service = ad.Variable('x', (50,), torch.float64), Service()
    nodes, value = [ad.sin(ad.cos(x) * x) + 1], {x: torch.linspace(0, 1, 50, dtype=torch.float64)}
    with tempfile.TemporaryDirectory(dir=folder) as store:
        monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', f'{store}/inductor')
        evaluator = ad.Evaluator(nodes, executor=Compiled(service=service, store=Store(Path(store) / 'kept')))
        wanted = ad.Evaluator(nodes, executor='reference').run(value)
        torch.testing.assert_close(evaluator.run(value), wanted, rtol=1e-12, atol=1e-12)
        service.close()
        return evaluator.state(value)


def test_where_vectors_cannot_be_compiled_kernels_are_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = compile_by('case "$*" in *-mavx*) exit 1;; esac', tmp_path, monkeypatch)
    assert is_whole(state), state


def test_headers_are_compiled_once_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / 'log'
    # Compiled to nothing, they are passed over.
    nothing = 'for each; do case "$each" in *.gch) : > "$each"; exit 0;; esac; done'
    for _ in range(2):
        state = compile_by(f'echo "$*" >> {log}\n{nothing}', tmp_path, monkeypatch)
        assert is_whole(state), state
    (path,) = tmp_path.glob('temporary/*/adjoint_headers/*')  # and nothing aside
    told = log.read_text().splitlines()
    assert sum('.h.gch' in line for line in told) == 1
    assert sum(f'-include {path}/header.h' in line for line in told) >= 2
    assert (path / 'header.h.gch').exists()


def test_kernels_of_a_program_are_in_no_more_libraries_than_there_are_processors(
    service: Service, tmp_path: Path
) -> None:
    x = ad.Variable('x', (8, 8), torch.float64)
    y = x
    for _ in range(8):  # a product parts one kernel from the next
        y = ad.tanh(ad.sin(y) * y + len(y.shape)) @ ad.cumsum(x, 0)
    evaluator = ad.Evaluator([y], executor=Compiled(service=service, store=Store(tmp_path)))
    value = torch.linspace(-1, 1, 64, dtype=torch.float64).reshape(8, 8)
    wanted = ad.Evaluator([y], executor='reference').run({x: value})
    torch.testing.assert_close(evaluator.run({x: value}), wanted, rtol=1e-12, atol=1e-12)
    assert is_whole(evaluator.state({x: value}))
    (folder,) = tmp_path.iterdir()
    kernels = json.loads((folder / 'parts.json').read_text())
    processors = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert len(kernels) > 1
    assert len({entry for _, entry in kernels.values()}) == len(kernels)
    assert len(list(folder.glob('library_*.so'))) == min(processors, len(kernels))
