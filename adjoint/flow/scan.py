"""The loop: a body applied step by step, over slices of sequences."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import rebuilt
from adjoint.core.tensor_type import Size, TensorType
from adjoint.flow.backward import Backward
from adjoint.flow.batching import (
    batched_step,
    of_each,
    results_of_batch,
    sequences_first,
    slices_of,
    together,
)
from adjoint.flow.holder import Holder, common_type
from adjoint.flow.lighten import lighter
from adjoint.flow.stacks import CHUNK, Slices, Stacks, packed
from adjoint.flow.stepping import Carried, Stepping
from adjoint.flow.steps import Operands, live_carries, operands_of, present, pushed_step, started
from adjoint.ops.body import Body, variable_like
from adjoint.ops.creation import Variable, zeros_like
from adjoint.ops.linear import cast
from adjoint.ops.reduction import amax
from adjoint.ops.select import where
from adjoint.ops.several import items, joined, parts, slots

__all__ = ['Scan', 'loop_node', 'options_of', 'scanned', 'steps_of', 'with_states']


class Scan(Holder):
    """The last carries of a loop, then what its steps gave beside, stacked.

    The operands are the first carries, the sequences, the constants and, for a loop that is not as long as
    its sequences, the number of steps. The body is given the carries, a slice of each sequence, and the
    constants; it returns the next carries, then the results of the step. The attrs: the ``body``; how many
    ``carries`` and ``sequences`` there are; the ``length`` where it is known; whether the steps go in
    ``reverse``, from the last slice to the first.

    Notes
    -----
    The pullback is a loop in the other direction, which is given the carries of each step as a sequence.
    The loop gives them as further results, which a run computes only where they are used. What else a step
    computed is computed again in its pullback.
    """

    period = CHUNK

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        own = operands_of(node, input_values)
        body: Body = node.attrs['body']
        steps = steps_of(node, own)
        count, reverse = len(own.carries), node.attrs['reverse']
        carried = Carried(node, own.carries)
        stacks = Stacks(node, steps, reverse=reverse, before=_in_one(node, own.carries))
        if 'packs' in node.attrs:
            own = replace(own, constants=[packed(x) for x in own.constants])
        step, slices = Stepping(body), Slices(own.sequences)
        left = range(steps - 1, -1, -1) if reverse else range(steps)
        while left:
            done = steps - len(left)
            over = step.over(carried.layouts) if done == 1 else None
            if over is not None:
                carried.values = over(carried.values, own.sequences, own.constants, stacks.opened(), left)
                break
            # The first step by itself shows what the next ones are given.
            many = CHUNK - done % CHUNK if done else 1
            rows, left = slices.rows(left[:many]), left[many:]
            for i, row in enumerate(rows):
                repeat = step.repeats(carried.layouts)
                if repeat is not None:
                    carried.values, found = repeat(carried.values, rows[i:], own.constants)
                    stacks.extend(found)
                    break
                found = step([*carried.values, *row, *own.constants], carried.layouts)
                carried.become(found[:count])
                stacks.put(found[count:])
        like = [*carried.values, *(x.new_empty(x.shape[1:]) for x in own.sequences), *own.constants]
        return self.valued(node, [*carried.values, *stacks.taken(body, count, like)])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        own = operands_of(node, input_types)
        body: Body = node.attrs['body']
        length = _known_length(node, own)
        found: list[TensorType | None] = [
            common_type([t, y.type]) for t, y in zip(own.carries, body.outputs, strict=False)
        ]
        for y in body.outputs[len(own.carries) :]:
            known = y.type
            if known is not None and known.shape is not None:
                known = known._replace(shape=(length, *known.shape))
            found.append(known)
        return self.typed(node, found)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        cts = [*parts(node, output_grad)]
        node = with_states(node)
        cts += [None] * (node.op.outputs - len(cts))
        backward = Backward.of(node, cts)
        count = len(backward.states)
        # What the loop gives for each step is not computed again.
        body: Body = node.attrs['body']
        wholes = dict(zip(body.outputs[count:], items(node)[count:], strict=True))
        results = {y: variable_like(y) for y in wholes if y.inputs}
        given = [*backward.states, *results]
        step = backward.inputs.followed_by(Operands([], [*backward.states, *results.values()], [], []))
        operands = backward.operands.followed_by(Operands([], [wholes[y] for y in given], [], []))
        options = {**options_of(node), 'reverse': not node.attrs['reverse']}
        found = scanned(Body(step.of_body, rebuilt(backward.outputs, results)), operands, **options)
        return backward.to_inputs(node, found)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        own, given = operands_of(node, node.inputs), operands_of(node, input_tangents)
        body: Body = node.attrs['body']
        count = len(own.carries)
        pushed = pushed_step(body, count, given.of_body)
        ts = operands_of(node, pushed.of_inputs(body))
        moved = pushed.of_outputs(body, ts.carries)
        if not present(moved):
            return None
        step = operands_of(node, body.inputs).followed_by(ts)
        first = started(own.carries, given.carries, ts.carries)
        operands = own.followed_by(Operands(first, given.sequences, given.constants, []))
        found = scanned(
            Body(step.of_body, [*body.outputs[:count], *present(moved)]), operands, **options_of(node)
        )
        rest = iter(found[count:])
        return joined([None if t is None else next(rest) for t in moved])

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return the loop of a batch: of as many steps as any example has."""
        own = operands_of(node, node.inputs)
        given = sequences_first(operands_of(node, input_batches))
        if present(given.count):
            longest, batches = _of_longest(node, operands_of(node, input_batches))
            at = len(own.carries)
            found = [y for y in slots(longest.op.batch(longest, batches)) if y is not None]
            return together([*found[:at], *found[at + 1 :]])
        body: Body = node.attrs['body']
        like = next(b for b in input_batches if b is not None)
        others = [*slices_of(given.sequences), *given.constants]
        step, first, reached = batched_step(body, own.carries, given.carries, others, like)
        operands = Operands(
            of_each(own.carries, first),
            of_each(own.sequences, given.sequences),
            of_each(own.constants, given.constants),
            own.count,
        )
        found = scanned(step, operands, **options_of(node))[: self.outputs]
        return together(results_of_batch(found, len(first), reached, like))

    def lightened(self, node: Node, level: str, room: int) -> Mapping[int, Node] | None:
        steps = _steps_known(node) if type(self) is Scan else None
        if steps is None:
            return None
        found = lighter(node, steps, level, node.attrs.get('light', room))
        if found is None:
            return None
        after: dict[Node, Node] = {}
        if found.results:
            # What is left is looked at once more, and has what is left of the room.
            more = {'light': found.room, 'visible': found.visible}
            if found.rounds:
                more['packs'] = True
            op, options = Scan(len(found.results)), {**options_of(node), 'length': steps}
            loop = loop_node(op, found.body, found.operands, options, **more)
            after = dict(zip(found.results, items(loop), strict=True))
        places = node.attrs.get('places', range(self.outputs))
        outputs = rebuilt(found.outputs.values(), after)
        return {places[i]: y for i, y in zip(found.outputs, outputs, strict=True)}

    def shortened(self, node: Node, steps: int) -> tuple[Node, Sequence[int]]:
        own = operands_of(node, range(len(node.inputs)))
        attrs = {**node.attrs, 'length': steps}
        made = Node.restored(node.inputs, self, attrs, node.given_name, node.site, None)
        return made, own.sequences

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        """Return ``scan(init, xs, reverse=True)``: with what steers the loop, where it is not as usual."""
        shown = [name for name in ('length', 'reverse', 'snapshots') if node.attrs.get(name)]
        if node.attrs['sequences'] and 'length' in shown:
            shown.remove('length')
        return f'{self.name}({", ".join([*operands, *(f"{name}={node.attrs[name]}" for name in shown)])})'

    def restricted(self, node: Node, used: Collection[int]) -> Node:
        own = operands_of(node, node.inputs)
        body: Body = node.attrs['body']
        carries = live_carries(body, len(own.carries), used)
        places = [*carries, *sorted(i for i in used if i >= len(own.carries))]
        outputs = [body.outputs[i] for i in places]
        step = operands_of(node, body.inputs)
        step, operands = _trimmed(
            Operands([step.carries[i] for i in carries], step.sequences, step.constants, []),
            Operands([own.carries[i] for i in carries], own.sequences, own.constants, own.count),
            outputs,
            node.attrs['length'],
        )
        options, visible = options_of(node), sum(i < _visible(node) for i in places)
        body = Body(step.of_body, outputs)
        return loop_node(self, body, operands, options, places=tuple(places), visible=visible)


