"""What compares executors with the reference notices what is wrong: in memory, in a line, in a digit."""

import pytest
import torch

import adjoint as ad
from adjoint.execute import steps
from adjoint.execute.aliases import Aliases
from adjoint.execute.kernels.table import Written
from adjoint.ops.arithmetic import mul
from adjoint.passes import pipeline
from adjoint.passes.rewrite import BITWISE, Family, rewrite
from tests.execute.agreement import POISONED, assert_agrees
from tests.execute.drawn_programs import some_graphs
from tests.execute.node_by_node import differing_lines, of_rewritten
from tests.execute.rounding import outside, reach

X = ad.Variable('x', (4, 4), torch.float64)
VALUE = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@rewrite(mul, exactness=BITWISE, examples=['x * y'])
def nearly_the_product(y: ad.Node) -> ad.Node | None:
    """A product is a little more."""
    if len(y.inputs) < 2 or y.given_name:
        return None
    a, b = y.inputs
    return y.restored([b, a], mul, {}, 'turned', y.site, y.type) + (a + b) * 1e-13


def test_views_that_a_plan_forgets_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = some_graphs(60, flow=False, users=False, wild=False)
    monkeypatch.setattr(Aliases, 'join', lambda *_: None)
    y = ad.exp(X)
    with pytest.raises(AssertionError, match='instead of'):
        assert_agrees([ad.transpose(y, 0, 1), ad.sin(y)], {X: VALUE})
    noticed = 0
    for graph in graphs:
        try:
            assert_agrees(graph.outputs, graph.values)
        except AssertionError:
            noticed += 1
    assert noticed >= 3


def test_a_wrong_line_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    y = ad.sin(X) * ad.cos(X)
    assert differing_lines([ad.sum(y)], {X: VALUE}, POISONED, 'bitwise') == (4, [])
    wrong = Written('{sin}({0})', {'sin': torch.sin})
    monkeypatch.setitem(steps._WRITERS, type(ad.cos), lambda _: wrong)
    _, found = differing_lines([ad.sum(y)], {X: VALUE}, POISONED, 'bitwise')
    assert [line.split(':')[0] for line in found] == ['cos(x)', 'mul(sin, cos)', 'sum(mul)']


def test_a_rewrite_that_is_wrong_in_the_thirteenth_digit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [ad.sin(X) * ad.exp(X)]
    (may_be,) = reach(nodes, {X: VALUE}) or [None]
    assert may_be is not None
    assert not outside(of_rewritten(nodes, {X: VALUE}, 'fast')[0], may_be).any()
    monkeypatch.setattr(pipeline, 'FAMILIES', (Family('wrong', '', (nearly_the_product,)),))
    assert outside(of_rewritten(nodes, {X: VALUE}, 'fast')[0], may_be).any()


def test_noise_at_a_jump_reaches_both_sides_and_elsewhere_none() -> None:
    nodes = [ad.floor(X * 3.0), ad.floor(X + 0.3)]
    third = torch.full((4, 4), 1 / 3, dtype=torch.float64)
    found = reach(nodes, {X: third})
    assert found is not None
    at_jump, elsewhere = found
    assert (at_jump.spread == 1).all()
    assert (elsewhere.spread == 0).all()
