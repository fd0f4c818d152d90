"""``vmap``: a function of one example as a function of a batch of them."""

from collections.abc import Callable
from typing import Any, TypeAlias, Unpack, cast

import optree

from adjoint.autodiff.batching.draws import Randomness
from adjoint.autodiff.batching.walk import batched
from adjoint.core.errors import ShapeError, TensorTypeError, UnsupportedOpError
from adjoint.core.node import Node
from adjoint.core.operand import as_node
from adjoint.core.source import calling_site, location_of
from adjoint.core.tensor_type import Size, TensorType
from adjoint.core.wording import described
from adjoint.flow.chunks import in_chunks
from adjoint.ops.batch import spread
from adjoint.ops.creation import Variable
from adjoint.ops.shape import permute
from adjoint.transform.staged import Switches, Transform
from adjoint.transform.trace import Arguments, is_value, type_of_value

__all__ = ['Axes', 'Vectorised', 'vmap']

# An axis, None for no axis, or these in nested tuples, lists and dicts.
Axes: TypeAlias = Any

_RANDOMNESS = ('error', 'same', 'different')


class Vectorised(Transform):
    """A function of a batch, made by ``vmap`` of one of an example."""

    def __init__(
        self,
        function: Callable[..., Any],
        in_axes: Axes,
        out_axes: Axes,
        randomness: Randomness,
        chunk_size: int | None,
        **switches: Unpack[Switches],
    ) -> None:
        super().__init__(function, **switches)
        if randomness not in _RANDOMNESS:
            msg = (
                f'randomness is one of {", ".join(map(repr, _RANDOMNESS))}, and got {randomness!r}'
                f'\n{location_of(calling_site())}'
            )
            raise TensorTypeError(msg)
        self._in_axes: Axes = tuple(cast('list[Any]', in_axes)) if isinstance(in_axes, list) else in_axes
        self._out_axes = out_axes
        self._randomness: Randomness = randomness
        self._chunk_size = chunk_size
        if chunk_size is None:
            return
        if not isinstance(chunk_size, int) or isinstance(chunk_size, bool) or chunk_size < 1:  # pyright: ignore[reportUnnecessaryIsInstance] callers are not type-checked
            msg = f'chunk_size is how many examples are computed at a time, and got {chunk_size!r}'
            raise TensorTypeError(f'{msg}\n{location_of(calling_site())}')
        if randomness == 'different':
            msg = (
                f"with chunk_size, each chunk would draw the same: draw outside, or say randomness='same'"
                f'\n{location_of(calling_site())}'
            )
            raise UnsupportedOpError(msg)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        arguments = Arguments.of(args, kwargs, self._function)
        self._check(arguments)
        return arguments

    def _axes(self, arguments: Arguments) -> list[int | None]:
        """Return the axis of each leaf, ``None`` for those that are the same for every example."""
        args, _ = cast('tuple[tuple[Any, ...], Any]', arguments.unflattened(arguments.leaves))
        given: Any = self._in_axes
        if given is None or isinstance(given, int):
            given = (given,) * len(args)
        if not isinstance(given, tuple) or len(given) != len(args):  # pyright: ignore[reportUnknownArgumentType] of anything
            msg = (
                f'in_axes of {self._name} is {self._in_axes!r}, and it was called with {len(args)} '
                f'positional arguments: give one axis for all, or a tuple with an entry for each'
            )
            raise TensorTypeError(msg)
        axes: list[int | None] = []
        for own, arg in zip(cast('tuple[Any, ...]', given), args, strict=True):
            axes += self._spread_over(own, arg, 'in_axes')
        # Arguments by keyword are the same for every example, as in torch.
        return axes + [None] * (len(arguments.leaves) - len(axes))

    def _spread_over(self, axes: Axes, tree: Any, what: str) -> list[int | None]:
        """Return an axis for each leaf of a tree, from a tree of axes that may end further up."""
        leaves = optree.tree_leaves(tree, none_is_leaf=True)
        try:
            found = optree.broadcast_prefix(axes, tree, none_is_leaf=True)
        except ValueError:
            msg = (
                f'{what} of {self._name} has {axes!r} for {optree.tree_structure(tree)}: give it the same '
                f'structure, or one axis for all of it'
            )
            raise TensorTypeError(msg) from None
        for axis in found:
            if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
                msg = f'{what} of {self._name} holds {axis!r}: an axis is an int, or None for no axis'
                raise TensorTypeError(msg)
        return [axis for axis, leaf in zip(found, leaves, strict=True) if leaf is not None]

    def _check(self, arguments: Arguments) -> None:
        """Check that every batch has its axis, and that all are of one size."""
        sizes: dict[str, Size] = {}
        for leaf, path, axis in zip(arguments.leaves, arguments.paths, self._axes(arguments), strict=True):
            if axis is None:
                continue
            if not is_value(leaf):
                msg = (
                    f'{path} is {described(leaf)}, which has no axis {axis}: with None in its place in '
                    f'in_axes it is the same for every example'
                )
                raise TensorTypeError(msg)
            shape = _known(leaf).shape
            if shape is None:
                if axis != 0:
                    msg = f'axis {axis} of {path}, of which no number of axes is known: give it a shape'
                    raise TensorTypeError(msg)
                sizes[path] = None
                continue
            if not -len(shape) <= axis < len(shape):
                msg = f'{path} has {len(shape)} axes, {_known(leaf)}, and no axis {axis} for the examples'
                raise ShapeError(msg)
            sizes[path] = shape[axis]
        if not sizes:
            msg = (
                f'no argument of {self._name} is a batch: vmap takes one axis at least, in in_axes, and a '
                f'positional argument to have it'
            )
            raise TensorTypeError(msg)
        if len({s for s in sizes.values() if isinstance(s, int)}) > 1:
            listed = ', '.join(f'{path} has {size}' for path, size in sizes.items())
            msg = f'the batches given to {self._name} hold different numbers of examples: {listed}'
            raise ShapeError(msg)

    def _built(self, arguments: Arguments, leaves: list[Any]) -> Any:
        places: dict[Node, Node] = {}
        own = list(leaves)
        for i, (axis, path) in enumerate(zip(self._axes(arguments), arguments.paths, strict=True)):
            if axis is not None:
                batch = _moved(as_node(leaves[i], path), axis, 0)
                own[i] = _example(batch, path)
                places[own[i]] = batch
        args, kwargs = arguments.unflattened(own)
        returned: Any = self._function(*args, **kwargs)
        outputs, structure = optree.tree_flatten(returned)
        nodes = [self._output(y) for y in outputs]
        if self._chunk_size is None:
            found = batched(nodes, places, randomness=self._randomness)
        else:
            found = in_chunks(nodes, places, self._chunk_size, self._randomness)
        like = next(iter(places.values()))
        axes = self._spread_over(self._out_axes, returned, 'out_axes')
        placed = [self._placed(y, b, axis, like) for y, b, axis in zip(nodes, found, axes, strict=True)]
        return optree.tree_unflatten(structure, placed)

    def _output(self, leaf: Any) -> Node:
        if isinstance(leaf, (bool, int, float, complex)) or is_value(leaf):
            return as_node(leaf, self._name)
        msg = (
            f'{self._name} must return tensors, in tuples, lists and dicts if you like, to be applied to a '
            f'batch, and returned {described(leaf)}'
        )
        raise TensorTypeError(msg)

    def _placed(self, y: Node, batch: Node | None, axis: int | None, like: Node) -> Node:
        """Return an output with its examples along an axis."""
        if axis is None:
            if batch is None:
                return y
            msg = (
                f"'{y}', returned by {self._name}, depends on the example, and out_axes has None for it: "
                f'give it an axis\n{y.location}'
            )
            raise TensorTypeError(msg)
        return _moved(spread(y, like) if batch is None else batch, 0, axis)


