"""Graphs as LaTeX."""

import pytest
import torch

import adjoint as ad
from adjoint.flow.call import called
from adjoint.ops.body import Body
from adjoint.view.latex import to_latex


def equations(*args: object, **options: bool) -> list[str]:
    written = to_latex(*args, **options)  # pyright: ignore[reportArgumentType]
    first, *inner, last = written.split('\n')
    assert (first, last) == ('\\begin{aligned}', '\\end{aligned}')
    assert all(line.endswith(' \\\\') for line in inner[:-1])
    return [line.removesuffix(' \\\\') for line in inner]


def test_expression_is_one_equation():
    x, y = ad.Variable('x'), ad.Variable('y')
    assert equations({'f': ad.log(x) * y + x**2}) == [r'f &= x^{2} + y \log{\left(x \right)}']


def test_shared_node_has_an_equation_of_its_own():
    x = ad.Variable('x')
    s = ad.exp(x)
    assert equations({'f': s * ad.sin(s)}) == ['v_{1} &= e^{x}', r'f &= v_{1} \sin{\left(v_{1} \right)}']


def test_output_that_is_used_on_the_way_has_both_names():
    x, y = ad.Variable('x'), ad.Variable('y')
    logarithm = ad.log(x)
    assert equations({'f': logarithm * y, r'\partial_y f': logarithm}) == [
        r'\partial_y f = v_{1} &= \log{\left(x \right)}',
        'f &= v_{1} y',
    ]


def test_every_output_gets_an_equation():
    x = ad.Variable('x')
    y = ad.sin(x)
    assert equations({'f': y, 'g': y, 'h': x, 'c': ad.constant(0.5)}) == [
        r'f = v_{1} &= \sin{\left(x \right)}',
        'g &= v_{1}',
        'h &= x',
        r'c &= \frac{1}{2}',
    ]


def test_outputs_without_keys_are_made_up():
    x = ad.Variable('x')
    assert equations(ad.sin(x)) == [r'v_{1} &= \sin{\left(x \right)}']


def test_without_inlining_every_node_has_its_equation():
    x = ad.Variable('x')
    assert equations(ad.sin(ad.exp(x)) + 1, inline=False) == [
        'v_{1} &= e^{x}',
        r'v_{2} &= \sin{\left(v_{1} \right)}',
        'v_{3} &= v_{2} + 1',
    ]


def test_ops_without_a_formula_stand_as_functions_or_signs():
    w = ad.Variable('w', shape=(3, 3))
    x = ad.Variable('x', shape=(3, 3))
    forms = {
        ad.softmax(x): r'\operatorname{softmax}\left(x, \mathrm{dim}{=}\mathtt{-1}\right)',
        w @ x: r'w \, x',
        ad.transpose(x, 0, 1): r'x^{\top}',
        ad.transpose(x, -1, -2): r'x^{\top}',
        x > 0: 'x > 0',
        ad.le(x, w): r'x \le w',
        ad.ones_like(x): r'\operatorname{ones\_like}\left(x\right)',
        ad.constant(
            torch.ones(2)
        ): r'\operatorname{constant}\left(\mathrm{constant}{=}\mathtt{float32[2]}\right)',
    }
    for node, expected in forms.items():
        assert equations({'y': node}) == ['y &= ' + expected]


def test_operand_of_a_sign_is_bracketed():
    w, x = ad.Variable('w'), ad.Variable('x')
    assert equations({'y': (w + 1) @ x}) == [r'y &= \left(w + 1\right) \, x']


def test_variable_that_looks_like_an_operand_of_a_formula_is_left_alone():
    # The formula of mul is a*b, with other letters than these variables of the same name.
    a, b = ad.Variable('b'), ad.Variable('a')
    assert equations({'y': a / b}) == [r'y &= \frac{b}{a}']


def test_deep_graph_is_written():
    y = ad.Variable('x')
    for _ in range(2000):
        y = ad.sin(y)
    written = to_latex(y)
    assert written.count(r'\sin') == 2000


def test_long_attrs_are_cut():
    x = ad.Variable('x')
    (line,) = equations({'y': ad.Node([x], ad.flip, {'dims': tuple(range(100))})})
    assert '...' in line
    assert len(line) < 120


def test_what_is_no_node_is_refused():
    with pytest.raises(ad.TensorTypeError, match='takes nodes of a graph'):
        to_latex(['x'])  # pyright: ignore[reportArgumentType]


