"""What a run shows of every value: its layout, and whose memory it lies in."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch

from adjoint.core.node import Node

__all__ = ['Fact', 'Facts', 'is_dense', 'layout_of', 'shared']


class Fact(NamedTuple):
    """The layout of a value; it is the same in every run with the same signature.

    Parameters
    ----------
    shape, dtype, device, strides
        Of the tensor.
    owns : bool
        Whether the tensor fills its memory, each place once.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    strides: tuple[int, ...]
    owns: bool

    @property
    def is_contiguous(self) -> bool:
        """Whether the entries lie one after the other."""
        return self.owns and all(s >= t for s, t in zip(self.strides, self.strides[1:], strict=False))

    @property
    def entries(self) -> int:
        """The number of entries."""
        return torch.Size(self.shape).numel()

    @property
    def bytes(self) -> int:
        """The memory that the entries take."""
        return self.entries * self.dtype.itemsize


class Facts:
    """What one run shows; filled by the run, node by node.

    Attributes
    ----------
    layouts : dict of Node to Fact
        Of each value whose layout only depends on the signature: those whose types are known as numbers
        before the run. The size of others may depend on the data.
    shares : dict of Node to tuple of int
        Positions of the operands whose memory the value lies in, if any.
    """

    def __init__(self) -> None:
        self.layouts: dict[Node, Fact] = {}
        self.shares: dict[Node, tuple[int, ...]] = {}
        # Of the values that were seen; right as long as they are alive, as operands are.
        self._memory: dict[Node, set[int] | None] = {}

    def see(self, node: Node, value: Any, operands: Sequence[Any]) -> None:
        """Note what the run computed for a node."""
        seen = self._memory
        memory = seen[node] = _storages(value)
        if memory is None:
            self.shares[node] = tuple(range(len(operands)))
            return
        found: tuple[int, ...] = ()
        for i, x in enumerate(node.inputs):
            theirs = seen[x] if x in seen else _storages(operands[i])
            if theirs is None or not memory.isdisjoint(theirs):
                found = (*found, i)
        self.shares[node] = found
        known = node.type
        if known is not None and isinstance(value, torch.Tensor) and known.shape == value.shape:
            layout = layout_of(value)
            if known.dtype == layout.dtype:
                self.layouts[node] = layout


def shared(value: Any, operands: Sequence[Any]) -> tuple[int, ...]:
    """Return the positions of the operands whose memory a value lies in, or may lie in."""
    memory = _storages(value)
    if memory is None:
        return tuple(range(len(operands)))
    theirs = [_storages(x) for x in operands]
    return tuple(i for i, each in enumerate(theirs) if each is None or not memory.isdisjoint(each))


def layout_of(value: torch.Tensor) -> Fact:
    """Return the layout of a tensor with memory of its own or another's."""
    shape, strides = tuple(value.shape), value.stride()
    fills = value.untyped_storage().nbytes() == value.numel() * value.element_size()
    is_dense_ = 0 not in shape if value.is_contiguous() else is_dense(shape, strides)
    return Fact(shape, value.dtype, value.device, strides, fills and is_dense_)


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a tensor takes each of as many places as it has entries once, in whatever order."""
    if 0 in shape:
        return False
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def _storages(value: Any) -> set[int] | None:
    """Return the memory that a value lies in; ``None`` where that cannot be told."""
    parts = cast('tuple[Any, ...]', value) if isinstance(value, tuple) else (value,)
    try:
        return {x.untyped_storage()._cdata for x in parts if x is not None}  # noqa: SLF001 the identity of a storage
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
