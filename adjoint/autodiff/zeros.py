"""What is known to be zero in places: the mask that it is kept with, and how it is written as a node."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from adjoint.autodiff.hazards import Hazards
from adjoint.core.node import Node
from adjoint.core.numbering import Numbering
from adjoint.ops.logic import logical_not, logical_or
from adjoint.ops.select import where
from adjoint.ops.several import plus

__all__ = ['Masked', 'Vector', 'Zeros']


@dataclass(frozen=True, slots=True)
class Masked:
    """A cotangent or tangent that is ``raw`` where the mask holds (or does not hold), and zero elsewhere.

    Parameters
    ----------
    raw : Node
        Anything where it is zero, also nan.
    mask : Node
        It broadcasts to the shape of ``raw``.
    kept : bool
        Whether ``raw`` counts where the mask holds, or where it does not.
    """

    raw: Node
    mask: Node
    kept: bool = True


# A cotangent or a tangent.
Vector: TypeAlias = Node | Masked


class Zeros:
    """The part of a walk, in either mode, that knows zeros.

    Parameters
    ----------
    hazards : Hazards
        Where it is worth knowing them.
    numbering : Numbering
        What stands for a node that is built again.
    nan_safe : bool
        Whether anything is made of it.
    """

    def __init__(self, hazards: Hazards, numbering: Numbering, *, nan_safe: bool) -> None:
        self.hazards = hazards
        self.numbering = numbering
        self.nan_safe = nan_safe

    def shared(self, vector: Vector) -> Vector:
        """Return what stands for a cotangent or tangent."""
        if isinstance(vector, Node):
            return self.numbering.of(vector)
        return Masked(self.numbering.of(vector.raw), self.numbering.of(vector.mask), vector.kept)

    def written(self, vector: Vector) -> Node:
        """Return a cotangent or tangent as one node."""
        if isinstance(vector, Node):
            return vector
        branches = (vector.raw, 0.0) if vector.kept else (0.0, vector.raw)
        return self.numbering.of(where(vector.mask, *branches))

    def total(self, parts: Sequence[Vector]) -> Vector:
        """Return the sum of some, all of one node; what is zero in all of them is zero in it."""
        total = parts[0]
        for part in parts[1:]:
            total = self.shared(self._plus(total, part))
        return total

    def _plus(self, a: Vector, b: Vector) -> Vector:
        if isinstance(a, Node) or isinstance(b, Node):
            return plus(self.written(a), self.written(b))
        if a.mask is b.mask:
            if a.kept == b.kept:
                return Masked(a.raw + b.raw, a.mask, a.kept)
            # Each counts where the other does not.
            return where(a.mask, *((a.raw, b.raw) if a.kept else (b.raw, a.raw)))
        mask = logical_or(self.as_node(a), self.as_node(b))
        return Masked(self.written(a) + self.written(b), mask)

    def as_node(self, vector: Masked) -> Node:
        """Return the mask that holds where ``raw`` counts."""
        return vector.mask if vector.kept else self.numbering.of(logical_not(vector.mask))
