"""The loop that goes on while a condition holds."""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from adjoint.autodiff.batching.bodies import batched_body
from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.flow.batching import batched_step, of_each, together
from adjoint.flow.holder import Holder, common_type
from adjoint.flow.scan import Scan, loop_node
from adjoint.flow.stepping import Carried, Stepping
from adjoint.flow.steps import Operands, operands_of, present, pushed_step, started
from adjoint.flow.sweep import CheckpointedScan
from adjoint.ops.batch import spread
from adjoint.ops.body import Body
from adjoint.ops.creation import Variable, constant
from adjoint.ops.reduction import any_
from adjoint.ops.select import where
from adjoint.ops.several import items, joined, parts
from adjoint.ops.shape import reshape

__all__ = ['WhileLoop', 'looped']


class WhileLoop(Holder):
    """The carries of a loop when its condition no longer holds, and the number of its steps.

    The operands are the first carries, then the constants; the ``body`` and the ``condition`` are given both.
    The body returns the next carries, the condition one truth value.

    Notes
    -----
    The pullback is that of a loop of as many steps: the number is known when it is asked for. It keeps at
    most ``attrs['snapshots']`` carries at a time, and computes the others again; ``None`` for a number in the
    order of the logarithm of the number of steps, 0 for all of them.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        own = operands_of(node, input_values)
        body: Body = node.attrs['body']
        condition: Body = node.attrs['condition']
        carried, steps = Carried(node, own.carries), 0
        step, goes_on = Stepping(body), Stepping(condition)
        while True:
            values = [*carried.values, *own.constants]
            if not _holds(node, goes_on(values, carried.layouts)):
                return self.valued(node, [*carried.values, torch.tensor(steps)])
            carried.become(step(values, carried.layouts))
            steps += 1

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        own = operands_of(node, input_types)
        body: Body = node.attrs['body']
        carries = [common_type([t, y.type]) for t, y in zip(own.carries, body.outputs, strict=True)]
        return self.typed(node, [*carries, TensorType((), torch.int64, torch.device('cpu'))])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        own = operands_of(node, node.inputs)
        body: Body = node.attrs['body']
        *cts, _ = parts(node, output_grad)
        options: dict[str, Any] = {'length': None, 'reverse': False}
        kind, snapshots = Scan, node.attrs['snapshots']
        if snapshots != 0:
            kind, options = CheckpointedScan, {**options, 'snapshots': snapshots}
        operands = Operands(own.carries, [], own.constants, [items(node)[-1]])
        same = loop_node(kind(len(body.outputs)), body, operands, options)
        ct = joined(cts)
        return [None for _ in node.inputs] if ct is None else same.op.gradient(same, ct)[:-1]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        own, given = operands_of(node, node.inputs), operands_of(node, input_tangents)
        body: Body = node.attrs['body']
        condition: Body = node.attrs['condition']
        pushed = pushed_step(body, len(own.carries), given.of_body)
        ts = operands_of(node, pushed.of_inputs(body))
        moved = pushed.of_outputs(body, ts.carries)
        if not present(moved):
            return None
        inputs = operands_of(node, body.inputs).followed_by(ts).of_body
        # The condition is given the tangents too, and does not use them.
        told = operands_of(node, condition.inputs).followed_by(ts).of_body
        first = started(own.carries, given.carries, ts.carries)
        operands = own.followed_by(Operands(first, [], given.constants, []))
        found = looped(
            Body(told, condition.outputs),
            Body(inputs, [*body.outputs, *present(moved)]),
            operands.carries,
            operands.constants,
            node.attrs['snapshots'],
        )
        rest = iter(found[len(own.carries) :])
        return joined([*(None if t is None else next(rest) for t in moved), None])

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return the loop of a batch; if the examples end by themselves, it goes on until all have ended."""
        own, given = operands_of(node, node.inputs), operands_of(node, input_batches)
        count = len(own.carries)
        like = next(b for b in input_batches if b is not None)
        condition: Body = node.attrs['condition']
        body, first, _ = batched_step(node.attrs['body'], own.carries, given.carries, given.constants, like)
        told = [*first, *given.constants]
        holds, by_example = batched_body(condition, told)
        constants, options = of_each(own.constants, given.constants), node.attrs['snapshots']
        if not by_example:
            found = looped(holds, body, of_each(own.carries, first), constants, options)
            is_batch = [x is not None for x in first]
            return together([
                y if flag else spread(y, like) for y, flag in zip(found, [*is_batch, False], strict=True)
            ])  # fmt: skip
        # Each example keeps its carries, and its number of steps, once its condition does not hold.
        steps = Variable('steps', (), torch.int64)
        inside = operands_of(node, node.attrs['body'].inputs)
        inputs = [*inside.carries, steps, *inside.constants]
        (is_going,) = condition.inline([*inside.carries, *inside.constants])
        is_going = reshape(is_going, ())
        after = [*node.attrs['body'].outputs, steps + 1]
        kept = [where(is_going, y, x) for x, y in zip(inputs, after, strict=False)]
        every = [spread(x, like) if b is None else b for x, b in zip(own.carries, given.carries, strict=True)]
        every.append(spread(constant(torch.tensor(0)), like))
        batches = [*every, *given.constants]
        step = batched_body(Body(inputs, kept), batches, range(count + 1))[0]
        going = batched_body(Body(inputs, [is_going]), batches, [0])[0]
        found = looped(Body(going.inputs, [any_(going.outputs[0])]), step, every, constants, options)
        return together(found[: count + 1])

    def restricted(self, node: Node, used: Collection[int]) -> Node:
        own = operands_of(node, node.inputs)
        body: Body = node.attrs['body']
        condition: Body = node.attrs['condition']
        count = len(own.carries)
        needed = {*(i for i in used if i < count), *(i for i in condition.used_by([0]) if i < count)}
        while True:
            grown = needed | {i for i in body.used_by(needed) if i < count}
            if grown == needed:
                break
            needed = grown
        carries = sorted(needed)
        outputs = [body.outputs[i] for i in carries]
        behind = {*Body(body.inputs, outputs).used_by(range(len(outputs))), *condition.used_by([0])}
        kept = [*carries, *(i for i in range(count, len(body.inputs)) if i in behind)]
        attrs = {
            **node.attrs,
            'body': Body([body.inputs[i] for i in kept], outputs),
            'condition': Body([condition.inputs[i] for i in kept], condition.outputs),
            'carries': len(carries),
            'places': (*carries, count),
        }
        return Node([node.inputs[i] for i in kept], self, attrs)


