"""Cases: bits, truth values, and tests of single entries."""

import math
from collections.abc import Callable
from typing import Any

import torch

import adjoint as ad
from adjoint.ops import logic
from adjoint.verify.samples import sample
from tests.ops.case import Case, i, spread, t, z
from tests.ops.cases_binary import MISFIT, STRING
from tests.ops.cases_unary import NO_LIST, NO_STRING

_inf, _nan = math.inf, math.nan
_odd = t([0.0, -0.0, 1.5, -2.0, _inf, -_inf, _nan])


def test_of(build: Callable[..., Any], reference: Callable[..., torch.Tensor], *more: torch.Tensor) -> Case:
    """A test of single entries; nothing flows to them."""
    samples = [
        sample(_odd, smooth=False),
        sample(spread(3, 2).mT),
        sample(spread(0, 2)),
        sample(t(0.0), smooth=False),
    ]
    return Case(
        build,
        [*samples, *(sample(x, smooth=False) for x in (i([[0, -3]]), *more))],
        reference,
        refusals=[NO_STRING, NO_LIST],
    )


def of_truth(build: Callable[..., Any], reference: Callable[..., torch.Tensor]) -> Case:
    a, b = t([0.0, 0.0, 2.0, -1.0]), t([0.0, 3.0, 0.0, 1.0])
    samples = [
        sample(a, b, smooth=False),
        sample(a[:, None], a > 0, smooth=False),
        sample(i([0, 2]), i([[0], [1]])),
        sample(z([0, 1j]), t(1.0), smooth=False),
        sample(spread(0, 2), spread(2)),
    ]
    return Case(build, samples, reference, refusals=[STRING, MISFIT])


def of_bits(
    build: Callable[..., Any],
    reference: Callable[..., torch.Tensor],
    *,
    booleans: bool = True,
    top: int = 2**40,
) -> Case:
    a, b = i([0, 5, -6, top]), i([3, 12, 10, 7])
    samples = [
        sample(a, b),
        sample(a[:, None], b[:2]),
        sample(a, 6),
        sample(i([])[None], i([[2], [3]])),
        sample(i(5), i(3)),
    ]
    samples += [sample(3, b)]
    if booleans:
        samples += [sample(a > 0, b > 5), sample(a > 0, True)]
    refusals: list[Any] = [(sample(i([1]), 'x'), ad.TensorTypeError, 'takes nodes')]
    refusals += [(sample(t([1.0]), t([2.0])), Exception, '(?i)not implemented|float|double')]
    return Case(build, samples, lambda a, b: reference(*map(torch.as_tensor, (a, b))), refusals=refusals)


TESTS = {
    'isnan': test_of(logic.isnan, torch.isnan, z([1j, complex(0, _nan)])),
    'isinf': test_of(logic.isinf, torch.isinf, z([1j, complex(0, _inf)])),
    'isfinite': test_of(logic.isfinite, torch.isfinite, z([1j, complex(0, _inf)])),
    'isposinf': test_of(logic.isposinf, torch.isposinf),
    'isneginf': test_of(logic.isneginf, torch.isneginf),
    'isreal': test_of(logic.isreal, torch.isreal, z([1j, 2])),
    'signbit': test_of(logic.signbit, torch.signbit),
    'logical_not': test_of(logic.logical_not, torch.logical_not, z([1j, 0])),
    'bitwise_not': Case(
        logic.bitwise_not,
        [
            sample(i([0, 5, -6])),
            sample(torch.tensor([[True], [False]])),
            sample(torch.tensor(7, dtype=torch.uint8)),
        ],
        torch.bitwise_not,
        refusals=[NO_STRING],
    ),
    'frexp_exponent': Case(
        logic.frexp_exponent,
        [
            sample(t([0.0, 1.0, -3.7, 1e-300, 1024.0]), smooth=False),
            sample(spread(0)),
            sample(t(0.3).float()),
        ],
        lambda x: torch.frexp(x).exponent,
        refusals=[NO_STRING],
    ),
    'equal': Case(
        logic.equal,
        [
            sample(spread(2, 3), spread(2, 3), smooth=False),
            sample(spread(2, 3), spread(2, 3, seed=1)),
            sample(spread(2, 3), spread(3)),
            sample(i([1, 2]), i([1, 2])),
            sample(spread(0), spread(0)),
        ],
        lambda a, b: torch.tensor(torch.equal(a, b)),
        refusals=[STRING],
    ),
}

TRUTH = {
    'logical_and': of_truth(logic.logical_and, torch.logical_and),
    'logical_or': of_truth(logic.logical_or, torch.logical_or),
    'logical_xor': of_truth(logic.logical_xor, torch.logical_xor),
}

BITS = {
    'bitwise_and': of_bits(logic.bitwise_and, torch.bitwise_and),
    'bitwise_or': of_bits(logic.bitwise_or, torch.bitwise_or),
    'bitwise_xor': of_bits(logic.bitwise_xor, torch.bitwise_xor),
    'bitwise_left_shift': of_bits(logic.bitwise_left_shift, torch.bitwise_left_shift, booleans=False),
    'bitwise_right_shift': of_bits(logic.bitwise_right_shift, torch.bitwise_right_shift, booleans=False),
    'gcd': of_bits(logic.gcd, torch.gcd, booleans=False),
    'lcm': of_bits(logic.lcm, torch.lcm, booleans=False, top=2**20),
}

CASES: dict[str, Case] = TESTS | TRUTH | BITS
