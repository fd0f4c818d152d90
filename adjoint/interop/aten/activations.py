"""ATen: activations and softmax."""

from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import activation, gates
from adjoint.ops.arithmetic import abs_
from adjoint.ops.exponential import exp
from adjoint.ops.linear import cast
from adjoint.ops.random import rrelu_noise
from adjoint.ops.reduction import sum_
from adjoint.ops.select import where
from adjoint.ops.step import gt, le
from adjoint.ops.torch_names import detach

__all__ = ['BUILDERS', 'MUTATIONS']


def _gelu(self: Node, *, approximate: str = 'none') -> Node:
    return activation.gelu_tanh(self) if approximate == 'tanh' else activation.gelu(self)


def _softplus(self: Node, beta: float = 1, threshold: float = 20) -> Node:
    x = self if beta == 1 else self * beta
    y = activation.softplus(x)
    return where(gt(x, threshold), self, y if beta == 1 else y / beta)


def _threshold(self: Node, threshold: float, value: float) -> Node:
    return where(le(self, threshold), value, self)


def _celu(self: Node, alpha: float = 1.0) -> Node:
    return gates.elu(self, alpha, 1.0, 1.0 / alpha)


def _selu(self: Node) -> Node:
    return gates.elu(self, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _relu6(self: Node) -> Node:
    return gates.hardtanh(self, 0.0, 6.0)


def _log_sigmoid_forward(self: Node) -> tuple[Node, Node]:
    return activation.log_sigmoid(self), detach(exp(-abs_(self)))


def _softmax(self: Node, dim: int, half_to_float: bool) -> Node:
    return activation.softmax(cast(self, torch.float32) if half_to_float else self, dim)


def _log_softmax(self: Node, dim: int, half_to_float: bool) -> Node:
    return activation.log_softmax(cast(self, torch.float32) if half_to_float else self, dim)


def _cast_first(op: activation.Softmax | activation.LogSoftmax) -> Any:
    def along(self: Node, dim: int, dtype: torch.dtype | None = None) -> Node:
        return op(self if dtype is None else cast(self, dtype), dim)

    return along


def _softmax_backward(grad_output: Node, output: Node, dim: int, input_dtype: torch.dtype) -> Node:
    weighted = grad_output * output
    return cast(weighted - output * sum_(weighted, dim, keepdim=True), input_dtype)


def _log_softmax_backward(grad_output: Node, output: Node, dim: int, input_dtype: torch.dtype) -> Node:
    return cast(grad_output - exp(output) * sum_(grad_output, dim, keepdim=True), input_dtype)


def _rrelu(
    self: Node,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: object = None,
    *,
    seed: int = 0,
) -> Node:
    if not training:
        return gates.leaky_relu(self, (lower + upper) / 2)
    return self * rrelu_noise(self, lower, upper, seed=seed)


def _rrelu_with_noise(
    self: Node,
    noise: Node,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: object = None,
    *,
    seed: int = 0,
) -> Node:
    if training:
        raise NotImplementedError('it writes its noise; use torch.nn.functional.rrelu')
    return _rrelu(self, lower, upper, training, seed=seed)


def _rrelu_with_noise_functional(
    self: Node,
    noise: Node,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: object = None,
    *,
    seed: int = 0,
) -> tuple[Node, Node]:
    slopes = rrelu_noise(self, lower, upper, seed=seed) if training else noise
    return _rrelu(self, lower, upper, training, seed=seed), slopes


BUILDERS: Builders = {
    'aten.relu': activation.relu,
    'aten.relu6': _relu6,
    'aten.celu': _celu,
    'aten.elu': gates.elu,
    'aten.selu': _selu,
    'aten.gelu': _gelu,
    'aten.glu': gates.glu,
    'aten.hardshrink': gates.hardshrink,
    'aten.hardsigmoid': gates.hardsigmoid,
    'aten.hardswish': gates.hardswish,
    'aten.hardtanh': gates.hardtanh,
    'aten.leaky_relu': gates.leaky_relu,
    'aten.mish': gates.mish,
    'aten.silu': activation.silu,
    'aten._prelu_kernel': gates.prelu,
    'aten.rrelu': _rrelu,
    'aten.rrelu_with_noise': _rrelu_with_noise,
    'aten.rrelu_with_noise_functional': _rrelu_with_noise_functional,
    'aten.softshrink': gates.softshrink,
    'aten.softplus': _softplus,
    'aten.threshold': _threshold,
    'aten.log_sigmoid': activation.log_sigmoid,
    'aten.log_sigmoid_forward': _log_sigmoid_forward,
    'aten._softmax': _softmax,
    'aten._log_softmax': _log_softmax,
    'aten._safe_softmax': _cast_first(activation.safe_softmax),
    'aten.softmax.int': _cast_first(activation.softmax),
    'aten.log_softmax.int': _cast_first(activation.log_softmax),
    'aten.special_softmax': _cast_first(activation.softmax),
    'aten.special_log_softmax': _cast_first(activation.log_softmax),
    'aten._softmax_backward_data': _softmax_backward,
    'aten._log_softmax_backward_data': _log_softmax_backward,
}


def _nothing_written(*_: Any, **__: Any) -> dict[str, Node]:
    return {}


# Without training the noise stays as it is.
MUTATIONS: Builders = {'aten.rrelu_with_noise.default': _nothing_written}
