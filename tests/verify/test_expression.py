"""Expressions as text: what they mean, and what each fault is answered with."""

import contextlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import adjoint as ad
from adjoint.core.tensor_type import TensorType
from adjoint.verify.expression import ALIASES, ExpressionError, functions, parse

X, Y = 0.6, 1.7


def value(text: str, **values: float) -> float:
    node, variables = parse(text)
    feed = {v: torch.tensor(values[name], dtype=torch.float64) for name, v in variables.items()}
    return ad.Evaluator([node]).run(feed)[0].item()


# The text, and the same in Python.
MEANINGS = {
    'log(x)*y + x**2': math.log(X) * Y + X**2,
    '-x**2': -(X**2),
    '(-x)**2': X**2,
    'x**y**x': X ** (Y**X),
    '2**-x': 2**-X,
    'x - y - 1': X - Y - 1,
    'x/y/2': X / Y / 2,
    '-x - -y': -X + Y,
    '+x*-y': -X * Y,
    '1/x': 1 / X,
    '2*pi*x': 2 * math.pi * X,
    'π*x': math.pi * X,
    'e**x': math.e**X,
    'x + 1e-3': X + 1e-3,
    'x + .5': X + 0.5,
    'x + 1_000.5': X + 1000.5,
    'x*(1/3)': X / 3,
    'x**(7 - 2*2)': X**3,
    'sin(cos(x*y))': math.sin(math.cos(X * Y)),
    'atan2(x, y)': math.atan2(X, Y),
    'atan2(1, x)': math.atan2(1, X),
    'hypot(x, 2)': math.hypot(X, 2),
    'max(x, y) + min(x, 1)': Y + X,
    'where(gt(x, y), 1, x)': X,
    'where(lt(x, y), -1, x)': -1.0,
    'where(lt(x, y), 0.1, 0.2)': 0.1,
    'where(lt(y, x), 0.1, 0.2)': 0.2,
    'where(lt(x, y), x, 0.1)*0 + where(lt(y, x), x, 0.1)': 0.1,
    'where(ge(x, 0) * le(x, 1), x, 0)': X,
    'clamp(x*3, 0, 1)': 1.0,
    'sqrt(2)*x': math.sqrt(2) * X,
    'exp(1)': math.e,
    'atan2(1, 2)': math.atan2(1, 2),
    'max(2, 3)': 3.0,
    'where(1, 2, 3)': 2.0,
    'ln(x) + arcsin(x) + arctan(y)': math.log(X) + math.asin(X) + math.atan(Y),
    ' \n x\t+ y \n': X + Y,
    '2': 2.0,
    '2 + 3*4': 14.0,
    '10**20 + x': 1e20,
}


@pytest.mark.parametrize('text', MEANINGS)
def test_expression_means_what_it_means_in_mathematics(text: str):
    assert value(text, x=X, y=Y) == pytest.approx(MEANINGS[text], rel=1e-15, abs=1e-15)


def test_variables_come_in_the_order_of_the_text():
    node, variables = parse('z*a + a*m')
    assert list(variables) == ['z', 'a', 'm']
    assert set(variables.values()) <= set(ad.topological_sort(node))


def test_one_name_is_one_variable():
    node, variables = parse('x*x + x')
    placeholders = [n for n in ad.topological_sort(node) if n.op is ad.placeholder]
    assert placeholders == [variables['x']]


def test_untyped_expression_takes_tensors_of_any_shape():
    node, variables = parse('x*y + 1')
    values = {variables['x']: torch.ones(2, 1), variables['y']: torch.ones(3)}
    assert ad.Evaluator([node]).run(values)[0].shape == (2, 3)


def test_type_is_that_of_the_variables():
    node, variables = parse('sin(x)', type=TensorType((), torch.float64))
    assert variables['x'].type == node.type == TensorType((), torch.float64)


def test_each_node_knows_its_place_in_the_text():
    node, variables = parse('π*x + log(x*y)')
    places = {}
    for n in ad.topological_sort(node):
        location = n.location
        assert location.text == 'π*x + log(x*y)'
        places[n.op.name if n.inputs else n.name] = location.text[location.start : location.end]
    assert places == {'x': 'x', 'y': 'y', 'mul': 'x*y', 'log': 'log(x*y)', 'add': 'π*x + log(x*y)'}
    assert variables['y'].location.start == 12


def test_numbers_among_themselves_are_folded_exactly_while_they_are_integers():
    node, _ = parse('x**(3**2) + 7/2')
    power, constant = node.inputs[0], node.attrs['constant']
    assert (type(power.attrs['constant']), power.attrs['constant']) == (int, 9)
    assert constant == 3.5


