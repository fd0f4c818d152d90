"""The pullback of one node: its rule, with what it returned checked."""

import inspect
from collections.abc import Sequence

import torch

from adjoint.core.errors import RuleError
from adjoint.core.node import Node
from adjoint.core.op import Op
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import zeros_like
from adjoint.ops.linear import Linear

__all__ = ['ExpectLike', 'expect_like', 'pullback']


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
    rule = inspect.unwrap(type(node.op).gradient)
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
        """Return the value, having compared its shape."""
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
        """Return the type that it must have."""
        return input_types[1]

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        """Return the cotangent itself."""
        return ct, None


expect_like: Op = ExpectLike()