def _known(leaf: Any) -> TensorType:
    if isinstance(leaf, Node):
        return TensorType() if leaf.type is None else leaf.type
    return type_of_value(leaf)


def _example(batch: Node, path: str) -> Node:
    """Return a variable for one example of a batch."""
    known = _known(batch)
    if known == TensorType():
        return Variable(path)
    shape = None if known.shape is None else known.shape[1:]
    # A size by arithmetic of names is no name.
    sizes = shape and tuple(s if not isinstance(s, str) or s.isidentifier() else None for s in shape)
    return Variable(path, sizes, known.dtype, known.device)


def _moved(node: Node, start: int, end: int) -> Node:
    """Return a node with one axis moved to another place."""
    if start == end:
        return node
    rank = node.ndim
    if not -rank <= end < rank:
        msg = f"'{node}', {node.type}, has no axis {end} to put the examples along\n{node.location}"
        raise ShapeError(msg)
    order = [i for i in range(rank) if i != start % rank]
    order.insert(end % rank, start % rank)
    return permute(node, tuple(order)) if order != list(range(rank)) else node


def vmap(
    function: Callable[..., Any],
    in_axes: Axes = 0,
    out_axes: Axes = 0,
    *,
    randomness: Randomness = 'error',
    chunk_size: int | None = None,
    stabilize: bool = True,
) -> Vectorised:
    """Return a function of a batch of examples, from a function of one.

    Parameters
    ----------
    function : callable
        Takes one example: tensors, in nested tuples, lists and dicts if you like; returns tensors, likewise.
    in_axes : int, None, or a tuple with an entry for each positional argument
        The axis along which each argument holds the examples; ``None`` for what is the same for all of
        them. An entry may have the structure of its argument, or that of its upper part. Arguments by
        keyword are the same for all.
    out_axes : int, None, or of the structure of what is returned
        Where the examples go in the results; ``None`` for a result that is the same for all.
    randomness : {'error', 'same', 'different'}
        How random values in the function are drawn: the same for every example, or for each of them. By
        default they are an error.
    chunk_size : int, optional
        How many examples are computed at a time, to take less memory: the chunks are the steps of a loop, in
        derivatives too. By default all are computed at once.
    stabilize
        As for :func:`grad`.

    Returns
    -------
    Vectorised
        With the parameters of ``function``.

    Raises
    ------
    TensorTypeError, ShapeError
        When it is called: no argument is a batch, or the batches differ in size; or, with a
        ``chunk_size``, how many examples there are is not known.
    UnsupportedOpError
        When it is called: the function draws random values, and ``randomness`` does not say how. Or values
        were to be drawn for each example, in chunks.

    Notes
    -----
    The function is called once, with nodes for one example; its graph then becomes one on the whole batch,
    op by op. That graph has derivatives like any other: ``vmap`` and the transforms of derivatives nest in
    any order and to any depth.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> def loss(w, x):
    ...     return torch.sum(w * x) ** 2
    >>> w, xs = torch.tensor([1.0, 2.0]), torch.eye(2)
    >>> ad.vmap(loss, in_axes=(None, 0))(w, xs)
    tensor([1., 4.])
    >>> ad.vmap(ad.grad(loss), in_axes=(None, 0))(w, xs)  # a gradient for each example
    tensor([[2., 0.],
            [0., 4.]])
    """
    return Vectorised(function, in_axes, out_axes, randomness, chunk_size, stabilize=stabilize)
