"""ATen: random values, each with a seed of its own.

What torch draws from its global generator is drawn here from a seed that the importer gives.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops import random as ops
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.linear import cast
from adjoint.ops.step import ne
from adjoint.ops.torch_names import detach

__all__ = ['BUILDERS']

# torch's default dtype of random integers.
_INTEGER = torch.int64


# -- in the shape of a size -----------------------------------------------------------------------


def _of_size(op: Callable[..., Node]) -> Callable[..., Node]:
    def build(
        size: Sequence[int],
        *,
        generator: object = None,
        names: object = None,
        dtype: torch.dtype | None = None,
        layout: object = None,
        device: torch.device | None = None,
        pin_memory: bool | None = None,
        seed: int = 0,
    ) -> Node:
        return op(size, dtype=dtype, device=device, seed=seed)

    return build


def _randint(
    high: int,
    size: Sequence[int],
    *,
    generator: object = None,
    dtype: torch.dtype | None = _INTEGER,
    layout: object = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    seed: int = 0,
) -> Node:
    return ops.drawn_integers(size, 0, high, dtype=dtype or _INTEGER, device=device, seed=seed)


def _randint_low(
    low: int,
    high: int,
    size: Sequence[int],
    *,
    generator: object = None,
    dtype: torch.dtype | None = _INTEGER,
    layout: object = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    seed: int = 0,
) -> Node:
    return ops.drawn_integers(size, low, high, dtype=dtype or _INTEGER, device=device, seed=seed)


def _randperm(
    n: int,
    *,
    generator: object = None,
    dtype: torch.dtype | None = _INTEGER,
    layout: object = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    seed: int = 0,
) -> Node:
    return ops.drawn_permutation(n, dtype, device, seed)


def _normal_of_size(
    mean: float,
    std: float,
    size: Sequence[int],
    *,
    generator: object = None,
    dtype: torch.dtype | None = None,
    layout: object = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    seed: int = 0,
) -> Node:
    return ops.drawn_normal(size, mean, std, dtype=dtype, device=device, seed=seed)


# -- in the shape of a tensor ---------------------------------------------------------------------


def _like(op: Callable[..., Node]) -> Callable[..., Node]:
    def build(
        self: Node,
        *,
        generator: object = None,
        dtype: torch.dtype | None = None,
        layout: object = None,
        device: torch.device | None = None,
        pin_memory: bool | None = None,
        memory_format: object = None,
        seed: int = 0,
    ) -> Node:
        return op(self, dtype=dtype, seed=seed)

    return build


def _randint_like(
    self: Node,
    high: int,
    *,
    generator: object = None,
    dtype: torch.dtype | None = None,
    layout: object = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    memory_format: object = None,
    seed: int = 0,
) -> Node:
    return ops.drawn_integers(self, 0, high, dtype=dtype, seed=seed)


def _randint_like_low(
    self: Node,
    low: int,
    high: int,
    *,
    generator: object = None,
    dtype: torch.dtype | None = None,
    layout: object = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    memory_format: object = None,
    seed: int = 0,
) -> Node:
    return ops.drawn_integers(self, low, high, dtype=dtype, seed=seed)


def _filled(op: Callable[..., Node], *defaults: float | None) -> Callable[..., Node]:
    """Return the builder of an op such as ``exponential``, which takes its parameters by any name."""

    def build(self: Node, *given: Any, generator: object = None, seed: int = 0, **named: Any) -> Node:
        parameters = [*given, *named.values()]
        return op(self, *parameters, *defaults[len(parameters) :], seed=seed)

    return build


def _uniform(self: Node, *bounds: float, generator: object = None, seed: int = 0, **named: float) -> Node:
    low = bounds[0] if bounds else named.get('from', 0.0)
    high = bounds[1] if len(bounds) > 1 else named.get('to', 1.0)
    return ops.drawn_uniform(self, low, high, seed=seed)


def _random(self: Node, *, generator: object = None, seed: int = 0) -> Node:
    return ops.drawn_integers(self, seed=seed)


def _random_to(self: Node, to: int, *, generator: object = None, seed: int = 0) -> Node:
    return ops.drawn_integers(self, 0, to, seed=seed)


def _random_from(
    self: Node, *bounds: int | None, generator: object = None, seed: int = 0, **named: Any
) -> Node:
    low = bounds[0] if bounds else named['from']
    high = bounds[1] if len(bounds) > 1 else named['to']
    return ops.drawn_integers(self, low, high, seed=seed)


# -- from parameters that are tensors -------------------------------------------------------------


def _normal(mean: Node | float, std: Node | float = 1.0, *, generator: object = None, seed: int = 0) -> Node:
    like = mean + std
    assert isinstance(like, Node)  # noqa: S101 one of the two is a tensor
    # torch gives no derivative by mean and std.
    return detach(mean + std * ops.drawn_normal(like, seed=seed))


def _bernoulli(self: Node, *, generator: object = None, seed: int = 0) -> Node:
    return ops.drawn_bernoulli(self, seed)


def _bernoulli_p(self: Node, p: float = 0.5, *, generator: object = None, seed: int = 0) -> Node:
    return cast(ne(ops.dropout_mask(self, 1 - p, seed=seed), 0), _dtype(self))


def _bernoulli_tensor(self: Node, p: Node, *, generator: object = None, seed: int = 0) -> Node:
    return cast(ops.drawn_bernoulli(p + zeros_like(self), seed), _dtype(self))


def _dtype(x: Node) -> torch.dtype:
    known = None if x.type is None else x.type.dtype
    return known or torch.get_default_dtype()


def _poisson(self: Node, generator: object = None, *, seed: int = 0) -> Node:
    return ops.drawn_poisson(self, seed)


def _binomial(count: Node, prob: Node, generator: object = None, *, seed: int = 0) -> Node:
    return ops.drawn_binomial(count, prob, seed)


def _multinomial(
    self: Node, num_samples: int, replacement: bool = False, *, generator: object = None, seed: int = 0
) -> Node:
    return ops.drawn_multinomial(self, num_samples, replacement, seed)


# -- dropout --------------------------------------------------------------------------------------

_ALPHA = 1.7580993408473766


def _dropout(input: Node, p: float, train: bool, *, seed: int = 0) -> Node:
    return input * ops.dropout_mask(input, p, seed=seed) if train and p > 0 else input


def _feature_dropout(input: Node, p: float, train: bool, *, seed: int = 0) -> Node:
    return input * ops.dropout_mask(input, p, by_feature=True, seed=seed) if train and p > 0 else input


def _native_dropout(input: Node, p: float, train: bool | None, *, seed: int = 0) -> tuple[Node, Node]:
    if train is False or p == 0:
        return input * 1, cast(ones_like(input), torch.bool)
    mask = ops.dropout_mask(input, p, seed=seed)
    return input * mask, ne(mask, 0)


def _native_dropout_backward(grad_output: Node, mask: Node, scale: float) -> Node:
    return grad_output * mask * scale


def _alpha(input: Node, p: float, train: bool, by_feature: bool, seed: int) -> Node:
    if not train or p == 0:
        return input
    if p == 1:
        return input * zeros_like(input)
    # What is dropped becomes -alpha; then mean and variance are restored.
    a = ((_ALPHA**2 * p + 1) * (1 - p)) ** -0.5
    kept = ops.dropout_mask(input, p, by_feature=by_feature, seed=seed) * (1 - p)
    return input * (kept * a) + ((kept - 1) * (_ALPHA * a) + _ALPHA * a * p)


def _alpha_dropout(input: Node, p: float, train: bool, *, seed: int = 0) -> Node:
    return _alpha(input, p, train, by_feature=False, seed=seed)


def _feature_alpha_dropout(input: Node, p: float, train: bool, *, seed: int = 0) -> Node:
    return _alpha(input, p, train, by_feature=True, seed=seed)


BUILDERS: Builders = {
    'aten.rand': _of_size(ops.drawn_uniform),
    'aten.randn': _of_size(ops.drawn_normal),
    'aten.randint.default': _randint,
    'aten.randint.generator': _randint,
    'aten.randint.low': _randint_low,
    'aten.randint.low_generator': _randint_low,
    'aten.randperm': _randperm,
    'aten.normal.float_float': _normal_of_size,
    'aten.rand_like': _like(ops.drawn_uniform),
    'aten.randn_like': _like(ops.drawn_normal),
    'aten.randint_like.default': _randint_like,
    'aten.randint_like.generator': _randint_like,
    'aten.randint_like.low_dtype': _randint_like_low,
    'aten.randint_like.low_generator_dtype': _randint_like_low,
    'aten.uniform': _uniform,
    'aten.normal_functional': _filled(ops.drawn_normal, 0.0, 1.0),
    'aten.exponential': _filled(ops.drawn_exponential, 1.0),
    'aten.cauchy': _filled(ops.drawn_cauchy, 0.0, 1.0),
    'aten.log_normal': _filled(ops.drawn_log_normal, 1.0, 2.0),
    'aten.geometric': _filled(ops.drawn_geometric),
    'aten.random.default': _random,
    'aten.random.to': _random_to,
    'aten.random.from': _random_from,
    'aten.normal.Tensor_float': _normal,
    'aten.normal.float_Tensor': _normal,
    'aten.normal.Tensor_Tensor': _normal,
    'aten.bernoulli.default': _bernoulli,
    'aten.bernoulli.p': _bernoulli_p,
    'aten.bernoulli.float': _bernoulli_p,
    'aten.bernoulli.Tensor': _bernoulli_tensor,
    'aten.poisson': _poisson,
    'aten.binomial': _binomial,
    'aten.multinomial': _multinomial,
    'aten.dropout': _dropout,
    'aten.native_dropout': _native_dropout,
    'aten.native_dropout_backward': _native_dropout_backward,
    'aten.feature_dropout': _feature_dropout,
    'aten.alpha_dropout': _alpha_dropout,
    'aten.feature_alpha_dropout': _feature_alpha_dropout,
}
