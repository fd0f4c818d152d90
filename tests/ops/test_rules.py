"""What single rules promise beside the battery: integers, infinities, and dtypes on the way back."""

import pytest
import torch

import adjoint as ad
from tests.ops.case import spread, t


def value_of(node: ad.Node, feed: dict[ad.Node, torch.Tensor] | None = None) -> torch.Tensor:
    return ad.Evaluator([node]).run(feed or {})[0]


def test_sum_to_an_integer_operand_is_zero() -> None:
    a, like = ad.Variable('a'), ad.Variable('like')
    got = value_of(ad.sum_to_like(a, like), {a: spread(2, 3), like: torch.tensor([1, 2, 3])})
    assert torch.equal(got, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize('dtype', [torch.int64, torch.bool], ids=str)
def test_nothing_flows_through_a_cast_to_integers(dtype: torch.dtype) -> None:
    x, g = ad.Variable('x'), ad.Variable('g')
    y = ad.cast(x, dtype)
    (ct,) = y.op.gradient(y, g)
    assert ct is not None
    assert torch.equal(value_of(ct, {x: t([1.7, 2.2]), g: t([1.0, 1.0])}), t([0.0, 0.0]))
    assert ad.pushforward(y, {x: ad.Variable('t')}) is None


@pytest.mark.parametrize('name', ['gt', 'ge', 'lt', 'le', 'eq', 'ne'])
def test_comparison_is_boolean_and_returns_a_zero_cotangent_an_operand(name: str) -> None:
    a, b, g = ad.Variable('a'), ad.Variable('b'), ad.Variable('g')
    y = ad.registry()[name](a, b)
    feed = {a: spread(2, 3), b: spread(3, seed=1), g: spread(2, 3)}
    assert value_of(y, feed).dtype == torch.bool
    for x, ct in zip((a, b), y.op.gradient(y, g), strict=True):
        assert ct is not None
        assert torch.equal(value_of(ct, feed), torch.zeros_like(feed[x]))


def test_where_keeps_an_infinity_that_was_not_chosen_out_of_the_gradient() -> None:
    x = ad.Variable('x')
    y = ad.where(ad.gt(x, 0), ad.sqrt(ad.where(ad.gt(x, 0), x, 1.0)), 0.0)
    (g,) = ad.gradients(y, [x])
    assert torch.equal(value_of(g, {x: t([0.0, 4.0])}), t([0.0, 0.25]))


@pytest.mark.parametrize('name', ['amax', 'amin'])
def test_ties_share_in_the_dtype_of_the_operand(name: str) -> None:
    x = ad.Variable('x')
    (g,) = ad.gradients(ad.registry()[name](x), [x])
    assert torch.equal(value_of(g, {x: t([2.0, 2.0, 2.0])}), t([1 / 3] * 3))


def test_part_of_a_concatenation_has_the_type_of_its_operand_where_the_whole_has_no_known_size() -> None:
    a = ad.Variable('a', ('n', 3), torch.float64)
    b = ad.Variable('b', ('m', 3), torch.float64)
    (g,) = ad.gradients(ad.cat([a, b]), [a])
    assert g.type == a.type
