"""The kind of the ops that are written with others, and that one kernel computes where it can."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.ops.several import joined, parts, plus

__all__ = ['Composed']


class Composed(Op):
    """Kind of the ops that state how they are written with others; their derivatives follow from it."""

    def written(self, node: Node) -> Sequence[Node]:
        """Return the outputs of a node, made of its inputs by other ops."""
        raise NotImplementedError

    def by_parts(self, node: Node, input_values: Sequence[torch.Tensor]) -> list[Any]:
        """Return the values of the outputs as the other ops compute them."""
        values: dict[Node, Any] = dict(zip(node.inputs, input_values, strict=True))
        outputs = self.written(node)
        for each in topological_sort(outputs, behind=node.inputs):
            if each not in values:
                values[each] = each.op.compute(each, [values[x] for x in each.inputs])
        return [values[y] for y in outputs]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the pullback through the other ops."""
        outputs = self.written(node)
        pairs = zip(outputs, parts(node, output_grad), strict=True)
        cts = {y: ct for y, ct in pairs if ct is not None}
        inputs = set(node.inputs)
        for each in reversed(topological_sort(outputs, behind=inputs)):
            if each in inputs or each not in cts:
                continue
            for x, ct in zip(each.inputs, each.op.gradient(each, cts.pop(each)), strict=True):
                if ct is not None:
                    cts[x] = plus(cts[x], ct) if x in cts else ct
        # Of an input that stands there twice, the cotangent is that of both.
        return [cts.pop(x, None) for x in node.inputs]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the pushforward through the other ops."""
        tangents = {x: t for x, t in zip(node.inputs, input_tangents, strict=True) if t is not None}
        outputs = self.written(node)
        inputs = set(node.inputs)
        for each in topological_sort(outputs, behind=inputs):
            given = [tangents.get(x) for x in each.inputs]
            if each not in inputs and any(t is not None for t in given):
                t = each.op.jvp(each, given)
                if t is not None:
                    tangents[each] = t
        found = [tangents.get(y) for y in outputs]
        return None if all(t is None for t in found) else joined(found)
