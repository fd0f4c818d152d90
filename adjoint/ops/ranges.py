"""Tensors of given sizes: filled, counted up, the identity, the positions of triangles."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Number, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Creation

__all__ = [
    'Arange', 'Eye', 'Full', 'FullLike', 'Linspace', 'Logspace', 'TriangleIndices', 'arange', 'eye', 'full',
    'full_like', 'linspace', 'logspace', 'triangle_indices',
]  # fmt: skip


class _Made(Creation):
    """Base of the ops without operands: attrs say what is made."""

    def _node(self, dtype: torch.dtype | None, device: torch.device | str | None, attrs: Any) -> Node:
        place = None if device is None else torch.device(device)
        return Node([], self, {**attrs, 'dtype': dtype, 'device': place})

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Infer as any op; the device is the one that is made on."""
        inferred = super().infer(node, input_types)
        device = node.attrs['device'] or torch.get_default_device()
        return inferred and TensorType(inferred.shape, inferred.dtype, device)


class Full(_Made):
    """A tensor of a given shape with one number everywhere."""

    def __call__(
        self,
        size: Sequence[int],
        fill_value: Number,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        size : sequence of int
            The shape.
        fill_value : number
            Every entry.
        dtype : torch.dtype, optional
            That of the number by default.
        device : torch.device or str, optional
            torch's default device by default.
        """
        return self._node(dtype, device, {'size': tuple(size), 'fill_value': fill_value})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.full(**node.attrs)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        sizes: tuple[int, ...] = node.attrs['size']
        dtype = node.attrs['dtype'] or torch.full((), node.attrs['fill_value']).dtype
        return TensorType(sizes, dtype, node.attrs['device'] or torch.get_default_device())


class Arange(_Made):
    """The numbers from ``start`` to ``end``, which is left out, in steps."""

    def __call__(
        self,
        start: Number,
        end: Number,
        step: Number = 1,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        start, end : number
            Where it begins, and what it does not reach.
        step : number
            From one entry to the next.
        dtype : torch.dtype, optional
            int64 of integers and torch's default dtype otherwise, by default.
        device : torch.device or str, optional
            torch's default device by default.
        """
        return self._node(dtype, device, {'start': start, 'end': end, 'step': step})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        start, end, step = (node.attrs[name] for name in ('start', 'end', 'step'))
        return torch.arange(start, end, step, dtype=node.attrs['dtype'], device=node.attrs['device'])


class Linspace(_Made):
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both of them included."""

    def __call__(
        self,
        start: Number,
        end: Number,
        steps: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Node:
        return self._node(dtype, device, {'start': start, 'end': end, 'steps': steps})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.linspace(**node.attrs)


class Logspace(_Made):
    """``base`` to the power of ``steps`` evenly spaced numbers from ``start`` to ``end``."""

    def __call__(
        self,
        start: Number,
        end: Number,
        steps: int,
        base: float = 10.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Node:
        return self._node(dtype, device, {'start': start, 'end': end, 'steps': steps, 'base': base})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.logspace(**node.attrs)


class Eye(_Made):
    """The identity matrix, or ``n`` rows and ``m`` columns with ones on the diagonal."""

    def __call__(
        self,
        n: int,
        m: int | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Node:
        return self._node(dtype, device, {'n': n, 'm': n if m is None else m})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.eye(**node.attrs)


class TriangleIndices(_Made):
    """The rows and the columns of the entries of a triangle of a matrix, as two rows."""

    def __call__(
        self,
        row: int,
        col: int,
        offset: int = 0,
        *,
        upper: bool = False,
        dtype: torch.dtype | None = torch.int64,
        device: torch.device | str | None = None,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        row, col : int
            The sizes of the matrix.
        offset : int
            Of the diagonal that bounds the triangle, to the right of the main one.
        upper : bool
            Whether it is the triangle above the diagonal, and not the one below.
        dtype : torch.dtype
            Of the positions.
        device : torch.device or str, optional
            torch's default device by default.
        """
        attrs = {'row': row, 'col': col, 'offset': offset, 'upper': bool(upper)}
        return self._node(dtype, device, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        attrs = dict(node.attrs)
        make = torch.triu_indices if attrs.pop('upper') else torch.tril_indices
        return make(**attrs)


class FullLike(Creation):
    """A tensor like ``a`` with one number everywhere, in the dtype of ``a`` or another."""

    axes = ()

    def __call__(self, a: Operand, fill_value: Number, *, dtype: torch.dtype | None = None) -> Node:
        return Node([as_node(a, self.name)], self, {'fill_value': fill_value, 'dtype': dtype})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.full_like(a, node.attrs['fill_value'], dtype=node.attrs['dtype'])


full = Full()
arange = Arange()
linspace = Linspace()
logspace = Logspace()
eye = Eye()
triangle_indices = TriangleIndices()
full_like = FullLike()
