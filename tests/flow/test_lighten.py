"""What loops do once, or for all steps at once: values, what is taken out, and what memory that takes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.execute.executor import Task
from adjoint.execute.typed import typed
from adjoint.ops.body import Body
from tests.flow import loops
from tests.flow.test_scan import CASES
from tests.ops.case import spread

F64 = torch.float64


def lstm(flow: Any, h: Any, xs: Any, w: Any, u: Any, b: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        gates = [h @ w[k] + x @ u[k] + b[k] for k in range(4)]
        c = torch.sigmoid(gates[0]) * c + torch.sigmoid(gates[1]) * torch.tanh(gates[2])
        h = torch.sigmoid(gates[3]) * torch.tanh(c)
        return (h, c), h

    (h, _), hs = flow.scan(step, (h, h * 0.5), xs)
    return (h * h).sum() + (hs**3).mean()


def added_up(flow: Any, c: Any, xs: Any, w: Any) -> Any:
    """Sums of a product, of its rows, of what depends on no carry, and of what is the same in each step."""

    def step(carry: Any, x: Any) -> Any:
        c, total, rows, squares, same = carry
        y = torch.tanh(c @ w + x)
        after = total + y.T @ x + c.T @ y, rows + y.sum(0), squares + x * x, same + w
        return (y, *after), None

    start = (c, w * 0.1, w[0], xs[0] * 2, w * 3)
    return sum((y * y).sum() for y in flow.scan(step, start, xs)[0])


def result_before_and_after(flow: Any, c: Any, xs: Any) -> Any:
    _, (before, after) = flow.scan(lambda c, x: (torch.sin(c + x), (c, torch.sin(c + x))), c, xs)
    return (before * after).sum()


def late_results(flow: Any, c: Any, xs: Any, w: Any) -> Any:
    """The results depend on carries, and no carry on them."""

    def step(c: Any, x: Any) -> Any:
        c = torch.tanh(c @ w) + x
        return c, (torch.exp(c @ w).sum(), c * 2 - x, x * 3)

    c, (a, b, d) = flow.scan(step, c, xs)
    return c.sum() + (a * a).sum() + (b * d).sum()


MORE: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    'lstm': (lstm, (spread(2, 3), *(spread(*s, seed=1) for s in ((6, 2, 5), (4, 3, 3), (4, 5, 3), (4, 3))))),
    'added up': (added_up, (spread(4, 3), spread(5, 4, 3, seed=1), spread(3, 3, seed=2))),
    'before and after': (result_before_and_after, (spread(3), spread(5, 3, seed=1))),
    'late results': (late_results, (spread(4, 3), spread(5, 4, 3, seed=1), spread(3, 3, seed=2))),
}  # fmt: skip
ALL = {**CASES, **MORE}


def derivatives(
    function: Callable[..., Any], values: Sequence[torch.Tensor], *, is_typed: bool
) -> tuple[list[ad.Node], list[ad.Node]]:
    """The variables; the value, the gradients, and a product with the Hessian."""
    variables = [
        ad.Variable(f'x{i}', tuple(v.shape), v.dtype) if is_typed else ad.Variable(f'x{i}')
        for i, v in enumerate(values)
    ]
    y = function(ad, *variables)
    grads = ad.gradients(y, variables)
    along = sum((g * g).sum() for g in grads)
    return variables, [y, *grads, *ad.gradients(along, variables)]


def run(nodes: list[ad.Node], feed: dict[ad.Node, torch.Tensor], **options: Any) -> list[torch.Tensor]:
    """Values by the program, which is written the second time."""
    evaluator = ad.Evaluator(nodes, **options)
    evaluator.run(feed)
    evaluator.run(feed)
    return evaluator.run(feed)


@pytest.mark.parametrize('is_typed', [True, False])
@pytest.mark.parametrize('name', ALL)
def test_values_are_those_of_the_steps(name: str, is_typed: bool):
    function, values = ALL[name]
    variables, nodes = derivatives(function, values, is_typed=is_typed)
    feed = dict(zip(variables, values, strict=True))
    wanted = run(nodes, feed, executor='reference')
    for got, exact in zip(run(nodes, feed), wanted, strict=True):
        assert torch.equal(got, exact)
    for got, exact in zip(run(nodes, feed, optimize='fast'), wanted, strict=True):
        torch.testing.assert_close(got, exact, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(wanted[0], function(loops, *values), rtol=1e-13, atol=0)


@pytest.mark.parametrize('name', ALL)
def test_no_bit_changes_in_single_precision(name: str):
    function, values = ALL[name]
    singles = [v.float() for v in values]
    variables = [ad.Variable(f'x{i}') for i, _ in enumerate(values)]
    y = function(ad, *variables)
    nodes, feed = [y, *ad.gradients(y, variables)], dict(zip(variables, singles, strict=True))
    for got, exact in zip(run(nodes, feed), run(nodes, feed, executor='reference'), strict=True):
        assert torch.equal(got, exact)


def bodies(
    nodes: Sequence[ad.Node], feed: dict[ad.Node, torch.Tensor], level: Any, budget: int | None = None
) -> list[Body]:
    """Those of the loops that a program runs."""
    task = typed(Task(tuple(nodes), tuple(feed), level, budget=budget), list(feed.values()))
    return [node.attrs['body'] for node in ad.topological_sort(task.outputs) if 'body' in node.attrs]


def ops_of(body: Body) -> list[str]:
    return [node.op.name for node in ad.topological_sort(body.outputs) if node.inputs]


def recurrent() -> tuple[list[ad.Node], dict[ad.Node, torch.Tensor]]:
    values = (
        spread(2, 3),
        spread(40, 2, 5, seed=1),
        spread(3, 3, seed=2),
        spread(5, 3, seed=3),
        spread(3, seed=4),
    )
    h, xs, w, u, b = variables = [ad.Variable(f'x{i}') for i in range(5)]
    last, _ = ad.scan(lambda h, x: (torch.tanh(h @ w + x @ u + b), None), h, xs)
    y = (last * last).sum()
    return [y, *ad.gradients(y, [w, u, b])], dict(zip(variables, values, strict=True))


def test_only_what_a_step_needs_of_another_stays_in_it():
    nodes, feed = recurrent()
    forward, backward = bodies(nodes, feed, 'fast')
    assert ops_of(forward) == ['matmul', 'add', 'tanh']
    assert ops_of(backward) == ['mul', 'matmul']


def test_exact_steps_are_not_merged_but_nothing_is_computed_twice():
    nodes, feed = recurrent()
    forward, backward = bodies(nodes, feed, 'bitwise')
    assert sorted(ops_of(forward)) == ['add', 'add', 'matmul', 'matmul', 'tanh']
    assert sorted(ops_of(backward)) == ['add', 'add', 'add', 'matmul', 'matmul', 'matmul', 'mul', 'sum']
    whole = typed(Task(tuple(nodes), tuple(feed), 'bitwise'), list(feed.values()))
    assert sum(node.op.name == 'transpose' for node in ad.topological_sort(whole.outputs)) == 3


def test_programs_have_the_same_lines_for_any_number_of_steps():
    nodes, feed = recurrent()
    text = ad.Evaluator(nodes, optimize='fast').program(feed)
    xs = list(feed)[1]
    longer = ad.Evaluator(nodes, optimize='fast').program({**feed, xs: spread(80, 2, 5)})
    assert len(text.splitlines()) == len(longer.splitlines())


def test_what_does_not_fit_stays_in_the_steps():
    x, xs, w = ad.Variable('x', (4,), F64), ad.Variable('xs', (100, 4), F64), ad.Variable('w', (4,), F64)
    y, _ = ad.scan(lambda c, x: (torch.sin(c) + torch.exp(x) * torch.exp(w), None), x, xs)
    for room, left in ((2 * 100 * 4 * 8, ['add', 'sin']), (100 * 4 * 8 - 1, ['add', 'exp', 'mul', 'sin'])):
        nodes = ad.topological_sort(ad.optimize([y], 'fast', final=True, room=room))
        (loop,) = [node for node in nodes if node.op.name == 'scan']
        assert sorted(ops_of(loop.attrs['body'])) == left
        assert sum(node.op.name == 'exp' for node in nodes) == 2 - left.count('exp')


def test_memory_of_a_long_loop_does_not_grow_by_more_than_the_room():
    x, xs = ad.Variable('x', (64,), F64), ad.Variable('xs', (100_000, 64), F64)
    y = ad.scan(lambda c, x: (c * 0.5 + torch.exp(torch.sin(x)), None), x, xs)[0].sum()
    steps = ad.Evaluator([y], optimize='bitwise').memory().peak_bytes
    at_once = ad.Evaluator([y], optimize='fast').memory().peak_bytes
    assert at_once - steps <= 1 << 23


def test_nothing_is_stored_under_a_memory_budget():
    nodes, feed = recurrent()
    forward, backward = bodies(nodes, feed, 'fast', budget=1 << 20)
    assert ops_of(forward).count('matmul') == 2
    assert ops_of(backward).count('tanh') == 0


def test_what_a_user_computes_stays_in_the_steps():
    class Counting(ad.Op):
        calls = 0

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            Counting.calls += 1
            return input_values[0] * 2

        def infer(self, node: ad.Node, input_types: Any) -> Any:
            return input_types[0]

    op, xs, x = Counting(), ad.Variable('xs', (7, 3), F64), ad.Variable('x', (3,), F64)
    y, _ = ad.scan(lambda c, x: (c + op(x), None), x, xs)
    feed = {xs: spread(7, 3), x: spread(3, seed=1)}
    evaluator = ad.Evaluator([y], optimize='fast')
    evaluator.run(feed)
    Counting.calls = 0
    (got,) = evaluator.run(feed)
    assert Counting.calls == 7
    torch.testing.assert_close(got, feed[x] + 2 * feed[xs].sum(0))


def test_results_that_a_user_sees_lie_apart():
    x, xs = ad.Variable('x', (3,), F64), ad.Variable('xs', (5, 3), F64)
    step = lambda c, x: (c * x, (c, c * x, x, x * 2))  # noqa: E731
    last, results = ad.scan(step, x, xs)
    feed = {x: spread(3), xs: spread(5, 3, seed=1)}
    for level in ('bitwise', 'fast'):
        evaluator = ad.Evaluator([last, *results], optimize=level)
        evaluator.run(feed)
        evaluator.run(feed)
        found = evaluator.run(feed)
        wanted = [y.clone() for y in found]
        for i, y in enumerate(found):
            y.fill_(torch.nan)
            for j, other in enumerate(found):
                assert j <= i or torch.equal(other, wanted[j])
        assert not any(v.isnan().any() for v in feed.values())


def test_carries_before_and_after_a_step_lie_in_the_same_memory():
    nodes, feed = recurrent()
    loop = next(n for n in ad.topological_sort(nodes) if n.op.name == 'scan')
    values = [feed[x] for x in loop.inputs]
    before, after = loop.op.compute(loop, values)[1:3]
    assert torch.equal(before[1:], after[:-1])
    assert before.untyped_storage().data_ptr() == after.untyped_storage().data_ptr()


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('steps', [2, 31, 32, 33, 70])
def test_batches_are_those_of_the_steps(steps: int, reverse: bool):
    values = spread(2, 3), spread(steps, 2, 3, seed=1), spread(3, 3, seed=2) * 0.3
    variables = [ad.Variable(f'x{i}') for i in range(3)]

    def f(h: Any, xs: Any, w: Any) -> Any:
        c, ys = ad.scan(lambda c, x: (torch.tanh(c @ w + x @ w), (c * x).sum(0)), h, xs, reverse=reverse)
        return (c * c).sum() + (ys**3).sum()

    y = f(*variables)
    many = ad.batched(ad.gradients(y, variables), {variables[0]: (hs := ad.Variable('hs'))})
    feed = dict(zip(variables, values, strict=True)) | {hs: spread(4, 2, 3, seed=5)}
    nodes = [n for n in many if n is not None]
    del feed[variables[0]]
    wanted = run(nodes, feed, executor='reference')
    for level, tolerance in (('bitwise', 0.0), ('fast', 1e-12)):
        for got, exact in zip(run(nodes, feed, optimize=level), wanted, strict=True):
            torch.testing.assert_close(got, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(('level', 'strides'), [('bitwise', (1, 3)), ('fast', (3, 1))])
def test_transposed_constants_are_laid_out_in_order_once_where_products_may_round(level: Any, strides: Any):
    seen: list[tuple[int, ...]] = []

    class Product(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            c, w = input_values
            seen.append(w.stride())
            return c @ w

        def infer(self, node: ad.Node, input_types: Any) -> Any:
            return input_types[0]

    product, x, w = Product(), ad.Variable('x', (2, 3), F64), ad.Variable('w', (3, 3), F64)
    y, _ = ad.scan(lambda c, _: (product(c, w.T), None), x, length=4)
    feed = {x: spread(2, 3), w: spread(3, 3, seed=1)}
    (got,) = run([y], feed, optimize=level)
    torch.testing.assert_close(got, feed[x] @ torch.linalg.matrix_power(feed[w].T, 4))
    assert seen[-4:] == [strides] * 4
