"""The choice between bodies: only the one that is chosen is run."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from adjoint.autodiff.bodies import pulled_back, pushed_forward
from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.flow.batching import every_batched, of_each, together, written_out
from adjoint.flow.holder import Holder, common_type, is_moving
from adjoint.ops.body import Body
from adjoint.ops.creation import zeros_like
from adjoint.ops.select import where
from adjoint.ops.several import items, joined, parts
from adjoint.ops.shape import reshape
from adjoint.ops.step import ge

__all__ = ['Cond', 'chosen']


class Cond(Holder):
    """The outputs of one of several bodies, all given the same operands.

    The first operand says which: the position of the body, held to those there are, or a truth value, for
    which the second of two bodies is taken where it is true. ``attrs['branches']`` holds the bodies.

    Notes
    -----
    The pullback is the choice between the pullbacks of the bodies, so that nothing of a branch that was not
    taken is computed, not even for a derivative. Nothing flows to the first operand.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        which, *operands = input_values
        branches: tuple[Body, ...] = node.attrs['branches']
        return self.valued(node, branches[_position(node, which)].run(operands))

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        branches: tuple[Body, ...] = node.attrs['branches']
        outputs = zip(*(body.outputs for body in branches), strict=True)
        return self.typed(node, [common_type(y.type for y in alike) for alike in outputs])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        which, *operands = node.inputs
        branches: tuple[Body, ...] = node.attrs['branches']
        cts = parts(node, output_grad)
        flowing = [i for i, ct in enumerate(cts) if ct is not None]
        wanted = [i for i, x in enumerate(operands) if is_moving(x)]
        pulled = [pulled_back(body, wanted, flowing) for body in branches]
        reached = sorted({i for _, own in pulled for i in own})
        filled = [
            Body(body.inputs, _in_places(reached, own, body.outputs, body.inputs)) for body, own in pulled
        ]
        found = chosen(which, filled, [*operands, *(ct for ct in cts if ct is not None)])
        to_operands = dict(zip(reached, found, strict=True))
        return [None, *(to_operands.get(i) for i in range(len(operands)))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        which, *operands = node.inputs
        _, *tangents = input_tangents
        branches: tuple[Body, ...] = node.attrs['branches']
        moving = [i for i, t in enumerate(tangents) if t is not None]
        pushed = [pushed_forward(body, moving) for body in branches]
        reached = sorted({i for _, own in pushed for i in own})
        filled = [
            Body(moved.inputs, _in_places(reached, own, moved.outputs, body.outputs))
            for body, (moved, own) in zip(branches, pushed, strict=True)
        ]
        found = chosen(which, filled, [*operands, *(t for t in tangents if t is not None)])
        of_outputs = dict(zip(reached, found, strict=True))
        return joined([of_outputs.get(i) for i in range(self.outputs)]) if reached else None

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return the choice between the bodies on a batch; if each example chooses, all are computed."""
        which, *operands = node.inputs
        by_example, *batches = input_batches
        branches: tuple[Body, ...] = node.attrs['branches']
        if by_example is not None:
            found = written_out(_by_entry(branches), node.inputs, input_batches)
        else:
            found = chosen(
                which, [every_batched(body, batches) for body in branches], of_each(operands, batches)
            )
        return together(found)

    def restricted(self, node: Node, used: Collection[int]) -> Node:
        which, *operands = node.inputs
        branches: tuple[Body, ...] = node.attrs['branches']
        places = sorted(used)
        bodies = [Body(body.inputs, [body.outputs[i] for i in places]) for body in branches]
        bodies, operands = _trimmed(bodies, operands)
        return Node([which, *operands], self, {**node.attrs, 'branches': bodies, 'places': tuple(places)})


def chosen(which: Node, branches: Sequence[Body], operands: Sequence[Node]) -> tuple[Node, ...]:
    """Return the outputs of the body that ``which`` says, each as a node.

    Parameters
    ----------
    which : Node
        A truth value, for two bodies of which the second is taken where it is true; or a position, held to
        those there are.
    branches : sequence of Body
        With as many inputs as there are operands, and as many outputs each.
    operands : sequence of Node
        Those that no body uses are left out.
    """
    count = len(branches[0].outputs)
    if count == 0:
        return ()
    bodies, used = _trimmed(branches, operands)
    return items(Node([which, *used], Cond(count), {'branches': bodies}))


def _by_entry(branches: Sequence[Body]) -> Callable[[Sequence[Node]], list[Node]]:
    """Return what computes all of the bodies, and chooses from their outputs."""

    def build(given: Sequence[Node]) -> list[Node]:
        which, *operands = given
        position = reshape(which, ())
        first, *others = (body.inline(operands) for body in branches)
        found = first
        for i, outputs in enumerate(others, start=1):
            is_chosen = ge(position, i)
            found = [where(is_chosen, y, before) for y, before in zip(outputs, found, strict=True)]
        return found

    return build


def _trimmed(branches: Sequence[Body], operands: Sequence[Node]) -> tuple[tuple[Body, ...], list[Node]]:
    """Return bodies and operands without those that none of the bodies uses."""
    used = sorted({i for body in branches for i in body.used_by(range(len(body.outputs)))})
    bodies = tuple(Body([body.inputs[i] for i in used], body.outputs) for body in branches)
    return bodies, [operands[i] for i in used]


def _in_places(
    reached: Sequence[int], own: Sequence[int], found: Sequence[Node], like: Sequence[Node]
) -> list[Node]:
    """Return what flows in one branch at the places that something flows to in any; else zeros."""
    at = dict(zip(own, found, strict=True))
    return [at[i] if i in at else zeros_like(like[i]) for i in reached]


def _position(node: Node, which: torch.Tensor) -> int:
    if which.numel() != 1:
        msg = (
            f'cond takes one truth value or position, and got {TensorType.of(which)}: choose entry by entry '
            f'with where(condition, a, b)\n{node.location}'
        )
        raise ShapeError(msg)
    branches: tuple[Body, ...] = node.attrs['branches']
    return min(max(int(which), 0), len(branches) - 1)
