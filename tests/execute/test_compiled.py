"""The compiled executor gives what the reference gives, but for rounding."""

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import adjoint as ad
import adjoint.execute.compiled
from adjoint.execute.auto import Auto
from adjoint.execute.compiled import Compiled
from adjoint.execute.compiled_service import CompilerError, Service
from adjoint.execute.compiled_store import Store
from adjoint.ops.random import drawn_normal
from adjoint.ops.scatter import masked_select
from adjoint.train.rules import Adam
from tests.execute.agreement import same
from tests.execute.compiled_sweep import (
    Whole,
    is_whole,
    kept,
    of_ops,
    of_random_graphs,
    program_of,
    refused,
    together,
)
from tests.execute.test_compiled_steps import graphs, network
from tests.execute.user_ops import echo, window

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get('CXX', 'g++')) is None, reason='needs a compiler of C++'
)

OPS = (
    'div', 'pow', 'maximum', 'where', 'clamp', 'exp', 'relu', 'sum', 'amax', 'softmax', 'layernorm', 'matmul',
    'transpose', 'broadcast', 'cat', 'flip', 'gather', 'scatter_add', 'cumsum', 'atan2',
)  # fmt: skip


def is_real(whole: Whole) -> bool:
    values = ad.Evaluator(whole.nodes, executor='reference').run(whole.values)
    return not any(x.is_complex() for x in [*values, *whole.values.values()])


def test_ops_and_their_gradients_agree_with_the_reference(compiled: Compiled) -> None:
    graphs = [graph for name in OPS for graph in list(of_ops([name]))[:1] if is_real(graph)]
    program = program_of(together(graphs), compiled)
    assert refused(program) == []
    assert kept(program) == []


class Counted(ad.Op):
    """An op of a user that is more than a function of its operand: it counts."""

    shareable = False

    def __init__(self) -> None:
        self.calls = 0

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        return input_values[0] + 1

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        return [output_grad]


def test_what_cannot_be_written_is_kept_between_compiled_parts(compiled: Compiled) -> None:
    x, y = ad.Variable('x'), ad.Variable('y', (3, 3), torch.complex128)
    counted = Counted()
    first = ad.sin(x) * ad.exp(x) + ad.cos(x)
    between = counted(first)
    drawn = drawn_normal(x, seed=3)
    second = ad.tanh(between) * ad.sqrt(abs(between) + 1) + drawn
    picked = masked_select(second, second > 0)  # of another size each time
    nodes = [second, picked * 2, ad.matmul(y, y), window(echo(first * 3))]
    evaluator = ad.Evaluator(nodes, executor=compiled)
    generator = torch.Generator().manual_seed(0)
    values: dict[ad.Node, torch.Tensor] = {}
    for i in range(4):
        values = {
            x: torch.randn(4, 3, generator=generator, dtype=torch.float64),
            y: torch.randn(3, 3, generator=generator, dtype=torch.complex128),
        }
        wanted = ad.Evaluator(nodes, executor='reference').run(values)
        calls = counted.calls
        results = evaluator.run(values)
        assert i == 0 or counted.calls == calls + 1
        for result, other in zip(results, wanted, strict=True):
            torch.testing.assert_close(result, other, rtol=1e-12, atol=1e-12)
    assert evaluator.state(values).endswith('in 2 programs')
    program = evaluator.program(values)
    assert 'torch.ops.aten.exp.default' in program
    assert 'not compiled: it cannot be written as calls of ATen' in program


