"""``checkpoint``: a function whose derivative computes it again, instead of keeping what it needs."""

import functools
from collections.abc import Callable
from typing import Any

from adjoint.core.births import births
from adjoint.flow.call import called
from adjoint.ops.body import Body
from adjoint.transform.bodies import Tree, finished
from adjoint.transform.returned import name_of

__all__ = ['checkpoint']


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the same values, whose derivative computes it again instead of storing.

    Parameters
    ----------
    function : callable
        Takes positional arguments: nodes, tensors and numbers, in nested tuples, lists and dicts; returns
        tensors in any structure. It may close over nodes. Keywords are passed on as they are.

    Returns
    -------
    callable
        In a graph it is one node; given tensors only, it is run.

    Raises
    ------
    TensorTypeError
        When it is called: an argument or a part of the result is no tensor.

    Notes
    -----
    Without it, a run keeps every value that the pullback needs from the time when it is computed until it is
    used. With it, a run keeps the arguments, and computes the function a second time in the pullback: for a
    chain of n layers of one size in checkpoints of √n layers the memory is that of about 2√n values instead
    of n. Values and derivatives are the same to the last digit; random draws repeat.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> block = ad.checkpoint(lambda x: torch.sin(torch.exp(x)))
    >>> ad.grad(lambda x: block(block(x)))(torch.tensor(0.0))
    tensor(-0.8534)
    """
    name = name_of(function)

    @functools.wraps(function)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        given = Tree.of(args, 'argument', f'the arguments of {name}')
        variables = given.variables()
        with births() as inside:
            returned = Tree.of(function(*given.filled(variables), **kwargs), 'result', f'what {name} returns')
        body, captured = Body.closed(variables, returned.nodes, inside)
        return returned.filled(finished(called(body, [*given.nodes, *captured]), given))

    return recomputed
