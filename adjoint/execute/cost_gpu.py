"""Memory that kernels of torch take inside on a GPU.

Of sums and their like, which may share an output among several blocks of threads. How many that are follows
from shapes and from the GPU (``aten/src/ATen/native/cuda/Reduce.cuh``); how blocks are chosen there is
followed here step by step.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch

__all__ = ['REDUCTIONS', 'reduction_on_gpu']

REDUCTIONS = frozenset({'sum', 'nansum', 'mean', 'prod', 'amax', 'amin', 'linalg_vector_norm'})

_WARP, _MOST_THREADS, _VECTOR = 32, 512, 4
_FEWEST_VALUES, _MOST_VALUES = 16, 256  # for each thread


def reduction_on_gpu(x: torch.Tensor, kept: Sequence[int], computed_in: int) -> int:
    """Return the bytes that a reduction takes to add up what several blocks of threads found.

    Parameters
    ----------
    x : torch.Tensor
        On a GPU; its data is not read.
    kept : sequence of int
        The axes that are not reduced.
    computed_in : int
        Bytes of the number that is added up.
    """
    if x.numel() == 0 or not torch.cuda.is_available():
        return 0
    gpu = cast('Any', torch.cuda.get_device_properties(x.device))
    axes = [(x.stride(i), x.shape[i], i in kept) for i in range(x.ndim) if x.shape[i] > 1]
    inner = sorted(axis[:2] for axis in axes if not axis[2])
    outer = sorted(axis[:2] for axis in axes if axis[2])
    outputs, inputs = math.prod(size for _, size in outer), math.prod(size for _, size in inner)
    is_along = not outer or (bool(inner) and inner[0][0] < outer[0][0])
    vector = 1
    if is_along:
        width, height = inputs, outputs
        if not outer and _is_one_axis(inner) and inputs > 128:  # noqa: PLR2004 the kernel's
            width //= _VECTOR if x.element_size() > 2 else 2 * _VECTOR  # noqa: PLR2004 half precision
    else:
        vector = _vector(inner, outer) if outer[0][0] == 1 else 1
        width, height = outputs // vector, inputs
    most = (_MOST_THREADS // 2 if x.dtype == torch.complex128 else _MOST_THREADS) // vector
    wide, high = min(_power(width), most), min(_power(height), most)
    block_width = min(wide, _WARP)
    block_height = min(high, most // block_width)
    block_width = min(wide, most // block_height)
    step_in, step_out = (block_width, 1) if is_along else (1, block_width)
    if -(-inputs // step_in) < min(block_height * _FEWEST_VALUES, _MOST_VALUES):
        return 0
    step_in *= block_height
    values, grid = -(-inputs // step_in), -(-(outputs // vector) // step_out)
    target: int = gpu.multi_processor_count * (
        gpu.max_threads_per_multi_processor // (block_width * block_height)
    )
    if values < _MOST_VALUES or grid > target:
        return 0
    shares = max(min(-(-target // grid), -(-values // _FEWEST_VALUES)), -(-values // _MOST_VALUES))
    if shares == 1:
        return 0
    return computed_in * outputs * shares * (1 if is_along else block_width * vector)


def _is_one_axis(axes: Sequence[tuple[int, int]]) -> bool:
    """Whether axes, of the given strides and sizes, lie one behind the other from stride 1 on."""
    step = 1
    for stride, size in axes:
        if stride != step:
            return False
        step *= size
    return True


def _vector(inner: Sequence[tuple[int, int]], outer: Sequence[tuple[int, int]]) -> int:
    """Return how many outputs beside each other a thread computes: what goes into all steps and sizes."""
    run, left = 1, list(outer)
    while left and left[0][0] == run:
        run *= left.pop(0)[1]
    return math.gcd(_VECTOR, run, *(stride for stride, _ in (*inner, *left)))


def _power(number: int) -> int:
    """Return the largest power of two that is not larger."""
    return 1 << (max(number, 1).bit_length() - 1)
