"""Choices between operands: where, the larger and smaller of two, clamping."""

from collections.abc import Sequence
from typing import Any

import torch

from adjoint.core.errors import TensorTypeError
from adjoint.core.kink import jump, kink, tie
from adjoint.core.node import Node, Number, Operand
from adjoint.core.op import Op
from adjoint.core.operand import as_node
from adjoint.ops.creation import zeros_like
from adjoint.ops.elementwise import Binary, Partial, Step, Unary
from adjoint.ops.linear import expand_like, sum_to_like
from adjoint.ops.logic import isnan, logical_or
from adjoint.ops.step import at_equal, eq, ge, gt, le, lt, preference

__all__ = [
    'Clamp', 'ClampMax', 'ClampMin', 'Fmax', 'Fmin', 'Maximum', 'Minimum', 'Where', 'clamp',
    'clamp_max_tensor', 'clamp_min_tensor', 'fmax', 'fmin', 'maximum', 'minimum', 'where',
]  # fmt: skip

_NUMBERS = (bool, int, float, complex)


class Where(Op):
    """``a`` where ``condition`` holds (is not zero), else ``b``; all three broadcast.

    ``a`` and ``b`` may be Python numbers, which are kept in ``attrs``. Linear in both; nothing flows to
    the condition. The cotangent is exactly zero where an operand was not chosen.
    """

    drops = True

    def __call__(self, condition: Operand, a: Operand, b: Operand) -> Node:
        inputs = [as_node(condition, self.name)]
        attrs: dict[str, Number] = {}
        for name, operand in (('a', a), ('b', b)):
            if isinstance(operand, _NUMBERS):
                attrs[name] = operand
            else:
                inputs.append(as_node(operand, self.name))
        return Node(inputs, self, attrs)

    def _branches(self, node: Node, given: Sequence[Any]) -> tuple[Any, Any]:
        """Return what stands for ``a`` and for ``b``; numbers from ``attrs`` among the given."""
        rest = iter(given)
        a, b = (node.attrs[name] if name in node.attrs else next(rest) for name in 'ab')
        return a, b

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        condition, *given = input_values
        a, b = self._branches(node, given)
        mask = condition if condition.dtype == torch.bool else condition != 0
        return torch.where(mask, a, b)

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the cotangent where an operand was chosen, and zero elsewhere."""
        condition, *given = node.inputs
        a, b = self._branches(node, given)
        cts: list[Node | None] = [zeros_like(condition)]
        if isinstance(a, Node):
            cts.append(sum_to_like(where(condition, output_grad, 0.0), a))
        if isinstance(b, Node):
            cts.append(sum_to_like(where(condition, 0.0, output_grad), b))
        return cts

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the choice between the tangents."""
        _, *tangents = input_tangents
        if all(t is None for t in tangents):
            return None
        moved = [0.0 if t is None or not isinstance(t, Node) else t for t in self._tangents(node, tangents)]
        return expand_like(where(node.inputs[0], *moved), node)

    def _tangents(self, node: Node, tangents: Sequence[Node | None]) -> list[Any]:
        rest = iter(tangents)
        return [None if name in node.attrs else next(rest) for name in 'ab']


