"""The walk that applies rewrites: each node once, inputs first, without recursion."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from adjoint.core.errors import AdjointError, RuleError
from adjoint.core.node import Node
from adjoint.core.numbering import value_key
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body
from adjoint.ops.creation import constant
from adjoint.passes.rewrite import Rewrite

__all__ = ['Walk', 'Walked', 'compatible', 'remade', 'replaced', 'rewritten', 'sharing_key', 'with_bodies']

# More rewrites than this for each node, and some of them must undo each other.
_MOST = 20


@dataclass(frozen=True, slots=True)
class Walked:
    """What a pass made of some nodes.

    Parameters
    ----------
    nodes : list of Node
        What stands in the place of each.
    made_by : dict of Node to Rewrite
        The new nodes, with the rewrite that made them.
    applied : int
        How many rewrites were applied, in bodies too.
    merged : int
        How many nodes became one with another, in bodies too.
    """

    nodes: list[Node]
    made_by: dict[Node, Rewrite] = field(default_factory=dict[Node, Rewrite])
    applied: int = 0
    merged: int = 0


def rewritten(nodes: Iterable[Node], table: Mapping[Op, Sequence[Rewrite]]) -> Walked:
    """Apply rewrites to the graph of some nodes, and to what they make, until none fits.

    New nodes carry the line of the node that they replace, and what takes its place its name.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.
    table : mapping of Op to sequence of Rewrite
        By the op at which they are tried; the first that fits is applied.

    Returns
    -------
    Walked
        In the order of ``nodes``. Nodes whose graph nothing fits stay the same objects.

    Raises
    ------
    RuleError
        Rewrites undo each other without end, or one gave the place of a node to one of another type.
    """
    return Walk(table).run(nodes)


class Walk:
    """Families at work: what became of each node so far.

    A node never changes, and neither does what becomes of it: a second run goes over the new nodes only.

    Parameters
    ----------
    table : mapping of Op to sequence of Rewrite
        By the op at which they are tried; the first that fits is applied.
    shares : bool
        Whether nodes of the same op, operands and attrs become one: the first of them.
    """

    def __init__(self, table: Mapping[Op, Sequence[Rewrite]], *, shares: bool = False) -> None:
        self.table = table
        self.settled: dict[Node, Node] = {}
        # What takes the place of a node, and is not settled itself yet.
        self.becomes: dict[Node, Node] = {}
        self.bodies: dict[Body, Body] = {}
        self.made_by: dict[Node, Rewrite] = {}
        self.applied = 0
        self.merged = 0
        self._first: dict[Hashable, Node] | None = {} if shares else None

    def run(self, nodes: Iterable[Node]) -> Walked:
        """Return what becomes of some nodes; see :func:`rewritten`."""
        before, self.made_by = (self.applied, self.merged), {}
        outside = ambient_site()
        try:
            found = [self.settle(node) for node in nodes]
        finally:
            leave_sites(outside)
        return Walked(found, self.made_by, self.applied - before[0], self.merged - before[1])

    def settle(self, wanted: Node) -> Node:
        """Return what becomes of a node."""
        settled, becomes = self.settled, self.becomes
        stack = [wanted]
        while stack:
            node = stack[-1]
            if node in settled:
                stack.pop()
                continue
            if node in becomes:
                settled[node] = settled[becomes[node]]
                continue
            inputs: list[Node] = []
            is_same = True
            for x in node.inputs:
                found = settled.get(x)
                if found is None:
                    break
                inputs.append(found)
                is_same = is_same and found is x
            if len(inputs) < len(node.inputs):
                stack.extend([x for x in reversed(node.inputs) if x not in settled])
                continue
            attrs = with_bodies(node.attrs, self._body) if node.attrs else node.attrs
            fresh = node if is_same and attrs is node.attrs else remade(node, inputs, attrs)
            replacement = self._first_of(fresh)
            if replacement is None:
                replacement = self._replacement(fresh)
            if replacement is None:
                settled[node] = settled[fresh] = fresh
            else:
                becomes[node] = becomes[fresh] = replacement
                stack.append(replacement)
        return settled[wanted]

    def _first_of(self, node: Node) -> Node | None:
        """Return the node of the same value that was seen before, if any."""
        if self._first is None:
            return None
        key = sharing_key(node)
        first = node if key is node else self._first.setdefault(key, node)
        # One that is not settled yet may be waiting for this one.
        if first is node or first not in self.settled or first.type != node.type:
            return None
        self.merged += 1
        return first

    def _body(self, body: Body) -> Body:
        if body not in self.bodies:
            walk = Walk(self.table, shares=self._first is not None)
            walked = walk.run(body.outputs)
            self.applied += walked.applied
            self.merged += walked.merged
            changed = walked.applied + walked.merged
            self.bodies[body] = body if changed == 0 else Body(body.inputs, walked.nodes)
        return self.bodies[body]

    def _replacement(self, node: Node) -> Node | None:
        """Return what the first rewrite that fits puts in the place of a node."""
        rules = self.table.get(node.op)
        if rules is None:
            return None
        enter_site(node.site)
        for each in rules:
            try:
                found = each.apply(node)
            except AdjointError as error:
                error.add_note(f"while rewrite {each.name} looked at node '{node}'\n{node.location}")
                raise
            if found is None or found is node:
                continue
            self.applied += 1
            if self.applied > _MOST * (len(self.settled) + _MOST):
                msg = f"rewrites undo each other without end: {each.name} at node '{node}'\n{node.location}"
                raise RuleError(msg)
            _check_types(each, node, found)
            return self._stamped(each, node, found)
        return None

    def _stamped(self, by: Rewrite, old: Node, new: Node) -> Node:
        """Note who made the new nodes, and hand over the name."""
        if new in self.settled:
            return new
        if old.given_name and not new.given_name:
            new = new.restored(new.inputs, new.op, new.attrs, old.given_name, new.site, new.type)
        for node in topological_sort(new, behind=self.settled):
            if node not in self.settled:
                self.made_by.setdefault(node, by)
        return new


def sharing_key(node: Node) -> Hashable:
    """Return a key that two nodes share only if they have the same value; the node itself where none can."""
    if node.op is constant and 'number' in node.attrs:
        # Tensors of users may be changed in place, and are told apart; a number stays.
        number = node.attrs['number']
        return constant, number.__class__, repr(number), node.type
    return value_key(node, node.inputs)


def _check_types(by: Rewrite, old: Node, new: Node) -> None:
    """Raise where both types are known and differ."""
    if not compatible(old.type, new.type):
        msg = f"rewrite {by.name} put {new.type} in the place of {old.type}, node '{old}'\n{old.location}"
        raise RuleError(msg)


def compatible(a: TensorType | None, b: TensorType | None) -> bool:
    """Whether a value can be of both types, as far as they are known."""
    if a is None or b is None or a == b:
        return True
    if None not in {a.dtype, b.dtype} and a.dtype != b.dtype:
        return False
    if a.shape is None or b.shape is None:
        return True
    pairs = zip(a.shape, b.shape, strict=False)
    numbers = all(m == n for m, n in pairs if isinstance(m, int) and isinstance(n, int))
    return numbers and len(a.shape) == len(b.shape)


def remade(node: Node, inputs: list[Node], attrs: dict[str, Any] | None = None) -> Node:
    """Return a node with other inputs or attrs, of the same name and line; itself where all are the same.

    Its type is inferred again where it was not known in full and the types of the inputs are others.
    """
    attrs = node.attrs if attrs is None else attrs
    if attrs is node.attrs and inputs == node.inputs:  # nodes are compared by identity
        return node
    known = node.type
    if known is None or not known.is_static:
        types = [x.type for x in inputs]
        if inputs and None not in types and types != [x.type for x in node.inputs]:
            outside = ambient_site()
            enter_site(node.site)
            try:
                return Node(inputs, node.op, attrs, node.given_name)
            finally:
                leave_sites(outside)
    return node.restored(inputs, node.op, dict(attrs), node.given_name, node.site, known)


def with_bodies(attrs: dict[str, Any], change: Callable[[Body], Body]) -> dict[str, Any]:
    """Return attrs with each body in them changed; the same object where none is."""
    changed: dict[str, Any] = {}
    for name, value in attrs.items():
        if isinstance(value, Body):
            new: Any = change(value)
            if new is not value:
                changed[name] = new
        elif isinstance(value, tuple) and any(isinstance(v, Body) for v in value):  # pyright: ignore[reportUnknownVariableType] of anything
            parts = cast('tuple[Any, ...]', value)
            bodies = tuple(change(v) if isinstance(v, Body) else v for v in parts)
            if any(a is not b for a, b in zip(bodies, parts, strict=True)):
                changed[name] = bodies
    return attrs | changed if changed else attrs


def replaced(nodes: Sequence[Node], becomes: Mapping[Node, Node]) -> list[Node]:
    """Return nodes in whose graphs some are replaced, also behind what they are replaced by."""
    settled: dict[Node, Node] = {}
    stack = list(nodes)
    while stack:
        node = stack[-1]
        if node in settled:
            stack.pop()
            continue
        needed = [becomes[node]] if node in becomes else node.inputs
        pending = [x for x in needed if x not in settled]
        if pending:
            stack.extend(reversed(pending))
            continue
        if node in becomes:
            settled[node] = settled[becomes[node]]
        else:
            settled[node] = remade(node, [settled[x] for x in node.inputs])
    return [settled[node] for node in nodes]
