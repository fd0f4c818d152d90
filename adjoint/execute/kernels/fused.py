"""Several ops as one kernel: what programs write where they may round in another way.

A fusion looks at a node, and at what only this node needs. It says the tensors that the kernel takes and its
call; what was computed on the way is then not computed at all.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.facts import Fact
from adjoint.execute.internals import log_softmax_backward_kernel, softmax_backward_kernel
from adjoint.execute.kernels.table import Written
from adjoint.ops.arithmetic import add, div, mul, sub
from adjoint.ops.contraction import matmul
from adjoint.ops.exponential import exp
from adjoint.ops.reduction import sum_
from adjoint.ops.step import greater
from adjoint.passes.facts import constant_of
from adjoint.passes.rewrite import ROUNDING, Exactness, except_where

__all__ = ['FUSIONS', 'Fused', 'Fusion', 'Uses', 'fused']

# How often each value is needed, where it is returned among them.
Uses: TypeAlias = Mapping[Node, int]

_aten: Any = torch.ops.aten
_DTYPES = frozenset({torch.float32, torch.float64})
_MATRIX, _BATCH = 2, 3


class Fused(NamedTuple):
    """A call that takes the place of several.

    Parameters
    ----------
    operands : tuple of Node
        What it takes.
    written : Written
        The call, by the positions of these.
    in_order : bool
        Whether the value lies in memory in the order of its entries because the operands do.
    by_entry : bool
        Whether each entry of the value is computed from the entries of the operands at its place.
    """

    operands: tuple[Node, ...]
    written: Written
    in_order: bool = True
    by_entry: bool = False


@dataclass(frozen=True, slots=True)
class Fusion:
    """A pattern with its kernel.

    Parameters
    ----------
    apply : callable
        Takes a node and the uses of all, and returns the call, or ``None`` where the pattern is another.
    ops : tuple of Op
        Of the node.
    exactness : Exactness
        How the value compares with that of the ops.
    examples : tuple of str
        Expressions that it takes.
    """

    apply: Callable[[Node, Uses], Fused | None]
    ops: tuple[Op, ...]
    exactness: Exactness
    examples: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the function that it was made of."""
        return self.apply.__name__

    @property
    def summary(self) -> str:
        """The docstring, on one line."""
        return ' '.join((inspect.getdoc(self.apply) or '').split())


def fusion(
    *ops: Op, examples: Sequence[str], exactness: Exactness = ROUNDING
) -> Callable[[Callable[[Node, Uses], Fused | None]], Fusion]:
    """Make a fusion of a function; a decorator."""
    return lambda apply: Fusion(apply, ops, exactness, tuple(examples))


def fused(node: Node, uses: Uses, layouts: Mapping[Node, Fact]) -> Fused | None:
    """Return the call that a fusion puts in the place of a node, if one fits.

    All tensors are real and of one dtype, and the value lies in memory as that of the ops would.
    """
    own = layouts.get(node)
    if own is None or own.dtype not in _DTYPES:
        return None
    for each in _BY_OP.get(node.op, ()):
        found = each.apply(node, uses)
        if found is None:
            continue
        facts = [layouts.get(x) for x in found.operands]
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


def _like(*nodes: Node) -> bool:
    """Whether values are of one known shape."""
    first = nodes[0].type
    return first is not None and all(x.type is not None and x.type.shape == first.shape for x in nodes)


def _pair(y: Node) -> tuple[tuple[Node, Node], ...]:
    """Return the operands of a node with two in both orders; nothing for one with a number."""
    if len(y.inputs) == 1:
        return ()
    a, b = y.inputs
    return (a, b), (b, a)


def _multiple(y: Node) -> tuple[Node, float] | None:
    """Return ``x`` and ``c`` of ``x * c`` for a real number."""
    c = y.attrs.get('constant')
    if y.op is not mul or not isinstance(c, (int, float)) or not math.isfinite(c):
        return None
    return y.inputs[0], float(c)


# -- derivatives ---------------------------------------------------------------------------------


def _one_less(y: Node) -> Node | None:
    return y.inputs[0] if y.op is sub and constant_of(y, 'left') == 1 else None


