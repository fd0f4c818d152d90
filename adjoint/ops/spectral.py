"""Fourier transforms: complex to complex, real to half a spectrum and back, and their adjoints."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.linear import Linear, sum_to_like

__all__ = [
    'FftC2c', 'FftC2r', 'FftC2rAdjoint', 'FftR2c', 'FftR2cAdjoint', 'fft_c2c', 'fft_c2r',
    'fft_c2r_adjoint', 'fft_r2c', 'fft_r2c_adjoint',
]  # fmt: skip

# The transforms are ATen's: ``normalization`` is 0 for none, 1 for division by the root of the number of
# entries, 2 for division by that number, in either direction.
#
# A spectrum of real numbers is symmetric, so half of it says all. A sum over half a spectrum is not one over
# all of it: entries whose mirror image is left out stand for two. So the adjoint of the transform to the half
# is the transform back with those entries halved, and the adjoint of that one doubles them.


class FftC2c(Linear):
    """The Fourier transform of complex ``x`` along axes, or the inverse without its division."""

    axes = ('dim',)
    name = 'fft_c2c'

    def __call__(self, x: Operand, dim: Sequence[int], normalization: int = 0, forward: bool = True) -> Node:
        attrs = {'dim': tuple(dim), 'normalization': normalization, 'forward': bool(forward)}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        dim = _axes(node, x)
        if not x.is_complex():
            msg = f'fft_c2c transforms complex numbers, and got {x.dtype}: use fft_r2c'
            raise RuntimeError(msg)
        return torch.ops.aten._fft_c2c(x, dim, node.attrs['normalization'], node.attrs['forward'])  # noqa: SLF001 torch's name

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a = node.attrs
        return (fft_c2c(ct, a['dim'], a['normalization'], not a['forward']),)


class FftR2c(Linear):
    """The Fourier transform of real ``x`` along axes; of the last of them half, where ``onesided``."""

    axes = ('dim',)
    name = 'fft_r2c'

    def __call__(self, x: Operand, dim: Sequence[int], normalization: int = 0, onesided: bool = True) -> Node:
        attrs = {'dim': tuple(dim), 'normalization': normalization, 'onesided': bool(onesided)}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        dim = _axes(node, x)
        return torch.ops.aten._fft_r2c(x, dim, node.attrs['normalization'], node.attrs['onesided'])  # noqa: SLF001 torch's name

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        a = node.attrs
        if a['onesided']:
            return (Node([ct, x], fft_r2c_adjoint, node.attrs),)
        return (sum_to_like(fft_c2c(ct, a['dim'], a['normalization'], False), x),)


class FftC2r(Linear):
    """The real tensor of which ``x`` is half a spectrum, of ``last_dim_size`` along the last of the axes.

    The inverse transform without its division. Imaginary parts that a real tensor cannot have are
    not seen.
    """

    axes = ('dim',)
    name = 'fft_c2r'

    def __call__(self, x: Operand, dim: Sequence[int], normalization: int = 0, *, last_dim_size: int) -> Node:
        attrs = {'dim': tuple(dim), 'normalization': normalization, 'last_dim_size': last_dim_size}
        return Node([as_node(x, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return _to_real(node, x, node.attrs['last_dim_size'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], fft_c2r_adjoint, node.attrs),)


class FftR2cAdjoint(Linear):
    """The adjoint of the transform to half a spectrum, in the shape of the second operand."""

    axes = ('dim',)
    name = 'fft_r2c_adjoint'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        ct, like = input_values
        last: int = node.attrs['dim'][-1]
        size = like.shape[last]
        return _to_real(node, _scaled(ct, last, size, 0.5), size)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], fft_r2c, node.attrs), None


class FftC2rAdjoint(Linear):
    """The adjoint of the transform from half a spectrum, applied to ``ct``."""

    axes = ('dim',)
    name = 'fft_c2r_adjoint'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (ct,) = input_values
        dim = _axes(node, ct)
        half = torch.ops.aten._fft_r2c(ct, dim, node.attrs['normalization'], True)  # noqa: SLF001 torch's name
        return _scaled(half, dim[-1], ct.shape[dim[-1]], 2.0)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], fft_c2r, node.attrs),)


def _axes(node: Node, x: torch.Tensor) -> list[int]:
    """Return the axes counted from the front, as the kernels take them."""
    return [d % x.ndim for d in node.attrs['dim']]


def _to_real(node: Node, x: torch.Tensor, size: int) -> torch.Tensor:
    return torch.ops.aten._fft_c2r(x, _axes(node, x), node.attrs['normalization'], size)  # noqa: SLF001 torch's name


def _scaled(half: torch.Tensor, axis: int, size: int, factor: float) -> torch.Tensor:
    """Return half a spectrum with the entries that stand for two multiplied."""
    pairs = size - half.shape[axis]
    scale = torch.ones(half.shape[axis], dtype=half.real.dtype, device=half.device)
    scale[1 : 1 + pairs] = factor
    return half * scale.reshape([-1 if d == axis % half.ndim else 1 for d in range(half.ndim)])


fft_c2c = FftC2c()
fft_r2c = FftR2c()
fft_c2r = FftC2r()
fft_r2c_adjoint = FftR2cAdjoint()
fft_c2r_adjoint = FftC2rAdjoint()
