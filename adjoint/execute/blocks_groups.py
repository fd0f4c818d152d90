"""Which steps of a plan are computed together, block by block."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.tensor_type import TensorType
from adjoint.execute.aliases import Aliases
from adjoint.execute.blocks import Blocking, Blocks, Cut
from adjoint.execute.blocks_folds import Fold, fold_of
from adjoint.execute.executor import Task
from adjoint.execute.facts import Fact, Facts
from adjoint.execute.kernels.table import Written
from adjoint.execute.program import PlannedProgram
from adjoint.execute.reuse import Line, reused
from adjoint.execute.steps import Step, Steps, is_pure
from adjoint.ops.creation import Variable

__all__ = ['in_blocks', 'parted_at_once']

# How many times the entries of a group must be read and written, step by step, for each time that they are in
# blocks: of values that may stay in the largest cache, and of larger ones.
_WORTH_IN_CACHE, _WORTH = 12, 2


class _Together(Op):
    """The values of a group, as a tuple."""

    name = 'blocks'

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs


@dataclass(frozen=True, slots=True)
class _Group:
    """Steps that are computed together.

    Parameters
    ----------
    steps : list of Step
        In their order.
    values : list of Node
        What is needed of them elsewhere, as a whole.
    operands : list of Node
        What they read.
    cut : Cut
        Into blocks.
    folds : dict of Node to Fold
        The steps among them whose values are numbers, and how these are computed.
    """

    steps: list[Step]
    values: list[Node]
    operands: list[Node]
    cut: Cut
    folds: Mapping[Node, Fold]

    @property
    def results(self) -> list[Node]:
        """What is computed."""
        return [*self.values, *self.folds]


def in_blocks(plan: Steps, facts: Facts, blocking: Blocking, *, poison: bool) -> tuple[Steps, Facts]:
    """Return the plan with each chain of elementwise steps on large tensors as one step, and what is known.

    Parameters
    ----------
    plan : Steps
        The values.
    facts : Facts
        Their layouts.
    blocking : Blocking
        What is large.
    poison : bool
        Whether memory that is free is filled with garbage.
    """
    large = [facts.layouts.get(step.node) for step in plan.steps if step.by_entry]
    # Two groups of two shapes might need one another: they are looked for one after the other.
    for shape in dict.fromkeys(x.shape for x in large if x is not None and x.bytes >= blocking.least):
        plan, facts = _of_shape(plan, facts, shape, blocking, poison=poison)
    return plan, facts


def _of_shape(
    plan: Steps, facts: Facts, shape: tuple[int, ...], blocking: Blocking, *, poison: bool
) -> tuple[Steps, Facts]:
    groups = list(_groups(plan, facts.layouts, shape, blocking))
    if not groups:
        return plan, facts
    aliases = plan.aliases.copy()
    known = Facts()
    known.layouts.update(facts.layouts)
    known.shares.update(facts.shares)
    units: dict[Node, list[Step]] = {}
    for group in groups:
        steps = _written(group, facts.layouts, poison=poison)
        known.shares[steps[0].node] = ()
        for step in steps[1:]:
            if step.node in group.folds:  # a number lies apart
                known.shares[step.node] = ()
                continue
            aliases.join(step.node, steps[0].node)
            known.shares[step.node] = (0,)
        units.update(dict.fromkeys((step.node for step in group.steps), steps))
    pinned = {aliases.of(node) for node in plan.pinned}
    return replace(plan, steps=_sorted(plan.steps, units), aliases=aliases, pinned=pinned), known


def parted_at_once(steps: Iterable[Step]) -> list[Step]:
    """Return steps in their order, but what takes one of several results right behind what computes them.

    That costs nothing, and each result ends where it is used last.
    """
    taken: dict[Node, list[Step]] = defaultdict(list)
    others: list[Step] = []
    for step in steps:
        whole = step.uses[0] if len(step.uses) == 1 else step.node
        if isinstance(whole.op, _Together) and step.node is not whole:
            taken[whole].append(step)
        else:
            others.append(step)
    return [each for step in others for each in (step, *taken[step.node])]


# -- finding ---------------------------------------------------------------------------------------


def _groups(
    plan: Steps, layouts: Mapping[Node, Fact], shape: tuple[int, ...], blocking: Blocking
) -> Iterable[_Group]:
    """Find steps that hang together, between which nothing else has to be computed."""
    members = {s.node: s for s in plan.steps if s.by_entry and _is_fit(layouts.get(s.node), shape)}
    levels = _levels(plan.steps, members)
    readers = Counter(chain(plan.outputs, *(step.uses for step in plan.steps)))
    _delay(members, levels, readers)
    sets = Aliases()
    for node, step in members.items():
        for x in step.uses:
            if x in members and levels[x] == levels[node]:
                sets.join(node, x)
    found: dict[Node, list[Step]] = defaultdict(list)
    for step in plan.steps:
        node = step.node
        if node in members:
            found[sets.of(node)].append(step)
        elif step.is_alone and len(step.uses) == 1 and step.uses[0] in members:
            # What is computed of one member alone can be computed with it: what reads it is a level further.
            found[sets.of(step.uses[0])].append(step)
    for steps in found.values():
        folds = _folds([step for step in steps if step.node not in members], layouts)
        inside = [step for step in steps if step.node in members]
        both = [step for step in steps if step.node in members or step.node in folds]
        group = _group(both, folds, readers, layouts, shape, blocking)
        group = group or _group(inside, {}, readers, layouts, shape, blocking)
        if group is not None:
            yield group


def _folds(steps: Sequence[Step], layouts: Mapping[Node, Fact]) -> dict[Node, Fold]:
    """Return how the values of some steps are computed of blocks, of those of which they are."""
    found: dict[Node, Fold] = {}
    for step in steps:
        own = layouts.get(step.node)
        fold = None if own is None else fold_of(step, layouts[step.uses[0]], own)
        if fold is not None:
            found[step.node] = fold
    return found


def _levels(steps: Iterable[Step], members: Mapping[Node, Step]) -> dict[Node, int]:
    """Return levels: what other steps compute of a member is needed by none of its own level."""
    levels: dict[Node, int] = {}
    before: tuple[Node, ...] = ()  # the last step that may do more than compute a value
    for step in steps:
        node = step.node
        reads = step.uses if is_pure(node) else [*step.uses, *before]
        leaves = node not in members
        levels[node] = max((levels.get(x, 0) + (leaves and x in members) for x in reads), default=0)
        if not is_pure(node):
            before = (node,)
    return levels


def _delay(members: Mapping[Node, Step], levels: dict[Node, int], readers: Mapping[Node, int]) -> None:
    """Move members that only later ones need to the first of these levels."""
    inside: Counter[Node] = Counter()
    needed: dict[Node, int] = {}
    for node in reversed(list(members)):
        if inside[node] == readers[node] > 0:
            levels[node] = needed[node]
        for x in members[node].uses:
            inside[x] += 1
            needed[x] = min(needed.get(x, levels[node]), levels[node])


def _is_fit(fact: Fact | None, shape: tuple[int, ...]) -> bool:
    """Whether a value is one of the shape, whose entries lie one after the other on the CPU."""
    return fact is not None and fact.shape == shape and fact.is_contiguous and fact.device.type == 'cpu'


def _group(
    steps: list[Step],
    folds: Mapping[Node, Fold],
    readers: Mapping[Node, int],
    layouts: Mapping[Node, Fact],
    shape: tuple[int, ...],
    blocking: Blocking,
) -> _Group | None:
    """Return the group of some steps; ``None`` where it does not pay, or cannot be cut."""
    if len(steps) == 1:
        return None
    own = {step.node for step in steps}
    inside = Counter(x for step in steps for x in step.uses)
    values = [
        step.node for step in steps if step.node not in folds and readers[step.node] > inside[step.node]
    ]
    operands = [x for x in inside if x not in own]
    facts = [layouts.get(x) for x in operands]
    large = [fact for fact in facts if fact is not None and fact.shape == shape]
    if None in facts or not all(fact.is_contiguous for fact in large):
        return None
    touched = [x for step in steps for x in {step.node, *step.uses}]
    moved = sum(_is_fit(layouts.get(x), shape) for x in touched)
    size = max(layouts[node].dtype.itemsize for node in own if node not in folds)
    is_huge = torch.Size(shape).numel() * size >= 2 * blocking.least
    if moved < (_WORTH if is_huge else _WORTH_IN_CACHE) * (len(large) + len(values)):
        return None
    entries = blocking.block // size
    is_flat = all(fact is not None and (fact.shape == shape or fact.entries == 1) for fact in facts)
    cut = Cut.of(shape, entries, math.lcm(*(fold.unit for fold in folds.values())), is_flat=is_flat)
    if cut is None or cut.length <= cut.size:
        return None
    return _Group(steps, values, operands, cut, folds)


# -- writing ---------------------------------------------------------------------------------------


def _written(group: _Group, layouts: Mapping[Node, Fact], *, poison: bool) -> list[Step]:
    """Return the step of a group; with several results a first one that has all, and one for each."""
    program, lines, scratch = _program(group, layouts, poison=poison)
    facts = [layouts[x] for x in group.operands]
    folds = [(fold, layouts[x]) for x, fold in group.folds.items()]
    blocks = Blocks(program, group.cut, facts, [layouts[x] for x in group.values], folds, scratch)
    listed = ', '.join(f'{{{i}}}' for i in range(len(group.operands)))
    call = f'{{blocks}}({listed}'
    bound = {'blocks': blocks}
    if len(group.results) == 1:
        (value,) = group.results
        if value in group.folds:
            return [Step(value, Written(f'{call})', bound), group.operands, group.operands)]
        over = tuple(
            (i, f'{call}, out={{{i}}})')
            for i, x in enumerate(group.operands)
            if _ends_before(lines, x, value)
        )
        written = Written(f'{call})', bound, None, f'{call}, out={{out}})', over)
        return [Step(value, written, group.operands, group.operands)]
    site = group.steps[-1].node.site
    types = tuple(x.type for x in group.results)
    together = Node.restored(group.operands, _Together(len(types)), {}, '', site, TensorType(items=types))
    first = Step(together, Written(f'{call})', bound), group.operands, group.operands)
    entries = (Written(f'{{0}}[{i}]') for i in range(len(types)))
    return [first, *(Step(x, w, [together], [together]) for x, w in zip(group.results, entries, strict=True))]


def _program(
    group: _Group, layouts: Mapping[Node, Fact], *, poison: bool
) -> tuple[PlannedProgram, list[Line], list[Fact]]:
    """Write the program of one block: what it computes goes into memory that it is given.

    That is memory for the results, and then what it may write to.
    """
    shape = group.cut.block
    strides = torch.empty(shape, device='meta').stride()
    own = {
        step.node: Fact(shape, fact.dtype, fact.device, strides, owns=True)
        for step in group.steps
        if (fact := layouts[step.node]) and step.node not in group.folds
    }
    rooms = {x: Variable('parts' if x in group.folds else 'out') for x in group.results}
    given = (*group.operands, *rooms.values())
    inner = Steps(_in_parts(group), {}, group.results, Aliases(), {*given, *group.results})
    lines = reused(inner, own, keep_from=0, keeps_owners=poison)
    scratch: dict[Node, Fact] = {}
    for line in lines:
        node, written = line.step.node, line.step.written
        if node in rooms:
            line.text = written.into or f'{{out}}.copy_({written.text})'
            line.target, line.over = rooms[node], None
        elif line.target is None and line.over is None and written.into:
            line.text, line.target = written.into, Variable('free')
            scratch[line.target] = own[node]
    task = Task(tuple(group.results), (*given, *scratch))
    return PlannedProgram(task, inner, lines, poison=poison), lines, list(scratch.values())


def _in_parts(group: _Group) -> list[Step]:
    """Return the steps, those that give numbers for one block, each right behind what it is computed of."""
    behind: dict[Node, list[Step]] = defaultdict(list)
    for step in group.steps:
        fold = group.folds.get(step.node)
        if fold is not None:
            written = Written('{part}({0})', {'part': fold.part}, into='{part}({0}, {out})')
            behind[step.uses[0]].append(Step(step.node, written, step.uses, step.uses))
    values = [step for step in group.steps if step.node not in group.folds]
    return [each for step in values for each in (step, *behind[step.node])]


def _ends_before(lines: Sequence[Line], x: Node, value: Node) -> bool:
    """Whether a block reads an operand for the last time before its value is written, or with it."""
    steps = [line.step for line in lines]
    last = max(i for i, step in enumerate(steps) if x in step.uses)
    return last <= next(i for i, step in enumerate(steps) if step.node is value)


def _sorted(steps: Sequence[Step], units: Mapping[Node, list[Step]]) -> list[Step]:
    """Return the steps with those of groups in the place of their members, each after what it reads."""
    unit_of = {step.node: units.get(step.node) or [step] for step in steps}
    impure = [step.node for step in steps if not is_pure(step.node)]
    # What may do more than compute a value stays in its order.
    before = {b: a for a, b in pairwise(impure)}
    done: set[int] = set()
    found: list[Step] = []
    for start in steps:
        stack = [unit_of[start.node]]
        while stack:
            unit = stack[-1]
            if id(unit) in done:
                stack.pop()
                continue
            first = unit[0]
            reads = [*first.uses, *([before[first.node]] if first.node in before else [])]
            waiting = [u for x in reads if x in unit_of and id(u := unit_of[x]) not in done]
            if waiting:
                stack += reversed(waiting)
                continue
            stack.pop()
            done.add(id(unit))
            found += unit
    return found
