"""ATen: losses, with the reduction as a number."""

from collections.abc import Callable, Sequence

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import ctc, loss
from adjoint.ops.contraction import matmul
from adjoint.ops.creation import zeros_like
from adjoint.ops.reduction import mean, sum_
from adjoint.ops.select import clamp, where
from adjoint.ops.shape import squeeze, transpose, unsqueeze
from adjoint.ops.step import eq

__all__ = ['BUILDERS']

_REDUCTIONS = ('none', 'mean', 'sum')

Some = Node | None


def _elementwise(of: Callable[..., Node]) -> Callable[..., Node]:
    def build(self: Node, target: Node, reduction: int = 1) -> Node:
        return of(self, target, _REDUCTIONS[reduction])

    return build


def _smooth_l1(self: Node, target: Node, reduction: int = 1, beta: float = 1.0) -> Node:
    return loss.smooth_l1_loss(self, target, _REDUCTIONS[reduction], beta)


def _huber(self: Node, target: Node, reduction: int = 1, delta: float = 1.0) -> Node:
    return loss.huber_loss(self, target, _REDUCTIONS[reduction], delta)


def _bce(self: Node, target: Node, weight: Some = None, reduction: int = 1) -> Node:
    losses = loss.binary_cross_entropy(self, target)
    return loss.reduced(losses if weight is None else losses * weight, _REDUCTIONS[reduction])


def _bce_with_logits(
    self: Node, target: Node, weight: Some = None, pos_weight: Some = None, reduction: int = 1
) -> Node:
    return loss.binary_cross_entropy_with_logits(self, target, weight, pos_weight, _REDUCTIONS[reduction])


def _nll(self: Node, target: Node, weight: Some = None, reduction: int = 1, ignore_index: int = -100) -> Node:
    return loss.nll_loss(self, target, weight, _REDUCTIONS[reduction], ignore_index)


def _nll_forward(
    self: Node, target: Node, weight: Some, reduction: int, ignore_index: int
) -> tuple[Node, Node]:
    axis = loss.class_axis(self, target, 'nll_loss')
    losses, weights = loss.nll_parts(self, target, weight, ignore_index, axis)
    total = sum_(weights)
    if reduction == 0:
        return losses, zeros_like(total)
    return sum_(losses) / total if reduction == 1 else sum_(losses), total


def _cross_entropy(
    self: Node,
    target: Node,
    weight: Some = None,
    reduction: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Node:
    how = _REDUCTIONS[reduction]
    return loss.cross_entropy(self, target, weight, how, ignore_index, label_smoothing)


def _multi_margin(
    self: Node,
    target: Node,
    p: float = 1,
    margin: float = 1,
    weight: Some = None,
    reduction: int = 1,
) -> Node:
    return loss.multi_margin_loss(self, target, int(p), margin, weight, _REDUCTIONS[reduction])


def _multilabel_margin(self: Node, target: Node, reduction: int = 1) -> Node:
    return loss.reduced(loss.multilabel_margin(self, target), _REDUCTIONS[reduction])


def _multilabel_margin_forward(self: Node, target: Node, reduction: int) -> tuple[Node, None]:
    return _multilabel_margin(self, target, reduction), None


def _ctc(
    log_probs: Node,
    targets: Node,
    input_lengths: Sequence[int] | Node,
    target_lengths: Sequence[int] | Node,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Node, None]:
    found = ctc.ctc_nll(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity)
    return found, None


def _ctc_reduced(
    log_probs: Node,
    targets: Node,
    input_lengths: Sequence[int] | Node,
    target_lengths: Sequence[int] | Node,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Node:
    is_one = log_probs.type is not None and len(log_probs.type.shape or ()) == 2  # noqa: PLR2004 no batch
    batch = unsqueeze(log_probs, 1) if is_one else log_probs
    losses = ctc.ctc_nll(batch, targets, input_lengths, target_lengths, blank, zero_infinity)
    if zero_infinity:
        losses = where(eq(losses, float('inf')), 0.0, losses)
    if reduction == 1:
        lengths = target_lengths if isinstance(target_lengths, Node) else torch.tensor(list(target_lengths))
        counts = clamp(lengths, min=1)
        return mean(losses / counts)
    return squeeze(losses, 0) if is_one and reduction == 0 else loss.reduced(losses, _REDUCTIONS[reduction])


def _linear_cross_entropy(
    input: Node,
    linear_weight: Node,
    target: Node,
    linear_bias: Some,
    weight: Some,
    reduction: str,
    ignore_index: int,
    label_smoothing: float = 0.0,
    *_: object,
) -> tuple[Node, None, None, None]:
    # The chunks of torch's op save memory; the gradients that it returns are its own affair.
    logits = matmul(input, transpose(linear_weight, 0, 1))
    logits = logits if linear_bias is None else logits + linear_bias
    found = loss.cross_entropy(logits, target, weight, reduction, ignore_index, label_smoothing)
    return found, None, None, None


def _linear_cross_entropy_unreduced(
    input: Node,
    linear_weight: Node,
    target: Node,
    linear_bias: Some,
    weight: Some,
    ignore_index: int,
    *_: object,
) -> Node:
    found = _linear_cross_entropy(input, linear_weight, target, linear_bias, weight, 'none', ignore_index)
    return found[0]


BUILDERS: Builders = {
    'aten.mse_loss': _elementwise(loss.mse_loss),
    'aten.l1_loss': _elementwise(loss.l1_loss),
    'aten.soft_margin_loss': _elementwise(loss.soft_margin_loss),
    'aten.smooth_l1_loss': _smooth_l1,
    'aten.huber_loss': _huber,
    'aten.binary_cross_entropy': _bce,
    'aten.binary_cross_entropy_with_logits': _bce_with_logits,
    'aten.nll_loss': _nll,
    'aten.nll_loss_nd': _nll,
    'aten.nll_loss2d': _nll,
    'aten.nll_loss_forward': _nll_forward,
    'aten.nll_loss2d_forward': _nll_forward,
    'aten.cross_entropy_loss': _cross_entropy,
    'aten.multi_margin_loss': _multi_margin,
    'aten.multilabel_margin_loss': _multilabel_margin,
    'aten.multilabel_margin_loss_forward': _multilabel_margin_forward,
    'aten._ctc_loss': _ctc,
    'aten.ctc_loss': _ctc_reduced,
    'torch_nn._linear_cross_entropy_batch_chunked': _linear_cross_entropy,
    'torch_nn._linear_cross_entropy_batch_chunked_no_reduction': _linear_cross_entropy_unreduced,
}
