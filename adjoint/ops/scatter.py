"""Writing at positions: scatter, put, fill."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.node import Node, Number, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.index import filled, gather, getitem, index_select, pad_to_like, template_of
from adjoint.ops.linear import Linear, expand_like, sum_to_like, to_dtype
from adjoint.ops.logic import logical_and, logical_not
from adjoint.ops.masks import any_like
from adjoint.ops.select import where
from adjoint.ops.shape import reshape_like

__all__ = [
    'IndexCopy', 'IndexFill', 'IndexPut', 'MaskedFill', 'MaskedPart', 'MaskedPut', 'MaskedScatter',
    'MaskedSelect', 'Put', 'Scatter', 'ScatterValue', 'Take', 'index_copy', 'index_fill', 'index_put',
    'masked_fill', 'masked_part', 'masked_put', 'masked_scatter', 'masked_select', 'put', 'scatter',
    'scatter_value', 'take',
]  # fmt: skip

_NUMBERS = (bool, int, float, complex)


class _Fill(Op):
    """Base of the ops that put the number ``attrs['value']`` at some entries of ``a``.

    Where it stands, nothing flows; elsewhere, ``a`` does.
    """

    drops = True
    fills = True

    def _emptied(self, node: Node, t: Node) -> Node:
        return Node([t, *node.inputs[1:]], self, {**node.attrs, 'value': 0})

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, *places = node.inputs
        return [sum_to_like(self._emptied(node, output_grad), a), *(None for _ in places)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        t = input_tangents[0]
        return None if t is None else self._emptied(node, t)

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return where ``a`` is kept, as numbers."""
        a, _ = node.inputs
        kept = self._emptied(node, ones_like(a) if mask is None else expand_like(mask, a))
        return [kept, None]

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return where ``a`` is kept, as numbers."""
        a, _ = node.inputs
        return self._emptied(node, expand_like(masks[0], a) if isinstance(masks[0], Node) else ones_like(a))


class MaskedFill(_Fill):
    """``a`` with a number where ``mask`` holds; the two broadcast."""

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return where ``a`` is kept."""
        a, overwritten = node.inputs
        kept = logical_not(overwritten)
        return [any_like(kept if mask is None else logical_and(kept, mask), a), None]

    def __call__(self, a: Operand, mask: Operand, value: Operand) -> Node:
        """Build the node; of a ``value`` that is a tensor without axes it is a choice between the two."""
        if not isinstance(value, _NUMBERS):
            return where(mask, value, a)
        return Node([as_node(a, self.name), as_node(mask, self.name)], self, {'value': value})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, mask = input_values
        return torch.masked_fill(a, mask, node.attrs['value'])


class IndexFill(_Fill):
    """``a`` with a number in the slices at the positions ``index`` along an axis."""

    def __call__(self, a: Operand, dim: int, index: Operand, value: Operand) -> Node:
        """Build the node; of a ``value`` that is a tensor without axes it is a choice between the two."""
        a, index = as_node(a, self.name), as_node(index, self.name)
        if isinstance(value, _NUMBERS):
            return Node([a, index], self, {'dim': dim, 'value': value})
        return where(Node([zeros_like(a), index], self, {'dim': dim, 'value': 1}), value, a)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index = input_values
        return torch.index_fill(a, node.attrs['dim'], index, node.attrs['value'])


