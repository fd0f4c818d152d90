"""What a table of builders is: from the name of an overload of ATen to what builds it with ops of ours."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ['Builders']

# ``aten.add.Tensor`` -> a function of the arguments of its schema, in their order and by their names, with
# nodes in the place of tensors. It returns a node, or a tuple of nodes where the overload returns several
# tensors. A key without an overload, ``aten.sin``, serves all overloads that have no key of their own.
Builders: TypeAlias = Mapping[str, Callable[..., Any]]
