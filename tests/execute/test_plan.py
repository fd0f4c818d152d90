"""The plan gives what the reference gives: on every op, its gradient, and the gradient of that."""

from typing import Any

import optree
import pytest

import adjoint as ad
from adjoint.verify.samples import Arguments, Kind, Sample, has_derivative
from tests.execute.agreement import assert_agrees
from tests.ops.cases import CASES

KINDS: tuple[Kind, ...] = ('untyped', 'typed')


def outputs(built: Any) -> list[ad.Node]:
    """The nodes in what a builder returned."""
    return [leaf for leaf in optree.tree_leaves(built) if isinstance(leaf, ad.Node)]


def derivatives(nodes: list[ad.Node], by: list[ad.Node]) -> list[ad.Node]:
    """The gradients of the nodes, where they have some."""
    found: list[ad.Node] = []
    for node in nodes:
        try:
            found += ad.gradients(node, by)
        except (ad.NonDifferentiableError, ad.UnsupportedOpError):
            continue
    return found


def check(build: Any, given: Sample, kind: Kind) -> None:
    arguments = Arguments(given, wide=False)
    variables = arguments.variables(kind)
    values = dict(zip(variables, arguments.values, strict=True))
    by = [x for x, value in values.items() if has_derivative(value)]
    nodes = outputs(arguments.call(build, variables))
    first = derivatives(nodes, by)
    second = derivatives(first[:2], by)
    for wanted in ([*nodes, *first], [*first, *second, *nodes[:1]]):
        try:
            ad.Evaluator(wanted, executor='reference').run(values)
        except (RuntimeError, ValueError, TypeError, IndexError):
            continue  # beyond the order that the op has, or a convention that cannot run
        assert_agrees(wanted, values)


@pytest.mark.parametrize('name', CASES)
def test_every_op_and_its_gradients_agree_with_the_reference_in_poisoned_memory(name: str) -> None:
    case = CASES[name]
    for given in [*case.samples, *(sample for sample, _ in case.conventions)]:
        for kind in KINDS:
            check(case.build, given, kind)
