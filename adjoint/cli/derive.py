"""``adjoint derive``: an expression differentiated numerically, symbolically and automatically."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import click
import sympy as untyped_sympy
import torch
from rich.console import Console
from rich.table import Table

from adjoint.cli.derivation import Derivation, Partial, Reading
from adjoint.cli.obstacles import kink_of, place, undefined_derivative, undefined_value
from adjoint.core.errors import AdjointError, NonDifferentiableError
from adjoint.execute.evaluator import Evaluator
from adjoint.verify.differences import METHODS, Method
from adjoint.verify.scan import ExpressionError, suggestion
from adjoint.verify.symbolic import parse, value
from adjoint.view.text import to_text

__all__ = ['derive']

sympy: Any = untyped_sympy  # it ships no types

_LARGEST_ORDER = 6

# Of a closed form, in characters: ten lines of a terminal.
_LONGEST = 800


class Refused(click.ClickException):
    """A question that has no answer: said in a sentence, with the exit code of wrong usage."""

    exit_code = 2


# An expression may begin with a minus, as an option does.
@click.command(context_settings={'ignore_unknown_options': True})
@click.argument('expression')
@click.option('--at', 'places', multiple=True, metavar='x=2,y=3', help='The place to differentiate at.')
@click.option('--wrt', 'wanted', multiple=True, metavar='x', help='Only by this variable.  [all]')
@click.option(
    '--order',
    type=click.IntRange(1, _LARGEST_ORDER),
    default=1,
    help='Order of the derivatives; 2 gives all second partial ones.  [1]',
)
@click.option('--method', type=click.Choice(METHODS), default='central', help='The numeric one.  [central]')
@click.option('--step', type=float, help='Of the numeric one.  [fits method and place]')
@click.option('--latex', is_flag=True, help='Print the closed forms as LaTeX instead; needs no --at.')
def derive(
    expression: str,
    places: Sequence[str],
    wanted: Sequence[str],
    order: int,
    method: Method,
    step: float | None,
    *,
    latex: bool,
) -> None:
    r"""Differentiate EXPRESSION numerically, symbolically and automatically, side by side.

    EXPRESSION is made of names, numbers, + - * / **, brackets, pi, e, and functions such as log,
    sin or relu.

    \b
    Example:
      adjoint derive "log(x)*y + x**2" --at x=2,y=3
    """
    try:
        derivation = Derivation(expression)
        names = _wanted(wanted, derivation)
        if latex:
            _print_latex(derivation, derivation.partials(names, order))
            return
        if step is not None and not (math.isfinite(step) and step):
            raise click.BadParameter('a finite number other than 0', param_hint='--step')
        at = _place(places, derivation)
        _answer(derivation, derivation.partials(names, order), at, method, step)
    except ExpressionError as error:
        raise Refused(str(error)) from error
    except NonDifferentiableError as error:
        raise Refused(f'--method {method}: {error}') from error


def _answer(
    derivation: Derivation,
    partials: Sequence[Partial],
    at: Mapping[str, float],
    method: Method,
    step: float | None,
) -> None:
    obstacle = undefined_value(derivation, at)
    if obstacle is not None:
        raise obstacle
    console = Console(highlight=False, markup=False)
    (found,) = derivation.values([derivation.node], at)
    console.print(f'f = {derivation.text}')
    console.print(f'  = {_number(found)}' + (f'  at {place(at)}' if at else ''))
    if not partials:
        console.print('\nThere is no variable in it, so there is nothing to differentiate by.')
        return
    for partial in partials:
        obstacle = undefined_derivative(derivation, partial, at) or kink_of(derivation, partial, at)
        if obstacle is not None:
            raise obstacle
    readings = [derivation.numeric(partial.path, at, method, step) for partial in partials]
    console.print('\nDifferences are from the symbolic value, which is computed with 50 digits.')
    for partial, reading in zip(partials, readings, strict=True):
        console.print()
        closed, why_not = derivation.symbolic(partial.path)
        if closed is None:
            console.print(f'{partial.label}: {why_not}; differences are from automatic.')
        else:
            console.print(f'{partial.label} = {_written(closed)}')
        exact = None if closed is None else value(closed, at)
        (automatic,) = derivation.values([derivation.graph(partial.path)], at)
        console.print(_table(exact, automatic, method, reading))
        console.print(f'cost: {derivation.costs(partial.path, closed, reading)}')
    console.print('\nThe graph, by automatic differentiation:\n')
    outputs = {'f': derivation.node} | {p.label: derivation.graph(p.path) for p in partials}
    console.print(_indented(to_text(outputs, inline=True)), soft_wrap=True)


def _table(exact: float | None, automatic: float, method: Method, reading: Reading) -> Table:
    """The derivative in the three ways, with the differences."""
    reference = automatic if exact is None else exact
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column('')
    table.add_column('value', min_width=22)
    table.add_column('difference', justify='right')
    table.add_column('step')
    table.add_column('error ~')
    if exact is not None:
        table.add_row('symbolic', _number(exact))
    gap = '' if exact is None else _difference(automatic - reference)
    table.add_row('automatic', _number(automatic), gap)
    if math.isnan(reading.value):
        table.add_row(f'numeric, {method}', 'a step leaves the domain', '', _steps(reading))
    else:
        gap, error = _difference(reading.value - reference), f'{reading.error:.1g}'
        table.add_row(f'numeric, {method}', _number(reading.value), gap, _steps(reading), error)
    return table


def _steps(reading: Reading) -> str:
    return ', '.join(dict.fromkeys(f'{h:.2g}' for h in reading.steps))


def _print_latex(derivation: Derivation, partials: Sequence[Partial]) -> None:
    try:
        click.echo(f'f = {sympy.latex(derivation.closed)}')
    except AdjointError as error:
        raise Refused(f'there is no closed form to print: {error}') from error
    for partial in partials:
        closed, why_not = derivation.symbolic(partial.path)
        if closed is None:
            raise Refused(f'{partial.label} cannot be printed: {why_not}')
        left = partial.latex(partial=len(derivation.variables) > 1)
        click.echo(f'{left} = {sympy.latex(closed)}')


def _wanted(wanted: Sequence[str], derivation: Derivation) -> list[str]:
    names = [name for given in wanted for name in given.replace(',', ' ').split()]
    for name in names:
        if name not in derivation.variables:
            raise click.BadParameter(_no_variable(name, derivation), param_hint='--wrt')
    return list(dict.fromkeys(names)) or list(derivation.variables)


def _place(places: Sequence[str], derivation: Derivation) -> dict[str, float]:
    """The values of the variables, in the order of the expression."""
    given: dict[str, float] = {}
    for assignment in ','.join(places).split(',') if places else ():
        name, equals, text = (part.strip() for part in assignment.partition('='))
        if not (name and equals and text):
            msg = f'{assignment.strip()!r} is no name with a value: write --at x=2,y=3'
            raise click.BadParameter(msg, param_hint='--at')
        if name not in derivation.variables:
            raise click.BadParameter(_no_variable(name, derivation), param_hint='--at')
        if name in given:
            raise click.BadParameter(f'{name} is given twice', param_hint='--at')
        given[name] = _parsed_number(name, text)
    missing = [name for name in derivation.variables if name not in given]
    if missing:
        example = ','.join(f'{name}=...' for name in derivation.variables)
        plural = 's' if len(missing) > 1 else ''
        msg = f'no value{plural} for {", ".join(missing)}: write --at {example}'
        raise click.BadParameter(msg, param_hint='--at')
    return {name: given[name] for name in derivation.variables}


def _parsed_number(name: str, text: str) -> float:
    """A number, or an expression of numbers such as ``-pi/2``."""
    try:
        node, _ = parse(text, variables=[])
    except ExpressionError as error:
        msg = f'the value of {name} must be a number; {text!r} is none.\n{error}'
        raise click.BadParameter(msg, param_hint='--at') from error
    found = Evaluator([node]).run({})[0].to(torch.float64).item()
    if not math.isfinite(found):
        msg = f'the value of {name} must be finite; {text} is {found}'
        raise click.BadParameter(msg, param_hint='--at')
    return found


def _no_variable(name: str, derivation: Derivation) -> str:
    close = suggestion(difflib.get_close_matches(name, derivation.variables, 2))
    known = ', '.join(derivation.variables) or 'none'
    return f'the expression has no variable {name!r}; its variables are {known}. {close}'.strip()


def _written(closed: Any) -> str:
    text = sympy.sstr(closed, full_prec=False)
    return text if len(text) <= _LONGEST else f'{text[:_LONGEST]} ... ({len(text)} characters)'


def _number(number: float) -> str:
    return repr(number).removesuffix('.0')


def _difference(number: float) -> str:
    return '0' if number == 0 else f'{number:.1e}'


def _indented(text: str) -> str:
    return '\n'.join(f'  {line}' for line in text.splitlines())
