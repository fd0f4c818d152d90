"""Cases: complex numbers from their parts, and back."""

import torch

import adjoint as ad
from adjoint.ops import complex_parts
from adjoint.verify.samples import sample
from tests.ops.case import Case, pairs, spread, spread_complex, t, z
from tests.ops.cases_unary import NO_LIST, NO_STRING

_MIXED = (sample(t([1.0]), t([1.0]).float()), Exception, 'dtype')
_STRING = (sample(t([1.0]), 'x'), ad.TensorTypeError, 'takes nodes')
_MISFIT = (sample(spread(2, 3), spread(4)), ad.ShapeError, r'float64\[2, 3\](.|\n)*float64\[4\]')

CASES: dict[str, Case] = {
    'complex': Case(
        complex_parts.complex_,
        [*(sample(a, b) for a, b in pairs()[:8]), sample(spread(2).float(), t(0.3).float())],
        torch.complex,
        refusals=[_MIXED, _STRING, _MISFIT],
    ),
    'complex/repeated': Case(
        lambda x: complex_parts.complex_(x, x), [sample(spread(2, 2))], lambda x: torch.complex(x, x)
    ),
    'polar': Case(
        complex_parts.polar,
        # Torch takes the derivative by a negative modulus with the wrong sign, and as 0 by one that is 0.
        [sample(a, b) for a, b in pairs(0.31, 2.43)[:8]],
        torch.polar,
        conventions=[(sample(t([-2.0, 0.0, 2.0]), t([0.0, 0.0, 0.0])), (t([1.0, 1.0, 1.0]), t([0.0] * 3)))],
        refusals=[_MIXED, _STRING, _MISFIT],
    ),
    'polar/repeated': Case(
        lambda x: complex_parts.polar(x, x),
        [sample(spread(2, 2, low=0.31, high=2.43))],
        lambda x: torch.polar(x, x),
    ),
    'angle': Case(
        complex_parts.angle,
        [
            sample(spread(2, 3)),
            sample(spread_complex(3, 2).mT),
            sample(spread_complex(2).conj()),
            sample(z(0.3 - 0.4j)),
            sample(torch.empty(0, dtype=torch.complex128)),
        ],
        torch.angle,
        conventions=[
            (sample(t([0.0, 1.0, -1.0]), smooth=False), (t([0.0, 0.0, 0.0]),)),
            (sample(z([0, 1, 2j]), smooth=False), (z([0, 1j, -0.5]),)),
        ],
        refusals=[NO_STRING, NO_LIST],
    ),
    'view_as_real': Case(
        complex_parts.view_as_real,
        [
            sample(spread_complex(2, 3)),
            sample(spread_complex(3, 2).mT.conj()),
            sample(z(0.3 - 0.4j)),
            sample(spread_complex(4)[::2]),
            sample(torch.empty(0, 2, dtype=torch.complex128)),
        ],
        lambda x: torch.view_as_real(x.resolve_conj()),
        refusals=[NO_STRING, (sample(t([1.0])), Exception, 'complex')],
    ),
    'view_as_complex': Case(
        complex_parts.view_as_complex,
        [
            sample(spread(3, 2)),
            sample(spread(2)),
            sample(spread(2, 3).mT),
            sample(spread(3, 3)[:, :2]),
            sample(spread(1, 2).expand(3, 2)),
            sample(spread(0, 2)),
        ],
        lambda x: torch.complex(x[..., 0], x[..., 1]),
        refusals=[NO_STRING, (sample(spread(2, 3)), Exception, 'size')],
    ),
}
