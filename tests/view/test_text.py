"""Graphs as text: what each kind of line looks like, that it is valid notation, and that any graph works."""

import re
import time

import pytest
import torch

import adjoint as ad
from adjoint.core.tensor_type import TensorType
from adjoint.verify.expression import parse
from adjoint.view.text import to_text


def lines(*args: object, **options: bool) -> list[str]:
    return to_text(*args, **options).split('\n')  # pyright: ignore[reportArgumentType]


def test_graph_is_inputs_then_one_assignment_a_line():
    x = ad.Variable('x', shape=('n', 3), dtype=torch.float32)
    y = ad.Variable('y')
    z = ad.sin(x * y)
    assert lines({'z': z, 'out': z / 2 + y}) == [
        'x: float32[n, 3]',
        'y: any[...]',
        'v1 = x * y',
        'v2 = sin(v1)   # z',
        'v3 = v2 / 2',
        'v4 = v3 + y    # out',
    ]


def test_inputs_come_first_wherever_they_are_used():
    x, y = ad.Variable('x'), ad.Variable('y')
    assert [line.split(' ')[0] for line in lines(ad.exp(x) + y)] == ['x:', 'y:', 'v1', 'v2']


def test_shared_node_is_written_once():
    x = ad.Variable('x')
    s = ad.exp(x)
    text = to_text(s * s + ad.sin(s), inline=True)
    assert text.count('exp(') == 1
    assert text.split('\n')[1:] == ['v1 = exp(x)', 'v2 = v1 * v1 + sin(v1)   # output']


def test_outputs_are_told_apart():
    x = ad.Variable('x')
    a, b = ad.sin(x), ad.cos(x)
    assert lines([a, b])[1:] == ['v1 = sin(x)   # output 0', 'v2 = cos(x)   # output 1']
    assert lines([a])[1:] == ['v1 = sin(x)   # output']
    assert lines({'p': a, 'q': a})[1:] == ['v1 = sin(x)   # p, q']


def test_output_that_is_an_input_or_a_number_is_said_too():
    x = ad.Variable('x')
    assert lines({'same': x, 'two': ad.constant(2.0)}) == ['x: any[...]', 'same = x', 'two = 2.0']


def test_output_is_not_put_into_another_line():
    x = ad.Variable('x')
    a = ad.sin(x)
    assert lines({'f': a * 2, 'a': a}, inline=True)[1:] == ['v1 = sin(x)   # a', 'v2 = v1 * 2   # f']


# In the notation of Python, so that reading the text back gives the same graph.
INFIX = [
    'x - (y - z)', 'x - y - z', 'x / (y * z)', 'x / y * z', '(x + y) * z', 'x + y * z', '-(x + y)',
    '-x ** y', '(-x) ** y', 'x ** y ** z', '(x ** y) ** z', '-(x * y)', '-x * y', 'x ** -y',
    '2 ** x', 'x ** -2', '(x + 1) ** 2', '-2 * x', 'x - -2', '(x - y) / (z + 1) ** 2',
    'sin(x + y) * -z', 'maximum(x, 0) - maximum(0, x)', '1 / (1 / x)', 'atan2(x, y) + atan2(1, x)',
    '-(-x)', 'where(x, 1, y)',
]  # fmt: skip


@pytest.mark.parametrize('text', INFIX)
def test_brackets_are_exactly_those_that_are_needed(text: str):
    node, _ = parse(text)
    written = lines(node, inline=True)[-1].split(' = ')[1].split('   #')[0]
    again, _ = parse(written)
    assert written == text
    assert to_text(again) == to_text(node)


def test_every_kind_of_op_has_a_readable_form():
    x = ad.Variable('x', shape=(4, 3), dtype=torch.float32)
    i = ad.Variable('i', shape=(2,), dtype=torch.int64)
    forms = {
        ad.sum(x, 1): 'sum(x, dim=1)',
        ad.softmax(x): 'softmax(x, dim=-1)',
        x @ ad.transpose(x, 0, 1): 'x @ transpose(x, dim0=0, dim1=1)',
        x[0]: 'x[0]',
        x[1:, None, ::2]: 'x[1:, None, ::2]',
        x[..., -1]: 'x[..., -1]',
        x[i, 1:2]: 'x[i, 1:2]',
        (x + 1)[0]: '(x + 1)[0]',
        x > 0: 'x > 0',
        x * 2 > 1: 'x * 2 > 1',
        (x > 0) * (x < 1): '(x > 0) * (x < 1)',
        ad.eq(x, 1): 'eq(x, 1)',
        ad.greater(x, 0): 'greater(x, 0)',
        ad.where(x > 0, x, 0.5): 'where(x > 0, x, 0.5)',
        ad.where(x > 0, 1, 2): 'where(x > 0, 1, 2)',
        ad.clamp(x, 0, 1): 'clamp(x, min=0, max=1)',
        ad.clamp(x, max=1): 'clamp(x, max=1)',
        ad.cast(x, torch.float64): 'cast(x, dtype=torch.float64)',
        -(x**2): '-x ** 2',
        (-x) ** 2: '(-x) ** 2',
        x * torch.tensor([1.0, 2.0, 3.0]): 'x * constant([1.0, 2.0, 3.0])',
        x * torch.ones(4, 3): 'x * constant(float32[4, 3])',
        x * torch.tensor(0.5): 'x * 0.5',
        ad.cat([x, x], 0): 'cat(x, x, dim=0)',
    }
    for node, expected in forms.items():
        assert lines(node, inline=True)[-1].split(' = ')[1].split('   #')[0] == expected


