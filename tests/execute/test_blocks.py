"""Chains of elementwise steps in blocks: the same bits, in less memory."""

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.execute.blocks import Blocking
from adjoint.execute.plan import Plan
from tests.execute.agreement import IN_BLOCKS, assert_agrees, same
from tests.execute.drawn_values import drawn

pytestmark = pytest.mark.usefixtures('two_threads')

F32, F64 = torch.float32, torch.float64
# Larger than a share of a thread, and with a rest that is no whole number of vectors.
LARGE = (3, 12_347)


def blocks_in(evaluator: ad.Evaluator, values: Any) -> int:
    return evaluator.program(values).count(' blocks of [')


def check(
    build: Callable[..., Any], *values: torch.Tensor, groups: int = 1, block: int = 1 << 12
) -> tuple[ad.Evaluator, Any]:
    """Fail unless the values, computed in blocks, are those of the reference bit by bit."""
    variables = [ad.Variable(f'x{i}', tuple(v.shape), v.dtype) for i, v in enumerate(values)]
    built = build(*variables)
    nodes = list(built) if isinstance(built, (list, tuple)) else [built]
    given = dict(zip(variables, values, strict=True))
    executor = replace(IN_BLOCKS, blocking=Blocking(least=1, block=block))
    evaluator = assert_agrees(nodes, given, executor, 'bitwise')
    assert blocks_in(evaluator, given) == groups, evaluator.program(given)
    return evaluator, given


def test_a_chain_and_its_gradient_are_one_group():
    def build(x: ad.Node) -> list[ad.Node]:
        y = ad.tanh(ad.sin(x) * x + 0.5)
        return [y, *ad.gradients(ad.sum(y), [x])]

    check(build, drawn(*LARGE))


@pytest.mark.parametrize('dtype', [F64, torch.float16, torch.bfloat16, torch.complex64])
def test_every_dtype_has_its_blocks(dtype: torch.dtype):
    check(lambda x: ad.exp(x * x) * x, drawn(*LARGE, dtype=dtype))


def test_values_of_several_dtypes_are_in_one_group():
    def build(x: ad.Node, mask: ad.Node, count: ad.Node) -> list[ad.Node]:
        kept = ad.where(mask, ad.exp(x), x * count)
        return [kept > 0, ad.cast(kept, F64) * 2, ad.sqrt(ad.abs(kept))]

    check(build, drawn(*LARGE), drawn(*LARGE, dtype=torch.bool), drawn(*LARGE, dtype=torch.int32))


@pytest.mark.parametrize('other', [(), (1,), (512,), (1, 512), (96, 1), (1, 1), (96, 512)])
def test_operands_that_broadcast_are_cut_where_the_values_are(other: tuple[int, ...]):
    check(lambda x, b: ad.sigmoid(ad.tanh(x + b) * x) - b, drawn(96, 512), drawn(*other, seed=1))


def test_an_axis_of_length_one_in_front_is_no_axis_to_cut():
    check(lambda x, b: ad.tanh(ad.sin(x + b)) * x, drawn(1, 4096), drawn(4096, seed=1), groups=0)
    check(lambda x: ad.tanh(ad.sin(x)) * x, drawn(1, 4096))


def test_rows_that_threads_do_not_share_alike_are_not_cut():
    check(lambda x, b: ad.tanh(ad.sin(x + b)) * x, drawn(97, 512), drawn(512, seed=1), groups=0)


def test_operands_in_another_order_in_memory_are_left_alone():
    """A transposed operand, one that repeats its entries, and every second entry."""
    x = ad.Variable('x', (64, 64), F64)
    for value in (
        drawn(64, 64, dtype=F64).T,
        drawn(64, dtype=F64).expand(64, 64),
        drawn(64, 128, dtype=F64)[:, ::2],
    ):
        evaluator = assert_agrees([ad.tanh(ad.sin(x) * x)], {x: value}, IN_BLOCKS, 'bitwise')
        assert not blocks_in(evaluator, {x: value})


def test_what_lies_between_divides_a_chain():
    """A sum is needed as a whole before the rest can be computed; so are two groups of two shapes."""

    def build(x: ad.Node) -> ad.Node:
        y = ad.sin(ad.exp(-x * x))
        return ad.cos(ad.tanh(y - ad.mean(y))) * y

    check(build, drawn(*LARGE), groups=2)

    def twice(x: ad.Node, z: ad.Node) -> list[ad.Node]:
        a = ad.sin(ad.tanh(x))
        b = ad.cos(ad.exp(-z * ad.sum(a)))
        return [ad.tanh(ad.sin(x) + ad.sum(b)) * a, b]

    check(twice, drawn(*LARGE), drawn(5000, seed=1), groups=3)


