"""Derivatives share what they have in common, with the primal and among themselves, to the last bit."""

from collections import Counter
from collections.abc import Callable

import mpmath
import pytest
import torch

import adjoint as ad
from adjoint.autodiff.reverse import cotangents
from adjoint.ops.creation import ones_like
from adjoint.ops.linear import alias
from adjoint.ops.random import drawn_normal


def scalar() -> ad.Node:
    return ad.Variable('x', (), torch.float64)


def orders(x: ad.Node, y: ad.Node, highest: int) -> list[ad.Node]:
    """The derivatives of y by x, by nested reverse mode."""
    found = [y]
    for _ in range(highest):
        found += ad.gradients(found[-1], [x])
    return found[1:]


def test_op_counts_of_the_orders_of_a_composed_sine_stay_small() -> None:
    x = scalar()
    derivatives = orders(x, ad.sin(ad.sin(ad.sin(x))), 7)
    counts = [len(ad.topological_sort(d)) - 1 for d in derivatives]
    assert counts[0] == 7  # two sines, three cosines, two products
    assert counts[6] < 1500


def test_orders_of_a_composed_sine_are_right() -> None:
    x = scalar()
    derivatives = orders(x, ad.sin(ad.sin(ad.sin(x))), 7)
    got = ad.Evaluator(derivatives).run({x: torch.tensor(0.7, dtype=torch.float64)})
    with mpmath.workdps(60):
        at = mpmath.mpf(float(torch.tensor(0.7, dtype=torch.float64)))
        coefficients = mpmath.taylor(lambda t: mpmath.sin(mpmath.sin(mpmath.sin(t))), at, 7)
        for order, value in enumerate(got, start=1):
            expected = coefficients[order] * mpmath.factorial(order)
            assert abs(value.item() - expected) < 1e-12 * abs(expected)


def test_a_rule_finds_what_the_primal_has() -> None:
    x = scalar()
    s, c = ad.sin(x), ad.cos(x)
    (g,) = ad.gradients(s + c, [x])
    assert Counter(n.op.name for n in ad.topological_sort(g))['sin'] == 1
    assert {s, c} <= set(ad.topological_sort(g))
    t = ad.Variable('t', (), torch.float64)
    assert {s, c} <= set(ad.topological_sort(ad.pushforward(s + c, {x: t})))


def test_nested_forward_mode_is_shared_too() -> None:
    x = scalar()
    y = ad.sin(ad.sin(ad.sin(x)))
    one = ones_like(x)
    for _ in range(5):
        y = ad.pushforward(y, {x: one})
        assert y is not None
    names = Counter(n.op.name for n in ad.topological_sort(y))
    assert (names['sin'], names['cos']) == (3, 3)


def without_sharing(y: ad.Node, x: ad.Node) -> ad.Node:
    """The gradient with every rule called by hand, in the order of the driver."""
    totals = {y: ones_like(y)}
    for node in reversed(ad.topological_sort(y)):
        if node.inputs and node in totals:
            for operand, ct in zip(node.inputs, node.op.gradient(node, totals[node]), strict=True):
                assert ct is not None
                totals[operand] = totals[operand] + ct if operand in totals else ct
    return totals[x]


FUNCTIONS: dict[str, Callable[[ad.Node], ad.Node]] = {
    'tanh of a product': lambda x: ad.tanh(x * ad.exp(x)) * ad.exp(x),
    'softmax': lambda x: ad.softmax(x, -1) * ad.softmax(x, -1),
    'sums': lambda x: x + x * 3 + ad.sin(x) + ad.sin(x) * x,
    'quotient': lambda x: ad.sigmoid(x) / (ad.sigmoid(x) + x * x),
    'matmul': lambda x: ad.matmul(ad.tanh(ad.matmul(x, x)), ad.tanh(ad.matmul(x, x))),
}


@pytest.mark.parametrize('name', FUNCTIONS)
def test_sharing_changes_no_bit_and_adds_no_node(name: str) -> None:
    x = ad.Variable('x', (3, 3), torch.float64)
    y = FUNCTIONS[name](x)
    (shared,) = ad.gradients(y, [x])
    plain = without_sharing(y, x)
    values = {x: torch.linspace(-1.0, 2.0, 9, dtype=torch.float64).reshape(3, 3)}
    a, b = ad.Evaluator([shared, plain]).run(values)
    assert torch.equal(a, b)
    assert len(ad.topological_sort(shared)) <= len(ad.topological_sort(plain))


def test_draws_and_aliases_are_not_shared() -> None:
    x = scalar()
    noise = [drawn_normal(x, seed=5) for _ in range(2)]
    (g,) = ad.gradients(x * noise[0] * noise[1], [x])
    assert set(noise) <= set(ad.topological_sort(g))
    # A derivative by one alias leaves the other out, whatever is shared.
    a, b = alias(x), alias(x)
    by_a, by_b = ad.gradients(ad.sin(a) * ad.sin(b) ** 2, [a, b])
    again = ad.gradients(by_a, [b])
    got = ad.Evaluator([by_a, by_b, *again]).run({x: torch.tensor(0.3, dtype=torch.float64)})
    s, c = torch.tensor(0.3, dtype=torch.float64).sin(), torch.tensor(0.3, dtype=torch.float64).cos()
    for value, expected in zip(got, (c * s * s, 2 * s * s * c, 2 * c * s * c), strict=True):
        assert abs(value - expected) < 1e-15


def test_nodes_that_a_user_made_twice_stay_two() -> None:
    x = scalar()
    first, second = ad.sin(x), ad.sin(x)
    by_first, by_second = ad.gradients(first * second, [first, second])
    assert (by_first, by_second) == (second, first)


def test_a_negation_of_a_negation_makes_no_node() -> None:
    x = scalar()
    ct = -ad.exp(x)
    y = -x
    assert cotangents({y: ct}, [x]) == [ct.inputs[0]]


def test_forward_mode_of_a_chain_of_default_rules_is_linear() -> None:
    x, t = ad.Variable('x', (3,), torch.float64), ad.Variable('t', (3,), torch.float64)
    counts: list[int] = []
    for depth in (50, 100):
        y = x
        for _ in range(depth):
            y = ad.softmax(y, 0)
        counts.append(len(ad.topological_sort(ad.pushforward(y, {x: t}))))
    assert counts[1] < 2.1 * counts[0]
