"""Which nodes are built in a part of a program: what belongs to a branch, and what existed before it."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adjoint.core.node import Node

__all__ = ['WATCHED', 'births']

# Where a node that is built is noted; None where nobody asks.
WATCHED: 'ContextVar[set[Node] | None]' = ContextVar('adjoint_births', default=None)


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
    outer = WATCHED.get()
    found: set[Node] = set()
    token = WATCHED.set(found)
    try:
        yield found
    finally:
        WATCHED.reset(token)
        if outer is not None:
            outer |= found
