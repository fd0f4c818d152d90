"""Cases: padding, and windows as columns."""

from typing import Any

import torch
import torch.nn.functional as F

import adjoint as ad
from adjoint.ops import padding as p
from adjoint.verify.samples import sample
from tests.ops.case import Case, sized, spread, spread_complex, t

LINE = spread(2, 4)
X = spread(1, 2, 3, 4)
BLOCK = spread(1, 1, 2, 3, 2)


def _back(name: str, mode: str) -> Case:
    """The case of the adjoint of padding by entries."""

    def build(ct: Any, like: Any, padding: Any) -> ad.Node:
        return ad.Node([ct, like], ad.registry()[name], {'padding': padding})

    def by_torch(ct: torch.Tensor, like: torch.Tensor, padding: Any) -> torch.Tensor:
        x = torch.zeros_like(like).requires_grad_()
        return torch.autograd.grad(F.pad(x, padding, mode), x, ct)[0]

    samples = [
        sample(spread(2, 7), LINE, (2, 1)),
        sample(spread(1, 2, 3, 6), X, (1, 1, 0, 0)),
        sample(spread(1, 1, 3, 3, 3), BLOCK, (0, 1, 0, 0, 1, 0)),
        sample(spread_complex(2, 7), spread_complex(2, 4), (2, 1)),
    ]
    return Case(build, samples, by_torch)


PADS: dict[str, Case] = {
    'constant_pad': Case(
        p.constant_pad,
        [
            sample(LINE, (1, 2)),
            sample(LINE.mT, (1, -1, -2, 1), 0.7),
            sample(X, (0, 1, 2, 0, 1, 0), -1),
            sample(spread_complex(2, 2), (1, 0), 2.0),
            sample(spread(0, 2), (1, 1, 0, 1)),
        ],
        lambda x, at, value=0: F.pad(x, at, 'constant', value),
        refusals=[(sample(LINE, (1, 1, 1)), ad.ShapeError, '(?i)pad')],
    ),
    'constant_pad/pad': Case(p.pad, [sample(LINE, (1, 2)), sample(LINE, (1, 2), 'constant', 0.5)], F.pad),
    'constant_pad/circular': Case(
        p.pad,
        [
            sample(LINE[None], (1, 2), 'circular'),
            sample(X, (4, 0, -1, 2), 'circular'),
            sample(X, (1, -2, 3, 3), 'circular'),
            sample(BLOCK, (1, 1, 0, 2, 1, -1), 'circular'),
        ],
        F.pad,
        refusals=[(sized(LINE, (1, 2), 'around'), ValueError, 'knows the modes constant')],
    ),
    'reflection_pad': Case(
        p.reflection_pad,
        [
            sample(LINE, (2, 1)),
            sample(X, (3, 0, 1, 2)),
            sample(X[0].mT, (1, 1, 0, 1)),
            sample(BLOCK, (0, 1, 2, 0, 1, 0)),
            sample(spread_complex(2, 4), (2, 1)),
        ],
        lambda x, at: F.pad(x, at, 'reflect'),
        refusals=[
            (sample(LINE, (1, 2, 3)), ad.TensorTypeError, 'two counts'),
            (sample(LINE, (9, 0)), ad.ShapeError, '(?i)padding size'),
        ],
    ),
    'reflection_pad_backward': _back('reflection_pad_backward', 'reflect'),
    'replication_pad': Case(
        p.replication_pad,
        [
            sample(LINE, (2, 5)),
            sample(X, (3, 0, 1, 2)),
            sample(X, (-1, 2, 1, -1)),
            sample(BLOCK, (0, 3, 2, 0, 1, 0)),
            sample(spread_complex(2, 4), (2, 1)),
        ],
        lambda x, at: F.pad(x, at, 'replicate'),
    ),
    'replication_pad_backward': _back('replication_pad_backward', 'replicate'),
}


def _unfold(
    x: torch.Tensor, window: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> torch.Tensor:
    return F.unfold(x, window, dilation, padding, stride)


def _fold(
    columns: torch.Tensor, size: Any, window: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> torch.Tensor:
    return F.fold(columns, size, window, dilation, padding, stride)


COLUMNS: dict[str, Case] = {
    'im2col': Case(
        p.im2col,
        [
            sample(X, (2, 2)),
            sample(X, (2, 1), (1, 2), (1, 0), (2, 1)),
            sample(X[0], (1, 3)),
            sample(spread_complex(1, 1, 3, 3), (2, 2)),
        ],
        _unfold,
    ),
    'col2im': Case(
        p.col2im,
        [
            sample(spread(1, 4, 6), (3, 4), (2, 2)),
            sample(spread(1, 2, 8), (3, 4), (2, 1), (1, 1), (1, 0), (2, 1)),
            sample(spread_complex(1, 4, 4), (3, 3), (2, 2)),
        ],
        _fold,
        refusals=[(sample(t([[[1.0]]]), (3, 4), (2, 2)), ad.ShapeError, '(?i)expected')],
    ),
}

CASES = PADS | COLUMNS