def test_values_laid_out_and_shared_in_every_way_are_read_right(compiled: Compiled) -> None:
    x, w = ad.Variable('x', (3, 3), torch.float64), torch.arange(3.0, dtype=torch.float64)
    held = ad.constant(w)
    y = ad.sin(x) * held + ad.cos(x)
    nodes = [y, ad.transpose(y, 0, 1), x * 1 + 0, x, ad.reshape(x, -1), y]
    evaluator = ad.Evaluator(nodes, executor=compiled)
    base = torch.randn(3, 3, dtype=torch.complex128)
    inputs = [base.conj().imag, torch.randn(3, dtype=torch.float64).expand(3, 3)]
    assert inputs[0].is_neg()
    kept_results: list[Any] = []
    for value in inputs:
        for _ in range(2):
            wanted = ad.Evaluator(nodes, executor='reference').run({x: value})
            results = evaluator.run({x: value})
            torch.testing.assert_close(results, wanted, rtol=1e-13, atol=1e-13)
            assert is_whole(evaluator.state({x: value}))
            kept_results.append((results, [r.clone() for r in results]))
    for results, copies in kept_results:
        assert all(torch.equal(a, b) for a, b in zip(results, copies, strict=True))
    value = inputs[-1]
    own = evaluator.run({x: value})[2]
    assert own.untyped_storage().data_ptr() != value.untyped_storage().data_ptr()
    w += 1  # whoever holds the tensor of a constant may change it
    torch.testing.assert_close(
        evaluator.run({x: value})[0], ad.Evaluator([y], executor='reference').run({x: value})[0]
    )


def test_failure_is_explained_as_by_the_reference(compiled: Compiled) -> None:
    x, i = ad.Variable('x'), ad.Variable('i')
    node = ad.index_select(ad.sin(x) * 2 + 1, 0, i)
    evaluator = ad.Evaluator([node], executor=compiled)
    evaluator.run({x: torch.ones(4), i: torch.tensor([0, 3])})
    assert is_whole(evaluator.state({x: torch.ones(4), i: torch.tensor([0, 9])}))
    with pytest.raises((IndexError, RuntimeError)) as caught:
        evaluator.run({x: torch.ones(4), i: torch.tensor([0, 9])})
    assert 'index_select' in ''.join(caught.value.__notes__)


def test_random_graphs_agree_with_the_reference(compiled: Compiled) -> None:
    graphs = [graph for graph in of_random_graphs(20) if is_real(graph)]
    program = program_of(together(graphs), compiled)
    assert refused(program) == []
    assert program.state.startswith('compiled')


def test_body_of_a_loop_whose_length_depends_on_values_is_compiled(service: Service, tmp_path: Path) -> None:
    compiled = Compiled(service=service, store=Store(tmp_path))
    x = ad.Variable('x', (5,), torch.float64)

    def goes_on(carry: Any) -> Any:
        return ad.sum(carry * carry) > 0.5

    def step(carry: Any) -> Any:
        return ad.sin(carry) * ad.cos(carry) * 0.9 + carry * 0.05

    last = ad.while_loop(goes_on, step, x)
    nodes = [last]
    evaluator = ad.Evaluator(nodes, executor=compiled)
    for scale in (1.0, 3.0):
        value = torch.linspace(0.5, 1.0, 5, dtype=torch.float64) * scale
        wanted = ad.Evaluator(nodes, executor='reference').run({x: value})
        for _ in range(2):
            torch.testing.assert_close(evaluator.run({x: value}), wanted, rtol=1e-12, atol=1e-12)
    assert len(list(tmp_path.iterdir())) in {1, 2}  # the body, and the condition if it is not too small


def test_steps_of_a_loop_are_compiled_by_their_number(service: Service, tmp_path: Path) -> None:
    # What is around the loops is kept: it is compiled elsewhere.
    compiled = Compiled(service=service, store=Store(tmp_path), fewest_nodes=1000)
    nodes, values = network(torch.float32)
    wanted = ad.Evaluator(nodes, executor='reference').run(values)
    evaluator = ad.Evaluator(nodes, executor=compiled, optimize='fast')
    for _ in range(2):
        torch.testing.assert_close(evaluator.run(values), wanted, rtol=1e-4, atol=1e-6)
    made = [(folder / 'program.py').read_text() for folder in tmp_path.iterdir()]
    assert len(made) == 2  # the loop, and that of its derivative
    assert not any('extern_kernels' in text for text in made)  # its products are code of its own
    assert all('adjoint_loop(' in text for text in made)  # so is going from step to step
    # The next process takes what there is, and needs no compiler.
    ended = Service()
    ended.close()
    again = Compiled(service=ended, store=Store(tmp_path), fewest_nodes=1000)
    other = ad.Evaluator(nodes, executor=again, optimize='fast')
    other.run(values)
    for own, theirs in zip(evaluator.run(values), other.run(values), strict=True):
        assert same(own, theirs)


