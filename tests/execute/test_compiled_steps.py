"""The steps of a loop, each run by its number over whole sequences, give what single steps give."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.core.order import topological_sort
from adjoint.execute.compiled import Compiled
from adjoint.execute.compiled_service import Service
from adjoint.execute.compiled_steps import Loop, SteppedProgram, does_little, loop_of
from adjoint.execute.compiled_store import Store
from adjoint.execute.executor import Task

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


def traced_only(change: Callable[..., None] = lambda *_: None) -> tuple[Callable[..., Any], list[int]]:
    """Stand in for the compiler: run what was traced, step by step; and the numbers of the steps run."""
    numbers: list[int] = []

    def loaded(module: Any, layouts: Sequence[Any], _: Any, __: Any, loop: tuple[int, int, int]) -> Any:
        (carries, sequences, _), count = loop, len(layouts)

        def call(given: list[Any], first: int, by: int, steps: int) -> list[torch.Tensor]:
            carried, values, before = given[:carries], given, carries + sequences
            for i in range(first, first + by * steps, by):
                numbers.append(i)
                slices = [x[i] for x in values[carries:before]]
                found = module(*carried, *slices, *values[before:count])
                for stack, y in zip(values[count:], found[carries:], strict=True):
                    stack[i] = y
                    change(stack, i)
                carried = list(found[:carries])
            return carried

        return call

    return loaded, numbers


def swapping(a: Any, b: Any) -> tuple[Any, Any]:
    """A step that swaps its carries, gives one as it was, and another twice."""
    (x, y), z = a, ad.sin(a[0]) * 0.5 + b
    return (y, z), (x, z, {'again': z * 2, 'same': ad.transpose(ad.cat([z.reshape(1, -1)] * 2), 0, 1)})


def graphs() -> dict[str, list[ad.Node]]:
    """Loops over ``v: (3,)`` and ``xs: (9, 3)``, and their derivatives."""
    v, xs = ad.Variable('v', (3,), torch.float64), ad.Variable('xs', (9, 3), torch.float64)
    made: dict[str, list[ad.Node]] = {}
    for name, options in (('forward', {}), ('reverse', {'reverse': True})):
        (a, b), (c, d, more) = ad.scan(swapping, (v, v * 2), xs, **options)
        made[name] = [a, b, c, d, more['again'], more['same']]
    made['counted'] = [*ad.scan(lambda h, _: (h * v, ad.sum(h)), v, length=6)]
    made['no results'] = [ad.scan(lambda h, x: (ad.cos(h) * x, None), v, xs)[0]]
    made['a sum'] = [ad.scan(lambda h, x: (h + ad.exp(h * x * 0.1), None), v, xs)[0]]
    held = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    made['held'] = [*ad.scan(lambda h, x: (ad.sin(h * held), h), v, xs)]
    for nodes in made.values():
        y = ad.sum(ad.sin(nodes[0]))
        for node in nodes[1:]:
            y = y + ad.sum(node * node)
        nodes.extend(ad.gradients(y, [v, xs]))
    return made


@pytest.mark.parametrize('optimize', ['none', 'bitwise', 'fast'])
@pytest.mark.parametrize('name', list(graphs()))
def test_steps_by_number_give_what_single_steps_give(
    name: str, optimize: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, numbers = traced_only()
    monkeypatch.setattr('adjoint.execute.compiled.loaded', loaded)
    nodes = graphs()[name]
    variables = [node for node in topological_sort(nodes) if node.given_name in {'v', 'xs'}]
    generator = torch.Generator().manual_seed(1)
    # Only loops: what is around them is kept.
    evaluator = ad.Evaluator(nodes, executor=Compiled(fewest_nodes=1000), optimize=optimize)
    for transposed in (False, True):
        values: dict[ad.Node, torch.Tensor] = {}
        for x in variables:
            drawn = torch.randn((3,) if x.given_name == 'v' else (9, 3), generator=generator).double()
            values[x] = drawn.mT.contiguous().mT if transposed and drawn.ndim > 1 else drawn
        wanted = ad.Evaluator(nodes, executor='reference').run(values)
        for _ in range(2):
            numbers.clear()
            torch.testing.assert_close(evaluator.run(values), wanted, rtol=1e-12, atol=1e-12)
        assert len(numbers) >= 5  # of the second run, when the program is there


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (
            lambda stack, i: stack[i].add_(1),
            'it does not give what the reference gives for output 1 of a step',
        ),
        (lambda stack, _: stack[0].add_(1), 'it writes into the results of another step'),
        (lambda stack, _: stack[7], 'it fails: IndexError'),
    ],
)
def test_step_that_goes_wrong_is_not_used(change: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('adjoint.execute.compiled.loaded', traced_only(change)[0])
    h, x = ad.Variable('h', (3,), torch.float64), ad.Variable('x', (3,), torch.float64)
    compiled = Compiled(fewest_nodes=1000, loop=Loop(1, 1, 9))
    values = [torch.rand(3, dtype=torch.float64) for _ in range(2)]
    program, _ = compiled.prepare(Task((ad.sin(h * x), h + x), (h, x)), values, {})
    assert isinstance(program, SteppedProgram)
    assert program.over is None
    assert f'# not compiled: {why}' in program.source


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


def test_what_does_little_is_told_from_what_does_much() -> None:
    w, h = ad.Variable('w', (HIDDEN, HIDDEN)), ad.Variable('h', (BATCH, HIDDEN))
    task, values = Task((ad.tanh(h @ w),), (h, w)), [torch.ones(BATCH, HIDDEN), torch.ones(HIDDEN, HIDDEN)]
    assert [does_little(Loop(1, 0, n), task, values) for n in (3, 4, 1000)] == [False, True, True]
    x = ad.Variable('x', (512, 512))
    assert not does_little(Loop(1, 0, 1000), Task((x @ x,), (x,)), [torch.ones(512, 512)])


def test_what_is_more_than_a_function_is_not_run_to_see_what_it_does() -> None:
    x, run = ad.Variable('x', (3,)), list[int]()

    class Noted(ad.Op):
        shareable = False

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            run.append(1)
            return input_values[0]

    task = Task((Noted()(x) * 2,), (x,))
    run.clear()  # of what its type is found from
    assert not does_little(Loop(1, 0, 100), task, [torch.ones(3)])
    assert not run


def test_why_a_step_is_not_compiled_is_told(tmp_path: Path) -> None:
    service = Service()
    service.close()
    compiled = Compiled(service=service, store=Store(tmp_path), loop=Loop(1, 0, 40))
    x = ad.Variable('x', (2,), torch.float64)
    program, _ = compiled.prepare(Task((x * 2,), (x,)), [torch.ones(2).double()], {})
    assert '# not compiled: nothing more is compiled' in program.source
    z = ad.Variable('z', (2,), torch.complex128)
    program, _ = compiled.prepare(Task((z * 2,), (z,)), [torch.ones(2).cdouble()], {})
    assert '# not compiled: it cannot be written as calls of ATen' in program.source
