"""The program of a plan: what it says, whose memory it writes to, what a failure in it says, threads."""

import threading
from collections.abc import Mapping, Sequence

import pytest
import torch

import adjoint as ad
from adjoint.execute.executor import Program, Task
from adjoint.execute.plan import Plan
from adjoint.execute.signature import signature_of
from adjoint.ops.factorisation import cholesky
from adjoint.ops.scatter import masked_select
from tests.execute.agreement import assert_agrees, same

AT_ONCE = Plan(at_first_sight=True)


def lines(evaluator: ad.Evaluator, values: dict[ad.Node, torch.Tensor]) -> list[str]:
    """The statements of a program, without comments."""
    text = evaluator.program(values).split('def program(values):\n')[1]
    stripped = [line.split('#')[0].strip() for line in text.splitlines()]
    return [line for line in stripped if line]


def test_the_program_is_straight_line_torch_with_types_and_the_lines_of_the_user() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    hidden = ad.tanh(x @ w)
    values = {x: torch.ones(5, 4), w: torch.ones(4, 3)}
    text = ad.Evaluator([ad.sum(hidden)], executor='plan').program(values)
    assert [line.split('  # ')[0].strip() for line in text.splitlines() if line[4:5] != '#'] == [
        'def program(values):',
        'x, w = values',
        'v0 = mm(x, w)',
        'v1 = v0.tanh_(); del v0',
        'v2 = sum(v1); del v1',
        'return [v2]',
    ]
    first = next(line for line in text.splitlines() if 'mm(' in line)
    assert first.endswith('# float32[5, 3]')
    assert '    # hidden = ad.tanh(x @ w)  (test_program.py:' in text


def test_what_only_serves_for_its_shape_is_neither_computed_nor_kept() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    whole = x * w
    evaluator = ad.Evaluator([ad.sum_to_like(x, w), ad.zeros_like(whole)], optimize='none')
    found = lines(evaluator, {x: torch.ones(2, 3), w: torch.ones(3)})
    assert found[1:] == [
        'v0 = x.sum_to_size((3,))',
        "v1 = zeros((2, 3), dtype=float32, device='cpu')",
        'return [v0, v1]',
    ]


def test_nothing_is_left_of_shape_ops_whose_sizes_agree() -> None:
    x = ad.Variable('x')
    y = ad.reshape_like(ad.expand_like(ad.sum_to_like(x, x), x), x)
    (found,) = ad.Evaluator([ad.conj(ad.alias(y)) + 1], executor=AT_ONCE).run({x: torch.ones(3)})
    assert found.tolist() == [2, 2, 2]
    assert len(lines(ad.Evaluator([ad.conj(ad.alias(y)) + 1], executor='plan'), {x: torch.ones(3)})) == 3


@pytest.mark.parametrize(
    'build',
    [
        lambda y: y + y.mT,  # the other operand lies in the same memory
        lambda y: ad.sin(y) * y[0],
        lambda y: (ad.transpose(y, 0, 1), ad.exp(y)),  # a view outlives its base
        lambda y: (ad.reshape(y, -1)[1:], ad.cos(y) + 1),
        lambda y: (y, ad.exp(y)),  # it is returned
        lambda y: ad.where(y > 0, y, y.mT),
        lambda y: ad.expand_like(y[0], y) * y,
        lambda y: ad.matmul(y, y) @ y,
    ],
)
def test_memory_that_something_else_lies_in_is_not_written_to(build: object) -> None:
    x = ad.Variable('x')
    built = build(ad.exp(x))
    assert_agrees(list(built) if isinstance(built, tuple) else [built], {x: torch.randn(4, 4)})


def test_dead_memory_is_used_again_and_the_run_holds_no_more_for_it() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    y = x
    for _ in range(4):
        y = ad.tanh(y @ w)
    values = {x: torch.randn(128, 128), w: torch.randn(128, 128)}
    found = lines(ad.Evaluator([ad.sum(y)], executor='plan'), values)
    assert sum('out=' in line for line in found) == 2  # two buffers in turn
    assert_agrees([ad.sum(y)], values)


def test_a_second_run_leaves_the_results_of_the_first_alone() -> None:
    x = ad.Variable('x')
    y = ad.exp(x)
    nodes = [y, ad.transpose(y, 0, 1), ad.zeros_like(x), ad.ones_like(ad.sum(x)), y * 2, x, x]
    evaluator = ad.Evaluator(nodes, executor=AT_ONCE)
    first = evaluator.run({x: torch.zeros(2, 3)})
    kept = [value.clone() for value in first]
    second = evaluator.run({x: torch.ones(2, 3)})
    third = evaluator.run({x: torch.zeros(2, 3)})
    assert all(same(a, b) for a, b in zip(first, kept, strict=True))
    for value in second:
        value.fill_(7)
    assert all(same(a, b) for a, b in zip(third, kept, strict=True))
    assert all(same(a, b) for a, b in zip(evaluator.run({x: torch.zeros(2, 3)}), kept, strict=True))


def test_results_can_be_used_under_torch_autograd() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.sin(x) * x], executor=AT_ONCE)
    value = torch.ones(3, requires_grad=True)
    for y in (evaluator.run({x: value})[0], evaluator.run({x: value})[0]):
        assert not y.requires_grad
        assert not y.is_inference()
    y = evaluator.run({x: value})[0]
    w = torch.ones(3, requires_grad=True)
    torch.sum(w * y).backward()
    assert torch.equal(w.grad, y)
    assert torch.is_grad_enabled()


