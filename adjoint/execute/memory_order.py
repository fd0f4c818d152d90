"""In which order the steps of a plan run, so that little is alive at once."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.execute.facts import Fact, Facts
from adjoint.execute.steps import Step, Steps

__all__ = ['Sketch', 'ordered', 'sketch_of']

# Below this many bytes nothing is gained: they are in a cache.
_SMALL = 1 << 16

# Ops of this package compute nothing but their values; those of users stay in their order.
_OURS = 'adjoint.'


@dataclass(frozen=True, slots=True)
class Sketch:
    """The steps of a plan by their numbers, and what matters of them for memory.

    Parameters
    ----------
    after : list of tuple of int
        For each step, those that come before it: most of all those whose values it reads.
    roots : list of tuple of int
        For each step, those whose memory it reads: behind a view, what it is a view of.
    bytes : list of int
        The memory that each step makes; none for a view.
    over : list of tuple of int
        For each step, those whose memory it may be written over, when it is the last to read it.
    kept : set of int
        The steps whose memory is not freed.
    """

    after: list[tuple[int, ...]]
    roots: list[tuple[int, ...]]
    bytes: list[int]
    over: list[tuple[int, ...]]
    kept: frozenset[int]

    def order(self) -> list[int]:
        """Return the order of those that are tried in which the least is alive at once."""
        return min(self.orders(), key=self.peak)

    def orders(self) -> list[list[int]]:
        """Return the orders that are tried, the given one first."""
        return [list(range(len(self.bytes))), _Forwards(self).order(), _Backwards(self).order()]

    def peak(self, order: Sequence[int]) -> int:
        """Return the most that is alive at once in an order."""
        last: dict[int, int] = {}
        for i in order:
            last[i] = i
            last.update(dict.fromkeys(self.roots[i], i))
        live = peak = 0
        for i in order:
            dying = [r for r in (*self.roots[i], i) if last[r] == i and r not in self.kept]
            if not any(r in dying for r in self.over[i]):
                live += self.bytes[i]
                peak = max(peak, live)
                live -= sum(self.bytes[r] for r in dying)
            else:
                # One of them becomes the value, the others are freed.
                live += self.bytes[i] - sum(self.bytes[r] for r in dying)
        return peak


def ordered(plan: Steps, facts: Facts) -> tuple[Steps, int]:
    """Return the plan in an order in which less is alive at once, if there is one, and how much that is.

    What kernels take inside is not looked at. In the given order, depth first, values are made when they are
    first needed, but those that many need, such as gradients by the way, lie about. Two others are tried:
    from the first step on, and from the last back, the step that changes what is alive for the best. The same
    graph has the same order every time.
    """
    if sum(fact.bytes for fact in facts.layouts.values()) < _SMALL:
        return plan, _SMALL
    sketch = sketch_of(plan, facts)
    order = sketch.order()
    return replace(plan, steps=[plan.steps[i] for i in order]), sketch.peak(order)


def sketch_of(plan: Steps, facts: Facts) -> Sketch:
    """Return what matters of a plan for its memory."""
    number = {step.node: i for i, step in enumerate(plan.steps)}
    # Behind a node without a step, such as a constant or a given value, lies no memory of the run.
    roots_of: dict[Node, tuple[int, ...]] = {}
    after: list[tuple[int, ...]] = []
    roots: list[tuple[int, ...]] = []
    sizes: list[int] = []
    over: list[tuple[int, ...]] = []

    def is_pinned(x: Node) -> bool:
        return plan.aliases.of(x) in plan.pinned

    written: tuple[int, ...] = ()  # the last step that may do more than compute a value
    for i, step in enumerate(plan.steps):
        node = step.node
        shared = [step.operands[k] for k in facts.shares[node] if step.operands[k] in step.uses]
        roots_of[node] = _union(roots_of.get(x, ()) for x in shared) if shared else (i,)
        reads = [number[x] for x in step.uses if x in number]
        if not type(node.op).__module__.startswith(_OURS):
            reads, written = [*reads, *written], (i,)
        after.append(tuple(dict.fromkeys(reads)))
        roots.append(_union(roots_of.get(x, ()) for x in step.uses))
        sizes.append(0 if shared else _bytes(node, facts.layouts.get(node)))
        over.append(_over(step, facts.layouts, roots_of, number, is_pinned))
    kept = frozenset(r for node in plan.outputs for r in roots_of.get(node, ()))
    return Sketch(after, roots, sizes, over, kept)


def _union(sets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(r for each in sets for r in each))


def _bytes(node: Node, layout: Fact | None) -> int:
    return layout.bytes if layout is not None else _of_type(node.type)


def _of_type(known: TensorType | None) -> int:
    if known is None:
        return 0
    if known.items is not None:
        return sum(map(_of_type, known.items))
    if not known.is_static or known.shape is None or known.dtype is None:
        return 0
    entries = 1
    for size in known.shape:
        entries *= size if isinstance(size, int) else 0
    return entries * known.dtype.itemsize


def _over(
    step: Step,
    layouts: Mapping[Node, Fact],
    roots_of: Mapping[Node, tuple[int, ...]],
    number: Mapping[Node, int],
    is_pinned: Callable[[Node], bool],
) -> tuple[int, ...]:
    layout = layouts.get(step.node)
    if layout is None or not layout.owns:
        return ()
    found: list[int] = []
    for position, _ in step.written.over:
        x = step.operands[position]
        own = number.get(x)
        if own is None or layouts.get(x) != layout or roots_of.get(x) != (own,) or is_pinned(x):
            continue
        if all(other is x or own not in roots_of.get(other, ()) for other in step.uses):
            found.append(own)
    return tuple(found)


# -- two orders ------------------------------------------------------------------------------------


class _Ready:
    """Steps that can be taken now, by what taking them changes; a change of that enters them again."""

    def __init__(self, gain: Callable[[int], tuple[int, ...]]) -> None:
        self._gain = gain
        self._heap: list[tuple[tuple[int, ...], int]] = []
        self._now: dict[int, tuple[int, ...]] = {}

    def put(self, i: int, place: int) -> None:
        gain = self._gain(i)
        if self._now.get(i) != gain:
            self._now[i] = gain
            heapq.heappush(self._heap, (gain, place))

    def holds(self, i: int) -> bool:
        return i in self._now

    def pop(self, step_at: Callable[[int], int]) -> int | None:
        while self._heap:
            gain, place = heapq.heappop(self._heap)
            i = step_at(place)
            if self._now.get(i) == gain:
                del self._now[i]
                return i
        return None


class _Forwards:
    """Take next what adds least to what is alive; of equals, what needs least meanwhile, then the first."""

    def __init__(self, sketch: Sketch) -> None:
        count = len(sketch.bytes)
        self._sketch = sketch
        self._users = _turned(sketch.after)
        self._waits = [len(after) for after in sketch.after]
        # How many steps are still to read a memory, and the sum of their numbers: that is the last one's own.
        self._left, self._total = [0] * count, [0] * count
        for i, roots in enumerate(sketch.roots):
            for r in roots:
                self._left[r] += 1
                self._total[r] += i

    def _change(self, i: int) -> tuple[int, int]:
        sketch, left = self._sketch, self._left
        dying = [r for r in sketch.roots[i] if left[r] == 1 and r not in sketch.kept]
        meanwhile = 0 if any(r in dying for r in sketch.over[i]) else sketch.bytes[i]
        return sketch.bytes[i] - sum(sketch.bytes[r] for r in dying), meanwhile

    def order(self) -> list[int]:
        ready = _Ready(self._change)
        for i, waits in enumerate(self._waits):
            if not waits:
                ready.put(i, i)
        order: list[int] = []
        while (i := ready.pop(lambda place: place)) is not None:
            order.append(i)
            self._took(i, ready)
        return order

    def _took(self, i: int, ready: _Ready) -> None:
        for r in self._sketch.roots[i]:
            self._left[r] -= 1
            self._total[r] -= i
            last = self._total[r]
            if self._left[r] == 1 and ready.holds(last):
                ready.put(last, last)
        for user in self._users[i]:
            self._waits[user] -= 1
            if not self._waits[user]:
                ready.put(user, user)


class _Backwards:
    """Take last what needs least to be alive before it; of equals, what comes last in the given order."""

    def __init__(self, sketch: Sketch) -> None:
        self._sketch = sketch
        self._readers = _turned(sketch.roots)
        self._waits = [len(users) for users in _turned(sketch.after)]
        self._is_alive = [i in sketch.kept for i in range(len(sketch.bytes))]

    def _change(self, i: int) -> tuple[int]:
        sketch, is_alive = self._sketch, self._is_alive
        needed = sum(sketch.bytes[r] for r in sketch.roots[i] if not is_alive[r])
        return (needed - (sketch.bytes[i] if is_alive[i] else 0),)

    def order(self) -> list[int]:
        ready = _Ready(self._change)
        for i, waits in enumerate(self._waits):
            if not waits:
                ready.put(i, -i)
        order: list[int] = []
        while (i := ready.pop(lambda place: -place)) is not None:
            order.append(i)
            self._took(i, ready)
        return order[::-1]

    def _took(self, i: int, ready: _Ready) -> None:
        for r in self._sketch.roots[i]:
            if self._is_alive[r]:
                continue
            self._is_alive[r] = True
            for reader in (*self._readers[r], r):
                if ready.holds(reader):
                    ready.put(reader, -reader)
        for x in self._sketch.after[i]:
            self._waits[x] -= 1
            if not self._waits[x]:
                ready.put(x, -x)


def _turned(lists: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return, for each number, the positions of the lists that it is in."""
    found: list[list[int]] = [[] for _ in lists]
    for i, numbers in enumerate(lists):
        for x in numbers:
            found[x].append(i)
    return found
