from collections.abc import Mapping, Sequence

import pytest
import torch

import adjoint as ad
from adjoint.core.errors import RuleError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.index import ungetitems
from adjoint.passes import pipeline
from adjoint.passes.pipeline import optimize, optimized
from adjoint.passes.rewrite import BITWISE, Family, Rewrite, rewrite
from adjoint.passes.walk import Walk, rewritten

F64 = torch.float64


def one(*rewrites: Rewrite) -> Mapping[Op, Sequence[Rewrite]]:
    return Family('one', '', rewrites).table({'bitwise'})


@rewrite(ad.sin, exactness=BITWISE, examples=())
def sin_is_cos(y: Node) -> Node:
    """Wrong."""
    return ad.cos(y.inputs[0])


@rewrite(ad.cos, exactness=BITWISE, examples=())
def cos_is_sin(y: Node) -> Node:
    """Wrong."""
    return ad.sin(y.inputs[0])


@rewrite(ad.sin, exactness=BITWISE, examples=())
def sin_is_sum(y: Node) -> Node:
    """Wrong, of another type."""
    return ad.sum(y.inputs[0])


@rewrite(ad.sin, exactness=BITWISE, examples=())
def sin_is_other(_: Node) -> Node:
    """Asks for another variable."""
    return ad.Variable('other', (3,), F64)


def x3() -> Node:
    return ad.Variable('x', (3,), F64)


def test_new_nodes_carry_name_line_and_who_made_them():
    x = x3()
    y = Node([x], ad.sin, name='wave')
    walked = rewritten([y * 2], one(sin_is_cos))
    (made,) = walked.nodes[0].inputs
    assert (made.op, made.name, made.location) == (ad.cos, 'wave', y.location)
    assert walked.made_by == {made: sin_is_cos}


def test_what_nothing_fits_stays_the_same_object():
    x = x3()
    y = ad.exp(x)
    assert rewritten([y], one(sin_is_cos)).nodes == [y]
    assert optimize([y]) == [y]


def test_rewrites_that_undo_each_other_are_an_error():
    with pytest.raises(RuleError, match=r'undo each other without end: (sin_is_cos|cos_is_sin)'):
        rewritten([ad.sin(x3())], one(sin_is_cos, cos_is_sin))


def test_rewrite_to_another_type_is_an_error():
    with pytest.raises(RuleError, match=r'sin_is_sum put float64\[\] in the place of float64\[3\]'):
        rewritten([ad.sin(x3())], one(sin_is_sum))


def with_families(monkeypatch: pytest.MonkeyPatch, *rewrites: Rewrite) -> None:
    monkeypatch.setattr(pipeline, 'FAMILIES', (Family('wrong', '', rewrites),))


def test_new_variable_is_an_error(monkeypatch: pytest.MonkeyPatch):
    with_families(monkeypatch, sin_is_other)
    with pytest.raises(RuleError, match="pass wrong asks for a variable 'other'"):
        optimize([ad.sin(x3())])


def test_comparison_names_the_pass_that_changed_a_value(monkeypatch: pytest.MonkeyPatch):
    with_families(monkeypatch, sin_is_cos)
    x = x3()
    assert optimize([ad.sin(x)])[0].op is ad.cos
    with pytest.raises(
        RuleError, match=r'pass wrong changed 3 entries, the first from 0\.0 to 1\.0: output 0, node'
    ):
        optimize([ad.sin(x)], compare_on={x: torch.zeros(3, dtype=F64)})


def test_kept_node_stays_and_nothing_looks_behind_it():
    x = x3()
    h = ad.sin(x)
    kept = ad.alias(h)
    y = ad.conj(ad.Node([kept], ad.conj))
    (made,) = optimize([y], final=True, keep=[kept])
    assert made is kept
    assert optimize([y], final=True) == [h]


def test_marks_stay_unless_the_graph_is_only_run():
    x = ad.Variable('x')
    y = ad.detach(ad.alias(x))
    assert optimize([y]) == [y]
    assert optimize([y], final=True) == [x]


