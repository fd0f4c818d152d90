"""The claims about a derivative, each held against a witness that did not use the rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch

from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.reverse import cotangents
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.creation import Variable
from adjoint.ops.linear import conj, real
from adjoint.ops.reduction import sum_
from adjoint.verify.compare import Difference, difference, inner
from adjoint.verify.report import Finding

__all__ = ['Problem', 'Tolerances', 'decimals', 'derivative_claims', 'recorded', 'second_order']

_EPS64 = torch.finfo(torch.float64).eps

# Slopes on both sides that differ by more than this are those of a kink.
_KINK = 0.05


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What may differ, relative to the largest entry, in float64; coarser dtypes scale it.

    Parameters
    ----------
    value, gradient, again, partials : float
        For rounding only.
    jvp : float
        For the five-point differences.
    """

    value: float = 1e-12
    jvp: float = 1e-8
    gradient: float = 1e-12
    again: float = 1e-12
    partials: float = 1e-12

    def at(self, eps: float) -> 'Tolerances':
        """Return the tolerances for values of a coarser dtype."""
        if eps <= _EPS64:
            return self
        factor = eps / _EPS64
        return Tolerances(
            self.value * factor,
            max(self.jvp, 100 * eps**0.8),
            self.gradient * factor,
            self.again * factor,
            self.partials * factor,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """A graph at a point: everything that the claims are about.

    Parameters
    ----------
    output : Node
        What is differentiated.
    variables : list of Node
        Its inputs.
    values : list of torch.Tensor
        The point.
    wanted : list of int
        Positions of the inputs that are differentiated.
    where : str
        For the report.
    smooth : bool
        Whether differences say something.
    tolerances : Tolerances
        What may differ.
    """

    output: Node
    variables: list[Node]
    values: list[torch.Tensor]
    wanted: list[int]
    where: str
    smooth: bool
    tolerances: Tolerances

    @property
    def feed(self) -> dict[Node, torch.Tensor]:
        """The point as the values of a run."""
        return dict(zip(self.variables, self.values, strict=True))

    @property
    def eps(self) -> float:
        """The machine epsilon of the coarsest input."""
        epsilons = [torch.finfo(self.values[i].dtype).eps for i in self.wanted]
        return max(epsilons, default=_EPS64)

    def finding(self, claim: str, result: Difference, tolerance: float, subject: str = '') -> Finding:
        """Return a finding from a comparison."""
        return Finding(
            claim, result.ok, self.where, subject, None if result.ok else result.entry,
            '' if result.ok else result.expected, '' if result.ok else result.got,
            result.error, tolerance, result.hint,
        )  # fmt: skip


def derivative_claims(problem: Problem, generator: torch.Generator) -> Iterator[Finding]:
    """Yield the findings on the derivative: structure, gradient again, adjoint identity, differences."""
    (value,) = Evaluator([problem.output]).run(problem.feed)
    ct, ct_value = Variable('ct'), decimals(value, generator)
    tangents = {problem.variables[i]: Variable(f't{i}') for i in problem.wanted}
    feed = problem.feed | {ct: ct_value}
    for i in problem.wanted:
        feed[tangents[problem.variables[i]]] = decimals(problem.values[i], generator)
    differentiable = value.is_floating_point() or value.is_complex()
    pulled = cotangents({problem.output: ct}, [problem.variables[i] for i in problem.wanted])
    pushed = pushforward(problem.output, tangents)
    yield from _structure(problem, pulled, feed, tangents)
    if not differentiable:
        return
    if problem.smooth:
        yield from _again(problem, pulled, feed, ct)
    yield from _identity(problem, pulled, pushed, feed, ct, tangents)
    if problem.smooth:
        yield from _differences(problem, pushed, feed, tangents, value)


def second_order(problem: Problem, generator: torch.Generator) -> Problem | None:
    """Return the gradient as a problem of its own: a weighted sum of its entries, also by the cotangent."""
    (value,) = Evaluator([problem.output]).run(problem.feed)
    if not (value.is_floating_point() or value.is_complex()):
        return None
    ct = _variable_like('ct', problem.output)
    pulled = cotangents({problem.output: ct}, [problem.variables[i] for i in problem.wanted])
    total: Node | None = None
    weights: dict[Node, torch.Tensor] = {}
    for i, g in zip(problem.wanted, pulled, strict=True):
        if g is not None:
            weight = _variable_like(f'w{i}', problem.variables[i])
            weights[weight] = decimals(problem.values[i], generator)
            term = sum_(real(conj(weight) * g))
            total = term if total is None else total + term
    if total is None:
        return None
    return replace(
        problem,
        output=total,
        variables=[*problem.variables, ct, *weights],
        values=[*problem.values, decimals(value, generator), *weights.values()],
        wanted=[*problem.wanted, len(problem.variables)],
    )


def _variable_like(name: str, node: Node) -> Node:
    known = node.type
    return Variable(name) if known is None else Variable(name, known.shape, known.dtype)


def decimals(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return random numbers of few decimals, of the shape and dtype of a tensor: exact in a report."""

    def draw() -> torch.Tensor:
        whole = torch.randint(10, 100, like.shape, generator=generator)
        sign = torch.randint(0, 2, like.shape, generator=generator) * 2 - 1
        return (whole * sign).to(torch.float64) / 64

    if like.is_complex():
        return torch.complex(draw(), draw()).to(like.dtype)
    return draw().to(like.dtype if like.is_floating_point() else torch.float64)


def recorded(nodes: Sequence[Node], feed: dict[Node, torch.Tensor]) -> list[torch.Tensor]:
    """Compute nodes with torch's autograd recording, which the evaluator does without."""
    values = dict(feed)
    for node in topological_sort(nodes):
        if node not in values:
            values[node] = node.op.compute(node, [values[x] for x in node.inputs])
    return [values[node] for node in nodes]


def _structure(
    problem: Problem,
    pulled: list[Node | None],
    feed: dict[Node, torch.Tensor],
    tangents: dict[Node, Node],
) -> Iterator[Finding]:
    """Each cotangent has the shape and dtype of its primal; none exactly where nothing flows."""
    for i, g in zip(problem.wanted, pulled, strict=True):
        x = problem.variables[i]
        flows = pushforward(problem.output, {x: tangents[x]}) is not None
        if (g is not None) != flows:
            forward, backward = ('flows', 'nothing') if flows else ('nothing', 'flows')
            yield Finding(
                'structure', False, problem.where, f'input {i}', None,
                f'what forward mode says: {forward}', f'reverse mode: {backward}',
            )  # fmt: skip
        if g is None:
            continue
        (value,) = Evaluator([g]).run(feed)
        primal = problem.values[i]
        same = value.shape == primal.shape and value.dtype == primal.dtype
        result = Difference(True, 0.0) if same else difference(primal, value, 0.0)
        yield problem.finding('structure', result, 0.0, f'cotangent of input {i}')


def _again(
    problem: Problem, pulled: list[Node | None], feed: dict[Node, torch.Tensor], ct: Node
) -> Iterator[Finding]:
    """The gradient is that of torch's autograd through the same computation."""
    leaves = {x: v.detach().clone() for x, v in problem.feed.items()}
    wanted = [leaves[problem.variables[i]].requires_grad_() for i in problem.wanted]
    with torch.enable_grad():
        (output,) = recorded([problem.output], leaves)
    if not output.requires_grad:
        return  # computed outside of torch
    # With allow_unused there may be None, which the signature of torch does not say.
    found = torch.autograd.grad(output, wanted, feed[ct], allow_unused=True)
    expected = cast('tuple[torch.Tensor | None, ...]', found)
    tolerance = problem.tolerances.at(problem.eps).again
    for i, g, e in zip(problem.wanted, pulled, expected, strict=True):
        primal = problem.values[i]
        got = torch.zeros_like(primal) if g is None else Evaluator([g]).run(feed)[0]
        wanted_value = torch.zeros_like(primal) if e is None else e
        result = difference(wanted_value, got, tolerance)
        yield problem.finding('gradient, again', result, tolerance, f'cotangent of input {i}')


def _identity(
    problem: Problem,
    pulled: list[Node | None],
    pushed: Node | None,
    feed: dict[Node, torch.Tensor],
    ct: Node,
    tangents: dict[Node, Node],
) -> Iterator[Finding]:
    """The adjoint identity: <ct, J t> = <J* ct, t>."""
    left, size = 0.0, 0.0
    if pushed is not None:
        left, size = inner(feed[ct], Evaluator([pushed]).run(feed)[0])
    right = 0.0
    for i, g in zip(problem.wanted, pulled, strict=True):
        if g is not None:
            part, terms = inner(Evaluator([g]).run(feed)[0], feed[tangents[problem.variables[i]]])
            right, size = right + part, size + terms
    if not problem.smooth and not torch.tensor([left, right]).isfinite().all():
        return  # at a pole there is nothing to add up
    tolerance = problem.tolerances.at(problem.eps).gradient
    error = abs(left - right) / max(size, 1.0)
    yield Finding(
        'gradient', error <= tolerance, problem.where, '<ct, J t> = <J* ct, t>', None,
        f'{left!r} (forward mode)', f'{right!r} (reverse mode)', error, tolerance,
    )  # fmt: skip


def _differences(
    problem: Problem,
    pushed: Node | None,
    feed: dict[Node, torch.Tensor],
    tangents: dict[Node, Node],
    value: torch.Tensor,
) -> Iterator[Finding]:
    """The tangent is the five-point central difference along it."""
    eps = problem.eps
    tolerance = problem.tolerances.at(eps).jvp
    got = torch.zeros_like(value) if pushed is None else Evaluator([pushed]).run(feed)[0]
    evaluator = Evaluator([problem.output])

    def moved(h: float) -> torch.Tensor:
        point = dict(problem.feed)
        for i in problem.wanted:
            x = problem.variables[i]
            point[x] = problem.values[i] + h * feed[tangents[x]]
        return evaluator.run(point)[0]

    def five_points(h: float) -> torch.Tensor:
        near, far = moved(h) - moved(-h), moved(2 * h) - moved(-2 * h)
        return ((8 * near - far) / (12 * h)).to(value.dtype)

    h = 2.0 ** round(torch.tensor(eps).log2().item() / 5)
    expected = five_points(h)
    result = difference(expected, got, tolerance)
    if not result.ok:
        left, right = (value - moved(-h)) / h, (moved(h) - value) / h
        steady = difference(five_points(h / 2), expected, 1e3 * tolerance)
        if not (steady.ok and difference(left, right, _KINK).ok):
            result = replace(result, hint='differences disagree: a kink or pole is near, use smooth=False')
    yield problem.finding('jvp', result, tolerance, 'tangent against differences')
