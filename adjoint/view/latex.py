"""A graph as LaTeX: one equation a node, each from the formula of its op."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sympy as untyped_sympy
import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.body import Body
from adjoint.ops.creation import placeholder
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.formula import exact_number, formula_of
from adjoint.ops.several import item, restricted
from adjoint.ops.shape import transpose
from adjoint.view.naming import Names, bodies_of, labelled, number_of, uses

__all__ = ['to_latex']

sympy: Any = untyped_sympy  # it ships no types

# The most operations that are put into another equation instead of getting one of their own.
_INLINE = 8

# Of an attr.
_LONGEST = 40

# What steers an op that holds bodies; its other attrs say how these are given their operands.
_SHOWN = frozenset({'length', 'reverse', 'snapshots'})

_SIGNS: Mapping[str, str] = MappingProxyType({
    'matmul': r' \, ', 'gt': ' > ', 'ge': r' \ge ', 'lt': ' < ', 'le': r' \le ', 'eq': ' = ', 'ne': r' \ne ',
})  # fmt: skip


def to_latex(nodes: Node | Iterable[Node] | Mapping[str, Node], *, inline: bool = True) -> str:
    r"""Write a graph as aligned equations, one for each node.

    Parameters
    ----------
    nodes : Node, iterable of Node, or mapping of str to Node
        The outputs. With a mapping each gets an equation under its key, which is LaTeX.
    inline : bool
        Put a node that is used once, and is short, into the equation that uses it.

    Returns
    -------
    str
        An ``aligned`` environment, for the inside of any displayed formula. Ops that are not elementwise
        stand as functions under their names, with their attrs. The graphs that an op holds, such as the step
        of a loop, follow as functions of their own, each under a letter.

    Raises
    ------
    TensorTypeError
        Something else than a node is among the outputs.

    Notes
    -----
    The closed form of a whole scalar expression is ``sympy.latex(symbolic.to_sympy(node))``; this here
    works for every graph, in one pass, however deep.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> print(to_latex({'y': ad.sqrt(x) / 2}))
    \begin{aligned}
    y &= \frac{\sqrt{x}}{2}
    \end{aligned}
    """
    outputs = labelled(nodes)
    labels = {n: label for label, n in reversed(outputs)} if isinstance(nodes, Mapping) else {}
    writer = _Writer(topological_sort([node for _, node in outputs]), [n for _, n in outputs], inline=inline)
    lines = writer.equations(labels)
    lines += [
        f'{label} &= {writer.latex(node)}'
        for label, node in outputs
        if labels and (_is_leaf(node) or labels[node] != label)
    ]
    for letter, body in writer.bodies:  # grows on the way
        lines += _definition(letter, body, writer)
    return '\\begin{aligned}\n' + ' \\\\\n'.join(lines) + '\n\\end{aligned}'


class _Writer:
    """Writes the equations of one graph; collects the bodies that it meets, each with its letter."""

    def __init__(
        self,
        order: Sequence[Node],
        outputs: Sequence[Node],
        *,
        inline: bool,
        bodies: list[tuple[str, Body]] | None = None,
    ) -> None:
        self.inline = inline
        self.bodies: list[tuple[str, Body]] = [] if bodies is None else bodies
        self._order = order
        self._names, self._counts = Names(order), uses(order, outputs)
        self._ends = set(outputs) if bodies is None else set[Node]()
        self._stands: dict[Node, Any] = {}
        # What a run computes of ops with several outputs.
        self._computed = dict(restricted(outputs))

    def latex(self, node: Node) -> str:
        """Return what stands for a node that has been written."""
        return str(sympy.latex(self._stands[node]))

    def equations(self, labels: Mapping[Node, str]) -> list[str]:
        """Return an equation for each node that does not go into another one."""
        lines: list[str] = []
        for node in self._order:
            written = self._settled(node)
            if written is None:
                continue
            left = [labels[node]] if node in labels else []
            # An output that nothing else uses needs no name beside its label.
            if self._counts[node] > 1 or not left:
                self._stands[node] = _symbol(self._names[node])
                left.append(self.latex(node))
            lines.append(f'{" = ".join(left)} &= {written}')
        return lines

    def _settled(self, node: Node) -> str | None:
        """Return the right side of the equation of a node; ``None`` where something stands for it already."""
        number = number_of(node)
        if node.op is placeholder:
            self._stands[node] = _symbol(self._names[node])
            return None
        if number is not None:
            self._stands[node] = exact_number(number)
            return None
        if node.op is item and node not in self._ends:
            self._stands[node] = self._entry(node)
            return None
        if node.op is item:
            return str(sympy.latex(self._entry(node)))
        closed = _closed(node, self._stands)
        if closed is None:
            return self._call(self._computed.get(node, node))
        is_short = self.inline and sympy.count_ops(closed) <= _INLINE
        if is_short and self._counts[node] == 1 and node not in self._ends and not node.given_name:
            self._stands[node] = closed
            return None
        return str(sympy.latex(closed))

    def _entry(self, node: Node) -> Any:
        """One of the outputs of an op: its name with the position among those that are computed."""
        whole, position = node.inputs[0], node.attrs['position']
        places = self._computed.get(whole, whole).attrs.get('places', range(whole.op.outputs))
        if len(places) == 1:
            return self._stands[whole]
        return _symbol(f'{{{self.latex(whole)}}}^{{({places.index(position) + 1})}}')

    def _call(self, node: Node) -> str:
        """An op without a formula."""
        held = bodies_of(node)
        if not held:
            return _call(node, self._stands)
        letters = [rf'\mathrm{{{_escaped(name)}}}{{=}}{self._lettered(body)}' for name, body in held]
        given = [self.latex(x) for x in node.inputs]
        attrs = {k: v for k, v in node.attrs.items() if k in _SHOWN and v is not False}
        inside = ', '.join([*given, *letters, *_options(attrs)])
        return rf'\operatorname{{{_escaped(node.op.name)}}}\left({inside}\right)'

    def _lettered(self, body: Body) -> str:
        for letter, known in self.bodies:
            if known is body:
                return letter
        self.bodies.append((f'F_{{{len(self.bodies) + 1}}}', body))
        return self.bodies[-1][0]


def _definition(letter: str, body: Body, outer: _Writer) -> list[str]:
    """Return what a body is: its results for its arguments, then the equations that these need."""
    order = topological_sort([*body.inputs, *body.outputs])
    inner = _Writer(order, body.outputs, inline=outer.inline, bodies=outer.bodies)
    lines = [rf'\quad {line}' for line in inner.equations({})]
    given, results = (', '.join(map(inner.latex, nodes)) for nodes in (body.inputs, body.outputs))
    if len(body.outputs) > 1:
        results = rf'\left({results}\right)'
    where_ = r' \quad \text{where}' if lines else ''
    return [rf'{letter}\left({given}\right) &= {results}{where_}', *lines]


def _is_leaf(node: Node) -> bool:
    """Whether a node is a variable or a number, which gets no equation of its own."""
    return node.op is placeholder or number_of(node) is not None


def _symbol(name: str) -> Any:
    return sympy.Symbol(name, real=True)


def _closed(node: Node, stands: Mapping[Node, Any]) -> Any:
    """The formula of the op in what stands for its operands, or ``None`` where it has none."""
    if node.op.formula is None:
        return None
    given: Sequence[Any] = [stands[i] for i in node.inputs]
    if isinstance(node.op, Elementwise):
        given = [
            exact_number(x) if isinstance(x, (int, float, complex)) else x
            for x in node.op.operands(node, given)
        ]
    expression, letters = formula_of(node.op, len(given))
    return expression.xreplace(dict(zip(letters, given, strict=True)))


def _call(node: Node, stands: Mapping[Node, Any]) -> str:
    """An op without a formula: as an operator where it has a sign, else as a function."""
    operands = [_grouped(stands[i]) for i in node.inputs]
    sign = _SIGNS.get(node.op.name)
    if sign is not None:
        given = node.op.operands(node, operands) if isinstance(node.op, Elementwise) else operands
        return sign.join(str(x) for x in given)
    if node.op is transpose and {node.attrs['dim0'], node.attrs['dim1']} in ({0, 1}, {-1, -2}):
        return rf'{operands[0]}^{{\top}}'
    inside = ', '.join([*(sympy.latex(stands[i]) for i in node.inputs), *_options(node.attrs)])
    return rf'\operatorname{{{_escaped(node.op.name)}}}\left({inside}\right)'


def _options(attrs: Mapping[str, Any]) -> list[str]:
    """The attrs of an op, each with its name."""
    return [
        rf'\mathrm{{{_escaped(name)}}}{{=}}\mathtt{{{_escaped(_value(value))}}}'
        for name, value in attrs.items()
        if value is not None
    ]


def _grouped(part: Any) -> str:
    """An operand of an operator, in brackets unless it is a symbol or a number."""
    written = sympy.latex(part)
    return written if part.is_Atom and not written.startswith('-') else rf'\left({written}\right)'


def _value(value: Any) -> str:
    return str(TensorType.of(value)) if isinstance(value, torch.Tensor) else str(value)


def _escaped(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'
    return ''.join('\\' + c if c in '_#$%&{}' else c for c in cut)
