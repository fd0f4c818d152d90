"""Values with a pullback of their own: what a ``torch.autograd.Function`` of an imported program becomes."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import NonDifferentiableError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.rebuild import dependents, rebuilt
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Variable, zeros_like
from adjoint.ops.several import items, parts

__all__ = ['CustomGradient', 'Undifferentiable', 'custom_gradient', 'undifferentiable']


class CustomGradient(Op):
    """Values that were computed in some way, with a pullback that was stated for them.

    The inputs are the values, the operands that something flows to, and what else the pullback uses. The
    pullback is a graph of its own: made of variables in the places of the cotangents and of the inputs.
    """

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        return input_values[0] if self.outputs == 1 else tuple(input_values[: self.outputs])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0] if self.outputs == 1 else TensorType(items=tuple(input_types[: self.outputs]))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the stated pullback, with what it was stated for in the places of its variables."""
        values = items(node)
        cts = [
            zeros_like(value) if ct is None else ct
            for value, ct in zip(values, parts(node, output_grad), strict=True)
        ]
        present = [*cts, *values, *node.inputs[self.outputs :]]
        stated: tuple[Node | None, ...] = node.attrs['grads']
        flowing = [g for g in stated if g is not None]
        moved = iter(rebuilt(flowing, dict(zip(node.attrs['stand_ins'], present, strict=True))))
        to_operands = [None if g is None else next(moved) for g in stated]
        if node.attrs['once']:
            to_operands = [None if g is None else undifferentiable(g) for g in to_operands]
        rest = len(node.inputs) - self.outputs - len(stated)
        return [*([None] * self.outputs), *to_operands, *([None] * rest)]

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        """Return the name of the function with its operands."""
        count = len(node.attrs['grads'])
        return f'{node.attrs["function"]}({", ".join(operands[self.outputs : self.outputs + count])})'


class Undifferentiable(Op):
    """``a`` itself; a derivative of it is an error, since none was written."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        msg = (
            f'the backward of a torch.autograd.Function is marked once_differentiable, so it has no second '
            f'derivative: write it without the mark\n{node.location}'
        )
        raise NonDifferentiableError(msg)


undifferentiable = Undifferentiable()


def custom_gradient(
    function: str,
    values: Sequence[Node],
    operands: Sequence[Node],
    cts: Sequence[Node],
    grads: Sequence[Node | None],
    *,
    once: bool = False,
) -> tuple[Node, ...]:
    """Return values with a pullback that is stated for them.

    Parameters
    ----------
    function : str
        Its name, for people.
    values : sequence of Node
        What was computed.
    operands : sequence of Node
        What something may flow to.
    cts : sequence of Node
        Variables that stand for the cotangents of ``values``.
    grads : sequence of Node or None
        The cotangents of ``operands``, made of ``cts`` and of any other nodes, which count as constant.
    once : bool
        Whether the pullback has no derivative.

    Returns
    -------
    tuple of Node
        One for each of ``values``, equal to it.
    """
    stated = [g for g in grads if g is not None]
    depending = dependents(stated, cts)
    own = {*values, *operands, *depending}
    used = dict.fromkeys(x for n in [*depending, *stated] for x in (*n.inputs, n) if x not in own)
    inputs = [*values, *operands, *used]
    stand_ins = [_stand_in(node) for node in inputs]
    body = iter(rebuilt(stated, dict(zip(inputs, stand_ins, strict=True))))
    attrs = {
        'function': function,
        'stand_ins': (*cts, *stand_ins),
        'grads': tuple(None if g is None else next(body) for g in grads),
        'once': once,
    }
    return items(Node(inputs, CustomGradient(len(values)), attrs))


def _stand_in(node: Node) -> Node:
    known = node.type
    return Variable('') if known is None else Variable('', known.shape, known.dtype, known.device)