def test_level_none_does_nothing():
    x = ad.Variable('x')
    y = ad.sin(x) + ad.sin(x)
    assert optimize([y], 'none') == [y]


def test_unknown_level_is_refused():
    with pytest.raises(
        ValueError, match="a level is one of 'none', 'bitwise', 'default', 'fast', and got 'O3'"
    ):
        optimize([], 'O3')


def test_one_node_is_refused():
    with pytest.raises(TensorTypeError, match=r'write optimize\(\[y\]\)'):
        optimize(ad.Variable('x'))


def test_steps_say_what_was_done():
    x = x3()
    y = ad.transpose(ad.transpose(ad.sin(x) * ad.sin(x), 0, 0), 0, 0)
    assert [(s.name, s.applied, s.merged) for s in optimized([y]).steps] == [
        ('stabilize+complement', 0, 1),
        ('likes+views+simplify+scales', 1, 1),
    ]


def log1p_exp_chain(x: Node, length: int) -> Node:
    for _ in range(length):
        x = ad.log(1 + ad.exp(x))
    return x


def test_graph_of_a_hundred_thousand_nodes():
    x = ad.Variable('x', (), F64)
    y = log1p_exp_chain(x, 33_000)
    (made,) = optimize([y])
    assert {n.op.name for n in ad.topological_sort(made)} == {'placeholder', 'softplus'}


def test_second_round_looks_at_new_nodes_only():
    looked: list[Node] = []

    @rewrite(ad.sin, exactness=BITWISE, examples=())
    def watching(y: Node) -> None:
        """Never fits."""
        looked.append(y)

    walk = Walk(one(watching))
    a = ad.sin(ad.Variable('x'))
    walk.run([a])
    b = ad.sin(a)
    walk.run([b])
    assert looked == [a, b]


def test_bodies_are_rewritten_and_stabilised():
    def step(c: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        c = torch.log(1 + torch.exp(c + x))
        return c, c

    start, xs = torch.tensor(0.5, dtype=F64), torch.tensor([1000.0, -1.0, 2.0], dtype=F64)
    value, slope = ad.value_and_grad(lambda c, xs: ad.scan(step, c, xs)[1].sum(), 1)(start, xs)
    assert value.item() == 1000.5 + 999.5 + 1001.5
    assert slope.tolist() == [3, 2, 1]


def test_a_product_with_an_identity_is_left_out_where_that_level_is_asked_for() -> None:
    x, v = ad.Variable('x', (3, 3), torch.float64), ad.Variable('v', (3,), torch.float64)
    unit = ad.registry()['eye'](3, dtype=torch.float64)
    assert ad.optimize([x @ unit, unit @ x, unit @ v, v @ unit], 'fast') == [x, x, v, v]
    # A product with zeros is nan where an entry is infinite.
    assert ad.optimize([x @ unit])[0] is not x
    # A batch has another shape, and a rectangle is no identity.
    wide = x @ ad.registry()['eye'](3, 4, dtype=torch.float64)
    assert ad.optimize([wide], 'fast')[0].op.name == 'matmul'
    assert ad.optimize([x.to(torch.float32) @ ad.registry()['eye'](3)], 'fast')[0].op.name == 'cast'


def test_parts_put_back_cost_no_more_each_where_there_are_many() -> None:
    def made(count: int) -> int:
        x = ad.Variable('x', (count, 3, 4), F64)
        y = ad.sum(ad.sin(x[0, :, 1:]))
        for i in range(1, count):
            y = y + ad.sum(ad.sin(x[i, :, 1:])) * i
        nodes = ad.topological_sort(optimize(ad.gradients(y, [x]), 'bitwise', final=True))
        assert any(node.op is ungetitems for node in nodes)
        return sum(len(node.inputs) for node in nodes)

    few, many, twice = (made(count) for count in (20, 40, 80))
    assert twice - many == 2 * (many - few)
