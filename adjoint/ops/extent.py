"""Sizes as values."""

from collections.abc import Sequence

import torch

from adjoint.core.extent import Extent
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Creation

__all__ = ['SizeValue', 'size_value']


class SizeValue(Creation):
    """A named size, or arithmetic of named sizes, as a 0-d tensor."""

    def __call__(self, size: Extent, dtype: torch.dtype = torch.int64) -> Node:
        """Build the node."""
        return Node([], self, {'size': size, 'dtype': dtype}, '', TensorType((), dtype))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.tensor(node.attrs['size'], dtype=node.attrs['dtype'])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return TensorType((), node.attrs['dtype'])


size_value = SizeValue()
