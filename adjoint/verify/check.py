"""The battery: every claim about an op or a graph, in one call.

=============== ======================================================= ===================
claim           witness                                                 allowed (float64)
=============== ======================================================= ===================
value           ``reference``, or the formula with 40 digits            1e-12
structure       one cotangent for each input, of its shape and dtype    exact
gradient, again ``torch.autograd`` through the same computation         1e-12
gradient        the adjoint identity ⟨ct, J t⟩ = ⟨J* ct, t⟩             1e-12
partials        ``sympy.diff`` of the formula, with 40 digits           1e-12
type            the computed values                                     exact
jvp             five-point central differences along a random tangent   1e-8
of order 2      the same claims on the gradient graph                   the same
agreement       the graphs of typed and untyped variables               1e-12
precision       the values in double precision                          16 units of rounding
conventions     a table of kinks, ties and poles                        exact
refusal         arguments that must fail, and the message               regular expression
=============== ======================================================= ===================

What is allowed is relative to the largest entry of what is compared, and grows with the machine
epsilon of the coarsest dtype (that of differences with its root).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.verify.battery import Plan, check_map, check_sample
from adjoint.verify.blame import culprits, rule_of, single_op
from adjoint.verify.conventions import check_convention, check_refusal
from adjoint.verify.maps import Derivatives
from adjoint.verify.outcomes import Tolerances
from adjoint.verify.report import Finding, Report
from adjoint.verify.samples import KINDS, Arguments, Sample, as_sample, sample
from adjoint.verify.widening import graph_map

__all__ = ['check_gradients', 'check_op', 'sample']

Samples: TypeAlias = Sample | tuple[Any, ...] | torch.Tensor


def check_op(
    build: Op | Callable[..., Any],
    *samples: Samples,
    reference: Callable[..., Any] | None = None,
    conventions: Sequence[tuple[Any, Any]] = (),
    refusals: Sequence[tuple[Any, type[Exception], str]] = (),
    differentiate: Sequence[int] | None = None,
    order: int = 2,
    tolerances: Mapping[str, float] | None = None,
    seed: int = 0,
    raises: bool = False,
) -> Report:
    """Check an op, or anything that builds a node from nodes, on samples of its arguments.

    Parameters
    ----------
    build : Op or callable
        Called with the arguments of each sample, with variables in the place of the tensors: without
        types, with types, and with names for the sizes.
    *samples : Sample, tuple or torch.Tensor
        Arguments: ``sample(x, dim=1)``, a tuple of positional ones, or the only one. Floating tensors
        of less than double precision are checked in double precision and then in their own.
    reference : callable, optional
        The value from the same arguments, with tensors, such as a function of torch. Without one, the
        formula of an elementwise op is computed with 40 digits.
    conventions : sequence of (arguments, expected)
        At kinks, ties and poles: the exact gradient of the sum of the entries; for several
        inputs a tuple of them. ``None`` stands for zeros.
    refusals : sequence of (arguments, error, pattern)
        What must fail, when it is built or when it runs; where types are known, with this error and
        a message that matches.
    differentiate : sequence of int, optional
        Positions of the tensors that are differentiated by; all floating and complex ones by default.
    order : int
        2 for the claims on the gradient graph too; 1 without.
    tolerances : mapping of str to float, optional
        By claim, in the place of those of the table above.
    seed : int
        Of the random tangents and cotangents.
    raises : bool
        Whether to raise where a claim does not hold.

    Returns
    -------
    Report
        ``print`` it; ``ok`` tells whether all claims hold.

    Raises
    ------
    RuleError
        A claim does not hold, and ``raises`` is set; with the report as its message.

    Notes
    -----
    A value that is cut out of the derivative on purpose, as by ``detach``, has another derivative than
    its function: leave it out with ``differentiate``, and state the gradient as a convention.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> class Cube(ad.Unary):
    ...     formula = 'x**3'
    ...     def compute(self, node, input_values):
    ...         return input_values[0] ** 3
    ...     def partial(self, y, x):
    ...         return 2 * x ** 2
    >>> report = ad.check_op(Cube(), torch.tensor([0.5, -2.0]))
    >>> print(report.failures[0].hint)
    everything is 0.666666667 times what it should be
    """
    plan = Plan(build, reference, differentiate, order, Tolerances(tolerances or {}), KINDS, seed)
    rule = rule_of(build) if isinstance(build, Op) else ''
    report = Report(_name_of(build), rule)
    report.findings += op_findings(plan, samples, conventions, refusals)
    if report.failures and samples:
        report.culprits = _culprits_of(plan, as_sample(samples[0]))
    if raises:
        report.raise_if_failed()
    return report


def op_findings(
    plan: Plan,
    samples: Sequence[Samples],
    conventions: Sequence[tuple[Any, Any]] = (),
    refusals: Sequence[tuple[Any, type[Exception], str]] = (),
) -> Iterator[Finding]:
    """Yield the findings of :func:`check_op` one by one."""
    for i, given in enumerate(samples):
        yield from check_sample(plan, as_sample(given), f'sample {i}')
    for given, expected in conventions:
        yield from check_convention(plan, as_sample(given), expected)
    for given, error, pattern in refusals:
        yield from check_refusal(plan, as_sample(given), error, pattern)


def check_gradients(
    output: Node | Callable[..., Any],
    values: Any,
    nodes: Sequence[Node] | None = None,
    *,
    order: int = 2,
    tolerances: Mapping[str, float] | None = None,
    seed: int = 0,
    raises: bool = False,
) -> Report:
    """Check the derivatives of a graph, or of a Python function, at a point.

    Parameters
    ----------
    output : Node or callable
        A node of any shape; or a function of nodes and of functions of torch, as ``grad`` takes.
    values : dict of Node to torch.Tensor, or arguments of the function
        For a graph, what ``Evaluator.run`` takes; for a function a list or tuple of arguments, or the only
        one.
    nodes : sequence of Node, optional
        Of a graph: what is differentiated by, variables or other nodes; by default everything in
        ``values`` that is floating or complex.
    order, tolerances, seed, raises
        As for :func:`check_op`.

    Returns
    -------
    Report
        For a failure in a graph of several ops it names those whose own rule is wrong.

    Raises
    ------
    RuleError
        A claim does not hold, and ``raises`` is set.
    MissingInputError, TensorTypeError
        Values are missing, or a node is not part of the graph.

    Notes
    -----
    Values of less than double precision are widened, and so are the constants of the graph; where an
    op does not allow that, the check is made in their own precision with wider tolerances.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x, w = ad.Variable('x'), ad.Variable('w')
    >>> loss = ad.mean(ad.tanh(x @ w) ** 2)
    >>> report = ad.check_gradients(loss, {x: torch.rand(3, 2), w: torch.rand(2)}, [w])
    >>> report.ok
    True
    >>> ad.check_gradients(lambda a, b: torch.sin(a) / b, (torch.rand(2), torch.rand(2) + 1)).ok
    True
    """
    allowed = Tolerances(tolerances or {})
    if not isinstance(output, Node):
        given = _arguments(values, nodes)
        plan = Plan(output, None, None, order, allowed, ('typed', 'untyped'), seed)
        report = Report(_name_of(output), findings=list(check_sample(plan, given, 'the arguments')))
        if report.failures:
            report.culprits = _culprits_of(plan, given)
    else:
        if not isinstance(values, Mapping):
            msg = 'a node is checked at the values of its variables: write check_gradients(y, {x: tensor})'
            raise TensorTypeError(msg)
        derivatives = Derivatives(graph_map(output, values, nodes), seed)
        report = Report(f"node '{output}'", findings=list(check_map(derivatives, allowed, order)))
        if report.failures:
            report.culprits = _first_culprits(derivatives)
    if raises:
        report.raise_if_failed()
    return report


def _culprits_of(plan: Plan, given: Sample) -> list[str]:
    arguments = Arguments(given, wide=True)
    try:
        return _first_culprits(Derivatives(plan.map_of(given, arguments, 'typed', ''), plan.seed))
    except Exception:  # noqa: BLE001 what raises here was found, and said, by the claims
        return []


def _first_culprits(derivatives: Derivatives) -> list[str]:
    """Return the rules that are wrong on their own in a graph of several ops, or in its gradient graph."""
    if single_op(derivatives.map) is None:
        found = culprits(derivatives)
        if found:
            return found
    following = derivatives.next_order
    return [] if following is None else culprits(Derivatives(following, derivatives.seed + 2))


def _arguments(values: Any, nodes: Sequence[Node] | None) -> Sample:
    """Return the arguments of a function as a sample."""
    keyed = isinstance(values, Mapping) and any(
        isinstance(k, Node) for k in cast('Mapping[Any, Any]', values)
    )
    if keyed or nodes is not None:
        msg = (
            'a function is checked at its arguments, and differentiated by those that are floating or '
            'complex: write check_gradients(f, [x, y])'
        )
        raise TensorTypeError(msg)
    return as_sample(tuple(cast('list[Any]', values)) if isinstance(values, list) else values)


def _name_of(build: Any) -> str:
    if isinstance(build, Op):
        return f'op {build.name}'
    return f'function {getattr(build, "__qualname__", repr(build))}'
