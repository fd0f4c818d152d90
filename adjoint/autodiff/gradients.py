"""``gradients``: the derivatives of a node by others, as nodes of the same graph."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, overload

from adjoint.autodiff.connection import explain_connection
from adjoint.autodiff.reverse import cotangents as pulled_cotangents
from adjoint.autodiff.seeds import checked, seeds_of
from adjoint.core.errors import NonDifferentiableError, TensorTypeError
from adjoint.core.node import Node, Operand
from adjoint.core.source import calling_site, location_of
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.linear import sum_to_like

__all__ = ['gradients']


Unconnected: TypeAlias = Literal['zero', 'none', 'raise']


@overload
def gradients(
    output_node: Node | Sequence[Node],
    nodes: Sequence[Node],
    *,
    cotangents: Operand | Sequence[Operand | None] | None = None,
    unconnected: Literal['zero', 'raise'] = 'zero',
    nan_safe: bool = True,
) -> list[Node]: ...
@overload
def gradients(
    output_node: Node | Sequence[Node],
    nodes: Sequence[Node],
    *,
    cotangents: Operand | Sequence[Operand | None] | None = None,
    unconnected: Literal['none'],
    nan_safe: bool = True,
) -> list[Node | None]: ...
def gradients(
    output_node: Node | Sequence[Node],
    nodes: Sequence[Node],
    *,
    cotangents: Operand | Sequence[Operand | None] | None = None,
    unconnected: Unconnected = 'zero',
    nan_safe: bool = True,
) -> Sequence[Node | None]:
    """Return the gradients of a node with respect to others, as nodes of the same graph.

    Parameters
    ----------
    output_node : Node, or sequence of Node
        What is differentiated. One that is not a scalar is seeded with ones: the gradients are then
        those of the sum of its entries. Of several outputs, they are those of the sum of all.
    nodes : sequence of Node
        What it is differentiated by: variables, or any other nodes.
    cotangents : Node, torch.Tensor, number, or sequence of them, optional
        In the place of the ones: the known gradient of a loss by each output, of its shape. ``None`` for an
        output that nothing flows back from.
    unconnected : {'zero', 'none', 'raise'}
        What stands for the gradient by a node that nothing flows to: zeros of its shape, ``None``, or an
        error that says what is in the way.
    nan_safe : bool
        Whether a cotangent that is known to be zero, such as that of what `where` does not choose, stays
        zero where a derivative is infinite or nan. Without it the two are multiplied, which gives nan.

    Returns
    -------
    list of Node
        One for each of ``nodes``, of its shape and dtype.

    Raises
    ------
    TensorTypeError
        An argument is not a node, or a cotangent is of another dtype than its output.
    ShapeError
        A cotangent is of another shape than its output.
    NonDifferentiableError
        The output is known to be an integer or boolean, an op on the way states no derivative, or nothing
        flows to one of the nodes and ``unconnected='raise'``.
    RuleError
        The gradient rule of an op breaks its contract.

    Notes
    -----
    Gradients of complex nodes follow torch's convention: they are ready for descent.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x')
    >>> first, = ad.gradients(x ** 3, [x])
    >>> second, = ad.gradients(first, [x])
    >>> ad.Evaluator([first, second]).run({x: torch.tensor(2.0)})
    [tensor(12.), tensor(12.)]
    """
    outputs, wanted = checked('gradients', output_node, nodes)
    if unconnected not in {'zero', 'none', 'raise'}:
        msg = (
            f"unconnected, of gradients, is one of 'zero', 'none' and 'raise', and got {unconnected!r}"
            f'\n{location_of(calling_site())}'
        )
        raise TensorTypeError(msg)
    if cotangents is None:
        given: Any = [ones_like(y) for y in outputs]
    else:
        given = [cotangents] if isinstance(output_node, Node) else cotangents
    seeds = seeds_of(outputs, given)
    found: list[Node | None] = []
    for node, ct in zip(wanted, pulled_cotangents(seeds, wanted, nan_safe=nan_safe), strict=True):
        if ct is not None:
            found.append(_of_its_type(ct, node))
        elif unconnected == 'raise':
            raise NonDifferentiableError('\n'.join(str(explain_connection(y, node)) for y in outputs))
        else:
            found.append(zeros_like(node) if unconnected == 'zero' else None)
    return found


def _of_its_type(ct: Node, node: Node) -> Node:
    """Return the gradient in the shape and dtype of its node: zeros for one that turns out to be integer."""
    if ct.op is sum_to_like and ct.inputs[1] is node:
        return ct
    return sum_to_like(ct, node) if node.type is None or node.type.dtype is None else ct