class ScatterValue(_Fill):
    """``a`` with a number at ``index`` along an axis, entry by entry."""

    axes = ('dim',)

    def __call__(self, a: Operand, dim: int, index: Operand, value: Number) -> Node:
        attrs = {'dim': dim, 'value': value}
        return Node([as_node(a, self.name), as_node(index, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index = input_values
        return torch.scatter(a, node.attrs['dim'], index, node.attrs['value'])


class Scatter(Linear):
    """``a`` with the entries of ``source`` put at ``index`` along an axis.

    Notes
    -----
    Which of several entries with one place stays is not guaranteed; each gets the cotangent of the place,
    as in torch.
    """

    moves = True
    drops = True
    axes = ('dim',)
    linear_in = (0, 2)

    def __call__(self, a: Operand, dim: int, index: Operand, source: Operand) -> Node:
        """Build the node; of a ``source`` that is a number, :class:`ScatterValue`."""
        if isinstance(source, _NUMBERS):
            return scatter_value(a, dim, index, source)
        operands = [as_node(x, self.name) for x in (a, index, source)]
        return Node(operands, self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index, source = input_values
        return torch.scatter(a, node.attrs['dim'], index, source)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (_, index, source), dim = node.inputs, node.attrs['dim']
        return scatter_value(ct, dim, index, 0), None, pad_to_like(gather(ct, dim, index), source)


class IndexPut(Linear):
    """``a`` with ``values`` at an index, as ``a[index] = values`` or, to accumulate, ``a[index] += values``.

    Notes
    -----
    Accumulated values add up where the index names an entry several times. Otherwise it is not guaranteed
    which of them stays; each gets the cotangent of the entry, as in torch.
    """

    moves = True
    drops = True
    linear_in = (0, 1)

    def __call__(self, a: Operand, indices: object, values: Operand, accumulate: bool = False) -> Node:
        """Build the node.

        Parameters
        ----------
        a : Node, torch.Tensor or number
            Any shape.
        indices : object
            Everything that torch takes as an index; a list or tuple is one entry an axis.
        values : Node, torch.Tensor or number
            Broadcast to the shape of ``a[indices]``.
        accumulate : bool
            Whether the values are added.
        """
        index = tuple(indices) if isinstance(indices, list) else indices  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] of anything
        template, tensors = template_of(index)  # pyright: ignore[reportUnknownArgumentType] same
        attrs = {'index': template, 'accumulate': bool(accumulate)}
        return Node([as_node(a, self.name), as_node(values, self.name), *tensors], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, values, *tensors = input_values
        index = filled(node.attrs['index'], tensors)
        values = to_dtype(values, a.dtype)
        if not node.attrs['accumulate']:
            result = a.clone()
            result[index] = values
            return result
        places = torch.arange(a.numel(), device=a.device).reshape(a.shape)[index]
        added = values.expand(places.shape).reshape(-1)
        return a.reshape(-1).index_add(0, places.reshape(-1), added).reshape(a.shape)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Return the type of ``a``, after a look at whether the operands fit."""
        return super().infer(node, input_types) or input_types[0]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, values, *tensors = node.inputs
        index: tuple[Any, ...] = node.attrs['index']
        kept = ct if node.attrs['accumulate'] else Node([ct, zeros_like(values), *tensors], self, node.attrs)
        taken = Node([ct, *tensors], getitem, {'index': index})
        return [kept, sum_to_like(taken, values), *(None for _ in tensors)]


class IndexCopy(Linear):
    """``a`` with the slices of ``source`` put at the positions ``index`` along an axis.

    Notes
    -----
    Which of several slices with one place stays is not guaranteed; each gets the cotangent of the place,
    as in torch.
    """

    moves = True
    drops = True
    linear_in = (0, 2)

    def __call__(self, a: Operand, dim: int, index: Operand, source: Operand) -> Node:
        operands = [as_node(x, self.name) for x in (a, index, source)]
        return Node(operands, self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index, source = input_values
        return torch.index_copy(a, node.attrs['dim'], index, source)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (_, index, source), dim = node.inputs, node.attrs['dim']
        return index_fill(ct, dim, index, 0), None, reshape_like(index_select(ct, dim, index), source)


class Take(Linear):
    """The entries of the flattened ``a`` at the positions ``index``, in the shape of ``index``."""

    moves = True
    drops = True

    def __call__(self, a: Operand, index: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(index, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index = input_values
        return torch.take(a, index)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, index = node.inputs
        return put(zeros_like(a), index, ct, accumulate=True), None


class Put(Linear):
    """``a`` with ``source`` put, or to accumulate added, at the positions ``index`` of the flattened ``a``.

    Notes
    -----
    Which of several values with one place stays is not guaranteed; each gets the cotangent of the place,
    as in torch.
    """

    moves = True
    drops = True
    linear_in = (0, 2)

    def __call__(self, a: Operand, index: Operand, source: Operand, accumulate: bool = False) -> Node:
        operands = [as_node(x, self.name) for x in (a, index, source)]
        return Node(operands, self, {'accumulate': bool(accumulate)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index, source = input_values
        return torch.put(a, index, source, accumulate=node.attrs['accumulate'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, index, source = node.inputs
        kept = ct if node.attrs['accumulate'] else put(ct, index, zeros_like(source))
        return kept, None, reshape_like(take(ct, index), source)


class MaskedSelect(Linear):
    """The entries of ``a`` where ``mask`` holds, as a vector; the two broadcast."""

    moves = True
    drops = True

    def __call__(self, a: Operand, mask: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(mask, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, mask = input_values
        return torch.masked_select(a, mask)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        a, _ = input_types
        return TensorType((None,), a.dtype, a.device)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, mask = node.inputs
        return Node([ct, a, mask], masked_put), None


class MaskedPut(Linear):
    """Zeros with the entries of a vector ``a`` where ``mask`` holds, summed to the shape of ``like``.

    The adjoint of :class:`MaskedSelect`.
    """

    moves = True
    fills = True
    vectorises = False

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like, mask = input_values
        zeros = torch.zeros_like(like, dtype=a.dtype) * torch.zeros_like(mask)
        return zeros.masked_scatter(mask, a).sum_to_size(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, _, mask = node.inputs
        return masked_select(ct, mask), None, None


class MaskedScatter(Linear):
    """``a`` with the leading entries of the flattened ``source`` where ``mask``, which broadcasts, holds."""

    moves = True
    drops = True
    vectorises = False

    linear_in = (0, 2)

    def __call__(self, a: Operand, mask: Operand, source: Operand) -> Node:
        return Node([as_node(x, self.name) for x in (a, mask, source)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, mask, source = input_values
        return torch.masked_scatter(a, mask, source)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, mask, source = node.inputs
        return sum_to_like(masked_fill(ct, mask, 0), a), None, Node([ct, source, mask], masked_part)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the op on the tangents, the first in the shape of the node."""
        s, _, t = input_tangents
        if s is None and t is None:
            return None
        _, mask, source = node.inputs
        return masked_scatter(
            zeros_like(node) if s is None else s, mask, zeros_like(source) if t is None else t
        )


class MaskedPart(Linear):
    """The entries of ``a`` where ``mask`` holds, then zeros, in the shape of ``like``.

    The adjoint of what :class:`MaskedScatter` does with its source.
    """

    moves = True
    drops = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like, mask = input_values
        places = mask.expand(a.shape).reshape(-1).cumsum(0) - 1
        kept = torch.where(mask, a, 0).reshape(-1)
        # What is not kept adds a zero to an entry that exists, or to none.
        places = places.clamp(0, max(like.numel() - 1, 0))
        if like.numel() == 0:
            return torch.zeros_like(like)
        zeros = torch.zeros(like.numel(), dtype=a.dtype, device=a.device)
        return zeros.index_add(0, places, kept).reshape(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _, mask = node.inputs
        return masked_scatter(zeros_like(a), mask, ct), None, None


masked_fill = MaskedFill()
index_fill = IndexFill()
scatter_value = ScatterValue()
scatter = Scatter()
index_put = IndexPut()
index_copy = IndexCopy()
take = Take()
put = Put()
masked_select = MaskedSelect()
masked_put = MaskedPut()
masked_scatter = MaskedScatter()
masked_part = MaskedPart()
