"""A graph as LaTeX: one equation a node, each from the formula of its op."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sympy as untyped_sympy
import torch

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import placeholder
from adjoint.ops.elementwise import Elementwise
from adjoint.ops.formula import exact_number, formula_of
from adjoint.ops.shape import transpose
from adjoint.view.naming import Names, labelled, number_of, uses

__all__ = ['to_latex']

sympy: Any = untyped_sympy  # it ships no types

# The most operations that are put into another equation instead of getting one of their own.
_INLINE = 8

# Of an attr.
_LONGEST = 40

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
        stand as functions under their names, with their attrs.

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
    order = topological_sort([node for _, node in outputs])
    names, counts = Names(order), uses(order, (node for _, node in outputs))
    labels = {n: label for label, n in reversed(outputs)} if isinstance(nodes, Mapping) else {}
    ends = {node for _, node in outputs}
    stands: dict[Node, Any] = {}
    lines: list[str] = []
    for node in order:
        number = number_of(node)
        if node.op is placeholder:
            stands[node] = _symbol(names[node])
            continue
        if number is not None:
            stands[node] = exact_number(number)
            continue
        closed = _closed(node, stands)
        is_short = closed is not None and sympy.count_ops(closed) <= _INLINE
        if inline and is_short and counts[node] == 1 and node not in ends and not node.given_name:
            stands[node] = closed
            continue
        written = _call(node, stands) if closed is None else sympy.latex(closed)
        left = [labels[node]] if node in labels else []
        # An output that nothing else uses needs no name beside its label.
        if counts[node] > 1 or not left:
            stands[node] = _symbol(names[node])
            left.append(sympy.latex(stands[node]))
        lines.append(f'{" = ".join(left)} &= {written}')
    lines += [
        f'{label} &= {sympy.latex(stands[node])}'
        for label, node in outputs
        if labels and (_is_leaf(node) or labels[node] != label)
    ]
    return '\\begin{aligned}\n' + ' \\\\\n'.join(lines) + '\n\\end{aligned}'


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
    attrs = [
        rf'\mathrm{{{_escaped(name)}}}{{=}}\mathtt{{{_escaped(_value(value))}}}'
        for name, value in node.attrs.items()
        if value is not None
    ]
    inside = ', '.join([*(sympy.latex(stands[i]) for i in node.inputs), *attrs])
    return rf'\operatorname{{{_escaped(node.op.name)}}}\left({inside}\right)'


def _grouped(part: Any) -> str:
    """An operand of an operator, in brackets unless it is a symbol or a number."""
    written = sympy.latex(part)
    return written if part.is_Atom and not written.startswith('-') else rf'\left({written}\right)'


def _value(value: Any) -> str:
    return str(TensorType.of(value)) if isinstance(value, torch.Tensor) else str(value)


def _escaped(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'
    return ''.join('\\' + c if c in '_#$%&{}' else c for c in cut)
