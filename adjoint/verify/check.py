"""``check_op`` and ``check_gradients``: the battery that our own ops are checked with, for everyone's."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from adjoint.autodiff.reverse import gradients
from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.evaluator import Evaluator
from adjoint.verify.claims import Problem, Tolerances, derivative_claims, second_order
from adjoint.verify.compare import difference, exactly
from adjoint.verify.formulas import formula_claims
from adjoint.verify.report import Finding, Report
from adjoint.verify.samples import Sample, sample

__all__ = ['Report', 'Sample', 'Tolerances', 'check_gradients', 'check_op', 'sample']

_KINDS = ('untyped', 'typed', 'named')
_SEED = 20240229


def check_op(
    build: Op | Callable[..., Node],
    *samples: Sample,
    reference: Callable[..., torch.Tensor] | None = None,
    order: int = 2,
    conventions: Sequence[tuple[Sample, Sequence[torch.Tensor | None]]] = (),
    refusals: Sequence[tuple[Sample, type[Exception], str]] = (),
    tolerances: Tolerances | None = None,
) -> Report:
    """Check an op, or a function that builds a graph, against witnesses that do not use its rules.

    Parameters
    ----------
    build : Op or callable
        Called with the arguments of a sample, nodes in the place of the tensors; returns a node.
    *samples : Sample
        Made by ``sample(...)``: the arguments of one call each. Every claim is checked on each, with
        variables without types, with types, and with named sizes.
    reference : callable, optional
        What the value is compared with: called with the tensors themselves. Without one, an
        elementwise op is compared with its ``formula`` at high precision.
    order : int
        1 or 2: whether the claims are checked on the gradient graph too.
    conventions : sequence of (Sample, gradients)
        At kinks, ties and poles: what the gradients of the sum must be, exactly, one for each
        differentiated tensor; ``None`` to leave one out.
    refusals : sequence of (Sample, exception type, regular expression)
        Arguments that must be refused, when the node is built with typed variables or when it runs.
    tolerances : Tolerances, optional
        What may differ. The defaults are a few roundings in float64; a coarser dtype scales them.

    Returns
    -------
    Report
        ``report.ok``, ``report.failures``, ``report.raise_if_failed()``; it prints as text.

    Notes
    -----
    The claims: *value* (the reference), *type* (what is computed), *structure* (a cotangent has the
    shape and dtype of its operand, and there is none exactly where nothing flows), *jvp* (five-point
    differences along a random direction), *gradient* (the adjoint identity ⟨ct, J t⟩ = ⟨J* ct, t⟩),
    *gradient, again* (torch's autograd through ``compute``), *partials* (sympy), *second order* (all of
    it, on the gradient), *conventions*, *refusal*.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> from adjoint.verify.check import sample
    >>> x = torch.tensor([0.3, 1.7], dtype=torch.float64)
    >>> check_op(ad.sin, sample(x)).ok
    True
    """
    report = Report(f'check of {_described(build)}')
    allowed = tolerances or Tolerances()
    for number, each in enumerate(samples):
        for kind in _KINDS if each.named else _KINDS[:2]:
            where = f'sample {number} {each}, {kind}'
            _collect(report, _checked(build, each, kind, where, reference, order, allowed), where)
    for number, (each, expected) in enumerate(conventions):
        for kind in _KINDS[:2]:
            where = f'convention {number} {each}, {kind}'
            _collect(report, _convention(build, each, kind, where, expected), where)
    report.findings += [_refusal(build, n, *refused) for n, refused in enumerate(refusals)]
    return report


def check_gradients(
    output: Node | Callable[..., Any],
    values: Mapping[Node, torch.Tensor] | Sequence[Any],
    nodes: Sequence[Node] | None = None,
    *,
    order: int = 2,
    smooth: bool = True,
    tolerances: Tolerances | None = None,
) -> Report:
    """Check the derivatives of a graph, or of a function of tensors, at a point.

    Parameters
    ----------
    output : Node or callable
        A node; or a function of tensors as for ``grad``, with any output.
    values : mapping of Node to torch.Tensor, or sequence
        For a node, the values of its variables; for a function, its arguments.
    nodes : sequence of Node, optional
        The variables to differentiate by; all floating and complex ones by default.
    order : int
        1 or 2: whether the gradient graph is checked too.
    smooth : bool
        ``False`` at a kink, where differences and torch's own convention say nothing.
    tolerances : Tolerances, optional
        What may differ.

    Returns
    -------
    Report
        As from :func:`check_op`.

    Raises
    ------
    TensorTypeError
        The values do not go with the output: a mapping goes with a node, a sequence with a function.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> point = torch.tensor([0.5, 2.0], dtype=torch.float64)
    >>> check_gradients(ad.sum(ad.log(x) * x), {x: point}).ok
    True
    >>> check_gradients(lambda a: torch.tanh(a).sum(), [point]).ok
    True
    """
    allowed = tolerances or Tolerances()
    if not isinstance(output, Node):
        if isinstance(values, Mapping):
            msg = 'a function is checked at a sequence of arguments: write check_gradients(f, [x, y])'
            raise TensorTypeError(msg)
        at = Sample(tuple(values), {}, smooth, False)
        return check_op(output, at, order=order, tolerances=allowed)
    if not isinstance(values, Mapping):
        msg = 'a node is checked at the values of its variables: write check_gradients(y, {x: tensor})'
        raise TensorTypeError(msg)
    variables = list(values)
    given = [torch.as_tensor(values[x]) for x in variables]
    by = set(variables if nodes is None else nodes)
    wanted = [
        i for i, (x, v) in enumerate(zip(variables, given, strict=True))
        if x in by and (v.is_floating_point() or v.is_complex())
    ]  # fmt: skip
    problem = Problem(output, variables, given, wanted, 'the given values', smooth, allowed)
    report = Report(f"check of the gradients of '{output}'")
    _collect(report, _derivatives(problem, order), problem.where)
    return report


def _collect(report: Report, findings: Iterator[Finding], where: str) -> None:
    """Add findings; a rule or kernel that raises is one, and ends the sample."""
    try:
        report.findings.extend(findings)
    except Exception as error:  # noqa: BLE001 whatever a rule of a user raises
        said = [*str(error).splitlines(), *getattr(error, '__notes__', ())]
        got = '\n            '.join([f'{type(error).__name__}: {said[0] if said else ""}', *said[1:]])
        report.findings.append(Finding('runs', False, where, '', None, 'no error', got))


def _checked(
    build: Callable[..., Node],
    each: Sample,
    kind: str,
    where: str,
    reference: Callable[..., torch.Tensor] | None,
    order: int,
    allowed: Tolerances,
) -> Iterator[Finding]:
    inputs = each.inputs()
    variables = inputs.variables(kind)
    output = inputs.call(build, variables)
    if not isinstance(output, Node):
        got = f'{output!r} of type {type(output).__name__}'
        yield Finding('structure', False, where, '', None, 'a node', got)
        return
    problem = Problem(output, variables, inputs.values, inputs.differentiated, where, each.smooth, allowed)
    yield from _values(problem, kind, None if reference is None else inputs.call(reference, inputs.values))
    yield from _derivatives(problem, order)


def _values(problem: Problem, kind: str, expected: torch.Tensor | None) -> Iterator[Finding]:
    (value,) = Evaluator([problem.output]).run(problem.feed)
    tolerance = problem.tolerances.at(problem.eps).value
    if expected is not None:
        yield problem.finding('value', difference(expected, value, tolerance), tolerance, 'the reference')
    else:
        yield from (f for f in formula_claims(problem) if f.claim == 'value')
    yield from (f for f in formula_claims(problem) if f.claim == 'partials')
    known = problem.output.type
    if kind != 'untyped' and known is not None and known.shape is not None:
        sizes = zip(known.shape, value.shape, strict=False)
        fits = len(known.shape) == value.ndim and all(
            wanted is None or wanted in {size, f'n{size}'} for wanted, size in sizes
        )
        got = f'{value.dtype} {tuple(value.shape)}'.removeprefix('torch.')
        ok = fits and known.dtype == value.dtype
        yield Finding('type', ok, problem.where, '', None, '' if ok else str(known), '' if ok else got)


def _derivatives(problem: Problem, order: int) -> Iterator[Finding]:
    generator = torch.Generator().manual_seed(_SEED)
    yield from derivative_claims(problem, generator)
    following = second_order(problem, generator) if order > 1 else None
    if following is not None:
        for finding in derivative_claims(following, generator):
            subject = f'{finding.claim}: {finding.subject}' if finding.subject else finding.claim
            yield replace(finding, claim='second order', subject=subject)


def _convention(
    build: Callable[..., Node],
    each: Sample,
    kind: str,
    where: str,
    expected: Sequence[torch.Tensor | None],
) -> Iterator[Finding]:
    inputs = each.inputs()
    variables = inputs.variables(kind)
    output = inputs.call(build, variables)
    by = [variables[i] for i in inputs.differentiated]
    feed = dict(zip(variables, inputs.values, strict=True))
    found = Evaluator(gradients(output, by)).run(feed)
    for i, e, g in zip(inputs.differentiated, expected, found, strict=True):
        if e is None:
            continue
        result = exactly(e.to(g.dtype), g)
        yield Finding(
            'conventions', result.ok, where, f'gradient of input {i}', None if result.ok else result.entry,
            '' if result.ok else result.expected, '' if result.ok else result.got, result.error, 0.0,
        )  # fmt: skip


def _refusal(
    build: Callable[..., Node], number: int, each: Sample, kind: type[Exception], pattern: str
) -> Finding:
    where = f'refusal {number} {each}'
    inputs = each.inputs()
    wanted = f'{kind.__name__} with {pattern!r}'
    try:
        variables = inputs.variables('typed')
        output = inputs.call(build, variables)
        Evaluator([output]).run(dict(zip(variables, inputs.values, strict=True)))
    except Exception as error:  # noqa: BLE001 whatever comes is compared with what should
        ok = isinstance(error, kind) and re.search(pattern, str(error)) is not None
        got = f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'
        return Finding('refusal', ok, where, '', None, '' if ok else wanted, '' if ok else got)
    return Finding('refusal', False, where, '', None, wanted, 'no error')


def _described(build: Callable[..., Node]) -> str:
    rule = type(build) if isinstance(build, Op) else build
    name = f'op {build.name}' if isinstance(build, Op) else getattr(build, '__qualname__', repr(build))
    try:
        place = f' ({inspect.getsourcefile(rule)}:{inspect.getsourcelines(rule)[1]})'
    except (OSError, TypeError):
        place = ''
    return name + place
