"""What kernels of torch cost, by their names: arithmetic, and memory that they take inside.

Products, convolutions and attention are counted by the formulas of ``torch.utils.flop_counter``. What is
pointwise or a reduction is known by its tag. The rest of the arithmetic is in one table, and so is the memory
that a kernel takes beside its result, which no tensor without data shows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import torch
from torch.utils.flop_counter import flop_registry

from adjoint.execute.cost_gpu import REDUCTIONS, reduction_on_gpu

__all__ = ['Call', 'flops_of', 'moved_by', 'tensors_in', 'workspace_of']

# Operations for each entry of the largest tensor that a kernel reads.
_PER_ENTRY: Mapping[str, int] = MappingProxyType(
    {
        '_softmax': 4, '_log_softmax': 4, 'logsumexp': 4, 'logcumsumexp': 4, '_softmax_backward_data': 4,
        '_log_softmax_backward_data': 4, 'native_layer_norm': 7, 'native_layer_norm_backward': 12,
        'native_batch_norm': 7, 'native_batch_norm_backward': 12, 'native_group_norm': 7,
        'native_group_norm_backward': 12, 'cumsum': 1, 'cumprod': 1, 'scatter_add': 1, 'index_add': 1,
        'index_put': 1, 'embedding_dense_backward': 1, 'max_pool2d_with_indices': 1, 'avg_pool2d': 1,
        '_adaptive_avg_pool2d': 1, 'native_dropout': 2, 'dot': 2, 'mv': 2, 'linalg_vector_norm': 2,
    }
)  # fmt: skip

# Operations for a matrix of size n, in units of n cubed.
_CUBED: Mapping[str, float] = MappingProxyType(
    {
        'linalg_cholesky_ex': 1 / 3, 'linalg_lu_factor_ex': 2 / 3, '_linalg_det': 2 / 3,
        '_linalg_slogdet': 2 / 3, '_linalg_solve_ex': 2 / 3, 'linalg_inv_ex': 2, 'linalg_qr': 4 / 3,
        '_linalg_eigh': 9, '_linalg_svd': 20, 'linalg_eig': 25, 'linalg_solve_triangular': 1,
        'triangular_solve': 1, 'cholesky_solve': 2, 'linalg_matrix_exp': 20,
    }
)  # fmt: skip

# What only makes room.
_EMPTY = frozenset(
    {'empty', 'empty_strided', 'empty_like', 'new_empty', 'new_empty_strided', '_unsafe_view', 'resize_'}
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a kernel.

    Parameters
    ----------
    kernel : torch.OpOverload
        What was called.
    args, kwargs
        Its arguments.
    value
        What it returned.
    """

    kernel: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    value: Any

    @property
    def name(self) -> str:
        """The name without the overload, such as ``mm``."""
        return str(self.kernel.name()).removeprefix('aten::').split('.', maxsplit=1)[0]

    @property
    def given(self) -> list[torch.Tensor]:
        """The tensors among the positional arguments."""
        return tensors_in(self.args)

    @property
    def results(self) -> list[torch.Tensor]:
        """The tensors that it returned."""
        return tensors_in((self.value,))


