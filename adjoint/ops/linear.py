"""The kind of the linear ops, and those that fit one tensor to another: sum, expand, cast, conjugate."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from adjoint.core.errors import ShapeError
from adjoint.core.node import Node, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.masks import any_like

__all__ = [
    'Alias',
    'Broadcast',
    'BroadcastTo',
    'Cast',
    'Conj',
    'EntrywiseMap',
    'ExpandAs',
    'ExpandLike',
    'Imag',
    'Linear',
    'Real',
    'SumToLike',
    'alias',
    'broadcast',
    'broadcast_to',
    'cast',
    'conj',
    'expand_as',
    'expand_like',
    'imag',
    'real',
    'same_type',
    'sizes_of',
    'sum_to_like',
    'to_dtype',
]  # fmt: skip


class Linear(Op):
    """Kind of the ops that are linear in some operands, the others held fixed.

    The op states ``adjoint``, the transposed map. Pullback and pushforward follow.
    """

    # Positions of the operands that the op is linear in; None for all. Nothing flows to the others.
    linear_in: ClassVar[tuple[int, ...] | None] = (0,)

    # Whether the coefficients of the map are zeros and positive numbers: `adjoint` then tells of a mask, as
    # of a cotangent, which entries it reaches.
    moves: ClassVar[bool] = False

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        """Return the transposed map applied to ``ct``: one cotangent, or ``None``, an input."""
        raise NotImplementedError

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the adjoint, with a zero where nothing flows."""
        given = self.adjoint(node, output_grad)
        return [zeros_like(x) if ct is None else ct for x, ct in zip(node.inputs, given, strict=True)]

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the op applied to the tangents."""
        positions = range(len(node.inputs)) if self.linear_in is None else self.linear_in
        if all(input_tangents[i] is None for i in positions):
            return None
        operands = list(node.inputs)
        for i in positions:
            t = input_tangents[i]
            operands[i] = zeros_like(node.inputs[i]) if t is None else t
        return Node(operands, self, node.attrs)

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the adjoint of the mask as numbers: they are not zero where an entry is needed."""
        if not self.moves or (mask is None and not self.drops):
            return super().needs(node, mask)
        return self.adjoint(node, ones_like(node) if mask is None else expand_like(mask, node))

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the op applied to the masks as numbers: it is not zero where an entry is reached."""
        if not self.moves:
            return super().reaches(node, masks)
        return self.jvp(node, [_as_numbers(x, m) for x, m in zip(node.inputs, masks, strict=True)])


def _as_numbers(x: Node, mask: Node | bool) -> Node | None:
    """Return a mask as a tensor like ``x``; ``None`` for one that holds nowhere."""
    if isinstance(mask, Node):
        return expand_like(mask, x)
    return ones_like(x) if mask else None


def same_type(a: Node, b: Node) -> bool:
    """Whether shape and dtype of both are known to be equal."""
    if a is b:
        return True
    s, t = a.type, b.type
    return s is not None and t is not None and s.dtype is not None and s.dtype == t.dtype and s.same_sizes(t)


def to_dtype(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Cast; complex to real keeps the real part, which is the adjoint of real to complex."""
    if value.is_complex() and not dtype.is_complex:
        value = value.real
    return value.to(dtype)


class _Broadcasting(Linear):
    """Base of the ops that broadcast ``a``, the first operand."""

    moves = True

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return where any of the entries that ``a`` is broadcast to is marked."""
        return [None if mask is None else any_like(mask, node.inputs[0]), *(None for _ in node.inputs[1:])]


class EntrywiseMap(Linear):
    """Base of the ops of which each entry is made from that entry of ``a``, the first operand."""

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the mask itself, which broadcasts to the shape of ``a``."""
        return [mask, *(None for _ in node.inputs[1:])]

    def reaches(self, node: Node, masks: Sequence[Node | bool]) -> Node | None:
        """Return the mask itself."""
        return masks[0] if isinstance(masks[0], Node) else None


