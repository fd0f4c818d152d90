"""What the steps of a loop are given and give, one slice a step of tensors with an axis in front."""

from collections.abc import Sequence

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.rebuild import dependents
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body
from adjoint.ops.creation import Variable

__all__ = ['CHUNK', 'Slices', 'Stacks', 'retyped']

# So many steps are taken apart, or put together, at once.
CHUNK = 32


class Slices:
    """The slices of sequences along their first axis, step by step.

    Parameters
    ----------
    sequences : sequence of torch.Tensor
        All as long.
    """

    def __init__(self, sequences: Sequence[torch.Tensor]) -> None:
        self._sequences = sequences
        self._chunk = -1
        self._slices: Sequence[tuple[torch.Tensor, ...]] = [()] * CHUNK

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        chunk, within = divmod(step, CHUNK)
        if chunk != self._chunk and self._sequences:
            start = chunk * CHUNK
            parts = [x[start : start + CHUNK].unbind() for x in self._sequences]
            self._slices = list(zip(*parts, strict=False))  # what is longer has more than is used
            self._chunk = chunk
        return self._slices[within]


class Stacks:
    """The results of a loop, filled step by step.

    Parameters
    ----------
    node : Node
        For messages.
    steps : int
        How many there are.
    reverse : bool
        Whether the last ones come first.
    """

    def __init__(self, node: Node, steps: int, *, reverse: bool) -> None:
        self._node = node
        self._steps = steps
        self._reverse = reverse
        self._filled: list[torch.Tensor] = []
        self._done = 0
        self._recent: list[Sequence[torch.Tensor]] = []

    def put(self, results: Sequence[torch.Tensor]) -> None:
        """Keep the results of the next step."""
        if results:
            self._recent.append(results)
            if len(self._recent) == CHUNK or self._done + len(self._recent) == self._steps:
                self._stack()

    def _stack(self) -> None:
        columns = list(zip(*self._recent, strict=True))
        before, self._done = self._done, self._done + len(self._recent)
        places = slice(before, self._done)
        if self._reverse:
            columns = [column[::-1] for column in columns]
            places = slice(self._steps - self._done, self._steps - before)
        for k, column in enumerate(columns):
            self._check(k, self._filled[k][-1 if self._reverse else 0] if before else column[0], column)
            part = torch.stack(column)
            if not before:
                is_all = self._done == self._steps
                self._filled.append(part if is_all else part.new_empty((self._steps, *part.shape[1:])))
            if self._filled[k] is not part:
                self._filled[k][places] = part
        self._recent = []

    def _check(self, position: int, first: torch.Tensor, column: Sequence[torch.Tensor]) -> None:
        for y in column:
            if y.shape != first.shape or y.dtype != first.dtype:
                msg = (
                    f'result {position} of a loop is {TensorType.of(first)} in one step and '
                    f'{TensorType.of(y)} in another, and they have to be stacked\n{self._node.location}'
                )
                raise ShapeError(msg)

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
