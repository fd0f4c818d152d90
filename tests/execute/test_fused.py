"""Several ops as one kernel: each fusion takes its examples, and is as exact as it says."""

import pytest
import torch

import adjoint as ad
from adjoint.execute.kernels.fused import FUSIONS
from adjoint.execute.kernels.fusion import Fusion
from adjoint.execute.plan import Plan
from adjoint.ops.step import greater
from tests.execute.agreement import POISONED
from tests.passes.drawn import built, drawn, variables_of

PAIRS = [(each, example) for each in FUSIONS for example in each.examples]


def named(pair: tuple[Fusion, str]) -> str:
    each, example = pair
    return f'{each.name}-{each.examples.index(example)}'


def calls(evaluator: ad.Evaluator, feed: dict[ad.Node, torch.Tensor]) -> list[str]:
    """The lines of a program that compute something."""
    lines = [line.split('#')[0].strip() for line in evaluator.program(feed).splitlines()]
    return [line for line in lines if line.startswith('v') and '.mT' not in line]


def ordinary(name: str, generator: torch.Generator, special: float) -> torch.Tensor:
    """A value of numbers of like size, of which a share is special."""
    value = drawn(name, generator, special)
    moderate = torch.randn(value.shape, generator=generator, dtype=value.dtype)
    value = torch.where(value.isfinite() & (value != 0), moderate, value)
    return value.abs() if name == 'p' else value


@pytest.mark.parametrize('pair', PAIRS, ids=named)
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_fusion_takes_its_example_and_stays_close(pair: tuple[Fusion, str], dtype: torch.dtype) -> None:
    each, example = pair
    variables = variables_of(example)
    node = built(example, variables)
    outputs = [node, ad.sin(node)]
    generator = torch.Generator().manual_seed(3)
    is_exact = each.exactness.kind == 'rounding'
    for draw in range(12):
        special = 0.3 if is_exact and draw % 3 == 2 else 0.0
        feed = {v: ordinary(name, generator, special).to(dtype) for name, v in variables.items()}
        wanted = ad.Evaluator(outputs, executor='reference').run(feed)
        evaluator = ad.Evaluator(outputs, POISONED, 'fast')
        for _ in range(2):
            for got, want in zip(evaluator.run(feed), wanted, strict=True):
                assert (got.dtype, got.shape, got.stride()) == (want.dtype, want.shape, want.stride())
                finite = want.isfinite()
                assert torch.equal(finite, got.isfinite())
                largest = max(float(v[v.isfinite()].abs().max()) for v in feed.values())
                eps = torch.finfo(dtype).eps
                close = {'rtol': 16 * eps, 'atol': 64 * eps * max(largest, largest**3)}
                torch.testing.assert_close(got[finite], want[finite], **close)
        # The kernel, the sine, and what the example adds.
        assert len(calls(evaluator, feed)) <= 3, evaluator.program(feed)


@pytest.mark.parametrize('pair', [p for p in PAIRS if p[0].exactness.kind == 'bitwise'], ids=named)
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_bitwise_fusion_has_the_bits_of_the_ops(pair: tuple[Fusion, str], dtype: torch.dtype) -> None:
    _, example = pair
    variables = variables_of(example)
    outputs = [built(example, variables)]
    for draw in range(12):
        generator = torch.Generator().manual_seed(draw)
        feed = {v: drawn(name, generator, 0.3).to(dtype) for name, v in variables.items()}
        (wanted,) = ad.Evaluator(outputs, executor='reference').run(feed)
        evaluator = ad.Evaluator(outputs, POISONED, 'none')
        for _ in range(2):
            (got,) = evaluator.run(feed)
            torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)
            numbers = ~wanted.isnan()
            assert torch.equal(got.signbit()[numbers], wanted.signbit()[numbers])
        assert '_backward' in evaluator.program(feed)


def test_a_value_that_another_needs_is_not_swallowed() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    term = y * 0.5
    feed = {x: torch.ones(3), y: torch.ones(3)}
    assert len(calls(ad.Evaluator([x + term], optimize='fast'), feed)) == 1
    assert len(calls(ad.Evaluator([x + term, term], optimize='fast'), feed)) == 2
    assert len(calls(ad.Evaluator([x + term]), feed)) == 2


def test_a_kernel_is_not_taken_apart_for_another() -> None:
    x, y, c = ad.Variable('x'), ad.Variable('y'), ad.Variable('c')
    feed = {v: torch.ones(3, 4) for v in (x, y, c)}
    for derivative in (y * (1 - x * x), y * greater(x, 0.0)):
        assert derivative is not None
        for total in (c + derivative, c - derivative * 2):
            text = ad.Evaluator([total], optimize='fast').program(feed)
            assert '_backward(' in text, text
            assert 'addcmul' not in text, text


def test_strided_operands_complex_and_low_precision_are_left_alone() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    plain = torch.ones(3, 3)
    found = {}
    values = {'plain': plain, 'strided': plain.mT, 'complex': plain + 0j, 'half': plain.half()}
    for name, value in values.items():
        found[name] = len(calls(ad.Evaluator([x + y * y], optimize='fast'), {x: value, y: value}))
    assert found == {'plain': 1, 'strided': 2, 'complex': 2, 'half': 2}


def test_all_runs_agree_at_a_level_that_rounds() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    loss = ad.sum(ad.tanh(x @ w + x * 0.1))
    evaluator = ad.Evaluator([loss, *ad.gradients(loss, [w])], Plan(), 'fast')
    feed = {x: torch.randn(4, 4), w: torch.randn(4, 4)}
    first, second, third = (evaluator.run(feed) for _ in range(3))
    for a, b, c in zip(first, second, third, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(b, c)
