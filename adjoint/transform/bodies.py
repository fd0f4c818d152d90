"""Python functions as bodies: traced once, with nested structures, and messages when structures disagree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import optree

from adjoint.core.errors import ShapeError, TensorTypeError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.core.tensor_type import TensorType
from adjoint.core.wording import described
from adjoint.execute.evaluator import Evaluator
from adjoint.ops.body import variable_like
from adjoint.ops.creation import Variable
from adjoint.transform.internals import nodes_as_parameters
from adjoint.transform.trace import free_variables, is_value

__all__ = ['Tree', 'check_alike', 'finished', 'single', 'traced']

_BY_INTEGERS = frozenset({'switch', 'fori_loop'})
_WAYS_OUT: Mapping[str, str] = MappingProxyType({
    'cond': 'to choose entry by entry there is where(condition, a, b)',
    'switch': 'to choose entry by entry there is where(condition, a, b)',
    'while_loop': 'reduce the condition with any() or all()',
    'fori_loop': 'bounds are integers',
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes in nested tuples, lists and dicts.

    Parameters
    ----------
    nodes : list of Node
        The leaves; tensors and Python numbers are constants.
    structure : optree.PyTreeSpec
        What holds them.
    paths : list of str
        What messages call them.
    is_number : list of bool
        Which were Python numbers, whose dtype is not meant.
    was_node : bool
        Whether any was a node.
    """

    nodes: list[Node]
    structure: optree.PyTreeSpec
    paths: list[str]
    is_number: list[bool]
    was_node: bool

    @classmethod
    def of(cls, tree: Any, name: str, role: str) -> 'Tree':
        """Flatten a structure.

        Parameters
        ----------
        tree
            Nodes, tensors and numbers in tuples, lists and dicts.
        name : str
            What messages call it, and the variables that stand for its leaves.
        role : str
            What it is, for a message.

        Raises
        ------
        TensorTypeError
            A leaf is anything else.
        """
        accessors, leaves, structure = optree.tree_flatten_with_accessor(tree)
        paths = [name + ''.join(f'[{k!r}]' for k in accessor.path) for accessor in accessors]
        for leaf, path in zip(leaves, paths, strict=True):
            if not is_value(leaf) and not isinstance(leaf, (bool, int, float, complex)):
                msg = (
                    f'{path}, in {role}, is {described(leaf)}: tensors, nodes and numbers can stand there, '
                    f'in tuples, lists and dicts; what else the function needs, it closes over'
                    f'\n{location_of(calling_site())}'
                )
                raise TensorTypeError(msg)
        return cls(
            [as_node(leaf, role) for leaf in leaves],
            structure,
            paths,
            [not is_value(leaf) for leaf in leaves],
            any(isinstance(leaf, Node) for leaf in leaves),
        )

    def variables(self) -> list[Node]:
        """Return a variable like each leaf."""
        return [variable_like(node, path) for node, path in zip(self.nodes, self.paths, strict=True)]

    def slices(self) -> list[Node]:
        """Return a variable like a slice of each leaf, along its first axis."""
        return [_slice_of(node, path) for node, path in zip(self.nodes, self.paths, strict=True)]

    def filled(self, leaves: Sequence[Any]) -> Any:
        """Return other leaves in the structure."""
        return optree.tree_unflatten(self.structure, leaves)

    def __str__(self) -> str:
        """The structure with the types of the leaves."""
        return str(self.filled([_Shown(node.type) for node in self.nodes]))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A type that prints as itself inside a structure."""

    type: TensorType | None

    def __repr__(self) -> str:
        return str(self.type or TensorType())


def _slice_of(node: Node, path: str) -> Node:
    known = node.type
    if known is None:
        return Variable(path)
    if known.shape == ():
        msg = (
            f'{path} is {known}, and has no first axis to be taken apart along: what every step needs whole, '
            f'the function closes over\n{location_of(calling_site())}'
        )
        raise ShapeError(msg)
    return Variable(path, None if known.shape is None else known.shape[1:], known.dtype, known.device)


def traced(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns for nodes.

    Raises
    ------
    TensorTypeError
        It is no function.
    """
    if not callable(function):
        msg = f'control flow takes functions, and got {described(function)}\n{location_of(calling_site())}'
        raise TensorTypeError(msg)
    with nodes_as_parameters():
        return function(*arguments)


def single(choice: Tree, name: str) -> list[Node]:
    """Return the nodes that a choice or loop goes by: one truth value or integer, as far as types say.

    Raises
    ------
    ShapeError
        It has several entries, or is no integer.
    """
    for node in choice.nodes:
        known = node.type
        unfit = known is not None and (
            (known.shape is not None and known.shape not in {(), (1,)})
            or (name in _BY_INTEGERS and known.is_differentiable and known.dtype is not None)
        )
        if unfit or len(choice.nodes) > 1:
            wanted = 'one integer' if name in _BY_INTEGERS else 'one truth value'
            msg = (
                f'{name} goes by {wanted}, and got {choice}: {_WAYS_OUT[name]}\n{location_of(calling_site())}'
            )
            raise ShapeError(msg)
    return choice.nodes


def check_alike(wanted: Tree, got: Tree, what: str, remedy: str) -> None:
    """See that two structures agree, and the types of their leaves as far as these are known.

    Parameters
    ----------
    wanted, got : Tree
        The two.
    what : str
        What they are, as ``the carry of scan before a step / after it``.
    remedy : str
        The way out.

    Raises
    ------
    TensorTypeError, ShapeError
        They do not agree.
    """
    first, _, second = what.partition(' / ')
    both = f'  {first}: {wanted}\n  {second}: {got}\n{location_of(calling_site())}'
    if wanted.structure != got.structure:
        msg = f'{first} and {second} have different structures: {remedy}\n{both}'
        raise TensorTypeError(msg)
    for a, b, path in zip(wanted.nodes, got.nodes, wanted.paths, strict=True):
        if a.type is None or b.type is None:
            continue
        if not _may_agree(a.type, b.type):
            msg = f'{path} is {a.type} in {first} and {b.type} in {second}: {remedy}\n{both}'
            raise (TensorTypeError if a.type.shape == b.type.shape else ShapeError)(msg)


def _may_agree(a: TensorType, b: TensorType) -> bool:
    if a.dtype is not None and b.dtype is not None and a.dtype != b.dtype:
        return False
    if a.shape is None or b.shape is None:
        return True
    return len(a.shape) == len(b.shape) and all(
        s == t or not (isinstance(s, int) and isinstance(t, int))
        for s, t in zip(a.shape, b.shape, strict=True)
    )


def finished(nodes: Sequence[Node], *given: Tree) -> list[Any]:
    """Return the results: nodes where a graph is being built, and otherwise their values."""
    if any(tree.was_node for tree in given) or free_variables(nodes, ()):
        return list(nodes)
    return list(Evaluator(nodes).run({}))
