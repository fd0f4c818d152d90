"""Cases of the elementwise ops of two operands, and of ``where``."""

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

import adjoint as ad
from adjoint import Node
from adjoint.ops import blend, remainder, select, step
from adjoint.verify.samples import Sample, sample
from tests.ops.case import Case, Convention, Refusal, pairs, spread, spread_complex, t

_inf, _nan = math.inf, math.nan

REAL = (-1.53, 1.71)
POSITIVE = (0.31, 2.43)


def at(
    a: list[float], b: list[float], by_a: list[float], by_b: list[float], *, smooth: bool = False
) -> Convention:
    """The gradients of a function of two operands at points where they are a matter of convention."""
    return sample(t(a), t(b), smooth=smooth), (t(by_a), t(by_b))


def numbers(*values: complex, low: float = -1.53, high: float = 1.71) -> list[Sample]:
    """Samples with a Python number on either side."""
    x = spread(2, 2, low=low, high=high, seed=5)
    return [s for v in values for s in (sample(x, v), sample(v, x[0]))]


def complex_pairs(low: float, high: float) -> list[Sample]:
    """Complex operands, one real and one complex, and a complex number."""
    u = spread_complex(2, 2, low=low, high=high, seed=6)
    v = spread_complex(2, low=low, high=high, seed=9)
    x = spread(2, 1, low=low, high=high, seed=7)
    return [sample(u, v), sample(u, x), sample(x, v), sample(u, 0.7 - 0.3j), sample(0.7 - 0.3j, x)]


STRING: Refusal = (sample(t([1.0]), 'x'), ad.TensorTypeError, r"takes nodes.*Variable\('x'\)")
LEFT_STRING: Refusal = (sample('x', t([1.0])), ad.TensorTypeError, r"takes nodes.*Variable\('x'\)")
MISFIT: Refusal = (sample(spread(2, 3), spread(4)), ad.ShapeError, r'float64\[2, 3\](.|\n)*float64\[4\]')


def binary(
    build: Callable[..., Node],
    reference: Callable[..., torch.Tensor],
    domain: tuple[float, float] = REAL,
    *conventions: Convention,
    constants: tuple[complex, ...] = (2, 0.5),
    is_complex: bool = False,
) -> Case:
    low, high = domain
    samples = [sample(a, b) for a, b in pairs(*domain)] + numbers(*constants, low=low, high=high)
    if is_complex:
        samples += complex_pairs(*domain)
    return Case(build, samples, reference, conventions=conventions, refusals=[STRING, LEFT_STRING, MISFIT])


def mixed(build: Callable[..., Node], reference: Callable[..., torch.Tensor]) -> Case:
    """Operands of two dtypes: each gradient has the dtype of its operand."""
    wide, narrow = spread(2, 2, low=0.31, high=2.43), t([0.5, 1.25]).float()
    return Case(
        build, [sample(wide, narrow), sample(narrow, wide), sample(torch.tensor([3, 4]), wide)], reference
    )


def repeated(
    op: Callable[..., Node], reference: Callable[..., torch.Tensor], domain: tuple[float, float] = REAL
) -> Case:
    """One node as both operands: its cotangents add up."""
    low, high = domain
    x = spread(2, 2, low=low, high=high)
    return Case(lambda a: op(a, a), [sample(x), sample(x[0, 0])], lambda a: reference(a, a))


