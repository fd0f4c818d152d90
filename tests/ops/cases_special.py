"""Cases: special functions, Bessel functions, and products with logarithms."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from adjoint.ops import bessel, gamma, special
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, t, z
from tests.ops.cases_binary import at as at_both
from tests.ops.cases_binary import binary
from tests.ops.cases_unary import INSIDE, NO_LIST, NO_STRING, POSITIVE, REAL, at, complex_samples, unary

S = torch.special
_inf, _nan = math.inf, math.nan
_pi = math.pi


def small(
    build: Callable[..., Any],
    reference: Callable[..., torch.Tensor],
    domain: tuple[float, float] = REAL,
    *conventions: Any,
    order: int = 2,
) -> Case:
    """Few samples, for functions that are slow in high precision."""
    low, high = domain
    x = spread(3, 2, low=low, high=high).mT
    samples = [sample(x), sample(spread(low=low, high=high)), sample(spread(0, 2))]
    return Case(build, samples, reference, order, conventions, [NO_STRING, NO_LIST])


def of_order(build: Callable[..., Any], reference: Callable[..., torch.Tensor], *orders: int) -> Case:
    """Functions of an order: below it and above it, where they are computed in different ways."""
    x = t([-1.3, 0.4, 1.9, 3.7, 30.5])
    return Case(build, [sample(x, n) for n in orders], reference, conventions=[at([0.0], [0.0], orders[0])])


def _bessel_by_integral(kernel: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The mean over a circle of a kernel of ``x``, the angle, and the order: exact for a periodic one."""

    def value(x: torch.Tensor, order: int) -> torch.Tensor:
        angle = torch.arange(128, dtype=torch.float64) * (2 * _pi / 128)
        return kernel(x.unsqueeze(-1), angle, order).mean(-1)

    return value


_by_j = _bessel_by_integral(lambda x, a, n: torch.cos(n * a - x * torch.sin(a)))
_by_ie = _bessel_by_integral(lambda x, a, n: torch.exp(x * torch.cos(a) - x.abs()) * torch.cos(n * a))
_by_i = _bessel_by_integral(lambda x, a, n: torch.exp(x * torch.cos(a)) * torch.cos(n * a))


def _by_spherical(x: torch.Tensor, order: int) -> torch.Tensor:
    """Half the integral of exp(i x s) times the Legendre polynomial, by Simpson's rule."""
    s = torch.linspace(-1, 1, 16001, dtype=torch.float64)
    weights = torch.tensor([1.0, *[4.0, 2.0] * 7999, 4.0, 1.0], dtype=torch.float64) / 24000
    terms = torch.exp(1j * x.unsqueeze(-1) * s) * S.legendre_polynomial_p(s, order)
    value = (terms * weights).sum(-1) / 2 * (-1j) ** order
    return value if x.is_complex() else value.real


def _polygamma(n: int, x: torch.Tensor) -> torch.Tensor:
    return S.zeta(2.0, x) if n == 1 else torch.polygamma(n, x)


# The second derivative of torch's own rests on its polygamma(1, x), which has only ten digits for small x.
FAR = (31.3, 63.8)

