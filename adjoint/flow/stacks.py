"""What the steps of a loop give, one slice a step, as tensors with an axis in front."""

from collections.abc import Sequence

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.rebuild import dependents
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body
from adjoint.ops.creation import Variable

__all__ = ['Stacks', 'check_carries', 'retyped']


class Stacks:
    """The results of a loop, filled step by step, in any order.

    Parameters
    ----------
    node : Node
        For messages.
    steps : int
        How many there are.
    """

    def __init__(self, node: Node, steps: int) -> None:
        self._node = node
        self._steps = steps
        self._filled: list[torch.Tensor] = []

    def put(self, step: int, results: Sequence[torch.Tensor]) -> None:
        """Keep the results of a step."""
        if not self._filled:
            self._filled = [y.new_empty((self._steps, *y.shape)) for y in results]
        for k, (y, whole) in enumerate(zip(results, self._filled, strict=True)):
            if y.shape != whole.shape[1:] or y.dtype != whole.dtype:
                msg = (
                    f'result {k} of a loop is {TensorType.of(whole[0])} in one step and {TensorType.of(y)} '
                    f'in another, and they have to be stacked\n{self._node.location}'
                )
                raise ShapeError(msg)
            whole[step] = y

    def taken(self, body: Body, first: int, operands: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the results.

        Parameters
        ----------
        body : Body
            Of a step; its outputs from ``first`` on are the results.
        first : int
            Where the results begin.
        operands : sequence of torch.Tensor
            What a step is given: of these, a loop without steps takes the types of its results.
        """
        if self._steps or self._filled:
            return self._filled
        outputs = retyped(body, [TensorType.of(x) for x in operands])[first:]
        device = operands[0].device if operands else None
        return [self._empty(k, y, device) for k, y in enumerate(outputs)]

    def _empty(self, position: int, y: Node, device: torch.device | None) -> torch.Tensor:
        known = y.type
        if known is None or not known.is_static:
            msg = (
                f'result {position} of a loop of no steps has sizes that depend on values, and so is not '
                f'known: {y}\n{self._node.location}'
            )
            raise ShapeError(msg)
        sizes = [s for s in known.shape or () if isinstance(s, int)]
        return torch.empty([0, *sizes], dtype=known.dtype, device=known.device or device)


def retyped(body: Body, types: Sequence[TensorType]) -> list[Node]:
    """Return the outputs of a body for inputs of other types, with types that follow from these."""
    made = {x: Variable(x.name, t.shape, t.dtype, t.device) for x, t in zip(body.inputs, types, strict=True)}
    for node in dependents(body.outputs, body.inputs):
        if node not in made:
            made[node] = Node([made.get(x, x) for x in node.inputs], node.op, node.attrs, node.given_name)
    return [made.get(y, y) for y in body.outputs]


def check_carries(node: Node, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> None:
    """See that the carries keep their types.

    Raises
    ------
    ShapeError
        One does not.
    """
    for k, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            msg = (
                f'carry {k} of a loop is {TensorType.of(a)} before a step and {TensorType.of(b)} after it, '
                f'and has to stay of one type: start from what the body returns, or cast in the body'
                f'\n{node.location}'
            )
            raise ShapeError(msg)
