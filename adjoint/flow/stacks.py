"""What the steps of a loop are given and give, one slice a step of tensors with an axis in front."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.rebuild import dependents
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body
from adjoint.ops.creation import Variable

__all__ = ['CHUNK', 'Slices', 'Stacks', 'packed', 'retyped']

_NONE: Mapping[int, tuple[int, torch.Tensor]] = MappingProxyType({})

# So many steps are taken apart, or put together, at once.
CHUNK = 32

_MATRIX = 2


def packed(x: torch.Tensor) -> torch.Tensor:
    """Return a transposed matrix as one whose rows lie in order, by which torch multiplies faster."""
    return x.contiguous() if x.ndim == _MATRIX and x.mT.is_contiguous() else x


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

    def rows(self, steps: Sequence[int]) -> list[tuple[torch.Tensor, ...]]:
        """Return those of some steps, which follow one another."""
        if not self._sequences:
            return [()] * len(steps)
        start, stop = min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1
        found = list(zip(*(x[start:stop].unbind() for x in self._sequences), strict=True))
        return found[::-1] if steps[-1] < steps[0] else found

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
    before : mapping of int to tuple
        Results that are those of another position one step earlier, and are not kept twice: with that
        position, and what comes before the first of these.
    """

    def __init__(
        self,
        node: Node,
        steps: int,
        *,
        reverse: bool,
        before: Mapping[int, tuple[int, torch.Tensor]] = _NONE,
    ) -> None:
        self._node = node
        self._steps = steps
        self._reverse = reverse
        self._before = before if steps else _NONE
        self._first = dict(self._before.values())
        self._filled: list[torch.Tensor] = []
        self._done = 0
        self._recent: list[Sequence[torch.Tensor]] = []
        self._alone = 0  # how many of these came one by one, the first ones

    def extend(self, results: Sequence[Sequence[torch.Tensor]]) -> None:
        """Keep the results of the next steps of a chunk, all of one type, up to its end."""
        if results:
            self._recent += results
            self._stack()

    def put(self, results: Sequence[torch.Tensor]) -> None:
        """Keep the results of the next step."""
        if results:
            self._recent.append(results)
            self._alone = len(self._recent)
            if len(self._recent) == CHUNK or self._done + len(self._recent) == self._steps:
                self._stack()

    def _stack(self) -> None:
        columns = list(zip(*self._recent, strict=True))
        before, self._done = self._done, self._done + len(self._recent)
        for k, column in enumerate(columns):
            if k in self._before:
                if not before:
                    self._filled.append(column[0])  # in its place until all are there
                continue
            more = k in self._first
            first = self._filled[k][-1 if self._reverse else 0] if before else column[0]
            self._check(k, first, column[: self._alone + 1])
            values = [self._first[k], *column] if more and not before else column
            places = slice(before + (more and before > 0), self._done + more)
            if self._reverse:
                values = values[::-1]
                last = self._steps + more
                places = slice(last - places.stop, last - places.start)
            part = torch.stack(values)
            if not before:
                is_all = self._done == self._steps
                size = self._steps + more
                self._filled.append(part if is_all else part.new_empty((size, *part.shape[1:])))
            if self._filled[k] is not part:
                self._filled[k][places] = part
        self._recent, self._alone = [], 0

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
            return self._wholes()
        outputs = retyped(body, [TensorType.of(x) for x in operands])[first:]
        device = operands[0].device if operands else None
        return [self._empty(k, y, device) for k, y in enumerate(outputs)]

    def opened(self) -> list[torch.Tensor]:
        """Return the memory for the results of all steps, which others fill; the first step's are there."""
        results = self._recent[0] if self._recent else ()
        first = -1 if self._reverse else 0
        for k, y in enumerate(results):
            more = k in self._first
            # In its place, one that is in the memory of another.
            size = (self._steps + more) * (k not in self._before)
            self._filled.append(y.new_empty((size, *y.shape)))
            if more:
                self._filled[k][first] = self._first[k]
        found = self._wholes()
        for whole, y in zip(found, results, strict=True):
            whole[first] = y
        self._recent, self._done = [], self._steps
        return found

    def _wholes(self) -> list[torch.Tensor]:
        """Return the results of all steps, each in its order."""
        ahead, behind = (slice(1, None), slice(-1)) if not self._reverse else (slice(-1), slice(1, None))
        found = [x[ahead] if k in self._first else x for k, x in enumerate(self._filled)]
        for k, (after, _) in self._before.items():
            found[k] = self._filled[after][behind]
        return found

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
