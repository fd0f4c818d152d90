"""The steps of a plan: what is computed of a graph, as expressions, and which values share memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.execute.aliases import Aliases
from adjoint.execute.executor import Task
from adjoint.execute.facts import Facts
from adjoint.execute.kernels import contractions, elementwise, shapes, windows
from adjoint.execute.kernels.fused import fused
from adjoint.execute.kernels.table import Held, Place, Same, Writer, Written
from adjoint.ops.arithmetic import mul
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.linear import Cast
from adjoint.ops.select import Where

__all__ = ['Step', 'Steps', 'is_pure', 'steps_of']

_WRITERS: dict[type[Op], Writer] = {
    **elementwise.TABLE.writers,
    **shapes.TABLE.writers,
    **contractions.TABLE.writers,
    **windows.TABLE.writers,
}

# Ops whose value has, at each place, what is computed of the operands there.
_BY_ENTRY = (Elementwise, Where, Cast)

# Ops of these rooms compute nothing but their value (a draw of random numbers has its own seed), so that one
# whose value is not used can go. What others do is not known.
_PURE = ('adjoint.ops.', 'adjoint.execute.')


@dataclass(frozen=True, slots=True)
class Step:
    """One computed value.

    Parameters
    ----------
    node : Node
        Whose value it is.
    written : Written
        The expression.
    operands : list of Node
        The values that stand for the inputs of the node, in their order; of several ops that are one kernel,
        what that takes.
    uses : list of Node
        Those that the expression reads.
    by_entry : bool
        Whether each entry of the value is computed from the entries of the operands at its place.
    is_alone : bool
        Whether the expression is that of the node's op, and of no other one.
    """

    node: Node
    written: Written
    operands: list[Node]
    uses: list[Node]
    by_entry: bool = False
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Steps:
    """What a plan is written from.

    Parameters
    ----------
    steps : list of Step
        In the order of the run.
    held : dict of Node to object
        Constants.
    outputs : list of Node
        The values that are returned.
    aliases : Aliases
        Which values may share memory.
    pinned : set of Node
        Values whose memory is never written to: it is a user's, a constant's, or nobody knows whose.
    """

    steps: list[Step]
    held: dict[Node, object]
    outputs: list[Node]
    aliases: Aliases
    pinned: set[Node]


def steps_of(task: Task, facts: Facts) -> Steps:
    """Write the nodes of a typed task as steps; what only served for its shape is gone."""
    given = frozenset(task.fed)
    order = [node for node in topological_sort(task.outputs, behind=given) if node not in given]
    aliases = Aliases()
    for node in order:
        for position in facts.shares[node]:
            aliases.join(node, node.inputs[position])
    returned = {aliases.of(node) for node in task.outputs}
    stands_for: dict[Node, Node] = {}
    held: dict[Node, object] = {}
    pinned = {*task.fed, *task.outputs}
    steps: list[Step] = []
    uses = Counter(x for node in order for x in node.inputs) + Counter(task.outputs)
    for node in order:
        one = fused(node, uses, facts.layouts, task.level)
        if one is not None:
            # A product that is one kernel is not taken apart for a sum of products.
            uses[node] += node.op is mul
            operands = [stands_for.get(x, x) for x in one.operands]
            steps.append(_step(node, one.written, operands, by_entry=one.by_entry))
            continue
        operands = [stands_for.get(x, x) for x in node.inputs]
        place = Place(
            node,
            facts.layouts.get(node),
            [facts.layouts.get(x) for x in node.inputs],
            aliases.of(node) in returned,
        )
        written = _written(place)
        if isinstance(written, Same):
            stands_for[node] = operands[written.position]
            aliases.join(node, operands[written.position])
        elif isinstance(written, Held):
            held[node] = written.value
            pinned.add(node)
        else:
            by_entry = written.is_known and isinstance(node.op, _BY_ENTRY)
            steps.append(_step(node, written, operands, by_entry=by_entry, is_alone=written.is_known))
            if not written.is_known:
                # It may lie in the memory of any operand, or in memory that the op keeps.
                pinned.add(node)
                for x in operands:
                    aliases.join(node, x)
    outputs = [stands_for.get(node, node) for node in task.outputs]
    return Steps(_needed(steps, outputs), held, outputs, aliases, {aliases.of(node) for node in pinned})


def _written(place: Place) -> Written | Same | Held:
    op = place.node.op
    writer = _WRITERS.get(type(op))
    written = elementwise.write_elementwise(place) if writer is None else writer(place)
    if written is not None:
        return written
    listed = ', '.join(f'{{{i}}}' for i in range(len(place.node.inputs)))
    bound: dict[str, object] = {'compute': op.compute, 'node': place.node}
    return Written(f'{{compute}}({{node}}, [{listed}])', bound, is_known=False)


def _step(
    node: Node, written: Written, operands: list[Node], *, by_entry: bool, is_alone: bool = False
) -> Step:
    uses = operands if written.uses is None else [operands[i] for i in written.uses]
    return Step(node, written, operands, uses, by_entry, is_alone)


def is_pure(node: Node) -> bool:
    """Return whether a node is known to compute nothing but its value."""
    return type(node.op).__module__.startswith(_PURE)


def _needed(steps: Sequence[Step], outputs: Sequence[Node]) -> list[Step]:
    """Return the steps that an output needs, or that do more than compute a value."""
    wanted = set(outputs)
    kept: list[Step] = []
    for step in reversed(steps):
        if step.node in wanted or not is_pure(step.node):
            wanted.update(step.uses)
            kept.append(step)
    return kept[::-1]