def scanned(body: Body, operands: Operands[Node], **options: Any) -> tuple[Node, ...]:
    """Return the outputs of a loop, each as a node: the last carries, then the results.

    Parameters
    ----------
    body : Body
        Its inputs are the carries, the slices and the constants; its outputs the next carries, and the
        results of a step.
    operands : Operands
        What nothing in the body uses is left out.
    **options
        ``kind``, the class of the op; ``length``; ``reverse``; and what else the class takes.
    """
    outputs, inputs = list(body.outputs), body.inputs
    carries = inputs[: len(operands.carries)]
    visible = len(outputs)
    outputs += _for_derivative(carries, outputs)
    if not outputs:
        return ()
    before = len(carries) + len(operands.sequences)
    step = Operands([*carries], [*inputs[len(carries) : before]], [*inputs[before:]], [])
    options = {'kind': Scan, 'length': None, 'reverse': False, **options}
    if options['length'] is None:
        sizes = (x.type.shape[0] for x in operands.sequences if x.type is not None and x.type.shape)
        options['length'] = next((s for s in sizes if isinstance(s, int)), None)
    step, operands = _trimmed(step, operands, outputs, options['length'])
    op = options['kind'](len(outputs))
    return items(loop_node(op, Body(step.of_body, outputs), operands, options, visible=visible))


