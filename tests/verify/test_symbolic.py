"""Closed forms: from graphs and back, derivatives against those of the graph, and what is refused."""

import math
from typing import Any

import pytest
import sympy
import torch

import adjoint as ad
from adjoint.ops.elementwise import Binary, Elementwise
from adjoint.ops.formula import exact_number, formula_of
from adjoint.verify import symbolic

RX, RY = sympy.Symbol('x', real=True), sympy.Symbol('y', real=True)

# Every elementwise op that states a formula, and those whose closed form is none in its operands alone.
WITH_FORMULA = sorted(
    name
    for name, op in ad.registry().items()
    if isinstance(op, Elementwise) and op.formula is not None and not name.endswith('_by_const')
)
OTHERS = ['gt', 'ge', 'lt', 'le', 'eq', 'ne', 'greater', 'greater_equal', 'preference', 'sgn', 'trunc']

# Inside the domain, without kinks, of both signs where the function has them.
PLACES = {
    **dict.fromkeys(['acosh'], (1.1, 1.9, 3.0)),
    **dict.fromkeys(['log', 'log2', 'log10', 'sqrt', 'rsqrt', 'pow', 'xlogy', 'entr'], (0.2, 0.9, 2.5)),
    **dict.fromkeys(['bessel_y0', 'bessel_y1', 'modified_bessel_k0'], (0.2, 0.9, 2.5)),
    **dict.fromkeys(['modified_bessel_k1', 'scaled_modified_bessel_k0'], (0.2, 0.9, 2.5)),
    **dict.fromkeys(['scaled_modified_bessel_k1'], (0.2, 0.9, 2.5)),
    **dict.fromkeys(['ndtri', 'logit'], (0.2, 0.5, 0.9)),
    **dict.fromkeys(['lgamma', 'digamma'], (0.2, 0.9, 2.5)),
}
ANYWHERE = (-0.7, 0.4, 0.85)


def operands(name: str) -> tuple[list[ad.Node], dict[ad.Node, torch.Tensor]]:
    count = 2 if isinstance(ad.registry()[name], Binary) else 1
    variables = [ad.Variable(letter) for letter in 'xy'[:count]]
    place = torch.tensor(PLACES.get(name, ANYWHERE), dtype=torch.float64)
    return variables, {v: (place if i == 0 else place.flip(0) + 0.3) for i, v in enumerate(variables)}


def run(nodes: list[ad.Node], values: dict[ad.Node, torch.Tensor]) -> list[torch.Tensor]:
    return [value.double() for value in ad.Evaluator(nodes).run(values)]


def test_the_formulas_are_found():
    assert {'sin', 'add', 'atan2', 'relu', 'gelu', 'floor'} <= set(WITH_FORMULA)


@pytest.mark.parametrize('name', [*WITH_FORMULA, *OTHERS])
def test_op_survives_the_way_to_sympy_and_back(name: str):
    variables, values = operands(name)
    y = ad.registry()[name](*variables)
    back = symbolic.from_sympy(symbolic.to_sympy(y), dict(zip('xy', variables, strict=False)))
    expected, found = run([y, back], values)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize('name', [*WITH_FORMULA, *OTHERS])
def test_gradient_graph_and_closed_form_are_the_same_function(name: str):
    variables, values = operands(name)
    y = ad.registry()[name](*variables)
    by_name = dict(zip('xy', variables, strict=False))
    for variable, g in zip(variables, ad.gradients(y, variables), strict=True):
        derived = symbolic.from_sympy(symbolic.derivative(y, variable), by_name)
        converted = symbolic.from_sympy(symbolic.to_sympy(g), by_name)
        expected, from_closed, from_graph = run([g, derived, converted], values)
        for found in (from_closed, from_graph):
            torch.testing.assert_close(found.expand_as(expected), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    'name', ['sin', 'tanh', 'gelu', 'pow', 'atan2', 'hypot', 'softplus', 'lgamma', 'bessel_j1', 'i1', 'xlogy']
)
def test_second_derivatives_agree_too(name: str):
    variables, values = operands(name)
    y = ad.registry()[name](*variables)
    by_name = dict(zip('xy', variables, strict=False))
    (g,) = ad.gradients(y, variables[:1])
    for variable, h in zip(variables, ad.gradients(g, variables), strict=True):
        closed = symbolic.from_sympy(symbolic.derivative(y, [variables[0], variable]), by_name)
        expected, found = run([h, closed], values)
        torch.testing.assert_close(found.expand_as(expected), expected, rtol=1e-12, atol=1e-13)