def test_values_that_are_returned_lie_apart_and_may_be_written_to():
    x = ad.Variable('x', (4096,), F64)
    y = ad.sin(ad.exp(x))
    evaluator = ad.Evaluator([y, ad.tanh(y), y], IN_BLOCKS)
    value = drawn(4096, dtype=F64)
    first = [r.clone() for r in evaluator.run({x: value})]
    for result in evaluator.run({x: value})[:2]:
        result.zero_()
    assert all(same(a, b) for a, b in zip(evaluator.run({x: value}), first, strict=True))


def test_a_value_goes_over_an_operand_that_dies_only_if_a_block_has_read_it():
    def dies(x: ad.Node, b: ad.Node) -> ad.Node:
        return ad.sin((x @ x) * b) + b

    evaluator, given = check(dies, drawn(64, 64), drawn(64, 64, seed=1))
    assert 'out=v0)' in evaluator.program(given)

    def returned(x: ad.Node) -> list[ad.Node]:
        y = x @ x
        return [y, ad.sin(y * 2) + y]

    check(returned, drawn(64, 64))

    def read_again(x: ad.Node) -> list[ad.Node]:
        y = x @ x
        z = ad.exp(y)
        return [ad.sin(z), ad.cos(ad.tanh(z) * y)]

    check(read_again, drawn(64, 64))


def test_a_chain_with_its_mean_and_its_gradient_takes_the_memory_of_the_gradient():
    """What is between is never there as a whole; and what is told is what is measured elsewhere."""
    x = ad.Variable('x', (1 << 21,), F32)
    y = x
    for _ in range(4):
        y = ad.tanh(y * 1.1 + 0.1)
    nodes = [ad.mean(y), *ad.gradients(ad.mean(y), [x])]
    value = 4 << 21
    blocked = ad.Evaluator(nodes, Plan(blocking=Blocking(least=1 << 20, block=1 << 17))).memory().peak_bytes
    whole = ad.Evaluator(nodes, Plan(blocking=Blocking(least=1 << 60))).memory().peak_bytes
    assert value < blocked < 1.2 * value
    assert whole >= 4 * value


def test_blocks_are_not_taken_where_more_would_be_alive():
    """Many values of one input, each summed at once: all of them would be there at the same time."""
    x = ad.Variable('x', (1 << 16,), F32)
    y = ad.sin(ad.exp(x) * x)
    sums = [ad.cumsum(ad.cos(ad.tanh(y * k)), 0)[-1] for k in range(1, 9)]
    executor = Plan(at_first_sight=True, blocking=Blocking(least=1 << 16))
    evaluator = assert_agrees(sums, {x: drawn(1 << 16)}, executor, 'bitwise')
    assert not blocks_in(evaluator, {x: drawn(1 << 16)})


def test_small_values_are_not_cut():
    x = ad.Variable('x', (4096,), F64)
    evaluator = ad.Evaluator([ad.sin(ad.exp(x) * x) + 1])
    assert not blocks_in(evaluator, {x: drawn(4096, dtype=F64)})


@pytest.mark.parametrize('is_inference', [False, True])
def test_a_run_leaves_threads_as_they_were(is_inference: bool):
    x = ad.Variable('x', (1 << 16,), F64)
    executor = replace(IN_BLOCKS, poison=False)
    evaluator = ad.Evaluator([ad.sin(ad.exp(x) * x) + 1, ad.cos(x)], executor)
    value = drawn(1 << 16, dtype=F64)
    wanted = torch.sin(torch.exp(value) * value) + 1
    threads = torch.get_num_threads()
    with torch.inference_mode(is_inference):
        results = [evaluator.run({x: value})[0] for _ in range(3)]
        assert torch.get_num_threads() == threads
    assert all(same(result, wanted) for result in results)
    assert all(result.is_inference() is is_inference for result in results)
    assert not [t for t in threading.enumerate() if t.name.startswith('adjoint-blocks')]


def test_many_threads_run_one_evaluator():
    x = ad.Variable('x', (1 << 15,), F64)
    evaluator = ad.Evaluator([ad.sin(ad.exp(x) * x) + 1, ad.cos(x)], IN_BLOCKS)
    values = [drawn(1 << 15, dtype=F64, seed=seed) for seed in range(6)]
    wanted = [[r.clone() for r in evaluator.run({x: value})] for value in values]
    found: dict[int, list[torch.Tensor]] = {}

    def run(i: int) -> None:
        for _ in range(5):
            found[i] = evaluator.run({x: values[i]})

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(a, b) for i in range(6) for a, b in zip(found[i], wanted[i], strict=True))


