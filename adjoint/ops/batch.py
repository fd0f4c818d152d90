"""What rules of batches are written with: an operand for every example, and axes that line up."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Creation
from adjoint.ops.linear import Linear, sum_to_like, to_dtype
from adjoint.ops.reduction import sum_
from adjoint.ops.shape import flatten, reshape_like

__all__ = [
    'Align', 'Example', 'Numbers', 'SplitLike', 'Spread', 'align', 'common_dtype', 'example', 'numbers',
    'split_like', 'spread',
]  # fmt: skip


class Spread(Linear):
    """``a`` repeated along a new axis at ``dim``, as many times as ``like`` has entries along that axis.

    No memory is taken; the adjoint is the sum along the axis.
    """

    moves = True
    axes = ('dim',)

    def __call__(self, a: Operand, like: Operand, dim: int = 0) -> Node:
        """Build the node; ``dim`` counts from the front."""
        return Node([as_node(a, self.name), as_node(like, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        dim: int = node.attrs['dim']
        return a.unsqueeze(dim).expand(*a.shape[:dim], like.shape[dim], *a.shape[dim:])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        a, like = input_types
        dim: int = node.attrs['dim']
        if a.shape is None:
            return None
        size = None if like.shape is None else like.shape[dim]
        return a._replace(shape=(*a.shape[:dim], size, *a.shape[dim:]))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return sum_(ct, node.attrs['dim']), None


class Align(Linear):
    """``a``, a batch, as an operand of an op on entries: with axes of size 1 behind its first.

    As many as make its examples have the axes of the others, which is known only when it runs.
    ``attrs['batches']`` tells which of the operands are batches. Examples without axes are taken to the
    dtype that they have together with the others, as they would not decide it by themselves; not with
    ``attrs['promotes']`` false.
    """

    moves = True

    def __call__(
        self, a: Operand, others: Sequence[Operand], batches: Sequence[bool], promotes: bool = True
    ) -> Node:
        """Build the node; ``batches`` is of the others, ``a`` is one."""
        operands = [as_node(x, self.name) for x in (a, *others)]
        return Node(operands, self, {'batches': (True, *batches), 'promotes': promotes})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a = input_values[0]
        ranks = [x.ndim - is_batch for x, is_batch in zip(input_values, node.attrs['batches'], strict=True)]
        if node.attrs['promotes'] and ranks[0] == 0:
            a = to_dtype(a, common_dtype([(x.dtype, r) for x, r in zip(input_values, ranks, strict=True)]))
        return a.reshape(a.shape[:1] + (1,) * (max(ranks) - ranks[0]) + a.shape[1:])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        if any(t.shape is None for t in input_types):
            return None
        return super().infer(node, input_types)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, *others = node.inputs
        return [sum_to_like(reshape_like(ct, a), a), *(None for _ in others)]


class SplitLike(Linear):
    """``a`` with its axis ``dim`` taken apart into that and the next one of ``like``: undoes ``flatten``."""

    moves = True
    axes = ('dim',)

    def __call__(self, a: Operand, like: Operand, dim: int = 0) -> Node:
        """Build the node; ``dim`` counts from the front."""
        return Node([as_node(a, self.name), as_node(like, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a, like), dim = input_values, node.attrs['dim']
        # Not -1 for a size: there may be no entries.
        return a.reshape(a.shape[:dim] + like.shape[dim : dim + 2] + a.shape[dim + 1 :])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a, like), dim = input_types, node.attrs['dim']
        if a.shape is None or like.shape is None:
            return None
        return a._replace(shape=(*a.shape[:dim], *like.shape[dim : dim + 2], *a.shape[dim + 1 :]))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        dim: int = node.attrs['dim']
        return flatten(ct, dim, dim + 1), None


class Example(Creation):
    """Zeros of the shape and dtype of one example of the batch ``a``, also where that has none."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.new_zeros(a.shape[1:])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        return a if a.shape is None else a._replace(shape=a.shape[1:])


class Numbers(Creation):
    """The numbers from 0 on, one for each entry of ``a`` along its first axis, int64."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.arange(a.shape[0], device=a.device)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        return TensorType((None if a.shape is None else a.shape[0],), torch.int64, a.device)


spread = Spread()
align = Align()
split_like = SplitLike()
example = Example()
numbers = Numbers()


def common_dtype(operands: Sequence[tuple[torch.dtype, int]]) -> torch.dtype:
    """Return the dtype that operands of these dtypes and numbers of axes are promoted to together."""
    with_axes = [torch.empty(1, dtype=dtype, device='meta') for dtype, rank in operands if rank]
    without = [torch.empty((), dtype=dtype, device='meta') for dtype, rank in operands if not rank]
    found: torch.Tensor | None = None
    for group in (with_axes, without):
        own: torch.Tensor | None = None
        for x in group:
            own = x if own is None else x.to(torch.promote_types(own.dtype, x.dtype))
        if found is None or own is None:
            found = own if found is None else found
        else:
            found = found.to(torch.result_type(found, own))
    assert found is not None  # noqa: S101 an op has operands
    return found.dtype
