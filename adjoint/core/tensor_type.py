"""The type of a node's value: sizes, dtype and device, each as far as it is known."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch

from adjoint.core.errors import TensorTypeError

__all__ = ['Size', 'TensorType', 'size_tuple']

# An int; the name of a size that is the same wherever the name stands; None where nothing is known.
Size: TypeAlias = int | str | None


def size_tuple(shape: Sequence[Size]) -> tuple[Size, ...]:
    """Check the sizes of a declared shape and return them as a tuple.

    Raises
    ------
    TensorTypeError
        A size is neither a non-negative int, nor an identifier, nor ``None``.
    """
    if isinstance(shape, (str, bytes)) or not isinstance(shape, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
        msg = f'a shape is a sequence of sizes such as (3, "n"); got {shape!r}'
        raise TensorTypeError(msg)
    for size in shape:
        whole = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        named = isinstance(size, str) and size.isidentifier()
        if not (whole or named or size is None):
            msg = (
                f'a size is a non-negative int, a name such as "batch", or None for any size; '
                f'got {size!r} in shape {tuple(shape)!r}'
            )
            raise TensorTypeError(msg)
    return tuple(shape)


class TensorType(NamedTuple):
    """What is known of a tensor before it exists; a tuple, so that it is hashed and compared fast.

    Parameters
    ----------
    shape : tuple of int, str or None, or None
        Sizes; a name stands for one size that is the same wherever it is written; ``None`` as a size
        is any size, and ``None`` as the shape is any number of axes.
    dtype : torch.dtype or None
        ``None`` is any dtype.
    device : torch.device or None
        ``None`` is any device.
    items : tuple of TensorType or None, optional
        Of the value of an op with several outputs: the type of each. Shape, dtype and device are ``None``.

    Examples
    --------
    >>> import torch
    >>> print(TensorType(('n', 3), torch.float32))
    float32[n, 3]
    """

    shape: tuple[Size, ...] | None = None
    dtype: torch.dtype | None = None
    device: torch.device | None = None
    items: 'tuple[TensorType | None, ...] | None' = None

    def __str__(self) -> str:
        """``float32[n, 3]``; a question mark for what is not known."""
        if self.items is not None:
            return f'({", ".join("?" if item is None else str(item) for item in self.items)})'
        dtype = 'any' if self.dtype is None else str(self.dtype).removeprefix('torch.')
        if self.shape is None:
            return f'{dtype}[...]'
        sizes = ', '.join('?' if s is None else str(s) for s in self.shape)
        device = '' if self.device is None or self.device.type == 'cpu' else f'@{self.device}'
        return f'{dtype}[{sizes}]{device}'

    @property
    def is_static(self) -> bool:
        """Whether dtype and every size are known as numbers."""
        return (
            self.dtype is not None and self.shape is not None and all(isinstance(s, int) for s in self.shape)
        )

    @property
    def is_real(self) -> bool:
        """Whether the dtype is known and not complex."""
        return self.dtype is not None and not self.dtype.is_complex

    @property
    def is_differentiable(self) -> bool:
        """Whether values of this type can carry a derivative; true where the dtype is not known."""
        return self.dtype is None or self.dtype.is_floating_point or self.dtype.is_complex

    def same_sizes(self, other: 'TensorType') -> bool:
        """Whether both shapes are known to be equal (two unknown sizes are not)."""
        return self.shape is not None and self.shape == other.shape and None not in self.shape

    @classmethod
    def of(cls, value: torch.Tensor) -> 'TensorType':
        """Return the type of a tensor."""
        return cls(tuple(value.shape), value.dtype, value.device)
