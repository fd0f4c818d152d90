"""Cotangents that are known to be zero in places, so that nothing there is multiplied by infinity.

Where `where` did not choose an operand, its cotangent is zero whatever the numbers are. Multiplied by a
partial that is infinite or nan there, it would be nan; so it is not multiplied. The walk carries such a
cotangent as a pair of ``raw`` and ``mask``, which means ``where(mask, raw, 0)``: an entrywise op multiplies
``raw`` and hands the mask on, and the `where` is written at the end of the entrywise ops, once. Past other
ops the mask goes by what entries of the operands are needed (`Op.needs`), as long as there is something
behind that may be infinite (`Hazards`); where there is not, the graph is what it would be without masks.
"""

from collections.abc import Sequence

from adjoint.autodiff.hazards import is_entrywise
from adjoint.autodiff.pullback import pullback
from adjoint.autodiff.zeros import Masked, Vector, Zeros
from adjoint.core.node import Node
from adjoint.ops.attention import Attention
from adjoint.ops.contraction import Multilinear
from adjoint.ops.convolution import Convolution
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.linear import sum_to_like
from adjoint.ops.logic import logical_and
from adjoint.ops.masks import any_like
from adjoint.ops.scatter import masked_fill
from adjoint.ops.select import Where, counted, where
from adjoint.ops.several import pack

__all__ = ['Cotangents']


# What multiplies operands with each other: an entry that no value needs may still meet a zero.
_PRODUCTS = (Multilinear, Convolution, Attention)


