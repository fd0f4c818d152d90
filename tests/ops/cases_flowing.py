"""Cases of values that change what flows back through them: differences see none of it, conventions do."""

from typing import Any

import adjoint as ad
from adjoint.verify.samples import sample
from tests.ops.case import Case, t, z


def _clipped(x: Any, weights: Any, *args: Any, **kwargs: Any) -> Any:
    return ad.clip_gradient(x, *args, **kwargs) * weights


POINT, W = t([0.5, -2.0]), t([3.0, 4.0])

CASES = {
    'scale_gradient': Case(
        ad.scale_gradient,
        [sample(POINT, 1.0)],
        lambda x, factor: x.clone(),
        conventions=[
            (sample(POINT, 0.5), (t([0.5, 0.5]),)),
            (sample(POINT, 0.0), (t([0.0, 0.0]),)),
            (sample(POINT, -2), (t([-2.0, -2.0]),)),
        ],
        refusals=[(sample(POINT, 'a'), ad.TensorTypeError, 'real number')],
    ),
    'clip_gradient': Case(
        _clipped,
        [],
        conventions=[
            (sample(POINT, W, 1.25), (t([0.75, 1.0]), POINT)),
            (sample(POINT, W, 5.0), (t([3.0, 4.0]), POINT)),
            (sample(POINT, W, 7.0), (t([3.0, 4.0]), POINT)),
            (sample(z([1j, 2]), W, 2.5), (z([1.5, 2.0]), t([0.0, 2.0]))),
            (sample(POINT, W, max=3.5), (t([3.0, 3.5]), POINT)),
            (sample(POINT, W, min=-1.0, max=1.0), (t([1.0, 1.0]), POINT)),
        ],
        refusals=[
            (sample(POINT, W), ad.TensorTypeError, 'max_norm, or min and max'),
            (sample(POINT, W, 1.0, max=2.0), ad.TensorTypeError, 'and not both'),
            (sample(POINT, W, 0.0), ad.TensorTypeError, 'positive'),
        ],
    ),
}
