"""The nodes of the body of a loop, computed outside of it: once, or for all steps as one batch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

import torch

from adjoint.core.errors import AdjointError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.flow.map import Map
from adjoint.ops.arithmetic import abs_, add, div, mul, neg, sub
from adjoint.ops.body import Body
from adjoint.ops.creation import Variable
from adjoint.ops.random import Draw
from adjoint.ops.shape import permute, transpose
from adjoint.passes.facts import dtype_of, shape_of

__all__ = ['Outside', 'alike']

# A step that computes more than so many bytes at once takes longer for that than for the call.
_LARGEST = 1 << 18

# Ops of which each entry has the same bits however many are computed at once: with no function whose vector
# form rounds in another way than its scalar form.
_EXACT = frozenset({abs_, add, div, mul, neg, sub})
_EXACT_DTYPES = frozenset({torch.float32, torch.float64})
_VIEWS = frozenset({permute, transpose})

_OURS = 'adjoint.ops.'


class Outside:
    """What stands outside of a loop for the nodes of its body.

    Parameters
    ----------
    once : mapping of Node to Node
        The constants of the body with what the loop is given for them.
    each : mapping of Node to Node
        Nodes of the body with tensors of their values in all steps, along a first axis.
    stacked : iterable of Node
        Those of them that are known to lie in memory in order, one step after the other.
    inside : collection of Node
        All nodes of the body.
    steps : int
        How many steps there are.
    room : int
        How many bytes may be computed for all steps together.
    rounds : bool
        Whether values may be rounded in another way.
    """

    def __init__(
        self,
        once: Mapping[Node, Node],
        each: Mapping[Node, Node],
        stacked: Iterable[Node],
        inside: Collection[Node],
        steps: int,
        room: int,
        *,
        rounds: bool,
    ) -> None:
        self.once = dict(once)
        self.each = dict(each)
        self.steps = steps
        self.room = room
        self.rounds = rounds
        self._inside = inside
        self._stacked = set(stacked)
        self._known = {*self.once.values(), *self.each.values()}

    def take(self, node: Node) -> bool:
        """Compute a node outside, if that is possible; whether it is."""
        if node in self.once or node in self.each:
            return True
        if not node.inputs:
            # A number, or a tensor that the graph holds, stands in the body and outside.
            return is_pure(node) and self._is(self.once, node, node)
        if not is_pure(node) or not all(x in self.once or x in self.each for x in node.inputs):
            return False
        outside = ambient_site()
        enter_site(node.site)
        try:
            if all(x in self.once for x in node.inputs):
                return self._is(self.once, node, _on(node, [self.once[x] for x in node.inputs]))
            return self._batch(node)
        finally:
            leave_sites(outside)

    def given(self, node: Node) -> Node:
        """Return a variable for the values of a node that the loop gives anyway."""
        known = node.type
        shape = None if known is None or known.shape is None else (self.steps, *known.shape)
        made = Variable(node.given_name, shape, known and known.dtype, known and known.device)
        if node not in self.once and node not in self.each:
            self._is(self.each, node, made)
            self._stacked.add(node)
        return made

    def stack(self, node: Node) -> Node | None:
        """Return a variable for the values of a node that the loop gives, if there is room for them."""
        return self.given(node) if self._pays(node) else None

    def _is(self, outside: dict[Node, Node], node: Node, found: Node) -> bool:
        """Note what a node is outside; returns true."""
        outside[node] = found
        self._known.add(found)
        return True

    def _batch(self, node: Node) -> bool:
        """Compute a node for all steps at once; whether that can be."""
        is_view = node.op in _VIEWS
        if not (self.rounds or is_view or self._is_exact(node)):
            return False
        example = _on(node, [self.once.get(x, x) for x in node.inputs])
        given = [self.each.get(x) for x in node.inputs]
        try:
            found = node.op.batch(example, given)
        except AdjointError:
            return False
        if not self._is_batch(node, found) or not (is_view or self._pays(node)):
            return False
        if self._is_exact(node):
            self._stacked.add(node)
        return self._is(self.each, node, found)

    def _is_exact(self, node: Node) -> bool:
        """Whether an op has the same bits on a batch, and leaves the same layout to what follows."""
        if node.op not in _EXACT or node.type is None or node.type.dtype not in _EXACT_DTYPES:
            return False
        return all(x in self._stacked and x.type is not None and alike(x, node) for x in node.inputs)

    def _is_batch(self, node: Node, found: Node) -> bool:
        """Whether a node is what a rule should have made: of ops on the whole, and of nothing inside."""
        if found.type is None or found.type.shape != (self.steps, *(shape_of(node) or ())):
            return False
        made = [x for x in topological_sort(found, behind=self._known) if x not in self._known]
        return found.type.dtype == dtype_of(node) and not any(
            isinstance(x.op, Map) or x in self._inside for x in made
        )

    def _pays(self, node: Node) -> bool:
        """Whether a node is small in one step, and there is room for all steps, which is then taken."""
        size = _bytes_of(node)
        if size is None or size > _LARGEST or size * self.steps > self.room:
            return False
        self.room -= size * self.steps
        return True


def is_pure(node: Node) -> bool:
    """Whether a node is nothing but a function of its operands, and of a known type."""
    op = node.op
    if node.type is None or not node.type.is_static or op.outputs > 1 or isinstance(op, Draw):
        return False
    return (
        op.shareable and type(op).__module__.startswith(_OURS) and not any(map(_holds, node.attrs.values()))
    )


def _holds(value: object) -> bool:
    """Whether an attr is a body, or several."""
    several = cast('tuple[object, ...]', value) if isinstance(value, tuple) else (value,)
    return any(isinstance(x, Body) for x in several)


def alike(x: Node, y: Node) -> bool:
    """Whether two values are known to be of one shape and dtype."""
    return shape_of(x) == shape_of(y) is not None and dtype_of(x) == dtype_of(y) is not None


def _bytes_of(node: Node) -> int | None:
    shape, dtype = shape_of(node), dtype_of(node)
    return None if shape is None or dtype is None else torch.Size(shape).numel() * dtype.itemsize


def _on(node: Node, inputs: Sequence[Node]) -> Node:
    """Return a node on other operands of the same types."""
    return Node.restored(list(inputs), node.op, dict(node.attrs), node.given_name, node.site, node.type)
