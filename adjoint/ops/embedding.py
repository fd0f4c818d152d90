"""Embedding: rows of a table by their numbers, one by one or in bags."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.kink import tie
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Step
from adjoint.ops.index import gather, getitem, scatter_add
from adjoint.ops.linear import Linear
from adjoint.ops.reduction import sum_
from adjoint.ops.select import where
from adjoint.ops.shape import unsqueeze
from adjoint.ops.step import gt, ne
from adjoint.ops.ties import ties_broken

__all__ = [
    'BagIndex', 'Embedding', 'EmbeddingBag', 'Frequency', 'Unembedding', 'bag_index', 'embedding',
    'embedding_bag', 'frequency', 'unembedding',
]  # fmt: skip


class Frequency(Step):
    """How often each entry of ``indices`` occurs in it, int64."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (indices,) = input_values
        _, places, counts = torch.ops.aten._unique2(indices, True, True, True)  # noqa: SLF001 an op of ATen
        return counts[places]

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        (indices,) = input_types
        return TensorType(indices.shape, torch.int64, indices.device)


class Embedding(Linear):
    """The rows of ``weight`` at ``indices``, as ``torch.nn.functional.embedding``.

    Notes
    -----
    As in torch, nothing flows back to the row ``padding_idx``, though its value is used; with
    ``scale_grad_by_freq`` cotangents are divided by how often a row is used. Both concern the first
    cotangent only: the map itself is linear without them.
    """

    def __call__(
        self,
        weight: Operand,
        indices: Operand,
        padding_idx: int = -1,
        scale_grad_by_freq: bool = False,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        weight : Node or torch.Tensor
            ``(rows, width)``.
        indices : Node or torch.Tensor
            Integers of any shape.
        padding_idx : int
            A row that nothing flows back to; -1 for none.
        scale_grad_by_freq : bool
            Whether cotangents are divided by the number of uses of their row.
        """
        attrs = {'padding_idx': padding_idx, 'scale_grad_by_freq': scale_grad_by_freq}
        return Node([as_node(weight, self.name), as_node(indices, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        weight, indices = input_values
        return torch.embedding(weight, indices)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        weight, indices = node.inputs
        return Node([ct, indices, weight], unembedding, node.attrs), None


class Unembedding(Linear):
    """The rows of ``a`` added up by their numbers ``indices``: the adjoint of ``embedding``.

    In the shape of ``like``, or with ``attrs['num_weights']`` rows; rows for ``padding_idx`` are left out.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, indices, *like = input_values
        rows = like[0].shape[0] if like else node.attrs['num_weights']
        if node.attrs['scale_grad_by_freq']:
            a = a / frequency.compute(node, [indices]).unsqueeze(-1)
        return torch.ops.aten.embedding_dense_backward(a, indices, rows, node.attrs['padding_idx'], False)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, indices, *like = node.inputs
        padding_idx: int = node.attrs['padding_idx']
        rows = embedding(ct, indices)
        if padding_idx >= 0:
            rows = where(unsqueeze(ne(indices, padding_idx), -1), rows, 0.0)
        if node.attrs['scale_grad_by_freq']:
            rows = rows / unsqueeze(frequency(indices), -1)
        return [rows, None, *(None for _ in like)]


frequency = Frequency()
embedding = Embedding()
unembedding = Unembedding()


# -- bags -----------------------------------------------------------------------------------------

_SUM, _MEAN, _MAX = 0, 1, 2
_KINDS = ('bag', 'size', 'largest')


def _bags(indices: torch.Tensor, offsets: torch.Tensor, attrs: dict[str, Any]) -> torch.Tensor:
    """Return the bag of each index."""
    ends = (
        offsets[1:]
        if attrs['include_last_offset']
        else torch.cat([offsets[1:], offsets.new_tensor([indices.numel()])])
    )
    starts = torch.arange(indices.numel(), device=indices.device, dtype=ends.dtype)
    return torch.searchsorted(ends.contiguous(), starts, right=True)


class BagIndex(Step):
    """What an embedding of bags is put together by; ``attrs['kind']`` tells which.

    ``'bag'``: the bag of each index. ``'size'``: for each index, how many of its bag count. ``'largest'``:
    for each bag and column the number of the row with the largest entry; -1 for an empty bag.
    """

    vectorises = False

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        weight, indices, offsets = input_values
        kind, padding_idx = node.attrs['kind'], node.attrs['padding_idx']
        bags = _bags(indices, offsets, node.attrs)
        if kind == 'bag':
            return bags
        if kind == 'size':
            counted = (indices != padding_idx).to(bags.dtype)
            count = offsets.numel() - int(node.attrs['include_last_offset'])
            return bags.new_zeros(count).index_add(0, bags, counted)[bags]
        include = node.attrs['include_last_offset']
        weight, indices, offsets = (x.contiguous() for x in input_values)
        _, _, sizes, largest = torch.ops.aten._embedding_bag(  # noqa: SLF001 an op of ATen
            weight, indices, offsets, False, _MAX, False, None, include, padding_idx
        )
        return torch.where((sizes > 0).unsqueeze(-1), largest, -1)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        _, indices, _ = input_types
        if node.attrs['kind'] == 'largest':
            return None
        return TensorType(indices.shape, torch.int64, indices.device)


def _is_tied(
    node: Node, weight: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor, *_: torch.Tensor
) -> torch.Tensor:
    """Return which largest entries of bags stand in several rows."""
    if node.attrs['mode'] != _MAX:
        return torch.zeros((), dtype=torch.bool)
    largest = EmbeddingBag.index_of(node, 'largest')
    rows = torch.arange(len(weight), device=weight.device).unsqueeze(-1)
    last, first = (
        largest.op.compute(largest, [ordered, indices, offsets]) for ordered in ties_broken(weight, rows)
    )
    return last != first


class EmbeddingBag(Op):
    """The sums, means or largest entries of bags of rows of ``weight``.

    Notes
    -----
    Bags are stretches of ``indices`` that start at ``offsets``. Rows for ``padding_idx`` count nothing; an
    empty bag is 0. The largest entry has the cotangent to itself, the first one of ties.
    """

    kinks = (
        tie('the largest entry of a bag stands in several rows', 'the first of them takes it', _is_tied),
    )

    def __call__(
        self,
        weight: Operand,
        indices: Operand,
        offsets: Operand,
        mode: int = 0,
        per_sample_weights: Operand | None = None,
        scale_grad_by_freq: bool = False,
        include_last_offset: bool = False,
        padding_idx: int = -1,
    ) -> Node:
        """Build the node.

        Parameters
        ----------
        weight : Node or torch.Tensor
            ``(rows, width)``.
        indices : Node or torch.Tensor
            Integers, one axis.
        offsets : Node or torch.Tensor
            Where bags start, one axis.
        mode : int
            0 for sums, 1 for means, 2 for the largest entries.
        per_sample_weights : Node or torch.Tensor, optional
            A factor for each index, for sums.
        scale_grad_by_freq : bool
            Whether cotangents are divided by the number of uses of their row.
        include_last_offset : bool
            Whether the last offset is the end of the last bag.
        padding_idx : int
            A row that counts nothing; -1 for none.
        """
        operands = [weight, indices, offsets, *(() if per_sample_weights is None else (per_sample_weights,))]
        attrs = {
            'mode': mode,
            'scale_grad_by_freq': scale_grad_by_freq,
            'include_last_offset': include_last_offset,
            'padding_idx': padding_idx,
        }
        return Node([as_node(x, self.name) for x in operands], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        # The kernel takes every tensor for contiguous.
        weight, indices, offsets, *factors = (x.contiguous() for x in input_values)
        attrs = node.attrs
        found, _, _, _ = torch.ops.aten._embedding_bag(  # noqa: SLF001 an op of ATen
            weight,
            indices,
            offsets,
            False,
            attrs['mode'],
            False,
            factors[0] if factors else None,
            attrs['include_last_offset'],
            attrs['padding_idx'],
        )
        return found

    @staticmethod
    def index_of(node: Node, kind: str) -> Node:
        """Return what the bags of a node are put together by: see :class:`BagIndex`."""
        attrs = {name: node.attrs[name] for name in ('include_last_offset', 'padding_idx')}
        return Node(node.inputs[:3], bag_index, attrs | {'kind': kind})

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        weight, indices, _, *factors = node.inputs
        mode, padding_idx = node.attrs['mode'], node.attrs['padding_idx']
        if mode == _MAX:
            largest = self.index_of(node, 'largest')
            has_one = ne(largest, -1)
            ct = where(has_one, output_grad, 0.0)
            return [scatter_add(zeros_like(weight), 0, where(has_one, largest, 0), ct), None, None]
        rows = getitem(output_grad, self.index_of(node, 'bag'))
        if padding_idx >= 0:
            rows = where(unsqueeze(ne(indices, padding_idx), -1), rows, 0.0)
        if mode == _MEAN:
            size = self.index_of(node, 'size')
            rows = rows / unsqueeze(where(gt(size, 0), size, 1), -1)
        by_factors: list[Node | None] = []
        if factors:
            by_factors = [sum_(rows * embedding(weight, indices), -1)]
            rows = rows * unsqueeze(factors[0], -1)
        attrs = {'padding_idx': -1, 'scale_grad_by_freq': node.attrs['scale_grad_by_freq']}
        return [Node([rows, indices, weight], unembedding, attrs), None, None, *by_factors]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        weight, indices, offsets, *factors = node.inputs
        t = input_tangents[0]
        if node.attrs['mode'] == _MAX:
            if t is None:
                return None
            largest = self.index_of(node, 'largest')
            has_one = ne(largest, -1)
            return where(has_one, gather(t, 0, where(has_one, largest, 0)), 0.0)
        total = None if t is None else Node([t, indices, offsets, *factors], self, node.attrs)
        if factors and input_tangents[3] is not None:
            term = Node([weight, indices, offsets, input_tangents[3]], self, node.attrs)
            total = term if total is None else total + term
        return total


bag_index = BagIndex()
embedding_bag = EmbeddingBag()
