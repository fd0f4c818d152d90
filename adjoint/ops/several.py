"""Ops with several outputs: their value is a tuple, and a node picks one entry of it.

The cotangent of a tuple is a tuple of cotangents, some of which may be nothing; the same holds for tangents.
Such tuples are only passed between rules, which take them apart with :func:`slots`; no run computes them.

An op whose nodes differ in how many outputs they have is made once for each number. With one output its
value is that tensor, no tuple; :func:`items`, :func:`parts` and :func:`joined` tell the two apart.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType

__all__ = [
    'Item', 'Pack', 'item', 'items', 'joined', 'pack', 'packed', 'parts', 'plus', 'restricted', 'slots',
]  # fmt: skip


class Item(Op):
    """One output of an op that has several, ``attrs['position']``."""

    axes = ()

    def __call__(self, y: Node, position: int) -> Node:
        """Build the node; ``y`` is the node of an op with several outputs."""
        return Node([y], self, {'position': position})

    def compute(self, node: Node, input_values: list[Any]) -> torch.Tensor:
        y: tuple[torch.Tensor, ...] = input_values[0]
        position: int = node.attrs['position']
        return y[position]

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (y,) = input_types
        position: int = node.attrs['position']
        return None if y.items is None else y.items[position]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangent in its place, and nothing in the others."""
        (y,) = node.inputs
        position: int = node.attrs['position']
        return [packed([output_grad if i == position else None for i in range(y.op.outputs)])]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return that entry of the tangents."""
        (t,) = input_tangents
        position: int = node.attrs['position']
        return None if t is None else slots(t)[position]

    def batch(self, node: Node, input_batches: Sequence[Node | None]) -> Node:
        """Return that entry of the batch, which may have been put together of several nodes."""
        (y,) = input_batches
        assert y is not None  # noqa: S101 one of the operands is a batch
        position: int = node.attrs['position']
        entry = slots(y)[position] if y.op is pack else None
        return Node([y], self, node.attrs) if entry is None else entry

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        """Return ``y[0]``."""
        return f'{operands[0]}[{node.attrs["position"]}]'


class Pack(Op):
    """A tuple of cotangents or tangents; ``attrs['places']`` tells which entry each operand is."""

    axes = ()

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
        places: tuple[int, ...] = node.attrs['places']
        found = dict(zip(places, input_values, strict=True))
        return tuple(found.get(i) for i in range(node.attrs['count']))

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        places: tuple[int, ...] = node.attrs['places']
        found = dict(zip(places, input_types, strict=True))
        return TensorType(items=tuple(found.get(i) for i in range(node.attrs['count'])))

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        entries = slots(output_grad)
        return [entries[i] for i in node.attrs['places']]


item = Item()
pack = Pack()


def items(y: Node) -> tuple[Node, ...]:
    """Return the outputs of a node, each as a node: of an op with one output, the node itself."""
    return (y,) if y.op.outputs == 1 else tuple(item(y, i) for i in range(y.op.outputs))


def packed(entries: Sequence[Node | None]) -> Node:
    """Return a tuple of cotangents or tangents as one node; ``None`` where nothing flows."""
    places = tuple(i for i, entry in enumerate(entries) if entry is not None)
    return Node([e for e in entries if e is not None], pack, {'places': places, 'count': len(entries)})


def slots(whole: Node) -> list[Node | None]:
    """Return the entries of a tuple of cotangents or tangents: for rules of ops with several outputs."""
    places: tuple[int, ...] = whole.attrs['places']
    found = dict(zip(places, whole.inputs, strict=True))
    return [found.get(i) for i in range(whole.attrs['count'])]


def parts(y: Node, whole: Node) -> list[Node | None]:
    """Return the cotangents of the outputs of a node, given its own; likewise its tangents."""
    return [whole] if y.op.outputs == 1 else slots(whole)


def joined(entries: Sequence[Node | None]) -> Node | None:
    """Return the cotangents or tangents of the outputs of a node as its own: what :func:`parts` parts."""
    return entries[0] if len(entries) == 1 else packed(entries)


def plus(a: Node, b: Node) -> Node:
    """Return the sum of two cotangents; of two tuples, entry by entry."""
    if a.op is not pack:
        return a + b
    pairs = zip(slots(a), slots(b), strict=True)
    return packed([y if x is None else x if y is None else x + y for x, y in pairs])


def restricted(outputs: Iterable[Node], given: Collection[Node] = ()) -> list[tuple[Node, Node]]:
    """Return what a run of some nodes computes, inputs first: each node with what stands in its place.

    Of an op with several outputs only those are computed that are used, as far as the op knows how to
    (:meth:`~adjoint.core.op.Op.restricted`), and then what only the others need is left out too.

    Parameters
    ----------
    outputs : iterable of Node
        What the run returns.
    given : collection of Node, optional
        Nodes whose values are given.
    """
    wanted = list(outputs)
    order = topological_sort(wanted, behind=given)
    if all(node.op.outputs == 1 for node in order):
        return [(node, node) for node in order]
    needed = set(wanted)
    picked: dict[Node, set[int]] = {}  # of nodes of which only entries are used
    whole = {node for node in wanted if node.op.outputs > 1}
    found: list[tuple[Node, Node]] = []
    for node in reversed(order):
        if node not in needed:
            continue
        stand = node
        if node not in given:
            is_restricted = 'places' in node.attrs  # already, as in the body of a loop that was rewritten
            if node.op.outputs > 1 and node not in whole and not is_restricted:
                stand = node.op.restricted(node, picked[node])
            needed.update(stand.inputs)
            for x in stand.inputs:
                if x.op.outputs == 1:
                    continue
                if stand.op is item:
                    picked.setdefault(x, set()).add(stand.attrs['position'])
                else:
                    whole.add(x)
        found.append((node, stand))
    return found[::-1]