def _for_derivative(carries: Sequence[Node], outputs: Sequence[Node]) -> list[Node]:
    """Return what the derivative needs of each step that is not among its results.

    These are the carries before the step and after it, so that the last op of a step is not run again. Where
    a run uses both, they lie in the same memory.
    """
    given = {*outputs[len(carries) :]}
    wanted = dict.fromkeys([*carries, *(y for y in outputs[: len(carries)] if y.inputs)])
    return [x for x in wanted if x not in given]


def loop_node(
    op: Scan, body: Body, operands: Operands[Node], options: Mapping[str, Any], **more: Any
) -> Node:
    """Return the node of a loop, with the body and the operands as they are."""
    attrs = {'body': body, 'carries': len(operands.carries), 'sequences': len(operands.sequences)}
    attrs |= {name: value for name, value in options.items() if name != 'kind'}
    return Node([*operands.of_body, *operands.count], op, {**attrs, **more})


def options_of(node: Node) -> dict[str, Any]:
    """Return the options with which the node of a loop was made."""
    own = {'body', 'carries', 'sequences', 'places', 'ahead', 'states', 'light', 'visible', 'packs'}
    return {'kind': type(node.op)} | {name: value for name, value in node.attrs.items() if name not in own}


def _trimmed(
    step: Operands[Node], operands: Operands[Node], outputs: Sequence[Node], length: int | None
) -> tuple[Operands[Node], Operands[Node]]:
    """Return the inputs of a step and the operands of the loop, without those that nothing uses."""
    behind = set(topological_sort(outputs))
    kept = [x in behind for x in step.sequences]
    if kept and not any(kept) and length is None and not operands.count:
        kept[0] = True  # it says how many steps there are
    used = [x in behind for x in step.constants]

    def left(own: Operands[Node]) -> Operands[Node]:
        sequences, constants = compress(own.sequences, kept), compress(own.constants, used)
        return Operands(own.carries, list(sequences), list(constants), own.count)

    return left(step), left(operands)


def with_states(node: Node) -> Node:
    """Return the node of a loop, or an equal one, that gives what its derivative needs of each step."""
    body: Body = node.attrs['body']
    carries = node.attrs['carries']
    missing = _for_derivative(body.inputs[:carries], body.outputs)
    if not missing:
        return node
    outputs, options = [*body.outputs, *missing], options_of(node)
    op, visible = options['kind'](len(outputs)), _visible(node)
    own = operands_of(node, node.inputs)
    return loop_node(op, Body(body.inputs, outputs), own, options, visible=visible)


def _visible(node: Node) -> int:
    """Return how many of the outputs of a loop, the first ones, a user may see."""
    found: int = node.attrs.get('visible', len(node.attrs['body'].outputs))
    return found