CLOSED: dict[tuple[str, str, int], str] = {
    ('log(x)*y + x**2', 'x', 1): '2*x + y/x',
    ('log(x)*y + x**2', 'y', 1): 'log(x)',
    ('sin(x)', 'x', 2): '-sin(x)',
    ('sin(x)', 'x', 0): 'sin(x)',
    ('sigmoid(x)', 'x', 1): 'exp(x)/(exp(x) + 1)**2',
    ('x**y', 'x', 1): 'y*x**(y - 1)',
    ('abs(x)', 'x', 1): 'sign(x)',
    ('abs(x)', 'x', 2): '0',
    ('sign(x)*x', 'x', 1): 'sign(x)',
    ('floor(x**2)*x', 'x', 1): 'floor(x**2)',
    ('floor(x**2)*x', 'x', 2): '0',
    ('max(x, y)', 'y', 1): 'Heaviside(y - x)',
    ('where(gt(x, y), x**2, y)', 'x', 1): 'Piecewise((2*x, x > y), (0, True))',
    ('x/3 + 0.25*x', 'x', 1): '7/12',
    ('sin(2*pi*x)', 'x', 1): '2*pi*cos(2*pi*x)',
    ('e**(x/2)', 'x', 1): 'exp(x/2)/2',
    ('2**x', 'x', 1): '2**x*log(2)',
}  # fmt: skip


@pytest.mark.parametrize(('text', 'wrt', 'order'), CLOSED)
def test_derivative_is_the_closed_form_of_the_textbook(text: str, wrt: str, order: int):
    expected = sympy.sympify(CLOSED[text, wrt, order], locals={'x': RX, 'y': RY})
    assert symbolic.derivative(text, wrt, order) == expected


def test_mixed_derivatives_take_one_variable_after_the_other():
    x, y = ad.Variable('x'), ad.Variable('y')
    assert symbolic.derivative('x**2*y**3', ['x', 'y', 'y']) == 12 * RX * RY
    assert symbolic.derivative(x * x * y**3, [x, 'y']) == 6 * RX * RY**2
    assert symbolic.derivative('x**2*y**3', ['x', 'y'], order=2) == 12 * RY


def test_derivative_by_what_is_no_variable_is_refused():
    with pytest.raises(ValueError, match=r"no variable 'lenght'.*variables are x, length.*'length'"):
        symbolic.derivative('x*length', 'lenght')
    with pytest.raises(ValueError, match='no variable of this graph'):
        symbolic.derivative('x', ad.Variable('x'))
    with pytest.raises(ValueError, match='0 or more; got -1'):
        symbolic.derivative('x', 'x', order=-1)


def test_variables_of_one_name_are_told_apart():
    a, b, nameless = ad.Variable('x'), ad.Variable('x'), ad.Variable()
    closed = symbolic.to_sympy(a - b * nameless)
    assert sorted(s.name for s in closed.free_symbols) == ['x', 'x_1', 'x_2']
    assert symbolic.derivative(a - b * nameless, b) == -sympy.Symbol('x_2', real=True)
    names = {a: 'x_1', b: 'u'}
    assert {s.name for s in symbolic.symbols_of(a - b * nameless, names).values()} == {'x_1', 'u', 'x'}


def test_complex_variables_have_complex_symbols():
    z = ad.Variable('z', dtype=torch.complex128)
    closed = symbolic.to_sympy(ad.real(z) + ad.conj(z))
    assert closed == sympy.re(sympy.Symbol('z')) + sympy.conjugate(sympy.Symbol('z'))
    back = symbolic.from_sympy(closed, {'z': z})
    value = torch.tensor(1 + 2j, dtype=torch.complex128)
    assert ad.Evaluator([back]).run({z: value})[0].item() == 2 - 2j


def test_real_graph_has_no_conjugates():
    x = ad.Variable('x')
    assert symbolic.to_sympy(ad.conj(ad.log(x)) + ad.real(x) + ad.imag(x)) == sympy.log(RX) + RX