def test_names_that_people_gave_are_kept_and_made_ones_step_aside():
    v1, x = ad.Variable('v1'), ad.Variable('x')
    other = ad.Variable('x')
    named = ad.Node([x], ad.sin, name='hidden')
    assert lines(named * v1 + other, inline=True) == [
        'x: any[...]',
        'v1: any[...]',
        'x_1: any[...]',
        'hidden = sin(x)',
        'v2 = hidden * v1 + x_1   # output',
    ]
    assert lines(ad.sin(ad.Variable()))[0] == 'x: any[...]'


def test_types_are_said_on_request():
    x = ad.Variable('x', shape=(2,), dtype=torch.float64)
    assert lines(ad.sin(x) + ad.Variable('y'), types=True)[2:] == [
        'v1: float64[2] = sin(x)',
        'v2: any[...] = v1 + y   # output',
    ]


def test_line_of_the_user_is_said_on_request():
    x = ad.Variable('x')
    y = ad.sin(x) * 2
    (line,) = [line for line in lines(y, source=True) if 'sin(x)' in line.split('#')[0]]
    assert re.fullmatch(r'v1 = sin\(x\) +# test_text\.py:\d+: y = ad\.sin\(x\) \* 2', line)


def test_long_attrs_are_cut():
    x = ad.Variable('x')
    node = ad.Node([x], ad.flip, {'dims': tuple(range(100))})
    text = lines(node)[-1]
    assert text.endswith('...)  # output')
    assert len(text) < 100


def test_comments_stand_below_each_other_where_lines_are_short():
    x = ad.Variable('x')
    outputs = {'a': ad.sin(x), 'b': ad.sin(x) * ad.cos(x), 'c': x * 2}
    columns = {line.index('#') for line in lines(outputs, inline=True) if '#' in line}
    assert len(columns) == 1


def test_long_expressions_are_parted_into_lines_that_fit_a_terminal():
    x, y = ad.Variable('x'), ad.Variable('y')
    terms = [ad.sin(x * i) * ad.exp(y + i) / (x - y * i) for i in range(1, 9)]
    total = terms[0] * terms[1] + terms[2] / terms[3] - ad.atan2(terms[4], terms[5]) ** (terms[6] - terms[7])
    written = lines({'total': total}, inline=True)
    assert max(len(line) for line in written) <= 78
    assert len(written) < 14
    # Every name is there before it is used.
    known = {'x', 'y'}
    for line in written[2:]:
        name, _, expression = line.split('#')[0].partition(' = ')
        assert set(re.findall(r'\b(?:[xy]|v\d+)\b', expression)) <= known
        known.add(name)


def test_text_is_the_same_on_every_run():
    def build() -> ad.Node:
        x, y = ad.Variable('x'), ad.Variable('y')
        z = ad.sin(x) * ad.exp(y) + x / y
        return ad.gradients(z, [x])[0]

    assert to_text(build(), inline=True) == to_text(build(), inline=True)


def test_gradient_of_a_model_is_readable():
    w = ad.Variable('w', shape=(3, 2), dtype=torch.float32)
    x = ad.Variable('x', shape=('n', 3), dtype=torch.float32)
    loss = ad.mean(ad.log_softmax(x @ w) ** 2, (0, 1))
    text = to_text({'loss': loss, 'dw': ad.gradients(loss, [w])[0]}, inline=True)
    assert max(len(line) for line in text.split('\n')) < 140
    assert re.search(r'@ .*# dw$', text, re.MULTILINE)


@pytest.mark.parametrize('inline', [False, True])
def test_graph_of_any_depth_is_written_in_linear_time(inline: bool):
    def seconds(depth: int) -> float:
        y = ad.Variable('x', shape=(), dtype=torch.float64)
        for _ in range(depth):
            y = ad.sin(y)
        start = time.perf_counter()
        text = to_text(y, inline=inline)
        assert text.count('sin') == depth
        return time.perf_counter() - start

    seconds(100)
    small, large = min(seconds(5_000) for _ in range(3)), seconds(100_000)
    assert large < 20 * 5 * small


def test_ladder_of_diamonds_is_written_in_as_many_lines():
    x = ad.Variable('x')
    for _ in range(60):
        x = x + x
    assert len(lines(x, inline=True)) == 61


def test_node_with_very_many_inputs_is_written():
    x = ad.Variable('x', shape=(1,))
    text = to_text(ad.cat([x] * 20_000))
    assert text.count('x, ') == 20_000


def test_what_is_no_node_is_refused():
    with pytest.raises(ad.TensorTypeError, match='takes nodes of a graph, and got 3'):
        to_text([ad.Variable('x'), 3])  # pyright: ignore[reportArgumentType]


def test_no_outputs_are_no_lines():
    assert to_text([]) == ''


def test_type_of_an_unknown_value_is_said_as_unknown():
    assert str(TensorType()) in to_text(ad.Variable('x'))
