"""Tensors of an imported program: values that in-place writes change, also through views.

The graph of nodes is pure. What the program writes in place becomes a new node, which every later read
sees, through whichever view it goes.
"""

from collections.abc import Callable, Sequence

import torch

from adjoint.core.errors import UnsupportedOpError
from adjoint.core.node import Node
from adjoint.ops.linear import Linear

__all__ = ['Storage', 'Stored', 'Through', 'through']


class Through(Linear):
    """``value``, whose derivative is that of ``a``: the value may have been written without a history."""

    linear_in = (1,)

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        value, _ = input_values
        return value

    def adjoint(self, node: Node, ct: Node) -> Sequence[Node | None]:
        return None, ct

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the tangent of ``a``."""
        _, t = input_tangents
        return t


through = Through()


class Storage:
    """What some tensors share: the node of the whole, and how often it was written."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.version = 0


class Stored:
    """One tensor of the program: a storage as a whole, or a view of another tensor.

    Parameters
    ----------
    storage
        What a write changes in the end.
    parent
        The tensor that this one is a view of; ``None`` for the whole.
    view
        From the node of the parent to that of this tensor.
    write_back
        From the node of the parent and the new node of this tensor to the new node of the parent.
    is_detached
        Whether the view cuts the derivative, so that a write through it leaves no history.
    """

    def __init__(
        self,
        storage: Storage,
        parent: 'Stored | None' = None,
        view: Callable[[Node], Node] | None = None,
        write_back: Callable[[Node, Node], Node] | None = None,
        *,
        is_detached: bool = False,
    ) -> None:
        self.storage = storage
        self.parent = parent
        self._view = view
        self._write_back = write_back
        self._is_detached = is_detached
        self._seen = -1
        self._node: Node | None = None

    @classmethod
    def new(cls, node: Node) -> 'Stored':
        """Return a tensor of its own."""
        return cls(Storage(node))

    def read(self) -> Node:
        """Return the node of the tensor as it is now."""
        behind: list[Stored] = []
        at = self
        while at.parent is not None and at._seen != at.storage.version:
            behind.append(at)
            at = at.parent
        node = at.storage.node if at.parent is None else at._node
        for view in reversed(behind):
            if node is None or view._view is None:  # a view always knows how it is made
                break
            node = view._node = view._view(node)
            view._seen = view.storage.version
        if node is None:
            msg = 'a view was read before it was made'
            raise RuntimeError(msg)
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
        at = self
        while at.parent is not None:
            if at._write_back is None:
                msg = 'a tensor that was expanded or viewed in this way cannot be written to in place'
                raise UnsupportedOpError(msg)
            keeps_history = keeps_history or at._is_detached
            new = at._write_back(at.parent.read(), new)
            at = at.parent
        old = self.storage.node
        self.storage.node = through(new, old) if keeps_history else new
        self.storage.version += 1

    def become(self, other: 'Stored') -> None:
        """Turn into another view of the same storage: ``unsqueeze_`` and its like."""
        self.parent, self._view, self._write_back = other.parent, other._view, other._write_back
        self._is_detached, self._seen, self._node = other._is_detached, other._seen, other._node
