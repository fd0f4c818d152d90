"""Every rewrite does what it says: it fits its examples, and keeps their values as exactly as it promises."""

import pytest
import torch

import adjoint as ad
from adjoint.core.tensor_type import TensorType
from adjoint.passes.marks import MARKS
from adjoint.passes.pipeline import FAMILIES, Level, optimize
from adjoint.passes.rewrite import Family, Rewrite
from adjoint.passes.specialize import specialized
from adjoint.passes.walk import rewritten
from tests.passes.drawn import SPECIAL, bits_differ, built, drawn, examples_of, named, rolled, variables_of

ALL = [rewrite for family in (MARKS, *FAMILIES) for rewrite in family.rewrites]
BITWISE = [pair for pair in examples_of(ALL) if pair[0].exactness.kind == 'bitwise']
CLOSE = [pair for pair in examples_of(ALL) if pair[0].exactness.kind in {'rounding', 'except'}]
DRAWS = 30


@pytest.mark.parametrize('pair', BITWISE, ids=named)
def test_bitwise_rewrite_changes_no_bit(pair: tuple[Rewrite, str]):
    rewrite, example = pair
    variables = variables_of(example)
    untyped = built(example, variables)
    generator = torch.Generator().manual_seed(7)
    table = Family('one', '', (rewrite,)).table({'bitwise'})
    feeds = [
        {v: drawn(name, generator, 0.4 * (draw % 3) / 2) for name, v in variables.items()}
        for draw in range(DRAWS)
    ]
    # Every special number at every place, beside every other.
    for i in range(len(SPECIAL)):
        feeds += [{v: rolled(name, i + (i + 3) * k) for k, (name, v) in enumerate(variables.items())}]
    for feed in feeds:
        known = specialized([untyped], {v: TensorType.of(value) for v, value in feed.items()})
        walked = rewritten(known.nodes, table)
        assert rewrite in walked.made_by.values() or walked.applied, 'the rewrite does not fit its example'
        values = {known.variables[v]: value for v, value in feed.items() if v in known.variables}
        (before,) = ad.Evaluator(known.nodes).run(values)
        (after,) = ad.Evaluator(walked.nodes).run(values)
        assert before.dtype == after.dtype
        assert before.shape == after.shape
        assert not bits_differ(before, after).any(), (before, after)


def test_names_are_unique_and_say_what_is_done():
    names = [rewrite.name for rewrite in ALL]
    assert len(names) == len(set(names))
    assert all(rewrite.summary.endswith('.') for rewrite in ALL)


@pytest.mark.parametrize('pair', CLOSE, ids=named)
def test_rewrite_that_rounds_stays_close(pair: tuple[Rewrite, str]):
    rewrite, example = pair
    variables = variables_of(example)
    untyped = built(example, variables)
    generator = torch.Generator().manual_seed(5)
    table = Family('one', '', (rewrite,)).table({'rounding', 'except'})
    for _ in range(DRAWS):
        feed = {v: drawn(name, generator, 0.0) for name, v in variables.items()}
        known = specialized([untyped], {v: TensorType.of(value) for v, value in feed.items()})
        walked = rewritten(known.nodes, table)
        assert walked.applied, 'the rewrite does not fit its example'
        values = {known.variables[v]: value for v, value in feed.items()}
        (before,) = ad.Evaluator(known.nodes).run(values)
        (after,) = ad.Evaluator(walked.nodes).run(values)
        # Sums that cancel are as far apart as their largest term says.
        largest = max(float(value.abs().max()) for value in feed.values())
        cancels = 8 * torch.finfo(before.dtype).eps * max(largest, largest**2)
        torch.testing.assert_close(after, before, rtol=2e-15, atol=cancels)


def test_levels_take_what_they_say():
    x = ad.Variable('x', (3,), torch.float64)
    nodes = [x * 1, ad.log(1 + x), (x * 3.0) * 0.7, x + 0]
    changed = {
        level: [after is not before for after, before in zip(optimize(nodes, level), nodes, strict=True)]
        for level in ('none', 'bitwise', 'default', 'fast')
    }
    assert changed == {
        'none': [False, False, False, False],
        'bitwise': [True, False, False, False],
        'default': [True, True, False, False],
        'fast': [True, True, True, True],
    }


@pytest.mark.parametrize('level', ['none', 'bitwise', 'default', 'fast'])
def test_choice_between_numbers_has_one_operand(level: Level):
    x = ad.Variable('x', (3,), torch.float64)
    y = ad.where(x > 0, 0.0, 2.0) * x
    (value, g) = ad.Evaluator([y, *ad.gradients(ad.sum(y), [x])], optimize=level).run(
        {x: torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)}
    )
    assert value.tolist() == [0.0, -2.0, 0.0]
    assert g.tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize('number', [2.5, 4.0, -1.0])
def test_number_over_tensor_is_divided_once(number: float):
    """torch computes ``2.5 / x`` as a product with a reciprocal; a tensor of that number is divided."""
    x = ad.Variable('x', (1000,), torch.float32)
    value = torch.linspace(-3, 3, 1000)
    value[500] = 1e-40
    y = ad.mul(ad.ones_like(x), number) / x
    evaluator = ad.Evaluator([y])
    for _ in range(3):
        (found,) = evaluator.run({x: value})
        assert not bits_differ(found, torch.full_like(value, number) / value).any()
