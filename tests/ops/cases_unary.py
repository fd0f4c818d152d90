"""Cases of the elementwise ops of one operand."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint import Node
from adjoint.ops import remainder
from adjoint.ops.select import in_range
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, Convention, Refusal, layouts, spread, spread_complex, t, z

REAL = (-1.53, 1.71)
POSITIVE = (0.23, 2.91)
INSIDE = (-0.83, 0.79)

_inf, _nan = math.inf, math.nan


def at(x: list[float], gradient: list[float], *rest: Any, **kwargs: Any) -> Convention:
    """The gradient of a function of one operand at points where it is a matter of convention."""
    return sample(t(x), *rest, smooth=False, **kwargs), (t(gradient),)


def complex_samples(low: float, high: float) -> list[Sample]:
    return [
        sample(spread_complex(2, 3, low=low, high=high, seed=4)),
        sample(spread_complex(2, low=low, high=high, seed=8).conj()),
        sample(z(complex(round((low + high) / 2 + 0.21, 3), 0.4))),
    ]


NO_STRING: Refusal = (
    sample('x'),
    ad.TensorTypeError,
    r"takes nodes, torch tensors and Python numbers.*Variable\('x'\)",
)
NO_LIST: Refusal = (sample([1.0, 2.0]), ad.TensorTypeError, r'got .*list.*torch\.tensor')


def unary(
    build: Callable[..., Node],
    reference: Callable[..., torch.Tensor],
    domain: tuple[float, float] = REAL,
    *conventions: Convention,
    is_complex: bool = True,
) -> Case:
    samples = [sample(x) for x in layouts(*domain)]
    if is_complex:
        samples += complex_samples(*domain)
    return Case(build, samples, reference, conventions=conventions, refusals=[NO_STRING, NO_LIST])


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.log1p(torch.exp(x))


SMOOTH = {
    'neg': unary(ad.neg, torch.neg),
    'exp': unary(ad.exp, torch.exp, REAL, at([-_inf, 0.0], [0.0, 1.0])),
    'exp2': unary(ad.registry()['exp2'], torch.exp2, REAL, at([-_inf, 0.0], [0.0, math.log(2)])),
    'deg2rad': unary(
        ad.registry()['deg2rad'], torch.deg2rad, REAL, at([0.0], [math.pi / 180]), is_complex=False
    ),
    'rad2deg': unary(
        ad.registry()['rad2deg'], torch.rad2deg, REAL, at([0.0], [180 / math.pi]), is_complex=False
    ),
    'expm1': unary(ad.expm1, torch.expm1, REAL, at([-_inf, 0.0], [0.0, 1.0])),
    'log': unary(ad.log, torch.log, POSITIVE, at([0.0, -2.0], [_inf, -0.5])),
    'log1p': unary(ad.log1p, torch.log1p, (-0.71, 2.13), at([-1.0, 0.0], [_inf, 1.0])),
    'log2': unary(ad.log2, torch.log2, POSITIVE, at([0.0], [_inf])),
    'log10': unary(ad.log10, torch.log10, POSITIVE, at([0.0], [_inf])),
    'square': unary(ad.square, torch.square, REAL, at([0.0], [0.0])),
    'reciprocal': unary(ad.reciprocal, torch.reciprocal, POSITIVE, at([0.0, -2.0], [-_inf, -0.25])),
    'sqrt': unary(ad.sqrt, torch.sqrt, POSITIVE, at([0.0, 4.0, -1.0], [_inf, 0.25, _nan])),
    'rsqrt': unary(ad.rsqrt, torch.rsqrt, POSITIVE, at([0.0, 4.0], [-_inf, -0.0625])),
    'sin': unary(ad.sin, torch.sin),
    'cos': unary(ad.cos, torch.cos),
    'tan': unary(ad.tan, torch.tan, (-1.13, 1.21)),
    'asin': unary(ad.asin, torch.asin, INSIDE, at([1.0, -1.0, 2.0], [_inf, _inf, _nan])),
    'acos': unary(ad.acos, torch.acos, INSIDE, at([1.0, -1.0, 2.0], [-_inf, -_inf, _nan])),
    'atan': unary(ad.atan, torch.atan, REAL, at([_inf, -_inf], [0.0, 0.0])),
    'sinh': unary(ad.sinh, torch.sinh),
    'cosh': unary(ad.cosh, torch.cosh),
    'tanh': unary(ad.tanh, torch.tanh, REAL, at([_inf, -_inf, 0.0], [0.0, 0.0, 1.0])),
    'asinh': unary(ad.asinh, torch.asinh),
    'acosh': unary(ad.acosh, torch.acosh, (1.21, 3.43), at([1.0, 0.5], [_inf, _nan])),
    'atanh': unary(ad.atanh, torch.atanh, INSIDE, at([1.0, -1.0], [_inf, _inf])),
    'erf': unary(ad.erf, torch.erf, REAL, at([_inf], [0.0]), is_complex=False),
    'erfc': unary(ad.erfc, torch.erfc, REAL, at([_inf, -_inf], [0.0, 0.0]), is_complex=False),
    'sigmoid': unary(ad.sigmoid, torch.sigmoid, REAL, at([800.0, -800.0, 0.0], [0.0, 0.0, 0.25])),
    'softplus': unary(
        ad.softplus, _softplus, REAL, at([800.0, -800.0, 0.0], [1.0, 0.0, 0.5]), is_complex=False
    ),
    'log_sigmoid': unary(
        ad.log_sigmoid, F.logsigmoid, REAL, at([800.0, -800.0, 0.0], [0.0, 1.0, 0.5]), is_complex=False
    ),
    'silu': unary(ad.silu, F.silu, REAL, at([800.0, -800.0, 0.0], [1.0, 0.0, 0.5]), is_complex=False),
    'gelu': unary(ad.gelu, F.gelu, REAL, at([40.0, -40.0, 0.0], [1.0, 0.0, 0.5]), is_complex=False),
}

KINKED = {
    'relu': unary(
        ad.relu, torch.relu, REAL, at([0.0, -0.0, 1.0, -1.0], [0.0, 0.0, 1.0, 0.0]), is_complex=False
    ),
    'abs': unary(
        ad.abs,
        torch.abs,
        REAL,
        at([0.0, -0.0, 2.0, -2.0], [0.0, 0.0, 1.0, -1.0]),
        (sample(z([0, 5j, -2]), smooth=False), (z([0, 1j, -1]),)),
    ),
    'sgn': unary(
        ad.sgn,
        torch.sgn,
        REAL,
        at([0.0, 2.0, -2.0], [0.0, 0.0, 0.0]),
        (sample(z([0]), smooth=False), (z([0]),)),
    ),
    'sign': unary(ad.sign, torch.sign, REAL, at([0.0, 2.0, -2.0], [0.0, 0.0, 0.0]), is_complex=False),
    'floor': unary(ad.floor, torch.floor, REAL, at([0.0, 1.0, -1.5], [0.0] * 3), is_complex=False),
    'ceil': unary(ad.ceil, torch.ceil, REAL, at([0.0, 1.0, -1.5], [0.0] * 3), is_complex=False),
    'round': unary(ad.round, torch.round, (-1.43, 1.39), at([0.5, 1.0, -1.5], [0.0] * 3), is_complex=False),
    'round/decimals': Case(
        ad.round,
        [sample(t([0.124, -1.376, 17.3]), n) for n in (1, 2, -1)] + [sample(t(0.7), decimals=0)],
        lambda x, decimals: torch.round(x, decimals=decimals),
        conventions=[at([0.25, 0.5], [0.0, 0.0], 1)],
    ),
    'frac': unary(remainder.frac, torch.frac, REAL, at([0.0, 1.0, -2.0], [1.0] * 3), is_complex=False),
    'frexp_mantissa': Case(
        remainder.frexp_mantissa,
        [
            sample(t([0.3, -0.7, 5.3])),
            sample(t(1e-4), smooth=False),
            sample(spread(0)),
            sample(spread(3, 2).mT),
        ],
        lambda x: torch.frexp(x).mantissa,
        conventions=[at([0.0, 1.0, 3.0, -(2.0**500)], [1.0, 0.5, 0.25, 2.0**-501])],
        refusals=[NO_STRING, NO_LIST],
    ),
    'frexp_scale': Case(
        remainder.frexp_scale,
        [sample(t([0.3, -0.7, 5.3])), sample(spread(0))],
        lambda x: torch.frexp(x).mantissa / x,
        conventions=[at([0.3], [0.0])],
    ),
    'nan_to_num': Case(
        remainder.nan_to_num,
        [
            sample(spread(2, 3)),
            sample(t([1.0, _nan, _inf, -_inf]), smooth=False),
            sample(t([1.0, _nan, _inf, -_inf]), 1.5, 2.5, -3.5, smooth=False),
            sample(z([1j, complex(_nan, 2)]), nan=0.5, smooth=False),
            sample(spread(0)),
        ],
        torch.nan_to_num,
        conventions=[at([1.0, _nan, _inf, -_inf], [1.0, 0.0, 0.0, 0.0])],
        refusals=[NO_STRING, NO_LIST],
    ),
    'trunc': unary(ad.trunc, torch.trunc, REAL, at([0.0, 1.0, -1.5], [0.0] * 3), is_complex=False),
}

_BOUNDS: list[dict[str, float | None]] = [
    {'min': -0.7, 'max': 0.9},
    {'min': 0.4},
    {'max': 0.4},
    {'min': None, 'max': -0.3},
]


def _inside(x: torch.Tensor, min: float | None = None, max: float | None = None) -> torch.Tensor:
    above = torch.ones_like(x) if min is None else (x >= min).to(x.dtype)
    return above if max is None else above * (x <= max).to(x.dtype)


def _in_range(x: Node, min: float | None = None, max: float | None = None) -> Node:
    return Node([x], in_range, {'min': min, 'max': max})


_limited = [sample(x, **b) for x, b in zip(layouts(), itertools.cycle(_BOUNDS), strict=False)]

LIMITED = {
    'clamp': Case(
        ad.clamp,
        [*_limited, sample(t([-1.0, 0.2, 2.0]), -0.5, 0.5)],
        torch.clamp,
        conventions=[
            at([-2.0, -1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0], -1.0, 1.0),
            at([-2.0, -1.0, 0.0], [0.0, 1.0, 1.0], min=-1),
            at([0.0, 1.0, 2.0], [1.0, 1.0, 0.0], max=1),
        ],
        refusals=[
            (sample(t([1.0])), ad.TensorTypeError, 'lower bound, an upper bound, or both, and got neither'),
            (sample(t([1.0]), t([0.0])), ad.TensorTypeError, 'use maximum or minimum'),
            (sample('x', 0, 1), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'in_range': Case(_in_range, _limited, _inside, conventions=[at([-1.0, 0.0], [0.0, 0.0], min=0.0)]),
}

CASES = SMOOTH | KINKED | LIMITED