def test_loop_is_written_with_its_step_as_a_function():
    x, w, xs = ad.Variable('x', ()), ad.Variable('w', ()), ad.Variable('xs', (5,))
    c, ys = ad.scan(lambda c, s: (w * torch.tanh(c) + s, c * s), x, xs, reverse=True)
    options = r'\mathrm{length}{=}\mathtt{5}, \mathrm{reverse}{=}\mathtt{True}'
    assert equations({'c': c, 'y': ys}) == [
        rf'v_{{1}} &= \operatorname{{scan}}\left(x, xs, w, \mathrm{{body}}{{=}}F_{{1}}, {options}\right)',
        r'c &= {v_{1}}^{(1)}',
        r'y &= {v_{1}}^{(2)}',
        r'F_{1}\left(carry, x, w\right) &= \left(w \tanh{\left(carry \right)} + x, carry x\right)',
    ]


def test_only_what_is_used_of_a_loop_is_written():
    x, xs = ad.Variable('x', ()), ad.Variable('xs', (5,))
    _, (a, b) = ad.scan(lambda c, s: (c * s, (s + 1, torch.sin(s))), x, xs)
    assert equations({'y': b, 'z': a}) == [
        r'v_{1} &= \operatorname{scan}\left(xs, \mathrm{body}{=}F_{1}, \mathrm{length}{=}\mathtt{5}\right)',
        'y &= {v_{1}}^{(2)}',
        'z &= {v_{1}}^{(1)}',
        r'F_{1}\left(x\right) &= \left(x + 1, \sin{\left(x \right)}\right)',
    ]
    assert equations({'y': b})[-1] == r'F_{1}\left(x\right) &= \sin{\left(x \right)}'


def test_bodies_in_bodies_have_letters_of_their_own():
    x, w = ad.Variable('x', ()), ad.Variable('w', ())
    inner = lambda c: ad.while_loop(lambda d: d < 3, lambda d: d * w, c)  # noqa: E731
    call = r'\left(v_{1}, x, w, \mathrm{branches[0]}{=}F_{1}, \mathrm{branches[1]}{=}F_{2}\right)'
    loop = r'\left(operands[0], w, \mathrm{condition}{=}F_{3}, \mathrm{body}{=}F_{4}\right)'
    assert equations({'y': ad.cond(x > 0, torch.sqrt, inner, x)}) == [
        'v_{1} &= x > 0',
        rf'y &= \operatorname{{cond}}{call}',
        r'F_{1}\left(operands[0], w\right) &= {v_{1}}^{(1)} \quad \text{where}',
        rf'\quad v_{{1}} &= \operatorname{{while\_loop}}{loop}',
        r'F_{2}\left(operands[0], w\right) &= \sqrt{operands[0]}',
        r'F_{3}\left(carry, w\right) &= v_{1} \quad \text{where}',
        r'\quad v_{1} &= carry < 3',
        r'F_{4}\left(carry, w\right) &= carry w',
    ]


def test_one_body_is_defined_once():
    body = Body([x := ad.Variable('x', ())], [ad.sin(x)])
    twice = called(body, called(body, [ad.Variable('a', ())]))
    lines = equations({'y': twice[0]})
    assert [line for line in lines if line.startswith('F_')] == [
        r'F_{1}\left(x\right) &= \sin{\left(x \right)}'
    ]
    assert sum('F_{1}' in line for line in lines) == 3


def test_deep_nesting_of_bodies_needs_no_recursion():
    body = Body([x := ad.Variable('x', ())], [ad.sin(x)])
    for _ in range(300):
        body = Body([x := ad.Variable('x', ())], called(body, [x]))
    lines = equations({'y': called(body, [ad.Variable('a', ())])[0]})
    assert sum(line.startswith('F_') for line in lines) == 301


def test_outputs_of_an_op_are_entries_of_its_value():
    polar = ad.custom_op(lambda x, y: (torch.hypot(x, y), torch.atan2(y, x)), outputs=2)
    r, phi = polar(ad.Variable('x'), ad.Variable('y'))
    assert equations({'s': r * ad.sin(phi)}) == [
        r'v_{1} &= \operatorname{<lambda>}\left(x, y\right)',
        r's &= {v_{1}}^{(1)} \sin{\left({v_{1}}^{(2)} \right)}',
    ]
