"""A derivative that nobody has written: it stands in the graph, and fails when it is computed."""

import torch

from adjoint.core.errors import NonDifferentiableError
from adjoint.core.node import Node
from adjoint.ops.creation import Creation

__all__ = ['Underived', 'underived']


class Underived(Creation):
    """The partial of an op by an operand for which no rule is written; others of its partials are.

    A rule returns all cotangents at once, so that it cannot know which of them is asked for.
    """

    def __call__(self, x: Node, what: str) -> Node:
        """Build the node: of the type of ``x``; ``what`` is what has no derivative."""
        return Node([x], self, {'what': what})

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        (x,) = input_values
        if x.device.type == 'meta':
            return x
        msg = (
            f'the derivative of {node.attrs["what"]} is not written: hold that operand fixed, with '
            f'detach(...), or differentiate by others only\n{node.location}'
        )
        raise NonDifferentiableError(msg)


underived = Underived()
