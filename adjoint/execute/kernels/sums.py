"""Sums of products, quotients and multiples as one kernel each."""

import math

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.kernels.fusion import Fused, Fusion, Uses, fusion, like, pair
from adjoint.execute.kernels.table import Written
from adjoint.ops.arithmetic import add, div, mul, sub
from adjoint.ops.contraction import matmul

__all__ = ['SUMS']

_MATRIX, _BATCH = 2, 3


def _multiple(y: Node) -> tuple[Node, float] | None:
    """Return ``x`` and ``c`` of ``x * c`` for a real number."""
    c = y.attrs.get('constant')
    if y.op is not mul or not isinstance(c, (int, float)) or not math.isfinite(c):
        return None
    return y.inputs[0], float(c)


@fusion(add, examples=['c.mT @ x + row', 'A + A @ B', 'row + x.mT @ y', 'batch @ batch.mT + column'])
def product_and_sum(node: Node, uses: Uses) -> Fused | None:
    """``c + a @ b`` is one kernel, of matrices and of batches."""
    for c, product in pair(node):
        if product.op is not matmul or uses[product] > 1 or not like(node, product):
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
    for x, term in pair(node)[: 1 if node.op is sub else 2]:
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
    for x, term in pair(node)[: 1 if node.op is sub else 2]:
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


SUMS: tuple[Fusion, ...] = (product_and_sum, scaled_product, scaled_quotient, multiple_and_sum)
