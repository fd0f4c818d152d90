"""Several steps of a loop are one compiled program, which gives what single steps give."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.core.order import topological_sort
from adjoint.execute.compiled import Compiled
from adjoint.execute.compiled_service import Service
from adjoint.execute.compiled_steps import Loop, SteppedProgram, loop_of, steps_at_once, unrolled
from adjoint.execute.compiled_store import Store
from adjoint.execute.executor import Task
from adjoint.execute.reference import Schedule

STEPS, BATCH, HIDDEN = 43, 4, 16


def network(dtype: torch.dtype) -> tuple[list[ad.Node], dict[ad.Node, torch.Tensor]]:
    """A recurrent network, and its derivative by the weights."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(HIDDEN, HIDDEN), (STEPS, BATCH, HIDDEN), (BATCH, HIDDEN)]
    values = [0.3 * torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]
    w, xs, start = (ad.Variable(f'v{i}', tuple(x.shape), x.dtype) for i, x in enumerate(values))

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        return ad.tanh(h @ w + x), None

    last, _ = ad.scan(step, start, xs)
    y = ad.sum(last * last)
    return [y, *ad.gradients(y, [w])], dict(zip([w, xs, start], values, strict=True))


def loops(nodes: Sequence[ad.Node]) -> list[ad.Node]:
    return [node for node in topological_sort(nodes) if 'body' in node.attrs]


def two_carries() -> Task:
    """A body that swaps its carries, gives one of them as it was, and another thing twice."""
    a, b = ad.Variable('a', (2,), torch.float64), ad.Variable('b', (2,), torch.float64)
    x, c = ad.Variable('x', (2,), torch.float64), ad.Variable('c', (), torch.float64)
    y = a * c + x
    return Task((b, y, a, y), (a, b, x, c))


def by_single_steps(
    task: Task, loop: Loop, carries: Sequence[torch.Tensor], rows: Any, constants: Any
) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
    run, kept = Schedule(task, {}), list[list[torch.Tensor]]()
    carried = list(carries)
    for row in rows:
        found = run([*carried, *row, *constants])
        carried = found[: loop.carries]
        kept.append(found[loop.carries :])
    return carried, kept


@pytest.mark.parametrize('length', [0, 2, 3, 7])
def test_steps_at_once_are_steps_one_by_one(length: int) -> None:
    task, loop, count = two_carries(), Loop(2, 1, 7), 3
    one, several = Schedule(task, {}), Schedule(unrolled(task, loop, count), {})
    program = SteppedProgram(one, loop, several, count)
    values = torch.arange(2.0 * (length + 2), dtype=torch.float64).view(-1, 2).unbind()
    carries, rows, constants = (
        values[:2],
        [(x,) for x in values[2:]],
        [torch.tensor(0.5, dtype=torch.float64)],
    )
    wanted, each = by_single_steps(task, loop, carries, rows, constants)
    last, kept = program.repeat(carries, rows, constants)
    assert len(kept) == length
    torch.testing.assert_close(last, wanted, rtol=0, atol=0)
    for found, other in zip(kept, each, strict=True):
        torch.testing.assert_close(list(found), other, rtol=0, atol=0)


def test_number_of_steps_is_known_of_loops_that_keep_all_of_a_fixed_number() -> None:
    x, n = ad.Variable('x', (3,)), ad.Variable('n', (), torch.int64)
    nodes, _ = network(torch.float32)
    assert [loop_of(node) for node in loops(nodes)] == [Loop(1, 1, STEPS), Loop(2, 2, STEPS)]
    (counted,) = loops([ad.scan(lambda h, _: (h * x, None), x, length=6)[0]])
    assert loop_of(counted) == Loop(1, 0, 6)
    forgetful, _ = ad.scan(lambda h, _: (h * x, None), x, length=6, checkpoint=2)
    assert [loop_of(node) for node in loops([forgetful])] == [None]
    asked = ad.fori_loop(0, n, lambda _, h: h * x, x)
    assert [loop_of(node) for node in loops([asked])] == [None]


def test_steps_are_taken_at_once_where_they_are_many_and_do_little() -> None:
    w, h = ad.Variable('w', (HIDDEN, HIDDEN)), ad.Variable('h', (BATCH, HIDDEN))
    task, values = Task((ad.tanh(h @ w),), (h, w)), [torch.ones(BATCH, HIDDEN), torch.ones(HIDDEN, HIDDEN)]
    assert [steps_at_once(Loop(1, 0, n), task, values) for n in (2, 7, 1000)] == [0, 2, 8]
    deep = h
    for _ in range(20):
        deep = ad.tanh(deep)
    assert steps_at_once(Loop(1, 0, 1000), Task((deep,), (h,)), values[:1]) == 3
    x = ad.Variable('x', (512, 512))
    assert steps_at_once(Loop(1, 0, 1000), Task((x @ x,), (x,)), [torch.ones(512, 512)]) == 0


def test_what_is_more_than_a_function_is_not_run_to_see_what_it_does() -> None:
    x, run = ad.Variable('x', (3,)), list[int]()

    class Noted(ad.Op):
        shareable = False

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            run.append(1)
            return input_values[0]

    task = Task((Noted()(x) * 2,), (x,))
    run.clear()  # of what its type is found from
    assert steps_at_once(Loop(1, 0, 100), task, [torch.ones(3)]) == 0
    assert not run


def test_why_steps_are_not_taken_at_once_is_told(tmp_path: Path) -> None:
    service = Service()
    service.close()
    compiled = Compiled(service=service, store=Store(tmp_path), loop=Loop(2, 1, 40))
    task, values = two_carries(), [torch.ones(2, dtype=torch.float64)] * 3 + [torch.tensor(0.5).double()]
    program, results = compiled.prepare(task, values, {})
    assert 'several steps at once: not compiled: nothing more is compiled' in program.source
    rows: Any = [(x,) for x in torch.rand(5, 2, dtype=torch.float64)]
    wanted, _ = by_single_steps(task, Loop(2, 1, 40), results[:2], rows, values[3:])
    assert isinstance(program, SteppedProgram)
    torch.testing.assert_close(program.repeat(results[:2], rows, values[3:])[0], wanted, rtol=0, atol=0)
    z = ad.Variable('z', (2,), torch.complex128)
    program, _ = replace(compiled, loop=Loop(1, 0, 40)).prepare(
        Task((z * 2,), (z,)), [torch.ones(2).cdouble()], {}
    )
    assert 'it cannot be written as calls of ATen' in program.source
