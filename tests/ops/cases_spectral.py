"""Cases: Fourier transforms."""

from typing import Any

import torch

import adjoint as ad
from adjoint.ops import spectral as s
from adjoint.verify.samples import sample
from tests.ops.case import Case, spread, spread_complex

X = spread(2, 5)
Y = spread(3, 4, 2, seed=1)
C = spread_complex(2, 4)
D = spread_complex(3, 2, 3)

_NORMS = ('backward', 'ortho', 'forward')


def _c2c(x: torch.Tensor, dim: Any, norm: int = 0, forward: bool = True) -> torch.Tensor:
    if forward:
        return torch.fft.fftn(x, dim=dim, norm=_NORMS[norm])
    return torch.fft.ifftn(x, dim=dim, norm=('forward', 'ortho', 'backward')[norm])


def _r2c(x: torch.Tensor, dim: Any, norm: int = 0, onesided: bool = True) -> torch.Tensor:
    return (torch.fft.rfftn if onesided else torch.fft.fftn)(x, dim=dim, norm=_NORMS[norm])


def _c2r(x: torch.Tensor, dim: Any, norm: int = 0, *, last_dim_size: int) -> torch.Tensor:
    size = [x.shape[d] for d in dim[:-1]] + [last_dim_size]
    return torch.fft.irfftn(x, s=size, dim=dim, norm=('forward', 'ortho', 'backward')[norm])


def _r2c_back(ct: torch.Tensor, like: torch.Tensor, dim: Any, norm: int) -> torch.Tensor:
    x = torch.zeros_like(like).requires_grad_()
    return torch.autograd.grad(_r2c(x, dim, norm), x, ct)[0]


def _c2r_back(ct: torch.Tensor, dim: Any, norm: int) -> torch.Tensor:
    size = ct.shape[dim[-1]]
    shape = [*ct.shape]
    shape[dim[-1]] = size // 2 + 1
    x = torch.zeros(shape, dtype=torch.complex128).requires_grad_()
    return torch.autograd.grad(_c2r(x, dim, norm, last_dim_size=size), x, ct)[0]


def _build_r2c_back(ct: Any, like: Any, dim: Any, norm: int) -> ad.Node:
    attrs = {'dim': dim, 'normalization': norm, 'onesided': True}
    return ad.Node([ct, like], s.fft_r2c_adjoint, attrs)


def _build_c2r_back(ct: Any, dim: Any, norm: int) -> ad.Node:
    # The size is that of the cotangent.
    attrs = {'dim': dim, 'normalization': norm, 'last_dim_size': (5, 4)[dim[-1] == 1]}
    return ad.Node([ct], s.fft_c2r_adjoint, attrs)


CASES: dict[str, Case] = {
    'fft_c2c': Case(
        s.fft_c2c,
        [
            sample(C, (1,)),
            sample(C.mT, (0,), 1, False),
            sample(D, (2, 0), 2, False),
            sample(D, (0, -2, -1), 1),
        ],
        _c2c,
        refusals=[(sample(X, (1,)), ad.ShapeError, 'transforms complex numbers')],
    ),
    'fft_r2c': Case(
        s.fft_r2c,
        [
            sample(X, (1,)),
            sample(X.mT, (1,), 1),
            sample(Y, (0, 1), 2),
            sample(Y, (1, -1, 0), 0),
            sample(Y, (-1, 0), 1, False),
        ],
        _r2c,
    ),
    'fft_c2r': Case(
        s.fft_c2r,
        [
            sample(spread_complex(2, 3), (1,), last_dim_size=4),
            sample(spread_complex(2, 3), (1,), 1, last_dim_size=5),
            sample(spread_complex(2, 3, 2), (-1, -2), 2, last_dim_size=4),
            sample(spread_complex(2, 3, 2), (1, 0), last_dim_size=2),
            sample(spread_complex(1, 3), (0,), last_dim_size=1),
        ],
        _c2r,
    ),
    'fft_r2c_adjoint': Case(
        _build_r2c_back,
        [
            sample(spread_complex(2, 3), X, (1,), 1),
            sample(spread_complex(3, 3, 2), Y, (0, 1), 0),
            sample(spread_complex(2, 4, 2), Y, (1, 2, 0), 2),
        ],
        _r2c_back,
    ),
    'fft_c2r_adjoint': Case(
        _build_c2r_back,
        [
            sample(spread(5, 2), (0,), 1),
            sample(spread(3, 4), (0, 1), 0),
        ],
        _c2r_back,
    ),
}