def tensors_in(values: Sequence[Any]) -> list[torch.Tensor]:
    """Return the tensors in a sequence, and in sequences in it."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += tensors_in(cast('Sequence[Any]', value))
    return found


_aten: Any = torch.ops.aten

# Kernels for a CPU, which the formulas do not know, with those that compute the same.
_COUNTED_AS: Mapping[str, Any] = MappingProxyType(
    {
        f'_scaled_dot_product_flash_attention_for_cpu{way}': getattr(
            _aten, f'_scaled_dot_product_flash_attention{way}'
        )
        for way in ('', '_backward')
    }
)


def flops_of(call: Call) -> int:
    """Return the floating-point operations of a call."""
    formula = flop_registry.get(_COUNTED_AS.get(call.name, call.kernel.overloadpacket))
    if formula is not None:
        return int(formula(*call.args, **call.kwargs, out_val=call.value))
    name, given = call.name, call.given
    largest = max((x.numel() for x in given), default=0)
    if name in _PER_ENTRY:
        return _PER_ENTRY[name] * largest
    if name in _CUBED:
        return int(_CUBED[name] * given[0].shape[-1] * given[0].numel())
    if torch.Tag.pointwise in call.kernel.tags:
        return sum(y.numel() for y in call.results)
    return largest if torch.Tag.reduction in call.kernel.tags else 0


def moved_by(call: Call) -> int:
    """Return the bytes that a call reads and writes; a view does neither."""
    if call.kernel.is_view or call.name in _EMPTY:
        return 0
    return sum(map(_extent, call.results)) + sum(map(_extent, call.given))


def _extent(x: torch.Tensor) -> int:
    """Return the bytes of the entries that differ: an expanded axis is read once."""
    sizes = (n for n, stride in zip(x.shape, x.stride(), strict=True) if stride)
    return math.prod(sizes) * x.element_size() if x.numel() else 0


# -- memory inside a kernel ---------------------------------------------------------------------


def workspace_of(call: Call) -> int:
    """Return the bytes that a call takes inside beside its results; on a GPU those of reductions only."""
    if call.results and call.results[0].device.type != 'cpu':
        is_known = call.name in REDUCTIONS and call.results[0].device.type == 'cuda'
        return _reduction(call) if is_known else 0
    rule = _WORKSPACE.get(call.name)
    if rule is not None:
        return rule(call)
    return _casts(call) if torch.Tag.pointwise in call.kernel.tags else 0


def _reduction(call: Call) -> int:
    x, y = call.given[0], call.results[0]
    place = 2 if call.name == 'linalg_vector_norm' else 1
    given: Any = call.args[place] if len(call.args) > place else call.kwargs.get('dim')
    dims = (given,) if isinstance(given, int) else tuple(given or range(x.ndim))
    gone = {dim % max(x.ndim, 1) for dim in dims}
    kept = [axis for axis in range(x.ndim) if axis not in gone]
    return reduction_on_gpu(x, kept, max(4, y.element_size()))


def _none(_: Call) -> int:
    return 0


def _casts(call: Call) -> int:
    """Operands of another dtype than the one that is computed in are copied to it."""
    given = call.given
    if len({x.dtype for x in given}) < 2:  # noqa: PLR2004 nothing differs
        return 0
    common = torch.result_type(given[0], given[1])
    return common.itemsize * sum(x.numel() for x in given if x.dtype is not common and x.numel() > 1)


def _accumulated(call: Call) -> int:
    """A reduction to another dtype reads a copy in that dtype."""
    x, y = call.given[0], call.results[0]
    return x.numel() * y.element_size() if x.dtype is not y.dtype else 0


def _of_complex(call: Call) -> int:
    """A real value is computed as a complex one first."""
    x = call.given[0]
    return x.nbytes if x.is_complex() else _casts(call)


def _product(call: Call) -> int:
    """Matrices that lie neither by rows nor by columns are copied."""
    return sum(x.nbytes for x in call.given if x.ndim > 1 and not _is_for_blas(x))


def _is_for_blas(x: torch.Tensor) -> bool:
    rows, columns = x.stride()[-2:]
    m, n = x.shape[-2:]
    return (columns == 1 and rows >= max(1, n)) or (rows == 1 and columns >= max(1, m)) or 1 in {m, n}


# What oneDNN computes; in other dtypes, a convolution is a product with all windows written out.
_BLOCKED = frozenset({torch.float32, torch.bfloat16, torch.float16})


def _columns(x: torch.Tensor, w: torch.Tensor, y: torch.Tensor) -> int:
    return x.shape[0] * math.prod(w.shape[1:]) * math.prod(y.shape[2:]) * x.element_size()


def _blocked(x: torch.Tensor) -> int:
    """Return the bytes of a tensor whose channels are filled up to whole blocks, as oneDNN keeps them."""
    block = 16 if 'AVX512' in torch.backends.cpu.get_cpu_capability() else 8
    channels = x.shape[1] if x.ndim > 1 else 1
    return x.nbytes // max(channels, 1) * (-(-channels // block) * block)


def _convolution(call: Call) -> int:
    """Blocked copies of operands and result; the first are free when the result is copied back."""
    x, w = call.given[:2]
    y = call.results[0]
    if x.dtype not in _BLOCKED:
        return _columns(x, w, y)
    return max(_blocked(y), _blocked(x) + w.nbytes + _blocked(y) - y.nbytes)


def _convolution_backward(call: Call) -> int:
    c, x, w = call.given[:3]
    if x.dtype not in _BLOCKED:
        return _columns(x, w, c)
    copies = _blocked(c) + _blocked(x) + w.nbytes
    by_x, by_w, _ = call.args[-1]
    return max(copies - x.nbytes if by_x else 0, _blocked(x) if by_x else 0, copies if by_w else 0)


def _attention(call: Call) -> int:
    """Each thread keeps a block of scores, a block of the value, and two rows of sums."""
    query, key = call.given[:2]
    rows, columns = _block(query, key)
    return 4 * rows * (columns + 2 + query.shape[-1]) * torch.get_num_threads()


def _attention_backward(call: Call) -> int:
    """Each thread keeps a block of the weights and of their cotangents; there is a copy of the cotangent."""
    ct, query, key = call.given[:3]
    rows, columns = _block(query, key)
    return ct.nbytes + ct.element_size() * rows * (2 * columns * torch.get_num_threads() + 1)


def _block(query: torch.Tensor, key: torch.Tensor) -> tuple[int, int]:
    """Return of how many queries and keys a thread computes the scores at once."""
    longest = query.shape[-2]
    rows = 256 if longest >= 768 else 64 if longest >= 192 else 32  # noqa: PLR2004 the kernel's
    return rows, min(512, key.shape[-2])


def _times(factor: int) -> Callable[[Call], int]:
    """Return the rule of a kernel that takes a multiple of its first operand."""
    return lambda call: factor * call.given[0].nbytes


_Rule: TypeAlias = Callable[[Call], int]

_WORKSPACE: Mapping[str, _Rule] = MappingProxyType(
    {
        'where': _none,  # a condition is not cast
        'masked_fill': _none,
        'abs': _of_complex,
        'angle': _of_complex,
        **dict.fromkeys(('sum', 'prod', 'mean', 'cumsum', 'cumprod'), _accumulated),
        **dict.fromkeys(('mm', 'bmm', 'addmm', 'baddbmm'), _product),
        'convolution': _convolution,
        'convolution_backward': _convolution_backward,
        '_scaled_dot_product_flash_attention_for_cpu': _attention,
        '_scaled_dot_product_flash_attention_for_cpu_backward': _attention_backward,
        'logsumexp': _times(1),
        'linalg_inv_ex': _times(1),
        '_linalg_svd': _times(1),
        '_linalg_eigh': _times(2),
        'linalg_eig': _times(3),
        'linalg_matrix_exp': _times(9),
        'im2col': _times(1),
        'col2im': lambda call: max(call.given[0].nbytes - call.results[0].nbytes, 0),
        'kthvalue': lambda call: call.given[0].nbytes + 8 * call.given[0].numel(),
        '_euclidean_dist': lambda call: 2 * call.results[0].nbytes,
    }
)