def test_ops_that_do_more_than_compute_a_value_stay_in_their_order():
    seen: list[str] = []

    class Tell(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            seen.append(node.attrs['word'])
            return input_values[0].clone()

    tell, x = Tell(), ad.Variable('x', (512,), F64)
    first = tell(x, word='first')
    y = ad.sin(ad.exp(first) * 2)
    second = tell(y, word='second')
    third = tell(x, word='third')
    evaluator = ad.Evaluator([second, ad.tanh(ad.cos(third) * first)], IN_BLOCKS)
    evaluator.run({x: drawn(512, dtype=F64)})
    assert blocks_in(evaluator, {x: drawn(512, dtype=F64)})
    for _ in range(3):
        seen.clear()
        evaluator.run({x: drawn(512, dtype=F64)})
        assert seen == ['first', 'second', 'third']


def test_fused_kernels_are_in_blocks_too():
    x = ad.Variable('x', LARGE, F32)
    y = ad.tanh(ad.tanh(x * 1.1 + 0.1) * 0.9 - 0.2)
    nodes = [y, *ad.gradients(ad.sum(y), [x])]
    evaluator = ad.Evaluator(nodes, IN_BLOCKS, 'fast')
    value = drawn(*LARGE)
    assert 'tanh_backward' in (text := evaluator.program({x: value}))
    assert text.count(' blocks of [') == 1
    whole = ad.Evaluator(nodes, Plan(blocking=Blocking(least=1 << 60)), 'fast')
    assert all(same(a, b) for a, b in zip(evaluator.run({x: value}), whole.run({x: value}), strict=True))


_UNARY = (ad.sin, ad.exp, ad.tanh, ad.sigmoid, ad.abs, lambda x: -x, lambda x: x * 1.5, lambda x: 1 - x)
_BINARY = (
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: ad.where(a > b, a, b * 2),
    lambda a, b: a / (b * b + 1), ad.maximum,
)  # fmt: skip
_BETWEEN = (
    lambda x: ad.sum(x, -1, keepdim=True), lambda x: ad.mean(x), lambda x: ad.reshape(x, (150, 6)),
    lambda x: ad.transpose(x, 0, 1), lambda x: ad.flip(x, [0]), lambda x: ad.softmax(x, -1),
)  # fmt: skip


@pytest.mark.parametrize('seed', range(60))
def test_random_graphs_agree(seed: int):
    rng = random.Random(seed)
    dtype = rng.choice([F32, F64])
    shapes = [(6, 150), (6, 150), (150,), (6, 1), (150, 6), ()]
    variables = [ad.Variable(f'x{i}', shape, dtype) for i, shape in enumerate(shapes)]
    nodes = list(variables)
    while len(nodes) < len(shapes) + rng.randint(6, 30):
        of = rng.choice([_UNARY, _UNARY, _BINARY, _BINARY, _BETWEEN])
        operands = rng.sample(nodes[-8:], 2 if of is _BINARY else 1)
        with contextlib.suppress(ad.AdjointError, IndexError):
            nodes.append(rng.choice(of)(*operands))
    outputs = [nodes[-1], *rng.sample(nodes, 3)]
    outputs += ad.gradients(ad.sum(nodes[-1]), variables)
    values = {
        x: drawn(*shape, dtype=dtype, seed=i)
        for i, (x, shape) in enumerate(zip(variables, shapes, strict=True))
    }
    for block in (1, 4096):
        executor = replace(IN_BLOCKS, blocking=Blocking(least=1, block=block))
        assert_agrees(outputs, values, executor, rng.choice(['none', 'bitwise']))


def test_a_budget_that_blocks_fit_in_needs_nothing_twice():
    x = ad.Variable('x', (1 << 17,), F64)
    y = x
    for _ in range(4):
        y = ad.tanh(y * 1.1 + 0.1)
    nodes = [ad.mean(y), *ad.gradients(ad.mean(y), [x])]
    executor = Plan(blocking=Blocking(least=1 << 16, block=1 << 13), at_first_sight=True)
    free = ad.Evaluator(nodes, executor).memory().peak_bytes
    assert free < 2.5 * (8 << 17)
    value = {x: drawn(1 << 17, dtype=F64)}
    evaluator = ad.Evaluator(nodes, executor, memory_budget=free)
    wanted = ad.Evaluator(nodes, executor='reference').run(value)
    for _ in range(3):
        assert all(same(a, b) for a, b in zip(evaluator.run(value), wanted, strict=True))
    assert blocks_in(evaluator, value) == 1
    assert not evaluator.memory().recomputed