class Cotangents(Zeros):
    """The part of a reverse walk that knows zeros."""

    def pullback(self, node: Node, ct: Vector) -> list[Vector | None]:
        """Return the cotangents of the inputs of a node, with what is known of their zeros."""
        if isinstance(ct, Node):
            if not (node.op.drops and self.nan_safe) or ct.op is pack:
                return [*pullback(node, ct)]
            return self._dropping(node, ct)
        if is_entrywise(node):
            return self._entrywise(node, ct)
        return self._mixing(node, ct)

    def _dropping(self, node: Node, ct: Node) -> list[Vector | None]:
        """Pull back through an op that leaves entries of its operands out."""
        found = pullback(node, ct)
        if isinstance(node.op, Where):
            if node.op is counted and not any(self.hazards.far_for_sure(x) for x in node.inputs):
                return [*found]
            return [self._chosen(c, x, None) for x, c in zip(node.inputs, found, strict=True)]
        if node.op is masked_fill:
            return [
                c if c is None or mask is None or not self._is_carried(x) else Masked(c, mask)
                for x, c, mask in zip(node.inputs, found, node.op.needs(node, None), strict=True)
            ]
        if isinstance(node.op, Elementwise):
            if not self._cuts(node):
                return [*found]
            masks = node.op.needs(node, None)
            return [
                c if c is None or mask is None else self._settled(Masked(c, mask), x)
                for x, c, mask in zip(node.inputs, found, masks, strict=True)
            ]
        # Who writes `where` may have holes in the data in mind. Who takes a part of a value, such as the
        # first token of each sequence, has not: it would cost masks through whole models.
        if not any(self.hazards.far_for_sure(x) for x in node.inputs):
            return [*found]
        return self._known(node, found, node.op.needs(node, None))

    def _cuts(self, node: Node) -> bool:
        """Whether the zeros among the partials of a node, such as those of `relu`, are worth knowing.

        The cotangent that comes may be infinite, or a partial directly behind.
        """
        return node.op.drops and (
            self.hazards.ahead(node) or any(self.hazards.near_pole(x) for x in node.inputs)
        )

    def _known(
        self, node: Node, found: Sequence[Node | None], masks: Sequence[Node | None]
    ) -> list[Vector | None]:
        """Return cotangents with their masks, where these are of use."""
        return [
            c if c is None or mask is None or not self.hazards.far(x) else Masked(c, mask)
            for x, c, mask in zip(node.inputs, found, masks, strict=True)
        ]

    def _mixing(self, node: Node, ct: Masked) -> list[Vector | None]:
        """Pull back through an op that is not entrywise: its operands are known to be needed, or not."""
        masks = node.op.needs(node, self.as_node(ct))
        guarded = self._guarded(node, masks) if isinstance(node.op, _PRODUCTS) else node
        found = pullback(guarded, self.written(ct))
        if not isinstance(node.op, Multilinear) and self.hazards.is_hazard(node):
            # The zeros of this cotangent have met a partial that may be infinite already.
            found = [
                c if c is None or mask is None or self.hazards.far(x) else self.written(Masked(c, mask))
                for x, c, mask in zip(node.inputs, found, masks, strict=True)
            ]
        return self._known(node, found, masks)

    def _guarded(self, node: Node, masks: Sequence[Node | None]) -> Node:
        """Return a product, or what is made of them, with zeros where no entry that counts needs an operand.

        The cotangent of one operand is a sum of products with entries of the other. If one of these is not
        finite, no entry of the value that is made from it is; so it is needed by none that counts, or the
        value is not finite anyway.
        """
        inputs = [
            x if mask is None or not self.hazards.is_suspect(x) else where(mask, x, 0.0)
            for x, mask in zip(node.inputs, masks, strict=True)
        ]
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return node
        return Node(inputs, node.op, node.attrs, type=node.type)

    def _entrywise(self, node: Node, ct: Masked) -> list[Vector | None]:
        """Pull back through an entrywise op: what is zero stays so, whatever the partials are."""
        found = pullback(node, ct.raw)
        if isinstance(node.op, Where):
            return [self._chosen(c, x, ct) for x, c in zip(node.inputs, found, strict=True)]
        if not all(_has_known_form(c, x, node) for x, c in zip(node.inputs, found, strict=True)):
            return self._mixing(node, ct)
        own: Sequence[Node | None] = [None] * len(found)
        if self._cuts(node):
            own = node.op.needs(node, None)
        entries: list[Vector | None] = []
        for x, c, mask in zip(node.inputs, found, own, strict=True):
            both = ct if mask is None else Masked(ct.raw, logical_and(self.as_node(ct), mask))
            entries.append(self._entry(c, x, both))
        return entries

    def _entry(self, found: Node | None, x: Node, ct: Masked) -> Vector | None:
        if found is None or found.op is zeros_like:
            return found
        if found.op is sum_to_like and found.inputs[1] is x:
            return self._summed(Masked(found.inputs[0], ct.mask, ct.kept), x)
        return self._settled(Masked(found, ct.mask, ct.kept), x)

    def _chosen(self, found: Node | None, x: Node, ct: Masked | None) -> Vector | None:
        """Take the cotangent of an operand of `where` apart, and join its mask with that of the value."""
        if found is None or found.op is zeros_like or (ct is None and not self._is_carried(x)):
            return found
        is_summed = found.op is sum_to_like
        inner = found.inputs[0] if is_summed else found
        condition, raw = inner.inputs
        chosen = Masked(raw, condition, kept='b' in inner.attrs)
        if ct is not None and (ct.mask, ct.kept) != (chosen.mask, chosen.kept):
            chosen = Masked(raw, logical_and(self.as_node(ct), self.as_node(chosen)))
        return self._summed(chosen, x) if is_summed else self._settled(chosen, x)

    def _is_carried(self, x: Node) -> bool:
        return self.hazards.near(x) or self.hazards.far(x)

    def _settled(self, ct: Masked, x: Node) -> Vector:
        """Return the cotangent of ``x`` with its mask, where that is of use."""
        return ct if self._is_carried(x) else self.written(ct)

    def _summed(self, ct: Masked, x: Node) -> Vector:
        """Return the cotangent of a broadcast value as that of its operand."""
        total = sum_to_like(self.written(ct), x)
        return Masked(total, any_like(self.as_node(ct), x)) if self._is_carried(x) else total


def _has_known_form(found: Node | None, x: Node, node: Node) -> bool:
    """Whether a cotangent is of the shape of the node, or summed from it to the shape of the operand."""
    if found is None or found.op is zeros_like or len(set(node.inputs)) == 1:
        return True
    if found.op is sum_to_like and found.inputs[1] is x:
        return True
    return found.type is not None and node.type is not None and found.type.same_sizes(node.type)
