"""Claims from the formula of an elementwise op: its value at high precision, its partials by sympy."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import sympy
import torch

from adjoint.core.node import Node
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.elementwise import Binary, Elementwise, Step, Unary
from adjoint.ops.formula import formula_of
from adjoint.verify.claims import Problem
from adjoint.verify.compare import difference
from adjoint.verify.report import Finding

__all__ = ['formula_claims']

_DIGITS = 30

# Exact evaluation is slow; so many entries of a sample are looked at.
_ENTRIES = 6


def formula_claims(problem: Problem) -> Iterator[Finding]:
    """Yield the findings on value and partials, for a node of a real elementwise op with a formula."""
    node = problem.output
    op = node.op
    if not isinstance(op, Elementwise) or op.formula is None:
        return
    if any(v.is_complex() or not v.is_floating_point() for v in problem.values):
        return
    given = [problem.feed.get(x) for x in node.inputs]
    if any(v is None for v in given):
        return  # an operand that is no variable of the problem
    operands = op.operands(node, given)
    as_tensors = [torch.as_tensor(o, dtype=torch.float64) for o in operands]
    (value,) = Evaluator([node]).run(problem.feed)
    tensors = [t.broadcast_to(value.shape) for t in as_tensors]
    expression, symbols = formula_of(op, len(operands))
    tolerances = problem.tolerances.at(problem.eps)
    places = list(range(min(value.numel(), _ENTRIES)))
    points = [[float(t.reshape(-1)[k]) for t in tensors] for k in places]
    if not places:
        return
    expected = _evaluated(expression, symbols, points)
    got = value.reshape(-1)[places]
    yield problem.finding(
        'value', difference(expected.to(got.dtype), got, tolerances.value), tolerances.value, op.formula
    )
    if isinstance(op, Step) or not problem.smooth:
        return
    for symbol, partial in zip(symbols, _partials(node, op, operands), strict=True):
        if partial is None:
            continue
        stated = partial
        if isinstance(partial, Node):
            stated = Evaluator([partial]).run(problem.feed)[0]
        found = torch.as_tensor(stated, dtype=value.dtype).broadcast_to(value.shape).reshape(-1)[places]
        wanted = _evaluated(sympy.diff(expression, symbol), symbols, points).to(found.dtype)
        result = difference(wanted, found, tolerances.partials)
        yield problem.finding('partials', result, tolerances.partials, f'd({op.formula})/d{symbol}')


def _partials(node: Node, op: Elementwise, operands: Sequence[Any]) -> list[Any]:
    """Return the stated partial of each operand, ``None`` for numbers and where none is stated."""
    if isinstance(op, Unary):
        return [None if type(op).partial is Unary.partial else op.partial(node, node.inputs[0])]
    places = iter(node.inputs)
    given = [o if isinstance(o, (bool, int, float, complex)) else next(places) for o in operands]
    if isinstance(op, Binary):
        stated = op.partials(node, *given)
        return [p if isinstance(o, Node) else None for o, p in zip(given, stated, strict=True)]
    return [None] * len(given)


def _evaluated(expression: Any, symbols: Sequence[Any], points: list[list[float]]) -> torch.Tensor:
    """Return an expression at points, computed with 30 digits and rounded."""
    results: list[float] = []
    for point in points:
        # The floats as they are, not as the decimals that they print.
        exact = {s: sympy.Rational(v) for s, v in zip(symbols, point, strict=True)}
        exactly = cast('Any', sympy.N(expression.subs(exact), _DIGITS))
        results.append(float(exactly) if exactly.is_real else float('nan'))
    return torch.tensor(results, dtype=torch.float64)
