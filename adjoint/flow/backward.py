"""The step of the loop that runs against another one, and what it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass

from adjoint.core.node import Node
from adjoint.flow.steps import Operands, operands_of, pulled_step
from adjoint.ops.body import Body, variable_like
from adjoint.ops.creation import zeros_like
from adjoint.ops.several import items

__all__ = ['Backward']


@dataclass(frozen=True, slots=True)
class Backward:
    """The pullback of a loop as a step, which runs from the last step of the loop to the first.

    It carries the cotangents of the carries, and those of the constants as far as they are added up. Its
    results are the cotangents of the sequences.

    Parameters
    ----------
    inputs : Operands
        Of the step: cotangents; slices of the sequences of the loop, and of the cotangents of its results;
        the constants of the loop. It is given the ``states`` too.
    states : list of Node
        Its further inputs: the carries that the loop gave to the step.
    outputs : list of Node
        Of the step.
    operands : Operands
        What the inputs start from, or are slices of.
    places : list of int
        The inputs of the loop that its outputs are the cotangents of.
    """

    inputs: Operands[Node]
    states: list[Node]
    outputs: list[Node]
    operands: Operands[Node]
    places: list[int]

    @classmethod
    def of(cls, node: Node, cts: Sequence[Node | None]) -> 'Backward':
        """Return the pullback of the node of a loop, given the cotangents of its outputs."""
        body: Body = node.attrs['body']
        own, inside = operands_of(node, node.inputs), operands_of(node, body.inputs)
        carries, before = len(own.carries), len(own.carries) + len(own.sequences)
        pulled = pulled_step(body, carries, cts)
        found = dict(zip(pulled.reached, pulled.body.outputs, strict=True))
        flowing, results = pulled.cts[: len(pulled.carries)], pulled.cts[len(pulled.carries) :]
        constants = [i for i in pulled.reached if i >= before]
        sums = [variable_like(body.inputs[i], 'ct') for i in constants]
        after = [
            found[i] if i in found else zeros_like(ct) for i, ct in zip(pulled.carries, flowing, strict=True)
        ]
        sequences = [i for i in pulled.reached if carries <= i < before]
        last = items(node)
        first = [zeros_like(last[i]) if (ct := cts[i]) is None else ct for i in pulled.carries]
        given = [ct for ct in cts[carries:] if ct is not None]
        return cls(
            Operands([*flowing, *sums], [*inside.sequences, *results], inside.constants, []),
            inside.carries,
            [
                *after,
                *(total + found[i] for total, i in zip(sums, constants, strict=True)),
                *(found[i] for i in sequences),
            ],
            Operands(
                [*first, *(zeros_like(node.inputs[i]) for i in constants)],
                [*own.sequences, *given],
                own.constants,
                own.count,
            ),
            [*pulled.carries, *constants, *sequences],
        )

    def to_inputs(self, node: Node, found: Sequence[Node]) -> list[Node | None]:
        """Return the outputs of the loop that runs backwards as the cotangents of the inputs of the node."""
        at = dict(zip(self.places, found, strict=False))
        return [at.get(i) for i in range(len(node.inputs))]
