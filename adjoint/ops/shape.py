"""Shapes: views and copies that rearrange entries."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear, sizes_of, sum_to_like, to_dtype

__all__ = [
    'Cat', 'CatPart', 'ExpandAs3d', 'Flatten', 'Flip', 'Permute', 'Reshape', 'ReshapeLike', 'Squeeze',
    'Transpose', 'Tril', 'Triu', 'Unsqueeze', 'cat', 'cat_part', 'expand_as_3d', 'flatten', 'flip',
    'permute', 'reshape', 'reshape_like', 'squeeze', 'stack', 'transpose', 'tril', 'triu', 'unsqueeze',
]  # fmt: skip


class _Reshaping(Linear):
    """Base of the ops that keep the entries and their order: the adjoint reshapes back."""

    moves = True

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (reshape_like(ct, a),)


class Reshape(_Reshaping):
    """``a`` in another shape with as many entries; one size may be ``-1``."""

    def __call__(self, a: Operand, *shape: int | Sequence[int]) -> Node:
        return Node([as_node(a, self.name)], self, {'shape': sizes_of(shape)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.reshape(node.attrs['shape'])

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (a,) = input_types
        shape = node.attrs['shape']
        is_open = a.shape is None or None in a.shape
        if is_open and not any(size == -1 for size in shape):
            return TensorType(shape, a.dtype, a.device)
        return super().infer(node, input_types)


class ReshapeLike(Linear):
    """``a`` in the shape of ``like``; where both are known to be equal, ``a`` itself."""

    axes = ()
    moves = True

    def __call__(self, a: Operand, like: Operand) -> Node:
        a, like = as_node(a, self.name), as_node(like, self.name)
        if a.type is not None and like.type is not None and a.type.same_sizes(like.type):
            return a
        return Node([a, like], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return a.reshape(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return reshape_like(ct, a), None


class Flatten(_Reshaping):
    """The axes from ``start_dim`` to ``end_dim`` as one."""

    def __call__(self, a: Operand, start_dim: int = 0, end_dim: int = -1) -> Node:
        return Node([as_node(a, self.name)], self, {'start_dim': start_dim, 'end_dim': end_dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return torch.flatten(a, node.attrs['start_dim'], node.attrs['end_dim'])


class Squeeze(_Reshaping):
    """``a`` without its axes of size 1: all of them, or those of ``dim`` that have it."""

    def __call__(self, a: Operand, dim: int | Sequence[int] | None = None) -> Node:
        dims = tuple(dim) if isinstance(dim, Sequence) else dim
        return Node([as_node(a, self.name)], self, {'dim': dims})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        dim = node.attrs['dim']
        return a.squeeze() if dim is None else a.squeeze(dim)


class Unsqueeze(_Reshaping):
    """``a`` with a new axis of size 1 at ``dim``."""

    def __call__(self, a: Operand, dim: int) -> Node:
        return Node([as_node(a, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.unsqueeze(node.attrs['dim'])


class ExpandAs3d(Linear):
    """``a`` with an axis of size 1 put in at position 1, broadcast to the shape of ``b``.

    The adjoint sums back to the shape of ``a``; nothing flows to ``b``.
    """

    moves = True

    name = 'expand_as_3d'

    def __call__(self, a: Operand, b: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return a.unsqueeze(1).expand(b.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return reshape_like(sum_to_like(ct, unsqueeze(a, 1)), a), None


class Transpose(Linear):
    """``a`` with two axes exchanged."""

    axes = ('dim0', 'dim1')
    moves = True

    def __call__(self, a: Operand, dim0: int, dim1: int) -> Node:
        return Node([as_node(a, self.name)], self, {'dim0': dim0, 'dim1': dim1})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.transpose(node.attrs['dim0'], node.attrs['dim1'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (transpose(ct, node.attrs['dim0'], node.attrs['dim1']),)


class Permute(Linear):
    """``a`` with its axes in the order ``dims``, all of them given."""

    moves = True

    def __call__(self, a: Operand, *dims: int | Sequence[int]) -> Node:
        return Node([as_node(a, self.name)], self, {'dims': sizes_of(dims)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.permute(node.attrs['dims'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        dims: tuple[int, ...] = node.attrs['dims']
        places = [d % len(dims) for d in dims]
        return (permute(ct, tuple(places.index(i) for i in range(len(dims)))),)


class Flip(Linear):
    """``a`` with the order of its entries reversed along ``dims``."""

    axes = ('dims',)
    moves = True

    def __call__(self, a: Operand, *dims: int | Sequence[int]) -> Node:
        return Node([as_node(a, self.name)], self, {'dims': sizes_of(dims)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.flip(node.attrs['dims'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (flip(ct, node.attrs['dims']),)


class _Triangle(Linear):
    """Base of ``tril`` and ``triu``, which are their own adjoints."""

    fills = True
    axes = ()
    moves = True
    drops = True

    def __call__(self, a: Operand, diagonal: int = 0) -> Node:
        return Node([as_node(a, self.name)], self, {'diagonal': diagonal})

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (Node([ct], self, node.attrs),)


class Tril(_Triangle):
    """The lower triangle of the last two axes, zero above the given diagonal."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.tril(node.attrs['diagonal'])


class Triu(_Triangle):
    """The upper triangle of the last two axes, zero below the given diagonal."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.triu(node.attrs['diagonal'])


class Cat(Linear):
    """Tensors joined along an existing axis."""

    axes = ('dim',)
    moves = True

    linear_in = None

    def __call__(self, tensors: Sequence[Operand], dim: int = 0) -> Node:
        if not isinstance(tensors, (list, tuple)) or not tensors:
            msg = f'{self.name} takes a non-empty list or tuple of operands, and got {tensors!r}'
            raise ShapeError(msg)
        return Node([as_node(a, self.name) for a in tensors], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(input_values, node.attrs['dim'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return [cat_part(ct, node, i) for i in range(len(node.inputs))]


class CatPart(Linear):
    """The part of ``a`` that lies where operand ``position`` lies in a concatenation."""

    axes = ('dim',)
    moves = True

    def __call__(self, a: Node, y: Node, position: int) -> Node:
        """Build the node: ``a`` has the shape of the concatenation ``y``."""
        return Node([a, *y.inputs], self, {'dim': y.attrs['dim'], 'position': position})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, parts = input_values[0], input_values[1:]
        dim: int = node.attrs['dim']
        position: int = node.attrs['position']
        start = sum(p.shape[dim] for p in parts[:position])
        part = a.narrow(dim, start, parts[position].shape[dim])
        return to_dtype(part, parts[position].dtype)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Return the type of that operand, which is known also where sizes of the whole are not."""
        position: int = node.attrs['position']
        return input_types[1 + position]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, *parts = node.inputs
        padded: list[Any] = [zeros_like(p) for p in parts]
        padded[node.attrs['position']] = ct
        return [cat(padded, node.attrs['dim']), *(None for _ in parts)]


reshape = Reshape()
reshape_like = ReshapeLike()
flatten = Flatten()
squeeze = Squeeze()
unsqueeze = Unsqueeze()
expand_as_3d = ExpandAs3d()
transpose = Transpose()
permute = Permute()
flip = Flip()
tril = Tril()
triu = Triu()
cat = Cat()
cat_part = CatPart()


def stack(tensors: Sequence[Operand], dim: int = 0) -> Node:
    """Return tensors of one shape joined along a new axis at ``dim``."""
    return cat([unsqueeze(as_node(a, 'stack'), dim) for a in tensors], dim)
