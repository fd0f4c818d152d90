"""Layer normalisation, and the pairs that are fused with a product."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.activation import softmax
from adjoint.ops.arithmetic import rsqrt
from adjoint.ops.contraction import matmul
from adjoint.ops.reduction import mean, rows_needed, rows_reached

__all__ = [
    'Fused', 'LayerNorm', 'LayerNormAcross', 'MatMulLayerNorm',
    'MatMulSoftmax', 'layernorm', 'layernorm_across', 'matmul_layernorm',
    'matmul_softmax', 'normalised_axes',
]  # fmt: skip


_backward: Any = torch.ops.aten.native_layer_norm_backward


class LayerNorm(Op):
    """``(a - mean) / sqrt(variance + eps)`` over the last axes, with the biased variance, no affine map.

    The number of normalised axes is ``len(normalized_shape)``; its sizes are not compared with those of
    the operand.
    """

    axes = ()
    name = 'layernorm'

    def __call__(self, a: Operand, normalized_shape: Sequence[int] | int, eps: float = 1e-5) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape with at least ``len(normalized_shape)`` axes.
        normalized_shape : sequence of int, or int for one axis
            As many sizes as axes to normalise, the last ones.
        eps : float
            Added to the variance, inside the root.
        """
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        return Node([as_node(a, self.name)], self, {'normalized_shape': shape, 'eps': eps})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        axes = len(node.attrs['normalized_shape'])
        if axes > a.ndim:
            msg = f'layernorm over {axes} axes of an operand of shape {tuple(a.shape)}'
            raise ValueError(msg)
        return torch.nn.functional.layer_norm(a, a.shape[a.ndim - axes :], eps=node.attrs['eps'])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        return [self._product(node, output_grad)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (t,) = input_tangents
        return None if t is None else self._product(node, t)

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the rows with a marked entry, as wholes."""
        return rows_needed(node, mask, normalised_axes(node))

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the rows with a marked entry, as wholes."""
        return rows_reached(node, masks, normalised_axes(node))

    @staticmethod
    def _product(y: Node, t: Node) -> Node:
        """Return the Jacobian, which is symmetric, times ``t``."""
        (a,) = y.inputs
        axes = normalised_axes(y)
        deviation = a - mean(a, axes, keepdim=True)
        variance = mean(deviation * deviation, axes, keepdim=True)
        return Node([y, t], layernorm_across, y.attrs) * rsqrt(variance + y.attrs['eps'])


def normalised_axes(y: Node) -> tuple[int, ...]:
    """Return the axes of a node that are normalised, from the back."""
    return tuple(range(-len(y.attrs['normalized_shape']), 0))


class LayerNormAcross(Op):
    """What of ``t`` changes a normalised ``y``: no mean, and nothing along ``y``.

    Times the reciprocal root of the variance it is the derivative of ``layernorm``, whose attrs it has; the
    operand of that need not be kept beside its value.
    """

    axes = ()
    name = 'layernorm_across'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        y, t = input_values
        axes = len(node.attrs['normalized_shape'])
        if torch.is_grad_enabled() and (y.requires_grad or t.requires_grad):
            # torch's autograd would take the operand for what statistics are made of.
            along = normalised_axes(node)
            return t - t.mean(along, keepdim=True) - y * (y * t).mean(along, keepdim=True)
        front = y.shape[: y.ndim - axes]
        zeros = y.new_zeros((*front, *(1,) * axes))
        # The kernel for the derivative, of what has no mean and a root of 1; it reads memory beside what is
        # smaller.
        shape = y.shape[y.ndim - axes :]
        return _backward(t.expand_as(y), y, shape, zeros, zeros + 1, None, None, [True, False, False])[0]

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        y, t = node.inputs
        return [self._by_value(node, t, output_grad), Node([y, output_grad], self, node.attrs)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        y, t = node.inputs
        by_y, by_t = input_tangents
        total = None if by_t is None else Node([y, by_t], self, node.attrs)
        if by_y is None:
            return total
        axes = normalised_axes(node)
        term = -(by_y * mean(t * y, axes, keepdim=True) + y * mean(t * by_y, axes, keepdim=True))
        return term if total is None else total + term

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the rows with a marked entry, as wholes."""
        return list(rows_needed(node, mask, normalised_axes(node))) * 2

    @staticmethod
    def _by_value(node: Node, t: Node, ct: Node) -> Node:
        y, axes = node.inputs[0], normalised_axes(node)
        return -(ct * mean(t * y, axes, keepdim=True) + t * mean(ct * y, axes, keepdim=True))


class Fused(Op):
    """Base of a product followed by one more op: same value and derivatives as the pair."""

    def pair(self, node: Node) -> tuple[Node, Node]:
        """Return the product and the op on it, as two nodes."""
        raise NotImplementedError

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the pullback through the pair."""
        product, result = self.pair(node)
        (ct,) = result.op.gradient(result, output_grad)
        return [None] * len(node.inputs) if ct is None else product.op.gradient(product, ct)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the pushforward through the pair."""
        product, result = self.pair(node)
        return result.op.jvp(result, [product.op.jvp(product, input_tangents)])


class MatMulLayerNorm(Fused):
    """``layernorm(a @ b, normalized_shape, eps)``."""

    name = 'matmul_layernorm'

    def __call__(
        self, a: Operand, b: Operand, normalized_shape: Sequence[int] | int, eps: float = 1e-5
    ) -> Node:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        operands = [as_node(a, self.name), as_node(b, self.name)]
        return Node(operands, self, {'normalized_shape': shape, 'eps': eps})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return layernorm.compute(node, [a @ b])

    def pair(self, node: Node) -> tuple[Node, Node]:
        product = matmul(*node.inputs)
        return product, layernorm(product, node.attrs['normalized_shape'], node.attrs['eps'])


class MatMulSoftmax(Fused):
    """``softmax(a @ b, dim)``."""

    name = 'matmul_softmax'

    def __call__(self, a: Operand, b: Operand, dim: int = -1) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return softmax.compute(node, [a @ b])

    def pair(self, node: Node) -> tuple[Node, Node]:
        product = matmul(*node.inputs)
        return product, softmax(product, node.attrs['dim'])


layernorm = LayerNorm()
layernorm_across = LayerNormAcross()
matmul_layernorm = MatMulLayerNorm()
matmul_softmax = MatMulSoftmax()
