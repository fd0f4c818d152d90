"""Sparse tensors as values: what a run returns of a sparse derivative."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.index import getitem
from adjoint.ops.linear import Linear

__all__ = ['AsSparse', 'as_sparse', 'coo']


def coo(indices: torch.Tensor, values: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return a sparse tensor from the positions of its entries, in order, and their values."""
    return torch.sparse_coo_tensor(indices, values, tuple(shape), is_coalesced=True, check_invariants=False)


class AsSparse(Linear):
    """A sparse tensor (COO) with the values ``a`` at the positions ``indices``."""

    def __call__(self, a: Node, indices: torch.Tensor, shape: Sequence[int]) -> Node:
        """Build the node."""
        return Node([a], self, {'indices': indices, 'shape': tuple(shape)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return coo(node.attrs['indices'].to(a.device), a, node.attrs['shape'])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        return TensorType(node.attrs['shape'], a.dtype, a.device)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (getitem(ct, tuple(node.attrs['indices'])),)


as_sparse = AsSparse()
