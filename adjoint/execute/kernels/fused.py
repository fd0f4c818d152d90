"""What programs write for several ops at once: with the same bits, or where they may round in another way."""

from collections.abc import Mapping

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.facts import Fact
from adjoint.execute.kernels.backward import BACKWARD
from adjoint.execute.kernels.fusion import Fused, Fusion, Uses
from adjoint.execute.kernels.sums import SUMS
from adjoint.passes.pipeline import LEVELS, Level

__all__ = ['FUSIONS', 'fused']

_DTYPES = frozenset({torch.float32, torch.float64})

# Where several fit a node, the first of them is taken.
FUSIONS: tuple[Fusion, ...] = (*BACKWARD, *SUMS)

_BY_OP: dict[Op, list[Fusion]] = {}
for _each in FUSIONS:
    for _op in _each.ops:
        _BY_OP.setdefault(_op, []).append(_each)


def fused(node: Node, uses: Uses, layouts: Mapping[Node, Fact], level: Level) -> Fused | None:
    """Return the call that a fusion puts in the place of a node, if one fits.

    All tensors are real and of one dtype, and the value lies in memory as that of the ops would. What has the
    same bits is no change of the graph, so that every level takes it.
    """
    own = layouts.get(node)
    if own is None or own.dtype not in _DTYPES:
        return None
    kinds = LEVELS['bitwise'] | LEVELS[level]
    for each in _BY_OP.get(node.op, ()):
        if each.exactness.kind not in kinds:
            continue
        found = each.apply(node, uses)
        if found is None:
            continue
        facts = [layouts.get(x) for x in found.operands if x.op.outputs == 1]
        ordered = [own, *facts] if found.in_order else [own, facts[0]]
        if all(f is not None and f.dtype is own.dtype for f in facts) and all(map(_is_in_order, ordered)):
            return found
    return None


def _is_in_order(fact: Fact | None) -> bool:
    if fact is None:
        return False
    expected = 1
    for size, stride in zip(reversed(fact.shape), reversed(fact.strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