def looped(
    condition: Body, body: Body, carries: Sequence[Node], constants: Sequence[Node], snapshots: int | None
) -> tuple[Node, ...]:
    """Return the last carries of a loop and the number of its steps, each as a node.

    Parameters
    ----------
    condition, body : Body
        Both of the carries and the constants; the condition returns one truth value.
    carries : sequence of Node
        The first ones.
    constants : sequence of Node
        Those that neither body uses are left out.
    snapshots : int or None
        How many carries the pullback keeps at a time; ``None`` for a number in the order of the logarithm of
        the number of steps, 0 for all.
    """
    count = len(carries)
    used = {*condition.used_by([0]), *body.used_by(range(len(body.outputs)))}
    kept = [*range(count), *(i for i in range(count, len(body.inputs)) if i in used)]
    attrs = {
        'condition': Body([condition.inputs[i] for i in kept], condition.outputs),
        'body': Body([body.inputs[i] for i in kept], body.outputs),
        'carries': count,
        'sequences': 0,
        'snapshots': snapshots,
    }
    operands = [*carries, *constants]
    return items(Node([operands[i] for i in kept], WhileLoop(count + 1), attrs))


def _holds(node: Node, found: Sequence[torch.Tensor]) -> bool:
    (value,) = found
    if value.numel() != 1:
        msg = (
            f'the condition of a loop is one truth value, and was {TensorType.of(value)}: reduce it with '
            f'any() or all()\n{node.location}'
        )
        raise ShapeError(msg)
    return bool(value)