@fusion(mul, examples=['y * (1 - x * x)', '(1 - x * x) * y'])
def tanh_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct * (1 - y * y)`` is the kernel of the derivative of a tanh."""
    for ct, partial in _pair(node):
        square = _one_less(partial)
        if square is None or square.op is not mul or uses[partial] > 1 or len(square.inputs) == 1:
            continue
        y, same = square.inputs
        if y is same and _like(node, ct, y):
            return Fused((ct, y), _backward(_aten.tanh_backward), by_entry=True)
    return None


@fusion(mul, examples=['y * (x * (1 - x))', '((1 - x) * x) * y'])
def sigmoid_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct * (y * (1 - y))`` is the kernel of the derivative of a sigmoid."""
    for ct, partial in _pair(node):
        if partial.op is not mul or uses[partial] > 1:
            continue
        for y, rest in _pair(partial):
            if _one_less(rest) is y and _like(node, ct, y):
                return Fused((ct, y), _backward(_aten.sigmoid_backward), by_entry=True)
    return None


@fusion(
    mul,
    exactness=except_where('the operand of the relu is nan, the cotangent infinite, or a zero negative'),
    examples=['y * greater(x, 0.0)', 'greater(x, 0.0) * y'],
)
def threshold_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct * (x > 0)`` is the kernel of the derivative of a relu."""
    for ct, mask in _pair(node):
        is_relu = mask.op is greater and constant_of(mask) == 0 and uses[mask] == 1
        if is_relu and _like(node, ct, mask.inputs[0]):
            return Fused((ct, mask.inputs[0]), _backward(_aten.threshold_backward, ', 0'), by_entry=True)
    return None


def _backward(kernel: Any, more: str = '') -> Written:
    """Write a derivative of an elementwise function: over the cotangent, or over the other operand."""
    bound = {'kernel': kernel.default, 'store': kernel.grad_input}
    into = f'{{store}}({{0}}, {{1}}{more}, grad_input={{out}})'
    over = tuple((i, f'{{store}}({{0}}, {{1}}{more}, grad_input={{{i}}})') for i in range(2))
    return Written(f'{{kernel}}({{0}}, {{1}}{more})', bound, None, into, over)


def _total(y: Node) -> tuple[Node, int] | None:
    """Return the operand and the axis of a sum along one axis that keeps it."""
    dim: int | tuple[int, ...] | None = y.attrs.get('dim')
    if isinstance(dim, tuple) and len(dim) == 1:
        (dim,) = dim
    return (y.inputs[0], dim) if y.op is sum_ and isinstance(dim, int) and y.attrs['keepdim'] else None


@fusion(sub, examples=['x * y - x * sum(x * y, -1, keepdim=True)', 'x * y - sum(x * y, 0, keepdim=True) * x'])
def softmax_backward(node: Node, uses: Uses) -> Fused | None:
    """``p * ct - p * sum(p * ct)`` is the kernel of the derivative of a softmax."""
    if len(node.inputs) == 1 or node.inputs[0].op is not mul or node.inputs[1].op is not mul:
        return None
    product, share = node.inputs
    for p, total in _pair(share):
        found = _total(total)
        if found is None or found[0] is not product or uses[share] > 1:
            continue
        ct = next((b for a, b in _pair(product) if a is p), None)
        if ct is not None and _like(node, p, ct):
            return Fused((ct, p), _along(softmax_backward_kernel, found[1], p))
    return None


@fusion(sub, examples=['y - exp(x) * sum(y, -1, keepdim=True)', 'y - sum(y, 0, keepdim=True) * exp(x)'])
def log_softmax_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct - exp(y) * sum(ct)`` is the kernel of the derivative of a log_softmax."""
    if len(node.inputs) == 1 or node.inputs[1].op is not mul:
        return None
    ct, share = node.inputs
    for p, total in _pair(share):
        found = _total(total)
        if found is None or found[0] is not ct or p.op is not exp or uses[share] > 1 or uses[p] > 1:
            continue
        (y,) = p.inputs
        if _like(node, ct, y):
            return Fused((ct, y), _along(log_softmax_backward_kernel, found[1], y))
    return None


def _along(kernel: Any, dim: int, like: Node) -> Written:
    bound = {'kernel': kernel, 'dim': dim, 'dtype': like.dtype}
    return Written('{kernel}({0}, {1}, {dim}, {dtype})', bound)


# -- sums and products ---------------------------------------------------------------------------


