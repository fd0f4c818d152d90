"""Names for the nodes of a graph, the same on every run, and which nodes need none."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node
from adjoint.ops.body import Body
from adjoint.ops.creation import constant, placeholder

__all__ = ['Names', 'bodies_of', 'labelled', 'number_of', 'uses']


def labelled(nodes: Node | Iterable[Node] | Mapping[str, Node]) -> list[tuple[str, Node]]:
    """Each output with what it is called: the given label, or ``output`` and its position."""
    if isinstance(nodes, Node):
        return [('output', nodes)]
    if isinstance(nodes, Mapping):
        keyed = cast('Mapping[str, Node]', nodes)
        pairs = [(str(label), node) for label, node in keyed.items()]
    else:
        listed = list(nodes)
        pairs = [(f'output {i}' if len(listed) > 1 else 'output', n) for i, n in enumerate(listed)]
    for _, node in pairs:
        if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            msg = f'a view takes nodes of a graph, and got {node!r} of type {type(node).__name__}'
            raise TensorTypeError(msg)
    return pairs


def uses(order: Sequence[Node], outputs: Iterable[Node]) -> Counter[Node]:
    """How often each node is an operand or an output."""
    counts: Counter[Node] = Counter(outputs)
    for node in order:
        counts.update(node.inputs)
    return counts


def number_of(node: Node) -> Any:
    """The number that a constant of one entry is, or ``None`` for any other node."""
    if node.op is not constant or node.given_name:
        return None
    value = node.attrs['constant']
    if not isinstance(value, torch.Tensor):
        return value
    return value.item() if value.numel() == 1 and value.device.type != 'meta' else None


def bodies_of(node: Node) -> list[tuple[str, Body]]:
    """The graphs among the attrs of a node, by name."""
    found: list[tuple[str, Body]] = []
    for name, value in node.attrs.items():
        if isinstance(value, Body):
            found.append((name, value))
        elif isinstance(value, tuple):
            several = enumerate(cast('tuple[Any, ...]', value))
            found += [(f'{name}[{i}]', v) for i, v in several if isinstance(v, Body)]
    return found


class Names:
    """Names that are unique in one graph: those that people gave, then ``v1``, ``v2``, ...

    Parameters
    ----------
    order : sequence of Node
        The whole graph, inputs first. Names that were given are taken before any is made up.
    """

    def __init__(self, order: Sequence[Node]) -> None:
        self._names: dict[Node, str] = {}
        self._taken: set[str] = set()
        self._made = 0
        self._counts: Counter[str] = Counter()
        for node in order:
            if node.given_name or node.op is placeholder:
                self._names[node] = self._unique(node.given_name or 'x')

    def __getitem__(self, node: Node) -> str:
        """The name of a node; the first time that one without a name is asked for, it gets one."""
        name = self._names.get(node)
        if name is None:
            name = self._next()
            self._names[node] = name
        return name

    def _next(self) -> str:
        while True:
            self._made += 1
            name = f'v{self._made}'
            if name not in self._taken:
                return name

    def _unique(self, wanted: str) -> str:
        name = wanted
        while name in self._taken:
            # The count goes on where it stopped, so that many variables of one name cost no search.
            self._counts[wanted] += 1
            name = f'{wanted}_{self._counts[wanted]}'
        self._taken.add(name)
        return name