@pytest.mark.parametrize(
    ('name', 'are_loops'),
    [
        ('reverse', False),  # its carries are swapped
        ('counted', True),
        ('held', True),
    ],
)
def test_steps_of_any_loop_give_what_single_steps_give(
    name: str, are_loops: bool, service: Service, tmp_path: Path
) -> None:
    compiled = Compiled(service=service, store=Store(tmp_path), fewest_nodes=1000)
    nodes = graphs()[name]
    values = {
        node: torch.linspace(-1, 2, 3 if node.given_name == 'v' else 27).double().reshape(node.type.shape)
        for node in ad.topological_sort(nodes)
        if node.given_name in {'v', 'xs'}
    }
    wanted = ad.Evaluator(nodes, executor='reference').run(values)
    evaluator = ad.Evaluator(nodes, executor=compiled)
    for _ in range(2):
        torch.testing.assert_close(evaluator.run(values), wanted, rtol=1e-12, atol=1e-12)
    made = [(folder / 'program.py').read_text() for folder in tmp_path.iterdir()]
    assert made
    assert are_loops == all('adjoint_loop(' in text for text in made)


def test_it_takes_the_place_of_the_plan_where_it_is_faster(compiled: Compiled) -> None:
    x = ad.Variable('x')
    y = x
    for _ in range(10):
        y = ad.tanh(ad.sin(y) * x)
    y = ad.sum(y)
    nodes = [y, *ad.gradients(y, [x])]
    evaluator = ad.Evaluator(nodes, executor=Auto(second=compiled))
    values = {x: torch.linspace(-1, 1, 64)}
    wanted = ad.Evaluator(nodes, executor='reference').run(values)
    for _ in range(3):
        for found, other in zip(evaluator.run(values), wanted, strict=True):
            assert same(found, other)
    assert evaluator.state(values).startswith('plan')
    programs = evaluator._programs_for(values)
    program: Any = programs.program([values[node] for node in programs.task.fed])
    assert program.wait(300)
    assert evaluator.state(values).startswith('compiled: ')
    torch.testing.assert_close(evaluator.run(values), wanted, rtol=1e-5, atol=1e-6)


def test_training_step_is_one_program(compiled: Compiled) -> None:
    w, b, x = ad.Variable('w', (3,)), ad.Variable('b', ()), ad.Variable('x', (4, 3))
    loss = ad.mean(ad.square(ad.tanh(x @ w) + b - 1))
    given = {'w': torch.tensor([1.0, -2.0, 0.5]), 'b': torch.tensor(0.25)}
    inputs = torch.linspace(-1, 1, 12).reshape(4, 3)
    runs: dict[str, list[torch.Tensor]] = {}
    for name, executor in {'compiled': compiled, 'reference': 'reference'}.items():
        own = {key: value.clone() for key, value in given.items()}
        step = ad.train_step(loss, {'w': w, 'b': b}, Adam(), executor=executor)
        descent = step.start(own)
        losses = [descent.descend({x: inputs}, 0.01)[0] for _ in range(10)]
        runs[name] = [*own.values(), *losses]
        if name == 'compiled':
            feed = step.feed({x: inputs}, own, descent.state, 0.01)
            assert step.evaluator.state(feed).endswith('in 1 program')
    torch.testing.assert_close(runs['compiled'], runs['reference'], rtol=1e-5, atol=1e-6)


def test_threads_that_trace_at_once_trace_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def loaded(module: torch.fx.GraphModule, *_: object, **__: object) -> None:
        asked.append(len(module.graph.nodes))
        msg = 'not now'
        raise CompilerError(msg)

    monkeypatch.setattr(adjoint.execute.compiled, 'loaded', loaded)
    x = ad.Variable('x')
    y = ad.sum(ad.exp(ad.sin(x) * x) + 3)
    nodes = [y, *ad.gradients(y, [x])]
    value = torch.linspace(0, 1, 7)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(target=lambda: ad.Evaluator(nodes, executor=Compiled()).run({x: value}))
            for _ in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert len(asked) == len(threads)
    assert len(set(asked)) == 1
