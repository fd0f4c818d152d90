"""Elementwise ops of several tensors: interpolation, fused products, bounds that are tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoint.core.kink import kink, pole
from adjoint.core.node import Node, Number, Operand
from adjoint.core.operand import as_node
from adjoint.ops.batch import common_dtype
from adjoint.ops.elementwise import Elementwise, Partial, times
from adjoint.ops.linear import cast, conj, expand_like, sum_to_like
from adjoint.ops.logic import logical_and, logical_or
from adjoint.ops.step import ge, gt, le, lt

__all__ = [
    'Addcdiv', 'Addcmul', 'ClampTensor', 'Lerp', 'Nary', 'addcdiv', 'addcmul', 'clamp_tensor', 'lerp',
]  # fmt: skip


def combined(op: Callable[[Operand, Operand], Node], a: Operand, b: Operand, *, alpha: Number = 1) -> Node:
    """Return ``op(a, alpha * b)``, all in the dtype that the two are promoted to, where that is known."""
    if alpha == 1:
        return op(a, b)
    if not (isinstance(a, Node) and isinstance(b, Node)) or a.type is None or b.type is None:
        return op(a, b * alpha)
    dtypes = [(t.dtype, 1 if t.shape is None else len(t.shape)) for t in (a.type, b.type)]
    known = [(dtype, rank) for dtype, rank in dtypes if dtype is not None]
    if len(known) < len(dtypes):
        return op(a, b * alpha)
    dtype = common_dtype(known)
    made = op(a, cast(b, dtype) * alpha)
    # Two truth values make one, whatever the number.
    return cast(made, dtype) if dtype == torch.bool else made


class Nary(Elementwise):
    """Kind of the elementwise ops of several tensors that broadcast; states ``partials(y, *operands)``.

    A real operand of a complex value gets the real part of its cotangent, so that the operands may be
    of different dtypes.
    """

    def partials(self, y: Node, *operands: Any) -> Sequence[Partial]:
        """Return the derivatives by the operands, entry by entry; ``y`` is the node itself."""
        raise NotImplementedError

    def stated(self, node: Node) -> Sequence[Partial]:
        """Return the partials by the operands."""
        return self.partials(node, *node.inputs)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangent times the conjugates of the partials, each like its operand."""
        stated = self.stated(node)
        cts: list[Node | None] = []
        for x, partial in zip(node.inputs, stated, strict=True):
            ct = times(output_grad, conj(partial) if isinstance(partial, Node) else _conjugate(partial))
            cts.append(None if ct is None else sum_to_like(ct, x))
        return cts

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the sum of the tangents times the partials, of the type of the node."""
        total: Node | None = None
        for partial, t in zip(self.partials(node, *node.inputs), input_tangents, strict=True):
            term = None if t is None else times(t, partial)
            if term is not None:
                total = term if total is None else total + term
        return None if total is None else expand_like(total, node)


def _conjugate(number: Number | None) -> Number | None:
    return None if number is None else number.conjugate()


class Lerp(Nary):
    """``start + weight * (end - start)``, exactly ``end`` at weight 1; the weight a tensor or a number."""

    def __call__(self, start: Operand, end: Operand, weight: Operand) -> Node:
        """Build the node.

        Parameters
        ----------
        start, end : Node, torch.Tensor or number
            The values at weight 0 and at weight 1; any shapes that broadcast, one dtype.
        weight : Node, torch.Tensor or number
            A number is kept in ``attrs``.
        """
        ends = [as_node(start, self.name), as_node(end, self.name)]
        if isinstance(weight, (bool, int, float, complex)):
            return Node(ends, self, {'weight': weight})
        return Node([*ends, as_node(weight, self.name)], self)

    def operands(self, node: Node, values: Sequence[Any] | None = None) -> list[Any]:
        given = super().operands(node, values)
        return [*given, node.attrs['weight']] if 'weight' in node.attrs else given

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.lerp(*self.operands(node, input_values))

    def partials(self, y: Node, *operands: Any) -> Sequence[Partial]:
        start, end = operands[:2]
        if 'weight' in y.attrs:
            weight = y.attrs['weight']
            return 1 - weight, weight
        (weight,) = operands[2:]
        return 1 - weight, weight, end - start


class _Scaled(Nary):
    """Base of the ops that add a product or quotient, times a Python number ``value``."""

    def __call__(self, x: Operand, a: Operand, b: Operand, value: Number = 1) -> Node:
        """Build the node.

        Parameters
        ----------
        x : Node, torch.Tensor or number
            What is added to.
        a, b : Node, torch.Tensor or number
            The factors, or the dividend and the divisor.
        value : number
            The factor of the whole term.
        """
        return Node([as_node(o, self.name) for o in (x, a, b)], self, {'value': value})


class Addcmul(_Scaled):
    """``x + value * a * b``."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, a, b = input_values
        return torch.addcmul(x, a, b, value=node.attrs['value'])

    def partials(self, y: Node, *operands: Any) -> Sequence[Partial]:
        _, a, b = operands
        value = y.attrs['value']
        return 1, b * value, a * value


class Addcdiv(_Scaled):
    """``x + value * a / b``; a division by zero is infinite or nan, as in torch."""

    kinks = (pole('b == 0', 'the derivatives are infinite or nan', lambda _, x, a, b: b == 0),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, a, b = input_values
        return torch.addcdiv(x, a, b, value=node.attrs['value'])

    def partials(self, y: Node, *operands: Any) -> Sequence[Partial]:
        _, a, b = operands
        value = y.attrs['value']
        return 1, value / b, -(a * value / b) / b


class ClampTensor(Nary):
    """``x`` limited to ``[min, max]``, both tensors that broadcast with it; ``max`` where ``min > max``.

    Notes
    -----
    The cotangent passes to ``x`` at the bounds themselves; otherwise it goes to the bound that is the
    value. Below two equal bounds nothing flows to either, which is torch's convention.
    """

    drops = True
    kinks = (
        kink('x == min or x == max', 'all of it goes to x', lambda _, x, low, high: (x == low) | (x == high)),
    )

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        return torch.clamp(*input_values)

    def partials(self, y: Node, *operands: Any) -> Sequence[Partial]:
        x, low, high = operands
        inside = logical_and(ge(x, low), le(x, high))
        below = logical_and(lt(low, high), lt(x, low))
        above = logical_or(gt(x, high), lt(high, low))
        return inside, below, above


lerp = Lerp()
addcmul = Addcmul()
addcdiv = Addcdiv()
clamp_tensor = ClampTensor()
