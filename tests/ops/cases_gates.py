"""Cases of the activations with parameters, and of those made of pieces."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from adjoint.ops import activation, gates
from adjoint.verify.samples import sample
from tests.ops.case import Case, Convention, layouts, sized, spread, t


def at(x: list[float], gradient: list[float], **attrs: Any) -> Convention:
    """The gradient at kinks."""
    return sample(t(x), smooth=False, **attrs), (t(gradient),)


def gate(
    build: Callable[..., Any],
    reference: Callable[..., Any],
    attrs: Sequence[Mapping[str, Any]] = ({},),
    *conventions: Convention,
    low: float = -4.53,
) -> Case:
    samples = [sample(x, **a) for x, a in zip(layouts(low, 4.71), itertools.cycle(attrs), strict=False)]
    return Case(build, samples, reference, conventions=conventions)


def _slope(x: torch.Tensor, negative_slope: float) -> torch.Tensor:
    return torch.where(x > 0, torch.ones_like(x), negative_slope)


def _inside(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return ((x > low) & (x < high)).to(x.dtype)


def _elu(x: torch.Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> torch.Tensor:
    return torch.ops.aten.elu(x, alpha, scale, input_scale)


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return F.gelu(x, approximate='tanh')


def _gelu_tanh_slope(x: torch.Tensor) -> torch.Tensor:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)
    return (1 + torch.tanh(inner)) / 2 + x * slope / (2 * torch.cosh(inner) ** 2)


def _silu_slope(x: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(x) + x * torch.sigmoid(x) * torch.sigmoid(-x)


def _half(a: torch.Tensor, dim: int, second: bool = False) -> torch.Tensor:
    return a.chunk(2, dim)[int(second)]


INF = float('inf')
WIDE, TALL = spread(2, 4), spread(3, 4, seed=1).mT

CASES = {
    'leaky_relu': gate(
        gates.leaky_relu,
        F.leaky_relu,
        [{}, {'negative_slope': 0.3}],
        at([0.0, 1.0, -1.0], [0.25, 1.0, 0.25], negative_slope=0.25),
    ),
    'slope': gate(gates.slope, _slope, [{'negative_slope': 0.2}], at([0.0], [0.0], negative_slope=0.1)),
    'inside': gate(gates.inside, _inside, [{'low': -1.0, 'high': 2.0}], at([1.0], [0.0], low=0, high=1)),
    'elu': gate(
        gates.elu,
        _elu,
        [{}, {'alpha': 1.7, 'scale': 1.1}, {'alpha': 0.5, 'input_scale': 2.0}],
        at([0.0, 1.0, -INF, 2000.0], [2.0, 1.0, 0.0, 1.0], alpha=2.0),
    ),
    'hardshrink': gate(
        gates.hardshrink, F.hardshrink, [{}, {'lambd': 1.1}], at([0.5, -0.5, 0.0, 0.75], [0.0, 0, 0, 1])
    ),
    'softshrink': gate(
        gates.softshrink, F.softshrink, [{}, {'lambd': 1.1}], at([0.5, -0.5, 0.0, 0.75], [0.0, 0, 0, 1])
    ),
    'hardtanh': gate(
        gates.hardtanh,
        F.hardtanh,
        [{}, {'min_val': 0.0, 'max_val': 6.0}],
        at([-1.0, 1.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0]),
    ),
    'hardsigmoid': gate(
        gates.hardsigmoid, F.hardsigmoid, [{}], at([-3.0, 3.0, 4.0, -4.0], [0.0, 0.0, 0.0, 0.0])
    ),
    'hardswish': gate(gates.hardswish, F.hardswish, [{}], at([-3.0, 3.0, 4.0, -4.0], [0.0, 1.0, 1.0, 0.0])),
    'mish': gate(gates.mish, F.mish, [{}], at([0.0], [0.6])),
    'gelu_tanh': gate(activation.gelu_tanh, _gelu_tanh),
    'gelu_tanh_slope': gate(activation.gelu_tanh_slope, _gelu_tanh_slope),
    'silu_slope': gate(activation.silu_slope, _silu_slope),
    'half_of': Case(
        gates.half_of,
        [
            sample(WIDE, 1),
            sample(WIDE, 0, second=True),
            sample(TALL, -2, second=True),
            sample(spread(0, 2), 1),
        ],
        _half,
    ),
    'glu': Case(gates.glu, [sample(WIDE), sample(WIDE, 0), sample(TALL, 0), sample(spread(0, 2))], F.glu),
    'glu/odd': Case(gates.glu, [sized(spread(2, 2, 2), dim=1)], F.glu),
    'safe_softmax': Case(
        activation.safe_softmax,
        [sample(WIDE), sample(TALL, 0), sample(t(0.3), 0), sample(spread(0, 2), 1)],
        lambda a, dim=-1: torch.softmax(a, dim),
        conventions=[
            (sample(t([[-INF, -INF], [0.0, 0.0]]), smooth=False), (t([[0.0, 0.0], [0.0, 0.0]]),)),
        ],
    ),
    'leaky_relu/prelu': Case(
        gates.prelu,
        [sample(WIDE, t(0.3)), sample(WIDE, spread(4, seed=2)), sample(TALL, spread(4, 1, seed=3))],
        lambda x, w: torch.where(x > 0, x, w * x),
        conventions=[(sample(t([0.0, 2.0]), t([0.25, 0.5]), smooth=False), (t([0.25, 1.0]), t([0.0, 0.0])))],
    ),
}