ARITHMETIC = {
    'add': binary(ad.add, operator.add, is_complex=True),
    'sub': binary(ad.sub, operator.sub, is_complex=True),
    'mul': binary(ad.mul, operator.mul, is_complex=True, constants=(2, -0.5, 0)),
    'div': binary(
        ad.div,
        operator.truediv,
        POSITIVE,
        at([1.0, -1.0], [0.0, 2.0], [_inf, 0.5], [-_inf, 0.25]),
        (sample(t([2.0]), 0, smooth=False), (t([_inf]),)),
        (sample(1.0, t([0.0]), smooth=False), (t([-_inf]),)),
        is_complex=True,
    ),
    'pow': binary(
        ad.pow,
        torch.pow,
        POSITIVE,
        at([0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.5], [0.0, 1.0, 0.0, _inf], [0.0] * 4),
        at([0.0, -2.0], [-1.0, 3.0], [-_inf, 12.0], [-_inf, _nan]),
        *(
            (sample(t([0.0, 2.0]), n, smooth=False), (t(g),))
            for n, g in [
                (0, [0.0, 0.0]),
                (0.0, [0.0, 0.0]),
                (1, [1.0, 1.0]),
                (2, [0.0, 4.0]),
                (3, [0.0, 12.0]),
            ]
        ),
        (sample(t([0.0]), 0.5, smooth=False), (t([_inf]),)),
        (sample(t([0.0]), -1, smooth=False), (t([-_inf]),)),
        (sample(0.0, t([0.0, 2.0, -1.0]), smooth=False), (t([0.0, 0.0, -_inf]),)),
        (sample(-2.0, t([3.0]), smooth=False), (t([_nan]),)),
        constants=(2, 0.5, 3, -1.5, 1),
        is_complex=True,
    ),
    'pow/negative_base': Case(
        ad.pow, [sample(t([-1.3, 0.7]), 3), sample(t([-1.3, 0.7]), 2), sample(t([-1.3, 0.7]), -2)], torch.pow
    ),
    'pow/zero_exponent': Case(ad.pow, [sample(t([-1.3, 0.7]), 0)], torch.pow),
    'add/repeated': repeated(ad.add, torch.add),
    'sub/repeated': repeated(ad.sub, torch.sub),
    'mul/repeated': repeated(ad.mul, torch.mul),
    # The gradient is zero but for rounding, which leaves a second order nothing to compare.
    'div/repeated': replace(repeated(ad.div, torch.div, POSITIVE), order=1),
    'pow/repeated': repeated(ad.pow, torch.pow, POSITIVE),
    'add/mixed': mixed(ad.add, torch.add),
    'mul/mixed': mixed(ad.mul, torch.mul),
    'div/mixed': mixed(ad.div, torch.div),
}


def by_const(build: Callable[..., Node], reference: Callable[..., torch.Tensor], *constants: complex) -> Case:
    """With a Python number, which nothing else may stand for."""
    samples = [
        *(sample(spread(2, 3, seed=n), c) for n, c in enumerate(constants)),
        sample(t(0.7), constants[0]),
        sample(spread(0, 2), constants[0]),
        sample(spread(3, 2).mT, constants[0]),
        sample(spread_complex(2), constants[0]),
        sample(spread_complex(2), 0.3 + 0.4j),
        sample(spread(2), 0.3 + 0.4j),
    ]
    refusals: list[Refusal] = [
        (sample(t([1.0]), t(2.0)), ad.TensorTypeError, 'takes a Python number as its constant'),
        (sample(t([1.0]), '2'), ad.TensorTypeError, "takes a Python number as its constant, and got '2'"),
        (sample('x', 2), ad.TensorTypeError, 'takes nodes'),
    ]
    return Case(build, samples, reference, refusals=refusals)


BY_CONST = {
    'add_by_const': by_const(ad.add_by_const, torch.add, 1.5, -2, True),
    'mul_by_const': by_const(ad.mul_by_const, torch.mul, 1.5, -2, 0),
    'div_by_const': by_const(ad.div_by_const, torch.div, 1.5, -2, 4),
}

EXTREMES = {
    'maximum': binary(
        ad.maximum,
        _maximum := lambda a, b: torch.maximum(*_tensors(a, b)),
        REAL,
        at([1.0, 0.0, 2.0], [1.0, -0.0, 1.0], [0.5, 0.5, 1.0], [0.5, 0.5, 0.0]),
        (sample(t([1.0, 0.0]), 1.0, smooth=False), (t([0.5, 0.0]),)),
        constants=(0.2, -0.4),
    ),
    'minimum': binary(
        ad.minimum,
        _minimum := lambda a, b: torch.minimum(*_tensors(a, b)),
        REAL,
        at([1.0, 0.0, 2.0], [1.0, -0.0, 1.0], [0.5, 0.5, 0.0], [0.5, 0.5, 1.0]),
        (sample(0.0, t([0.0, 1.0]), smooth=False), (t([0.5, 0.0]),)),
        constants=(0.2, -0.4),
    ),
    'atan2': binary(
        ad.atan2, lambda a, b: torch.atan2(*_tensors(a, b)), REAL, at([0.0], [0.0], [0.0], [0.0])
    ),
    'hypot': binary(
        ad.hypot,
        lambda a, b: torch.hypot(*_tensors(a, b)),
        REAL,
        at([0.0, 3.0], [0.0, 4.0], [0.0, 0.6], [0.0, 0.8]),
    ),
    'maximum/mixed': mixed(ad.maximum, _maximum),
    'minimum/mixed': mixed(ad.minimum, _minimum),
}


