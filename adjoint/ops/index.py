"""Indexing: slices and index tensors, gather and scatter, and their adjoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.extent import Extent
from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.composed import Composed
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear

__all__ = [
    'Crop', 'Gather', 'Getitem', 'IndexAdd', 'IndexSelect', 'Pad', 'ScatterAdd', 'Slot', 'Ungetitem',
    'Ungetitems', 'crop', 'filled', 'gather', 'getitem', 'index_add', 'index_select', 'pad_to_like',
    'scatter_add', 'template_of', 'ungetitem', 'ungetitems',
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of an index tensor in an index: the position of the tensor among the index operands."""

    position: int


def template_of(index: object) -> tuple[tuple[Any, ...], list[Node]]:
    """Split an index into a template without tensors and the index tensors as nodes."""
    parts = cast('tuple[object, ...]', index if isinstance(index, tuple) else (index,))
    template: list[Any] = []
    tensors: list[Node] = []
    for part in parts:
        if part is None or part is Ellipsis or isinstance(part, (int, slice, Extent)):
            if isinstance(part, slice):
                _check_slice(cast('slice[Any, Any, Any]', part))
            template.append(part)
        elif isinstance(part, (Node, torch.Tensor, list)):
            template.append(Slot(len(tensors)))
            tensors.append(as_node(torch.tensor(part) if isinstance(part, list) else part, 'getitem'))
        else:
            msg = (
                f'an index is made of ints, slices, None, ..., lists and integer or boolean tensors; '
                f'got {part!r} of type {type(part).__name__}'
            )
            raise TensorTypeError(msg)
    return tuple(template), tensors


def _check_slice(part: 'slice[Any, Any, Any]') -> None:
    for bound in (part.start, part.stop, part.step):
        if isinstance(bound, (Node, torch.Tensor)):
            msg = f'the bounds of a slice are ints, and got {bound!r}: index with a tensor of positions'
            raise TensorTypeError(msg)


def _ends_at_name(part: object) -> bool:
    """Whether a part of an index is a slice with a bound that only the run knows."""
    if not isinstance(part, slice):
        return False
    ends = cast('slice[Any, Any, Any]', part)
    return any(isinstance(bound, Extent) for bound in (ends.start, ends.stop, ends.step))


