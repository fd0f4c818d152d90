"""What is written between nodes: operators and indexing, each an op that the room of ops hands over."""

from typing import TYPE_CHECKING, NoReturn

from adjoint.core import table
from adjoint.core.errors import TensorTypeError
from adjoint.core.source import calling_site, location_of

if TYPE_CHECKING:
    from adjoint.core.node import Node, Operand

__all__ = ['Operators']


class Operators:
    """The operators of nodes; ``==`` and ``!=`` compare identity, and are not among them.

    ``&``, ``|``, ``^`` and ``~`` are those of truth values and of the bits of integers. ``//`` and ``%``
    round down, as in Python.
    """

    __slots__ = ()

    def __add__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['add'](self, other)

    def __radd__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['add'](other, self)

    def __sub__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['sub'](self, other)

    def __rsub__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['sub'](other, self)

    def __mul__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['mul'](self, other)

    def __rmul__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['mul'](other, self)

    def __truediv__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['div'](self, other)

    def __rtruediv__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['div'](other, self)

    def __floordiv__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['floor_divide'](self, other)

    def __rfloordiv__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['floor_divide'](other, self)

    def __mod__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['remainder'](self, other)

    def __rmod__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['remainder'](other, self)

    def __pow__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['pow'](self, other)

    def __rpow__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['pow'](other, self)

    def __matmul__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['matmul'](self, other)

    def __rmatmul__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['matmul'](other, self)

    def __and__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['bitwise_and'](self, other)

    def __rand__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['bitwise_and'](other, self)

    def __or__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['bitwise_or'](self, other)

    def __ror__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['bitwise_or'](other, self)

    def __xor__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['bitwise_xor'](self, other)

    def __rxor__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['bitwise_xor'](other, self)

    def __gt__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['gt'](self, other)

    def __ge__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['ge'](self, other)

    def __lt__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['lt'](self, other)

    def __le__(self, other: 'Operand') -> 'Node':
        return table.OPERATORS['le'](self, other)

    def __neg__(self) -> 'Node':
        return table.OPERATORS['neg'](self)

    def __abs__(self) -> 'Node':
        return table.OPERATORS['abs'](self)

    def __invert__(self) -> 'Node':
        return table.OPERATORS['bitwise_not'](self)

    def __getitem__(self, index: object) -> 'Node':
        return table.OPERATORS['getitem'](self, index)

    def __setitem__(self, index: object, value: object) -> NoReturn:
        msg = (
            f"a node never changes, so entries of '{self}' cannot be written in place: "
            f'torch.where(mask, new, x), torch.index_put(x, (index,), new) and '
            f'torch.scatter(x, dim, index, new) give a new node'
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)

    @property
    def T(self) -> 'Node':  # noqa: N802 torch's name
        """The transpose of a matrix; a vector itself."""
        return table.OPERATORS['t'](self)

    @property
    def mT(self) -> 'Node':  # noqa: N802 torch's name
        """The last two axes exchanged."""
        return table.OPERATORS['transpose'](self, -2, -1)