def test_choices_and_bounds_have_closed_forms():
    x = ad.Variable('x')
    assert symbolic.to_sympy(ad.clamp(x, 0, 1)) == sympy.Min(1, sympy.Max(0, RX))
    assert symbolic.to_sympy(ad.clamp(x, max=2)) == sympy.Min(2, RX)
    assert symbolic.to_sympy(ad.where(x, 2.0, x)) == sympy.Piecewise((2, sympy.Ne(RX, 0)), (RX, True))
    (g,) = ad.gradients(ad.clamp(x, 0, 1), [x])
    assert symbolic.to_sympy(g).subs(RX, 1) == 1


def test_shapes_alone_do_not_stand_in_the_way():
    x = ad.Variable('x', shape=(3,), dtype=torch.float64)
    (g,) = ad.gradients((x * x).sum(), [x])
    with pytest.raises(ad.UnsupportedOpError, match=r'^(un)?sum has no closed form'):
        symbolic.to_sympy(g)
    assert symbolic.to_sympy(ad.cast(ad.expand_as(x, ad.sin(x)), torch.float32)) == RX


def test_op_that_is_not_elementwise_is_named_with_its_line():
    x = ad.Variable('x')
    y = ad.softmax(x * 2) + 1  # the offending line
    with pytest.raises(ad.UnsupportedOpError) as caught:
        symbolic.to_sympy(y)
    assert str(caught.value).startswith('softmax has no closed form')
    assert 'test_symbolic.py' in str(caught.value)
    assert '# the offending line' in str(caught.value)


def test_broadcast_sum_is_refused():
    x = ad.Variable('x', shape=(1,), dtype=torch.float64)
    y = ad.Variable('y', shape=(3,), dtype=torch.float64)
    g, _ = ad.gradients(x * y, [x, y])
    with pytest.raises(ad.UnsupportedOpError, match=r'sum_to_like takes float64\[3\] to float64\[1\]'):
        symbolic.to_sympy(g)


def test_tensor_constant_is_refused_and_a_number_is_not():
    x = ad.Variable('x')
    assert symbolic.to_sympy(x * torch.tensor([0.5])) == RX / 2
    with pytest.raises(ad.UnsupportedOpError, match=r'constant of shape \(2,\)'):
        symbolic.to_sympy(x * torch.ones(2))


def test_op_of_the_user_needs_no_more_than_a_formula():
    class Cube(ad.Op):
        formula = 'x**3'

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] ** 3

    x = ad.Variable('x')
    assert symbolic.derivative(Cube()(ad.sin(x)), x) == 3 * sympy.sin(RX) ** 2 * sympy.cos(RX)


def test_op_of_the_user_with_a_known_name_is_not_taken_for_ours():
    class Where(ad.Op):
        formula = 'a + b + c'

    x = ad.Variable('x')
    assert symbolic.to_sympy(Where()(x, x, x)) == 3 * RX


# -- size and depth -----------------------------------------------------------------------------


def test_shared_parts_stay_shared_both_ways():
    x = ad.Variable('x')
    y = x
    for _ in range(12):
        y = ad.sin(y) + ad.exp(y)
    back = symbolic.from_sympy(symbolic.to_sympy(y), {'x': x})
    assert len(ad.topological_sort(back)) == len(ad.topological_sort(y)) == 37


def test_closed_form_that_is_too_large_is_refused_instead_of_waiting():
    x = ad.Variable('x')
    y = x
    for _ in range(60):
        y = ad.sin(y) + ad.exp(y)
    for call in (symbolic.to_sympy, lambda y: symbolic.derivative(y, x)):
        with pytest.raises(symbolic.ExpressionTooLarge, match=r'e\+18 parts.*gradients'):
            call(y)
    for _ in range(60):
        y = y * y
    with pytest.raises(symbolic.ExpressionTooLarge, match=r'more than 1e\+30 parts'):
        symbolic.to_sympy(y)


def test_derivative_that_grows_too_large_is_refused_too():
    x = ad.Variable('x')
    y = x
    for _ in range(8):
        y = ad.sin(y) * ad.exp(y)
    with pytest.raises(symbolic.ExpressionTooLarge, match=r'the derivative of .* has .* parts.*gradients'):
        symbolic.derivative(y, x, order=4)


