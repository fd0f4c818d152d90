"""Control flow that depends on values: choices and loops, of Python functions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from typing import cast as cast_type

from adjoint.core.births import births
from adjoint.core.errors import ShapeError, TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described
from adjoint.flow.cond import chosen
from adjoint.flow.scan import scanned
from adjoint.flow.steps import Operands
from adjoint.ops.body import Body
from adjoint.ops.linear import cast
from adjoint.transform.bodies import Tree, check_alike, finished, traced

__all__ = ['cond', 'scan', 'switch']


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
    (position,) = _single(choice, name)
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


def _single(choice: Tree, name: str) -> list[Node]:
    for node in choice.nodes:
        known = node.type
        unfit = known is not None and (
            (known.shape is not None and known.shape not in {(), (1,)})
            or (name == 'switch' and known.is_differentiable and known.dtype is not None)
        )
        if unfit or len(choice.nodes) > 1:
            wanted = 'one truth value' if name == 'cond' else 'one integer'
            msg = (
                f'{name} chooses by {wanted}, and got {choice}: to choose entry by entry there is '
                f'where(condition, a, b)\n{location_of(calling_site())}'
            )
            raise ShapeError(msg)
    return choice.nodes


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Apply a function step by step: ``carry, y = step(carry, x)`` for each slice of ``xs``.

    Parameters
    ----------
    step : callable
        Takes the carry and a slice; returns the next carry, of the same structure and types, and a result.
        Either may be ``None``.
    init
        The first carry: nodes, tensors and numbers, in nested tuples, lists and dicts.
    xs
        Likewise, or ``None``: what is sliced along its first axis, which is as long everywhere.
    length : int, optional
        The number of steps, where there is no ``xs``.
    reverse : bool
        Whether to begin at the last slice. The results are stacked in the order of the slices.

    Returns
    -------
    carry
        The last one, in the structure of ``init``.
    ys
        The results in their structure, stacked along a new first axis.

    Raises
    ------
    TensorTypeError, ShapeError
        The carry changes its structure or type; slices differ in number, or there is neither a slice nor
        a length.

    Notes
    -----
    The function is traced once. Its steps are the same, but for what it is given; what does not depend on
    that is computed once, before.

    The derivative is a scan in the other direction, which is given the carry of each step, and computes the
    rest of a step again.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> carry, sums = ad.scan(lambda c, x: (c + x, c + x), torch.tensor(0.0), torch.tensor([1.0, 2.0, 3.0]))
    >>> carry, sums
    (tensor(6.), tensor([1., 3., 6.]))
    >>> def last(x):
    ...     return ad.scan(lambda c, _: (torch.sin(c), None), x, length=3)[0]
    >>> ad.grad(last)(torch.tensor(0.0))
    tensor(1.)
    """
    start = Tree.of(init, 'carry', 'the first carry of scan')
    sequences = Tree.of(xs, 'x', 'the sequences of scan')
    if length is None and not sequences.nodes:
        msg = (
            f'scan was given no sequence, so that nothing says how many steps there are: give it a length'
            f'\n{location_of(calling_site())}'
        )
        raise ShapeError(msg)
    start, body, captured, ys = _step(step, start, sequences)
    operands = Operands(start.nodes, sequences.nodes, captured, [])
    found = scanned(body, operands, length=length, reverse=reverse)[: len(body.outputs)]
    leaves = finished(found, start, sequences)
    count = len(start.nodes)
    return start.filled(leaves[:count]), ys.filled(leaves[count:])


def _step(
    step: Callable[[Any, Any], tuple[Any, Any]], start: Tree, sequences: Tree
) -> tuple[Tree, Body, list[Node], Tree]:
    """Trace a step: return what it starts from, its body, what that captures, and its results."""
    while True:
        carries, slices = start.variables(), sequences.slices()
        returned = traced(step, start.filled(carries), sequences.filled(slices))
        if not isinstance(returned, tuple) or len(cast_type('tuple[Any, ...]', returned)) != 2:  # noqa: PLR2004
            got = described(cast_type('object', returned))
            msg = (
                f'a step of scan returns the pair (carry, result), and returned {got}: either may be None'
                f'\n{location_of(calling_site())}'
            )
            raise TensorTypeError(msg)
        after = Tree.of(returned[0], 'carry', 'the carry that a step of scan returns')
        ys = Tree.of(returned[1], 'y', 'the result of a step of scan')
        started = _promoted(start, after)
        if started is start:
            break
        start = started
    check_alike(
        start,
        after,
        'the carry before a step / the carry after it',
        'it has to stay of one type: cast in the step, or start from another type',
    )
    body, captured = Body.closed([*carries, *slices], [*after.nodes, *ys.nodes])
    return start, body, captured, ys


def _promoted(start: Tree, after: Tree) -> Tree:
    """Return the first carry with Python numbers in the dtype that a step makes of them."""
    if start.structure != after.structure:
        return start
    nodes, is_number = list(start.nodes), list(start.is_number)
    for i, (before, then) in enumerate(zip(start.nodes, after.nodes, strict=True)):
        dtype = None if then.type is None else then.type.dtype
        if is_number[i] and dtype is not None and dtype != before.dtype:
            nodes[i], is_number[i] = cast(before, dtype), False
    return start if is_number == start.is_number else replace(start, nodes=nodes, is_number=is_number)