class Maximum(Binary):
    """The larger of ``a`` and ``b``; nan where either is.

    Notes
    -----
    At a tie each gets half of the cotangent.
    """

    formula = 'Max(a, b)'
    kernel = torch.maximum
    drops = True
    kinks = (tie('a == b', 'each gets half', lambda _, a, b: at_equal(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return preference(a, b), preference(b, a)


class Minimum(Binary):
    """The smaller of ``a`` and ``b``; nan where either is.

    Notes
    -----
    At a tie each gets half of the cotangent.
    """

    formula = 'Min(a, b)'
    kernel = torch.minimum
    drops = True
    kinks = (tie('a == b', 'each gets half', lambda _, a, b: at_equal(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return preference(b, a), preference(a, b)


class Fmax(Binary):
    """The larger of ``a`` and ``b``; of a number and nan, the number.

    Notes
    -----
    At a tie, and where both are nan, the cotangent goes to ``a``.
    """

    formula = 'Max(a, b)'
    kernel = torch.fmax
    drops = True
    kinks = (tie('a == b', 'all of it goes to a', lambda _, a, b: at_equal(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return _shared(ge(a, b), b)


class Fmin(Binary):
    """The smaller of ``a`` and ``b``; of a number and nan, the number.

    Notes
    -----
    At a tie, and where both are nan, the cotangent goes to ``a``.
    """

    formula = 'Min(a, b)'
    kernel = torch.fmin
    drops = True
    kinks = (tie('a == b', 'all of it goes to a', lambda _, a, b: at_equal(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return _shared(le(a, b), b)


def _shared(wins: Node, b: Any) -> tuple[Node, Node]:
    """Return where ``a`` is taken and where ``b`` is, given where ``a`` wins."""
    takes_a = logical_or(wins, isnan(b)) if isinstance(b, Node) or b != b else wins  # noqa: PLR0124 nan
    return takes_a, eq(takes_a, 0)


class ClampMin(Binary):
    """``a``, or ``b`` where that is larger; nan where either is.

    Notes
    -----
    At a tie the cotangent goes to ``a``, and not half to each as in ``maximum``.
    """

    name = 'clamp_min_tensor'
    formula = 'Max(a, b)'
    kernel = torch.clamp_min
    drops = True
    kinks = (tie('a == b', 'all of it goes to a', lambda _, a, b: at_equal(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return ge(a, b), lt(a, b)


class ClampMax(Binary):
    """``a``, or ``b`` where that is smaller; nan where either is.

    Notes
    -----
    At a tie the cotangent goes to ``a``, and not half to each as in ``minimum``.
    """

    name = 'clamp_max_tensor'
    formula = 'Min(a, b)'
    kernel = torch.clamp_max
    drops = True
    kinks = (tie('a == b', 'all of it goes to a', lambda _, a, b: at_equal(a, b)),)

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return le(a, b), gt(a, b)


def _at_bounds(y: Node, x: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(x, dtype=torch.bool)
    for name in ('min', 'max'):
        if y.attrs[name] is not None:
            found.logical_or_(x == y.attrs[name])
    return found


class InRange(Step, Unary):
    """1 where ``min <= x <= max``, else 0, in the dtype of ``x``; a missing bound holds always."""

    kinks = (jump('x == min or x == max', 'the derivative is 0', _at_bounds),)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        inside = torch.ones_like(x, dtype=torch.bool)
        if node.attrs['min'] is not None:
            inside.logical_and_(x >= node.attrs['min'])
        if node.attrs['max'] is not None:
            inside.logical_and_(x <= node.attrs['max'])
        return inside.to(x.dtype)


class Clamp(Unary):
    """``x`` limited to ``[min, max]``; either bound may be ``None``.

    Notes
    -----
    The cotangent passes at the bounds themselves.
    """

    drops = True
    kinks = (kink('x == min or x == max', 'the derivative is 1', _at_bounds),)

    def __call__(self, x: Operand, min: Number | None = None, max: Number | None = None) -> Node:
        if min is None and max is None:
            msg = 'clamp takes a lower bound, an upper bound, or both, and got neither'
            raise TensorTypeError(msg)
        for bound in (min, max):
            if bound is not None and not isinstance(bound, _NUMBERS):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
                msg = f'clamp takes Python numbers as bounds, and got {bound!r}: use maximum or minimum'
                raise TensorTypeError(msg)
        return Node([as_node(x, self.name)], self, {'min': min, 'max': max})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.clamp(x, node.attrs['min'], node.attrs['max'])

    def partial(self, y: Node, x: Node) -> Partial:
        return Node([x], in_range, y.attrs)


# `where` in a loss, over what counts in it. Who writes `where` may have holes in the data in mind; who names
# a label that does not count has not, and masks would go back through whole models.
# It comes before `where`: of two ops of one name, the name stands for the last.
counted = Where()
where = Where()
maximum = Maximum()
minimum = Minimum()
fmax = Fmax()
fmin = Fmin()
clamp_min_tensor = ClampMin()
clamp_max_tensor = ClampMax()
in_range = InRange()
clamp = Clamp()