def test_graph_deeper_than_sympy_can_go_is_refused_with_the_reason():
    x = ad.Variable('x')
    y = x
    for _ in range(3000):
        y = ad.sin(y) + 1
    with pytest.raises(symbolic.ExpressionTooLarge, match=r'sympy works by recursion.*at node \d+ of 6001'):
        symbolic.to_sympy(y)


def test_large_derivative_is_not_rearranged():
    x = ad.Variable('x')
    y = x
    for _ in range(7):
        y = ad.sin(y) * y + ad.cos(y)
    found = symbolic.derivative(y, x)
    (g,) = ad.gradients(y, [x])
    values = {x: torch.tensor(0.3, dtype=torch.float64)}
    back = symbolic.from_sympy(found, {'x': x})
    torch.testing.assert_close(*run([g, back], values), rtol=1e-12, atol=0)


# -- from sympy ---------------------------------------------------------------------------------


def built(expression: Any) -> ad.Node:
    return symbolic.from_sympy(expression, {'x': ad.Variable('x'), 'y': ad.Variable('y')})


FORMS: dict[str, str] = {
    'sqrt(x)': 'sqrt',
    '1/sqrt(x)': 'rsqrt',
    'x**2': 'square',
    '1/x': 'reciprocal',
    'x**3': 'pow',
    'x**(-3)': 'pow',
    'x**y': 'pow',
    '2**x': 'pow',
    'x - y': 'sub',
    'x/y': 'div',
    'x*y': 'mul',
    'x/3': 'div',
    '-x': 'neg',
    '-x/y': 'neg',
    'Max(x, y)': 'maximum',
    'Min(x, y)': 'minimum',
    'Abs(x)': 'abs',
    'exp(x)': 'exp',
    'atan2(y, x)': 'atan2',
    'sign(x)': 'sign',
    'floor(x)': 'floor',
    'ceiling(x)': 'ceil',
    'x > y': 'gt',
    'Eq(x, y)': 'eq',
    'Ne(x, y)': 'ne',
    'Heaviside(x)': 'preference',
    'Heaviside(x, 0)': 'greater',
    'Heaviside(x, 1)': 'greater_equal',
    'Heaviside(x, 0.3)': 'where',
    'Piecewise((x, x > 0), (y, True))': 'where',
    'sec(x)': 'div',
}


@pytest.mark.parametrize('text', FORMS)
def test_form_of_sympy_becomes_the_op_that_is_meant(text: str):
    assert built(sympy.sympify(text, locals={'x': RX, 'y': RY})).op.name == FORMS[text]


VALUES = [
    '3*x**2*y/7 - y/x + 1', 'x - 2*y - 3', '-x - y', '-3*x/(4*y**2)', '2*x/3', 'x**(-1.5)',
    'x**y**x', 'pi*x + E', 'sqrt(2)*x', '(x + y)**3/sqrt(x*y)', 'Max(x, y, 1)', 'Min(x, y, 2, 0.1)',
    'Heaviside(x - y)', 'Heaviside(0*x)', 'Heaviside(x - 0.75, 1)', 'Heaviside(x - 0.75, 0.1)',
    'Piecewise((0.1, x > y), (0.2, True))', 'Piecewise((x, x > y), (y, x < -5), (7, True))',
    'csc(x) + cot(y) - sec(x)', 'Piecewise((1, (x > 0) & (y > 0)), (2, True))',
    'Piecewise((1, (x > 9) | (y > 0)), (2, True))', 'sin(2) + x',
    'Piecewise((1, Not(Eq(x, y)) & ~((x < 0) & (y < 0))), (2, True))', 'log(3)*x + 3**x',
    'atan2(y, x)*atan2(1, x)', 'EulerGamma*x + GoldenRatio', 'exp(-x**2/2)/sqrt(2*pi)',
    'x/10**20*10**20', 'erf(x)*erfc(y)', 'x**2.5', '1.5', '0', '-7/3', 'sqrt(5)',
]  # fmt: skip


@pytest.mark.parametrize('text', VALUES)
def test_graph_has_the_value_that_sympy_computes(text: str):
    place = {RX: 0.75, RY: 1.25}
    expression = sympy.sympify(text, locals={'x': RX, 'y': RY})
    x, y = ad.Variable('x'), ad.Variable('y')
    node = symbolic.from_sympy(expression, {'x': x, 'y': y})
    values = {x: torch.tensor(0.75, dtype=torch.float64), y: torch.tensor(1.25, dtype=torch.float64)}
    (found,) = ad.Evaluator([node]).run(values)
    assert found.item() == pytest.approx(float(expression.subs(place)), rel=1e-15)
    assert found.dtype in {torch.float64, torch.bool}