@fusion(add, examples=['c.mT @ x + row', 'A + A @ B', 'row + x.mT @ y', 'batch @ batch.mT + column'])
def product_and_sum(node: Node, uses: Uses) -> Fused | None:
    """``c + a @ b`` is one kernel, of matrices and of batches."""
    for c, product in _pair(node):
        if product.op is not matmul or uses[product] > 1 or not _like(node, product):
            continue
        a, b = product.inputs
        ranks = {len(x.type.shape or ()) if x.type is not None else 0 for x in (a, b)}
        names = {_MATRIX: 'addmm', _BATCH: 'baddbmm'}
        if len(ranks) == 1 and (rank := ranks.pop()) in names and a.shape[:-2] == b.shape[:-2]:
            name = names[rank]
            bound = {'kernel': getattr(torch, name)}
            text = '{kernel}({0}, {1}, {2}'
            over = ((0, f'{{0}}.{name}_({{1}}, {{2}})'),)
            call = Written(text + ')', bound, None, text + ', out={out})', over)
            return Fused((c, a, b), call, in_order=False)
    return None


@fusion(add, sub, examples=['x + (y * row) * 0.5', 'x - y * y', 'x * y + row', 'x + y * 3 * x'])
def scaled_product(node: Node, uses: Uses) -> Fused | None:
    """``x + c * (a * b)`` and ``x - c * (a * b)`` are one kernel."""
    return _combined(node, uses, mul, 'addcmul')


@fusion(add, sub, examples=['x - (y * 0.5) / (p + 1)', 'x + y / p', 'row / p + x'])
def scaled_quotient(node: Node, uses: Uses) -> Fused | None:
    """``x + c * a / b`` and ``x - c * a / b`` are one kernel."""
    return _combined(node, uses, div, 'addcdiv')


def _combined(node: Node, uses: Uses, op: Op, name: str) -> Fused | None:
    for x, term in _pair(node)[: 1 if node.op is sub else 2]:
        found = _scaled(term, uses, op)
        if found is None:
            continue
        a, b, value = found
        bound = {'kernel': getattr(torch, name), 'value': -value if node.op is sub else value}
        text, keyword = '{kernel}({0}, {1}, {2}', ', value={value}'
        over = ((0, f'{{0}}.{name}_({{1}}, {{2}}{keyword})'),)
        call = Written(text + keyword + ')', bound, None, text + keyword + ', out={out})', over)
        return Fused((x, a, b), call, by_entry=True)
    return None


def _scaled(y: Node, uses: Uses, op: Op) -> tuple[Node, Node, float] | None:
    """Return ``a``, ``b`` and ``c`` of ``op(a, b)`` times a number, wherever the number stands."""
    value = 1.0
    if uses[y] > 1:
        return None
    outer = _multiple(y)
    if outer is not None:
        y, value = outer
    if y.op is not op or len(y.inputs) == 1 or uses[y] > 1:
        return None
    a, b = y.inputs
    inner = _multiple(a)
    if outer is None and inner is not None and uses[a] == 1:
        a, value = inner
    return a, b, value


@fusion(add, sub, examples=['x + y * 0.5', 'row * 2 + x', 'x - y * 3'])
def multiple_and_sum(node: Node, uses: Uses) -> Fused | None:
    """``x + c * y`` and ``x - c * y`` are one kernel."""
    for x, term in _pair(node)[: 1 if node.op is sub else 2]:
        found = _multiple(term)
        if found is None or uses[term] > 1:
            continue
        y, c = found
        name = 'sub' if node.op is sub else 'add'
        bound = {'kernel': getattr(torch, name), 'c': c}
        text = '{kernel}({0}, {1}, alpha={c}'
        over = ((0, f'{{0}}.{name}_({{1}}, alpha={{c}})'), (1, text + ', out={1})'))
        return Fused((x, y), Written(text + ')', bound, None, text + ', out={out})', over), by_entry=True)
    return None


FUSIONS: tuple[Fusion, ...] = (
    tanh_backward, sigmoid_backward, threshold_backward, softmax_backward, log_softmax_backward,
    product_and_sum, scaled_product, scaled_quotient, multiple_and_sum,
)  # fmt: skip

_BY_OP: dict[Op, list[Fusion]] = {}
for _each in FUSIONS:
    for _op in _each.ops:
        _BY_OP.setdefault(_op, []).append(_each)
