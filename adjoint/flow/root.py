"""The root of a body: a solution that is found in some way, and differentiated by what it solves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from adjoint.autodiff.batching.bodies import batched_body
from adjoint.autodiff.batching.walk import check_mappable
from adjoint.autodiff.bodies import pulled_back, pushed_forward
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.flow.batching import of_each, together
from adjoint.flow.holder import Holder, is_moving
from adjoint.flow.linear_solve import LinearSolver, solve_linear
from adjoint.flow.map import mapped
from adjoint.ops.batch import spread
from adjoint.ops.body import Body, variable_like
from adjoint.ops.creation import zeros_like
from adjoint.ops.several import items, joined, parts

__all__ = ['Root', 'Solver', 'root_of']

# From a body and the values of its operands to its root; raises where it does not find one.
Solver: TypeAlias = Callable[[Body, Sequence[torch.Tensor]], list[torch.Tensor]]


class Root(Holder):
    """The ``x`` at which ``attrs['body']`` is zero, as ``attrs['solver']`` finds it.

    The first inputs of the body are ``x``, as many as it has outputs, the others the operands of the node.

    Notes
    -----
    By the implicit function theorem, of ``g(x, a) = 0`` the derivative of ``x`` by ``a`` is ``-J⁻¹ K``, with
    ``J`` and ``K`` those of ``g`` by ``x`` and by ``a``. Neither is written out: both modes solve a linear
    system, which is the root of a body again, so that every order of derivative exists. How the root was
    found is not differentiated.
    """

    vectorises = False  # a solver looks at numbers

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        solver: Solver = node.attrs['solver']
        return self.valued(node, solver(node.attrs['body'], input_values))

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        body: Body = node.attrs['body']
        return self.typed(node, [x.type for x in body.inputs[: self.outputs]])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        body: Body = node.attrs['body']
        count = self.outputs
        xs, point = self._point(node)
        given = zip(parts(node, output_grad), xs, strict=True)
        cts = [zeros_like(x) if ct is None else ct for ct, x in given]
        transposed, reached = pulled_back(body, range(count), range(count))
        vs = _solution(transposed, reached, body.outputs, point, cts, _linear(node))
        wanted = [i for i in range(count, len(body.inputs)) if is_moving(body.inputs[i])]
        pulled, flowing = pulled_back(body, wanted, range(count))
        found = dict(zip(flowing, pulled.inline([*point, *vs]), strict=True))
        return [-found[i] if i in found else None for i in range(count, len(body.inputs))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        body: Body = node.attrs['body']
        count = self.outputs
        xs, point = self._point(node)
        moving = [count + i for i, t in enumerate(input_tangents) if t is not None]
        pushed, flowing = pushed_forward(body, moving)
        if not flowing:
            return None
        given = pushed.inline([*point, *(t for t in input_tangents if t is not None)])
        moved = dict(zip(flowing, given, strict=True))
        rhs = [-moved[i] if i in moved else zeros_like(x) for i, x in enumerate(xs)]
        forward, reached = pushed_forward(body, range(count))
        return joined(_solution(forward, reached, body.inputs[:count], point, rhs, _linear(node)))

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return the roots: of linear systems all at once, of others by the solver for each example."""
        solver: Solver = node.attrs['solver']
        if not isinstance(solver, LinearSolver):
            check_mappable(node)
            return mapped(node, input_batches)
        body: Body = node.attrs['body']
        like = next(b for b in input_batches if b is not None)
        at = len(node.inputs) - self.outputs
        rhs = [
            spread(x, like) if b is None else b
            for x, b in zip(node.inputs[at:], input_batches[at:], strict=True)
        ]
        given = [*input_batches[:at], *rhs]
        every, _ = batched_body(body, [*rhs, *given], range(self.outputs))
        return together(root_of(every, of_each(node.inputs, given), LinearSolver(solver.batch_axes + 1)))

    def _point(self, node: Node) -> tuple[list[Node], list[Node]]:
        """Return the root, and the root with the operands: where derivatives of the body are taken."""
        xs = [node] if self.outputs == 1 else list(items(node))
        return xs, [*xs, *node.inputs]


def _solution(
    mapped: Body,
    reached: Sequence[int],
    unknowns: Sequence[Node],
    point: Sequence[Node],
    rhs: Sequence[Node],
    solver: LinearSolver,
) -> list[Node]:
    """Return the ``v`` with ``mapped(point, v) = rhs``, of a body that is linear in ``v``."""
    vs = [variable_like(v, f'v{i}') for i, v in enumerate(unknowns)]
    at = [variable_like(x, x.name) for x in mapped.inputs[: len(point)]]
    targets = [variable_like(b, f'b{i}') for i, b in enumerate(rhs)]
    products = dict(zip(reached, mapped.inline([*at, *vs]), strict=True))
    residuals = [products[i] - b if i in products else -b for i, b in enumerate(targets)]
    system = Body([*vs, *at, *targets], residuals)
    return root_of(system, [*point, *rhs], solver)


def _linear(node: Node) -> LinearSolver:
    """Return what solves the linear systems of the derivatives of a node: examples stay apart."""
    solver: Solver = node.attrs['solver']
    return solver if isinstance(solver, LinearSolver) else solve_linear


def root_of(
    body: Body, operands: Sequence[Node], solver: Solver, attrs: Mapping[str, Any] | None = None
) -> list[Node]:
    """Return the root of a body for operands, as outputs of one node."""
    count = len(body.outputs)
    node = Node(operands, Root(count), {'body': body, 'solver': solver, **(attrs or {})})
    return [node] if count == 1 else list(items(node))
