"""ATen: Fourier transforms."""

from collections.abc import Sequence

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.ops.spectral import fft_c2c, fft_c2r, fft_r2c

__all__ = ['BUILDERS']


def _fft_c2r(self: Node, dim: Sequence[int], normalization: int, last_dim_size: int) -> Node:
    return fft_c2r(self, dim, normalization, last_dim_size=last_dim_size)


def _fft_c2c(self: Node, dim: Sequence[int], normalization: int, forward: bool) -> Node:
    return fft_c2c(self, dim, normalization, forward)


def _fft_r2c(self: Node, dim: Sequence[int], normalization: int, onesided: bool) -> Node:
    return fft_r2c(self, dim, normalization, onesided)


BUILDERS: Builders = {
    'aten._fft_c2c': _fft_c2c,
    'aten._fft_r2c': _fft_r2c,
    'aten._fft_c2r': _fft_c2r,
}
