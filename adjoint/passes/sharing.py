"""Common subexpressions: equal nodes become one."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.ops.arithmetic import add, mul
from adjoint.ops.body import Body
from adjoint.ops.creation import constant
from adjoint.ops.logic import bitwise_and, bitwise_or, bitwise_xor, logical_and, logical_or, logical_xor
from adjoint.ops.step import eq, ne
from adjoint.passes.walk import Walked, remade, with_bodies

__all__ = ['shared', 'value_key']

# The sum and the product of two floats do not depend on their order, by IEEE 754; which of two nans comes
# out may. The larger of two (0.0 and -0.0), and what a library computes from two numbers, do.
_COMMUTATIVE = frozenset(
    {add, eq, ne, bitwise_and, bitwise_or, bitwise_xor, logical_and, logical_or, logical_xor}
)


def value_key(
    op: Op, inputs: Sequence[Hashable], attrs: Mapping[str, Any], *, is_real: bool = False
) -> Hashable | None:
    """Return what makes two nodes the same value: op, operands and attrs.

    Parameters
    ----------
    op : Op
        What computes the value.
    inputs : sequence of Hashable
        The operands: nodes, or numbers that stand for their values.
    attrs : mapping of str
        What is no tensor.
    is_real : bool
        Whether the value is known not to be complex: products of reals do not depend on their order, and
        those of complex numbers do, where a multiplication is fused with an addition.

    Returns
    -------
    Hashable or None
        Equal keys are equal values. ``None`` where a value of its own is computed at each node.

    Examples
    --------
    >>> import adjoint as ad
    >>> x, y = ad.Variable('x'), ad.Variable('y')
    >>> value_key(ad.add, [x, y], {}) == value_key(ad.add, [y, x], {})
    True
    >>> value_key(ad.add, [x], {'constant': 1}) == value_key(ad.add, [x], {'constant': 1.0})
    False
    """
    if not op.mergeable:
        return None
    if op is constant and 'number' in attrs:
        # Tensors of users may be changed in place, and are their own; a number stays.
        tensor: torch.Tensor = attrs['constant']
        return constant, _frozen(attrs['number']), tensor.dtype, tensor.device
    operands: Hashable = tuple(inputs)
    if len(inputs) == 2 and (op in _COMMUTATIVE or (op is mul and is_real)):  # noqa: PLR2004 two operands
        operands = frozenset(inputs)
    frozen = [(name, _frozen(value)) for name, value in attrs.items()]
    if any(value is _UNHASHABLE for _, value in frozen):
        return None
    frozen.sort()
    return op, operands, tuple(frozen)


class _Unhashable:
    """Stands for an attr that cannot be compared."""

    def __lt__(self, other: object) -> bool:
        return False


_UNHASHABLE = _Unhashable()


def _frozen(value: Any) -> Hashable:
    """Return a hashable that is equal for equal attrs only: 1, 1.0 and True differ, as 0.0 and -0.0 do."""
    if isinstance(value, (float, complex)):
        return value.__class__.__name__, repr(value)
    if isinstance(value, (torch.Tensor, Node, Body)):
        return 'object', id(value)
    if isinstance(value, slice):
        bounds = cast('slice[Any, Any, Any]', value)
        return 'slice', _frozen((bounds.start, bounds.stop, bounds.step))
    if isinstance(value, (tuple, list)):
        entries = tuple(_frozen(v) for v in cast('Sequence[Any]', value))
        return _UNHASHABLE if _UNHASHABLE in entries else (value.__class__.__name__, entries)
    try:
        hash(value)
    except TypeError:
        return _UNHASHABLE
    return value.__class__.__name__, value


def shared(nodes: Iterable[Node]) -> Walked:
    """Merge nodes of the same op, operands and attrs, in bodies too.

    A name that one of the merged nodes has is kept. Draws stay apart, and so do nodes that mark a place.

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
    >>> x = ad.Variable('x')
    >>> y = ad.sin(x) * ad.sin(x)
    >>> len(ad.topological_sort(y)), len(ad.topological_sort(shared([y]).nodes))
    (4, 3)
    """
    wanted = list(nodes)
    numbering = _Numbering(topological_sort(wanted))
    if not numbering.merged:
        return Walked(wanted)
    values = numbering.values()
    return Walked([values[numbering.numbers[node]] for node in wanted], applied=numbering.merged)


class _Numbering:
    """Which nodes of a graph are one value: the same number is the same value."""

    def __init__(self, order: Sequence[Node]) -> None:
        self.numbers: dict[Node, int] = {}
        self.leaders: list[Node] = []
        self.attrs: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.merged = 0
        self._bodies: dict[Body, Body] = {}
        known: dict[Hashable, int] = {}
        for node in order:
            attrs = with_bodies(node.attrs, self._body)
            is_real = node.type is not None and node.type.is_real
            inputs = [self.numbers[x] for x in node.inputs]
            key = value_key(node.op, inputs, attrs, is_real=is_real)
            number = len(self.leaders) if key is None else known.setdefault(key, len(self.leaders))
            self.numbers[node] = number
            if number == len(self.leaders):
                self.leaders.append(node)
                self.attrs.append(attrs)
                self.names.append(node.given_name)
            else:
                self.merged += 1
                self.names[number] = self.names[number] or node.given_name

    def _body(self, body: Body) -> Body:
        if body not in self._bodies:
            walked = shared(body.outputs)
            self.merged += walked.applied
            self._bodies[body] = body if walked.applied == 0 else Body(body.inputs, walked.nodes)
        return self._bodies[body]

    def values(self) -> list[Node]:
        """Return the node of each number."""
        made: list[Node] = []
        for leader, attrs, name in zip(self.leaders, self.attrs, self.names, strict=True):
            node = remade(leader, [made[self.numbers[x]] for x in leader.inputs], attrs)
            if name and not node.given_name:
                node = node.restored(node.inputs, node.op, dict(attrs), name, node.site, node.type)
            made.append(node)
        return made