class SumToLike(Linear):
    """``a`` summed over the axes along which ``like`` was broadcast, in the dtype of ``like``.

    It takes the cotangent of a broadcast value back to an operand: sizes, dtype, and the real part
    where the operand is real. For a ``like`` that is neither floating nor complex it is zero.
    Where the types are known to agree already, the call returns ``a`` itself.
    """

    moves = True

    def __call__(self, a: Operand, like: Operand) -> Node:
        a, like = as_node(a, self.name), as_node(like, self.name)
        return a if same_type(a, like) else Node([a, like], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        if not (like.is_floating_point() or like.is_complex()):
            return torch.zeros_like(like)
        return to_dtype(a if a.shape == like.shape else a.sum_to_size(like.shape), like.dtype)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return expand_like(ct, a), None

    def needs(self, node: Node, mask: Node | None) -> Sequence[Node | None]:
        """Return the mask itself, which broadcasts to the shape of ``a``."""
        return [mask, *(None for _ in node.inputs[1:])]


class ExpandLike(_Broadcasting):
    """``a`` broadcast to the shape of ``like``, in its dtype: the adjoint of ``sum_to_like``."""

    def __call__(self, a: Operand, like: Operand) -> Node:
        a, like = as_node(a, self.name), as_node(like, self.name)
        return a if same_type(a, like) else Node([a, like], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        return to_dtype(a, like.dtype).expand(like.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return sum_to_like(ct, a), None


class ExpandAs(_Broadcasting):
    """``a`` broadcast to the shape of ``b``.

    Any broadcast that torch allows; the adjoint sums back to the shape of ``a``, and nothing flows to
    ``b``.
    """

    def __call__(self, a: Operand, b: Operand) -> Node:
        return Node([as_node(a, self.name), as_node(b, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return a.expand(b.shape)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        a, _ = node.inputs
        return sum_to_like(ct, a), None


class BroadcastTo(_Broadcasting):
    """``a`` broadcast to a shape; ``-1`` keeps the size of an axis, as in ``torch.Tensor.expand``."""

    def __call__(self, a: Operand, *shape: int | Sequence[int]) -> Node:
        return Node([as_node(a, self.name)], self, {'shape': sizes_of(shape)})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.expand(node.attrs['shape'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (sum_to_like(ct, a),)


class Broadcast(_Broadcasting):
    """``a``, of shape ``input_shape``, broadcast to ``target_shape``.

    The adjoint sums back to ``input_shape``, for any mix of new and stretched axes.
    """

    def __call__(self, a: Operand, input_shape: Sequence[int], target_shape: Sequence[int]) -> Node:
        """Build the node; ``ShapeError`` at the run where ``a`` does not have ``input_shape``."""
        attrs = {'input_shape': tuple(input_shape), 'target_shape': tuple(target_shape)}
        return Node([as_node(a, self.name)], self, attrs)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        if tuple(a.shape) != node.attrs['input_shape']:
            msg = (
                f'broadcast was written for an operand of shape {node.attrs["input_shape"]} and got '
                f'{tuple(a.shape)}: give that as input_shape, or use broadcast_to(a, target_shape)\n'
                f'{node.location}'
            )
            raise ShapeError(msg)
        return a.expand(node.attrs['target_shape'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (sum_to_like(ct, a),)


class Alias(EntrywiseMap):
    """``a`` itself, as a node of its own: a derivative by it leaves other uses of ``a`` out."""

    axes = ()
    shareable = False

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (ct,)


class Conj(EntrywiseMap):
    """The complex conjugate; a real operand is returned as it is where its dtype is known.

    Antilinear over the complex numbers and linear over the reals, which is what torch's convention
    for gradients asks for: its adjoint is itself.
    """

    axes = ()

    def __call__(self, a: Operand) -> Node:
        a = as_node(a, self.name)
        if a.type is not None and a.type.is_real:
            return a
        return a.inputs[0] if a.op is conj else Node([a], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.conj()

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return (conj(ct),)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[0]


class Real(EntrywiseMap):
    """The real part; a real operand is returned as it is where its dtype is known."""

    axes = ()

    def __call__(self, a: Operand) -> Node:
        a = as_node(a, self.name)
        return a if a.type is not None and a.type.is_real else Node([a], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.real

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (expand_like(ct, a),)


class Imag(EntrywiseMap):
    """The imaginary part; zero for a real operand."""

    axes = ()

    def __call__(self, a: Operand) -> Node:
        return Node([as_node(a, self.name)], self)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return a.imag if a.is_complex() else torch.zeros_like(a)

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        return (sum_to_like(ct * 1j, a),)


class Cast(EntrywiseMap):
    """``a`` in another dtype; from complex to real it keeps the real part."""

    axes = ()

    def __call__(self, a: Operand, dtype: torch.dtype) -> Node:
        a = as_node(a, self.name)
        if a.type is not None and a.type.dtype == dtype:
            return a
        return Node([a], self, {'dtype': dtype})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (a,) = input_values
        return to_dtype(a, node.attrs['dtype'])

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        (a,) = node.inputs
        flows = node.attrs['dtype'].is_floating_point or node.attrs['dtype'].is_complex
        return (sum_to_like(ct, a) if flows else None,)

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent in the new dtype; nothing flows into integers."""
        flows = node.attrs['dtype'].is_floating_point or node.attrs['dtype'].is_complex
        return super().jvp(node, input_tangents) if flows else None


def sizes_of(shape: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Return sizes that were given one by one or as one sequence."""
    first = shape[0] if len(shape) == 1 else None
    given = first if isinstance(first, Sequence) and not isinstance(first, str) else shape
    return tuple(given)  # pyright: ignore[reportReturnType] either form is ints


sum_to_like = SumToLike()
expand_like = ExpandLike()
expand_as = ExpandAs()
broadcast_to = BroadcastTo()
broadcast = Broadcast()
alias = Alias()
conj = Conj()
real = Real()
imag = Imag()
cast = Cast()
