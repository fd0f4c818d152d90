"""Choices that depend on values, between Python functions."""

from collections.abc import Callable, Sequence
from typing import Any

from adjoint.core.births import births
from adjoint.core.errors import TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.source import calling_site, location_of
from adjoint.flow.cond import chosen
from adjoint.ops.body import Body
from adjoint.transform.bodies import Tree, check_alike, finished, single, traced

__all__ = ['cond', 'switch']


def cond(
    condition: Operand, on_true: Callable[..., Any], on_false: Callable[..., Any], *operands: Any
) -> Any:
    """Return what one of two functions returns; only that one is run.

    Parameters
    ----------
    condition : Node, torch.Tensor or bool
        One truth value.
    on_true, on_false : callable
        Take the operands, and return tensors in one structure, of the same types.
    *operands
        Nodes, tensors and numbers, in nested tuples, lists and dicts. The functions may close over others.

    Returns
    -------
    Node or torch.Tensor, in the structure that the functions return
        Nodes where a graph is being built, else tensors.

    Raises
    ------
    TensorTypeError, ShapeError
        The functions return different structures or types; the condition is no single value.

    Notes
    -----
    The derivative is a choice as well: of the function that was not taken nothing is computed, so that its
    infinities and nans do not reach any derivative. Nothing flows to the condition.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> def root(x):
    ...     return ad.cond(x > 0, torch.sqrt, torch.zeros_like, x)
    >>> ad.grad(root)(torch.tensor(4.0)), ad.grad(root)(torch.tensor(0.0))
    (tensor(0.2500), tensor(0.))
    """
    return _chosen('cond', condition, (on_false, on_true), operands)


def switch(index: Operand, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return what one of several functions returns; only that one is run.

    Parameters
    ----------
    index : Node, torch.Tensor or int
        Which: one integer, held to the positions that there are.
    branches : sequence of callable
        As for :func:`cond`.
    *operands
        As for :func:`cond`.

    Returns
    -------
    Node or torch.Tensor, in the structure that the functions return
        Nodes where a graph is being built, else tensors.

    Raises
    ------
    TensorTypeError, ShapeError
        As :func:`cond`; or there is no function.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> branches = [torch.sin, torch.cos, torch.exp]
    >>> [ad.switch(k, branches, torch.tensor(0.0)).item() for k in (0, 1, 2, 7)]
    [0.0, 1.0, 1.0, 1.0]
    """
    if not branches:
        msg = f'switch takes at least one function\n{location_of(calling_site())}'
        raise TensorTypeError(msg)
    return _chosen('switch', index, branches, operands)


def _chosen(name: str, which: Operand, branches: Sequence[Callable[..., Any]], operands: Any) -> Any:
    choice = Tree.of(which, 'index' if name == 'switch' else 'condition', f'the arguments of {name}')
    given = Tree.of(operands, 'operands', f'the operands of {name}')
    (position,) = single(choice, name)
    variables = given.variables()
    returned: list[Tree] = []
    inside: set[Node] = set()
    for branch in branches:
        with births() as built:
            value = traced(branch, *given.filled(variables))
            returned.append(Tree.of(value, 'result', f'what a branch of {name} returns'))
        inside |= built
    names = ['on_false', 'on_true'] if name == 'cond' else [f'branch {i}' for i in range(len(branches))]
    for tree, own in zip(returned[1:], names[1:], strict=True):
        check_alike(
            returned[0],
            tree,
            f'the result of {names[0]} / the result of {own}',
            'all branches return one structure and the same types: cast, or broadcast',
        )
    # One body for all, so that the branches share their inputs; then it is parted again.
    whole, captured = Body.closed(variables, [node for tree in returned for node in tree.nodes], inside)
    count = len(returned[0].nodes)
    bodies = [Body(whole.inputs, whole.outputs[i * count : (i + 1) * count]) for i in range(len(branches))]
    found = chosen(position, bodies, [*given.nodes, *captured])
    return returned[0].filled(finished(found, choice, given))