def test_declared_variables_are_the_only_ones():
    assert list(parse('a + b', variables=['a', 'b', 'c'])[1]) == ['a', 'b']
    with pytest.raises(ExpressionError, match=r"no variable 'lenght'\n.*\n.*\ndid you mean 'length'"):
        parse('2*lenght', variables=['length', 'width'])


def test_every_elementwise_function_is_there_with_its_number_of_arguments():
    known = functions()
    assert {name: known[name] for name in ('sin', 'erf', 'relu', 'atan2', 'maximum', 'where', 'clamp')} == {
        'sin': 1, 'erf': 1, 'relu': 1, 'atan2': 2, 'maximum': 2, 'where': 3, 'clamp': 3,
    }  # fmt: skip
    assert all(known[alias] == known[name] for alias, name in ALIASES.items())
    assert not {'matmul', 'sum', 'softmax', 'reshape', 'in_range', 'preference', 'constant'} & set(known)


@pytest.mark.parametrize('name', functions())
def test_every_function_builds_a_graph_of_that_op(name: str):
    arity = functions()[name]
    arguments = ['x', *(['0', '1'] if name == 'clamp' else ['y'] * (arity - 1))]
    node, _ = parse(f'{name}({", ".join(arguments)})')
    assert node.op is ad.registry()[ALIASES.get(name, name)]


# The text; what the message says; what stands above the carets.
FAULTS: dict[str, tuple[str, str]] = {
    'sin(x': ("this '(' is never closed", '('),
    '(x + (y)': ("this '(' is never closed", '('),
    'x)': ("this ')' closes nothing", ')'),
    'x + ': ("ends after '+'", ' '),
    'x * ': ("ends after '*'", ' '),
    'x + * y': ("a value is missing before '*'", '*'),
    '* x': ("a value is missing before '*'", '*'),
    '(x + )': ("a value is missing between '+' and ')'", '+ )'),
    '2x': ("an operator is missing between '2' and 'x'", '2x'),
    'x y': ("an operator is missing between 'x' and 'y'", 'x y'),
    '2(x + 1)': ("an operator is missing between '2' and '('", '2('),
    '(x)(y)': ("an operator is missing between ')' and '('", ')('),
    '()': ('these brackets are empty', '()'),
    'x + ()*2': ('these brackets are empty', '()'),
    'sin()': ("'sin' is called without an argument", 'sin()'),
    'sin(x, y)': ('sin takes 1 argument, and got 2', 'sin(x, y)'),
    'atan2(x)': ('atan2 takes 2 arguments, and got 1', 'atan2(x)'),
    'max(x,)': ("a value is missing between ',' and ')'", ',)'),
    'max(,x)': ("a value is missing before ','", ','),
    '1,5': ("',' only parts the arguments", ','),
    '(x, y)': ("',' only parts the arguments", ','),
    'foo(x)': ("there is no function 'foo'", 'foo'),
    'x + sinn(y)': ("there is no function 'sinn'", 'sinn'),
    'sin + 1': ("'sin' is a function", 'sin'),
    'x(2)': ("there is no function 'x'", 'x'),
    'sin(x)^2': ("'^' has no meaning", '^'),
    'x // 2': ("'//' has no meaning", '//'),
    'x % 2': ("'%' has no meaning", '%'),
    'x @ y': ("'@' has no meaning", '@'),
    'x > 0': ("'>' has no meaning", '>'),
    'x <= 0': ("'<=' has no meaning", '<='),
    'x == y': ("'==' has no meaning", '=='),
    'y = x': ("'=' has no meaning", '='),
    '(y := x)': ("':=' has no meaning", ':='),
    'sin(x=2)': ("'=' has no meaning", '='),
    'x.real': ("'.' has no meaning", '.'),
    'x[0]': ("'[' has no meaning", '['),
    '{x}': ("'{' has no meaning", '{'),
    '"x"': ("'\"' has no meaning", '"'),
    "x + 'a'": ('"\'" has no meaning', "'"),
    '`x`': ("'`' has no meaning", '`'),
    'x; y': ("';' has no meaning", ';'),
    'x # note': ("'#' has no meaning", '#'),
    '~x': ("'~' has no meaning", '~'),
    'x × y': ("'×' has no meaning", '×'),
    'x − y': ("'−' has no meaning", '−'),
    '\x00': ("'\\x00' has no meaning", '\x00'),
    'lambda x: x': ("'lambda' is a word of Python", 'lambda'),
    'x if y else 1': ("'if' is a word of Python", 'if'),
    'x and y': ("'and' is a word of Python", 'and'),
    'not x': ("'not' is a word of Python", 'not'),
    'None': ("'None' is a word of Python", 'None'),
    'True*x': ("'True' is a word of Python", 'True'),
    'max(*x)': ("a value is missing before '*'", '*'),
    '2j*x': ("an operator is missing between '2' and 'j'", '2j'),
    '1e999*x': ('too large for float64', '1e999'),
    'x + 10**400': ('too large for float64', '10**400'),
    '9**9**9**9': ('too large for float64', '9**9**9'),
    'x + 1/0': ('this divides by zero', '1/0'),
    'x + 0**-1': ('this divides by zero', '0**-1'),
    '(-8)**(1/3) + x': ('root of a negative number', '(-8)**(1/3)'),
    'clamp(x, y, 1)': ('the last 2 arguments of clamp are numbers', 'clamp(x, y, 1)'),
    '007*x': ('leading zeros', '0'),
}