def test_a_failure_in_the_program_names_the_node_and_the_line_of_the_user() -> None:
    a, b = ad.Variable('a'), ad.Variable('b')
    solved = cholesky(a + 0 * a)
    evaluator = ad.Evaluator([ad.sum(solved) + b], executor=AT_ONCE)
    good, bad = torch.eye(2), -torch.eye(2)
    evaluator.run({a: good, b: torch.ones(())})
    with pytest.raises(RuntimeError, match='positive-definite') as caught:
        evaluator.run({a: bad, b: torch.ones(())})
    (note,) = caught.value.__notes__
    assert 'op cholesky' in note
    assert 'input 0: float32[2, 2]' in note
    assert 'solved = cholesky(a + 0 * a)' in note
    with pytest.raises(RuntimeError, match='positive-definite') as reference:
        ad.Evaluator([solved], executor='reference').run({a: bad})
    assert reference.value.__notes__ == [note]
    assert torch.is_grad_enabled()


def test_the_program_is_made_when_a_signature_comes_again() -> None:
    prepared: list[torch.Size] = []

    class Counting(Plan):
        def prepare(
            self, task: Task, values: Sequence[torch.Tensor], sizes: Mapping[str, int]
        ) -> tuple[Program, list[torch.Tensor]]:
            prepared.append(values[0].shape)
            return super().prepare(task, values, sizes)

    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.sin(x) + 1], executor=Counting())
    for count in (2, 3, 2, 3, 2, 4):
        (y,) = evaluator.run({x: torch.zeros(count)})
        assert y.tolist() == [1] * count
    assert prepared == [(2,), (3,)]


def test_other_layouts_dtypes_and_defaults_get_programs_of_their_own() -> None:
    value = torch.ones(3, 3)
    seen = {signature_of([v]) for v in (value, value.double(), value[:2], value[:, ::2], value.mT)}
    assert len(seen) == 5
    x = ad.Variable('x')
    evaluator = ad.Evaluator([x * 2 + torch.ones(3)], executor=AT_ONCE)
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.int64, torch.bool):
        wanted = torch.ones(3, dtype=dtype) * 2 + torch.ones(3)
        for _ in range(2):
            assert same(evaluator.run({x: torch.ones(3, dtype=dtype)})[0], wanted)


def test_what_is_no_plain_tensor_is_run_by_the_reference() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.sin(x) * x], executor=AT_ONCE)
    batch = torch.randn(4, 3)
    found = torch.func.vmap(lambda v: evaluator.run({x: v})[0])(batch)
    assert same(found, batch.sin() * batch)
    (y,) = ad.Evaluator([x * 2], executor=AT_ONCE).run({x: batch.to_sparse()})
    assert same(y.to_dense(), batch * 2)
    with torch.autocast('cpu', torch.bfloat16):
        (product,) = ad.Evaluator([x @ x], executor=AT_ONCE).run({x: torch.ones(2, 2)})
    assert product.dtype == torch.bfloat16


def test_sizes_that_depend_on_the_data_may_differ_between_runs() -> None:
    x = ad.Variable('x')
    positive = masked_select(x, x > 0)
    evaluator = ad.Evaluator([ad.exp(ad.sin(positive)) * 2], executor=AT_ONCE)
    for numbers in ([1.0, -1.0, 2.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]):
        value = torch.tensor(numbers)
        wanted = torch.exp(torch.sin(value[value > 0])) * 2
        assert same(evaluator.run({x: value})[0], wanted)


def test_two_threads_run_one_evaluator() -> None:
    x = ad.Variable('x')
    y = x
    for _ in range(30):
        y = ad.sin(y) * x + ad.cos(y)
    evaluator = ad.Evaluator([y, *ad.gradients(ad.sum(y), [x])], executor='plan')
    reference = ad.Evaluator(evaluator.eval_nodes, executor='reference')
    wrong: list[int] = []

    def work(number: int) -> None:
        for i in range(40):
            value = torch.full((64 + i % 3,), 0.01 * number + i)
            wanted, found = reference.run({x: value}), evaluator.run({x: value})
            if not all(same(a, b) for a, b in zip(wanted, found, strict=True)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_long_graph_is_planned_without_recursion() -> None:
    x = ad.Variable('x')
    y = x
    for _ in range(5000):
        y = ad.sin(y) * x
    assert_agrees([y], {x: torch.tensor([0.5, 1.0])}, AT_ONCE)


def test_over_gives_the_run_as_a_function_of_values_in_order() -> None:
    x, y, unused = ad.Variable('x'), ad.Variable('y'), ad.Variable('unused')
    less = ad.Evaluator([x - y], executor=AT_ONCE).over([y, unused, x])
    for _ in range(3):
        assert less([torch.tensor(1.0), torch.tensor(0.0), torch.tensor(3.0)])[0] == 2
    with pytest.raises(ad.MissingInputError, match="'y'"):
        ad.Evaluator([x - y]).over([x])


def test_equal_numbers_have_one_name_and_others_their_own() -> None:
    x = ad.Variable('x')
    y = ad.sin(x * 0.5) + ad.cos(x) * 0.5 - ad.tanh(x) * 0.25 + x * -0.0 + x * 0.0
    text = ad.Evaluator([y]).program({x: torch.ones(3)})
    numbers = [line.partition(' = ')[2] for line in text.splitlines() if line.startswith('c')]
    assert numbers == ['tensor(0.5000)', 'tensor(0.2500)', 'tensor(-0.)', 'tensor(0.)']
    assert_agrees([y], {x: torch.randn(3)})


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"an executor is one of .*plan, reference; got 'fast'"):
        ad.Evaluator([ad.Variable('x')], executor='fast')
