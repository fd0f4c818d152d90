"""What a body that is applied step by step has for operands, and what flows from step to step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from adjoint.autodiff.bodies import pulled_back, pushed_forward
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.flow.holder import is_moving
from adjoint.ops.body import Body
from adjoint.ops.creation import zeros_like

__all__ = [
    'Operands', 'Pulled', 'Pushed', 'live_carries', 'operands_of', 'present', 'pulled_step', 'pushed_step',
    'started',
]  # fmt: skip

T = TypeVar('T')


@dataclass(frozen=True, slots=True)
class Operands(Generic[T]):
    """The operands of a loop, or of its body, or what belongs to each of them.

    Parameters
    ----------
    carries : list
        What the first step is given; in the body, what any step is.
    sequences : list
        Of which each step is given a slice.
    constants : list
        What every step is given.
    count : list
        The number of steps, where it is an operand.
    """

    carries: list[T]
    sequences: list[T]
    constants: list[T]
    count: list[T]

    @property
    def of_body(self) -> list[T]:
        """What belongs to the inputs of the body, in order."""
        return [*self.carries, *self.sequences, *self.constants]

    def followed_by(self, other: 'Operands[T | None]') -> 'Operands[T]':
        """Return the operands, those of each sort followed by those of others that are there."""
        return Operands(
            [*self.carries, *present(other.carries)],
            [*self.sequences, *present(other.sequences)],
            [*self.constants, *present(other.constants)],
            self.count,
        )


def operands_of(node: Node, values: Sequence[T]) -> Operands[T]:
    """Sort what belongs to the operands of the node of a loop, or to the inputs of its body."""
    carries: int = node.attrs['carries']
    constants: int = carries + node.attrs['sequences']
    count = len(node.attrs['body'].inputs)
    return Operands(
        list(values[:carries]),
        list(values[carries:constants]),
        list(values[constants:count]),
        list(values[count:]),
    )


def present(values: Iterable[T | None]) -> list[T]:
    """Return those of the values that are there."""
    return [x for x in values if x is not None]


def started(
    carries: Sequence[Node], tangents: Sequence[Node | None], moving: Sequence[Node | None]
) -> list[Node | None]:
    """Return the tangents that the carries of a loop start with, of those that move in any step."""
    return [
        None if moves is None else zeros_like(x) if t is None else t
        for x, t, moves in zip(carries, tangents, moving, strict=True)
    ]


def live_carries(body: Body, carries: int, outputs: Iterable[int]) -> list[int]:
    """Return the carries that some outputs of the last step depend on, over any number of steps."""
    needed = sorted(set(outputs))
    while True:
        behind = [i for i in body.used_by(needed) if i < carries]
        grown = sorted({*needed, *behind})
        if grown == needed:
            return [i for i in needed if i < carries]
        needed = grown


@dataclass(frozen=True, slots=True)
class Pulled:
    """The pullback of a step.

    Parameters
    ----------
    body : Body
        Its inputs are those of the step, then the cotangents of ``carries`` and of ``results``; its outputs
        are the cotangents of ``reached``.
    carries : list of int
        The carries that a cotangent flows to in any step.
    results : list of int
        The results of a step, by position among them, that have cotangents.
    reached : tuple of int
        The inputs of the step that something flows to.
    """

    body: Body
    carries: list[int]
    results: list[int]
    reached: tuple[int, ...]

    @property
    def cts(self) -> tuple[Node, ...]:
        """The inputs that are cotangents."""
        return self.body.inputs[len(self.body.inputs) - len(self.carries) - len(self.results) :]


def pulled_step(body: Body, carries: int, cts: Sequence[Node | None]) -> Pulled:
    """Return the pullback of a step, given the cotangents of the last carries and of the results."""
    wanted = [i for i, x in enumerate(body.inputs) if is_moving(x)]
    results = [i for i, ct in enumerate(cts[carries:]) if ct is not None]

    def pulled(flowing: list[int]) -> Pulled:
        made, reached = pulled_back(body, wanted, [*flowing, *(carries + i for i in results)])
        return Pulled(made, flowing, results, reached)

    every = [i for i in range(carries) if is_moving(body.inputs[i]) and is_moving(body.outputs[i])]
    found = pulled(every)
    masks = _sources(found.body.outputs, found.cts)
    behind = {i: mask for i, mask in zip(found.reached, masks, strict=True) if i < carries}
    flowing = _spread(behind, every, [i for i in every if cts[i] is not None])
    return found if flowing == every else pulled(flowing)


@dataclass(frozen=True, slots=True)
class Pushed:
    """The pushforward of a step.

    Parameters
    ----------
    body : Body
        Its inputs are those of the step, then the tangents of ``moving``; its outputs are the tangents of
        ``reached``.
    moving : list of int
        The inputs of the step that move in any step.
    reached : tuple of int
        The outputs of the step that move.
    """

    body: Body
    moving: list[int]
    reached: tuple[int, ...]

    def of_inputs(self, step: Body) -> list[Node | None]:
        """Return the tangent of each input of the step, as an input of the pushforward."""
        at = dict(zip(self.moving, self.body.inputs[len(step.inputs) :], strict=True))
        return [at.get(i) for i in range(len(step.inputs))]

    def of_outputs(self, step: Body, carries: Sequence[Node | None]) -> list[Node | None]:
        """Return the tangent of each output of the step; of a carry that comes to rest, zeros."""
        at = dict(zip(self.reached, self.body.outputs, strict=True))
        at |= {i: zeros_like(t) for i, t in enumerate(carries) if t is not None and i not in at}
        return [at.get(i) for i in range(len(step.outputs))]


def pushed_step(body: Body, carries: int, tangents: Sequence[Node | None]) -> Pushed:
    """Return the pushforward of a step, given the tangents of the first carries, sequences and constants."""
    others = [i for i, t in enumerate(tangents) if i >= carries and t is not None]
    every = [i for i in range(carries) if is_moving(body.inputs[i]) and is_moving(body.outputs[i])]

    def pushed(flowing: list[int]) -> Pushed:
        made, reached = pushed_forward(body, [*flowing, *others])
        return Pushed(made, [*flowing, *others], reached)

    found = pushed(every)
    masks = _sources(found.body.outputs, found.body.inputs[len(body.inputs) :])
    behind = {i: mask for i, mask in zip(found.reached, masks, strict=True) if i < carries}
    flowing = _spread(behind, every, [i for i in every if tangents[i] is not None])
    return found if flowing == every else pushed(flowing)


def _spread(behind: Mapping[int, int], every: Sequence[int], start: Sequence[int]) -> list[int]:
    """Return the carries that something flows to in any step.

    Parameters
    ----------
    behind
        For each carry that is reached, what reaches it in one step, as a mask: a bit for each of ``every``,
        and further ones for what flows in from outside at each step.
    every
        The carries that something can flow to.
    start
        Those that something flows to before the first step.
    """
    flowing = set(start)
    while True:
        present = ~0 << len(every)
        for k, i in enumerate(every):
            present |= (i in flowing) << k
        grown = flowing | {i for i, mask in behind.items() if mask & present}
        if grown == flowing:
            return sorted(flowing)
        flowing = grown


def _sources(nodes: Sequence[Node], variables: Sequence[Node]) -> list[int]:
    """Return which of the variables each node depends on, as a mask."""
    masks = {x: 1 << k for k, x in enumerate(variables)}
    for node in topological_sort(nodes):
        if node not in masks:
            mask = 0
            for x in node.inputs:
                mask |= masks[x]
            masks[node] = mask
    return [masks[node] for node in nodes]
