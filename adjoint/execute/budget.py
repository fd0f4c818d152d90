"""Plans that fit in a memory budget: which values are given up and computed again, as a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adjoint.core.errors import BudgetError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.execute.budget_problem import Problem, Schedule
from adjoint.execute.budget_solver import smallest, solved
from adjoint.execute.cost import NOMINAL
from adjoint.execute.cost_meter import Prober, Seen
from adjoint.execute.executor import Task
from adjoint.execute.facts import Facts
from adjoint.execute.memory import Memory, in_words
from adjoint.execute.memory_facts import Foreseen, assumed
from adjoint.execute.memory_order import Sketch, sketch_of
from adjoint.execute.memory_walk import seen_of, walked
from adjoint.execute.reuse import Line, reused
from adjoint.execute.steps import Steps, steps_of
from adjoint.ops.body import Body

__all__ = ['Budgeted', 'repeatable', 'within']

# Each value that is not kept is given up at once: what is free is not held for others.
_NEVER = 1 << 62

# Modules of ops that call what a user wrote.
_OF_USERS = frozenset({'adjoint.ops.custom', 'adjoint.flow.custom'})

# How often the solver is asked again, for less, when the program takes more than it thought.
_TRIES = 8

# It is asked for less by at least this part of the budget, as a power of two.
_SLACK = 6


@dataclass(frozen=True, slots=True)
class Budgeted:
    """A program that fits in its budget.

    Parameters
    ----------
    task : Task
        The graph: nodes that are computed again stand there again.
    known : Foreseen
        The layouts of its values.
    plan : Steps
        In the order of the run.
    lines : list of Line
        The steps with their memory.
    memory : Memory
        What it takes.
    """

    task: Task
    known: Foreseen
    plan: Steps
    lines: list[Line]
    memory: Memory


def within(
    free: Budgeted, known: Foreseen, prober: Prober, budget: int, *, keep_from: int, keeps_owners: bool
) -> Budgeted:
    """Return a program of a typed task that takes no more than a budget, in the least time that is found.

    Parameters
    ----------
    free : Budgeted
        The program of the task without a budget.
    known : Foreseen
        The layouts of the task's values.
    prober : Prober
        Runs steps without data.
    budget : int
        In bytes, beside the given values.
    keep_from : int
        From how many bytes on dead values are kept for others, where the budget allows it.
    keeps_owners : bool
        Whether a name lasts as long as its memory: see :func:`~adjoint.execute.reuse.reused`.

    Raises
    ------
    BudgetError
        Nothing fits; the smallest budget that is known to do is named.
    """
    if free.memory.peak_bytes <= budget:
        return replace(free, memory=replace(free.memory, budget=budget, is_optimal=True))
    task = free.task
    plan = steps_of(task, known.facts)
    made = _Contracted(plan, known, prober, keep_from=keep_from, keeps_owners=keeps_owners)
    wanted = budget
    for _ in range(_TRIES):
        solution = solved(made.problem, made.orders, wanted)
        if solution is None:
            break
        found = made.written(task, solution.schedule, budget)
        if found.memory.peak_bytes <= budget:
            told = replace(found.memory, budget=budget, is_optimal=solution.is_optimal and wanted == budget)
            return replace(found, memory=told)
        # The solver counts a little less than the program takes, where memory cannot be written over.
        wanted -= max(found.memory.peak_bytes - budget, budget >> _SLACK)
    least = _smallest(made, task)
    if least.memory.peak_bytes <= budget:
        return replace(least, memory=replace(least.memory, budget=budget))
    raise BudgetError(_refusal(least.memory, budget))


def _smallest(made: '_Contracted', task: Task) -> Budgeted:
    """Return the program that takes the least memory by the count of the solver."""
    least = smallest(made.problem, made.orders)
    solution = solved(made.problem, made.orders, least)
    assert solution is not None  # noqa: S101 what makes it the smallest
    return made.written(task, solution.schedule, least)


def _refusal(memory: Memory, budget: int) -> str:
    alive = memory.alive_at_peak[0] if memory.alive_at_peak else None
    at = '' if alive is None else f'; {in_words(alive.bytes)} of that are {alive.node}\n{alive.node.location}'
    return (
        f'no run of this graph is found that takes {in_words(budget)} or less beside its inputs. The '
        f'smallest budget that one is found for is memory_budget={memory.peak_bytes} '
        f'({in_words(memory.peak_bytes)}, {memory.overhead():.0%} more time){at}'
    )


def repeatable(node: Node) -> bool:
    """Return whether computing a node again gives the same value, and does nothing else.

    That holds for our own ops, also for draws, which hold their seeds. What ops of users do is not known.
    """
    stack = [node]
    while stack:
        inner = stack.pop()
        module = type(inner.op).__module__
        if not module.startswith('adjoint.') or module in _OF_USERS:
            return False
        for value in inner.attrs.values():
            if isinstance(value, Body):
                stack += topological_sort(value.outputs)
    return True


class _Contracted:
    """A plan as a problem of the values that take memory, and back.

    Views are not among them: each is made where it is needed.
    """

    def __init__(
        self, plan: Steps, known: Foreseen, prober: Prober, *, keep_from: int, keeps_owners: bool
    ) -> None:
        self._plan = plan
        self._known = known
        self._prober = prober
        self._keep_from = keep_from
        self._keeps_owners = keeps_owners
        self._number = {step.node: i for i, step in enumerate(plan.steps)}
        sketch = sketch_of(plan, known.facts)
        repeats = [repeatable(step.node) for step in plan.steps]
        # The steps that are views, and for each step those that it needs, and the values behind them.
        self._is_view = [
            bool(known.facts.shares[step.node]) and repeats[i] for i, step in enumerate(plan.steps)
        ]
        self._views: list[tuple[int, ...]] = []
        behind: list[tuple[int, ...]] = []
        for i, after in enumerate(sketch.after):
            views = [v for x in after if self._is_view[x] for v in (*self._views[x], x)]
            values = [r for x in after for r in (behind[x] if self._is_view[x] else (x,))]
            roots = [r for r in sketch.roots[i] if r != i]
            self._views.append(tuple(dict.fromkeys(views)))
            behind.append(tuple(dict.fromkeys([*values, *roots])))
        self._values = [i for i, view in enumerate(self._is_view) if not view]
        number = {i: k for k, i in enumerate(self._values)}
        seen = [self._seen(i) for i in self._values]
        self.problem = Problem(
            reads=[tuple(number[r] for r in behind[i]) for i in self._values],
            bytes=[0 if known.facts.shares[plan.steps[i].node] else sum(s.fresh)
                   for i, s in zip(self._values, seen, strict=True)],
            extra=[max(s.peak - sum(s.fresh), 0) for s in seen],
            over=[tuple(number[c] for c in sketch.over[i] if c in number) for i in self._values],
            seconds=[NOMINAL.seconds(s.cost) for s in seen],
            repeats=[repeats[i] for i in self._values],
            kept=frozenset(number[r] for r in self._kept(sketch, behind)),
        )  # fmt: skip
        orders = (tuple(number[i] for i in order if i in number) for order in sketch.orders())
        self.orders: list[Schedule] = sorted(dict.fromkeys(orders), key=self.problem.peak)

    def _seen(self, i: int) -> Seen:
        step = self._plan.steps[i]
        looks = [self._known.looks.get(x) if x in step.uses else None for x in step.operands]
        return seen_of(step, step.written.text, looks, self._prober) or assumed(step.node)

    def _kept(self, sketch: Sketch, behind: Sequence[tuple[int, ...]]) -> set[int]:
        """Return the values that are results, or that results are views of."""
        results = [self._number[x] for x in self._plan.outputs if x in self._number]
        return {r for i in results for r in (behind[i] if self._is_view[i] else (i,))} | set(sketch.kept)

    def written(self, task: Task, schedule: Schedule, budget: int) -> Budgeted:
        """Write a schedule as a graph, and that as a program."""
        graph = _Unrolled(self._plan, self._known)
        for k in schedule:
            for i in (*self._views[self._values[k]], self._values[k]):
                graph.put(i, is_view=self._is_view[i])
        for x in self._plan.outputs:
            i = self._number.get(x)
            for v in () if i is None else (*self._views[i], *([i] if self._is_view[i] else [])):
                graph.put(v, is_view=True)
        made = replace(task, outputs=tuple(graph.now(x) for x in self._plan.outputs))
        plan = steps_of(made, graph.known.facts)
        plan = replace(plan, steps=sorted(plan.steps, key=lambda step: graph.place[step.node]))
        layouts = graph.known.facts.layouts
        for least in (self._keep_from, _NEVER):
            lines = reused(plan, layouts, keep_from=least, keeps_owners=self._keeps_owners)
            memory = walked(made, plan, lines, graph.known, self._prober, graph.again)
            if memory.peak_bytes <= budget:
                break
        return Budgeted(made, graph.known, plan, lines, memory)


class _Unrolled:
    """The graph of a schedule: a node that is computed again stands there again, of the same op and operands.

    Parameters
    ----------
    plan : Steps
        The steps, each of which is made at least once.
    known : Foreseen
        What is known of their nodes.
    """

    def __init__(self, plan: Steps, known: Foreseen) -> None:
        self._plan = plan
        self._present: dict[Node, Node] = {}  # the node that stands for a node of the plan now
        self._made_of: dict[Node, tuple[Node, ...]] = {}
        self.place: dict[Node, int] = {}
        self.again: set[Node] = set()
        facts = Facts()
        facts.layouts |= known.facts.layouts
        facts.shares |= known.facts.shares
        self.known = Foreseen(facts, dict(known.looks), set(known.assumed))

    def now(self, node: Node) -> Node:
        """Return the node that stands for one of the plan."""
        return self._present.get(node, node)

    def put(self, i: int, *, is_view: bool) -> None:
        """Make the node of a step; a view only where what it is a view of is another than before."""
        step = self._plan.steps[i]
        node = step.node
        operands = tuple(self.now(x) for x in step.operands)
        is_first = node not in self._present
        if is_view and self._made_of.get(node) == operands:
            return
        if is_first and operands == tuple(step.operands):
            made = node
        else:
            made = self._again(node, dict(zip(step.operands, operands, strict=True)))
        self._present[node] = made
        self._made_of[node] = operands
        self.place[made] = len(self.place)
        if not is_first:
            self.again.add(made)

    def _again(self, node: Node, now: Mapping[Node, Node]) -> Node:
        """Return the node of a step on other operands; a kernel may be several nodes."""
        made = dict(now)
        for inner in topological_sort([node], behind=now):
            if inner not in made:
                inputs = [made.get(x, x) for x in inner.inputs]
                if inner is not node and all(a is b for a, b in zip(inputs, inner.inputs, strict=True)):
                    continue
                made[inner] = Node.restored(
                    inputs, inner.op, dict(inner.attrs), inner.given_name, inner.site, inner.type
                )
                self._copy(inner, made[inner])
        return made[node]

    def _copy(self, node: Node, made: Node) -> None:
        """Say of a node what is known of the one that it is like."""
        facts = self.known.facts
        if node in self.known.looks:
            self.known.looks[made] = self.known.looks[node]
        facts.shares[made] = facts.shares[node]
        if node in facts.layouts:
            facts.layouts[made] = facts.layouts[node]
        if node in self.known.assumed:
            self.known.assumed.add(made)
