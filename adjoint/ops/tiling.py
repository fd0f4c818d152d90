"""Copies side by side, rotations, and blocks."""

from collections.abc import Sequence

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Step
from adjoint.ops.linear import Linear, sizes_of, to_dtype

__all__ = [
    'BlockDiag', 'BlockPart', 'Repeat', 'RepeatedIndex', 'Roll', 'Rot90', 'Unrepeat', 'block_diag',
    'block_part', 'repeat', 'repeated_index', 'roll', 'rot90', 'unrepeat',
]  # fmt: skip


class Repeat(Linear):
    """``a`` as often along each axis as ``repeats`` says; missing leading axes are put in."""

    moves = True

    def __call__(self, a: Operand, *repeats: int | Sequence[int]) -> Node:
        return Node([as_node(a, self.name)], self, {'repeats': sizes_of(repeats)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.repeat(node.attrs['repeats'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (Node([ct, a], unrepeat, node.attrs),)


class Unrepeat(Linear):
    """The copies in ``a`` summed to the shape of ``like``: the adjoint of ``repeat``."""

    moves = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        repeats: tuple[int, ...] = node.attrs['repeats']
        sizes = (*[1] * (len(repeats) - like.ndim), *like.shape)
        split = a.reshape([n for pair in zip(repeats, sizes, strict=True) for n in pair])
        # No axes would be all of them.
        summed = split.sum(tuple(range(0, split.ndim, 2))) if repeats else split
        return summed.reshape(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return Node([ct], repeat, node.attrs), None


class RepeatedIndex(Step):
    """The position ``i`` as often as entry ``i`` of ``repeats`` says: what ``repeat_interleave`` takes."""

    vectorises = False

    def __call__(self, repeats: Operand, *, output_size: int | None = None) -> Node:
        return Node([as_node(repeats, self.name)], self, {'output_size': output_size})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (repeats,) = input_values
        return torch.repeat_interleave(repeats, output_size=node.attrs['output_size'])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (repeats,) = input_types
        return TensorType((node.attrs['output_size'],), repeats.dtype, repeats.device)


class Roll(Linear):
    """The entries moved along axes by ``shifts``, those that leave coming in again at the other end.

    Without axes, the flattened tensor is rolled. ``back`` moves the other way.
    """

    moves = True

    def __call__(
        self, a: Operand, shifts: int | Sequence[int], dims: int | Sequence[int] = (), *, back: bool = False
    ) -> Node:
        attrs = {'shifts': sizes_of((shifts,)), 'dims': sizes_of((dims,)), 'back': bool(back)}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        if a.ndim == 0:
            return a
        shifts = tuple(-s for s in node.attrs['shifts']) if node.attrs['back'] else node.attrs['shifts']
        return torch.roll(a, shifts, node.attrs['dims'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], self, {**node.attrs, 'back': not node.attrs['back']}),)


class Rot90(Linear):
    """``a`` turned ``k`` times by a right angle in the plane of two axes, from the first to the second."""

    axes = ('dims',)
    moves = True

    def __call__(self, a: Operand, k: int = 1, dims: Sequence[int] = (0, 1)) -> Node:
        return Node([as_node(a, self.name)], self, {'k': k, 'dims': tuple(dims)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.rot90(a, node.attrs['k'], node.attrs['dims'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (rot90(ct, -node.attrs['k'], node.attrs['dims']),)


class BlockDiag(Linear):
    """Zeros with the operands, as matrices, along the diagonal."""

    moves = True
    fills = True
    linear_in = None

    def __call__(self, *tensors: Operand | Sequence[Operand]) -> Node:
        first = tensors[0] if len(tensors) == 1 else None
        given = first if isinstance(first, (list, tuple)) else tensors
        return Node([as_node(a, self.name) for a in given], self)  # pyright: ignore[reportArgumentType] either form is operands

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.block_diag(*input_values)  # pyright: ignore[reportUnknownVariableType] torch does not say

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return [Node([ct, *node.inputs], block_part, {'position': i}) for i in range(len(node.inputs))]


class BlockPart(Linear):
    """The block of ``a`` where operand ``position`` lies in a block-diagonal matrix."""

    moves = True
    drops = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, parts = input_values[0], input_values[1:]
        shapes = [(1,) * (2 - p.ndim) + tuple(p.shape) for p in parts]  # as matrices
        position: int = node.attrs['position']
        before, (height, width) = shapes[:position], shapes[position]
        top, left = (sum(shape[axis] for shape in before) for axis in (0, 1))
        block = a[top : top + height, left : left + width]
        return to_dtype(block, parts[position].dtype).reshape(parts[position].shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        position: int = node.attrs['position']
        return input_types[1 + position]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, *parts = node.inputs
        blocks: list[Node] = [zeros_like(p) for p in parts]
        blocks[node.attrs['position']] = ct
        return [block_diag(blocks), *(None for _ in parts)]


repeat = Repeat()
unrepeat = Unrepeat()
repeated_index = RepeatedIndex()
roll = Roll()
rot90 = Rot90()
block_diag = BlockDiag()
block_part = BlockPart()
