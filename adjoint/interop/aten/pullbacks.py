"""ATen: the ops of torch's own backward passes, as the pullbacks of our forward ops.

They stand in programs that call ``torch.autograd.grad``. What they are handed of the forward pass, such as
means and masks, is computed again from the inputs, so that their own derivatives are whole.
"""

from collections.abc import Callable, Sequence
from typing import Any

from adjoint.autodiff.reverse import cotangents
from adjoint.core.node import Node
from adjoint.interop.aten import activations, losses
from adjoint.interop.aten import attention as network_attention
from adjoint.interop.aten.table import Builders
from adjoint.ops.activation import log_sigmoid
from adjoint.ops.arithmetic import rsqrt
from adjoint.ops.attention import attention
from adjoint.ops.channels import along_channels, batchnorm, group_channels, over_channels
from adjoint.ops.creation import zeros_like
from adjoint.ops.gates import elu, slope
from adjoint.ops.linear import alias, conj, sum_to_like
from adjoint.ops.reduction import mean as average
from adjoint.ops.select import where
from adjoint.ops.shape import reshape_like, unsqueeze
from adjoint.ops.step import gt, le
from adjoint.ops.torch_names import detach

__all__ = ['BUILDERS']

Some = Node | None


def _cotangents(y: Node, ct: Node, inputs: Sequence[Node]) -> list[Node]:
    found = cotangents({y: ct}, inputs)
    return [zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _pullback(forward: Callable[..., Node], unused: int = 0) -> Callable[..., Node]:
    """Return the builder of a backward op from that of its forward op.

    Parameters
    ----------
    forward
        Takes the operand, then what the backward op takes after the cotangent and the operand.
    unused
        How many arguments at the end are results of the forward op.
    """

    def build(grad_output: Node, self: Node, *rest: Any, **options: Any) -> Node:
        # An operand of its own: others may be made of the same node.
        x = alias(self)
        y = forward(x, *rest[: len(rest) - unused], **options)
        (found,) = _cotangents(y, grad_output, [x])
        return found

    return build


def _elu(
    grad_output: Node,
    alpha: float,
    scale: float,
    input_scale: float,
    is_result: bool,
    self_or_result: Node,
) -> Node:
    if is_result:
        y = self_or_result
        return grad_output * where(gt(y, 0), scale, (y + alpha * scale) * input_scale)
    return _pullback(elu)(grad_output, self_or_result, alpha, scale, input_scale)


def _leaky_relu(grad_output: Node, self: Node, negative_slope: float, self_is_result: bool) -> Node:
    # The sign of the result is that of the operand.
    return grad_output * slope(self, negative_slope)


def _rrelu(
    grad_output: Node,
    self: Node,
    noise: Node,
    lower: float,
    upper: float,
    training: bool,
    self_is_result: bool,
) -> Node:
    if training:
        return grad_output * noise
    return grad_output * slope(self, (lower + upper) / 2)


def _threshold(grad_output: Node, self: Node, threshold: float) -> Node:
    return where(le(self, threshold), 0.0, grad_output)


def _tanh(grad_output: Node, output: Node) -> Node:
    return grad_output * conj(1 - output * output)


def _sigmoid(grad_output: Node, output: Node) -> Node:
    return grad_output * conj(output * (1 - output))


def _prelu(grad_output: Node, self: Node, weight: Node) -> tuple[Node, Node]:
    # That of the weight is summed to its shape by whoever asked.
    is_above = gt(self, 0)
    return where(is_above, grad_output, grad_output * weight), where(is_above, 0.0, grad_output * self)


# -- normalisation: the statistics are handed on, without the offset that they were made with -----------


def _whole(given: Node) -> Node:
    """Return a statistic as a function of the input, which the result of the forward op is cut from."""
    while given.op is detach:
        (given,) = given.inputs
    return given


def _asked(found: Sequence[Some], output_mask: Sequence[bool]) -> tuple[Some, ...]:
    return tuple(ct if is_asked else None for ct, is_asked in zip(found, output_mask, strict=True))


def _centred(ct: Node, y: Node, average: Callable[[Node], Node]) -> Node:
    return ct - average(ct) - y * average(ct * y)


def _layer_norm(
    grad_out: Node,
    input: Node,
    normalized_shape: Sequence[int],
    mean: Node,
    rstd: Node,
    weight: Some,
    bias: Some,
    output_mask: Sequence[bool],
) -> tuple[Some, ...]:
    axes = tuple(range(-len(normalized_shape), 0))
    scale = _whole(rstd)
    y = (input - _whole(mean)) * scale
    ct = grad_out if weight is None else grad_out * weight
    by_input = _centred(ct, y, lambda x: average(x, axes, keepdim=True)) * scale
    by_weight = None if weight is None else sum_to_like(grad_out * y, weight)
    by_bias = None if bias is None else sum_to_like(grad_out, bias)
    return _asked([by_input, by_weight, by_bias], output_mask)


def _group_norm(
    grad_out: Node,
    input: Node,
    mean: Node,
    rstd: Node,
    weight: Some,
    N: int,
    C: int,
    HxW: int,
    group: int,
    output_mask: Sequence[bool],
) -> tuple[Some, ...]:
    scale = unsqueeze(_whole(rstd), -1)
    y = (group_channels(input, group) - unsqueeze(_whole(mean), -1)) * scale
    ct = grad_out if weight is None else grad_out * along_channels(weight, grad_out)
    ct = _centred(group_channels(ct, group), y, lambda x: average(x, -1, keepdim=True)) * scale
    by_weight = over_channels(grad_out * reshape_like(y, grad_out))
    return _asked([reshape_like(ct, input), by_weight, over_channels(grad_out)], output_mask)


def _batch_norm(
    grad_out: Node,
    input: Node,
    weight: Some,
    running_mean: Some,
    running_var: Some,
    save_mean: Some,
    save_invstd: Some,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> tuple[Some, ...]:
    ct = grad_out if weight is None else grad_out * along_channels(weight, grad_out)
    if not train and running_mean is not None and running_var is not None:
        scale = along_channels(rsqrt(running_var + eps), input)
        y = (input - along_channels(running_mean, input)) * scale
        by_input = ct * scale
    else:
        y = batchnorm(input, eps)
        by_input = batchnorm.gradient(y, ct)[0]
    return _asked([by_input, over_channels(grad_out * y), over_channels(grad_out)], output_mask)


def _flash(
    grad_out: Node,
    query: Node,
    key: Node,
    value: Node,
    out: Node,
    logsumexp: Node,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Some = None,
    scale: float | None = None,
) -> tuple[Node, ...]:
    if dropout_p:
        raise NotImplementedError('its dropout cannot be drawn again')
    q, k, v = (alias(x) for x in (query, key, value))
    y = attention(q, k, v, attn_mask, is_causal, scale)
    return tuple(_cotangents(y, grad_out, [q, k, v]))


def _embedding(
    grad: Node,
    indices: Node,
    num_weights: int,
    padding_idx: int,
    scale_grad_by_freq: bool,
    sparse: bool = False,
) -> Node:
    return network_attention.embedding_backward(grad, indices, num_weights, padding_idx, scale_grad_by_freq)


_OF = {**activations.BUILDERS, **losses.BUILDERS}

BUILDERS: Builders = {
    **{
        f'aten.{name}_backward': _pullback(_OF[f'aten.{name}'])
        for name in (
            'gelu',
            'silu',
            'mish',
            'hardswish',
            'hardsigmoid',
            'hardtanh',
            'softplus',
            'softshrink',
            'hardshrink',
            'glu',
            'mse_loss',
            'smooth_l1_loss',
            'huber_loss',
            'binary_cross_entropy',
            'soft_margin_loss',
            'multi_margin_loss',
        )
    },
    'aten.log_sigmoid_backward': _pullback(log_sigmoid, unused=1),
    'aten.multilabel_margin_loss_backward': _pullback(_OF['aten.multilabel_margin_loss'], unused=1),
    'aten.nll_loss_backward': _pullback(_OF['aten.nll_loss'], unused=1),
    'aten.nll_loss2d_backward': _pullback(_OF['aten.nll_loss'], unused=1),
    'aten.elu_backward': _elu,
    'aten.leaky_relu_backward': _leaky_relu,
    'aten.rrelu_with_noise_backward': _rrelu,
    'aten.threshold_backward': _threshold,
    'aten.tanh_backward': _tanh,
    'aten.sigmoid_backward': _sigmoid,
    'aten._prelu_kernel_backward': _prelu,
    'aten.native_layer_norm_backward': _layer_norm,
    'aten.native_group_norm_backward': _group_norm,
    'aten.native_batch_norm_backward': _batch_norm,
    'aten._scaled_dot_product_flash_attention_for_cpu_backward': _flash,
    'aten.embedding_backward': _embedding,
}
