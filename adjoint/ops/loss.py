"""Losses: for each entry or sample, and reduced to one number."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 torch's usual name

from adjoint.core.errors import TensorTypeError
from adjoint.core.kink import jump, kink, pole
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.activation import log_sigmoid, log_softmax, softplus
from adjoint.ops.arithmetic import abs_, square
from adjoint.ops.creation import ones_like
from adjoint.ops.elementwise import Binary, Partial, Step
from adjoint.ops.exponential import log, log1p
from adjoint.ops.index import gather, getitem, scatter_add
from adjoint.ops.linear import cast
from adjoint.ops.reduction import mean, sum_
from adjoint.ops.select import clamp, counted, where
from adjoint.ops.shape import squeeze, unsqueeze
from adjoint.ops.step import lt, ne

__all__ = [
    'BinaryCrossEntropy', 'MultilabelMargin', 'MultilabelMarginWeights', 'binary_cross_entropy',
    'binary_cross_entropy_with_logits', 'class_axis', 'cross_entropy', 'huber_loss', 'l1_loss', 'mse_loss',
    'multi_margin_loss', 'multilabel_margin', 'multilabel_margin_weights', 'nll_loss', 'nll_parts',
    'reduced', 'smooth_l1_loss', 'soft_margin_loss',
]  # fmt: skip


def reduced(losses: Node, how: str) -> Node:
    """Return the losses themselves, their mean, or their sum: ``'none'``, ``'mean'`` or ``'sum'``."""
    if how not in {'none', 'mean', 'sum'}:
        raise TensorTypeError(f"a reduction is 'none', 'mean' or 'sum', and got {how!r}")
    if how == 'none':
        return losses
    return mean(losses) if how == 'mean' else sum_(losses)


def mse_loss(x: Operand, target: Operand, reduction: str = 'mean') -> Node:
    """Return the squared differences, reduced."""
    return reduced(square(as_node(x, 'mse_loss') - target), reduction)


def l1_loss(x: Operand, target: Operand, reduction: str = 'mean') -> Node:
    """Return the absolute differences, reduced; the derivative where they are 0 is 0."""
    return reduced(abs_(as_node(x, 'l1_loss') - target), reduction)


def smooth_l1_loss(x: Operand, target: Operand, reduction: str = 'mean', beta: float = 1.0) -> Node:
    """Return ``l1_loss``, with a parabola where the difference is below ``beta``."""
    if beta == 0:
        return l1_loss(x, target, reduction)
    apart = as_node(x, 'smooth_l1_loss') - target
    size = abs_(apart)
    return reduced(where(lt(size, beta), square(apart) * (0.5 / beta), size - 0.5 * beta), reduction)


def huber_loss(x: Operand, target: Operand, reduction: str = 'mean', delta: float = 1.0) -> Node:
    """Return half the squared differences, straight from ``delta`` on."""
    apart = as_node(x, 'huber_loss') - target
    size = abs_(apart)
    straight = (size - 0.5 * delta) * delta
    return reduced(where(lt(size, delta), square(apart) * 0.5, straight), reduction)


def soft_margin_loss(x: Operand, target: Operand, reduction: str = 'mean') -> Node:
    """Return ``log(1 + exp(-target * x))``, without overflow."""
    return reduced(softplus(-(as_node(target, 'soft_margin_loss') * x)), reduction)


def _bce(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy(x, target, reduction='none')


class BinaryCrossEntropy(Binary):
    """``-b * log(a) - (1 - b) * log(1 - a)`` of probabilities ``a``, with logarithms above -100.

    Notes
    -----
    The derivative by ``a`` divides by ``a * (1 - a)`` or 1e-12, whichever is larger; that by ``b`` does not
    limit the logarithms.
    """

    kernel = _bce
    kinks = (
        pole(
            'a == 0, a == 1',
            'the derivative by a divides by 1e-12, that by b is infinite',
            lambda _, a, b: (a == 0) | (a == 1) | (b != b),  # noqa: PLR0124 in the shape of both; nan is nowhere
        ),
    )

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return (a - b) / clamp(a * (1 - a), min=1e-12), log1p(-a) - log(a)


binary_cross_entropy = BinaryCrossEntropy()


def binary_cross_entropy_with_logits(
    x: Operand,
    target: Operand,
    weight: Operand | None = None,
    pos_weight: Operand | None = None,
    reduction: str = 'mean',
) -> Node:
    """Return the binary cross-entropy of probabilities given by logits, without overflow."""
    x, target = (as_node(a, 'binary_cross_entropy_with_logits') for a in (x, target))
    fit = log_sigmoid(x)
    if pos_weight is not None:
        fit = fit * ((as_node(pos_weight, 'binary_cross_entropy_with_logits') - 1) * target + 1)
    losses = (1 - target) * x - fit
    return reduced(losses if weight is None else losses * weight, reduction)


# -- classes --------------------------------------------------------------------------------------


def class_axis(x: Node, target: Node, name: str) -> int:
    """Return the axis of the classes: the last one of a vector, else axis 1."""
    known = next((t.type for t in (x, target) if t.type is not None and t.type.shape is not None), None)
    if known is None or known.shape is None:
        msg = f'{name} has to know the number of axes: give the variable a shape\n{x.location}'
        raise TensorTypeError(msg)
    axes = len(known.shape) + (0 if known is x.type else 1)
    return 1 if axes > 1 else 0


def nll_parts(x: Node, target: Node, weight: Node | None, ignore_index: int, axis: int) -> tuple[Node, Node]:
    """Return minus the weighted entries at the target classes, and the weights, both 0 where ignored."""
    target = cast(target, torch.int64)
    counts = ne(target, ignore_index)
    places = where(counts, target, 0)
    chosen = squeeze(gather(x, axis, unsqueeze(places, axis)), axis)
    weights = counted(counts, ones_like(chosen) if weight is None else getitem(weight, places), 0.0)
    # Chosen, not multiplied: an infinite entry that is ignored counts nothing.
    losses = counted(counts, -chosen if weight is None else -chosen * weights, 0.0)
    return losses, weights


def nll_loss(
    x: Operand,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = 'mean',
    ignore_index: int = -100,
) -> Node:
    """Return minus the entries of log-probabilities at the target classes.

    Parameters
    ----------
    x : Node or torch.Tensor
        Log-probabilities ``(batch, classes, ...)`` or ``(classes,)``; the number of axes is known.
    target : Node or torch.Tensor
        Positions of classes, ``(batch, ...)`` or one.
    weight : Node or torch.Tensor, optional
        One for each class.
    reduction : {'mean', 'sum', 'none'}
        The mean is over the weights of what is not ignored.
    ignore_index : int
        Targets of this number count nothing.
    """
    x, target = as_node(x, 'nll_loss'), as_node(target, 'nll_loss')
    weight = None if weight is None else as_node(weight, 'nll_loss')
    losses, weights = nll_parts(x, target, weight, ignore_index, class_axis(x, target, 'nll_loss'))
    return sum_(losses) / sum_(weights) if reduction == 'mean' else reduced(losses, reduction)


def cross_entropy(
    x: Operand,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = 'mean',
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Node:
    """Return the cross-entropy of logits with target classes, or with probabilities of classes.

    Parameters
    ----------
    x : Node or torch.Tensor
        Logits ``(batch, classes, ...)`` or ``(classes,)``; the number of axes is known.
    target : Node or torch.Tensor
        Positions of classes, ``(batch, ...)`` or one; or probabilities, of the shape of ``x``.
    weight : Node or torch.Tensor, optional
        One for each class.
    reduction : {'mean', 'sum', 'none'}
        The mean is over the weights of what is not ignored, or over the batch for probabilities.
    ignore_index : int
        Targets of this number count nothing.
    label_smoothing : float
        The part of the target that is shared by all classes.
    """
    x, target = as_node(x, 'cross_entropy'), as_node(target, 'cross_entropy')
    weight = None if weight is None else as_node(weight, 'cross_entropy')
    axis = class_axis(x, target, 'cross_entropy')
    fit = log_softmax(x, axis)
    if target.type is not None and target.type.dtype is not None and target.type.is_differentiable:
        return _of_probabilities(fit, target, weight, reduction, label_smoothing, axis)
    losses, weights = nll_parts(fit, target, weight, ignore_index, axis)
    if label_smoothing:
        shared = -mean(fit if weight is None else fit * _along(weight, fit, axis), axis)
        shared = counted(ne(target, ignore_index), shared, 0.0)
        losses = losses * (1 - label_smoothing) + shared * label_smoothing
    return sum_(losses) / sum_(weights) if reduction == 'mean' else reduced(losses, reduction)


def _along(weight: Node, like: Node, axis: int) -> Node:
    """Return weights of classes so that they broadcast along the axis of the classes."""
    behind = len(like.type.shape) - axis - 1 if like.type is not None and like.type.shape else 0
    for _ in range(behind):
        weight = unsqueeze(weight, -1)
    return weight


def _of_probabilities(
    fit: Node, target: Node, weight: Node | None, reduction: str, label_smoothing: float, axis: int
) -> Node:
    fit = fit if weight is None else fit * _along(weight, fit, axis)
    losses = sum_(target * fit, axis)
    if label_smoothing:
        losses = losses * (1 - label_smoothing) + mean(fit, axis) * label_smoothing
    return reduced(-losses, reduction)


def multi_margin_loss(
    x: Operand,
    target: Operand,
    p: int = 1,
    margin: float = 1.0,
    weight: Operand | None = None,
    reduction: str = 'mean',
) -> Node:
    """Return how far the other classes come within a margin of the target class, to the power 1 or 2."""
    x, target = as_node(x, 'multi_margin_loss'), as_node(target, 'multi_margin_loss')
    axis = class_axis(x, target, 'multi_margin_loss')
    # The target of one sample may have an axis of its own.
    has_axis = axis == 0 and target.type is not None and target.type.shape == (1,)
    place = target if has_axis else unsqueeze(target, axis)
    excess = x - gather(x, axis, place) + margin
    excess = where(lt(0, excess), excess, 0.0)
    excess = square(excess) if p == 2 else excess  # noqa: PLR2004 the power
    others = scatter_add(excess, axis, place, -gather(excess, axis, place))
    losses = mean(others, axis)
    if weight is not None:
        losses = losses * getitem(as_node(weight, 'multi_margin_loss'), target)
    return reduced(losses, reduction)


def _at_margin(_: Node, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return for which rows a class that is no target comes within exactly 1 of one that is."""
    is_named = (target >= 0).long().cumprod(-1).bool()
    places = target.where(is_named, 0)
    others = torch.ones_like(x, dtype=torch.int64).scatter_reduce(-1, places, (~is_named).long(), 'amin') > 0
    apart = x.gather(-1, places).unsqueeze(-1) - x.unsqueeze(-2)
    return ((apart == 1) & is_named.unsqueeze(-1) & others.unsqueeze(-2)).flatten(-2).any(-1)


