"""`adjoint derive`, as a user runs it: what is printed, in 80 columns, and how it refuses."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adjoint.cli.derive import derive

MAIN = ['log(x)*y + x**2', '--at', 'x=2,y=3']


def run(*arguments: str) -> Result:
    return CliRunner().invoke(derive, list(arguments), env={'COLUMNS': '80'}, prog_name='adjoint derive')


def printed(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert max(len(line.rstrip()) for line in result.stdout.split('\n')) <= 80
    return result.stdout


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert 'Traceback' not in result.output
    return result.stderr


def table(output: str, label: str) -> dict[str, list[str]]:
    """The rows of the table of one derivative, by the way."""
    block = re.split(r'\n\n', re.split(rf'\n{label}[ :]', output)[1])[0]
    rows = [re.split(r'\s{2,}', line.strip()) for line in block.split('\n')[2:-1]]
    return {row[0]: row[1:] for row in rows}


def test_page_of_the_example_says_everything():
    output = printed(*MAIN)
    assert output.startswith('f = log(x)*y + x**2\n  = 6.079441541679836  at x = 2, y = 3\n')
    assert '\ndf/dx = 2*x + y/x\n' in output
    assert '\ndf/dy = log(x)\n' in output
    by_x, by_y = table(output, 'df/dx'), table(output, 'df/dy')
    assert by_x['symbolic'] == ['5.5']
    assert by_x['automatic'] == ['5.5', '0']
    assert by_y['symbolic'] == ['0.6931471805599453']
    value, difference, step, error = by_x['numeric, central']
    assert float(value) == pytest.approx(5.5, abs=1e-9)
    assert float(difference) == pytest.approx(float(value) - 5.5, rel=0.1)
    assert float(step) == pytest.approx(1.5e-5, rel=0.1)
    assert abs(float(difference)) <= 3 * float(error) < 1e-8


def test_each_way_says_what_it_costs():
    output = printed(*MAIN)
    assert output.count('\ncost: ') == 2
    # 2*x + y/x is three operations; 2*x, y/x and their sum; the place, then h and 2h on both sides.
    assert 'cost: symbolic 3 operations, automatic 3 nodes beside f, numeric 5 runs of f\n' in output
    assert 'automatic 0 nodes beside f' in output


def test_page_ends_with_the_graph():
    graph = printed(*MAIN).split('automatic differentiation:\n\n')[1]
    assert graph.rstrip().split('\n') == [
        '  x: float64[]',
        '  y: float64[]',
        '  v1 = log(x)            # df/dy',
        '  v2 = v1 * y + x ** 2   # f',
        '  v3 = 2 * x + y / x     # df/dx',
    ]


def test_command_is_a_process_of_its_own_too():
    code = "from adjoint.cli.derive import derive; derive(prog_name='adjoint derive')"
    done = subprocess.run(
        [sys.executable, '-W', 'error::RuntimeWarning', '-c', code, 'sin(x', '--at', 'x=1'],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == "Error: this '(' is never closed\n    sin(x\n       ^\nadd a ')'\n"


def test_second_order_is_all_partial_derivatives():
    output = printed('sin(x)*exp(y)/x', '--at', 'x=2,y=3', '--order', '2', '--method', 'five-point')
    assert re.findall(r'^(d2f/\S+) =', output, re.MULTILINE) == ['d2f/dx2', 'd2f/dxdy', 'd2f/dy2']
    for label in ('d2f/dx2', 'd2f/dxdy', 'd2f/dy2'):
        rows = table(output, label)
        exact = float(rows['symbolic'][0])
        assert float(rows['automatic'][0]) == pytest.approx(exact, rel=1e-14)
        assert float(rows['numeric, five-point'][0]) == pytest.approx(exact, abs=1e-7)


def test_higher_orders_follow():
    output = printed('x**y', '--at', 'x=2,y=3', '--order', '3', '--method', 'richardson')
    assert re.findall(r'^(d3f/\S+) =', output, re.MULTILINE) == [
        'd3f/dx3', 'd3f/dx2dy', 'd3f/dxdy2', 'd3f/dy3',
    ]  # fmt: skip
    rows = table(output, 'd3f/dx3')
    assert float(rows['symbolic'][0]) == float(rows['automatic'][0]) == 6
    assert float(rows['numeric, richardson'][0]) == pytest.approx(6, abs=1e-5)


def test_wanted_variables_are_the_only_ones():
    output = printed(*MAIN, '--wrt', 'y')
    assert 'df/dx' not in output
    assert 'df/dy = log(x)' in output
    assert printed(*MAIN, '--wrt', 'x,y') == printed(*MAIN, '--wrt', 'x', '--wrt', 'y') == printed(*MAIN)


@pytest.mark.parametrize('method', ['forward', 'central', 'five-point', 'richardson', 'complex'])
def test_each_method_states_an_error_that_holds(method: str):
    rows = table(printed(*MAIN, '--method', method), 'df/dx')
    _, difference, _, error = rows[f'numeric, {method}']
    assert abs(float(difference)) <= 3 * float(error) + 1e-15


def test_given_step_is_used():
    row = table(printed('x**2', '--at', 'x=3', '--method', 'forward', '--step', '0.5'), 'df/dx')
    assert row['numeric, forward'] == ['6.5', '5.0e-01', '0.5', '0.5']


def test_latex_is_the_closed_forms_alone():
    assert printed('log(x)*y + x**2', '--latex', '--order', '2') == (
        'f = x^{2} + y \\log{\\left(x \\right)}\n'
        '\\frac{\\partial^{2} f}{\\partial x^{2}} = 2 - \\frac{y}{x^{2}}\n'
        '\\frac{\\partial^{2} f}{\\partial x \\partial y} = \\frac{1}{x}\n'
        '\\frac{\\partial^{2} f}{\\partial y^{2}} = 0\n'
    )
    assert printed('alpha**2', '--latex').split('\n')[1] == '\\frac{d f}{d \\alpha} = 2 \\alpha'


def test_expression_may_begin_with_a_minus():
    assert table(printed('-x**2', '--at', 'x=-3'), 'df/dx')['automatic'] == ['6', '0']


def test_values_may_be_expressions_of_numbers():
    output = printed('sin(x)', '--at', 'x=pi/2')
    assert 'f = sin(x)\n  = 1  at x = 1.57079632679\n' in output
    assert printed('x*y', '--at', 'x=-1/3', '--at', 'y=2e-3').count('df/d') == 4


def test_expression_without_variables_has_a_value_only():
    output = printed('2 + 3*4')
    assert output.startswith('f = 2 + 3*4\n  = 14\n')
    assert 'nothing to differentiate by' in output


def test_function_without_a_closed_form_is_compared_with_the_graph():
    output = printed('round(x)*x', '--at', 'x=1.2')
    assert 'df/dx: round has no closed form here; differences are from automatic.' in output
    assert 'symbolic' not in table(output, 'df/dx')
    with_latex = refused('round(x)', '--latex')
    assert 'no closed form to print: round' in with_latex


def test_kink_of_a_part_alone_is_no_obstacle():
    # At 0 both squares are smooth enough; at 2 there is no kink at all.
    assert table(printed('relu(x)**2 + abs(x)**2', '--at', 'x=0'), 'df/dx')['automatic'] == ['0', '0']
    assert table(printed('abs(x)*y', '--at', 'x=2,y=3'), 'df/dx')['automatic'] == ['3', '0']
    assert table(printed('max(x, y)*0 + x', '--at', 'x=1,y=1'), 'df/dx')['automatic'] == ['1', '0']


def test_kink_off_the_wanted_variable_is_no_obstacle():
    assert table(printed('abs(x)*y', '--at', 'x=0,y=3', '--wrt', 'y'), 'df/dy')['automatic'] == ['0', '0']


def test_branch_that_is_not_taken_does_not_matter():
    output = printed('where(gt(x, 0), log(x), x)', '--at', 'x=-1')
    assert table(output, 'df/dx')['automatic'] == ['1', '0']


def test_numeric_finds_a_step_close_to_a_border():
    rows = table(printed('log(x)', '--at', 'x=1e-8'), 'df/dx')
    assert float(rows['numeric, central'][0]) == pytest.approx(1e8, rel=1e-6)


def test_difference_is_what_is_above_the_symbolic_value():
    rows = table(printed('asin(x)', '--at', 'x=1-1e-9'), 'df/dx')
    exact, (automatic, gap) = float(rows['symbolic'][0]), rows['automatic']
    # So close to the border the graph is right to ten digits only, since 1 - x*x cancels.
    assert float(gap) == pytest.approx(float(automatic) - exact, rel=0.1)
    assert 1e-9 < abs(float(gap)) < 1e-3


def test_step_out_of_the_domain_is_said():
    output = printed('log(x)', '--at', 'x=0.1', '--step', '0.2')
    assert table(output, 'df/dx')['numeric, central'][0] == 'a step leaves the domain'


def test_closed_form_that_is_too_large_is_left_out():
    text = 'sin(' * 40 + 'x' + ')' * 40
    rows = table(printed(text, '--at', 'x=1', '--order', '3'), 'd3f/dx3')
    assert 'symbolic' not in rows
    assert abs(float(rows['numeric, central'][1])) < 3 * float(rows['numeric, central'][3])
    assert 'd3f/dx3 cannot be printed: the closed form is too large' in refused(
        text, '--latex', '--order', '3'
    )


def test_long_closed_form_is_cut():
    text = 'sin(x*y)*exp(x/y)*log(x + y)*atan2(x, y)*sqrt(x*y + 1)'
    output = printed(text, '--at', 'x=1,y=2', '--order', '3', '--wrt', 'x')
    assert re.search(r'\.\.\. +\(\d+\s+characters\)', output)


# What stands in the answer, in order.
OBSTACLES: dict[tuple[str, str], list[str]] = {
    ('log(x)*y', 'x=-1,y=3'): [
        'no finite value at x = -1, y = 3', '    log(x)*y\n    ^^^^^^\n',
        'log(-1) is outside its real domain',
        'greater than 0',
    ],
    ('log(x)', 'x=0'): ['log(0) is outside its real domain'],
    ('1 + sqrt(y - x)', 'x=3,y=1'): ['    1 + sqrt(y - x)\n        ^^^^^^^^^^^\n', 'sqrt(-2)', '0 or more'],
    ('asin(2*x)', 'x=1'): ['asin(2)', 'between -1 and 1'],
    ('acosh(x)', 'x=0.5'): ['acosh(0.5)', '1 or more'],
    ('1/x', 'x=0'): ['no finite value at x = 0', '1 is divided by 0'],
    ('y + (x - 1)/(x - y)', 'x=2,y=2'): ['        ^^^^^^^^^^^^^^^\n', '1 is divided by 0'],
    ('x**-2', 'x=0'): ['0 ** -2 is 1 divided by 0'],
    ('x**0.5', 'x=-2'): ['(-2) ** 0.5', 'is not real'],
    ('where(gt(x, 0), log(x), 1/(x + 1))', 'x=-1'): ['1 is divided by 0'],
    ('2*exp(log(x))', 'x=-1'): ['log(-1) is outside'],
    ('exp(x)', 'x=1000'): ['exp(1000) overflows float64'],
    ('sqrt(x)', 'x=0'): [
        'df/dx is not finite at x = 0', '    sqrt(x)\n    ^^^^^^^\n', 'divided by 0', 'df/dx = 1/(2*sqrt(x))',
    ],
    ('abs(x)*y', 'x=0,y=2'): [
        'df/dx does not exist at x = 0, y = 2', 'kink', '    abs(x)*y\n    ^^^^^^\n',
        '-2 on the left and 2 on the right',
        'takes 0 there',
    ],
    ('relu(3*x)', 'x=0'): ['0 on the left and 3 on the right', 'takes 0 there'],
    ('max(x, y)', 'x=1,y=1'): ['0 on the left and 1 on the right', 'takes 0.5 there'],
    ('clamp(x, 0, 1)', 'x=1'): ['1 on the left and 0 on the right', 'takes 1 there'],
    ('floor(x)', 'x=2'): ['jump', 'unbounded on the left and 0 on the right'],
    ('sign(x) + x', 'x=0'): ['unbounded on the left and unbounded on the right'],
    ('where(gt(x, 0), x, 2*x)', 'x=0'): ['2 on the left and 1 on the right', 'takes 2 there'],
}  # fmt: skip


@pytest.mark.parametrize(('text', 'place'), OBSTACLES)
def test_place_without_a_derivative_gets_the_reason(text: str, place: str):
    message = refused(text, '--at', place)
    position = -1
    for part in OBSTACLES[text, place]:
        assert part in message
        assert message.index(part) > position
        position = message.index(part)
    assert 'nan' not in message
    assert max(len(line) for line in message.split('\n')) <= 100


def test_kink_of_the_second_derivative_is_found():
    message = refused('relu(x)**2', '--at', 'x=0', '--order', '2')
    assert 'd2f/dx2 does not exist at x = 0' in message
    assert '0 on the left and 2 on the right' in message


WRONG: dict[tuple[str, ...], str] = {
    ('x + y', '--at', 'x=1'): 'no value for y: write --at x=...,y=...',
    ('x + y',): 'no values for x, y: write --at',
    ('x + y', '--at', 'x=1,y=2,z=3'): "no variable 'z'; its variables are x, y",
    ('length + y', '--at', 'lenght=1,y=2'): "did you mean 'length'?",
    ('x + y', '--at', 'x=1,y=2', '--wrt', 'z'): "no variable 'z'; its variables are x, y",
    ('2 + 3', '--at', 'x=2'): 'its variables are none',
    ('x', '--at', 'x'): "'x' is no name with a value: write --at x=2,y=3",
    ('x', '--at', 'x='): 'is no name with a value',
    ('x', '--at', '=2'): 'is no name with a value',
    ('x', '--at', 'x=1,'): "'' is no name with a value",
    ('x', '--at', 'x=1,x=2'): 'x is given twice',
    ('x', '--at', 'x=1;y=2'): "the value of x must be a number; '1;y=2' is none",
    ('x', '--at', 'x=two'): "there is no variable 'two'",
    ('x', '--at', 'x=nan'): "'nan' is none",
    ('x', '--at', 'x=1e999'): 'too large for float64',
    ('x', '--at', 'x=exp(1000)'): 'must be finite; exp(1000) is inf',
    ('x', '--at', 'x=1', '--order', '0'): '0 is not in the range 1<=x<=6',
    ('x', '--at', 'x=1', '--method', 'magic'): "'magic' is not one of",
    ('x', '--at', 'x=1', '--step', '0'): 'a finite number other than 0',
    ('x', '--at', 'x=1', '--step', 'nan'): 'a finite number other than 0',
    ('abs(x)', '--at', 'x=2', '--method', 'complex'): '--method complex: the complex step needs an analytic',
    (
        'relu(x)',
        '--at',
        'x=2',
        '--method',
        'complex',
    ): '--method complex: the complex step runs the function on',
    ('x**3', '--at', 'x=2', '--method', 'complex', '--order', '2'): 'first derivatives only',
    ('foo(x)', '--at', 'x=1'): "there is no function 'foo'",
    ('__import__("os")', '--at', 'x=1'): 'has no meaning in an expression',
    ('x.__class__', '--at', 'x=1'): 'there are no attributes in an expression',
    ('',): 'the expression is empty',
    (): "Missing argument 'EXPRESSION'",
}


@pytest.mark.parametrize('arguments', WRONG)
def test_wrong_question_is_answered_clearly(arguments: tuple[str, ...]):
    assert WRONG[arguments] in refused(*arguments)


def test_help_shows_an_example_that_works():
    output = printed('--help')
    example = re.search(r'adjoint derive "(.*)" --at (\S+)', output)
    assert example is not None
    assert printed(example[1], '--at', example[2])


GUIDE = Path(__file__).parents[2] / 'docs' / 'guide' / 'three_ways.md'


@pytest.mark.parametrize(
    'block', re.findall(r'```console\n(.*?)```', GUIDE.read_text(encoding='utf-8'), re.DOTALL)
)
def test_guide_shows_what_the_command_prints(block: str):
    command, _, expected = block.partition('\n')
    program, name, *arguments = shlex.split(command.removeprefix('$ '))
    assert (program, name) == ('adjoint', 'derive')
    result = run(*arguments)
    shown = '\n'.join(line.rstrip() for line in (result.stdout + result.stderr).split('\n'))
    assert shown == expected
