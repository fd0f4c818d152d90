"""A graph as lines that a person reads: its inputs, then one assignment a line."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.arithmetic import neg
from adjoint.ops.creation import constant, placeholder
from adjoint.ops.elementwise import Binary
from adjoint.ops.index import Slot, getitem
from adjoint.ops.select import Where
from adjoint.ops.several import restricted
from adjoint.view.naming import Names, bodies_of, labelled, number_of, uses

__all__ = ['to_text']

# How strongly an operator binds, as in Python; a part in brackets, a name or a call is an atom.
_ATOM = 100
_BINDING: Mapping[str, int] = {
    '**': 80, '*': 60, '/': 60, '@': 60, '+': 50, '-': 50, '>': 40, '>=': 40, '<': 40, '<=': 40,
}  # fmt: skip
_UNARY = 70

# The longest text that is put into another line instead of getting one of its own, and the longest line
# that comes of it: with a name and a comment it fits a terminal of 80 columns.
_INLINE, _WIDTH = 48, 54

_MANY = 4

# Of an attr, or of a line of source in a comment.
_LONGEST = 60
_NUMBERS = (bool, int, float, complex)

_COMMENT_COLUMN = 52
_SHOWN_ENTRIES = 6


def to_text(
    nodes: Node | Iterable[Node] | Mapping[str, Node],
    *,
    inline: bool = False,
    types: bool = False,
    source: bool = False,
) -> str:
    """Write a graph as readable lines.

    Parameters
    ----------
    nodes : Node, iterable of Node, or mapping of str to Node
        The outputs. What they are is said in a comment: the key, or ``output`` with its position.
    inline : bool
        Write a node that is used once, and is short, into the line that uses it.
    types : bool
        Say the type of each value, as far as it is known.
    source : bool
        Say at each line, in a comment, which line of the user's source made it.

    Returns
    -------
    str
        First the inputs with their types, then the nodes, each after its operands and once; beneath an op
        that holds graphs, these.

    Raises
    ------
    TensorTypeError
        Something else than a node is among the outputs.

    Notes
    -----
    The names are those of the nodes; nodes without one are ``v1``, ``v2`` and so on, in the order of the
    lines, which follows from the graph alone. Works in one pass over the graph, however deep it is.

    Examples
    --------
    >>> import adjoint as ad
    >>> x, y = ad.Variable('x', shape=('n',)), ad.Variable('y')
    >>> z = ad.sin(x * y)
    >>> print(to_text({'z': z, 'square': z * z + 1}))
    x: any[n]
    y: any[...]
    v1 = x * y
    v2 = sin(v1)   # z
    v3 = v2 * v2
    v4 = v3 + 1    # square
    """
    outputs = labelled(nodes)
    writer = _Writer(outputs, inline=inline, types=types, source=source)
    # The inputs first, together: they are what has to be known.
    for node in sorted(writer.order, key=lambda n: n.op is not placeholder):
        writer.write(node)
    for label, node in outputs:
        if node in writer.texts and not writer.has_line(node):
            writer.lines.append((f'{label} = {writer.texts[node][0]}', '', node))
    return _aligned(writer.lines, source=source)


class _Writer:
    """Writes the lines of one graph, keeping the text that stands for each node."""

    def __init__(
        self, outputs: Sequence[tuple[str, Node]], *, inline: bool, types: bool, source: bool
    ) -> None:
        self.order = topological_sort([node for _, node in outputs])
        self.names = Names(self.order)
        self.uses = uses(self.order, (node for _, node in outputs))
        self.labels: dict[Node, list[str]] = {}
        for label, node in outputs:
            self.labels.setdefault(node, []).append(label)
        self.inline, self.types, self.source = inline, types, source
        # What stands for a node in other lines, and how strongly it binds.
        self.texts: dict[Node, tuple[str, int]] = {}
        # The nodes without a line, so far: their whole expression stands for them.
        self.inside: set[Node] = set()
        self.lines: list[tuple[str, str, Node | None]] = []
        # What a run computes of ops with several outputs.
        self.stands = dict(restricted(node for _, node in outputs))

    def has_line(self, node: Node) -> bool:
        """Whether a line of its own says what the node is, with its label."""
        return node.op is not placeholder and number_of(node) is None

    def write(self, node: Node) -> None:
        """Settle what stands for a node, and write its line unless it goes into another."""
        if node.op is placeholder:
            name = self.names[node]
            self.texts[node] = name, _ATOM
            self.lines.append((f'{name}: {node.type or TensorType()}', '', node))
            return
        number = number_of(node)
        if number is not None:
            self.texts[node] = _number(number)
            return
        text, binding = self._fitting(node)
        if self._goes_inside(node) and len(text) <= _INLINE:
            self.texts[node] = text, binding
            self.inside.add(node)
        else:
            self._assign(node, text)

    def _goes_inside(self, node: Node) -> bool:
        used_once = self.uses[node] == 1 and node not in self.labels
        return self.inline and used_once and not node.given_name and not bodies_of(node)

    def _fitting(self, node: Node) -> tuple[str, int]:
        """The expression of a node, for which long operands get lines of their own first."""
        inside = [i for i in node.inputs if i in self.inside]
        inside.sort(key=lambda i: len(self.texts[i][0]))
        text, binding = _expression(node, self.texts)
        while inside and len(text) > _WIDTH:
            # The longest first; all of many at once, so that the expression is not put together as often.
            for _ in range(len(inside) if len(inside) > _MANY else 1):
                operand = inside.pop()
                self._assign(operand, self.texts[operand][0])
            text, binding = _expression(node, self.texts)
        return text, binding

    def _assign(self, node: Node, text: str) -> None:
        name = self.names[node]
        self.texts[node] = name, _ATOM
        self.inside.discard(node)
        known = f': {node.type or TensorType()}' if self.types else ''
        self.lines.append((f'{name}{known} = {text}', ', '.join(self.labels.get(node, ())), node))
        self.lines += [(line, '', None) for line in self._beneath(node)]

    def _beneath(self, node: Node) -> list[str]:
        """The graphs that the op holds, each under its name, without what nothing outside uses."""
        stand, lines = self.stands.get(node, node), list[str]()
        if not stand.attrs:
            return lines
        places = stand.attrs.get('places')
        for name, body in bodies_of(stand):
            lines.append(f'    {name}({", ".join(x.name for x in body.inputs)}):')
            numbers = places if places and len(places) == len(body.outputs) else range(len(body.outputs))
            named = {f'output {i}': y for i, y in zip(numbers, body.outputs, strict=True)}
            inner = to_text(named, inline=self.inline, types=self.types, source=self.source)
            lines += [f'        {line}' for line in inner.splitlines()]
        return lines


def _expression(node: Node, texts: Mapping[Node, tuple[str, int]]) -> tuple[str, int]:
    """The op applied to the texts of its operands, as infix where it has a sign."""
    op = node.op
    given: list[tuple[str, int]] = [texts[i] for i in node.inputs]
    attrs = dict(node.attrs)
    if isinstance(op, Binary):
        # The number that is one of its operands comes in its place.
        given = [_number(x) if isinstance(x, _NUMBERS) else x for x in op.operands(node, given)]
        attrs = {name: x for name, x in attrs.items() if name not in {'constant', 'side'}}
    sign: str = getattr(op, 'sign', None) or ''
    if sign in _BINDING and len(given) == 2:  # noqa: PLR2004 an infix sign stands between two
        return _infix(sign, given[0], given[1])
    if op is neg:
        return f'-{_bracketed(given[0], _UNARY + 1)}', _UNARY
    if op is getitem:
        return f'{_bracketed(given[0], _ATOM)}[{_index(node, given[1:])}]', _ATOM
    operands = [text for text, _ in given]
    if isinstance(op, Where):
        rest = iter(operands[1:])
        branches = [_value(attrs[k]) if k in attrs else next(rest) for k in 'ab']
        return f'where({", ".join([operands[0], *branches])})', _ATOM
    if op is constant:
        return _tensor(attrs['constant']), _ATOM
    if type(op).describe not in {Op.describe, Binary.describe}:
        return op.describe(node, operands), _ATOM
    # What is None or False is an option that is not used.
    used = [(name, value) for name, value in attrs.items() if value is not None and value is not False]
    listed = [f'{name}={_value(value)}' for name, value in used]
    return f'{op.name}({", ".join([*operands, *listed])})', _ATOM


def _infix(sign: str, a: tuple[str, int], b: tuple[str, int]) -> tuple[str, int]:
    binding = _BINDING[sign]
    # All group from the left, but powers from the right, where a minus needs no brackets either;
    # comparisons do not follow each other.
    left = binding + (sign == '**' or binding == _BINDING['>'])
    right = _UNARY if sign == '**' else binding + 1
    return f'{_bracketed(a, left)} {sign} {_bracketed(b, right)}', binding


def _bracketed(part: tuple[str, int], at_least: int) -> str:
    text, binding = part
    return text if binding >= at_least else f'({text})'


def _number(value: complex) -> tuple[str, int]:
    text = repr(value)
    return text, _UNARY if text.startswith('-') else _ATOM


def _index(node: Node, tensors: Sequence[tuple[str, int]]) -> str:
    parts: list[str] = []
    for part in node.attrs['index']:
        if isinstance(part, slice):
            ends: list[Any] = [part.start, part.stop, *([] if part.step is None else [part.step])]
            parts.append(':'.join('' if end is None else str(end) for end in ends))
        elif isinstance(part, Slot):
            parts.append(tensors[part.position][0])
        else:
            parts.append('...' if part is Ellipsis else repr(part))
    return ', '.join(parts)


def _value(value: Any) -> str:
    """An attr, in bounded length."""
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    text = str(value) if isinstance(value, torch.dtype) else repr(value)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'


def _tensor(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f'constant({_value(value)})'
    if value.numel() <= _SHOWN_ENTRIES and value.device.type != 'meta':
        return f'constant({value.tolist()})'
    return f'constant({TensorType.of(value)})'


def _aligned(lines: Sequence[tuple[str, str, Node | None]], *, source: bool) -> str:
    """Put the comments of neighbouring lines below each other, as far as the lines are short."""
    commented: list[tuple[str, str]] = []
    for text, label, node in lines:
        place = f'{node.location.short}: {_cut(node.location.text)}' if source and node is not None else ''
        commented.append((text, '; '.join(part for part in (label, place) if part)))
    lengths = [len(text) for text, comment in commented if comment]
    column = min(max(lengths, default=0) + 3, _COMMENT_COLUMN)
    return '\n'.join(
        f'{text:<{column}}# {comment}' if comment and len(text) < column
        else f'{text}  # {comment}' if comment
        else text
        for text, comment in commented
    )  # fmt: skip
