"""Derivatives that torch has kernels for, where a graph takes them apart."""

from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.execute.internals import log_softmax_backward_kernel, softmax_backward_kernel
from adjoint.execute.kernels.fusion import Fused, Fusion, Uses, fusion, like, pair
from adjoint.execute.kernels.table import Written
from adjoint.ops.activation import gelu_tanh_slope, silu_slope
from adjoint.ops.arithmetic import mul, sub
from adjoint.ops.elementwise import Unary
from adjoint.ops.exponential import exp
from adjoint.ops.reduction import sum_
from adjoint.ops.step import greater
from adjoint.passes.facts import constant_of
from adjoint.passes.rewrite import BITWISE, except_where

__all__ = ['BACKWARD']

_aten: Any = torch.ops.aten


def _one_less(y: Node) -> Node | None:
    return y.inputs[0] if y.op is sub and constant_of(y, 'left') == 1 else None


@fusion(mul, examples=['y * (1 - x * x)', '(1 - x * x) * y'])
def tanh_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct * (1 - y * y)`` is the kernel of the derivative of a tanh."""
    for ct, partial in pair(node):
        square = _one_less(partial)
        if square is None or square.op is not mul or uses[partial] > 1 or len(square.inputs) == 1:
            continue
        y, same = square.inputs
        if y is same and like(node, ct, y):
            return Fused((ct, y), _backward(_aten.tanh_backward), by_entry=True)
    return None


@fusion(mul, examples=['y * (x * (1 - x))', '((1 - x) * x) * y'])
def sigmoid_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct * (y * (1 - y))`` is the kernel of the derivative of a sigmoid."""
    for ct, partial in pair(node):
        if partial.op is not mul or uses[partial] > 1:
            continue
        for y, rest in pair(partial):
            if _one_less(rest) is y and like(node, ct, y):
                return Fused((ct, y), _backward(_aten.sigmoid_backward), by_entry=True)
    return None


@fusion(
    mul,
    exactness=except_where('the operand of the relu is nan, the cotangent infinite, or a zero negative'),
    examples=['y * greater(x, 0.0)', 'greater(x, 0.0) * y'],
)
def threshold_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct * (x > 0)`` is the kernel of the derivative of a relu."""
    for ct, mask in pair(node):
        is_relu = mask.op is greater and constant_of(mask) == 0 and uses[mask] == 1
        if is_relu and like(node, ct, mask.inputs[0]):
            return Fused((ct, mask.inputs[0]), _backward(_aten.threshold_backward, ', 0'), by_entry=True)
    return None


@fusion(mul, exactness=BITWISE, examples=['y * gelu_tanh_slope(x)', 'gelu_tanh_slope(x) * y'])
def gelu_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct`` times the derivative of a ``gelu_tanh`` is a kernel, which multiplies last."""
    return _times_slope(node, uses, gelu_tanh_slope, _aten.gelu_backward, ', approximate={tanh}', tanh='tanh')


@fusion(mul, examples=['y * silu_slope(x)'])
def silu_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct`` times the derivative of a ``silu`` is a kernel."""
    return _times_slope(node, uses, silu_slope, _aten.silu_backward)


def _times_slope(
    node: Node, uses: Uses, slope: Unary, kernel: Any, more: str = '', **bound: object
) -> Fused | None:
    """Fuse a cotangent times a derivative that is an op."""
    for ct, factor in pair(node):
        if factor.op is slope and uses[factor] == 1 and like(node, ct, factor):
            return Fused((ct, factor.inputs[0]), _backward(kernel, more, **bound), by_entry=True)
    return None


def _backward(kernel: Any, more: str = '', **more_bound: object) -> Written:
    """Write a derivative of an elementwise function: over the cotangent, or over the other operand."""
    bound = {'kernel': kernel.default, 'store': kernel.grad_input, **more_bound}
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
    for p, total in pair(share):
        found = _total(total)
        if found is None or found[0] is not product or uses[share] > 1:
            continue
        ct = next((b for a, b in pair(product) if a is p), None)
        if ct is not None and like(node, p, ct):
            return Fused((ct, p), _along(softmax_backward_kernel, found[1], p))
    return None


@fusion(sub, examples=['y - exp(x) * sum(y, -1, keepdim=True)', 'y - sum(y, 0, keepdim=True) * exp(x)'])
def log_softmax_backward(node: Node, uses: Uses) -> Fused | None:
    """``ct - exp(y) * sum(ct)`` is the kernel of the derivative of a log_softmax."""
    if len(node.inputs) == 1 or node.inputs[1].op is not mul:
        return None
    ct, share = node.inputs
    for p, total in pair(share):
        found = _total(total)
        if found is None or found[0] is not ct or p.op is not exp or uses[share] > 1 or uses[p] > 1:
            continue
        (y,) = p.inputs
        if like(node, ct, y):
            return Fused((ct, y), _along(log_softmax_backward_kernel, found[1], y))
    return None


def _along(kernel: Any, dim: int, like: Node) -> Written:
    bound = {'kernel': kernel, 'dim': dim, 'dtype': like.dtype}
    return Written('{kernel}({0}, {1}, {dim}, {dtype})', bound)


BACKWARD: tuple[Fusion, ...] = (
    tanh_backward, sigmoid_backward, threshold_backward, gelu_backward, silu_backward, softmax_backward,
    log_softmax_backward,
)  # fmt: skip
