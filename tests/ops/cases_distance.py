"""Cases: norms and distances."""

import math

import torch

from adjoint.ops.distance import abs_pow, pairs, scaled_norm, signed_pow, unpairs, vector_norm
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, spread_complex, t

X = spread(2, 3)


def _norm(a: torch.Tensor, order: float, *args: object, **kwargs: object) -> torch.Tensor:
    return torch.linalg.vector_norm(a, order, *args, **kwargs)


def _differences(a: torch.Tensor) -> torch.Tensor:
    places = torch.triu_indices(a.shape[-2], a.shape[-2], 1)
    return a[places[0]] - a[places[1]]


CASES: dict[str, Case] = {
    'abs_pow': Case(
        abs_pow, [sample(X, 3.0), sample(X, 1.5), sample(spread_complex(2), 3.0)], lambda x, p: x.abs() ** p
    ),
    'signed_pow': Case(
        signed_pow, [sample(X, 2.0), sample(spread_complex(2), 2.0)], lambda x, p: torch.sgn(x) * x.abs() ** p
    ),
    'vector_norm': Case(
        vector_norm,
        [
            sample(X, 2),
            sample(X, 3, 0),
            sample(X, 3, 1),
            sample(X, 1, 1),
            sample(X, 2.5, (0, 1), True),
            sample(spread_complex(3), 2),
        ],
        _norm,
        conventions=[
            (sample(t([0.0, 0.0]), 2, smooth=False), (t([0.0, 0.0]),)),
            (sample(t([3.0, -4.0]), 2), (t([0.6, -0.8]),)),
            (sample(t([1.0, -2.0]), math.inf, smooth=False), (t([0.0, -1.0]),)),
        ],
    ),
    'scaled_norm': Case(
        scaled_norm,
        [sample(X), sample(X, 0), sample(X, (0, 1), True), sample(spread_complex(3), 0), sample(t(-2.0))],
        lambda a, *args: torch.linalg.vector_norm(a, 2, *args),
        conventions=[
            (sample(t([0.0, 0.0]), smooth=False), (t([0.0, 0.0]),)),
            (sample(t([3 * 2.0**665, -(2.0**667)])), (t([0.6, -0.8]),)),
            (sample(t([3 * 2.0**-665, -(2.0**-663)])), (t([0.6, -0.8]),)),
        ],
    ),
    'pairs': Case(pairs, [sample(spread(3, 2))], _differences),
    'unpairs': Case(
        unpairs,
        [sample(spread(3, 2), spread(3, 2, seed=1))],
        lambda a, like: torch.stack([a[0] + a[1], a[2] - a[0], -a[1] - a[2]]) + 0 * like,
    ),
}
