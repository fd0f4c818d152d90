"""Specialisation: a graph for values of given types, all of which are then known."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from adjoint.core.errors import ShapeError
from adjoint.core.extent import extents_of, names_in, resolved_attrs, value_of
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.source import ambient_site, enter_site, leave_sites
from adjoint.core.tensor_type import TensorType
from adjoint.ops.creation import placeholder
from adjoint.ops.several import restricted

__all__ = ['Specialized', 'bound_sizes', 'specialized']


class Specialized(NamedTuple):
    """A graph for values of given types.

    Parameters
    ----------
    nodes : list of Node
        What stands in the place of each of the given ones.
    variables : dict of Node to Node
        The variables of that graph, by the nodes that values are given for.
    """

    nodes: list[Node]
    variables: dict[Node, Node]


def specialized(
    nodes: Iterable[Node], types: Mapping[Node, TensorType], *, final: bool = False
) -> Specialized:
    """Return the graph of some nodes for inputs of given types.

    Every type is inferred again, and sizes by name become numbers. Ops that only fit shapes are still
    there; :func:`optimize` takes them out.

    Parameters
    ----------
    nodes : iterable of Node
        The outputs of the graph.
    types : mapping of Node to TensorType
        Of the values that will be given: for variables, and for inner nodes, behind which nothing is
        needed then.
    final : bool
        Whether the graph will only be run, and not be differentiated. Of ops with several outputs, such as
        loops, only the outputs that are used are computed then.

    Returns
    -------
    Specialized
        The nodes, and the variables that stand for the keys of ``types``.

    Raises
    ------
    ShapeError
        An op cannot work on operands of these types, or a name stands for two sizes.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> from adjoint.core.tensor_type import TensorType
    >>> x, w = ad.Variable('x'), ad.Variable('w')
    >>> g, = ad.gradients(ad.sin(x * w), [w])
    >>> known = specialized([g], {x: TensorType((3,), torch.float32), w: TensorType((), torch.float32)})
    >>> known.nodes
    [<Node sum_to_like(mul, w): float32[]>]
    """
    wanted = list(nodes)
    made: dict[Node, Node] = {}
    variables: dict[Node, Node] = {}
    inference = _Inference(bound_sizes(types))
    outside = ambient_site()
    try:
        for node, stand in _needed(wanted, types, final=final):
            known = types.get(node)
            if known is not None:
                made[node] = variables[node] = _typed(node, known)
            else:
                made[node] = inference.of(stand, [made[x] for x in stand.inputs])
    finally:
        leave_sites(outside)
    return Specialized([made[node] for node in wanted], variables)


def _needed(wanted: list[Node], given: Collection[Node], *, final: bool) -> Iterable[tuple[Node, Node]]:
    """Return the nodes, inputs first, each with what stands in its place."""
    if final:
        return restricted(wanted, given)
    return ((node, node) for node in topological_sort(wanted, behind=given))


def bound_sizes(types: Mapping[Node, TensorType]) -> dict[str, int]:
    """Return the sizes by name that the types of values give numbers.

    Raises
    ------
    ShapeError
        A name stands for two sizes.
    """
    sizes: dict[str, int] = {}
    for node, given in types.items():
        named = None if node.type is None else node.type.shape
        for name, size in zip(named or (), given.shape or (), strict=False):
            if isinstance(name, str) and isinstance(size, int) and sizes.setdefault(name, size) != size:
                msg = f"'{name}' is {sizes[name]} elsewhere, and {size} in '{node}'\n{node.location}"
                raise ShapeError(msg)
    return sizes


def _typed(node: Node, known: TensorType) -> Node:
    """Return the variable of this type in the place of a node that a value is given for."""
    if node.op is placeholder and node.type == known:
        return node
    return node.restored([], placeholder, {}, node.given_name or node.name, node.site, known)


class _Inference:
    """Makes nodes again with types that follow from those of their inputs."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        # By an op without attrs and the types of its operands as objects, which the nodes keep alive.
        self._known: dict[tuple[object, ...], TensorType] = {}

    def of(self, node: Node, inputs: list[Node]) -> Node:
        """Return a node with these inputs."""
        if node.attrs:
            return self._inferred(node, inputs)
        key = (node.op, *[id(x.type) for x in inputs])
        known = self._known.get(key)
        if known is not None:
            return node.restored(inputs, node.op, {}, node.given_name, node.site, known)
        made = self._inferred(node, inputs)
        if made.type is not None and inputs:
            self._known[key] = made.type
        return made

    def _inferred(self, node: Node, inputs: list[Node]) -> Node:
        sizes = self._sizes
        attrs = resolved_attrs(node.attrs, sizes) if sizes and extents_of(node.attrs) else node.attrs
        is_same = attrs is node.attrs and all(a is b for a, b in zip(inputs, node.inputs, strict=True))
        if node.op is placeholder or (is_same and (node.type is not None and node.type.is_static)):
            return node
        enter_site(node.site)
        made = Node(inputs, node.op, attrs, node.given_name)
        if made.type is not None or node.type is None:
            return made
        return node.restored(
            inputs, node.op, dict(attrs), node.given_name, node.site, _numbered(node.type, sizes)
        )


def _numbered(known: TensorType, sizes: Mapping[str, int]) -> TensorType:
    """Return a type with numbers for the sizes that have one."""
    if known.shape is None:
        return known
    shape = [
        value_of(s, sizes) if isinstance(s, str) and names_in([s]) <= sizes.keys() else s for s in known.shape
    ]
    return known._replace(shape=tuple(shape))
