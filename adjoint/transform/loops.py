"""Loops of Python functions, that stay loops in the graph."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from typing import cast as cast_type

from adjoint.core.errors import ShapeError, TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.source import calling_site, location_of
from adjoint.core.wording import described
from adjoint.flow.loop import looped
from adjoint.flow.scan import scanned
from adjoint.flow.steps import Operands
from adjoint.flow.sweep import CheckpointedScan
from adjoint.ops.body import Body
from adjoint.ops.linear import cast
from adjoint.transform.bodies import Tree, check_alike, finished, single, traced

__all__ = ['fori_loop', 'scan', 'while_loop']


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    checkpoint: bool | int = False,
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
    checkpoint : bool or int
        How many carries the derivative keeps at a time. ``False`` for all; ``True`` for a number in the order
        of the logarithm of the length; the others are computed again.

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
    rest of a step again. With ``checkpoint=s``, at most ``s`` carries are kept at a time, and the fewest
    steps are run again that this allows: none more than ``r`` times, for a length up to ``C(s + r, s)``.

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
    options = {'length': length, 'reverse': reverse, **_kept('scan', checkpoint)}
    found = scanned(body, operands, **options)[: len(body.outputs)]
    leaves = finished(found, start, sequences)
    count = len(start.nodes)
    return start.filled(leaves[:count]), ys.filled(leaves[count:])


def while_loop(
    condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, *, checkpoint: bool | int = True
) -> Any:
    """Apply a function while a condition holds: ``carry = body(carry)`` while ``condition(carry)``.

    Parameters
    ----------
    condition : callable
        Takes the carry, and returns one truth value.
    body : callable
        Takes the carry; returns the next one, of the same structure and types.
    init
        The first carry: nodes, tensors and numbers, in nested tuples, lists and dicts.
    checkpoint : bool or int
        How many carries the derivative keeps at a time. ``True`` for a number in the order of the logarithm
        of the number of steps; ``False`` for all; the others are computed again.

    Returns
    -------
    Node or torch.Tensor, in the structure of ``init``
        The carry for which the condition does not hold.

    Raises
    ------
    TensorTypeError, ShapeError
        The carry changes its structure or type; the condition is no single value.

    Notes
    -----
    The number of steps need not be bounded, in any mode: reverse mode counts them as the loop runs, and then
    goes back through that many, keeping few carries. A loop that does not end does not end here either.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> def root(x):
    ...     far = lambda y: torch.abs(y * y - x) > 1e-6
    ...     return ad.while_loop(far, lambda y: (y + x / y) / 2, x)
    >>> root(torch.tensor(2.0)), ad.grad(root)(torch.tensor(2.0))
    (tensor(1.4142), tensor(0.3536))
    """
    start = Tree.of(init, 'carry', 'the first carry of while_loop')
    snapshots = _kept('while_loop', checkpoint).get('snapshots', 0)

    def step(carry: Any, _: Any) -> tuple[Any, Any]:
        return traced(body, carry), traced(condition, carry)

    start, whole, captured, holds = _step(step, start, Tree.of(None, 'x', ''), 'while_loop')
    single(holds, 'while_loop')
    count = len(start.nodes)
    found = looped(
        Body(whole.inputs, whole.outputs[count:]),
        Body(whole.inputs, whole.outputs[:count]),
        start.nodes,
        captured,
        snapshots,
    )[:count]
    return start.filled(finished(found, start))


def fori_loop(
    lower: Operand,
    upper: Operand,
    body: Callable[[Any, Any], Any],
    init: Any,
    *,
    checkpoint: bool | int = False,
) -> Any:
    """Apply a function for each integer of a range: ``carry = body(i, carry)``.

    Parameters
    ----------
    lower, upper : int, Node or torch.Tensor
        The range, without its end: Python integers, or single values that are known only in a run.
    body : callable
        Takes the integer, as a 0-d value, and the carry; returns the next carry, of the same structure and
        types.
    init
        The first carry: nodes, tensors and numbers, in nested tuples, lists and dicts.
    checkpoint : bool or int
        As for :func:`scan`.

    Returns
    -------
    Node or torch.Tensor, in the structure of ``init``
        The last carry; the first one if the range is empty.

    Raises
    ------
    TensorTypeError, ShapeError
        The carry changes its structure or type.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> ad.fori_loop(1, 4, lambda i, c: c * i, torch.tensor(2.0))
    tensor(12.)
    >>> ad.grad(lambda x: ad.fori_loop(0, torch.tensor(5), lambda i, c: c * x, 1.0))(torch.tensor(2.0))
    tensor(80.)
    """
    bounds = Tree.of((lower, upper), 'bounds', 'the bounds of fori_loop')
    for bound in bounds.nodes:
        single(Tree.of(bound, 'bound', ''), 'fori_loop')
    start = Tree.of((lower, init), 'carry', 'the first carry of fori_loop')

    def step(carry: Any, _: Any) -> tuple[Any, Any]:
        i, own = carry
        return (i + 1, traced(body, i, own)), None

    start, whole, captured, _ = _step(step, start, Tree.of(None, 'x', ''), 'fori_loop')
    options = _kept('fori_loop', checkpoint)
    count: list[Node] = []
    if isinstance(lower, int) and isinstance(upper, int):
        options['length'] = max(upper - lower, 0)
    else:
        first, end = bounds.nodes
        count.append(end - first)
    found = scanned(whole, Operands(start.nodes, [], captured, count), **options)[: len(whole.outputs)]
    return start.filled(finished(found, bounds, start))[1]


def _kept(name: str, checkpoint: bool | int) -> dict[str, Any]:
    """Return the options of a loop for what its derivative keeps."""
    if checkpoint is False:
        return {}
    if checkpoint is True:
        return {'kind': CheckpointedScan, 'snapshots': None}
    if not isinstance(checkpoint, int) or checkpoint < 1:  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
        msg = (
            f'checkpoint of {name} is True, False, or how many carries are kept, at least 1; got '
            f'{described(checkpoint)}\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    return {'kind': CheckpointedScan, 'snapshots': checkpoint}


def _step(
    step: Callable[[Any, Any], tuple[Any, Any]], start: Tree, sequences: Tree, name: str = 'scan'
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
        after = Tree.of(returned[0], 'carry', f'the carry that a step of {name} returns')
        ys = Tree.of(returned[1], 'y', f'the result of a step of {name}')
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
