"""Cases: convolutions of every kind, and their adjoints."""

from typing import Any

import torch

import adjoint as ad
from adjoint.ops.convolution import convolution, convolution_input, convolution_weight
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, spread_complex

PLAIN: tuple[Any, ...] = (1, 0, 1, False, 0, 1)

# With sizes that the stride does not divide, so that the shape of x is not that which follows from the value.
STRIDED: tuple[Any, ...] = ((2, 3), (1, 0), (1, 2), False, 0, 2)
TRANSPOSED: tuple[Any, ...] = (2, 1, 1, True, 1, 2)

_NAMES = ('stride', 'padding', 'dilation', 'transposed', 'output_padding', 'groups')


def _by_torch(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    transposed: bool = False,
    output_padding: Any = 0,
    groups: int = 1,
) -> torch.Tensor:
    axes = x.ndim - 2
    if transposed:
        f = [torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d][axes - 1]
        return f(x, w, bias, stride, padding, output_padding, groups, dilation)
    f = [torch.conv1d, torch.conv2d, torch.conv3d][axes - 1]
    return f(x, w, bias, stride, padding, dilation, groups)


def _derivative(position: int) -> Any:
    def by_torch(c: torch.Tensor, other: torch.Tensor, like: torch.Tensor, *options: Any) -> torch.Tensor:
        like = torch.zeros_like(like).requires_grad_()
        y = _by_torch(*((like, other) if position == 0 else (other, like)), None, *options)
        return torch.autograd.grad(y, like, c.conj())[0].conj()

    return by_torch


def _input(c: Any, w: Any, x: Any, *options: Any) -> Any:
    return convolution_input(c, w, x, dict(zip(_NAMES, options, strict=True)))


def _weight(c: Any, x: Any, w: Any, *options: Any) -> Any:
    return convolution_weight(c, x, w, dict(zip(_NAMES, options, strict=True)))


CASES: dict[str, Case] = {
    'convolution': Case(
        convolution,
        [
            sample(spread(2, 3, 5), spread(2, 3, 2, seed=1), spread(2, seed=2)),
            sample(spread(1, 2, 4, 4), spread(4, 1, 2, 2, seed=1), None, *STRIDED),
            sample(spread(1, 2, 2, 3), spread(2, 1, 3, 2, seed=1), spread(2, seed=2), *TRANSPOSED),
            sample(spread(1, 1, 2, 3, 2), spread(2, 1, 2, 2, 1, seed=1), spread(2, seed=2)),
            sample(spread_complex(1, 2, 4), spread_complex(2, 2, 2, seed=1), spread_complex(2, seed=2), 2),
            sample(spread(0, 2, 4), spread(1, 2, 2, seed=1)),
            sample(spread(2, 4, 1).mT.expand(2, 2, 4), spread(2, 2, 3, seed=3).mT[:, :2]),
        ],
        _by_torch,
        refusals=[
            (sample(spread(1, 2, 4), spread(1, 3, 2)), ad.ShapeError, 'x has 2 channels'),
            (sample('x', spread(1, 3, 2)), ad.TensorTypeError, 'takes nodes'),
        ],
    ),
    'convolution_input': Case(
        _input,
        [
            sample(spread(1, 2, 3), spread(2, 1, 2, seed=1), spread(1, 1, 4), *PLAIN),
            sample(spread(1, 4, 2, 1), spread(4, 1, 3, 2, seed=1), spread(1, 2, 4, 4), *STRIDED),
            sample(spread(1, 2, 4, 5), spread(2, 1, 3, 2, seed=1), spread(1, 2, 2, 3), *TRANSPOSED),
            sample(spread_complex(1, 1, 3), spread_complex(1, 2, 2, seed=1), spread_complex(1, 2, 4), *PLAIN),
        ],
        _derivative(0),
    ),
    'convolution_weight': Case(
        _weight,
        [
            sample(spread(1, 2, 3), spread(1, 1, 4, seed=1), spread(2, 1, 2), *PLAIN),
            sample(spread(1, 4, 2, 1), spread(1, 2, 4, 4, seed=1), spread(4, 1, 3, 2), *STRIDED),
            sample(spread(1, 2, 4, 5), spread(1, 2, 2, 3, seed=1), spread(2, 1, 3, 2), *TRANSPOSED),
            sample(spread_complex(1, 1, 3), spread_complex(1, 2, 4, seed=1), spread_complex(1, 2, 2), *PLAIN),
        ],
        _derivative(1),
    ),
}