def _tensors(a: Any, b: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers as tensors, which these functions of torch ask for."""
    return torch.as_tensor(a, dtype=None if isinstance(a, torch.Tensor) else torch.float64), torch.as_tensor(
        b, dtype=None if isinstance(b, torch.Tensor) else torch.float64
    )


def comparison(
    build: Callable[..., Node], reference: Callable[..., torch.Tensor], *, floats: bool = False
) -> Case:
    """A step: nothing flows, at ties neither. Only a value of floats has a gradient to ask for."""
    tie = (t([1.0, 2.0]), t([1.0, -1.0]))
    samples = [sample(a, b) for a, b in pairs()[:4]] + numbers(0.2) + [sample(*tie, smooth=False)]
    return Case(
        build,
        samples,
        reference,
        conventions=[(sample(*tie, smooth=False), (t([0.0, 0.0]), t([0.0, 0.0])))] if floats else [],
        refusals=[STRING, MISFIT],
    )


def as_float(holds: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda a, b: holds(a, b).double()


STEPS = {
    'gt': comparison(ad.gt, operator.gt),
    'ge': comparison(ad.ge, operator.ge),
    'lt': comparison(ad.lt, operator.lt),
    'le': comparison(ad.le, operator.le),
    'eq': comparison(ad.eq, operator.eq),
    'ne': comparison(ad.ne, operator.ne),
    'greater': comparison(ad.greater, as_float(operator.gt), floats=True),
    'greater_equal': comparison(ad.greater_equal, as_float(operator.ge), floats=True),
    'preference': comparison(
        ad.preference, lambda a, b: torch.heaviside(torch.as_tensor(a - b), t(0.5)), floats=True
    ),
}

_MASK = torch.tensor([[True, False, True], [False, True, False]])

WHERE = {
    'where': Case(
        ad.where,
        [
            sample(_MASK, spread(2, 3), spread(2, 3, seed=1)),
            sample(_MASK, spread(3), spread(2, 1, seed=1)),
            sample(_MASK[:, :1], spread(1, 3), t(0.4)),
            sample(_MASK[0], spread(2, 3, seed=2), 0.5),
            sample(_MASK, 1.5, spread(3, seed=2)),
            sample(torch.tensor(True), t(0.4), t(0.6)),
            sample(_MASK, spread(3, 2).mT, spread(1, 3).expand(2, 3)),
            sample(_MASK[:0], spread(0, 3), spread(3)),
            sample(_MASK, spread_complex(2, 3), spread_complex(3, seed=2)),
            sample(_MASK, spread(2, 3), spread_complex(3, seed=2)),
        ],
        torch.where,
        conventions=[
            (sample(_MASK, spread(2, 3), spread(2, 3)), (_MASK.double(), 1 - _MASK.double())),
            (sample(_MASK, t(_nan), t(_inf), smooth=False), (t(3.0), t(3.0))),
        ],
        refusals=[
            (sample(_MASK, 'x', t(1.0)), ad.TensorTypeError, 'takes nodes'),
            (sample(_MASK, spread(4), t(1.0)), ad.ShapeError, 'where'),
        ],
    ),
    'where/condition_of_floats': Case(
        ad.where,
        [sample(t([0.0, 2.0, -1.0]), spread(3), spread(3, seed=1), smooth=False)],
        lambda c, a, b: torch.where(c != 0, a, b),
        conventions=[
            (sample(t([0.0, 2.0]), t([1.0, 1.0]), t(3.0)), (t([0.0, 0.0]), t([0.0, 1.0]), t(1.0))),
        ],
    ),
}


def _of_tensors(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda a, b: function(*_tensors(a, b))


def _trunc_divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode='trunc')


BOUNDS = {
    'fmax': binary(
        select.fmax,
        _of_tensors(torch.fmax),
        REAL,
        at(
            [1.0, 0.0, _nan, 1.0, _nan],
            [1.0, 2.0, 1.0, _nan, _nan],
            [1.0, 0.0, 0.0, 1.0, 1.0],
            [0.0, 1.0, 1.0, 0.0, 0.0],
        ),
        (sample(t([1.0, 0.0, _nan]), 1.0, smooth=False), (t([1.0, 0.0, 0.0]),)),
        (sample(t([1.0]), _nan, smooth=False), (t([1.0]),)),
        constants=(0.2, -0.4),
    ),
    'fmin': binary(
        select.fmin,
        _of_tensors(torch.fmin),
        REAL,
        at(
            [1.0, 2.0, _nan, 1.0, _nan],
            [1.0, 0.0, 1.0, _nan, _nan],
            [1.0, 0.0, 0.0, 1.0, 1.0],
            [0.0, 1.0, 1.0, 0.0, 0.0],
        ),
        constants=(0.2, -0.4),
    ),
    'clamp_min_tensor': binary(
        select.clamp_min_tensor,
        _of_tensors(torch.clamp_min),
        REAL,
        at([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
        constants=(0.2, -0.4),
    ),
    'clamp_max_tensor': binary(
        select.clamp_max_tensor,
        _of_tensors(torch.clamp_max),
        REAL,
        at([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]),
        constants=(0.2, -0.4),
    ),
    'clamp_tensor': Case(
        blend.clamp_tensor,
        [
            sample(spread(2, 3), t([-0.71, -0.2, 0.33]), t([[0.9], [0.45]])),
            sample(t([0.5, 2.5]), t(1.3), t([2.0, 0.7])),
            sample(spread(0, 3), spread(3), t(0.4)),
            sample(t(0.4), t([0.1, 0.5]).float(), t([0.3, 0.9])),
        ],
        torch.clamp,
        conventions=[
            (
                sample(
                    t([1.0, 2.0, 0.0, 5.0, 1.5]),
                    t([1.0, 1.0, 1.0, 2.0, 2.0]),
                    t([2.0, 2.0, 1.0, 1.0, 1.0]),
                    smooth=False,
                ),
                (t([1.0, 1.0, 0.0, 0.0, 0.0]), t([0.0] * 5), t([0.0, 0.0, 0.0, 1.0, 1.0])),
            )
        ],
        refusals=[(sample(t([1.0]), 'x', t([1.0])), ad.TensorTypeError, 'takes nodes')],
    ),
}

# Away from the jumps.
_PAIRS = [
    (t([5.3, -5.3, 5.3, -5.3]), t([2.1, 2.1, -2.1, -2.1])),
    (t([[7.7], [-0.4]]), t([3.3, -0.9])),
    (t(4.5), t(2.0)),
]

_JUMPS = t([4.0, -4.5, 1.0]), t([2.0, 2.0, 0.0])


def remaining(
    build: Callable[..., Node], reference: Callable[..., torch.Tensor], by_a: list[float], by_b: list[float]
) -> Case:
    """Quotients and remainders; the gradients at jumps, and where the divisor is 0."""
    numbers = [sample(t([5.3, -5.3]), 2), sample(7.5, t([2.0, -3.4]))]
    return Case(
        build,
        [*(sample(a, b) for a, b in _PAIRS), *numbers, sample(spread(0), t(1.0))],
        _of_tensors(reference),
        conventions=[(sample(*_JUMPS, smooth=False), (t(by_a), t(by_b)))],
        refusals=[STRING, LEFT_STRING, MISFIT],
    )


REMAINDERS = {
    'fmod': remaining(remainder.fmod, torch.fmod, [1.0] * 3, [-2.0, 2.0, -_inf]),
    'remainder': remaining(remainder.remainder, torch.remainder, [1.0] * 3, [-2.0, 3.0, -_inf]),
    'floor_divide': remaining(step.floor_divide, torch.floor_divide, [0.0] * 3, [0.0] * 3),
    'trunc_divide': remaining(step.trunc_divide, _trunc_divide, [0.0] * 3, [0.0] * 3),
}

PARTS = {
    'copysign': binary(
        remainder.copysign,
        _of_tensors(torch.copysign),
        REAL,
        at([1.0, 0.0, -2.0], [-1.0, -1.0, -0.0], [-1.0, 0.0, 1.0], [0.0] * 3),
        constants=(2, -0.5),
    ),
    'nextafter': Case(
        remainder.nextafter,
        [sample(a, b) for a, b in pairs()[:6]] + [sample(spread(2), 3.0), sample(3.0, spread(2))],
        _of_tensors(torch.nextafter),
        refusals=[STRING],
    ),
    'ldexp': binary(
        remainder.ldexp, _of_tensors(torch.ldexp), REAL, at([0.0], [0.0], [1.0], [0.0]), constants=(2, -0.5)
    ),
    'ldexp/integer': Case(
        remainder.ldexp,
        [sample(spread(2, 3), torch.tensor([1, 0, 3])), sample(spread(2), 3)],
        _of_tensors(torch.ldexp),
        # Torch makes it 2**-2 of integers, which is 0.
        conventions=[(sample(t([1.0]), torch.tensor([-2])), (t([0.25]),))],
    ),
}

FUSED = {
    'lerp': Case(
        blend.lerp,
        [
            sample(spread(2, 3), spread(3, seed=1), 0.3),
            sample(spread(2, 1), spread(1, 3, seed=1), t([0.0, 1.0, 2.5])),
            sample(spread(2, 3).mT, spread(3, 2, seed=1), spread(2, seed=3)),
            sample(spread_complex(2), spread_complex(2, seed=1), 0.7),
            sample(spread_complex(2), spread_complex(2, seed=1), 0.7 - 0.2j),
            sample(spread_complex(2), spread_complex(2, seed=1), spread_complex(2, 1, seed=3)),
            sample(t(0.3), t(0.5), 1),
            sample(spread(0), spread(0), t(0.5)),
        ],
        torch.lerp,
        refusals=[(sample(t([1.0]), 'x', 0.5), ad.TensorTypeError, 'takes nodes')],
    ),
    'addcmul': Case(
        blend.addcmul,
        [
            sample(spread(2, 3), spread(3, seed=1), spread(2, 1, seed=2)),
            sample(spread(2, 3), spread(3, seed=1), spread(2, 1, seed=2), value=-0.7),
            sample(spread(3), spread_complex(3, seed=1), spread_complex(2, 1), value=0.3 - 2j),
            sample(t(0.3), t(0.5), t(0.7), value=2),
            sample(spread(0), spread(0), t(0.5)),
        ],
        torch.addcmul,
        refusals=[(sample(t([1.0]), 'x', t(0.5)), ad.TensorTypeError, 'takes nodes')],
    ),
    'addcdiv': Case(
        blend.addcdiv,
        [
            sample(spread(2, 3), spread(3, seed=1), spread(2, 1, seed=2)),
            sample(spread(2, 3), spread(3, seed=1), spread(2, 1, seed=2), value=-0.7),
            sample(spread(3), spread_complex(3, seed=1), spread_complex(2, 1), value=0.3 - 2j),
            sample(t(0.3), t(0.5), t(0.7), value=2),
            sample(spread(0), spread(0), t(0.5)),
        ],
        torch.addcdiv,
        conventions=[
            (sample(t([1.0]), t([2.0]), t([0.0]), smooth=False), (t([1.0]), t([_inf]), t([-_inf]))),
        ],
        refusals=[(sample(t([1.0]), 'x', t(0.5)), ad.TensorTypeError, 'takes nodes')],
    ),
}

CASES = ARITHMETIC | BY_CONST | EXTREMES | STEPS | WHERE | BOUNDS | REMAINDERS | PARTS | FUSED