GAMMA = {
    'lgamma': small(gamma.lgamma, torch.lgamma, FAR),
    'lgamma/near': small(gamma.lgamma, torch.lgamma, (0.21, 3.4), at([0.0, -1.0], [-_inf, _nan]), order=1),
    'lgamma/negative': Case(gamma.lgamma, [sample(t([-0.4, -1.3, -2.6]))], torch.lgamma, order=1),
    'digamma': small(gamma.digamma, torch.digamma, FAR),
    'polygamma': Case(
        gamma.polygamma,
        [sample(n, spread(2, 2, low=0.41, high=2.9)) for n in (1, 3)]
        + [sample(0, spread(2, low=31.3, high=48.2)), sample(2, t(1.3)), sample(1, spread(0))],
        _polygamma,
    ),
    'mvlgamma': Case(
        gamma.mvlgamma,
        [sample(spread(2, 2, low=31.3, high=48.2), p) for p in (1, 2, 5)] + [sample(t(44.3), p=3)],
        torch.mvlgamma,
    ),
    # The derivative by the exponent is not written.
    'zeta': Case(
        gamma.zeta,
        [sample(2.5, spread(2, 2, low=0.4, high=2.9)), sample(4, t(1.3)), sample(3.0, spread(0))],
        lambda a, b: S.zeta(torch.tensor(a, dtype=torch.float64), b),
    ),
    'igamma': Case(
        gamma.igamma,
        [sample(2.5, spread(2, 2, low=0.4, high=2.9)), sample(0.7, t(1.3)), sample(3.0, spread(0))],
        lambda a, b: torch.igamma(torch.tensor(a, dtype=torch.float64), b),
        conventions=[
            (sample(a, t([0.0]), smooth=False), (t([g]),)) for a, g in ((2, 0.0), (1, 1.0), (0.5, _inf))
        ],
    ),
    'igammac': Case(
        gamma.igammac,
        [sample(2.5, spread(2, 2, low=0.4, high=2.9)), sample(0.7, t(1.3)), sample(3.0, spread(0))],
        lambda a, b: torch.igammac(torch.tensor(a, dtype=torch.float64), b),
        conventions=[
            (sample(a, t([0.0]), smooth=False), (t([g]),)) for a, g in ((2, -0.0), (1, -1.0), (0.5, -_inf))
        ],
    ),
}

ERROR_FUNCTION = {
    'erfinv': small(special.erfinv, torch.erfinv, INSIDE, at([1.0, -1.0, 2.0], [_inf, _inf, _nan])),
    'erfcx': small(special.erfcx, S.erfcx, REAL, at([-_inf], [-_inf])),
    'ndtr': small(
        special.ndtr, lambda x: torch.erfc(-x / math.sqrt(2)) / 2, REAL, at([_inf, -_inf], [0.0, 0.0])
    ),
    'ndtri': small(special.ndtri, S.ndtri, (0.13, 0.91), at([0.0, 1.0], [_inf, _inf])),
    'log_ndtr': small(special.log_ndtr, S.log_ndtr, (-2.53, 1.71), at([40.0], [0.0])),
}

