"""Value numbers: which nodes have the same value because they apply the same op to the same operands."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from adjoint.core.node import Node

__all__ = ['Numbering', 'value_key']

# Which operand a number stands for; it says nothing where operands can be exchanged.
_SIDE = 'side'

_PLAIN = frozenset({bool, int, str, type(None), torch.dtype, torch.device})


def value_key(node: 'Node', inputs: 'Sequence[Node]') -> Hashable:
    """Return a key that two nodes share only if they have the same value, to the last bit.

    Parameters
    ----------
    node : Node
        What to tell apart from others.
    inputs : sequence of Node
        What stands for its inputs: one node for all of the same value.

    Returns
    -------
    hashable
        The node itself where its op is not shareable: it is only ever equal to itself.

    Examples
    --------
    >>> import adjoint as ad
    >>> x, y = ad.Variable('x'), ad.Variable('y')
    >>> value_key(x + y, [x, y]) == value_key(y + x, [y, x])
    True
    >>> value_key(x - y, [x, y]) == value_key(y - x, [y, x])
    False
    """
    op = node.op
    if not op.shareable:
        return node
    attrs = node.attrs
    if not op.commutes(node):
        operands = (op, *inputs)
        return (operands, *[(name, _frozen(attrs[name])) for name in attrs]) if attrs else operands
    if not attrs:
        return op, *sorted(inputs, key=id)
    return op, *inputs, *[(name, _frozen(attrs[name])) for name in attrs if name != _SIDE]


def _frozen(value: Any) -> Hashable:
    """Return an attr as something to compare by: its value where that cannot change, else its identity."""
    kind = value.__class__
    if kind in _PLAIN:
        return kind, value  # the class too, since 1 and True are equal and differ
    if isinstance(value, (float, complex)):
        return kind, repr(value)  # 0.0 and -0.0 are equal and differ, and nan is not equal to itself
    if isinstance(value, slice):
        return kind, _frozen(value.start), _frozen(value.stop), _frozen(value.step)
    if isinstance(value, (tuple, list)):
        return kind, tuple(_frozen(v) for v in cast('Sequence[Any]', value))
    if isinstance(value, Mapping):
        pairs = cast('Mapping[Any, Any]', value).items()
        return kind, tuple((_frozen(k), _frozen(v)) for k, v in pairs)
    if isinstance(value, torch.Tensor):
        return kind, id(value)  # the node keeps it alive
    try:
        hash(value)
    except TypeError:
        return kind, id(value)
    return kind, value


class Numbering:
    """Gives every node the first node that is known to have its value.

    It is linear in the nodes that it sees, and goes without recursion.

    Parameters
    ----------
    nodes : iterable of Node
        A graph that exists, inputs first: each of its nodes stands for itself, also where two have the
        same value, since somebody may hold them apart.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> y = ad.sin(x)
    >>> shared = Numbering([x, y])
    >>> shared.of(ad.sin(x)) is y
    True
    >>> shared.of(2 * ad.sin(x)).inputs[0] is y
    True
    """

    def __init__(self, nodes: 'Iterable[Node]' = ()) -> None:
        self._stands_for: dict[Node, Node] = {}
        self._first: dict[Hashable, Node] = {}
        for node in nodes:
            self._stands_for[node] = node
            self._first.setdefault(value_key(node, node.inputs), node)

    def of(self, node: 'Node') -> 'Node':
        """Return what stands for a node; new nodes behind it are numbered on the way."""
        known = self._stands_for
        found = known.get(node)
        if found is not None:
            return found
        stack = [node]
        while stack:
            new = stack[-1]
            depth = len(stack)
            stack.extend(x for x in reversed(new.inputs) if x not in known)
            if len(stack) == depth:
                stack.pop()
                if new not in known:
                    known[new] = self._number(new)
        return known[node]

    def _number(self, node: 'Node') -> 'Node':
        if not node.op.shareable:
            return node  # somebody may know it by its identity
        known = self._stands_for
        inputs = [known[x] for x in node.inputs]
        key = value_key(node, inputs)
        first = self._first.get(key)
        if first is not None and first.type == node.type:
            return first
        if inputs != node.inputs:
            node = node.restored(inputs, node.op, node.attrs, node.given_name, node.site, node.type)
            self._stands_for[node] = node
        if first is None:
            self._first[key] = node
        return node
