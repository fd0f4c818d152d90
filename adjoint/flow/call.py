"""The call: a body as one node. What it computes on the way is not kept for the derivative."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.autodiff.bodies import pulled_back, pushed_forward
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.flow.batching import every_batched, of_each, together
from adjoint.flow.holder import Holder, is_moving
from adjoint.ops.body import Body
from adjoint.ops.several import items, joined, parts

__all__ = ['Call', 'called']


class Call(Holder):
    """The outputs of ``attrs['body']`` for the operands.

    Notes
    -----
    The pullback is a call as well: of the pulled-back body, which computes again what it needs of the body.
    So a run keeps the operands of the node until then, and nothing else of it.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        body: Body = node.attrs['body']
        return self.valued(node, body.run(input_values))

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        body: Body = node.attrs['body']
        return self.typed(node, [y.type for y in body.outputs])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        body: Body = node.attrs['body']
        cts = parts(node, output_grad)
        flowing = [i for i, ct in enumerate(cts) if ct is not None]
        wanted = [i for i, x in enumerate(node.inputs) if is_moving(x)]
        pulled, reached = pulled_back(body, wanted, flowing)
        found = called(pulled, [*node.inputs, *(ct for ct in cts if ct is not None)])
        to_operands = dict(zip(reached, found, strict=True))
        return [to_operands.get(i) for i in range(len(node.inputs))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        body: Body = node.attrs['body']
        moving = [i for i, t in enumerate(input_tangents) if t is not None]
        pushed, reached = pushed_forward(body, moving)
        if not reached:
            return None
        found = called(pushed, [*node.inputs, *(t for t in input_tangents if t is not None)])
        tangents = dict(zip(reached, found, strict=True))
        return joined([tangents.get(i) for i in range(self.outputs)])

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        body = every_batched(node.attrs['body'], input_batches)
        return together(called(body, of_each(node.inputs, input_batches)))


def called(body: Body, operands: Sequence[Node]) -> list[Node]:
    """Return the outputs of a body for operands, as outputs of one node."""
    if not body.outputs:
        return []
    node = Node(operands, Call(len(body.outputs)), {'body': body})
    return [node] if len(body.outputs) == 1 else list(items(node))
