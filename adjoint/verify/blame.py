"""Where a wrong derivative comes from: the place of a rule, and the nodes whose own rule is wrong."""

import inspect
from pathlib import Path

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.ops.creation import Variable
from adjoint.verify.compare import compare
from adjoint.verify.maps import Derivatives, Map, magnitude
from adjoint.verify.numeric import estimate_gradient
from adjoint.verify.references import by_autograd
from adjoint.verify.samples import has_derivative

__all__ = ['culprits', 'rule_of', 'single_op']

_FACTS = ('partial', 'partials', 'adjoint', 'gradient')

# A wrong rule is looked for among this many different ops, with operands of at most so many entries.
_OPS, _ENTRIES = 60, 256

_LOOSE = 1e-6


def rule_of(op: Op) -> str:
    """Return where the derivative of an op is stated: ``Sin.partial, adjoint/ops/trigonometric.py:31``."""
    for owner in type(op).__mro__:
        for fact in _FACTS:
            if fact in vars(owner):
                return f'{owner.__name__}.{fact}{_place(vars(owner)[fact])}'
    return type(op).__name__


def _place(rule: object) -> str:
    try:
        file = inspect.getsourcefile(rule)  # pyright: ignore[reportArgumentType] it raises for what is no function
        line = inspect.getsourcelines(rule)[1]  # pyright: ignore[reportArgumentType] same
    except (OSError, TypeError):
        return ''
    path = Path(file or '')
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f', {path}:{line}'


def single_op(of: Map) -> Node | None:
    """Return the node of a map that is one op on inputs and constants, else ``None``."""
    if len(of.outputs) != 1 or of.outputs[0] in of.inputs:
        return None
    (y,) = of.outputs
    given = set(of.inputs)
    return y if y.inputs and all(x in given or not x.inputs for x in y.inputs) else None


def culprits(derivatives: Derivatives) -> list[str]:
    """Return the nodes of a graph whose rule is wrong on its own, with the place of the rule.

    Each op is taken out of the graph, with the values of its operands, and its gradient compared with
    torch's, or with numeric differentiation where torch records nothing.
    """
    of = derivatives.map
    nodes = [n for n in topological_sort(of.outputs, behind=of.inputs) if n.inputs]
    first = list({n.op: n for n in reversed(nodes)}.values())[:_OPS]
    wanted = [x for node in first for x in node.inputs]
    values = dict(zip(wanted, derivatives.run(wanted, of.feed()), strict=True))
    return [
        f'{rule_of(node.op)}\nis wrong on its own at node {node}\n{node.location}'
        for node in reversed(first)
        if _is_wrong(node, [values[x] for x in node.inputs])
    ]


def _is_wrong(node: Node, values: list[torch.Tensor]) -> bool:
    variables = [Variable(str(x)) for x in node.inputs]
    moving = tuple(i for i, v in enumerate(values) if has_derivative(v))
    alone = Node(variables, node.op, node.attrs)
    derivatives = Derivatives(Map(tuple(variables), tuple(values), (alone,), moving, str(node)))
    try:
        expected = _witnessed(derivatives)
        got = derivatives.pulled_values
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, IndexError):
        return False  # said where the claim itself failed
    floors = [magnitude(derivatives.outputs, [*derivatives.seeds.values()], values[i]) / 100 for i in moving]
    return any(
        w is not None and not compare(g, w, _LOOSE, floor).ok
        for g, w, floor in zip(got, expected, floors, strict=True)
    )


def _witnessed(derivatives: Derivatives) -> list[torch.Tensor | None]:
    of = derivatives.map
    found = by_autograd(
        of.outputs, of.feed(), [of.inputs[i] for i in of.moving], [*derivatives.seeds.values()]
    )
    return [numeric_gradient(derivatives, k) if g is None else g for k, g in enumerate(found)]


def numeric_gradient(derivatives: Derivatives, k: int) -> torch.Tensor | None:
    """Return the gradient by a moving input entry by entry from differences; ``None`` if it is large."""
    of = derivatives.map
    node, value = of.inputs[of.moving[k]], of.values[of.moving[k]]
    if value.numel() > _ENTRIES:
        return None
    cts = list(derivatives.seeds.values())

    def paired(moved: torch.Tensor) -> torch.Tensor:
        results = derivatives.run(of.outputs, {**of.feed(), node: moved})
        differentiable = [r for r in results if has_derivative(r)]
        return torch.stack(
            [(ct.conj() * r).real.sum() for ct, r in zip(cts, differentiable, strict=True)]
        ).sum()

    return estimate_gradient(paired, value, method='five-point').value
