"""Tracing: a plain Python function, called once on nodes, leaves its graph behind."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Generic, TypeVar

import optree
import torch

from adjoint.core.errors import NonDifferentiableError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import Variable, placeholder
from adjoint.ops.linear import alias

__all__ = ['Arguments', 'Cache', 'free_variables', 'is_value', 'type_of_value']

T = TypeVar('T')

_CACHE_LIMIT = 128


def is_value(leaf: object) -> bool:
    """Whether a leaf of the arguments becomes a variable of the graph; others are part of the function."""
    return isinstance(leaf, (torch.Tensor, Node)) or type(leaf).__module__ == 'numpy'


def type_of_value(leaf: Any) -> TensorType:
    """Return the type of a tensor or a NumPy array."""
    return TensorType.of(torch.as_tensor(leaf))


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a call, flattened: nested tuples, lists, dicts of tensors, and anything else.

    Parameters
    ----------
    leaves : list
        In order; those that are neither tensors nor nodes are part of the function.
    structure : optree.PyTreeSpec
        Of the pair of positional and keyword arguments.
    paths : list of str
        Each leaf as the function would write it: ``state['w']``.
    """

    leaves: list[Any]
    structure: optree.PyTreeSpec
    paths: list[str]

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any], function: Callable[..., Any]) -> 'Arguments':
        """Flatten a call of a function."""
        tree: Any = (args, kwargs)
        accessors, leaves, structure = optree.tree_flatten_with_accessor(tree)
        names = _parameter_names(function, len(args))
        return cls(leaves, structure, [_path(tuple(a.path), names) for a in accessors])

    def positions(self, argnums: Sequence[int], name: str) -> list[tuple[int, ...]]:
        """Return the positions of the leaves of some positional arguments, one tuple for each.

        Raises
        ------
        TensorTypeError
            There is no argument at one of ``argnums``.
        """
        counts = [spec.num_leaves for spec in self.specs]
        found: list[tuple[int, ...]] = []
        for argnum in argnums:
            wanted = argnum + len(counts) if argnum < 0 else argnum
            if not 0 <= wanted < len(counts):
                msg = f'{name} was called with {len(counts)} positional arguments: none at argnum {argnum}'
                raise TensorTypeError(msg)
            start = sum(counts[:wanted])
            found.append(tuple(range(start, start + counts[wanted])))
        return found

    def differentiated(self, positions: Iterable[int]) -> 'Arguments':
        """Return the arguments with tensors in the place of Python floats and complex numbers there.

        Raises
        ------
        TensorTypeError
            A leaf there is neither tensor nor number.
        NonDifferentiableError
            A leaf there is an integer or a boolean.
        """
        leaves = list(self.leaves)
        for i in positions:
            leaves[i] = _differentiable(leaves[i], self.paths[i])
        return replace(self, leaves=leaves)

    @property
    def specs(self) -> list[optree.PyTreeSpec]:
        """The structure of each positional argument."""
        return optree.treespec_children(optree.treespec_children(self.structure)[0])

    def unflattened(self, leaves: Sequence[Any]) -> Any:
        """Return other leaves in the structure of the arguments."""
        return optree.tree_unflatten(self.structure, leaves)

    @property
    def has_nodes(self) -> bool:
        """Whether the call happens while another graph is being built."""
        return any(isinstance(leaf, Node) for leaf in self.leaves)

    def signature(self) -> Hashable:
        """Return what the graph of the function depends on: structure, types, and other values.

        Raises
        ------
        TensorTypeError
            A leaf is neither a tensor nor hashable.
        """
        parts: list[Hashable] = [self.structure, torch.get_default_dtype()]
        for leaf, path in zip(self.leaves, self.paths, strict=True):
            if is_value(leaf):
                parts.append(type_of_value(leaf))
                continue
            try:
                hash(leaf)
            except TypeError:
                msg = (
                    f'{path} is a {type(leaf).__name__}, which is neither a tensor nor hashable: pass '
                    f'tensors in tuples, lists and dicts, and everything else as hashable values'
                )
                raise TensorTypeError(msg) from None
            # 1, 1.0 and True are equal and build different graphs.
            parts.append((leaf.__class__, leaf))
        return tuple(parts)

    def variables(self) -> list[Any]:
        """Return the leaves with a typed variable in the place of each tensor."""
        made: list[Any] = []
        for leaf, path in zip(self.leaves, self.paths, strict=True):
            if is_value(leaf):
                known = type_of_value(leaf)
                made.append(Variable(path, known.shape, known.dtype, known.device))
            else:
                made.append(leaf)
        return made

    def aliases(self) -> list[Any]:
        """Return the leaves with a node of its own in the place of each tensor and node.

        A derivative by an alias does not see what reaches the function in another way, such as
        through a closure over the same node.
        """
        return [
            alias(as_node(leaf, path)) if is_value(leaf) else leaf
            for leaf, path in zip(self.leaves, self.paths, strict=True)
        ]


def _parameter_names(function: Callable[..., Any], count: int) -> list[str]:
    """Return what the function calls its first ``count`` positional arguments."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []  # built in
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [p.name for p in parameters if p.kind in positional][:count]
    rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), 'arg')
    return named + [f'{rest}{i}' for i in range(count - len(named))]


def _path(path: tuple[Any, ...], names: 'list[str]') -> str:
    """Return a leaf as the function would write it: ``state['w']``."""
    first = names[int(path[1])] if path[0] == 0 else str(path[1])
    return first + ''.join(f'[{k!r}]' for k in path[2:])


def _differentiable(leaf: Any, path: str) -> Any:
    if isinstance(leaf, (float, complex)):
        return torch.tensor(leaf)
    if isinstance(leaf, (bool, int)):
        msg = f'{path} is {leaf!r}, an integer, which has no derivative: pass {float(leaf)!r}'
        raise NonDifferentiableError(msg)
    if not is_value(leaf):
        msg = (
            f'{path} is {leaf!r} of type {type(leaf).__name__}, and cannot be differentiated by: pass tensors'
        )
        raise TensorTypeError(msg)
    known = leaf.type if isinstance(leaf, Node) else type_of_value(leaf)
    if known is not None and not known.is_differentiable:
        msg = f'{path} is {known}, which has no derivative: pass a floating or complex tensor'
        raise NonDifferentiableError(msg)
    return leaf


def free_variables(nodes: Sequence[Node], bound: Sequence[Any]) -> list[Node]:
    """Return the variables that the nodes depend on and that are not among the bound ones."""
    own = {node for node in bound if isinstance(node, Node)}
    return [n for n in topological_sort(nodes) if n.op is placeholder and n not in own]


class Cache(Generic[T]):
    """The graphs of a function by signature; the least recently used is dropped at 128."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the entry of a key, made on first use."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        made = make()
        with self._lock:
            self._entries[key] = made
            while len(self._entries) > _CACHE_LIMIT:
                self._entries.popitem(last=False)
        return made
