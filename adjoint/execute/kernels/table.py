"""The table from op to kernel: how each op is written as an expression over local names.

A writer looks at the layouts of the operands and of the value, and returns an expression of them, or
``None``; an op that no writer takes is computed by its own ``compute``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import torch

from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.execute.facts import Fact

__all__ = ['Held', 'Place', 'Same', 'Table', 'Writer', 'Written', 'number']

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Place:
    """A node where it is written.

    Parameters
    ----------
    node : Node
        With types, and with numbers for the sizes in its attrs.
    own : Fact or None
        The layout of its value; ``None`` where that depends on the data.
    given : list of Fact or None
        Of each operand.
    is_returned : bool
        Whether a user gets the memory of the value.
    """

    node: Node
    own: Fact | None
    given: list[Fact | None]
    is_returned: bool

    @property
    def shapes_are_known(self) -> bool:
        """Whether no layout depends on the data."""
        return self.own is not None and None not in self.given


class Same(NamedTuple):
    """The value is that of the operand at a position: nothing is computed."""

    position: int


class Held(NamedTuple):
    """The value is a constant that is computed once; it may be shared, and is never written to."""

    value: object


class Written(NamedTuple):
    """An expression.

    Parameters
    ----------
    text : str
        With ``{0}``, ``{1}`` and so on for the operands, and names in braces for what is bound.
    bound : mapping of str to object
        What those names stand for: kernels and constants.
    uses : tuple of int, optional
        Positions of the operands that the text names; all of them by default.
    into : str
        The expression with ``out={out}``; empty where the kernel has none.
    over : tuple of (int, str)
        Expressions that write over the operand at a position and give the same value.
    is_known : bool
        Whether the value's memory depends on the layouts alone: it is then where the first run showed it.
    """

    text: str
    bound: Mapping[str, object] = _NOTHING
    uses: tuple[int, ...] | None = None
    into: str = ''
    over: tuple[tuple[int, str], ...] = ()
    is_known: bool = True


Writer: TypeAlias = Callable[[Place], Written | Same | Held | None]


@dataclass(frozen=True, slots=True)
class Table:
    """Writers by the class of the op."""

    writers: dict[type[Op], Writer] = field(default_factory=dict[type[Op], Writer])

    def takes(self, *kinds: type[Op]) -> Callable[[Writer], Writer]:
        """Enter a writer for classes of ops; a subclass has to be entered itself."""

        def enter(writer: Writer) -> Writer:
            self.writers.update(dict.fromkeys(kinds, writer))
            return writer

        return enter


# Dtypes that kernels compute in; the narrower ones are widened inside, so that a number is not rounded.
_COMPUTED_IN = frozenset(
    {torch.float32, torch.float64, torch.complex64, torch.complex128, torch.int64, torch.int32}
)


def number(value: complex, x: Fact, *, always: bool = False) -> object:
    """Return a number as a tensor without axes, which kernels take faster; itself where that is not exact.

    Parameters
    ----------
    value : number
        A Python number beside an operand ``x``.
    x : Fact
        The layout of the operand.
    always : bool
        Of an op that takes tensors only.
    """
    common = torch.result_type(torch.empty((), dtype=x.dtype), value)
    if always:
        common = torch.result_type(torch.empty((1,) * len(x.shape), dtype=x.dtype, device='meta'), value)
        return torch.scalar_tensor(value, dtype=common, device=x.device)
    if common is not x.dtype or common not in _COMPUTED_IN:
        return value
    try:
        return torch.scalar_tensor(value, dtype=common)
    except (OverflowError, RuntimeError):
        return value
