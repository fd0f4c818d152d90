"""A function whose result is stabilised before anything is made of it."""

import functools
from collections.abc import Callable
from typing import Any

import optree

from adjoint.core.node import Node
from adjoint.passes.pipeline import stabilize as stabilized
from adjoint.transform.internals import nodes_as_parameters

__all__ = ['stably']


def stably(function: Callable[..., Any], *, stabilize: bool = True) -> Callable[..., Any]:
    """Return a function that gives the same as another, with what is stable in the place of what is not.

    What it is called with stays as it is, so that the result can be differentiated by it. Modules that it
    calls by `torch.func.functional_call` take nodes.
    """

    @functools.wraps(function)
    def stable(*args: Any, **kwargs: Any) -> Any:
        with nodes_as_parameters():
            returned = function(*args, **kwargs)
        if not stabilize:
            return returned
        leaves, structure = optree.tree_flatten(returned)
        nodes = [leaf for leaf in leaves if isinstance(leaf, Node)]
        if not nodes:
            return optree.tree_unflatten(structure, leaves)
        tree: Any = (args, kwargs)
        given = [leaf for leaf in optree.tree_leaves(tree) if isinstance(leaf, Node)]
        found = iter(stabilized(nodes, keep=given))
        return optree.tree_unflatten(structure, [next(found) if isinstance(x, Node) else x for x in leaves])

    return stable