LOGARITHMS = {
    'entr': small(special.entr, S.entr, POSITIVE, at([0.0, -1.0, 1.0], [_inf, _nan, -1.0])),
    'logit': small(
        special.logit, torch.logit, (0.13, 0.91), at([0.0, 1.0, -1.0, 0.5], [_inf, _inf, _nan, 4.0])
    ),
    'logit/eps': Case(
        special.logit,
        [sample(t([0.1, 0.3, 0.5, 0.95]), 0.2), sample(t(0.4), eps=1e-3)],
        torch.logit,
        conventions=[at([0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 16 / 3, 4.0, 16 / 3, 0.0], 0.25)],
    ),
    'xlogy': binary(
        special.xlogy,
        torch.xlogy,
        POSITIVE,
        at_both([0.0, 0.0, 0.0, 2.0], [0.0, -1.0, 1.0, 1.0], [0.0] * 4, [0.0, 0.0, 0.0, 2.0]),
        at_both([1.0], [0.0], [-_inf], [_inf]),
        (sample(t([0.0, 1.0]), 0.0, smooth=False), (t([0.0, -_inf]),)),
        (sample(t([0.0, 1.0]), -1.0, smooth=False), (t([0.0, _nan]),)),
        (sample(0, t([0.0, -1.0, 1.0]), smooth=False), (t([0.0, 0.0, 0.0]),)),
    ),
    'xlog1py': binary(
        special.xlog1py,
        S.xlog1py,
        (-0.71, 1.71),
        at_both([0.0, 0.0, 0.0, 2.0], [-1.0, -2.0, 0.0, 0.0], [0.0] * 4, [0.0, 0.0, 0.0, 2.0]),
        (sample(t([0.0, 1.0]), -1.0, smooth=False), (t([0.0, -_inf]),)),
        (sample(0, t([-1.0, -2.0, 1.0]), smooth=False), (t([0.0, 0.0, 0.0]),)),
        constants=(2, 0.5),
    ),
    'logaddexp': binary(
        special.logaddexp,
        lambda a, b: torch.logaddexp(*map(_tensor, (a, b))),
        REAL,
        at_both(
            [-_inf, _inf, 800.0, 0.0], [-_inf, _inf, -800.0, 0.0], [0.5, 0.5, 1.0, 0.5], [0.5, 0.5, 0.0, 0.5]
        ),
        at_both([-_inf, _inf], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]),
    ),
    'logaddexp/complex': Case(
        special.logaddexp, [sample(z([0.3 + 0.2j, -0.4j]), z([0.1 - 0.5j, 0.7]))], torch.logaddexp
    ),
    'logaddexp2': binary(
        special.logaddexp2,
        lambda a, b: torch.logaddexp2(*map(_tensor, (a, b))),
        REAL,
        at_both([-_inf, _inf, 0.0], [-_inf, _inf, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    ),
}


def _tensor(x: Any) -> torch.Tensor:
    return torch.as_tensor(x, dtype=None if isinstance(x, torch.Tensor) else torch.float64)


# The second derivative at 0 is -pi**2 / 3, found by differences too.
SINC = {
    'sinc': replace(
        unary(special.sinc, torch.sinc, REAL, at([0.0], [-0.0])),
        samples=[*map(sample, (spread(2, 3), t([0.0, 1.0]), spread(6)[::2])), *complex_samples(-0.4, 0.5)],
    ),
    'spherical_bessel_j0': Case(
        bessel.spherical_bessel_j0,
        [sample(t([[0.0, 0.4], [-1.7, 12.5]])), sample(t(2.3)), sample(spread(0))],
        lambda x: torch.sinc(x / _pi),
    ),
    'spherical_bessel_j': Case(
        bessel.spherical_bessel_j,
        [
            *(sample(t([-1.3, 0.4, 1.9, 3.7, 12.5]), n) for n in (0, 1, 3)),
            sample(t(0.0), 1),
            sample(z([0.3 + 0.4j, 3.0 - 1j]), 2),
        ],
        _by_spherical,
    ),
}

BESSEL = {
    'bessel_j0': small(bessel.bessel_j0, S.bessel_j0, (-1.93, 1.87), at([0.0], [-0.0])),
    'bessel_j1': small(bessel.bessel_j1, S.bessel_j1, (-1.93, 1.87), at([0.0], [0.5])),
    'bessel_j': of_order(bessel.bessel_j, _by_j, 2, 3, 6),
    'bessel_y0': small(bessel.bessel_y0, S.bessel_y0, (0.31, 1.87)),
    'bessel_y1': small(bessel.bessel_y1, S.bessel_y1, (0.31, 1.87)),
    'i0': small(bessel.i0, torch.i0, REAL, at([0.0], [0.0])),
    'i1': small(bessel.i1, S.i1, REAL, at([0.0], [0.5])),
    'bessel_i': of_order(bessel.bessel_i, _by_i, 2, 3, 6),
    'i0e': small(bessel.i0e, S.i0e, REAL, at([0.0], [0.0])),
    'i1e': small(bessel.i1e, S.i1e, REAL, at([0.0], [0.5])),
    'bessel_ie': Case(
        bessel.bessel_ie,
        [sample(t([-1.3, 0.4, 1.9, 3.7, 22.5]), n) for n in (2, 3, 5)],
        _by_ie,
        conventions=[at([0.0], [0.0], 2)],
    ),
    'modified_bessel_k0': small(bessel.modified_bessel_k0, S.modified_bessel_k0, POSITIVE),
    'modified_bessel_k1': small(bessel.modified_bessel_k1, S.modified_bessel_k1, POSITIVE),
    'scaled_modified_bessel_k0': small(
        bessel.scaled_modified_bessel_k0, S.scaled_modified_bessel_k0, POSITIVE
    ),
    'scaled_modified_bessel_k1': small(
        bessel.scaled_modified_bessel_k1, S.scaled_modified_bessel_k1, POSITIVE
    ),
}

CASES: dict[str, Case] = GAMMA | ERROR_FUNCTION | LOGARITHMS | SINC | BESSEL
