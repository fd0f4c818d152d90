"""ATen: normalisation, and the running statistics that it updates."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops.arithmetic import rsqrt
from adjoint.ops.channels import (
    affine,
    along_channels,
    batchnorm,
    channel_mean,
    channel_var,
    group_channels,
    groupnorm,
    instancenorm,
    rmsnorm,
    scaled,
)
from adjoint.ops.creation import constant
from adjoint.ops.linear import alias, cast
from adjoint.ops.moments import var
from adjoint.ops.normalise import layernorm
from adjoint.ops.reduction import mean
from adjoint.ops.shape import flatten
from adjoint.ops.torch_names import detach

__all__ = ['BUILDERS', 'MUTATIONS']

Some = Node | None


def _in_dtype_of(y: Node, x: Node) -> Node:
    """Return the result in the dtype of the input, where weights of another dtype have changed it."""
    known = None if x.type is None else x.type.dtype
    return y if known is None else cast(y, known)


def _empty(dtype: torch.dtype | None = None) -> Node:
    return constant(torch.empty(0, dtype=dtype))


# -- over the last axes ---------------------------------------------------------------------------


def _layer_norm(
    input: Node,
    normalized_shape: Sequence[int],
    weight: Some = None,
    bias: Some = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Node:
    return _in_dtype_of(scaled(layernorm(input, normalized_shape, eps), weight, bias), input)


def _native_layer_norm(
    input: Node, normalized_shape: Sequence[int], weight: Some, bias: Some, eps: float
) -> tuple[Node, Node, Node]:
    axes = tuple(range(-len(normalized_shape), 0))
    y = _layer_norm(input, normalized_shape, weight, bias, eps)
    scale = rsqrt(var(input, axes, keepdim=True, correction=0) + eps)
    return y, detach(mean(input, axes, keepdim=True)), detach(scale)


def _smallest(input: Node) -> float:
    dtype = torch.get_default_dtype() if input.type is None else input.type.dtype
    wide = torch.float32 if dtype in {torch.float16, torch.bfloat16} else dtype
    return torch.finfo(wide or torch.get_default_dtype()).eps


def _rms_norm(
    input: Node, normalized_shape: Sequence[int], weight: Some = None, eps: float | None = None
) -> Node:
    y = rmsnorm(input, normalized_shape, _smallest(input) if eps is None else eps)
    return _in_dtype_of(y if weight is None else y * weight, input)


def _fused_rms_norm(
    input: Node, normalized_shape: Sequence[int], weight: Some, eps: float | None
) -> tuple[Node, Node]:
    axes = tuple(range(-len(normalized_shape), 0))
    offset = _smallest(input) if eps is None else eps
    scale = rsqrt(mean(input * input, axes, keepdim=True) + offset)
    return _rms_norm(input, normalized_shape, weight, eps), scale


# -- over channels --------------------------------------------------------------------------------


def _group_norm(
    input: Node,
    num_groups: int,
    weight: Some = None,
    bias: Some = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Node:
    return _in_dtype_of(groupnorm(input, num_groups, weight, bias, eps), input)


def _native_group_norm(
    input: Node, weight: Some, bias: Some, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Node, Node, Node]:
    groups = group_channels(input, group)
    scale = rsqrt(var(groups, -1, correction=0) + eps)
    return _group_norm(input, group, weight, bias, eps), mean(groups, -1), scale


def _standardised(input: Node, running_mean: Node, running_var: Node, eps: float) -> Node:
    """Return the input less the running mean over the root of the running variance."""
    centred = input - along_channels(running_mean, input)
    return centred * along_channels(rsqrt(running_var + eps), input)


def _is_line(input: Node) -> bool:
    """Whether there is one axis only, of which torch takes no statistics: it allows it only empty."""
    return input.type is not None and input.type.shape is not None and len(input.type.shape) == 1


def _batch_norm(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Node:
    if _is_line(input):
        return scaled(alias(input), weight, bias)
    if training or running_mean is None or running_var is None:
        y = batchnorm(input, eps)
    else:
        y = _standardised(input, running_mean, running_var, eps)
    return _in_dtype_of(affine(y, weight, bias), input)


def _native_batch_norm(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Node, Node, Node]:
    y = _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        dtype = None if input.type is None else input.type.dtype
        return y, _empty(dtype), _empty(dtype)
    return y, detach(channel_mean(input)), detach(rsqrt(channel_var(input) + eps))


def _no_stats(
    input: Node, weight: Some, bias: Some, training: bool, momentum: float, eps: float
) -> tuple[Node, Node, Node]:
    return _native_batch_norm(input, weight, bias, None, None, True, momentum, eps)


def _no_training(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Node,
    running_var: Node,
    momentum: float,
    eps: float,
) -> tuple[Node, Node, Node]:
    return _native_batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)


def _functional(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Node,
    running_var: Node,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Node, ...]:
    found = _native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    new = _updated(input, weight, bias, running_mean, running_var, training, momentum, eps)
    return *found, new.get('running_mean', running_mean), new.get('running_var', running_var)


def _with_update(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Node,
    running_var: Node,
    momentum: float,
    eps: float,
) -> tuple[Node, ...]:
    found = _native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *found, _empty(torch.uint8)


def _with_update_functional(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Node,
    running_var: Node,
    momentum: float,
    eps: float,
) -> tuple[Node, ...]:
    new = _updated(input, weight, bias, running_mean, running_var, True, momentum, eps)
    found = _with_update(input, weight, bias, running_mean, running_var, momentum, eps)
    return *found, new['running_mean'], new['running_var']


def _no_update(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    momentum: float,
    eps: float,
) -> tuple[Node, ...]:
    found = _native_batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    return *found, _empty(torch.uint8)


def _instance_norm(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Node:
    if use_input_stats or running_mean is None or running_var is None:
        return _in_dtype_of(instancenorm(input, weight, bias, eps), input)
    return _in_dtype_of(affine(_standardised(input, running_mean, running_var, eps), weight, bias), input)


# -- running statistics ---------------------------------------------------------------------------


def _moved(running: Some, new: Node, momentum: float) -> Some:
    return (
        None if running is None else _in_dtype_of(detach(running * (1 - momentum) + new * momentum), running)
    )


def _present(running_mean: Some, running_var: Some) -> dict[str, Node]:
    named = {'running_mean': running_mean, 'running_var': running_var}
    return {name: node for name, node in named.items() if node is not None}


def _updated(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> dict[str, Node]:
    if not training or _is_line(input):
        return {}
    return _present(
        _moved(running_mean, channel_mean(input), momentum),
        _moved(running_var, channel_var(input, 1), momentum),
    )


def _updated_always(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    momentum: float,
    eps: float,
) -> dict[str, Node]:
    return _updated(input, weight, bias, running_mean, running_var, True, momentum, eps)


def _updated_by_instances(
    input: Node,
    weight: Some,
    bias: Some,
    running_mean: Some,
    running_var: Some,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> dict[str, Node]:
    if not use_input_stats:
        return {}
    lines = flatten(input, 2)
    return _present(
        _moved(running_mean, mean(mean(lines, -1), 0), momentum),
        _moved(running_var, mean(var(lines, -1), 0), momentum),
    )


BUILDERS: Builders = {
    'aten.layer_norm': _layer_norm,
    'aten.native_layer_norm': _native_layer_norm,
    'aten.rms_norm': _rms_norm,
    'aten._fused_rms_norm': _fused_rms_norm,
    'aten.group_norm': _group_norm,
    'aten.native_group_norm': _native_group_norm,
    'aten.instance_norm': _instance_norm,
    'aten.batch_norm': _batch_norm,
    'aten.native_batch_norm': _native_batch_norm,
    'aten._native_batch_norm_legit.default': _native_batch_norm,
    'aten._native_batch_norm_legit.no_stats': _no_stats,
    'aten._native_batch_norm_legit_no_training': _no_training,
    'aten._native_batch_norm_legit_functional': _functional,
    'aten._batch_norm_with_update': _with_update,
    'aten._batch_norm_with_update_functional': _with_update_functional,
    'aten._batch_norm_no_update': _no_update,
}

MUTATIONS: dict[str, Any] = {
    'aten.batch_norm.default': _updated,
    'aten.native_batch_norm.default': _updated,
    'aten._native_batch_norm_legit.default': _updated,
    'aten._batch_norm_with_update.default': _updated_always,
    'aten.instance_norm.default': _updated_by_instances,
}