def _in_one(node: Node, first: Sequence[torch.Tensor]) -> dict[int, tuple[int, torch.Tensor]]:
    """Return which results are the carries before each step, and lie in the memory of those after it.

    Each with the position of those, and what the first step is given. Of two results that a user may see,
    none lies in the memory of the other.
    """
    body: Body = node.attrs['body']
    carries, visible = node.attrs['carries'], _visible(node)
    at = {y: k for k, y in reversed(list(enumerate(body.outputs[carries:])))}
    found: dict[int, tuple[int, torch.Tensor]] = {}
    taken: set[int] = set()
    for x, y, value in zip(body.inputs, body.outputs, first, strict=False):
        before, after = at.get(x), at.get(y)
        if before is None or after is None or not y.inputs or after in taken:
            continue
        if max(before, after) + carries >= visible:
            found[before] = after, value
            taken.add(after)
    return found


def _of_longest(node: Node, batches: Operands[Node | None]) -> tuple[Node, list[Node | None]]:
    """Return a loop of as many steps as any example has, which counts them, and the batches of its operands.

    An example has the first of the slices. Beyond these, its carries stay what they are.
    """
    own, body = operands_of(node, node.inputs), node.attrs['body']
    inside = operands_of(node, body.inputs)
    step, limit = Variable('step', (), torch.int64), variable_like(own.count[0], 'limit')
    is_own, count = step < limit, len(own.carries)
    kept = [where(is_own, y, x) for x, y in zip(inside.carries, body.outputs, strict=False)]
    (counts,) = batches.count
    assert counts is not None  # noqa: S101 it is why this is asked
    most = amax(counts)
    reverse: bool = node.attrs['reverse']
    inputs = Operands([*inside.carries, step], inside.sequences, [*inside.constants, limit], [])
    outputs = [*kept, step - 1 if reverse else step + 1, *body.outputs[count:]]
    first = cast(most - 1 if reverse else zeros_like(most), torch.int64)
    operands = Operands([*own.carries, first], own.sequences, [*own.constants, own.count[0]], [most])
    options = options_of(node)
    made = loop_node(options['kind'](node.op.outputs + 1), Body(inputs.of_body, outputs), operands, options)
    return made, [*batches.carries, None, *batches.sequences, *batches.constants, counts, None]


def steps_of(node: Node, own: Operands[torch.Tensor]) -> int:
    """Return the number of steps in a run.

    Raises
    ------
    ShapeError
        The sequences differ in length, or have none.
    """
    if own.count:
        return max(int(own.count[0]), 0)
    flat = [x for x in own.sequences if x.ndim == 0]
    sizes = {x.shape[0] for x in own.sequences if x.ndim}
    length = node.attrs['length']
    sizes |= set() if length is None else {length}
    if flat or len(sizes) != 1:
        raise _unequal(node, [TensorType.of(x) for x in own.sequences])
    return sizes.pop()


def _known_length(node: Node, own: Operands[TensorType]) -> Size:
    """Return the number of steps as far as it is known before the run."""
    length = node.attrs['length']
    shapes = [t.shape for t in own.sequences if t.shape is not None]
    sizes: list[Size] = [s[0] for s in shapes if s and s[0] is not None]
    sizes += [] if length is None else [length]
    numbers = {s for s in sizes if isinstance(s, int)}
    if () in shapes or (len(numbers) > 1 and not own.count):
        raise _unequal(node, own.sequences)
    if own.count:
        return None
    return next(iter(numbers), next(iter(sizes), None))


def _steps_known(node: Node) -> int | None:
    """Return the number of steps of a loop of more than one, where it is known before the run."""
    types = [x.type for x in node.inputs if x.type is not None]
    if len(types) < len(node.inputs):
        return None
    own = operands_of(node, types)
    steps = None if own.count else _known_length(node, own)
    return steps if isinstance(steps, int) and steps > 1 else None


def _unequal(node: Node, sequences: Sequence[TensorType]) -> ShapeError:
    listed = ', '.join(map(str, sequences))
    length = node.attrs['length']
    told = '' if length is None else f', and its length is {length}'
    return ShapeError(
        f'a loop takes one slice of each sequence a step, so that all are equally long, along their first '
        f'axis; it was given {listed or "none"}{told}\n{node.location}'
    )
