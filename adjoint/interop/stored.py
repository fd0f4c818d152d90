"""Tensors of an imported program: values that in-place writes change, also through views.

The graph of nodes is pure. What the program writes in place becomes a new node, which every later read
sees, through whichever view it goes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.ops.linear import Linear

__all__ = ['Stored', 'Through', 'View', 'through']


class Through(Linear):
    """``value``, whose derivative is that of ``a``: the value may have been written without a history."""

    linear_in = (1,)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        """Return the value."""
        value, _ = input_values
        return value

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        """Return the cotangent for ``a``."""
        return None, ct

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent of ``a``."""
        _, t = input_tangents
        return t


through = Through()


class _Memory:
    """What some tensors share: the node of the whole, and how often it was written to."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.version = 0


@dataclass(frozen=True, slots=True)
class View:
    """How a tensor is seen in another one.

    Parameters
    ----------
    parent
        The other tensor.
    of
        From the node of the parent to that of the view.
    write_back
        From the node of the parent and the new node of the view to the new node of the parent; ``None``
        where a view cannot be written to.
    is_detached
        Whether the view cuts the derivative, so that a write through it leaves no history.
    """

    parent: 'Stored'
    of: Callable[[Node], Node]
    write_back: Callable[[Node, Node], Node] | None = None
    is_detached: bool = False


class Stored:
    """One tensor of the program: memory of its own, or a view of another tensor.

    Parameters
    ----------
    given : Node or View
        The value of a tensor of its own, or what the tensor is a view of.
    """

    def __init__(self, given: Node | View) -> None:
        self.view = given if isinstance(given, View) else None
        self.memory: _Memory = given.parent.memory if isinstance(given, View) else _Memory(given)
        # The node of a view, and the version of the memory that it was made of.
        self.made: tuple[Node, int] | None = None

    def read(self) -> Node:
        """Return the node of the tensor as it is now."""
        behind: list[tuple[Stored, View]] = []
        at = self
        while at.view is not None and (at.made is None or at.made[1] != at.memory.version):
            behind.append((at, at.view))
            at = at.view.parent
        node = at.memory.node if at.view is None or at.made is None else at.made[0]
        for tensor, view in reversed(behind):
            node = view.of(node)
            tensor.made = node, tensor.memory.version
        return node

    def write(self, new: Node, *, keeps_history: bool = False) -> None:
        """Put a new value in the place of the tensor.

        Parameters
        ----------
        new
            Of the shape and dtype of the tensor.
        keeps_history
            Whether the derivative stays that of the old value: writes under ``no_grad``.
        """
        view = self.view
        while view is not None:
            if view.write_back is None:
                msg = 'a write in place through this kind of view is not supported: write to a clone'
                raise UnsupportedOpError(msg)
            keeps_history = keeps_history or view.is_detached
            new = view.write_back(view.parent.read(), new)
            view = view.parent.view
        old = self.memory.node
        self.memory.node = through(new, old) if keeps_history else new
        self.memory.version += 1

    def reshape_in_place(self, of: Callable[[Node], Node], back: Callable[[Node, Node], Node] | None) -> None:
        """Turn into a view of what the tensor was: ``unsqueeze_`` and its like."""
        before = Stored(self.memory.node)
        before.view, before.memory, before.made = self.view, self.memory, self.made
        self.view, self.made = View(before, of, back), None