_MARGIN = 'a class that is no target comes within exactly 1 of one that is'


class MultilabelMarginWeights(Step):
    """The derivative of each sample's ``multilabel_margin`` by its scores, of the shape of the scores."""

    name = 'multilabel_margin_weights'
    kinks = (jump(_MARGIN, 'the derivative is 0', _at_margin),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, target = input_values
        _, is_target = torch.ops.aten.multilabel_margin_loss_forward(x, target, 0)
        ones = x.new_ones(x.shape[:-1])
        found = torch.ops.aten.multilabel_margin_loss_backward(ones, x, target, 0, is_target)
        return found.reshape(x.shape)


class MultilabelMargin(Op):
    """How far classes that are no targets come within 1 of those that are, for each row of scores.

    Targets are positions of classes; those from the first negative one on count nothing.

    Notes
    -----
    The derivative at a kink is 0.
    """

    name = 'multilabel_margin'
    kinks = (kink(_MARGIN, 'the part of this pair in the derivative is 0', _at_margin),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, target = input_values
        found, _ = torch.ops.aten.multilabel_margin_loss_forward(x, target, 0)
        return found

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        x, _ = input_types
        return TensorType(None if x.shape is None else x.shape[:-1], x.dtype, x.device)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        x, target = node.inputs
        return [unsqueeze(output_grad, -1) * multilabel_margin_weights(x, target), None]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        (x, target), (t, _) = node.inputs, input_tangents
        return None if t is None else sum_(t * multilabel_margin_weights(x, target), -1)


multilabel_margin_weights = MultilabelMarginWeights()
multilabel_margin = MultilabelMargin()
