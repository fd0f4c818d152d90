"""The executor that goes over to compiled code: at once ready, never wrong, and clean when it ends."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.execute.auto import Auto
from adjoint.execute.compiled_program import CompiledProgram
from adjoint.execute.executor import Program, Task
from adjoint.execute.plan import Plan


class Slow:
    """A program that takes its time."""

    def __init__(self, program: Program, seconds: float) -> None:
        self.program, self.seconds = program, seconds

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        time.sleep(self.seconds)
        return self.program(values)

    source = 'slow'
    state = 'slow'


class Other(CompiledProgram):
    """A program in the place of a compiled one."""

    def __init__(self, run: Any) -> None:
        self.run, self.runs = run, 0

    def __call__(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        self.runs += 1
        return self.run(values)

    @property
    def state(self) -> str:
        return 'other'


class Making:
    """An executor that gives what it is told to, when it is told to."""

    at_first_sight = True

    def __init__(
        self, seconds: float = 0.0, error: Exception | None = None, *, is_other: bool = False
    ) -> None:
        self.seconds, self.error, self.is_other = seconds, error, is_other
        self.may_go = threading.Event()
        self.values: Sequence[torch.Tensor] = ()

    def prepare(
        self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
    ) -> tuple[Program, list[torch.Tensor]]:
        program, results = Plan().prepare(task, values, sizes)
        if self.is_other:
            self.may_go.wait(30)
            self.values = list(values)
        if self.error is not None:
            raise self.error
        slow = Slow(program, self.seconds)
        return (Other(slow) if self.is_other else slow), results


def program_of(evaluator: ad.Evaluator, values: Mapping[ad.Node, torch.Tensor]) -> Any:
    programs = evaluator._programs_for(values)
    return programs.program([values[node] for node in programs.task.fed])


def began(first: Making, second: Making) -> tuple[ad.Evaluator, dict[ad.Node, torch.Tensor], Any]:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.sin(x) * 2], executor=Auto(first, second))
    values: dict[ad.Node, torch.Tensor] = {x: torch.arange(6.0).reshape(2, 3).mT}
    evaluator.run(values)
    return evaluator, values, program_of(evaluator, values)


def test_first_runs_do_not_wait_and_later_ones_take_the_faster() -> None:
    second = Making(is_other=True)
    evaluator, values, program = began(Making(0.02), second)
    assert evaluator.state(values) == 'slow (another is being compiled)'
    second.may_go.set()
    assert program.wait(30)
    state = evaluator.state(values)
    assert state.startswith('other (measured: plan ')
    (x,) = values
    assert torch.equal(evaluator.run(values)[0], torch.sin(values[x]) * 2)
    # It was made on copies, which the user cannot change.
    (copy,) = second.values
    assert torch.equal(copy, values[x])
    assert copy.stride() == values[x].stride()
    assert copy.untyped_storage().data_ptr() != values[x].untyped_storage().data_ptr()


def test_one_that_is_not_faster_is_not_taken() -> None:
    second = Making(0.02, is_other=True)
    second.may_go.set()
    evaluator, values, program = began(Making(0.0), second)
    assert program.wait(30)
    assert evaluator.state(values).startswith('slow (measured: plan ')


def test_failure_of_the_compiler_is_no_failure() -> None:
    second = Making(error=RuntimeError('no compiler here\nand more'), is_other=True)
    second.may_go.set()
    evaluator, values, program = began(Making(), second)
    assert program.wait(30)
    assert evaluator.state(values) == 'slow (RuntimeError: no compiler here)'
    evaluator.run(values)


def test_many_threads_get_right_answers_while_it_changes() -> None:
    second = Making(is_other=True)
    evaluator, values, program = began(Making(0.001), second)
    wanted = evaluator.run(values)[0]
    wrong: list[torch.Tensor] = []

    def runs() -> None:
        while not program.wait(0):
            (found,) = evaluator.run(values)
            if not torch.equal(found, wanted):
                wrong.append(found)

    threads = [threading.Thread(target=runs) for _ in range(4)]
    for thread in threads:
        thread.start()
    second.may_go.set()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert evaluator.state(values).startswith('other')


class Noting(ad.Op):
    """An op of a user that does more than compute."""

    shareable = False

    def __init__(self) -> None:
        self.seen: list[int] = []

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        self.seen.append(threading.get_ident())
        return input_values[0] * 1

    def infer(self, node: ad.Node, input_types: Sequence[ad.TensorType]) -> ad.TensorType:
        return input_types[0]


def test_op_that_does_more_than_compute_is_run_only_when_asked_for() -> None:
    x, noting = ad.Variable('x'), Noting()
    second = Making(is_other=True)
    second.may_go.set()
    evaluator = ad.Evaluator([noting(x)], executor=Auto(Making(), second))
    for _ in range(3):
        evaluator.run({x: torch.ones(2)})
    assert program_of(evaluator, {x: torch.ones(2)}).wait(0)
    assert noting.seen == [threading.get_ident()] * 3
    assert 'more than a function' in evaluator.state({x: torch.ones(2)})


ENDS = """
import sys, time, torch, adjoint as ad
x = ad.Variable('x')
y = ad.sum(ad.tanh(ad.sin(x) * x))
evaluator = ad.Evaluator([y, *ad.gradients(y, [x])], executor='auto')
for _ in range(3):
    evaluator.run({x: torch.ones(10)})
service = ad.execute.evaluator.EXECUTORS['auto']._second.service
end = time.time() + 60
while service.pid is None and time.time() < end:
    time.sleep(0.02)
print(service.pid, flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().split()[2] != 'Z'
    except OSError:
        return False


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks at processes')
def test_end_of_the_process_ends_the_compiler_in_the_middle(tmp_path: Path) -> None:
    env = {**os.environ, 'ADJOINT_CACHE_DIR': str(tmp_path)}
    start = time.monotonic()
    run = subprocess.run(
        [sys.executable, '-c', ENDS], env=env, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stderr == ''
    pid = int(run.stdout)
    end = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(pid), f'{time.monotonic() - start} seconds'
