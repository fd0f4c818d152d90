"""Where a zero could become nan: behind or ahead of which nodes of a walk it is worth knowing the zeros."""

from collections.abc import Callable, Collection, Sequence

import torch

from adjoint.autodiff.signs import is_positive
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.ops.arithmetic import add, div, mul, neg, pow_, reciprocal, rsqrt, sqrt, sub
from adjoint.ops.creation import constant, placeholder
from adjoint.ops.elementwise import Elementwise, Step
from adjoint.ops.exponential import log
from adjoint.ops.linear import Linear
from adjoint.ops.select import Where

__all__ = ['Hazards', 'has_pole', 'is_entrywise']


class Hazards:
    """What may go wrong in a walk between some outputs and the nodes that are differentiated by.

    Each answer is computed once, when it is first asked for: a walk that meets no mask asks nothing.

    Parameters
    ----------
    order : sequence of Node
        All nodes of the graph, inputs first.
    wanted : collection of Node
        What is differentiated by.
    depends : collection of Node
        The nodes that depend on these, and they themselves.
    """

    def __init__(self, order: Sequence[Node], wanted: Collection[Node], depends: Collection[Node]) -> None:
        self._order = order
        self._wanted = wanted
        self._depends = depends
        self._cache: dict[str, set[Node]] = {}

    def near(self, node: Node) -> bool:
        """Whether the node is entrywise, and its partials or those of one directly behind are no numbers."""
        return node in self._found('near', lambda: self._chained(lambda n: not _is_affine(n)))

    def near_pole(self, node: Node) -> bool:
        """Whether the node is entrywise, and it or one directly behind may have an infinite partial."""
        return node in self._found('near pole', lambda: self._chained(has_pole))

    def far(self, node: Node) -> bool:
        """Whether a partial of the node, or of any other behind it, may be infinite or nan."""
        return node in self._found('far', lambda: self._behind(self.is_hazard))

    def far_for_sure(self, node: Node) -> bool:
        """The same, if the data that a run is given are finite: poles, and constants that are not."""
        return node in self._found('far for sure', lambda: self._behind(self._is_sure_hazard))

    def ahead(self, node: Node) -> bool:
        """Whether a node that depends on this one may have an infinite partial, and a finite value.

        A quotient whose divisor does not depend on what is differentiated by, such as the mean over the
        labels that count, is itself infinite or nan where its partial is.
        """
        return node in self._found('ahead', self._before)

    def is_suspect(self, node: Node) -> bool:
        """Whether the value may hold what is not finite: data with holes, or the value at a pole."""
        return node in self._found('suspect', lambda: self._suspects(is_fed_suspect=True))

    def _found(self, name: str, find: Callable[[], set[Node]]) -> set[Node]:
        found = self._cache.get(name)
        if found is None:
            found = self._cache[name] = find()
        return found

    def _chained(self, is_hazard: Callable[[Node], bool]) -> set[Node]:
        found: set[Node] = set()
        for node in self._order:
            if node in self._depends and is_entrywise(node):
                inside = [x for x in node.inputs if x in self._depends]
                if inside and (is_hazard(node) or not found.isdisjoint(inside)):
                    found.add(node)
        return found

    def _behind(self, is_hazard: Callable[[Node], bool]) -> set[Node]:
        found: set[Node] = set()
        for node in self._order:
            if node in self._depends:
                inside = [x for x in node.inputs if x in self._depends]
                if inside and (is_hazard(node) or not found.isdisjoint(inside)):
                    found.add(node)
        return found

    def _before(self) -> set[Node]:
        found: set[Node] = set()
        for node in reversed(self._order):
            if node in self._depends and (node in found or self._is_pole(node)):
                found.update(x for x in node.inputs if x in self._depends)
        return found

    def _is_pole(self, node: Node) -> bool:
        is_fixed = node.op is div and node.inputs[-1] not in self._found('moving', self._moving)
        return has_pole(node) and not is_fixed

    def _moving(self) -> set[Node]:
        """Return what depends by more than its sizes on what is differentiated by."""
        found = set(self._wanted)
        for node in self._order:
            if not found.isdisjoint(node.inputs) and (node.op.nothing != 'sizes' or len(node.inputs) > 1):
                found.add(node)
        return found

    def is_hazard(self, node: Node) -> bool:
        """Whether a partial of the node itself may be infinite or nan."""
        if has_pole(node):
            return True
        return not _is_affine(node) and any(self.is_suspect(x) for x in (node, *node.inputs))

    def _is_sure_hazard(self, node: Node) -> bool:
        if has_pole(node):
            return True
        sure = self._found('sure suspect', lambda: self._suspects(is_fed_suspect=False))
        return not _is_affine(node) and not sure.isdisjoint((node, *node.inputs))

    def _suspects(self, *, is_fed_suspect: bool) -> set[Node]:
        found: set[Node] = set()
        for node in self._order:
            if node.op is placeholder:
                suspect = is_fed_suspect and node not in self._wanted
            elif node.op is constant:
                suspect = not bool(torch.isfinite(node.constant).all())
            else:
                suspect = has_pole(node) or not found.isdisjoint(node.inputs)
            known = node.type
            if suspect and not isinstance(node.op, Step) and (known is None or known.is_differentiable):
                found.add(node)
        return found


def is_entrywise(node: Node) -> bool:
    """Whether each entry of the value is made from the entries of the operands at its place."""
    return isinstance(node.op, (Elementwise, Where))


def _is_affine(node: Node) -> bool:
    """Whether the partials of an op do not depend on the values of its operands."""
    op = node.op
    if isinstance(op, (Linear, Step, Where)) or op in {add, sub, neg}:
        return True
    is_scaled = op is mul or (op is div and node.attrs.get('side') == 'right')
    return is_scaled and 'constant' in node.attrs


# The ops with a pole at 0, with the position of the operand that has to be positive.
_AT_ZERO: dict[Op, int] = {div: -1, reciprocal: 0, sqrt: 0, rsqrt: 0, log: 0, pow_: 0}


def has_pole(node: Node) -> bool:
    """Whether a partial may be infinite at operands that are finite."""
    op = node.op
    if not type(op).__module__.startswith('adjoint.'):
        return not isinstance(op, (Linear, Step))  # nothing is known of it
    if not any(kink.kind == 'pole' for kink in op.kinks):
        return False
    if op is div and node.attrs.get('side') == 'right':
        return not node.attrs['constant']
    if op is pow_ and node.attrs.get('side') == 'right' and _is_count(node.attrs['constant']):
        return False
    return op not in _AT_ZERO or not is_positive(node.inputs[_AT_ZERO[op]])


def _is_count(exponent: object) -> bool:
    return isinstance(exponent, (int, float)) and exponent >= 0 and exponent == int(exponent)
