"""Which nodes are built in a part of a program: what belongs to a branch, and what existed before it."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adjoint.core.node import Node

__all__ = ['births', 'note']

# Where a node that is built is noted; None where nobody asks.
_watched: 'ContextVar[set[Node] | None]' = ContextVar('adjoint_births', default=None)


@contextmanager
def births() -> 'Generator[set[Node]]':
    """Note the nodes that are built inside the block.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> with births() as built:
    ...     y = ad.sin(x)
    >>> built == {y}
    True
    """
    outer = _watched.get()
    found: set[Node] = set()
    token = _watched.set(found)
    try:
        yield found
    finally:
        _watched.reset(token)
        if outer is not None:
            outer |= found


def note(node: 'Node') -> None:
    """Take note of a node that was built, where somebody asks."""
    watched = _watched.get()
    if watched is not None:
        watched.add(node)
