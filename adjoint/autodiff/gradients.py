"""``gradients``: the derivatives of a node by others, as nodes of the same graph."""

from collections.abc import Sequence
from typing import Literal, overload

from adjoint.autodiff.connection import explain_connection
from adjoint.autodiff.reverse import cotangents
from adjoint.core.errors import NonDifferentiableError, TensorTypeError
from adjoint.core.node import Node
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.linear import sum_to_like

__all__ = ['gradients']


@overload
def gradients(
    output_node: Node, nodes: Sequence[Node], *, unconnected: Literal['zero', 'raise'] = 'zero'
) -> list[Node]: ...
@overload
def gradients(
    output_node: Node, nodes: Sequence[Node], *, unconnected: Literal['none']
) -> list[Node | None]: ...
def gradients(
    output_node: Node, nodes: Sequence[Node], *, unconnected: Literal['zero', 'none', 'raise'] = 'zero'
) -> Sequence[Node | None]:
    """Return the gradients of a node with respect to others, as nodes of the same graph.

    Parameters
    ----------
    output_node : Node
        What is differentiated. One that is not a scalar is seeded with ones: the gradients are then
        those of the sum of its entries.
    nodes : sequence of Node
        What it is differentiated by: variables, or any other nodes.
    unconnected : {'zero', 'none', 'raise'}
        What stands for the gradient by a node that nothing flows to: zeros of its shape, ``None``, or an
        error that says what is in the way.

    Returns
    -------
    list of Node
        One for each of ``nodes``, of its shape and dtype.

    Raises
    ------
    TensorTypeError
        An argument is not a node.
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
    if isinstance(nodes, Node):
        msg = 'gradients takes a list of nodes as its second argument: write gradients(y, [x])'
        raise TensorTypeError(msg)
    if unconnected not in {'zero', 'none', 'raise'}:
        msg = f"unconnected is one of 'zero', 'none' and 'raise', and got {unconnected!r}"
        raise TensorTypeError(msg)
    wanted = list(nodes)
    for what, node in (('output', output_node), *(('node to differentiate by', n) for n in wanted)):
        if not isinstance(node, Node):  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            msg = (
                f'the {what} is {node!r} of type {type(node).__name__}, and gradients are taken of '
                f'nodes by nodes: pass the Variable or another node of the graph itself'
            )
            raise TensorTypeError(msg)
    if output_node.type is not None and not output_node.type.is_differentiable:
        msg = (
            f"the output '{output_node}' is {output_node.type}, and only floating and complex values have "
            f'derivatives: differentiate what it was made from, or cast(...) it\n{output_node.location}'
        )
        raise NonDifferentiableError(msg)
    flowing = cotangents({output_node: ones_like(output_node)}, wanted)
    found: list[Node | None] = []
    for node, ct in zip(wanted, flowing, strict=True):
        if ct is not None:
            found.append(_of_its_type(ct, node))
        elif unconnected == 'raise':
            raise NonDifferentiableError(str(explain_connection(output_node, node)))
        else:
            found.append(zeros_like(node) if unconnected == 'zero' else None)
    return found


def _of_its_type(ct: Node, node: Node) -> Node:
    """Return the gradient in the shape and dtype of its node: zeros for one that turns out to be integer."""
    if ct.op is sum_to_like and ct.inputs[1] is node:
        return ct
    return sum_to_like(ct, node) if node.type is None or node.type.dtype is None else ct
