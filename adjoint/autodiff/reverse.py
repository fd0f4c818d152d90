"""Reverse mode: the gradients of a node, as nodes of the same graph."""

import inspect
from collections.abc import Container, Iterable, Sequence

import torch

from adjoint.core.errors import NonDifferentiableError, RuleError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.numbering import Numbering
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import ones_like, zeros_like
from adjoint.ops.linear import Linear, sum_to_like
from adjoint.ops.several import plus

__all__ = ['cotangents', 'gradients']


def gradients(output_node: Node, nodes: Sequence[Node]) -> list[Node]:
    """Return the gradients of a node with respect to others, as nodes of the same graph.

    Parameters
    ----------
    output_node : Node
        What is differentiated. One that is not a scalar is seeded with ones: the gradients are then
        those of the sum of its entries.
    nodes : sequence of Node
        What it is differentiated by: variables, or any other nodes.

    Returns
    -------
    list of Node
        One for each of ``nodes``, of its shape and dtype; zeros where the output does not depend on it.

    Raises
    ------
    TensorTypeError
        An argument is not a node.
    NonDifferentiableError
        The output is known to be an integer or boolean, or an op on the way states no derivative.
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
    return [
        zeros_like(n) if ct is None else _of_its_type(ct, n) for n, ct in zip(wanted, flowing, strict=True)
    ]


def _of_its_type(ct: Node, node: Node) -> Node:
    """Return the gradient in the shape and dtype of its node: zeros for one that turns out to be integer."""
    if ct.op is sum_to_like and ct.inputs[1] is node:
        return ct
    return sum_to_like(ct, node) if node.type is None or node.type.dtype is None else ct


def cotangents(
    seeds: dict[Node, Node], nodes: Iterable[Node], behind: Container[Node] = ()
) -> list[Node | None]:
    """Pull cotangents of some nodes back to others.

    What the rules build is shared: a node that applies the op of an existing one to the same operands is
    replaced by it.

    Parameters
    ----------
    seeds : dict of Node to Node
        Outputs with their cotangents.
    nodes : iterable of Node
        Where the cotangents are wanted.
    behind : container of Node, optional
        Nodes that are known not to depend on these, so that the walk ends there.

    Returns
    -------
    list of Node or None
        The cotangent of each of ``nodes``, or ``None`` where nothing flows to it.
    """
    wanted = list(nodes)
    order = topological_sort(seeds, behind)
    shared = Numbering(order)
    depends = set(wanted)
    for node in order:
        if not depends.isdisjoint(node.inputs):
            depends.add(node)
    totals: dict[Node, Node] = {}
    parts: dict[Node, list[Node]] = {node: [shared.of(seed)] for node, seed in seeds.items()}
    outside = ambient_site()
    try:
        for node in reversed(order):
            flowing = parts.pop(node, None)
            if flowing is None or node not in depends:
                continue
            # The nodes of the derivative carry the line of the node that they are the derivative of.
            enter_site(node.site)
            total = flowing[0]
            for ct in flowing[1:]:
                total = shared.of(plus(total, ct))
            totals[node] = total
            if depends.isdisjoint(node.inputs):
                continue
            for x, ct in zip(node.inputs, pullback(node, total), strict=True):
                if ct is not None and x in depends and ct.op is not zeros_like:
                    parts.setdefault(x, []).append(shared.of(ct))
    finally:
        leave_sites(outside)
    return [totals.get(node) for node in wanted]


def pullback(node: Node, ct: Node) -> list[Node | None]:
    """Return the cotangents of the inputs of a node, having checked what its rule returned.

    Raises
    ------
    RuleError
        The rule returned too few or too many cotangents, something that is no node, or a cotangent
        that is known to have the wrong shape.
    """
    returned = node.op.gradient(node, ct)
    if not isinstance(returned, (list, tuple)) or len(returned) != len(node.inputs):  # pyright: ignore[reportUnnecessaryIsInstance] rules of users
        count = len(returned) if isinstance(returned, (list, tuple)) else repr(returned)  # pyright: ignore[reportUnnecessaryIsInstance] same
        raise _broken(
            node,
            f'it returned {count} for {len(node.inputs)} inputs, and owes one cotangent for each',
        )
    if type(node.op).__module__.startswith('adjoint.'):
        return returned
    return [_checked(node, i, x, c) for i, (x, c) in enumerate(zip(node.inputs, returned, strict=True))]


def _checked(node: Node, position: int, x: Node, ct: Node | None) -> Node | None:
    """Check a cotangent that a user's rule returned: now where types are known, else at the run."""
    if ct is None or (isinstance(ct, Node) and ct.op is zeros_like):  # pyright: ignore[reportUnnecessaryIsInstance] rules of users
        return ct
    if not isinstance(ct, Node):  # pyright: ignore[reportUnnecessaryIsInstance] rules of users
        raise _broken(node, f'the cotangent of input {position} is {ct!r}, and must be a node or None')
    if x.type is None or ct.type is None or x.type.shape is None or ct.type.shape is None:
        return Node([ct, x], expect_like, {'position': position, 'rule': _rule(node)})
    if x.type.shape != ct.type.shape and None not in (*x.type.shape, *ct.type.shape):
        sizes = f'{ct.type}, and the input {x.type}'
        raise _broken(node, f'the cotangent of input {position} is {sizes}: sum it with sum_to_like(g, x)')
    return ct


def _rule(node: Node) -> str:
    rule = type(node.op).gradient
    try:
        place = f'{inspect.getsourcefile(rule)}:{inspect.getsourcelines(rule)[1]}'
    except (OSError, TypeError):
        place = rule.__module__
    return f'{type(node.op).__qualname__}.gradient ({place})'


def _broken(node: Node, what: str) -> RuleError:
    return RuleError(f"{_rule(node)} broke its contract at node '{node}': {what}\n{node.location}")


class ExpectLike(Linear):
    """``a``, which must have the shape of ``like``: guards what the rule of a user's op returns."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, like = input_values
        if a.shape != like.shape:
            msg = (
                f'{node.attrs["rule"]} broke its contract: the cotangent of input {node.attrs["position"]} '
                f'has shape {tuple(a.shape)}, and the input {tuple(like.shape)}: sum it with '
                f'sum_to_like(g, x)\n{node.location}'
            )
            raise RuleError(msg)
        return a

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        return input_types[1]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return ct, None


expect_like: Op = ExpectLike()
