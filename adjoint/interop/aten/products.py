"""ATen: products that sum."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import activation
from adjoint.ops.contraction import matmul
from adjoint.ops.linear import cast, conj
from adjoint.ops.reduction import sum_
from adjoint.ops.shape import transpose, unsqueeze

__all__ = ['BUILDERS']


def _product(self: Node, mat2: Node) -> Node:
    return matmul(self, mat2)


def _product_as(self: Node, mat2: Node, out_dtype: torch.dtype) -> Node:
    return matmul(cast(self, out_dtype), cast(mat2, out_dtype))


def _mv(self: Node, vec: Node) -> Node:
    return matmul(self, vec)


def _dot(self: Node, tensor: Node) -> Node:
    return matmul(self, tensor)


def _vdot(self: Node, other: Node) -> Node:
    return matmul(conj(self), other)


def _matmul(self: Node, other: Node) -> Node:
    return matmul(self, other)


def _linear(input: Node, weight: Node, bias: Node | None = None) -> Node:
    axes = 2 if weight.type is None or weight.type.shape is None else len(weight.type.shape)
    product = matmul(input, transpose(weight, -2, -1) if axes > 1 else weight)
    return product if bias is None else product + bias


def _plus(self: Node, product: Node, beta: complex, alpha: complex) -> Node:
    """Return ``beta * self + alpha * product``; with ``beta`` 0 a nan in self counts nothing."""
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return product + (self if beta == 1 else self * beta)


def _addmm(self: Node, mat1: Node, mat2: Node, *, beta: complex = 1, alpha: complex = 1) -> Node:
    return _plus(self, matmul(mat1, mat2), beta, alpha)


def _addmm_as(
    self: Node, mat1: Node, mat2: Node, out_dtype: torch.dtype, *, beta: complex = 1, alpha: complex = 1
) -> Node:
    return _plus(cast(self, out_dtype), _product_as(mat1, mat2, out_dtype), beta, alpha)


def _addmm_activation(
    self: Node, mat1: Node, mat2: Node, *, beta: complex = 1, alpha: complex = 1, use_gelu: bool = False
) -> Node:
    total = _addmm(self, mat1, mat2, beta=beta, alpha=alpha)
    return activation.gelu_tanh(total) if use_gelu else activation.relu(total)


def _addmv(self: Node, mat: Node, vec: Node, *, beta: complex = 1, alpha: complex = 1) -> Node:
    return _plus(self, matmul(mat, vec), beta, alpha)


def _addbmm(self: Node, batch1: Node, batch2: Node, *, beta: complex = 1, alpha: complex = 1) -> Node:
    return _plus(self, sum_(matmul(batch1, batch2), 0), beta, alpha)


def _baddbmm(self: Node, batch1: Node, batch2: Node, *, beta: complex = 1, alpha: complex = 1) -> Node:
    return _plus(self, matmul(batch1, batch2), beta, alpha)


def _outer(self: Node, vec2: Node) -> Node:
    return unsqueeze(self, 1) * vec2


def _addr(self: Node, vec1: Node, vec2: Node, *, beta: complex = 1, alpha: complex = 1) -> Node:
    return _plus(self, _outer(vec1, vec2), beta, alpha)


def _bilinear(input1: Node, input2: Node, weight: Node, bias: Node | None = None) -> Node:
    # (..., 1, 1, i) @ (o, i, j) is (..., o, 1, j).
    left = matmul(unsqueeze(unsqueeze(input1, -2), -2), weight)
    found = sum_(left * unsqueeze(unsqueeze(input2, -2), -2), (-2, -1))
    return found if bias is None else found + bias


def _trilinear(
    i1: Node,
    i2: Node,
    i3: Node,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Node:
    factors: list[Node] = []
    for factor, places in ((i1, expand1), (i2, expand2), (i3, expand3)):
        expanded = factor
        for place in sorted(places):
            expanded = unsqueeze(expanded, place)
        factors.append(expanded)
    first, second, third = factors
    product = first * second * third
    return sum_(product, tuple(sumdim)) if sumdim else product


BUILDERS: Builders = {
    'aten.mm.default': _product,
    'aten.mm.dtype': _product_as,
    'aten.bmm.default': _product,
    'aten.bmm.dtype': _product_as,
    'aten.mv': _mv,
    'aten.dot': _dot,
    'aten.vdot': _vdot,
    'aten.matmul': _matmul,
    'aten.linalg_matmul': _matmul,
    'aten.linear': _linear,
    'aten.addmm.default': _addmm,
    'aten.addmm.dtype': _addmm_as,
    'aten._addmm_activation': _addmm_activation,
    'aten.addmv': _addmv,
    'aten.addbmm': _addbmm,
    'aten.baddbmm.default': _baddbmm,
    'aten.baddbmm.dtype': _addmm_as,
    'aten.addr': _addr,
    'aten.outer': _outer,
    'aten.ger': _outer,
    'aten.bilinear': _bilinear,
    'aten._trilinear': _trilinear,
}
