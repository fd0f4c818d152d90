"""Remainders, and choices and signs taken from another operand."""

from typing import Any

import torch

from adjoint.core.node import Node, Operand
from adjoint.core.operand import as_node
from adjoint.ops.elementwise import Binary, Partial, Step, Unary
from adjoint.ops.logic import div_floor, div_trunc
from adjoint.ops.step import sign

__all__ = [
    'Copysign', 'Fmax', 'Fmin', 'Fmod', 'Frac', 'NanToNum', 'Remainder', 'copysign', 'fmax', 'fmin',
    'fmod', 'frac', 'nan_to_num', 'remainder',
]  # fmt: skip


class Frac(Unary):
    """The fraction of ``x``, with its sign."""

    kernel = torch.frac

    def partial(self, y: Node, x: Node) -> Partial:
        return 1


class Fmod(Binary):
    """The remainder of ``a / b`` with the sign of ``a``."""

    kernel = torch.fmod
    takes_numbers = True

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, -div_trunc(a, b) if isinstance(b, Node) else None


class Remainder(Binary):
    """The remainder of ``a / b`` with the sign of ``b``, as in Python."""

    kernel = torch.remainder
    takes_numbers = True

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return 1, -div_floor(a, b) if isinstance(b, Node) else None


class Copysign(Binary):
    """``abs(a)`` with the sign of ``b``.

    Notes
    -----
    The derivative at ``a == 0`` is 0; nothing flows to ``b``.
    """

    kernel = torch.copysign

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        return sign(a) * sign(y) if isinstance(a, Node) else None, None


def _is_largest(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a >= b) | b.isnan()).to(torch.result_type(a, b))


def _is_smallest(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a <= b) | b.isnan()).to(torch.result_type(a, b))


class _IsLargest(Step, Binary):
    """1 where ``fmax`` takes ``a``, else 0."""

    name = 'fmax_share'
    kernel = _is_largest


class _IsSmallest(Step, Binary):
    """1 where ``fmin`` takes ``a``, else 0."""

    name = 'fmin_share'
    kernel = _is_smallest


class Fmax(Binary):
    """The larger of ``a`` and ``b``; where one is nan, the other.

    Notes
    -----
    At a tie the cotangent goes to ``a``.
    """

    kernel = torch.fmax

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        share = fmax_share(a, b)
        return share, 1 - share


class Fmin(Binary):
    """The smaller of ``a`` and ``b``; where one is nan, the other.

    Notes
    -----
    At a tie the cotangent goes to ``a``.
    """

    kernel = torch.fmin

    def partials(self, y: Node, a: Any, b: Any) -> tuple[Partial, Partial]:
        share = fmin_share(a, b)
        return share, 1 - share


class _IsNumber(Step, Unary):
    """1 where ``x`` is finite, else 0, in its dtype."""

    name = 'finite_share'

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return x.isfinite().to(x.dtype)


class NanToNum(Unary):
    """``x`` with numbers in the place of nan and of the infinities.

    Notes
    -----
    The derivative is 0 where an entry was replaced.
    """

    def __call__(
        self, x: Operand, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
    ) -> Node:
        """Build the node; without a number, nan becomes 0, and an infinity the extreme of the dtype."""
        return Node([as_node(x, self.name)], self, {'nan': nan, 'posinf': posinf, 'neginf': neginf})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        return torch.nan_to_num(x, node.attrs['nan'], node.attrs['posinf'], node.attrs['neginf'])

    def partial(self, y: Node, x: Node) -> Partial:
        return finite_share(x)


frac = Frac()
fmod = Fmod()
remainder = Remainder()
copysign = Copysign()
fmax_share = _IsLargest()
fmin_share = _IsSmallest()
fmax = Fmax()
fmin = Fmin()
finite_share = _IsNumber()
nan_to_num = NanToNum()