@pytest.mark.parametrize('text', FAULTS)
def test_fault_is_named_with_its_place(text: str):
    reason, place = FAULTS[text]
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    error = caught.value
    assert reason in error.reason
    assert f'{text.strip()} '[error.start : error.end] == place
    first, shown, carets = str(error).split('\n')[:3]
    assert first == error.reason
    assert shown == '    ' + text.strip()
    assert carets == '    ' + ' ' * error.start + '^' * len(place)
    assert isinstance(error, ad.AdjointError)
    assert isinstance(error, ValueError)


HINTS = {
    'sin(x)^2': r'\*\* for a power',
    'x > 0': r'gt\(a, b\)',
    '2x': r'write 2\*x$',
    '2(x)': r'write 2\*\(\.\.\.\)$',
    'sinn(x)': "did you mean 'sin",
    'x if y else 1': r'where\(condition, a, b\)',
    'f(x)': r'for a product write f\*\(\.\.\.\)',
    'x // 2': r'floor\(a/b\)',
}


@pytest.mark.parametrize('text', HINTS)
def test_fault_comes_with_the_way_out(text: str):
    with pytest.raises(ExpressionError, match=HINTS[text]):
        parse(text)


@pytest.mark.parametrize('text', ['', '   ', '\n'])
def test_empty_expression_is_refused(text: str):
    with pytest.raises(ExpressionError, match=r'^the expression is empty: write one such as'):
        parse(text)


@pytest.mark.parametrize(
    'text',
    [
        '(' * 300 + 'x' + ')' * 300,
        'sin(' * 300 + 'x' + ')' * 300,
        'x' + ' + x' * 10_000,
        '-' * 20_000 + 'x',
        'x' + '**x' * 10_000,
    ],
    ids=['brackets', 'calls', 'sum', 'minus', 'power'],
)
def test_expression_that_nests_too_deeply_is_refused(text: str):
    with pytest.raises(ExpressionError, match='nests too deeply') as caught:
        parse(text)
    assert max(map(len, str(caught.value).split('\n'))) < 200


def test_number_of_very_many_digits_is_refused():
    with pytest.raises(ExpressionError, match='more than 4300 digits'):
        parse('x + ' + '9' * 5000)


def test_sum_of_hundreds_of_terms_is_read():
    assert value('x' + ' + x' * 500, x=1.0) == 501


def test_long_expression_is_shown_around_the_place():
    text = 'x + ' * 50 + 'y z' + ' + x' * 50
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    _, shown, carets, _ = str(caught.value).split('\n')
    assert len(shown) <= 76
    assert shown.strip().startswith('...')
    assert shown.endswith('...')
    assert shown[carets.index('^') : carets.rindex('^') + 1] == 'y z'


def test_place_at_the_ends_of_a_long_expression_is_shown_too():
    for text in ('y z' + ' + x' * 50, 'x + ' * 50 + 'y z'):
        with pytest.raises(ExpressionError) as caught:
            parse(text)
        _, shown, carets, _ = str(caught.value).split('\n')
        assert shown[carets.index('^') : carets.rindex('^') + 1] == 'y z'


WORDS = ['x', 'y', '2', '.5', '1e400', '+', '-', '*', '/', '**', '(', ')', ',', 'sin', 'atan2', ' ', '.', '^',
         'e', 'lambda', '"', '[', '=', 'π', '0']  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(''.join))
def test_any_text_is_read_or_refused_with_a_place(text: str):
    try:
        node, _ = parse(text)
    except ExpressionError as error:
        refusal = error
    else:
        assert isinstance(node, ad.Node)
        return
    assert str(refusal)
    assert 0 <= refusal.start < refusal.end <= len(refusal.text) + 1


@given(st.text(max_size=30))
def test_any_string_at_all_is_read_or_refused(text: str):
    # Anything else than the refusal would fail the test.
    with contextlib.suppress(ExpressionError):
        assert isinstance(parse(text)[0], ad.Node)
