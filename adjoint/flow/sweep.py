"""Loops whose derivative keeps few carries, and computes the others again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any, TypeVar

import torch

from adjoint.autodiff.batching.walk import check_mappable
from adjoint.autodiff.bodies import pulled_back
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.flow.backward import Backward
from adjoint.flow.batching import (
    batched_step,
    of_each,
    results_of_batch,
    sequences_first,
    slices_of,
    together,
)
from adjoint.flow.holder import is_moving
from adjoint.flow.map import mapped
from adjoint.flow.revolve import default_snapshots, order
from adjoint.flow.scan import Scan, loop_node, options_of, scanned, steps_of
from adjoint.flow.stacks import Slices, Stacks
from adjoint.flow.stepping import Carried, Layouts, Stepping
from adjoint.flow.steps import Operands, live_carries, operands_of, present, pushed_step, started
from adjoint.ops.body import Body, variable_like
from adjoint.ops.several import items, joined, parts

__all__ = ['CheckpointedScan', 'Sweep', 'swept']

T = TypeVar('T')


class CheckpointedScan(Scan):
    """The loop of :class:`Scan`, whose derivative keeps few of its carries and computes the others again.

    ``attrs['snapshots']`` says how many are kept at a time; ``None`` for a number in the order of the
    logarithm of the length.
    """

    period = None  # what is kept grows slower than the number of steps

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        body: Body = node.attrs['body']
        backward = Backward.of(node, parts(node, output_grad))
        own = operands_of(node, node.inputs)
        back = Body([*backward.inputs.of_body, *backward.states], backward.outputs)
        ahead = Body(body.inputs, body.outputs[: len(own.carries)])
        options = {**options_of(node), 'reverse': not node.attrs['reverse'], 'shared': len(own.sequences)}
        return backward.to_inputs(node, swept(ahead, back, backward.operands, own.carries, options))


class Sweep(Scan):
    """A loop that is given the carries of another one, which are computed as they are needed.

    It is :class:`Scan`, but for the last of its constants, ``attrs['states']`` of them: what another loop
    starts from, which runs the other way. Its steps, ``attrs['ahead']``, are given the states, the first
    ``attrs['shared']`` of the sequences, and the other constants. The body is given the states of its step.

    Notes
    -----
    At most ``attrs['snapshots']`` states are kept at a time, those of the start among them, and the fewest
    steps are run again that this allows. The pushforward is of the same kind. The pullback goes through the
    two loops apart, so that a reverse mode of a reverse mode keeps all states.
    """

    period = None  # what is kept grows slower than the number of steps

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        own, start = _apart(node, input_values)
        steps = steps_of(node, own)
        count, reverse = len(own.carries), node.attrs['reverse']
        carried, stacks = Carried(node, own.carries), Stacks(node, steps, reverse=reverse)
        ahead: Body = node.attrs['ahead']
        body: Body = node.attrs['body']
        state, kept = Carried(node, start), dict[int, tuple[list[torch.Tensor], Layouts]]()
        step_ahead, shared = Stepping(ahead), Slices(own.sequences[: node.attrs['shared']])
        step_back, slices = Stepping(body), Slices(own.sequences)
        for action, step in order(steps, node.attrs['snapshots'] or default_snapshots(steps)):
            if action == 'keep':
                kept[step] = state.values, state.layouts
            elif action == 'restore':
                state.values, state.layouts = kept[step]
            elif action == 'drop':
                del kept[step]
            elif action == 'advance':
                i = step - 1 if reverse else steps - step
                state.become(step_ahead([*state.values, *shared[i], *own.constants], state.layouts))
            else:
                i = step if reverse else steps - 1 - step
                values = [*carried.values, *slices[i], *own.constants, *state.values]
                found = step_back(values, carried.layouts, state.layouts)
                carried.become(found[:count])
                stacks.put(found[count:])
        empty = [x.new_empty(x.shape[1:]) for x in own.sequences]
        results = stacks.taken(body, count, [*carried.values, *empty, *own.constants, *start])
        return self.valued(node, [*carried.values, *results])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        given = [variable_like(x, x.name) for x in node.inputs]
        both = Body(given, _as_two_loops(node, given))
        cts = parts(node, output_grad)
        flowing = [i for i, ct in enumerate(cts) if ct is not None]
        pulled, reached = pulled_back(both, [i for i, x in enumerate(given) if is_moving(x)], flowing)
        found = pulled.inline([*node.inputs, *present(cts)])
        at = dict(zip(reached, found, strict=True))
        return [at.get(i) for i in range(len(node.inputs))]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        own, start = _apart(node, node.inputs)
        given, t_start = _apart(node, input_tangents)
        body: Body = node.attrs['body']
        ahead: Body = node.attrs['ahead']
        count, shared = len(own.carries), node.attrs['shared']
        moved = pushed_step(ahead, len(start), [*t_start, *given.sequences[:shared], *given.constants])
        t_ahead = moved.of_inputs(ahead)
        t_states = t_ahead[: len(start)]
        # A state that moves in any step has a tangent, which the body is given.
        moves = [None if t is None else x for x, t in zip(start, t_states, strict=True)]
        pushed = pushed_step(body, count, [*given.of_body, *moves])
        ts, t_inner = _apart(node, pushed.of_inputs(body))
        t_outputs = pushed.of_outputs(body, ts.carries)
        if not present(t_outputs):
            return None
        inside, inner = _apart(node, body.inputs)
        step = _followed_by(inside, ts, shared)
        first = started(own.carries, given.carries, ts.carries)
        operands = _followed_by(own, Operands(first, given.sequences, given.constants, []), shared)
        steps_ahead = _of_ahead(ahead.inputs, len(start), shared).followed_by(
            _of_ahead(t_ahead, len(start), shared)
        )
        found = swept(
            Body(steps_ahead.of_body, [*ahead.outputs, *present(moved.of_outputs(ahead, t_states))]),
            Body([*step.of_body, *inner, *present(t_inner)], [*body.outputs[:count], *present(t_outputs)]),
            operands,
            [*start, *present(started(start, t_start, t_states))],
            {**options_of(node), 'shared': len(steps_ahead.sequences)},
        )
        rest = iter(found[count:])
        return joined([None if t is None else next(rest) for t in t_outputs])

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        own, start = _apart(node, node.inputs)
        given, started_from = _apart(node, input_batches)
        if present(given.count):
            check_mappable(node)
            return mapped(node, input_batches)
        given = sequences_first(given)
        like = next(b for b in input_batches if b is not None)
        slices = slices_of(given.sequences)
        others = [*slices[: node.attrs['shared']], *given.constants]
        ahead, states, _ = batched_step(node.attrs['ahead'], start, started_from, others, like)
        others = [*slices, *given.constants, *states]
        back, first, reached = batched_step(node.attrs['body'], own.carries, given.carries, others, like)
        operands = Operands(
            of_each(own.carries, first),
            of_each(own.sequences, given.sequences),
            of_each(own.constants, given.constants),
            own.count,
        )
        found = swept(ahead, back, operands, of_each(start, states), options_of(node))
        return together(results_of_batch(found, len(first), reached, like))

    def restricted(self, node: Node, used: Collection[int]) -> Node:
        own, start = _apart(node, node.inputs)
        body: Body = node.attrs['body']
        inside, states = _apart(node, body.inputs)
        carries = live_carries(body, len(own.carries), used)
        places = [*carries, *sorted(i for i in used if i >= len(own.carries))]
        step = [*(inside.carries[i] for i in carries), *inside.sequences, *inside.constants, *states]
        back = Body(step, [body.outputs[i] for i in places])
        operands = replace(own, carries=[own.carries[i] for i in carries])
        return _node(self, node.attrs['ahead'], back, operands, start, options_of(node), places=tuple(places))


def swept(
    ahead: Body, back: Body, operands: Operands[Node], states: Sequence[Node], options: Mapping[str, Any]
) -> tuple[Node, ...]:
    """Return the outputs of a loop that is given the carries of another one, each as a node.

    Parameters
    ----------
    ahead : Body
        The step of the other loop: of its carries, the first sequences, and the constants.
    back : Body
        The step: of its carries, slices, the constants, and the carries of the other loop.
    operands : Operands
        What nothing uses is left out.
    states : sequence of Node
        What the other loop starts from.
    options : mapping of str
        The attrs ``length``, ``reverse``, ``shared`` and ``snapshots``.
    """
    if not back.outputs:
        return ()
    return items(_node(Sweep(len(back.outputs)), ahead, back, operands, states, options))


def _node(
    op: Sweep,
    ahead: Body,
    back: Body,
    operands: Operands[Node],
    states: Sequence[Node],
    options: Mapping[str, Any],
    **more: Any,
) -> Node:
    """Return the node, without what nothing uses; see :func:`swept`."""
    carries, shared = len(operands.carries), options['shared']
    constants, end = carries + len(operands.sequences), len(back.inputs) - len(states)
    behind = set(topological_sort(back.outputs))
    live = live_carries(ahead, len(states), [i for i, x in enumerate(back.inputs[end:]) if x in behind])
    behind |= set(topological_sort([ahead.outputs[i] for i in live]))
    step = _of_ahead(ahead.inputs, len(states), shared)
    # What stands for the same operand in one body or the other.
    twins = [*step.sequences, *back.inputs[carries + shared : constants]]
    kept = [x in behind or y in behind for x, y in zip(back.inputs[carries:constants], twins, strict=True)]
    if kept and not any(kept) and options['length'] is None and not operands.count:
        kept[0] = True  # it says how many steps there are
    used = [
        x in behind or y in behind for x, y in zip(back.inputs[constants:end], step.constants, strict=True)
    ]
    given = [*compress(step.sequences, kept), *compress(step.constants, used)]
    inner = [
        *back.inputs[:carries],
        *compress(back.inputs[carries:constants], kept),
        *compress(back.inputs[constants:end], used),
        *(back.inputs[end + i] for i in live),
    ]
    sequences, others = compress(operands.sequences, kept), compress(operands.constants, used)
    left = Operands(operands.carries, [*sequences], [*others, *(states[i] for i in live)], operands.count)
    attrs = dict(options) | {
        'ahead': Body([*(step.carries[i] for i in live), *given], [ahead.outputs[i] for i in live]),
        'states': len(live),
        'shared': sum(kept[:shared]),
    }
    return loop_node(op, Body(inner, back.outputs), left, attrs, **more)


def _apart(node: Node, values: Sequence[T]) -> tuple[Operands[T], list[T]]:
    """Sort what belongs to the operands of the node, or to the inputs of its body, the states apart."""
    own = operands_of(node, values)
    end = len(own.constants) - node.attrs['states']
    return replace(own, constants=own.constants[:end]), own.constants[end:]


def _of_ahead(values: Sequence[T], states: int, shared: int) -> Operands[T]:
    """Sort what belongs to the inputs of the steps ahead."""
    end = states + shared
    return Operands(list(values[:states]), list(values[states:end]), list(values[end:]), [])


def _followed_by(own: Operands[Node], other: Operands[Node | None], shared: int) -> Operands[Node]:
    """Return operands followed by others, with those sequences first that the steps ahead are given."""
    sequences = [
        *own.sequences[:shared], *present(other.sequences[:shared]),
        *own.sequences[shared:], *present(other.sequences[shared:]),
    ]  # fmt: skip
    return replace(own.followed_by(other), sequences=sequences)


def _as_two_loops(node: Node, inputs: Sequence[Node]) -> list[Node]:
    """Return the outputs, for other inputs, by a loop that is given all carries of another one, kept."""
    own, start = _apart(node, inputs)
    ahead: Body = node.attrs['ahead']
    body: Body = node.attrs['body']
    length, reverse = node.attrs['length'], node.attrs['reverse']
    shared = own.sequences[: node.attrs['shared']]
    forward = Operands(start, shared, own.constants, own.count)
    kept = scanned(ahead, forward, length=length, reverse=not reverse)[len(start) : 2 * len(start)]
    inside, states = _apart(node, body.inputs)
    step = Body([*inside.carries, *inside.sequences, *states, *inside.constants], body.outputs)
    backward = replace(own, sequences=[*own.sequences, *kept])
    return list(scanned(step, backward, length=length, reverse=reverse)[: len(body.outputs)])
