"""Sums and the like of what is computed in blocks: the same bits, without the whole value."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.execute.blocks import Blocking
from adjoint.execute.plan import Plan
from adjoint.ops.reduction import all_, any_
from benchmarks.peak import measured_peak
from tests.execute.agreement import IN_BLOCKS, assert_agrees, same
from tests.execute.drawn_values import drawn

pytestmark = pytest.mark.usefixtures('two_threads')

F32, F64 = torch.float32, torch.float64
# A unit of sums and more than a share, with a rest.
LARGE = (3, 40_003)
BLOCK = Blocking(least=1, block=1 << 17)


def check(build: Callable[..., Any], *values: torch.Tensor, folds: int, groups: int = 1) -> str:
    """Fail unless values and so many parts of blocks are those of the reference bit by bit."""
    variables = [ad.Variable(f'x{i}', tuple(v.shape), v.dtype) for i, v in enumerate(values)]
    built = build(*variables)
    nodes = list(built) if isinstance(built, (list, tuple)) else [built]
    given = dict(zip(variables, values, strict=True))
    evaluator = assert_agrees(nodes, given, replace(IN_BLOCKS, blocking=BLOCK), 'bitwise')
    text = evaluator.program(given)
    assert text.count(' blocks of [') == groups, text
    assert len(re.findall(r' = part(?:_\d+)?\(', text)) == folds, text
    return text


@pytest.mark.parametrize('dtype', [F32, F64])
@pytest.mark.parametrize('threads', [1, 2, 3])
def test_a_mean_and_the_gradient_are_one_group(dtype: torch.dtype, threads: int):
    torch.set_num_threads(threads)

    def build(x: ad.Node) -> list[ad.Node]:
        y = ad.mean(ad.tanh(ad.sin(x) * x + 0.5))
        return [y, *ad.gradients(y, [x])]

    text = check(build, drawn(*LARGE, dtype=dtype), folds=1)
    assert '= mean(' not in text


def test_sums_of_every_kind_of_all_entries():
    def build(x: ad.Node, b: ad.Node) -> list[ad.Node]:
        y = ad.sin(x) * b
        return [
            ad.sum(y), ad.sum(y, (0, 1), keepdim=True), ad.mean(y * y), ad.var(ad.exp(y)),
            *ad.gradients(ad.sum(y), [b]),
        ]  # fmt: skip

    check(build, drawn(*LARGE), drawn(seed=1), folds=6, groups=2)


def test_a_value_that_is_summed_and_returned_is_written():
    def build(x: ad.Node) -> list[ad.Node]:
        y = ad.sin(ad.exp(x) * 2)
        return [y, ad.sum(y), ad.tanh(y)]

    check(build, drawn(*LARGE), folds=1)


def test_one_step_and_its_sum_are_a_group():
    check(lambda x, y: ad.sum(x * y), drawn(*LARGE), drawn(*LARGE, seed=1), folds=1)


def test_truth_and_counts_are_in_any_order():
    def build(x: ad.Node, count: ad.Node) -> list[ad.Node]:
        y = ad.exp(x * 2)
        return [
            all_(y > 0), any_(y > 1e9, keepdim=True), ad.sum(ad.cast(y > 1, torch.bool)),
            ad.sum(count * count), any_(y),
        ]  # fmt: skip

    check(build, drawn(*LARGE), drawn(*LARGE, dtype=torch.int32), folds=5, groups=2)


def test_rows_are_cut_into_whole_units():
    def build(x: ad.Node, b: ad.Node) -> list[ad.Node]:
        y = ad.mean(ad.sigmoid(ad.tanh(x + b) * x))
        return [y, *ad.gradients(y, [x])]

    check(build, drawn(512, 512), drawn(512, seed=1), folds=1)
    # Here no number of rows is one of units that a block could be.
    check(build, drawn(512, 509), drawn(509, seed=1), folds=0)
    torch.set_num_threads(3)  # of which two take a share
    check(build, drawn(64, 1024), drawn(1024, seed=1), folds=1)


@pytest.mark.parametrize('special', [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(special: float):
    value = drawn(*LARGE)
    value[1, 777] = special
    check(lambda x: [ad.sum(ad.exp(x) * 2), all_(ad.exp(x) > 0)], value, folds=2)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.complex64])
def test_sums_of_other_dtypes_take_the_whole_value(dtype: torch.dtype):
    check(lambda x: ad.sum(ad.exp(x * x) * x), drawn(*LARGE, dtype=dtype), folds=0)


def test_what_needs_a_sum_is_in_another_group():
    def build(x: ad.Node) -> list[ad.Node]:
        y = ad.sin(ad.exp(-x * x))
        norm = ad.sqrt(ad.sum(y * y))
        loss = ad.sum(ad.tanh(y / norm) * y)
        return [loss, norm, *ad.gradients(loss, [x])]

    text = check(build, drawn(*LARGE), folds=3, groups=3)
    # Each of several results is taken at once, so that none of them is kept for another.
    lines = [line.strip() for line in text.splitlines() if line.startswith('    v')]
    for before, line in pairwise(lines):
        if re.match(r'v\d+ = v\d+\[', line):
            assert re.match(r'v\d+ = (blocks|v\d+\[)', before)


def test_the_memory_that_is_told_is_what_a_run_takes():
    torch.set_num_threads(1)  # what others take is not measured
    x = ad.Variable('x', (1 << 22,), F32)
    y = x
    for _ in range(4):
        y = ad.tanh(y * 1.1 + 0.1)
    for nodes in ([ad.mean(y)], [ad.mean(y), *ad.gradients(ad.mean(y), [x])]):
        evaluator = ad.Evaluator(nodes, Plan(at_first_sight=True))
        value = {x: drawn(1 << 22)}
        told = evaluator.memory(value).peak_bytes
        evaluator.run(value)
        measured = measured_peak(lambda e=evaluator, v=value: e.run(v))
        assert told == pytest.approx(measured, rel=0.02)
        assert told < (1 + len(nodes)) * (4 << 22) / 1.5


def test_results_do_not_depend_on_who_takes_which_block():
    x = ad.Variable('x', (1 << 20,), F32)
    evaluator = ad.Evaluator(
        [ad.sum(ad.sin(x) * x)], replace(IN_BLOCKS, poison=False, blocking=BLOCK), 'fast'
    )
    value = drawn(1 << 20)
    results = [evaluator.run({x: value})[0] for _ in range(30)]
    assert all(same(result, results[0]) for result in results)


_STEPS = (ad.sin, ad.tanh, ad.exp, lambda x: x * x, lambda x: 1 - x, lambda x: x > 0.3)
_PAIRS = (lambda a, b: a + b, lambda a, b: a * b, ad.maximum)
_WHOLE = (ad.sum, ad.mean, any_, all_, ad.sum, ad.var)


@pytest.mark.parametrize('seed', range(12))
def test_random_graphs_agree(seed: int):
    rng = random.Random(seed)
    dtype = rng.choice([F32, F64])
    shape = rng.choice([(70_003,), (256, 512), (3, 30_001)])
    x, y = ad.Variable('x', shape, dtype), ad.Variable('y', shape[-1:], dtype)
    nodes: list[ad.Node] = [x, y]
    for _ in range(rng.randint(6, 14)):
        kind = rng.choice([_STEPS, _STEPS, _PAIRS, _WHOLE])
        operands = [rng.choice(nodes[-5:]) for _ in range(2 if kind is _PAIRS else 1)]
        nodes.append(ad.cast(rng.choice(kind)(*operands), dtype))
    outputs = [ad.sum(nodes[-1]), *rng.sample(nodes, 2)]
    outputs += ad.gradients(outputs[0], [x, y])
    values = {x: drawn(*shape, dtype=dtype), y: drawn(*shape[-1:], dtype=dtype, seed=1)}
    assert_agrees(outputs, values, replace(IN_BLOCKS, blocking=BLOCK), rng.choice(['none', 'bitwise']))
