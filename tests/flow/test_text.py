"""Choices and loops as text: the graphs they hold stand beneath them."""

import torch

import adjoint as ad

F64 = torch.float64


def test_graph_that_an_op_holds_stands_beneath_it_without_what_nothing_uses():
    x, xs = ad.Variable('x', (), F64), ad.Variable('xs', ('n',), F64)
    carry, _ = ad.scan(lambda c, x: (torch.sin(c) * x, c), x, xs)
    assert (
        ad.to_text({'y': carry})
        == """\
x: float64[]
xs: float64[n]
v1 = scan(x, xs)
    body(carry, x):
        carry: float64[]
        x: float64[]
        v1 = sin(carry)
        v2 = v1 * x   # output 0
v2 = v1[0]   # y"""
    )


def test_branches_and_conditions_are_told_apart():
    x = ad.Variable('x', (), F64)
    lines = ad.to_text(ad.cond(x > 0, torch.sqrt, torch.sin, x)).splitlines()
    assert [line.strip() for line in lines if line.endswith(':')] == [
        'branches[0](operands[0]):', 'branches[1](operands[0]):',
    ]  # fmt: skip
    text = ad.to_text(ad.while_loop(lambda c: c < 5, lambda c: c * 2, x))
    assert 'condition(carry):' in text
    assert 'v1 = carry < 5   # output 0' in text


def test_inlining_keeps_a_line_for_every_op_that_holds_graphs():
    x, xs = ad.Variable('x', (), F64), ad.Variable('xs', ('n',), F64)
    carry, _ = ad.scan(lambda c, x: (torch.sin(c) * x, None), x, xs)
    text = ad.to_text(ad.gradients(carry, [x]), inline=True)
    assert text.count('body(') == 2
    assert 'reverse=True' in text
