"""ATen: Fourier transforms."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node
from adjoint.interop.aten.table import Builders
from adjoint.interop.aten.types import dtype_of, shape_of
from adjoint.ops.arithmetic import square
from adjoint.ops.complex_parts import view_as_real
from adjoint.ops.index import getitem
from adjoint.ops.padding import constant_pad, pad
from adjoint.ops.ranges import full
from adjoint.ops.shape import squeeze, transpose, unsqueeze
from adjoint.ops.spectral import fft_c2c, fft_c2r, fft_r2c
from adjoint.ops.window import unfold, unfold_backward

__all__ = ['BUILDERS']

# What ATen calls the ways to divide: not, by the root of the number of entries, by that number.
_NOT, _BY_ROOT, _BY_COUNT = 0, 1, 2


def _fft_c2r(self: Node, dim: Sequence[int], normalization: int, last_dim_size: int) -> Node:
    return fft_c2r(self, dim, normalization, last_dim_size=last_dim_size)


def _fft_c2c(self: Node, dim: Sequence[int], normalization: int, forward: bool) -> Node:
    return fft_c2c(self, dim, normalization, forward)


def _fft_r2c(self: Node, dim: Sequence[int], normalization: int, onesided: bool) -> Node:
    return fft_r2c(self, dim, normalization, onesided)


def _filled(like: Node, size: Sequence[int], value: float, dtype: torch.dtype) -> Node:
    """Return a tensor of one number where ``like`` lies."""
    return full(size, value, dtype=dtype, device=None if like.type is None else like.type.device)


def _window(window: Node | None, like: Node, n_fft: int, win_length: int) -> Node:
    """Return a window, or ones, in the middle of ``n_fft`` entries."""
    if window is None:
        dtype = dtype_of(like)
        window = _filled(like, (win_length,), 1.0, dtype.to_real())
    left = (n_fft - win_length) // 2
    right = n_fft - win_length - left
    return constant_pad(window, (left, right)) if left or right else window


def _stft(
    self: Node,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Node:
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if align_to_window:
        margin = (n_fft - length) // 2
        self = constant_pad(self, (margin, margin))
    frames = unfold(self, -1, n_fft, hop)
    if window is not None or length < n_fft:
        frames = frames * _window(window, self, n_fft, length)
    way = _BY_ROOT if normalized else _NOT
    if dtype_of(frames).is_complex:
        spectra = fft_c2c(frames, (-1,), way)
    else:
        spectra = fft_r2c(frames, (-1,), way, onesided is not False)
    spectra = transpose(spectra, -2, -1)
    return spectra if return_complex or return_complex is None else view_as_real(spectra)


def _stft_centred(
    self: Node,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    center: bool = True,
    pad_mode: str = 'reflect',
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Node:
    if center:
        margin = n_fft // 2
        # Kernels pad batches of channels.
        self = squeeze(pad(unsqueeze(self, 0), (margin, margin), pad_mode), 0)
    options = (window, normalized, onesided, return_complex, align_to_window)
    return _stft(self, n_fft, hop_length, win_length, *options)


def _istft(
    self: Node,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Node:
    hop = n_fft // 4 if hop_length is None else hop_length
    *batch, _, frames = shape_of(self)
    if not isinstance(frames, int):
        msg = 'the number of frames, on which the length of the signal depends, has to be a number'
        raise NotImplementedError(msg)
    weights = _window(window, self, n_fft, n_fft if win_length is None else win_length)
    spectra = transpose(self, -2, -1)
    way = _BY_ROOT if normalized else _BY_COUNT
    if return_complex:
        pieces = fft_c2c(spectra, (-1,), way, False)
    else:
        half = n_fft // 2 + 1
        pieces = fft_c2r(getitem(spectra, (..., slice(0, half))), (-1,), way, last_dim_size=n_fft)
    whole = n_fft + hop * (frames - 1)
    pieces = pieces * weights
    signal = _filled(self, (*batch, whole), 0.0, dtype_of(pieces))
    envelope = _filled(self, (whole,), 0.0, dtype_of(weights))
    signal = unfold_backward(pieces, signal, -1, n_fft, hop)
    squares = square(weights) * _filled(self, (frames, 1), 1.0, dtype_of(weights))
    envelope = unfold_backward(squares, envelope, -1, n_fft, hop)
    start = n_fft // 2 if center else 0
    end = whole - start
    if length is not None:
        end = start + length
    kept = slice(start, end)
    result = getitem(signal, (..., kept)) / getitem(envelope, kept)
    return constant_pad(result, (0, end - whole)) if end > whole else result


BUILDERS: Builders = {
    'aten._fft_c2c': _fft_c2c,
    'aten._fft_r2c': _fft_r2c,
    'aten._fft_c2r': _fft_c2r,
    'aten.stft.default': _stft,
    'aten.stft.center': _stft_centred,
    'aten.istft': _istft,
}
