"""A loop without what it need not do step by step: that is done once, or for all steps as one batch.

What depends on no carry is computed before the loop, and what no carry depends on behind it. Of what is only
added up, step by step, the terms are added up behind it too; where they are products of matrices, this is one
product.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import cast

from adjoint.core.errors import AdjointError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.rebuild import dependents, rebuilt
from adjoint.core.tensor_type import TensorType
from adjoint.flow.outside import Outside, alike
from adjoint.flow.steps import Operands, operands_of
from adjoint.ops.arithmetic import add
from adjoint.ops.body import Body, variable_like
from adjoint.ops.contraction import Multilinear, matmul
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.reduction import Reduction, reduction_attrs, sum_
from adjoint.ops.several import item
from adjoint.ops.shape import reshape, transpose
from adjoint.passes.facts import is_floating, shape_of
from adjoint.passes.pipeline import LEVELS, Level, optimize
from adjoint.passes.specialize import specialized
from adjoint.passes.walk import replaced

__all__ = ['Lighter', 'lighter']

_MATRIX = 2

# Kinds of ops whose value lies in no operand's memory.
_FRESH = (Elementwise, Multilinear, Reduction)


@dataclass(frozen=True, slots=True)
class Lighter:
    """A loop with less to do in a step, and what is computed around it.

    Parameters
    ----------
    body : Body
        Of the loop that is left; without outputs if none is.
    operands : Operands
        Of that.
    results : list of Node
        Variables for the outputs of that loop, each of which may stand for several of its places.
    outputs : dict of int to Node
        For each output of the loop that was, what it is now, from ``results`` and what the loop was given.
    visible : int
        How many of the outputs of that loop, the first ones, a user may see.
    room : int
        How many bytes may still be computed for all steps together.
    rounds : bool
        Whether values may be rounded in another way.
    """

    body: Body
    operands: Operands[Node]
    results: list[Node]
    outputs: dict[int, Node]
    visible: int
    room: int
    rounds: bool


def lighter(node: Node, steps: int, level: str, room: int) -> Lighter | None:
    """Return a loop with less to do in a step; ``None`` where there is nothing to take out.

    Parameters
    ----------
    node : Node
        The loop.
    steps : int
        How many steps it has.
    level : {'none', 'bitwise', 'default', 'fast'}
        What may round in another way, as products of merged matrices do, is done at ``fast`` only.
    room : int
        How many bytes may be computed for all steps together.
    """
    rounds, count = 'rounding' in LEVELS[level], node.attrs['carries']
    # Products are merged in what is left, which hides what is added up.
    is_first = 'light' not in node.attrs
    own_level = 'default' if rounds and is_first else cast('Level', level)
    step = _typed_step(node, own_level, room)
    if step is None or len(set(step.outputs[count:])) < len(step.outputs) - count:
        return None  # of one value given twice, both are in memory of their own
    inputs, outputs = operands_of(node, step.inputs), list(step.outputs)
    if rounds:
        outputs = _regrouped(outputs, inputs.carries)
    sums = _running_sums(inputs.carries, outputs) if rounds else {}
    own, inside = operands_of(node, node.inputs), set(topological_sort(outputs))
    staying: set[int] = set()
    while True:
        plan = _Plan(node, inputs, outputs, sums, staying)
        once = dict(zip(inputs.constants, own.constants, strict=True))
        each = dict(zip(inputs.sequences, own.sequences, strict=True))
        stacked = [x for x, xs in each.items() if _is_stack(xs)]
        failed = plan.divide(Outside(once, each, stacked, inside, steps, room, rounds=rounds))
        if failed is None:
            return plan.made()
        staying.add(failed)


def _is_stack(xs: Node) -> bool:
    """Whether a tensor is known to have been put together step by step, so that it lies in that order."""
    if xs.op is not item:
        return False
    (loop,) = xs.inputs
    return 'body' in loop.attrs and xs.attrs['position'] >= loop.attrs.get('carries', loop.op.outputs)


def _typed_step(node: Node, level: Level, room: int) -> Body | None:
    """Return the body for the types of the operands, if all of them are known; rewritten at a level."""
    own = operands_of(node, node.inputs)
    body: Body = node.attrs['body']
    known: list[TensorType] = []
    for x, is_sequence in [*((c, False) for c in own.carries), *((s, True) for s in own.sequences),
                           *((k, False) for k in own.constants)]:  # fmt: skip
        if x.type is None or not x.type.is_static or x.type.shape is None:
            return None
        known.append(x.type._replace(shape=x.type.shape[1:]) if is_sequence else x.type)
    try:
        found = specialized(body.outputs, dict(zip(body.inputs, known, strict=True)), final=True)
        outputs = optimize(found.nodes, level, final=True, room=room)
    except AdjointError:
        # The run says what is wrong, with the values in sight.
        return None
    inputs = [found.variables.get(x, x) for x in body.inputs]
    carried = zip(inputs[: len(own.carries)], outputs, strict=False)
    return Body(inputs, outputs) if all(alike(x, y) for x, y in carried) else None


class _Plan:
    """Which nodes of a step stay in the loop.

    Parameters
    ----------
    node : Node
        The loop.
    inputs : Operands
        Of its body.
    outputs : sequence of Node
        Of its body.
    sums : mapping of int to list of Node
        What is added up, by the position of the carry.
    staying : collection of int
        Positions of outputs that are computed in the loop, whatever they are.
    """

    def __init__(
        self,
        node: Node,
        inputs: Operands[Node],
        outputs: Sequence[Node],
        sums: Mapping[int, list[Node]],
        staying: Collection[int],
    ) -> None:
        self._given = operands_of(node, node.inputs)
        self._inputs = inputs
        self._outputs = outputs
        self._sums = {i: terms for i, terms in sums.items() if i not in staying}
        self._staying = staying
        body: Body = node.attrs['body']
        self._is_typed = all(y.type is not None and y.type.is_static for y in body.outputs)
        self._is_first = 'light' not in node.attrs
        self._visible: int = node.attrs.get('visible', len(outputs))
        self._early: set[Node] = set()  # computed before the loop
        self._inner: set[Node] = set()  # computed in it
        self._results: dict[Node, Node] = {}  # what the loop gives for each step, and variables for that

    def divide(self, outside: Outside) -> int | None:
        """Decide what is computed outside; return the position of an output that has to stay, if one has."""
        self._outside = outside
        carries = len(self._inputs.carries)
        last = set(self._outputs[:carries])
        for x in topological_sort(self._outputs):
            # What a loop ends with lies in memory of its own, and in no stack.
            if x not in last:
                outside.take(x)
        self._early = {*outside.once, *outside.each}
        roots = [self._outputs[i] for i in range(carries) if i not in self._sums]
        roots += [self._outputs[i] for i in sorted(self._staying) if i >= carries]
        self._inner = {*topological_sort(roots, behind=self._early), *self._inputs.carries} - self._early
        results = list(enumerate(self._outputs))[carries:]
        for i, y in results:
            # What a user may see lies in memory of its own, as a stack does.
            if y in self._inner or i in self._staying or not isinstance(y.op, _FRESH):
                self._results[y] = outside.given(y)
        wanted = [(i, x) for i, terms in self._sums.items() for term in terms for x in _factors(term)]
        wanted += [(i, y) for i, y in results if y not in self._results]
        for i, x in wanted:
            # Of what is the same in every step no copies are made outside.
            is_same = i >= carries and x in outside.once
            if is_same or not self._is_sunk(x):
                return i
        return None

    def _is_sunk(self, wanted: Node) -> bool:
        """Compute a node for all steps behind the loop, from what the loop gives for each; whether it can."""
        outside = self._outside
        for x in topological_sort(wanted, behind=self._early | self._inner):
            if x in outside.once or x in outside.each:
                continue
            if x in self._inner:
                stack = outside.stack(x)
                if stack is None:
                    return False
                self._results[x] = stack
            elif not outside.take(x):
                return False
        return True

    def made(self) -> Lighter | None:
        """Return the loop that is left; ``None`` where nothing is taken out, known, or run in another way."""
        outside, carries = self._outside, len(self._inputs.carries)
        kept = [i for i in range(carries) if i not in self._sums]
        nodes = [*(self._outputs[i] for i in kept), *self._results]
        given = {*self._inputs.sequences, *self._inputs.constants}
        reached = topological_sort(nodes, behind=self._early)
        border = [x for x in reached if x in self._early and (x.inputs or x in given)]
        moved = {x: variable_like(x, x.given_name) for x in border if x not in given}
        is_same = len(kept) == carries and all(y in self._results for y in self._outputs[carries:])
        if is_same and not moved and self._is_typed and not (self._is_first and outside.rounds):
            return None
        each, once = ([x for x in border if x in where] for where in (outside.each, outside.once))
        step = Operands(
            [self._inputs.carries[i] for i in kept],
            [moved.get(x, x) for x in each],
            [moved.get(x, x) for x in once],
            [],
        )
        operands = Operands(
            [self._given.carries[i] for i in kept],
            [outside.each[x] for x in each],
            [outside.once[x] for x in once],
            [],
        )
        last = {i: variable_like(self._given.carries[i]) for i in kept}
        outputs = last | {i: self._total(i) for i in self._sums}
        for i, y in list(enumerate(self._outputs))[carries:]:
            outputs[i] = self._results[y] if y in self._results else outside.each[y]
        body = Body(step.of_body, rebuilt(nodes, moved))
        results = [*last.values(), *self._results.values()]
        visible = len(kept) + len(self._results.keys() & set(self._outputs[carries : self._visible]))
        return Lighter(body, operands, results, outputs, visible, outside.room, outside.rounds)

    def _total(self, i: int) -> Node:
        """Return what a carry has become after the last step, of one that only adds up."""
        total = self._given.carries[i]
        for term in self._sums[i]:
            total = add(total, self._sum(term))
        return total

    def _sum(self, term: Node) -> Node:
        """Return the sum of a term over all steps."""
        once, each = self._outside.once, self._outside.each
        if term in once:
            return once[term] * self._outside.steps
        factors = _factors(term)
        if len(factors) == 1:
            return _sum_of_steps(each[term])
        a, b = factors
        if a in once:
            return matmul(once[a], _sum_of_steps(each[b]))
        if b in once:
            return matmul(_sum_of_steps(each[a]), once[b])
        rows, columns, inner = a.shape[0], b.shape[1], a.shape[1] * self._outside.steps
        left = reshape(transpose(each[a], 1, 2), inner, rows)
        return matmul(transpose(left, 0, 1), reshape(each[b], inner, columns))


def _sum_of_steps(stack: Node) -> Node:
    return Node([stack], sum_, reduction_attrs([0], keepdim=False))


def _factors(term: Node) -> list[Node]:
    """Return the matrices that a term is the product of; else the term."""
    ranks = [len(shape_of(x) or ()) for x in term.inputs]
    return list(term.inputs) if term.op is matmul and ranks == [_MATRIX, _MATRIX] else [term]


def _is_sum(x: Node) -> bool:
    return x.op is add and len(x.inputs) > 1 and is_floating(x)


def _terms(y: Node, is_part: Callable[[Node], bool]) -> tuple[list[Node], list[Node]]:
    """Return what a tree of sums adds up, and the sums below that are parts of it."""
    terms: list[Node] = []
    parts: list[Node] = []
    stack = [y]
    while stack:
        x = stack.pop()
        if x is y or (_is_sum(x) and is_part(x)):
            parts.append(x)
            stack.extend(reversed(x.inputs))
        else:
            terms.append(x)
    return terms, parts


def _running_sums(carries: Sequence[Node], outputs: Sequence[Node]) -> dict[int, list[Node]]:
    """Return the carries that steps add to, and do nothing else with, each with the terms of one step."""
    uses = Counter(x for node in topological_sort(outputs) for x in node.inputs) + Counter(outputs)
    found: dict[int, list[Node]] = {}
    for i, (carry, y) in enumerate(zip(carries, outputs, strict=False)):
        if uses[carry] != 1 or uses[y] != 1 or not _is_sum(y):
            continue
        terms, _ = _terms(y, lambda x: uses[x] == 1)
        if carry in terms and all(alike(x, carry) for x in terms):
            found[i] = [x for x in terms if x is not carry]
    return found


def _regrouped(outputs: Sequence[Node], carries: Sequence[Node]) -> list[Node]:
    """Return outputs in which of each sum those terms are added first that depend on no carry."""
    order, late = topological_sort(outputs), set(dependents(outputs, carries))
    uses = Counter(x for node in order for x in node.inputs) + Counter(outputs)
    becomes: dict[Node, Node] = {}
    parts: set[Node] = set()
    for y in reversed(order):
        if y not in late or y in parts or not _is_sum(y):
            continue
        terms, inner = _terms(y, lambda x: x in late and uses[x] == 1)
        parts.update(inner)
        early = [x for x in terms if x not in late]
        if len(early) > 1:
            total = add(reduce(add, [x for x in terms if x in late]), reduce(add, early))
            if alike(total, y):
                becomes[y] = total
    return replaced(outputs, becomes) if becomes else list(outputs)
