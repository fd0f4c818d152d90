"""Where a function is not smooth, and what is taken for its derivative there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ['Kink', 'jump', 'kink', 'pole', 'tie']

# From the node and the values of its operands to a boolean tensor.
Found: TypeAlias = (
    Callable[[Any, Any], Any] | Callable[[Any, Any, Any], Any] | Callable[[Any, Any, Any, Any], Any]
)


@dataclass(frozen=True, slots=True)
class Kink:
    """A place where the derivative of an op is a choice, or infinite; an op declares its own in ``kinks``.

    Parameters
    ----------
    kind : {'kink', 'tie', 'jump', 'pole'}
        The value has a corner; several operands or entries are equally the one that is taken; the value
        jumps; the derivative is not finite.
    place : str
        Where, in terms of the operands, such as ``x == 0``.
    chosen : str
        What is taken for the derivative there, in every mode and order.
    found : callable
        From the node and the values of its operands to a boolean tensor: which entries are there.
    """

    kind: Literal['kink', 'tie', 'jump', 'pole']
    place: str
    chosen: str
    found: Found

    def __str__(self) -> str:
        """Return the place with what was chosen, as a clause of the table of ops."""
        return f'{self.kind} at {self.place}: {self.chosen}'


def kink(place: str, chosen: str, found: Found) -> Kink:
    """Return the declaration of a corner."""
    return Kink('kink', place, chosen, found)


def tie(place: str, chosen: str, found: Found) -> Kink:
    """Return the declaration of a tie."""
    return Kink('tie', place, chosen, found)


def jump(place: str, chosen: str, found: Found) -> Kink:
    """Return the declaration of a jump."""
    return Kink('jump', place, chosen, found)


def pole(place: str, chosen: str, found: Found) -> Kink:
    """Return the declaration of a pole."""
    return Kink('pole', place, chosen, found)
