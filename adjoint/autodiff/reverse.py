"""Reverse mode: cotangents pulled back through a graph, as nodes of the same graph."""

import inspect
from collections.abc import Iterable, Sequence

import torch

from adjoint.core.errors import RuleError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear
from adjoint.ops.several import plus

__all__ = ['cotangents', 'pullback']


def cotangents(seeds: dict[Node, Node], nodes: Iterable[Node]) -> list[Node | None]:
    """Pull cotangents of some nodes back to others.

    Parameters
    ----------
    seeds : dict of Node to Node
        Outputs with their cotangents.
    nodes : iterable of Node
        Where the cotangents are wanted.

    Returns
    -------
    list of Node or None
        The cotangent of each of ``nodes``, or ``None`` where nothing flows to it.
    """
    wanted = list(nodes)
    order = topological_sort(seeds)
    depends = set(wanted)
    for node in order:
        if not depends.isdisjoint(node.inputs):
            depends.add(node)
    totals: dict[Node, Node] = {}
    parts: dict[Node, list[Node]] = {node: [seed] for node, seed in seeds.items()}
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
                total = plus(total, ct)
            totals[node] = total
            if depends.isdisjoint(node.inputs):
                continue
            for x, ct in zip(node.inputs, pullback(node, total), strict=True):
                if ct is not None and x in depends and ct.op is not zeros_like:
                    parts.setdefault(x, []).append(ct)
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
