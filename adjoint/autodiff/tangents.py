"""Tangents that are known to be zero in places: what `masks` does for cotangents, in forward mode.

An entry that `where` fills with a number does not move, nor does one that a padding puts in, or one that
`relu` cuts off. Multiplied by a partial that is infinite or nan there, its tangent would be nan; so it is not
multiplied. What is known is carried only while a pole lies ahead, on the way to what is asked for.
"""

from collections.abc import Mapping, Sequence

from adjoint.autodiff.hazards import has_pole, is_entrywise
from adjoint.autodiff.zeros import Masked, Vector, Zeros
from adjoint.core.node import Node
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.linear import Linear
from adjoint.ops.logic import logical_and, logical_or
from adjoint.ops.scatter import masked_fill
from adjoint.ops.select import Where, where

__all__ = ['Tangents']


class Tangents(Zeros):
    """The part of a forward walk that knows zeros."""

    def pushforward(self, node: Node, given: Sequence[Vector | None]) -> Vector | None:
        """Return the tangent of a node from those of its inputs, with what is known of its zeros."""
        if all(t is None for t in given):
            return None
        if not self.nan_safe:
            return node.op.jvp(node, self._written(given))
        if isinstance(node.op, Where):
            return self._chosen(node, given)
        return self._entrywise(node, given) if is_entrywise(node) else self._mixing(node, given)

    def _written(self, given: Sequence[Vector | None]) -> list[Node | None]:
        return [None if t is None else self.written(t) for t in given]

    def _settled(self, node: Node, t: Masked) -> Vector:
        """Return the tangent of ``node`` with its mask, where that is of use."""
        return t if self.hazards.ahead(node) else self.written(t)

    def _chosen(self, node: Node, given: Sequence[Vector | None]) -> Vector | None:
        """Push forward through `where`, which moves where it chose what moves."""
        t = node.op.jvp(node, self._written(given))
        if t is None or not self.hazards.ahead(node):
            return t
        condition = node.inputs[0]
        branches = [name for name in 'ab' if name not in node.attrs]
        moving = {name: v for name, v in zip(branches, given[1:], strict=True) if v is not None}
        if len(moving) == 1:
            ((name, v),) = moving.items()
            if isinstance(v, Node):
                return Masked(_alike(v, t, node), condition, kept=name == 'a')
        if all(isinstance(v, Node) for v in moving.values()):
            return t
        marks = {name: self.as_node(v) if isinstance(v, Masked) else True for name, v in moving.items()}
        return Masked(t, where(condition, marks.get('a', False), marks.get('b', False)))

    def _entrywise(self, node: Node, given: Sequence[Vector | None]) -> Vector | None:
        """Push forward through an entrywise op: what is zero stays so, whatever the partials are."""
        moving = {i: v for i, v in enumerate(given) if v is not None}
        if self._cuts(node):
            for i, partial in enumerate(self._partials(node)):
                if i in moving and partial is not None:
                    moving[i] = self._cut(moving[i], partial)
        masks = {(v.mask, v.kept) if isinstance(v, Masked) else None for v in moving.values()}
        if None in masks and len(masks) == 1:
            return node.op.jvp(node, self._written(given))
        if len(masks) == 1:
            return self._pushed(node, moving)
        if has_pole(node) or self._cuts(node):
            parts = [p for i, v in moving.items() if (p := self._pushed(node, {i: v})) is not None]
            total = self.total(parts) if parts else None
            return self._settled(node, total) if isinstance(total, Masked) else total
        t = node.op.jvp(node, self._written(given))
        union = self._union(moving)
        return t if t is None or union is None else self._settled(node, Masked(t, union))

    def _pushed(self, node: Node, moving: Mapping[int, Vector]) -> Vector | None:
        """Push tangents of one mask forward through an entrywise op; the mask stays."""
        raw = {i: v.raw if isinstance(v, Masked) else v for i, v in moving.items()}
        t = node.op.jvp(node, [raw.get(i) for i in range(len(node.inputs))])
        first = next(iter(moving.values()))
        if t is None or isinstance(first, Node):
            return t
        return self._settled(node, Masked(t, first.mask, first.kept))

    def _cuts(self, node: Node) -> bool:
        """Whether the zeros among the partials of a node, such as those of `relu`, are worth knowing."""
        return node.op.drops and (
            self.hazards.ahead(node) or any(self.hazards.near_pole(x) for x in node.inputs)
        )

    def _partials(self, node: Node) -> list[Node | None]:
        if not isinstance(node.op, Elementwise):
            return []
        return [p if isinstance(p, Node) else None for p in node.op.stated(node)]

    def _cut(self, v: Vector, mask: Node) -> Masked:
        mask = self.numbering.of(mask)
        if isinstance(v, Node):
            return Masked(v, mask)
        return Masked(v.raw, self.numbering.of(logical_and(self.as_node(v), mask)))

    def _union(self, moving: Mapping[int, Vector]) -> Node | None:
        """Return where any of some tangents is not known to be zero; ``None`` for everywhere."""
        union: Node | None = None
        for v in moving.values():
            if isinstance(v, Node):
                return None
            mask = self.as_node(v)
            union = mask if union is None else self.numbering.of(logical_or(union, mask))
        return union

    def _mixing(self, node: Node, given: Sequence[Vector | None]) -> Vector | None:
        """Push forward through an op that is not entrywise, which says what moves."""
        t = node.op.jvp(node, self._written(given))
        is_known = any(isinstance(v, Masked) for v in given)
        matters = self.hazards.ahead(node) or (is_known and has_pole(node))
        if t is None or not matters or not (is_known or _fills(node, given)) or node.op.outputs > 1:
            return t
        if node.op is masked_fill:
            mask = node.op.needs(node, self.as_node(given[0]) if isinstance(given[0], Masked) else None)[0]
        else:
            marks = [self.as_node(v) if isinstance(v, Masked) else v is not None for v in given]
            mask = node.op.reaches(node, marks)
        return t if mask is None else self._settled(node, Masked(t, self.numbering.of(mask)))


def _alike(v: Node, t: Node, node: Node) -> Node:
    """Return ``v`` if it is of the shape of the node, else ``t``, which is."""
    is_whole = v.type is not None and node.type is not None and v.type.same_sizes(node.type)
    return v if is_whole else t


def _fills(node: Node, given: Sequence[Vector | None]) -> bool:
    """Whether a node has entries that come from no operand that moves."""
    op = node.op
    if op.fills or not isinstance(op, Linear):
        return op.fills
    positions = range(len(given)) if op.linear_in is None else op.linear_in
    return any(given[i] is None for i in positions)
