"""Common subexpressions: equal nodes become one."""

from collections.abc import Iterable

from adjoint.core.node import Node
from adjoint.passes.walk import Walk, Walked

__all__ = ['shared']


def shared(nodes: Iterable[Node]) -> Walked:
    """Merge nodes of the same op, operands and attrs into the first of them, in bodies too.

    Draws stay apart, and so do nodes that mark a place.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.

    Returns
    -------
    Walked
        In the order of ``nodes``.

    Examples
    --------
    >>> import adjoint as ad
    >>> x = ad.Variable('x')
    >>> y = ad.sin(x) * ad.sin(x)
    >>> len(ad.topological_sort(y)), len(ad.topological_sort(shared([y]).nodes))
    (4, 3)
    """
    return Walk({}, shares=True).run(nodes)