def test_imaginary_numbers_become_complex_ones():
    node = built(sympy.I * RX + 1)
    (x,) = [n for n in ad.topological_sort(node) if n.op is ad.placeholder]
    (found,) = ad.Evaluator([node]).run({x: torch.tensor(2.0, dtype=torch.float64)})
    assert found.item() == 1 + 2j


def test_where_no_branch_holds_the_value_is_nan():
    x = ad.Variable('x')
    node = symbolic.from_sympy(sympy.Piecewise((1, RX > 0)), {'x': x})
    assert math.isnan(ad.Evaluator([node]).run({x: torch.tensor(-1.0)})[0].item())


def test_infinities_are_kept():
    node = built(sympy.Min(RX, sympy.oo, evaluate=False))
    (x,) = [n for n in ad.topological_sort(node) if n.op is ad.placeholder]
    assert ad.Evaluator([node]).run({x: torch.tensor(3.0)})[0].item() == 3


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('gamma(x)', 'gamma has no op here'),
        ('x + besselj(1, y)', 'besselj has no op here'),
        ('DiracDelta(x)', 'DiracDelta has no op here'),
        ('zoo*x', 'ComplexInfinity has no op here'),
        ('x + lenght', "symbol 'lenght' stands for no node.*the variables are x, y"),
        ('Integral(x, x)', 'Integral has no op here'),
    ],
)
def test_what_no_op_can_do_is_named(text: str, message: str):
    with pytest.raises(ad.UnsupportedOpError, match=message):
        built(sympy.sympify(text, locals={'x': RX, 'y': RY}))


# -- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (2, '2'), (-3.0, '-3'), (0.5, '1/2'), (0.1, '1/10'), (1 / 3, '1/3'), (-2 / 7, '-2/7'), (True, '1'),
        (math.pi, 'pi'), (-3 * math.pi / 4, '-3*pi/4'), (math.e, 'E'), (math.sqrt(2), 'sqrt(2)'),
        (2 / math.sqrt(math.pi), '2/sqrt(pi)'), (math.log(10), 'log(10)'), (0.0, '0'),
        (1.2345678e-9, '1.2345678e-9'), (math.inf, 'oo'), (-math.inf, '-oo'), (math.nan, 'nan'),
        (2 + 0.5j, '2 + I/2'),
    ],
)  # fmt: skip
def test_number_is_the_simplest_that_float64_rounds_to_it(value: complex, expected: str):
    assert exact_number(value) == sympy.sympify(expected)


def test_number_in_closed_form_rounds_back_to_itself():
    for i in range(1, 500):
        value = math.sin(i) * 10.0 ** (i % 40 - 20)
        assert float(exact_number(value)) == value


def test_op_without_formula_has_none():
    with pytest.raises(ad.UnsupportedOpError, match='softmax states no formula'):
        formula_of(ad.softmax, 1)


# -- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('text', 'x', 'expected'),
    [
        ('x**3', -2.0, -8.0), ('x**x', 2.5, 2.5**2.5), ('(x + 1)**100 - x**100 - 100*x**99', 1e-20, 1.0),
        ('Heaviside(x)', 0.0, 0.5), ('log(x)', -1.0, math.nan), ('sqrt(x)', -1.0, math.nan),
        ('1/x', 0.0, math.nan), ('Piecewise((1, x > 0), (2, True))', -0.5, 2.0), ('floor(x)', 2.999, 2.0),
        ('exp(x)', 800.0, math.inf), ('(1 - cos(x))/x**2', 1e-10, 0.5), ('x', 0.1, 0.1),
    ],
)  # fmt: skip
def test_value_of_a_closed_form_is_rounded_once(text: str, x: float, expected: float):
    found = symbolic.value(sympy.sympify(text, locals={'x': RX}), {'x': x})
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_value_names_what_is_missing():
    with pytest.raises(ValueError, match='needs values for a, y'):
        symbolic.value(sympy.Symbol('a') + RX + RY, {'x': 1.0})
