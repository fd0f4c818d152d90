"""Every op with its gradients, node by node: the rewritten graph and its plan against the reference."""

import pytest
import torch

import adjoint as ad
from adjoint.passes.pipeline import Level
from adjoint.verify.samples import Arguments, Sample, has_derivative
from tests.execute.agreement import POISONED, same
from tests.execute.node_by_node import differing_lines, inner_nodes, of_rewritten
from tests.execute.rounding import outside, reach
from tests.execute.test_plan import derivatives, outputs
from tests.ops.case import Case
from tests.ops.cases import CASES

LEVELS: tuple[Level, ...] = ('default', 'fast')

Feed = dict[ad.Node, torch.Tensor]


def graph_of(case: Case, given: Sample) -> tuple[list[ad.Node], Feed]:
    """A sample of an op with its gradients of first and second order, on variables without types."""
    arguments = Arguments(given, wide=False)
    variables = arguments.variables('untyped')
    values = dict(zip(variables, arguments.values, strict=True))
    by = [x for x, value in values.items() if has_derivative(value)]
    nodes = outputs(arguments.call(case.build, variables))
    first = derivatives(nodes, by)
    return [*nodes, *first, *derivatives(first[:2], by)], values


def runs(nodes: list[ad.Node], values: Feed) -> bool:
    """Whether the reference runs a graph: some are beyond the order that an op has."""
    try:
        ad.Evaluator(nodes, executor='reference').run(values)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    return True


def is_ordinary(values: Feed) -> bool:
    """Whether all values are finite, in double precision where they have a fractional part."""
    return all(
        v.dtype not in {torch.float16, torch.bfloat16} and bool(v.isfinite().all()) for v in values.values()
    )


@pytest.mark.parametrize('name', CASES)
def test_every_node_of_an_op_and_its_gradients_is_what_the_reference_says(name: str) -> None:
    case = CASES[name]
    for given in [*case.samples, *(sample for sample, _ in case.conventions)]:
        nodes, values = graph_of(case, given)
        if not runs(nodes, values):
            continue
        _, wrong = differing_lines(nodes, values, POISONED, 'bitwise')
        assert wrong == []
        inner = inner_nodes(nodes)
        wanted = ad.Evaluator(inner, executor='reference').run(values)
        for node, a, b in zip(inner, of_rewritten(inner, values, 'bitwise'), wanted, strict=True):
            assert same(a, b), f'{node}: {a} instead of {b}'


@pytest.mark.parametrize('name', CASES)
def test_every_node_stays_within_what_rounding_can_do_where_rewrites_round(name: str) -> None:
    case = CASES[name]
    for given in case.samples[:2]:
        nodes, values = graph_of(case, given)
        if not runs(nodes, values) or not is_ordinary(values):
            continue
        inner = inner_nodes(nodes)
        may_be = reach(inner, values)
        if may_be is None:
            continue
        for level in LEVELS:
            found = of_rewritten(inner, values, level)
            for node, value, range_ in zip(inner, found, may_be, strict=True):
                assert not outside(value, range_).any(), f'{level}, {node}: {value}, {range_}'
        planned = ad.Evaluator(inner, POISONED, 'fast').run(values)
        for node, value, range_ in zip(inner, planned, may_be, strict=True):
            assert not outside(value, range_).any(), f'plan, {node}: {value}, {range_}'