def filled(template: Sequence[Any], tensors: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    """Return a template as an index, with the tensors in their places."""
    return tuple(tensors[p.position] if isinstance(p, Slot) else p for p in template)


class Getitem(Linear):
    """``a[index]``, with everything that torch takes as an index; index tensors are operands."""

    moves = True
    drops = True

    def __call__(self, a: Operand, index: object) -> Node:
        template, tensors = template_of(index)
        return Node([as_node(a, self.name), *tensors], self, {'index': template})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, *tensors = input_values
        return a[filled(node.attrs['index'], tensors)]

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        template = node.attrs['index']
        if not any(map(_ends_at_name, template)):
            return super().infer(node, input_types)
        # Where such a slice is cut off is not known; an axis that it makes has no size when it is empty.
        whole, empty = (
            Node(node.inputs, self, {'index': tuple(part if _ends_at_name(p) else p for p in template)}).type
            for part in (slice(None), slice(0, 0))
        )
        if whole is None or empty is None or whole.shape is None or empty.shape is None:
            return whole
        sizes = (a if a == b else None for a, b in zip(whole.shape, empty.shape, strict=True))
        return TensorType(tuple(sizes), whole.dtype, whole.device)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, *tensors = node.inputs
        return [Node([ct, a, *tensors], ungetitem, node.attrs), *(None for _ in tensors)]


class Ungetitem(Linear):
    """Zeros of the shape of ``like`` with ``a`` added at ``index``: the adjoint of indexing.

    Entries that an index names several times add up.
    """

    fills = True
    moves = True

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like, *tensors = input_values
        index = filled(node.attrs['index'], tensors)
        if not tensors:
            # Laid out as what was indexed: what undoes the reshapes before it copies nothing.
            result = torch.zeros_like(like, dtype=a.dtype)
            result[index] = a
            return result
        result = torch.zeros_like(like, dtype=a.dtype, memory_format=torch.contiguous_format)
        # Positions of the entries, so that duplicates and any mix of indices add up.
        places = torch.arange(like.numel(), device=like.device).reshape(like.shape)[index]
        return result.view(-1).index_add(0, places.reshape(-1), a.reshape(-1)).view(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, _, *tensors = node.inputs
        return [Node([ct, *tensors], getitem, node.attrs), None, *(None for _ in tensors)]


class Ungetitems(Composed):
    """Zeros of the shape of the last operand, with each of the others added at its index.

    A sum of :class:`Ungetitem` as one op; ``attrs['indices']`` has no tensors, and no entry twice.
    """

    name = 'ungetitems'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        *parts, like = input_values
        result = torch.zeros_like(like, dtype=parts[0].dtype)
        for index, a in zip(node.attrs['indices'], parts, strict=True):
            # Added, and not put: a negative zero becomes one that is positive, as in the sum.
            result[index].add_(a)
        return result

    def written(self, node: Node) -> Sequence[Node]:
        *parts, like = node.inputs
        placed = [
            Node([a, like], ungetitem, {'index': index})
            for index, a in zip(node.attrs['indices'], parts, strict=True)
        ]
        total = placed[0]
        for each in placed[1:]:
            total = total + each
        return [total]


class Gather(Linear):
    """``a[..., index, ...]`` along an axis, entry by entry, as ``torch.gather``."""

    axes = ('dim',)
    moves = True
    drops = True

    def __call__(self, a: Operand, dim: int, index: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(index, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index = input_values
        return torch.gather(a, node.attrs['dim'], index)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, index = node.inputs
        return scatter_add(zeros_like(a), node.attrs['dim'], index, ct), None


class ScatterAdd(Linear):
    """``a`` with ``source`` added at ``index`` along an axis, as ``torch.Tensor.scatter_add``."""

    axes = ('dim',)
    moves = True

    linear_in = (0, 2)

    def __call__(self, a: Operand, dim: int, index: Operand, source: Operand) -> Node:
        operands = [as_node(x, self.name) for x in (a, index, source)]
        return Node(operands, self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index, source = input_values
        return a.scatter_add(node.attrs['dim'], index, source)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, index, source = node.inputs
        return ct, None, pad_to_like(gather(ct, node.attrs['dim'], index), source)


class IndexSelect(Linear):
    """The slices of ``a`` at the positions ``index`` along an axis."""

    moves = True
    drops = True

    def __call__(self, a: Operand, dim: int, index: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(index, self.name)], self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index = input_values
        return a.index_select(node.attrs['dim'], index if index.ndim else index.unsqueeze(0))

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, index = node.inputs
        return index_add(zeros_like(a), node.attrs['dim'], index, ct), None


class IndexAdd(Linear):
    """``a`` with the slices of ``source`` added at the positions ``index`` along an axis."""

    moves = True

    linear_in = (0, 2)

    def __call__(self, a: Operand, dim: int, index: Operand, source: Operand) -> Node:
        operands = [as_node(x, self.name) for x in (a, index, source)]
        return Node(operands, self, {'dim': dim})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, index, source = input_values
        return a.index_add(node.attrs['dim'], index, source)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        _, index, _ = node.inputs
        return ct, None, index_select(ct, node.attrs['dim'], index)


class Crop(Linear):
    """The corner of ``a`` that has the shape of ``like``; where the two are equal, ``a`` itself."""

    axes = ()
    moves = True
    drops = True

    def __call__(self, a: Operand, like: Operand) -> Node:
        a, like = as_node(a, self.name), as_node(like, self.name)
        return a if _same_sizes(a, like) else Node([a, like], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return a[tuple(slice(0, size) for size in like.shape)]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return pad_to_like(ct, a), None


class Pad(Linear):
    """Zeros of the shape of ``like`` with ``a`` in their corner: the adjoint of :class:`Crop`."""

    fills = True
    axes = ()
    moves = True

    name = 'pad_to_like'

    def __call__(self, a: Operand, like: Operand) -> Node:
        a, like = as_node(a, self.name), as_node(like, self.name)
        return a if _same_sizes(a, like) else Node([a, like], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        if a.shape == like.shape:
            return a
        widths = [n for s, t in zip(reversed(a.shape), reversed(like.shape), strict=True) for n in (0, t - s)]
        return torch.constant_pad_nd(a, widths)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return crop(ct, a), None


def _same_sizes(a: Node, b: Node) -> bool:
    return a.type is not None and b.type is not None and a.type.same_sizes(b.type)


getitem = Getitem()
ungetitem = Ungetitem()
ungetitems = Ungetitems()
gather = Gather()
scatter_add = ScatterAdd()
index_select = IndexSelect()
index_add = IndexAdd()
crop = Crop()
pad_to_like = Pad()
