"""Constant folding: what depends on nothing that a run is given is computed once."""

from collections.abc import Iterable
from typing import Any

import torch

from adjoint.core.errors import AdjointError
from adjoint.core.extent import extents_of
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body
from adjoint.ops.contraction import Multilinear
from adjoint.ops.creation import Creation, constant
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.ranges import full
from adjoint.ops.reduction import Reduction
from adjoint.passes.walk import Walked, remade

__all__ = ['folded']

# Of a folded value; more is made again in each run.
_MOST_ENTRIES = 4096

# Ops whose value never shares memory with an operand.
_FRESH = (Elementwise, Multilinear, Reduction)


def folded(nodes: Iterable[Node]) -> Walked:
    """Compute what depends on no input and on no tensor of the user, which may be changed in place.

    What takes its place is a constant of a bounded size, or, of a number spread over a shape, such a number.
    Draws stay, and so does what an output would share its memory with.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.

    Returns
    -------
    Walked
        In the order of ``nodes``.

    Examples
    --------
    >>> import adjoint as ad
    >>> from adjoint.ops.ranges import arange
    >>> x = ad.Variable('x')
    >>> print(ad.to_text(folded([x * ad.exp(arange(0, 2) * 0.0)]).nodes))
    x: any[...]
    v1 = constant([1.0, 1.0])
    v2 = x * v1                 # output
    """
    wanted = list(nodes)
    order = topological_sort(wanted)
    shown = _shown(order, wanted)
    folding = _Folding()
    for node in order:
        folding.visit(node, stays=node in shown)
    return Walked([folding.made[node] for node in wanted], applied=folding.applied)


def _shown(order: list[Node], outputs: list[Node]) -> set[Node]:
    """Return the outputs and what they may be views of."""
    shown = set(outputs)
    for node in reversed(order):
        if node in shown and not isinstance(node.op, _FRESH):
            shown.update(node.inputs)
    return shown


class _Folding:
    """One walk: what became of each node, and the values that are known."""

    def __init__(self) -> None:
        self.made: dict[Node, Node] = {}
        self.values: dict[Node, torch.Tensor] = {}
        self.applied = 0

    def visit(self, node: Node, *, stays: bool) -> None:
        fresh = self.made[node] = remade(node, [self.made[x] for x in node.inputs])
        value = self._value(fresh)
        if value is None:
            return
        self.values[fresh] = value
        if stays or fresh.op in {constant, full}:
            return
        filled = isinstance(fresh.op, Elementwise) and all(map(_is_one_number, fresh.inputs))
        attrs: dict[str, Any] = {'constant': value}
        op: Op = constant
        if filled and value.numel():
            number = value.flatten()[0].item()
            attrs = {
                'fill_value': number,
                'size': tuple(value.shape),
                'dtype': value.dtype,
                'device': value.device,
            }
            op = full
        new = fresh.restored([], op, attrs, fresh.given_name, fresh.site, TensorType.of(value))
        self.made[node] = new
        self.values[new] = value
        self.applied += 1

    def _value(self, node: Node) -> torch.Tensor | None:
        """Return the value of a node where it is known already, and small."""
        op, known = node.op, node.type
        if op is constant:
            return node.attrs['constant'] if 'number' in node.attrs else None
        if known is None or not known.is_static or node.numel() > _MOST_ENTRIES:
            return None
        inputs = [self.values[x] for x in node.inputs if x in self.values]
        is_made = bool(inputs) or isinstance(op, Creation)
        if len(inputs) < len(node.inputs) or not is_made or not op.shareable or extents_of(node.attrs):
            return None
        if any(isinstance(value, Body) for value in node.attrs.values()):
            return None
        try:
            with torch.no_grad():
                value = op.compute(node, inputs)
        except (RuntimeError, ValueError, AdjointError):
            return None  # the run says what is wrong
        return value if isinstance(value, torch.Tensor) and TensorType.of(value) == known else None


def _is_one_number(x: Node) -> bool:
    return x.op is full or (x.op is constant and 'number' in x.attrs)
